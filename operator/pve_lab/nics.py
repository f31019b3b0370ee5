"""``netN`` property strings as Proxmox reads and writes them.

Reading knows the schema: unknown keys, wrong values and missing required ones are refused with Proxmox' texts.
Writing puts the default key first, then the required ones, then the rest by name; a MAC that was not given is
invented on every write. Nothing of a previous value is kept: a client that sends half a string loses the other half.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: The models of a virtual NIC; as a key they carry the MAC.
MODELS = (
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
    "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
)  # fmt: skip
_NO_SUCH = "property is not defined in schema and the schema does not allow additional properties"


def _boolean(text: str) -> str:
    if text not in ("0", "1", "on", "off", "yes", "no", "true", "false"):
        raise ValueError(f"type check ('boolean') failed - got '{text}'")
    return str(int(text in ("1", "on", "yes", "true")))


def _integer(low: int, high: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(r"[+-]?\d+", text):
            raise ValueError(f"type check ('integer') failed - got '{text}'")
        if int(text) < low:
            raise ValueError(f"value must have a minimum value of {low}")
        if int(text) > high:
            raise ValueError(f"value must have a maximum value of {high}")
        return text

    return check


def _number(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError(f"type check ('number') failed - got '{text}'")
    return text


def _pattern(pattern: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError("value does not match the regex pattern")
        return text

    return check


def _mac(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}", text):
        raise ValueError("invalid format - value does not look like a valid unicast MAC address\n")
    return text


def _address(version: int, *words: str) -> Callable[[str], str]:
    """An address with prefix length, or one of the words."""

    def check(text: str) -> str:
        try:
            fine = text in words or ("/" in text and ipaddress.ip_interface(text).version == version)
        except ValueError:
            fine = False
        if not fine:
            raise ValueError(f"invalid format - value does not look like a valid ipv{version} network configuration\n")
        return text

    return check


def _gateway(version: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            fine = ipaddress.ip_address(text).version == version
        except ValueError:
            fine = False
        if not fine:
            raise ValueError(f"invalid format - value does not look like a valid ipv{version} address\n")
        return text

    return check


def _one_of(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"value '{text}' does not have a value in the enumeration '{', '.join(words)}'")
        return text

    return check


_COMMON: Mapping[str, Callable[[str], str]] = {
    "firewall": _boolean,
    "link_down": _boolean,
    "rate": _number,
    "tag": _integer(1, 4094),
}
_KEYS: Mapping[str, Mapping[str, Callable[[str], str]]] = {
    "qemu": {
        **_COMMON,
        "model": _one_of(*MODELS),
        "macaddr": _mac,
        "bridge": _pattern(r"[-_.\w\d]+"),
        "mtu": _integer(1, 65520),
        "queues": _integer(0, 64),
        "trunks": _pattern(r"\d+(-\d+)?(;\d+(-\d+)?)*"),
    },
    "lxc": {
        **_COMMON,
        "name": _pattern(r"[-_.\w\d]+"),
        "bridge": _pattern(r"[-_.\w\d]+"),
        "gw": _gateway(4),
        "gw6": _gateway(6),
        "host-managed": _boolean,
        "hwaddr": _mac,
        "ip": _address(4, "dhcp", "manual"),
        "ip6": _address(6, "auto", "dhcp", "manual"),
        "mtu": _integer(64, 65535),
        "trunks": _pattern(r"\d+(;\d+)*"),
        "type": _one_of("veth"),
    },
}


@dataclass(frozen=True)
class Nic:
    """One parsed NIC: ``values`` by key, the model and MAC of a VM's among them."""

    kind: str
    values: Mapping[str, str]

    @classmethod
    def parse(cls, kind: str, text: str) -> Nic:
        """Raises ValueError with what Proxmox puts into ``errors``."""
        values: dict[str, str] = {}
        problems = []
        for part in filter(None, text.split(",")):
            key, separator, value = part.partition("=")
            if kind == "qemu" and key in MODELS:
                values["model"] = key
                key, value = "macaddr", value if separator else ""
                if not separator:
                    continue
            elif kind == "qemu" and not separator:
                key, value = "model", part
            elif not separator:
                raise ValueError("invalid format - value without key, but schema does not define a default key\n")
            if key not in _KEYS[kind]:
                problems.append(f"{key}: {_NO_SUCH}")
                continue
            if key in values:
                raise ValueError(f"invalid format - duplicate key in comma-separated list property: {key}\n")
            try:
                values[key] = _KEYS[kind][key](value)
            except ValueError as problem:
                problems.append(f"{key}: {problem}")
        required = "model" if kind == "qemu" else "name"
        if required not in values:
            problems.append(f"{required}: property is missing and it is not optional")
        if problems:
            raise ValueError(
                "invalid format - format error\n" + "".join(p.rstrip("\n") + "\n" for p in sorted(problems))
            )
        return cls(kind, values)

    def with_mac(self, invent: Callable[[], str]) -> Nic:
        """Complete: a MAC, and what Proxmox adds to a container's NIC."""
        key = "macaddr" if self.kind == "qemu" else "hwaddr"
        values = dict(self.values)
        if key not in values:
            values[key] = invent()
        if self.kind == "lxc":
            values["type"] = "veth"
        return Nic(self.kind, values)

    def text(self) -> str:
        """As it is stored."""
        rest = dict(self.values)
        key, value = (rest.pop("model"), rest.pop("macaddr")) if self.kind == "qemu" else ("name", rest.pop("name"))
        first = f"{key}={value}"
        return ",".join([first, *(f"{key}={value}" for key, value in sorted(rest.items()))])

    def get(self, key: str) -> str:
        return self.values.get(key, "")

    @property
    def mac(self) -> str:
        return self.values.get("macaddr") or self.values.get("hwaddr", "")

    @property
    def bridge(self) -> str:
        return self.values.get("bridge", "")
