"""The ``netN`` string a spec asks for: what is there with the specified fields changed, or a NIC that is new. Pure.

:func:`specified` is the other direction: the fields of a spec that say what a string says.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.nics import netn
from pve_evpn.domain.nics.fields import LXC, QEMU, is_virtio
from pve_evpn.domain.nics.netn import NetN, new_lxc, new_qemu
from pve_evpn.domain.state import GuestKind, GuestState, PveVersion, capabilities_of

#: A VM's NIC with this MTU has its bridge's (``qm`` documents it); for releases where that is not the default.
FOLLOW_BRIDGE = 1


def as_specified(config: NetN, spec: NicAttachmentSpec, vnet_id: str) -> NetN:
    """The fields the spec sets, everything else as it is."""
    fields: dict[str, str | None] = {"bridge": vnet_id}
    if spec.mac_address:
        fields["mac"] = spec.mac_address.upper()
    for name, key in (QEMU if config.kind == GuestKind.QEMU else LXC).items():
        value = getattr(spec, name, None)
        if value is not None:
            fields[key] = _text_of(value)
    if spec.trunks:
        fields["trunks"] = ";".join(str(vid) for vid in spec.trunks)
    return config.with_fields({key: text for key, text in fields.items() if not netn.same(key, config.get(key), text)})


def specified(config: NetN) -> dict[str, Any]:
    """The fields of a spec, as a manifest has them, that say what a NIC is; without guest, device and VNet.

    What our API cannot say is not there. Raises ValueError for a number that is none.
    """
    fields = {"mac_address": config.get("mac")}
    for name, key in (QEMU if config.kind == GuestKind.QEMU else LXC).items():
        fields[name] = config.get(key)
    if trunks := config.get("trunks"):
        fields["trunks"] = trunks
    return {_alias_of(name): _value_of(name, text) for name, text in fields.items() if text}


def new_vm_nic(spec: NicAttachmentSpec, version: PveVersion, mac: str | None) -> NetN:
    """What Proxmox needs beside the spec. ``mac``: the one it had, if it was lost."""
    config = new_qemu(spec.model or "virtio", mac)
    if not capabilities_of(version).nic_mtu_follows_bridge and is_virtio(config):
        return config.with_fields({"mtu": str(FOLLOW_BRIDGE)})
    return config


def new_container_nic(spec: NicAttachmentSpec, guest: GuestState, taken: Set[str], mac: str | None) -> NetN:
    """The same for a container, where a NIC has a name inside. ``taken``: by others that are not there yet."""
    used = {NetN.parse(guest.kind, text).get("name") for text in (guest.nics or {}).values()} | taken
    names = (f"eth{number}" for number in (int(spec.device.removeprefix("net")), *range(len(used) + 1)))
    return new_lxc(spec.name or next(name for name in names if name not in used), mac)


def _alias_of(name: str) -> str:
    return NicAttachmentSpec.model_fields[name].alias or name


def _value_of(name: str, text: str) -> Any:
    match name:
        case "firewall" | "link_down":
            return netn.is_true(text)
        case "mtu" | "queues" | "tag":
            return int(text)
        case "rate_limit_m_bps":
            return float(text)
        case "trunks":
            return netn.vlan_ids(text)
        case "mac_address":
            return text.lower()
    return text


def _text_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "1" if value else None
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
