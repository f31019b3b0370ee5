"""Events about what became of an object in Proxmox: created, updated, adopted, deleted, released.

Each belongs to a change that is written down in the object at the same time (its status, its finalizer), so that a
restart or the next sync does not record it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.events import EventReason
from pve_evpn.domain.nics import NicDecision
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.plan.deletion import why_left
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.plan.outcome import Outcome, Result
from pve_evpn.domain.plan.ownership import known_in_words
from pve_evpn.engine.journal import JournalEntry
from pve_evpn.text import some_of

Event = tuple[EventReason, str]

#: Steps that an Event names.
_SHOWN = 8
_LIVE = (Outcome.APPLIED, Outcome.PARTIALLY_APPLIED)


@dataclass(frozen=True, slots=True)
class Applied:
    """What transactions made live since the last report.

    ``steps``: those of this sync, in words, by object. ``unreported``: objects that a transaction changed which ended
    before it was reported: its steps are not known any more.
    """

    steps: Mapping[ObjectKey, Sequence[str]] = field(default_factory=dict)
    unreported: Container[ObjectKey] = ()


NOTHING = Applied()


def applied(result: Result | None, journal: JournalEntry) -> Applied:
    """By the result of this sync's transaction, without what took back a foreign change, and by the journal."""
    found: defaultdict[ObjectKey, list[str]] = defaultdict(list)
    if result is None or result.outcome not in _LIVE:
        return Applied(unreported=journal.changed)
    owners = result.plan.owners()
    for step in result.plan.steps:
        key = owners.get(step.ref)
        if key and not result.plan.decisions[key].drift:
            found[key].append(str(step))
    return Applied(found, journal.changed)


def programmed(before: ManagedStatus, now: ManagedStatus, decision: Decision, applied: Applied) -> Event | None:
    """The Event about an object that stays, where the operator made it as its spec says."""
    words = some_of(applied.steps.get(decision.key, ()), most=_SHOWN, separator="; ")
    is_new = not before.programmed_hash and now.programmed_hash
    if is_new and decision.managed and now.origin == "Created":
        return EventReason.CREATED, words or f"{decision.ref} is in Proxmox"
    if words and before.programmed_hash:
        return EventReason.UPDATED, words
    unreported = decision.key in applied.unreported
    if unreported and before.programmed_hash and now.programmed_hash not in (None, before.programmed_hash):
        return EventReason.UPDATED, f"{decision.ref} is as specified; the operator was interrupted and lost the steps"
    return None


def adopted(decision: Decision) -> Event:
    """The Event about an object of Proxmox that the operator takes over now."""
    changes = some_of(decision.changes, most=_SHOWN, separator="; ")
    return EventReason.ADOPTED, f"took over {decision.ref}" + (f", which differs: {changes}" if changes else "")


def nic_created(decision: NicDecision) -> Event:
    """The Event about a NIC that the operator put on its VNet for the first time; Attached says what it was before."""
    return EventReason.CREATED, f"{decision.device} of {_guest_in_words(decision)} is on {decision.vnet_id}"


def nic_adopted(decision: NicDecision) -> Event:
    """The Event about a NIC that was on its VNet already."""
    label = _guest_in_words(decision)
    return EventReason.ADOPTED, f"took over {decision.device} of {label}, which is on {decision.vnet_id} already"


def gone(resource: Resource[Any], decision: Decision) -> Event | None:
    """The Event about a controller, zone or VNet that is released; None where it never had anything in Proxmox."""
    known = known_in_words(resource)
    if not known:
        return None
    if decision.in_sync:
        return EventReason.DELETED, f"gone from Proxmox: {known}"
    return left_behind(resource)


def left_behind(resource: Resource[Any]) -> Event | None:
    """The Event about an object that is released and leaves what it has in Proxmox there."""
    known = _nic_in_words(resource) if resource.key.kind == "NicAttachment" else known_in_words(resource)
    return (EventReason.RELEASED, f"left in Proxmox, because {why_left(resource)}: {known}") if known else None


def nic_gone(nic: Resource[Any], decision: NicDecision) -> Event | None:
    """The Event about a NicAttachment that is released; None where it never was connected."""
    if decision.left:
        return EventReason.ORPHANED, f"left in Proxmox: {decision.left}"
    if decision.kept:
        return left_behind(nic)
    known = _nic_in_words(nic)
    return (EventReason.DELETED, f"taken back: {known}") if known else None


def _guest_in_words(decision: NicDecision) -> str:
    return decision.guest.label if decision.guest else "its guest"


def _nic_in_words(nic: Resource[Any]) -> str:
    """The NIC that the status says was attached; empty if none was."""
    status = nic.status
    if not status.origin or not status.vnet:
        return ""
    return f"{status.device or 'the NIC'} of guest {status.vmid} on {status.vnet}"
