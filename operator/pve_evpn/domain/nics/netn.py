"""The ``netN`` string of a guest: read, change some fields, write back everything else as it was.

QEMU writes ``virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1``, containers ``name=eth0,bridge=vmbr0,hwaddr=...``.
Unknown keys, their order and the shorthand for model and MAC survive. The MAC is never left out: Proxmox invents a
new one on every write that has none.

Text is compared as Proxmox means it, not as it is spelled: :func:`same`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
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
_BOOLEAN = frozenset(["firewall", "link_down"])
_NUMBER = frozenset(["queues", "rate"])
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
        for key, value in self.parts:
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
    """Whether two texts of a field mean the same: case of a MAC, absent and 0, ``1;2;3`` and ``1-3``, ``::`` forms."""
    return _meaning(key, one) == _meaning(key, other)


def _meaning(key: str, text: str | None) -> object:
    if key in _BOOLEAN:
        return text == "1"
    try:
        if key in _NUMBER:
            return float(text or 0)
        if text is None:
            return None
        if key == "trunks":
            return frozenset(vid for part in text.split(";") if part for vid in _vids(part))
        if key in _ADDRESS:
            return ipaddress.ip_interface(text)
    except ValueError:
        return text
    return text.lower() if key == "mac" else text


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
