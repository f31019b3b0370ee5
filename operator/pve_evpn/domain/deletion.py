"""What becomes of objects that are being deleted in Kubernetes.

The order of the questions matters: whether Proxmox has to be touched at all is asked before anything that could be
missing (credentials, a reachable cluster, complete lists), so that an object which needs no work in Proxmox never
hangs. A finalizer is released only when Proxmox no longer has the object in either copy, or policy leaves it there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.decisions import Decision, Delete, Finding, Step
from pve_evpn.domain.ids import proxmox_id
from pve_evpn.domain.observed import GuestInfo, Observed
from pve_evpn.domain.ownership import claimed_refs, known_refs
from pve_evpn.domain.resources import Desired, ObjectKey, Origin, Resource
from pve_evpn.domain.sdn import CREATION_ORDER, SdnKind, SdnRef

_SDN_KINDS = {"EvpnController": SdnKind.CONTROLLER, "EvpnZone": SdnKind.ZONE, "VNet": SdnKind.VNET}
_BRIDGE = re.compile(r"(?:^|,)bridge=([^,]+)")


@dataclass(frozen=True, slots=True)
class Deletions:
    """Decisions for the objects being deleted, and the steps for those that can go now."""

    decisions: Mapping[ObjectKey, Decision]
    steps: tuple[Step, ...]


def leaves_proxmox_alone(resource: Resource[Any]) -> bool:
    """Whether the object can go without a word to Proxmox: never created, orphaned, observed only, or forced."""
    if _left_on_purpose(resource):
        return True
    if resource.origin is None and not known_refs(resource):
        return True
    return getattr(resource.spec, "deletion_policy", None) is None and resource.origin is Origin.ADOPTED


def _left_on_purpose(resource: Resource[Any]) -> bool:
    """Whether somebody asked for it, by annotation or policy."""
    policies = (getattr(resource.spec, "management_policy", None), getattr(resource.spec, "deletion_policy", None))
    return resource.force_orphan or policies[0] == "ObserveOnly" or policies[1] == "Orphan"


def decide_deletion(
    desired: Desired,
    observed: Observed,
    decisions: Mapping[ObjectKey, Decision],
    journal: frozenset[SdnRef] = frozenset(),
    failures: Mapping[ObjectKey, Finding] = MappingProxyType({}),
) -> Deletions:
    """Decide for every controller, zone and VNet that is being deleted; children before parents.

    ``failures``: what Proxmox refused not long ago; its turn has not come again.
    """
    decided: dict[ObjectKey, Decision] = {}
    steps: list[Step] = []
    going: set[SdnRef] = set()
    for kind in reversed(CREATION_ORDER):
        for resource in desired:
            if not resource.deleting or _SDN_KINDS.get(resource.key.kind) is not kind:
                continue
            decision, own_steps = _decide(resource, kind, desired, observed, going, journal, failures)
            decided[resource.key] = decision
            steps += own_steps
            going |= {step.ref for step in own_steps}
    return Deletions(decided, tuple(steps))


def _decide(
    resource: Resource[Any],
    kind: SdnKind,
    desired: Desired,
    observed: Observed,
    going: set[SdnRef],
    journal: frozenset[SdnRef],
    failures: Mapping[ObjectKey, Finding],
) -> tuple[Decision, list[Step]]:
    ref = SdnRef(kind, proxmox_id(resource))
    origins = claimed_refs(resource, observed.sdn, journal)
    decision = Decision(resource.key, id=ref.id, origin=resource.origin, origins=origins)
    if finding := failures.get(resource.key):
        return replace(decision, blocked=finding), []
    # What an interrupted transaction was creating has no origin yet, and still is ours to remove.
    unrecorded = ref in origins and resource.origin is None and not _left_on_purpose(resource)
    observe_only = getattr(desired.cluster.spec, "management_policy", None) == "ObserveOnly"
    if observe_only or (leaves_proxmox_alone(resource) and not unrecorded):
        return replace(decision, release=True), []
    sdn = observed.sdn
    refs = [r for r in origins if origins[r] is Origin.CREATED or r == ref]
    left = [r for r in refs if r in sdn.edited or r in sdn.running]
    if not left and sdn.complete:
        return replace(decision, release=True, in_sync=True), []
    if finding := _hindrance(resource, ref, desired, observed, going | set(refs)):
        return replace(decision, blocked=finding), []
    steps = [Delete(r, sdn.edited[r].type, sdn.edited[r].props, sdn.edited[r].parent) for r in left if r in sdn.edited]
    return decision, sorted(steps, key=lambda s: s.ref.kind is not SdnKind.SUBNET)


def _hindrance(
    resource: Resource[Any], ref: SdnRef, desired: Desired, observed: Observed, going: set[SdnRef]
) -> Finding | None:
    """Why the object cannot be taken out of Proxmox now, or None."""
    if resource.paused or desired.paused:
        message = f"paused: remove the annotation, or set deletionPolicy: Orphan to leave {ref} in Proxmox"
        return Finding(Reason.DELETION_BLOCKED, message)
    if not desired.complete:
        return Finding(Reason.PENDING, "waits until everything has been listed", heals=True)
    if not observed.sdn.complete:
        message = "the credentials may not see everything below /sdn (SDN.Audit), so it is not certain what is there"
        return Finding(Reason.DELETION_BLOCKED, message, heals=True)
    children = [child for child in observed.sdn.children_of(ref) if child not in going]
    if children:
        return Finding(Reason.DELETION_BLOCKED, f"{ref} is still used by {_some(map(str, children))}", heals=True)
    if ref.kind is SdnKind.VNET and observed.guests is None:
        return Finding(Reason.PENDING, "waits until the guests have been read", heals=True)
    if ref.kind is SdnKind.VNET and (users := guests_on(observed, ref.id)):
        message = f"{ref} is still used by {_some(users)}; connect them to another bridge first"
        return Finding(Reason.DELETION_BLOCKED, message, heals=True)
    if ref.kind is SdnKind.VNET and (unread := guests_unread(observed)):
        message = f"cannot tell whether {_some(unread)} still uses {ref}: its configuration could not be read"
        return Finding(Reason.DELETION_BLOCKED, message, heals=True)
    return None


def guests_on(observed: Observed, bridge: str) -> list[str]:
    """The NICs connected to ``bridge``, in words: ``VM 100 (web) net0 on pve4``."""
    users = []
    for guest in sorted((observed.guests or {}).values(), key=lambda g: g.vmid):
        # What is to change at the next start is still plugged in until then.
        live = ((device, text) for device, text in guest.pending.items() if text)
        for device, config in sorted({*(guest.nics or {}).items(), *live}):
            match = _BRIDGE.search(config)
            if match and match.group(1) == bridge:
                users.append(f"{_label(guest)} {device} on {guest.node}")
    return users


def guests_unread(observed: Observed) -> list[str]:
    """Guests whose NICs are not known; their node may be offline, but they come back with it."""
    unread = [g for g in (observed.guests or {}).values() if g.nics is None and not g.template]
    return [f"{_label(guest)} on {guest.node}" for guest in sorted(unread, key=lambda g: g.vmid)]


def _label(guest: GuestInfo) -> str:
    word = "VM" if guest.kind == "qemu" else "container"
    return f"{word} {guest.vmid}" + (f" ({guest.name})" if guest.name else "")


def _some(items: Any, most: int = 5) -> str:
    listed = list(items)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
