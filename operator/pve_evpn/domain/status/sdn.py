"""The statuses of EvpnNodes and of what stands for an SDN object in Proxmox. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from pve_evpn.api.conditions import ConditionType, ManagedStatus, Reason, ReportedStatus
from pve_evpn.api.node import EvpnNodeSpec, EvpnNodeStatus
from pve_evpn.api.status import updated
from pve_evpn.api.types import ApiModel
from pve_evpn.api.zone import ZoneNode
from pve_evpn.domain.conditions import ConditionValue, from_problem, merge
from pve_evpn.domain.health.object_health import Health, unobserved
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.sdn import WRITTEN_AT_ONCE
from pve_evpn.domain.status.kind_parts import is_unwell, kind_part, node_rows
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
from pve_evpn.text import some_of

ManagedStatusT = TypeVar("ManagedStatusT", bound=ManagedStatus)


def sdn_status(resource: Resource[ApiModel, ManagedStatusT], decision: Decision, sync: SyncResult) -> ManagedStatusT:
    """The status of an object that stands for one in Proxmox."""
    health = sync.health.get(resource.key) or unobserved()
    rows = node_rows(decision, sync.state)
    programmed, retryable = _programmed(resource, decision, sync, rows)
    values = [
        accepted(resource, decision),
        programmed,
        health.operational if programmed.status else not_yet(health.operational),
        drifted(resource, decision),
        paused(resource, sync.desired),
        *effective(resource, sync, health),
    ]
    # Written after the fact only: what was never made must not count as ours.
    confirmed = decision.origin and decision.refused is None and not decision.missing
    programmed_hash = decision.fingerprint if decision.in_sync and decision.wanted else resource.status.programmed_hash
    identity = ManagedStatus(
        id=decision.id or None,
        origin=decision.origin.value if decision.origin and confirmed else resource.status.origin,
        programmed_hash=programmed_hash,
    )
    retryable = retryable and (decision.refused is None or decision.refused.retryable)
    return updated(
        resource.status,
        identity,
        kind_part(resource, decision, sync, rows),
        health.status,
        reported(resource, values, sync.now, retryable=retryable),
    )


def node_status(node: Resource[EvpnNodeSpec, EvpnNodeStatus], health: Health, now: datetime) -> EvpnNodeStatus:
    """The status of an EvpnNode: nothing is specified about it, so it is ready exactly when it is seen working."""
    value = health.operational
    conditions = merge(
        node.status.conditions,
        [ConditionValue(ConditionType.READY, value.status, value.reason, value.message), value],
        node.generation,
        now,
    )
    summary = ReportedStatus(observed_generation=node.generation, conditions=conditions)
    return updated(node.status, health.status, summary)


# --- conditions -------------------------------------------------------------------------------------------------


def _programmed(
    resource: Resource[Any], decision: Decision, sync: SyncResult, rows: Sequence[ZoneNode]
) -> tuple[ConditionValue, bool]:
    """``Programmed`` and whether waiting helps. The order of the questions is the order of causes."""
    type_, full = ConditionType.PROGRAMMED, not resource.key.namespace
    if decision.blocked:
        return from_problem(type_, decision.blocked, full=full), decision.blocked.retryable
    if decision.refused:
        return from_problem(type_, decision.refused, full=full), decision.refused.retryable
    if decision.waiting:
        return from_problem(type_, decision.waiting, full=full), decision.waiting.retryable
    at_once = decision.ref is not None and decision.ref.kind in WRITTEN_AT_ONCE
    if decision.in_sync and at_once:
        return ConditionValue(type_, True, Reason.PROGRAMMED, "written, which takes effect without an apply"), True
    if decision.in_sync:
        return _on_nodes(rows), True
    if failure := sync.failures.get(resource.key):
        return from_problem(type_, failure, full=full), failure.retryable
    if not decision.managed and not is_paused(resource, sync.desired):
        return ConditionValue(type_, False, Reason.FIELDS_DIFFER, f"observed only: {_differences(decision)}"), False
    if sync.held and not at_once:
        return from_problem(type_, sync.held, full=full), sync.held.retryable
    if decision.drift:
        return not_programmed_for_drift(decision, sync.desired)
    if is_paused(resource, sync.desired):
        message = f"paused, so this is not applied: {_differences(decision)}"
        return ConditionValue(type_, False, Reason.PENDING_APPLY, message), True
    message = f"not {'written' if at_once else 'applied'} yet: {_differences(decision)}"
    return ConditionValue(type_, False, Reason.PENDING_APPLY, message), True


def _differences(decision: Decision) -> str:
    """All that differs from Proxmox, or is not published there yet."""
    return "; ".join(decision.changes) or "what is staged in Proxmox"


def _on_nodes(rows: Sequence[ZoneNode]) -> ConditionValue:
    """Whether every expected node says that it has it; a controller has no status of its own per node."""
    type_ = ConditionType.PROGRAMMED
    unwell = [row for row in rows if is_unwell(row)]
    unknown = [row for row in rows if row.state == "Unknown"]
    if unwell:
        listed = some_of((f"{row.name}: {row.message or row.state.lower()}" for row in unwell), 3, "; ")
        return ConditionValue(type_, False, Reason.PARTIALLY_APPLIED, listed)
    if rows and len(unknown) == len(rows):
        return ConditionValue(type_, None, Reason.SOURCE_UNAVAILABLE, "no node answered")
    count = f" on {len(rows) - len(unknown)} of {len(rows)} nodes" if rows else ""
    return ConditionValue(type_, True, Reason.PROGRAMMED, f"applied{count}")
