"""Why a NIC cannot be on a VNet, or cannot be put there yet: a list of named checks. Pure.

Proxmox accepts a VLAN tag, an MTU above the bridge's or a bridge that is not there when the configuration is written,
and fails when the NIC is plugged in or the guest is started. So all of it is checked before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pve_evpn.api.conditions import Reason
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics.fields import LXC, QEMU, is_virtio
from pve_evpn.domain.nics.inventory import NicInventory
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.sdn import Props, SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState, GuestKind, GuestState

#: Proxmox' own choice for EVPN zones that set none.
DEFAULT_MTU = 1450
_LXC_LEAST_MTU, _QEMU_MOST_MTU = 64, 65520


@dataclass(frozen=True, slots=True)
class Attachment:
    """One NIC that is to be on a VNet, and what the checks ask about it.

    ``actual`` is the NIC as it is, None where it is not there; ``desired`` as it is to be. ``zone`` has the properties
    of the running zone, which are empty before the zone runs.
    """

    nic: Resource[NicAttachmentSpec]
    spec: NicAttachmentSpec
    guest: GuestState
    actual: NetN | None
    desired: NetN
    vnet: Decision
    zone_id: str
    zone: Props
    state: ClusterState
    inventory: NicInventory


Check = Callable[[Attachment], Problem | None]


def first_problem(checks: Iterable[Check], attachment: Attachment) -> Problem | None:
    """The first problem that a list of checks finds. A check may rely on those before it."""
    return next((problem for check in checks if (problem := check(attachment))), None)


# --- refusals -------------------------------------------------------------------------------------------------------


def field_of_other_kind(attachment: Attachment) -> Problem | None:
    """Fields of the other kind of guest. The API server can refuse them only where ``type`` is set."""
    mine, other = (QEMU, LXC) if attachment.guest.kind == GuestKind.QEMU else (LXC, QEMU)
    for name in other:
        if name not in mine and getattr(attachment.spec, name, None) is not None:
            return Problem(Reason.INVALID_SPEC, f"{name}: {attachment.guest.label} cannot have it")
    return None


def mtu_out_of_range(attachment: Attachment) -> Problem | None:
    """The ranges differ between kinds of guest; 1 means the bridge's MTU, for VMs only."""
    is_vm = attachment.guest.kind == GuestKind.QEMU
    least, most = (1, _QEMU_MOST_MTU) if is_vm else (_LXC_LEAST_MTU, 65535)
    mtu = attachment.spec.mtu
    if mtu is None or least <= mtu <= most:
        return None
    return Problem(Reason.INVALID_SPEC, f"mtu: {attachment.guest.label} can have {least} to {most}")


def vlan_on_evpn(attachment: Attachment) -> Problem | None:
    """Proxmox refuses VLANs on EVPN VNets when the NIC is plugged in, which is too late."""
    where = next((key for key in ("tag", "trunks") if attachment.desired.get(key)), None)
    if where is None:
        return None
    if getattr(attachment.spec, where):
        return Problem(Reason.INVALID_SPEC, f"{where}: an EVPN VNet carries no VLAN tags")
    text = f"{where}={attachment.desired.get(where)}"
    message = f"the NIC has {text}, and an EVPN VNet carries no VLAN tags: remove it in Proxmox"
    return Problem(Reason.NIC_CONFLICT, message)


def mtu_above_zone(attachment: Attachment) -> Problem | None:
    """A VM whose MTU is above its bridge's does not start, and a container loses the packets that are too long."""
    desired, zone, text = attachment.desired, attachment.zone, attachment.desired.get("mtu")
    if not zone or not text or not text.isdecimal() or (desired.kind == GuestKind.QEMU and not is_virtio(desired)):
        return None
    most = int(str(zone.get("mtu") or DEFAULT_MTU))
    if int(text) <= most:
        return None
    why = "" if "mtu" in zone else ", Proxmox' default, because the zone sets none"
    whose = "mtu:" if attachment.spec.mtu is not None else "the NIC's MTU"
    message = f"{whose} {text} is more than zone {attachment.zone_id} carries ({most}{why})"
    return Problem(Reason.MTU_TOO_BIG, message)


def mac_of_other_attachment(attachment: Attachment) -> Problem | None:
    """Two NICs with one MAC in one VNet make the MAC flap between their nodes."""
    mac, key = _mac(attachment), attachment.nic.key
    if not mac:
        return None
    holder = attachment.inventory.claim_mac(attachment.vnet.id, mac, key)
    return None if holder == key else _mac_in_use(attachment, shown_to(holder, key))


def mac_of_other_guest(attachment: Attachment) -> Problem | None:
    """The same for a NIC on the VNet's bridge that another object has, or none. A younger object gives way."""
    mac, inventory, key = _mac(attachment), attachment.inventory, attachment.nic.key
    is_connected = attachment.actual is not None and attachment.actual.get("bridge") == attachment.vnet.id
    for guest, device in inventory.with_mac(attachment.vnet.id, mac):
        owner = inventory.owner(guest, device)
        if (guest.vmid, device) == (attachment.guest.vmid, attachment.spec.device):
            continue
        if is_connected and owner and inventory.is_older(key, owner):
            continue
        may_know = inventory.permits(key.namespace, guest)
        holder = f"{device} of {guest.label}" if may_know else "a guest this namespace may not use"
        return _mac_in_use(attachment, holder)
    return None


def _mac(attachment: Attachment) -> str:
    return (attachment.desired.get("mac") or "").lower()


def _mac_in_use(attachment: Attachment, holder: str) -> Problem:
    message = f"macAddress: {_mac(attachment)} is already used in VNet {attachment.vnet.id} by {holder}"
    return Problem(Reason.NIC_CONFLICT, message)


def limit_exceeded(attachment: Attachment) -> Problem | None:
    """The namespace has not more NICs in the zone than the zone says; older objects count first."""
    namespace = attachment.nic.key.namespace
    limit = attachment.inventory.count(attachment.zone_id, namespace)
    if limit is None:
        return None
    message = f"namespace {namespace} may have {limit} NICs in this zone; older NicAttachments have them"
    return Problem(Reason.LIMIT_EXCEEDED, message)


#: Why the NIC can never be on that VNet as specified. Nothing is written.
REFUSALS: tuple[Check, ...] = (
    field_of_other_kind,
    mtu_out_of_range,
    vlan_on_evpn,
    mtu_above_zone,
    mac_of_other_attachment,
    mac_of_other_guest,
    limit_exceeded,
)


# --- what a write waits for -----------------------------------------------------------------------------------------


def vnet_not_programmed(attachment: Attachment) -> Problem | None:
    """A NIC on a bridge that is not there fails at the guest's next start, so the VNet comes first."""
    vnet = attachment.vnet
    if vnet.in_sync:
        return None
    why = vnet.refused.message if vnet.refused else "it is not programmed yet"
    return Problem(Reason.WAITING_FOR_DEPENDENCIES, f"waits for {vnet.key}: {why}", retryable=True)


def guest_outside_zone(attachment: Attachment) -> Problem | None:
    """A zone may be restricted to some nodes; the bridge is on those alone."""
    guest, zone_id = attachment.guest, attachment.zone_id
    running = attachment.state.sdn.running.get(SdnRef(SdnKind.ZONE, zone_id))
    nodes = running.props.get("nodes") if running else None
    if not nodes or guest.node in nodes:
        return None
    message = f"{guest.label} is on node {guest.node}, where zone {zone_id} is not (nodes: {', '.join(nodes)})"
    return Problem(Reason.NODE_NOT_IN_ZONE, message, retryable=True)


def zone_not_available(attachment: Attachment) -> Problem | None:
    """The guest's node must have loaded the zone, and must be able to say so."""
    guest, zone_id = attachment.guest, attachment.zone_id
    node = attachment.state.nodes.get(guest.node)
    if node is None or node.zones is None:
        message = f"node {guest.node} cannot be asked whether VNet {attachment.vnet.id} is there"
        return Problem(Reason.WAITING_FOR_DEPENDENCIES, message, retryable=True)
    status = node.zones.get(zone_id, "absent")
    if status == "available":
        return None
    message = f"zone {zone_id} is {status} on node {guest.node}, where {guest.label} is"
    return Problem(Reason.WAITING_FOR_DEPENDENCIES, message, retryable=True)


def guest_locked(attachment: Attachment) -> Problem | None:
    """Proxmox refuses to change a guest while a backup, a migration or a snapshot holds its lock."""
    guest = attachment.guest
    if not guest.lock:
        return None
    message = f"{guest.label} is locked ({guest.lock}); its NIC is written when the lock is gone"
    return Problem(Reason.GUEST_LOCKED, message, retryable=True)


def string_refused(attachment: Attachment) -> Problem | None:
    """What is in the configuration already may be something Proxmox refuses, and would with every write."""
    if (refusal := attachment.desired.refusal()) is None:
        return None
    message = (
        f"Proxmox would refuse {attachment.spec.device} of {attachment.guest.label} ({refusal}): correct it in the "
        "guest's configuration"
    )
    return Problem(Reason.NIC_CONFLICT, message)


#: Why the NIC is not written yet.
WAITS: tuple[Check, ...] = (vnet_not_programmed, guest_outside_zone, zone_not_available, string_refused, guest_locked)


def shown_to(holder: ObjectKey, asking: ObjectKey) -> str:
    """Another object by name, unless it is in a namespace that is none of the asker's business."""
    return str(holder) if holder.namespace == asking.namespace else "a NicAttachment of another namespace"
