"""The statuses of objects that Proxmox is not asked about: it cannot be reached, or no cluster has them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, Reason, ReportedStatus
from pve_evpn.api.status import updated
from pve_evpn.api.types import ApiModel
from pve_evpn.api.vnet import VNetStatus
from pve_evpn.domain.conditions import ConditionValue, Problem, from_condition, from_problem
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.objects import Desired, Resource
from pve_evpn.domain.status.kind_parts import with_observed
from pve_evpn.domain.status.reported import ReportedStatusT, paused, reported


def unreachable_status(
    resource: Resource[ApiModel, ReportedStatusT],
    desired: Desired,
    problem: Problem,
    now: datetime,
    health: Health | None = None,
) -> ReportedStatusT:
    """Nothing can be known: what depends on Proxmox is Unknown, what was accepted stays accepted.

    `health` is what the nodes themselves still show, where a source does not need Proxmox.
    """
    before = resource.status
    known = before.says(ConditionType.ACCEPTED) == "True" and before.observed_generation == resource.generation
    values = [
        ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
        if known
        else from_problem(ConditionType.ACCEPTED, problem, None),
        _stuck(resource, problem) if resource.deleting else from_problem(ConditionType.PROGRAMMED, problem, None),
        health.operational if health else from_problem(ConditionType.OPERATIONAL, problem, None),
        from_problem(ConditionType.DRIFTED, problem, None),
        paused(resource, desired),
        *_as_before(before, ConditionType.EFFECTIVE),
    ]
    parts = [health.status] if health else []
    if health and health.rows and isinstance(before, VNetStatus):
        parts.append(VNetStatus(nodes=with_observed(before.nodes or (), health)))
    return updated(resource.status, *parts, reported(resource, values, now, retryable=True))


def _as_before(status: ReportedStatus, type_: ConditionType) -> list[ConditionValue]:
    condition = status.condition(type_)
    return [from_condition(type_, condition)] if condition else []


def _stuck(resource: Resource[Any], problem: Problem) -> ConditionValue:
    """A deletion that needs Proxmox, while there is no Proxmox."""
    message = (
        f"it cannot be removed from Proxmox: {problem.message}. To let it go and leave what it has there, annotate "
        f"{kinds.ANNOTATION_FORCE_ORPHAN}={resource.uid}"
    )
    return ConditionValue(ConditionType.PROGRAMMED, False, Reason.DELETION_BLOCKED, message)


def unowned_status(resource: Resource[ApiModel, ReportedStatusT], problem: Problem, now: datetime) -> ReportedStatusT:
    """The status of an object whose cluster or zone does not exist."""
    values = [
        from_problem(ConditionType.ACCEPTED, problem),
        from_problem(ConditionType.PROGRAMMED, problem),
        ConditionValue(ConditionType.OPERATIONAL, None, Reason.PENDING),
        ConditionValue(ConditionType.DRIFTED, None, Reason.PENDING),
        paused(resource, None),
    ]
    return updated(resource.status, reported(resource, values, now, retryable=problem.retryable))
