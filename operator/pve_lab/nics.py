"""``netN`` property strings as Proxmox reads and writes them.

Reading knows the schema: unknown keys, wrong values and missing required ones are refused with Proxmox' texts. Words
for yes and no are read in any case and stored as 1 and 0, every other value stays as it was typed.
Writing puts the default key first, then the required ones, then the rest by name; a MAC that was not given is
invented on every write. Nothing of a previous value is kept: a client that sends half a string loses the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pve_lab.json_schema import Prop, PropertyString

#: The models of a virtual NIC; as a key they carry the MAC.
MODELS = (
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
    "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
)  # fmt: skip


_FLAG = Prop(type="boolean")
_TAG = Prop(type="integer", minimum=1, maximum=4094)
_NAME = r"[-_.\w\d]+"
_FORMATS = {
    "qemu": PropertyString(
        {
            "model": Prop(optional=False, enum=MODELS),
            "macaddr": Prop(format="mac-addr"),
            "bridge": Prop(format="pve-bridge-id"),
            "firewall": _FLAG,
            "host-tunnel": _FLAG,
            "link_down": _FLAG,
            "mtu": Prop(type="integer", minimum=1, maximum=65520),
            "queues": Prop(type="integer", minimum=0, maximum=64),
            "rate": Prop(type="number", minimum=0),
            "tag": _TAG,
            "trunks": Prop(pattern=r"\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*"),
        },
        default_key="model",
        aliases=frozenset(MODELS),
        alias_value="macaddr",
        alias_name="model",
    ),
    "lxc": PropertyString(
        {
            "name": Prop(optional=False, pattern=_NAME),
            "bridge": Prop(pattern=_NAME),
            "firewall": _FLAG,
            "gw": Prop(format="ipv4"),
            "gw6": Prop(format="ipv6"),
            "host-managed": _FLAG,
            "hwaddr": Prop(format="mac-addr"),
            "ip": Prop(format="pve-ipv4-config"),
            "ip6": Prop(format="pve-ipv6-config"),
            "link_down": _FLAG,
            "mtu": Prop(type="integer", minimum=64, maximum=65535),
            "rate": Prop(type="number"),
            "tag": _TAG,
            "trunks": Prop(pattern=r"\d+(?:;\d+)*"),
            "type": Prop(enum=("veth",)),
        }
    ),
}


@dataclass(frozen=True)
class Nic:
    """One parsed NIC: ``values`` by key, the model and MAC of a VM's among them."""

    kind: str
    values: Mapping[str, str]

    @classmethod
    def parse(cls, kind: str, text: str, key: str = "net0") -> Nic:
        """Raises ValueError with what Proxmox puts into ``errors`` for the option ``key``."""
        try:
            return cls(kind, _FORMATS[kind].parse(text, key))
        except ValueError as problem:
            raise ValueError(f"invalid format - {problem}") from None

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
