"""The ``netN`` string of a guest: read, change some fields, write back everything else as it was.

QEMU writes ``virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1``, containers ``name=eth0,bridge=vmbr0,hwaddr=...``.
Unknown keys, their order and the shorthand for model and MAC survive. The MAC is never left out: Proxmox invents a
new one on every write that has none.
"""

from __future__ import annotations

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
        if key in ("mac", "model") and model is not None:
            new = (model, value) if key == "mac" else (value or model, mac)
            return NetN(self.kind, tuple(new if name == model else (name, text) for name, text in self.parts))
        if key == "mac":
            key = _MAC_KEY[self.kind]
        if value is None:
            return NetN(self.kind, tuple(part for part in self.parts if part[0] != key))
        if self._plain(key) is None:
            return NetN(self.kind, (*self.parts, (key, value)))
        return NetN(self.kind, tuple((name, value if name == key else text) for name, text in self.parts))


def new_qemu(model: str, mac: str | None) -> NetN:
    """A NIC that is not there yet; without a MAC Proxmox chooses one, once."""
    return NetN("qemu", ((model, mac),))


def new_lxc(name: str, mac: str | None) -> NetN:
    """A container's interface that is not there yet; without a MAC Proxmox chooses one, once."""
    address = (("hwaddr", mac),) if mac else ()
    return NetN("lxc", (("name", name), *address, ("type", "veth")))
