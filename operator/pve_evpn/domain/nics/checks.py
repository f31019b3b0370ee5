"""What a NIC of each kind of guest can be, and what an EVPN VNet can carry. Pure; Proxmox checks most of it too late.

Proxmox accepts a VLAN tag, or an MTU above the bridge's, when the configuration is written, and fails when the NIC is
plugged in or the guest is started.
"""

from __future__ import annotations

from pve_evpn.api.conditions import Reason
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics.guests import label
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.sdn import Props
from pve_evpn.domain.state import GuestKind, GuestState

#: Our field names to Proxmox' keys inside a netN string, by kind of guest.
_COMMON = {
    "firewall": "firewall",
    "link_down": "link_down",
    "mtu": "mtu",
    "rate_limit_m_bps": "rate",
    "tag": "tag",
}
QEMU = {**_COMMON, "model": "model", "queues": "queues"}
LXC = {**_COMMON, "name": "name", "ip": "ip", "gw": "gw", "ip6": "ip6", "gw6": "gw6"}
#: Proxmox' keys to the names our API has for them, where they differ.
_API_NAME = {"bridge": "vnetRef", "mac": "macAddress", "link_down": "linkDown", "rate": "rateLimitMBps"}

#: Proxmox' own choice for EVPN zones that set none.
DEFAULT_MTU = 1450
#: A NIC with this MTU has its bridge's (``qm`` documents it); for releases where that is not the default.
FOLLOW_BRIDGE = 1
_LXC_LEAST_MTU, _QEMU_MOST_MTU = 64, 65520


def api_name(key: str) -> str:
    """What our API calls a field of the netN string."""
    return _API_NAME.get(key, key)


def wrong_kind(spec: NicAttachmentSpec, guest: GuestState) -> Problem | None:
    """Fields of the other kind of guest; the API can refuse them only where ``type`` is set."""
    mine, other = (QEMU, LXC) if guest.kind == GuestKind.QEMU else (LXC, QEMU)
    for name in other:
        if name not in mine and getattr(spec, name, None) is not None:
            return Problem(Reason.INVALID_SPEC, f"{name}: {label(guest)} cannot have it")
    least, most = (1, _QEMU_MOST_MTU) if guest.kind == GuestKind.QEMU else (_LXC_LEAST_MTU, 65535)
    if spec.mtu is not None and not least <= spec.mtu <= most:
        return Problem(Reason.INVALID_SPEC, f"mtu: {label(guest)} can have {least} to {most}")
    return None


def vlan(spec: NicAttachmentSpec, want: NetN) -> Problem | None:
    """Proxmox refuses VLANs on EVPN VNets when the NIC is plugged, which is too late."""
    where = next((key for key in ("tag", "trunks") if want.get(key)), None)
    if where is None:
        return None
    if getattr(spec, where):
        return Problem(Reason.INVALID_SPEC, f"{where}: an EVPN VNet carries no VLAN tags")
    message = f"the NIC has {where}={want.get(where)}, and an EVPN VNet carries no VLAN tags: remove it in Proxmox"
    return Problem(Reason.NIC_CONFLICT, message, retryable=True)


def mtu(spec: NicAttachmentSpec, want: NetN, zone_id: str, zone: Props) -> Problem | None:
    """A VM whose MTU is above its bridge's does not start, and a container loses what is too long."""
    text = want.get("mtu")
    if not zone or not text or not text.isdecimal() or (want.kind == GuestKind.QEMU and not is_virtio(want)):
        return None
    most = int(str(zone.get("mtu") or DEFAULT_MTU))
    if int(text) <= most:
        return None
    why = "" if "mtu" in zone else ", Proxmox' default, because the zone sets none"
    whose = "mtu:" if spec.mtu is not None else "the NIC's MTU"
    return Problem(
        Reason.MTU_TOO_BIG, f"{whose} {text} is more than zone {zone_id} carries ({most}{why})", retryable=True
    )


def is_virtio(config: NetN) -> bool:
    return config.kind == GuestKind.QEMU and config.get("model") == "virtio"
