"""The status of a NicAttachment, from the decision about it and what was observed. Pure.

Some of it is memory as well as report (the guest, the VNet, the bridge it came from, its origin): what a sync does not
know stays as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.nic import NicAttachmentSpec, NicAttachmentStatus
from pve_evpn.api.status import updated
from pve_evpn.domain.conditions import ConditionValue, from_problem
from pve_evpn.domain.health.object_health import Health, unobserved
from pve_evpn.domain.nics import NicDecision
from pve_evpn.domain.nics.guests import attached_to
from pve_evpn.domain.nics.pins import REMEDY, PinState
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.status.reported import (
    accepted,
    drifted,
    effective,
    is_paused,
    not_programmed_for_drift,
    not_yet,
    paused,
    reported,
)
from pve_evpn.domain.status.sync_result import SyncResult


def nic_status(
    nic: Resource[NicAttachmentSpec, NicAttachmentStatus], decision: NicDecision, sync: SyncResult
) -> NicAttachmentStatus:
    """The status of a NicAttachment."""
    programmed, retryable = _programmed(nic, decision, sync)
    health = sync.health.get(nic.key) if programmed.status or decision.guest else _UNSEEN
    health = _with_remedy(nic, health or unobserved(), sync.pins.get(nic.key))
    values = [
        accepted(nic, decision),
        programmed,
        health.operational if programmed.status else not_yet(health.operational),
        drifted(nic, decision),
        paused(nic, sync.desired),
        *effective(nic, sync),
    ]
    retryable = retryable and (decision.refused is None or decision.refused.retryable)
    return updated(
        nic.status,
        _place(nic, decision),
        _memory(nic, decision),
        _pin(sync.pins.get(nic.key)),
        health.status,
        reported(nic, values, sync.now, retryable=retryable),
    )


def _with_remedy(nic: Resource[Any], health: Health, pin: PinState | None) -> Health:
    """A silent host can be kept advertised: the message says how, unless the spec asks for it already."""
    value = health.operational
    asked = getattr(nic.spec, "silent_host", None) == "Pin"
    if value.reason not in (Reason.SILENT, Reason.NEVER_SEEN) or asked or (pin and pin.pinned):
        return health
    return replace(health, operational=replace(value, message=f"{value.message}; {REMEDY}"))


#: Of a guest that is not there, or not for this object to see, nothing is shown that was seen once.
_UNSEEN = Health(
    ConditionValue(ConditionType.OPERATIONAL, None, Reason.PENDING),
    NicAttachmentStatus(evpn=None, source=None, observed_at=None),
)


def _memory(nic: Resource[Any], decision: NicDecision) -> NicAttachmentStatus:
    """What must survive a restart, and must not be mistaken for another guest's."""
    if decision.attached and not decision.refused:
        origin = decision.origin.value if decision.origin else None
        return NicAttachmentStatus(origin=origin, previous_bridge=decision.previous_bridge)
    if _elsewhere(nic, decision):
        return NicAttachmentStatus(origin=None, previous_bridge=None)
    return NicAttachmentStatus()


def _elsewhere(nic: Resource[Any], decision: NicDecision) -> bool:
    """Whether the spec means another guest now than the one that was attached."""
    return decision.guest is not None and attached_to(nic) not in (None, decision.guest.vmid)


def ahead_of_write(nic: Resource[NicAttachmentSpec, NicAttachmentStatus], decision: NicDecision) -> NicAttachmentStatus:
    """The status to write before the guest is written: what must not be forgotten if that is interrupted."""
    assert decision.guest is not None
    return updated(
        nic.status,
        NicAttachmentStatus(
            vmid=decision.guest.vmid,
            vnet=decision.vnet_id,
            origin=decision.origin.value if decision.origin else None,
            previous_bridge=decision.previous_bridge,
            mac_address=decision.mac.lower() if decision.mac else nic.status.mac_address,
        ),
    )


def _place(nic: Resource[NicAttachmentSpec, NicAttachmentStatus], decision: NicDecision) -> NicAttachmentStatus:
    guest, known, before = decision.guest, not _elsewhere(nic, decision), nic.status
    named = nic.spec.guest if nic.spec else None
    return NicAttachmentStatus(
        vmid=guest.vmid if guest else before.vmid or (named.vmid if named else None),
        guest_name=(guest.name or None) if guest else before.guest_name or (named.name if named else None),
        node=guest.node if guest else (None if decision.refused else before.node),
        device=decision.device or None,
        mac_address=(decision.mac or "").lower() or (before.mac_address if known else None),
        vnet=decision.vnet_id if decision.in_sync else (before.vnet if known else None),
        restart_required=list(decision.restart) or None,
    )


def _pin(state: PinState | None) -> NicAttachmentStatus:
    if state is None:
        return NicAttachmentStatus(pinned=None, pin=None)
    return NicAttachmentStatus(pinned=state.pinned, pin=state.pin.status() if state.pin else None)


def _programmed(nic: Resource[Any], decision: NicDecision, sync: SyncResult) -> tuple[ConditionValue, bool]:
    type_ = ConditionType.PROGRAMMED
    pin = sync.pins.get(nic.key)
    if nic.deleting and pin and pin.holds:
        return ConditionValue(type_, False, Reason.DELETION_BLOCKED, pin.note), True
    address = sync.addresses.get(nic.key)
    if nic.deleting and address and not decision.blocked:
        return from_problem(type_, address), True
    for problem in (decision.blocked, decision.refused, decision.misplaced, decision.waiting):
        if problem:
            return from_problem(type_, problem), problem.retryable
    failure = sync.failures.get(nic.key)
    if decision.restart:
        message = _restart_message(decision, failure.message if failure else "")
        return ConditionValue(type_, False, Reason.RESTART_REQUIRED, message), True
    if decision.in_sync and address:
        return from_problem(type_, address), address.retryable
    if decision.in_sync:
        notes = "".join(f"; {note}" for note in (*decision.warnings, pin.note if pin else "") if note)
        return ConditionValue(type_, True, Reason.PROGRAMMED, f"connected to {decision.vnet_id}{notes}"), True
    if failure:
        return from_problem(type_, failure), failure.retryable
    changes = "; ".join(decision.changes)
    if not decision.managed and not is_paused(nic, sync.desired):
        return ConditionValue(type_, False, Reason.FIELDS_DIFFER, f"observed only: {changes}"), False
    if decision.drift:
        return not_programmed_for_drift(decision, sync.desired)
    if is_paused(nic, sync.desired):
        return ConditionValue(type_, False, Reason.PENDING_APPLY, f"paused, so this is not written: {changes}"), True
    return ConditionValue(type_, False, Reason.PENDING_APPLY, f"not written yet: {changes}"), True


def _restart_message(decision: NicDecision, failure: str) -> str:
    assert decision.guest is not None
    what = "the NIC" if decision.restart == ("device",) else ", ".join(decision.restart)
    said = f" (Proxmox: {failure})" if failure else ""
    guest = decision.guest.label
    return f"{what} of {decision.device} is written and takes effect when {guest} is stopped and started{said}"
