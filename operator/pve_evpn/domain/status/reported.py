"""What objects of every kind report: the conditions that do not depend on the kind, and their summary. Pure.

A status depends on what a sync found and on the status before (for times, and for what must survive a restart), never
on how many syncs there were: the same state gives the same status, and nothing has to be written. Each builder lays
what it knows over the status before; what it does not know stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, Reason, ReportedStatus
from pve_evpn.api.zone import EvpnZoneStatus
from pve_evpn.domain.conditions import ConditionValue, Problem, from_problem, merge, progress, ready
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.nics import NicDecision
from pve_evpn.domain.objects import Desired, Resource
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.status.sync_result import SyncResult
from pve_evpn.text import some_of

ReportedStatusT = TypeVar("ReportedStatusT", bound=ReportedStatus)
_NOT_CORRECTED = "not corrected, because spec.drift of the ProxmoxCluster is Report"
_DECISIVE = (ConditionType.ACCEPTED, ConditionType.PROGRAMMED, ConditionType.OPERATIONAL)


def is_drifted(resource: Resource[Any]) -> bool:
    """Whether the last report said so."""
    return bool(resource.status.says(ConditionType.DRIFTED) == "True")


def was_reported(resource: Resource[Any]) -> bool:
    """Whether more than ``Pending`` has been reported of the present generation."""
    if resource.status.observed_generation != resource.generation:
        return False
    return bool(resource.status.reason(ConditionType.READY) != Reason.PENDING)


def reported(
    resource: Resource[Any],
    values: Sequence[ConditionValue],
    now: datetime,
    *,
    retryable: bool,
    decisive: Sequence[ConditionType] = _DECISIVE,
) -> ReportedStatus:
    """What every kind reports: ``Ready`` first, the given conditions, kstatus' pair, and which request it is about.

    ``Operational`` is left out where the kind does not have it: it would be Unknown for ever.
    """
    if ConditionType.OPERATIONAL not in kinds.KINDS[resource.key.kind].conditions:
        values = [value for value in values if value.type is not ConditionType.OPERATIONAL]
    summary = ready(values, decisive)
    conditions = merge(
        resource.status.conditions,
        [summary, *values, *progress(summary, retryable=retryable)],
        resource.generation,
        now,
    )
    return ReportedStatus(
        observed_generation=resource.generation,
        last_handled_reconcile_at=resource.annotations.get(kinds.ANNOTATION_RECONCILE),
        conditions=conditions,
    )


def not_yet(state: ConditionValue) -> ConditionValue:
    """What is not programmed cannot be judged in operation."""
    return ConditionValue(state.type, None, Reason.PENDING, "not programmed yet")


def paused(resource: Resource[Any], desired: Desired | None) -> ConditionValue:
    """``Paused``: by the object's own annotation or by its cluster's."""
    if resource.paused:
        return ConditionValue(
            ConditionType.PAUSED, True, Reason.ANNOTATION_PAUSED, "nothing is written for this object"
        )
    if desired is not None and desired.paused:
        return ConditionValue(ConditionType.PAUSED, True, Reason.CLUSTER_PAUSED, "nothing is written for this cluster")
    return ConditionValue(ConditionType.PAUSED, False, Reason.NOT_PAUSED)


def effective(resource: Resource[Any], sync: SyncResult, health: Health | None = None) -> list[ConditionValue]:
    """``Effective``, where it is False. What the objects show comes before what the nodes do."""
    problem = sync.ineffective.get(resource.key) or _exit_problem(resource, health)
    return [from_problem(ConditionType.EFFECTIVE, problem)] if problem and not resource.deleting else []


def _exit_problem(resource: Resource[Any], health: Health | None) -> Problem | None:
    """What the exit nodes lose, by this observation; by the one before where this one shows nothing new of them."""
    seen = health.status if health else None
    status = seen if isinstance(seen, EvpnZoneStatus) and "exit" in seen.model_fields_set else resource.status
    if not isinstance(status, EvpnZoneStatus) or status.exit is None or not status.exit.problems:
        return None
    return Problem(Reason.EXIT_IMPAIRED, f"exitNodes: {some_of(status.exit.problems, 3, '; ')}")


def is_paused(resource: Resource[Any], desired: Desired) -> bool:
    """Whether the object or its cluster asks for a pause."""
    return resource.paused or desired.paused


def accepted(resource: Resource[Any], decision: Decision | NicDecision) -> ConditionValue:
    """``Accepted``: False with the reason why the object is refused."""
    if decision.refused:
        return from_problem(ConditionType.ACCEPTED, decision.refused, full=not resource.key.namespace)
    return ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED)


def drifted(resource: Resource[Any], decision: Decision | NicDecision) -> ConditionValue:
    """``Drifted``: whether another client changed the object since it was last programmed."""
    if not decision.drift:
        return ConditionValue(ConditionType.DRIFTED, False, Reason.IN_SYNC)
    if decision.waiting and decision.waiting.reason is Reason.DRIFT_FIGHT:
        return from_problem(ConditionType.DRIFTED, decision.waiting, status=True, full=not resource.key.namespace)
    return ConditionValue(ConditionType.DRIFTED, True, _drift_reason(decision), "; ".join(decision.drift))


def not_programmed_for_drift(decision: Decision | NicDecision, desired: Desired) -> tuple[ConditionValue, bool]:
    """``Programmed`` of an object that drifted, and whether waiting helps: not where drift is only reported."""
    report_only = getattr(desired.cluster.spec, "drift", None) == "Report"
    message = "; ".join(decision.drift) + (f"; {_NOT_CORRECTED}" if report_only else "")
    return ConditionValue(ConditionType.PROGRAMMED, False, _drift_reason(decision), message), not report_only


def _drift_reason(decision: Decision | NicDecision) -> Reason:
    return Reason.MISSING_EXTERNALLY if decision.missing else Reason.FIELDS_DIFFER
