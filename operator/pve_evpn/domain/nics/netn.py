"""The ``netN`` string of a guest: read, change some fields, write back everything else as it was.

QEMU writes ``virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1``, containers ``name=eth0,bridge=vmbr0,hwaddr=...``.
Unknown keys, their order and the shorthand for model and MAC survive. The MAC is never left out: Proxmox invents a
new one on every write that has none.

Values are compared by their meaning, not by their spelling: :func:`same`. What Proxmox makes of a string, and why it
refuses one, is measured (qemu-server 9.2.6, pve-container 6.1.10): :meth:`NetN.printed` and :meth:`NetN.refusal`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: QEMU's NIC models; as a key they carry the MAC (``virtio=<mac>``).
MODELS = frozenset(
    [
        "e1000",
        "e1000-82540em",
        "e1000-82544gc",
        "e1000-82545em",
        "e1000e",
        "i82551",
        "i82557b",
        "i82559er",
        "ne2k_isa",
        "ne2k_pci",
        "pcnet",
        "rtl8139",
        "virtio",
        "vmxnet3",
    ]
)
_MAC_KEY = {"qemu": "macaddr", "lxc": "hwaddr"}
#: Proxmox takes these in any case and stores 1 and 0.
_TRUE, _FALSE = frozenset(["1", "on", "yes", "true"]), frozenset(["0", "off", "no", "false"])
_BOOLEAN = frozenset(["firewall", "link_down", "host-managed", "host-tunnel"])
_NUMBER = frozenset(["mtu", "queues", "rate", "tag"])
_ADDRESS = frozenset(["gw", "gw6", "ip", "ip6"])


@dataclass(frozen=True, slots=True)
class NetN:
    """One parsed string; ``parts`` keeps every key and its text in the written order (None: a word without "=")."""

    kind: str
    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, kind: str, text: str) -> NetN:
        """``kind`` is ``qemu`` or ``lxc``. Accepts every string and renders it back unchanged."""
        parts = []
        for part in text.split(","):
            key, separator, value = part.partition("=")
            parts.append((key, value if separator else None))
        return cls(kind, tuple(parts))

    def render(self) -> str:
        return ",".join(key if value is None else f"{key}={value}" for key, value in self.parts)

    def get(self, key: str) -> str | None:
        """One field; ``model`` and ``mac`` whichever way they are written."""
        if key == "mac":
            return self._shorthand()[1] or self._plain(_MAC_KEY[self.kind])
        if key == "model":
            return self._shorthand()[0] or self._plain("model")
        return self._plain(key)

    def fields(self) -> dict[str, str | None]:
        """Every field by the names of :meth:`get`, in the written order."""
        found: dict[str, str | None] = {}
        for key, value in self._read_parts():
            if self.kind == "qemu" and key in MODELS:
                found["model"] = key
                if value is not None:
                    found["mac"] = value
            else:
                found["mac" if key == _MAC_KEY[self.kind] else key] = value
        return found

    def differing(self, other: NetN) -> tuple[str, ...]:
        """The fields that do not mean the same in both."""
        mine, theirs = self.fields(), other.fields()
        return tuple(key for key in {**mine, **theirs} if not same(key, mine.get(key), theirs.get(key)))

    def with_fields(self, changes: Mapping[str, str | None]) -> NetN:
        """Fields set (in place, new ones at the end) or removed (None). ``mac`` and ``model`` keep their notation."""
        result = self
        for key, value in changes.items():
            result = result._with(key, value)
        return result

    def printed(self) -> str:
        """The string as Proxmox writes it: model and MAC, or name, first; then by key, with booleans as 1 and 0.

        A MAC that is missing is missing here too; Proxmox invents one.
        """
        values = {key: value or "" for key, value in self.fields().items()}
        texts = {key: _stored(key, value) for key, value in values.items() if key not in ("model", "mac", "name")}
        if self.kind == "lxc":
            texts = {"type": "veth", **texts}
            if "mac" in values:
                texts["hwaddr"] = values["mac"]
            first = [f"name={values['name']}"] if "name" in values else []
        else:
            model = values.get("model", "")
            first = [f"{model}={values['mac']}" if values.get("mac") else model]
        return ",".join([*first, *(f"{key}={texts[key]}" for key in sorted(texts))])

    def refusal(self) -> str | None:
        """Why Proxmox refuses the string; None if it takes it. Keys it does not know are :meth:`unknown_keys`."""
        found: dict[str, str] = {}
        for key, value in self._read_parts():
            if not key or value == "":
                return f"{key or value}: a key or its value is missing"
            for name, text in self._read_part(key, value):
                if not name:
                    return f"{key}: a value without a key"
                if name in found:
                    return f"{name}: set twice"
                found[name] = text
        required = "model" if self.kind == "qemu" else "name"
        if required not in found:
            return f"{required}: missing"
        grammar = _GRAMMAR[self.kind]
        wrong = (key for key, text in found.items() if key in grammar and not grammar[key](text))
        return next((f"{key}: {found[key]!r} is not valid" for key in wrong), None)

    def unknown_keys(self) -> tuple[str, ...]:
        """Keys that Proxmox 9.2 refuses, and that a later release may have."""
        known = _GRAMMAR[self.kind].keys() | (MODELS if self.kind == "qemu" else frozenset())
        return tuple(key for key, value in self.parts if value is not None and key and key not in known)

    def _read_parts(self) -> list[tuple[str, str | None]]:
        """The parts as Proxmox reads them: without what is empty between two commas, and without a last line break."""
        *parts, (key, value) = self.parts
        last = (key.removesuffix("\n"), None) if value is None else (key, value.removesuffix("\n"))
        return [part for part in (*parts, last) if part != ("", None)]

    def _read_part(self, key: str, value: str | None) -> list[tuple[str, str]]:
        """The properties one part sets; a word alone is a VM's model, and nothing for a container."""
        if value is None:
            return [("model" if self.kind == "qemu" else "", key)]
        if self.kind == "qemu" and key in MODELS:
            return [("model", key), ("macaddr", value)]
        return [(key, value)]

    def _plain(self, key: str) -> str | None:
        return next((value for name, value in self.parts if name == key), None)

    def _shorthand(self) -> tuple[str | None, str | None]:
        if self.kind == "qemu":
            for name, value in self.parts:
                if name in MODELS:
                    return name, value
        return None, None

    def _with(self, key: str, value: str | None) -> NetN:
        model, mac = self._shorthand()
        if key == "model" and model is not None:
            return self._replaced(model, (value or model, mac))
        if key == "mac":
            # "virtio,macaddr=..." has the MAC beside the model: it stays there, or there would be two.
            if model is not None and self._plain(_MAC_KEY[self.kind]) is None:
                return self._replaced(model, (model, value))
            key = _MAC_KEY[self.kind]
        if value is None:
            return NetN(self.kind, tuple(part for part in self.parts if part[0] != key))
        if all(name != key for name, _ in self.parts):
            return NetN(self.kind, (*self.parts, (key, value)))
        return self._replaced(key, (key, value))

    def _replaced(self, key: str, part: tuple[str, str | None]) -> NetN:
        return NetN(self.kind, tuple(part if name == key else (name, text) for name, text in self.parts))


def same(key: str, one: str | None, other: str | None) -> bool:
    """Whether two texts of a field mean the same: case of a MAC, absent and 0, on and 1, ``1;2;3`` and ``1-3``, ..."""
    return _meaning(key, one) == _meaning(key, other)


def _meaning(key: str, text: str | None) -> object:
    if key in _BOOLEAN:
        return is_true(text)
    try:
        if key in _NUMBER:
            return float(text or 0)
        if text is None:
            return None
        if key == "trunks":
            return frozenset(vlan_ids(text))
        if key in _ADDRESS:
            return ipaddress.ip_interface(text)
    except ValueError:
        return text
    return text.lower() if key == "mac" else text


def is_true(text: str | None) -> bool:
    """How Proxmox reads a boolean."""
    return (text or "").lower() in _TRUE


def vlan_ids(trunks: str) -> list[int]:
    """The VLANs of ``1;2;10-12``, sorted. Raises ValueError for a text that is none."""
    return sorted({vid for part in trunks.split(";") if part for vid in _vids(part)})


def _vids(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), min(int(last or first), 4094) + 1)


def new_qemu(model: str, mac: str | None) -> NetN:
    """A NIC that is not there yet; without a MAC Proxmox chooses one, once."""
    return NetN("qemu", ((model, mac),))


def new_lxc(name: str, mac: str | None) -> NetN:
    """A container's interface that is not there yet; without a MAC Proxmox chooses one, once."""
    address = (("hwaddr", mac),) if mac else ()
    return NetN("lxc", (("name", name), *address, ("type", "veth")))


# --- what Proxmox takes -----------------------------------------------------------------------------------------


def _stored(key: str, text: str) -> str:
    if key in _BOOLEAN and text.lower() in _TRUE | _FALSE:
        return str(int(text.lower() in _TRUE))
    return text


def _boolean(text: str) -> bool:
    return text.lower() in _TRUE | _FALSE


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _integer(least: int, most: int) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(r"[+-]?[0-9]+", text) is not None and least <= int(text) <= most


def _number(least: float) -> Callable[[str], bool]:
    form = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
    return lambda text: form.fullmatch(text) is not None and float(text) >= least


def _address(version: int) -> Callable[[str], bool]:
    def takes(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return takes


def _configured(version: int, *words: str) -> Callable[[str], bool]:
    """A word, or an address with a prefix length from 8 on."""

    def takes(text: str) -> bool:
        address, slash, length = text.partition("/")
        if text in words:
            return True
        most = 32 if version == 4 else 128
        return bool(slash) and _address(version)(address) and length.isdecimal() and 8 <= int(length) <= most

    return takes


_NAME = _matches(r"[-_.\w]+")
_MAC = _matches(r"[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}")
_COMMON: Mapping[str, Callable[[str], bool]] = {
    "bridge": _NAME,
    "firewall": _boolean,
    "link_down": _boolean,
    "tag": _integer(1, 4094),
}
_GRAMMAR: Mapping[str, Mapping[str, Callable[[str], bool]]] = {
    "qemu": {
        **_COMMON,
        "model": MODELS.__contains__,
        "macaddr": _MAC,
        "mtu": _integer(1, 65520),
        "queues": _integer(0, 64),
        "rate": _number(0),
        "trunks": _matches(r"[0-9]+(-[0-9]+)?(;[0-9]+(-[0-9]+)?)*"),
        "host-tunnel": _boolean,
    },
    "lxc": {
        **_COMMON,
        "name": _NAME,
        "hwaddr": _MAC,
        "mtu": _integer(64, 65535),
        "rate": _number(float("-inf")),
        "trunks": _matches(r"[0-9]+(;[0-9]+)*"),
        "type": frozenset(["veth"]).__contains__,
        "ip": _configured(4, "dhcp", "manual"),
        "ip6": _configured(6, "auto", "dhcp", "manual"),
        "gw": _address(4),
        "gw6": _address(6),
        "host-managed": _boolean,
    },
}
