"""Whether a plan may be carried out now, or which part of it: a list of checks, the first problem counts.

Asked twice for each transaction, before the lock and again under it, because what it objects to (other people's
edits) may appear in between. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

from pve_evpn.api import kinds
from pve_evpn.api.apply import ApplyPolicy, Window
from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan.model import Plan, Step
from pve_evpn.domain.plan.step_class import StepClass, in_words
from pve_evpn.domain.privileges import Feature, lack_in_words, missing
from pve_evpn.domain.sdn import SdnRef
from pve_evpn.domain.state import ClusterState, NodeState
from pve_evpn.text import from_outside, some_of

Cluster = Resource[ProxmoxClusterSpec]
Check = Callable[[Cluster, ClusterState, Plan], Problem | None]

_IFACE = re.compile(r"^[+-]\s*(?:auto|iface|allow-\S+)\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ApplyPermission:
    """What may be carried out now, and why the rest (or all) of it waits.

    ``waiting`` is the part that waits for a person or for its time; None where it waits for something else.
    ``approved`` is the approval without which ``plan`` would wait.
    """

    plan: Plan
    problem: Problem | None = None
    waiting: Plan | None = None
    approved: str = ""


def permit(cluster: Cluster, state: ClusterState, plan: Plan, now: datetime) -> ApplyPermission:
    """What of ``plan`` may be carried out at ``now``. What others do is no concern while there is nothing to do."""
    if not plan.needs_apply:
        return ApplyPermission(plan)
    if problem := safety_problem(cluster, state, plan):
        return ApplyPermission(_nothing(plan), problem)
    return _with_consent(cluster, plan, now)


def safety_problem(cluster: Cluster, state: ClusterState, plan: Plan) -> Problem | None:
    """What makes an apply unsafe at present, approved or not."""
    for check in (_quorum, _privileges, _foreign, _host_network):
        if problem := check(cluster, state, plan):
            return problem
    return None


def _policy(cluster: Cluster) -> ApplyPolicy:
    return (cluster.spec.apply if cluster.spec else None) or ApplyPolicy()


def includes_foreign(cluster: Cluster) -> bool:
    """Whether the user wants other people's edits applied with ours."""
    return _policy(cluster).foreign_pending == "Include"


def is_read_only(cluster: Cluster) -> bool:
    """Whether the user wants nothing written to this cluster."""
    return cluster.paused or (cluster.spec is not None and cluster.spec.management_policy == "ObserveOnly")


def _quorum(_cluster: Any, state: ClusterState, _plan: Plan) -> Problem | None:
    if state.quorate:
        return None
    return Problem(Reason.NO_QUORUM, "the Proxmox cluster has no quorum, so it cannot be changed", retryable=True)


def _privileges(_cluster: Any, state: ClusterState, _plan: Plan) -> Problem | None:
    """Without the right to write, the lock alone would fail; the first request to try it would leave nothing better."""
    rights = state.rights
    if rights is None or not (needs := missing(rights.held, [Feature.WRITE])):
        return None
    return Problem(Reason.PRIVILEGES_MISSING, lack_in_words(needs, rights.user), retryable=True)


def _foreign(cluster: Cluster, _observed: ClusterState, plan: Plan) -> Problem | None:
    if not plan.foreign or includes_foreign(cluster):
        return None
    detail = (
        f"an apply would also publish what others have staged: {some_of(map(str, plan.foreign))}. Apply or revert that "
        "in Proxmox (Datacenter > SDN), or set spec.apply.foreignPending: Include"
    )
    message = f"an apply would also publish what others have staged; {see(cluster)}"
    return Problem(Reason.FOREIGN_PENDING_CHANGES, message, retryable=True, detail=detail)


def _host_network(cluster: Cluster, state: ClusterState, _plan: Plan) -> Problem | None:
    """An apply makes every node take over its staged interfaces file, SDN or not."""
    if includes_foreign(cluster):
        return None
    online = sorted((node for node in state.nodes.values() if node.online), key=lambda node: node.name)
    if staged := [node for node in online if node.network_pending]:
        detail = (
            f"an apply would also activate host-network edits staged on {some_of(map(_edited, staged))}. Apply or "
            "revert them on the node (System > Network), or set spec.apply.foreignPending: Include"
        )
        message = f"an apply would also activate host-network edits that are staged on nodes; {see(cluster)}"
        return Problem(Reason.NODE_NETWORK_PENDING, message, retryable=True, detail=detail)
    if unread := [node for node in online if node.network_pending is None]:
        why = some_of(f"{node.name} ({node.why_unread('network')})" for node in unread)
        detail = f"the operator cannot tell whether host-network edits are staged on {why}"
        message = f"the operator cannot tell whether host-network edits are staged on all nodes; {see(cluster)}"
        return Problem(Reason.NODE_NETWORK_PENDING, message, retryable=True, detail=detail)
    return None


def see(cluster: Cluster) -> str:
    """Where the names are that users of a namespace may not see."""
    return f"the administrators of ProxmoxCluster {cluster.key.name} see what and where in its status"


def _edited(node: NodeState) -> str:
    """A node with the interfaces that its staged edits touch."""
    names = dict.fromkeys(_IFACE.findall(node.network_pending or ""))
    return f"{node.name} ({', '.join(list(names)[:4])})" if names else node.name


# --- consent ----------------------------------------------------------------------------------------------------


def _with_consent(cluster: Cluster, plan: Plan, now: datetime) -> ApplyPermission:
    """What needs no approval, or has it. Steps of some classes can be made to wait while the rest goes ahead."""
    policy = _policy(cluster)
    if _approved(cluster, plan):
        return ApplyPermission(plan, approved=plan_hash(plan))
    if policy.policy == "Manual":
        return ApplyPermission(_nothing(plan), _awaiting(cluster, plan), plan)
    if problem := impossible_window(cluster):
        return ApplyPermission(_nothing(plan), problem, plan)
    if policy.policy == "Window" and not any(_open(window, now) for window in policy.windows or ()):
        return ApplyPermission(_nothing(plan), _outside(cluster, plan, policy.windows or (), now), plan)
    needing = _needing_approval(policy)
    if needing.intersection(plan.staged.values()):
        return ApplyPermission(_nothing(plan), _awaiting(cluster, plan), plan)
    held = plan.depending_on(ref for ref, step_class in plan.classes.items() if step_class in needing)
    if not held:
        return ApplyPermission(plan)
    free, waiting = plan.divided(held)
    if _approved(cluster, waiting):
        return ApplyPermission(plan, approved=plan_hash(waiting))
    return ApplyPermission(free, _awaiting(cluster, waiting), waiting)


def _needing_approval(policy: ApplyPolicy) -> frozenset[StepClass]:
    """The classes of steps that wait for a person."""
    named = {StepClass(word) for word in policy.approval or ()}
    return frozenset(named | ({StepClass.DESTRUCTIVE} if policy.destructive == "Manual" else set()))


def _nothing(plan: Plan) -> Plan:
    return replace(plan, steps=(), own_pending=())


def _approved(cluster: Cluster, plan: Plan) -> bool:
    return cluster.annotations.get(kinds.ANNOTATION_APPROVED_PLAN) == plan_hash(plan)


def _awaiting(cluster: Cluster, plan: Plan) -> Problem:
    count = max(len(plan.steps), len(plan.own_pending))
    what = f"{count} changes wait" if count > 1 else f"{next(iter(summary(plan)), 'the plan')}: waits"
    detail = (
        f"{what} for approval ({class_counts(plan)}; see status.pendingPlan of the ProxmoxCluster). Approve with: "
        f"kubectl annotate proxmoxcluster {cluster.key.name} "
        f"{kinds.ANNOTATION_APPROVED_PLAN}={plan_hash(plan)} --overwrite{_other_approval(cluster, plan)}"
    )
    message = f"waits for approval; {see(cluster)}"
    return Problem(Reason.AWAITING_APPROVAL, message, retryable=True, detail=detail)


def _other_approval(cluster: Cluster, plan: Plan) -> str:
    """What is to be said of an approval that is not this plan's, and was not used for an earlier one."""
    given = cluster.annotations.get(kinds.ANNOTATION_APPROVED_PLAN)
    if given in (None, plan_hash(plan), plan.spent):
        return ""
    return f". The annotation is {from_outside(given, longest=64)} now, and this plan is {plan_hash(plan)}"


def _outside(cluster: Cluster, plan: Plan, windows: Iterable[Window], now: datetime) -> Problem:
    opening, zone = min((_next(window, now), window.time_zone) for window in windows)
    local = opening.astimezone(ZoneInfo(zone))
    message = f"waits for the next maintenance window, which opens at {local:%Y-%m-%d %H:%M} {zone}"
    return Problem(Reason.OUTSIDE_WINDOW, message, retryable=True, detail=f"{message}{_other_approval(cluster, plan)}")


def impossible_window(cluster: Cluster) -> Problem | None:
    """A window that never opens: there is no such day, or no such time zone (an older API server does not see it)."""
    policy = _policy(cluster)
    for window in (policy.windows or ()) if policy.policy == "Window" else ():
        where = f"spec.apply.windows: schedule {window.schedule!r}, timeZone {window.time_zone!r}"
        try:
            _next(window, datetime(2026, 1, 1, tzinfo=UTC))
        except (ZoneInfoNotFoundError, ValueError, CroniterError):
            return Problem(Reason.INVALID_SPEC, f"{where}: there is no such time zone, or the schedule never comes")
    return None


def _open(window: Window, now: datetime) -> bool:
    """Whether it opened less than its duration ago. Elapsed time is counted in UTC: a clock change adds no hour."""
    local = now.astimezone(ZoneInfo(window.time_zone))
    opened: datetime = croniter(window.schedule, local + timedelta(seconds=1)).get_prev(datetime)
    return now.astimezone(UTC) < opened.astimezone(UTC) + timedelta(minutes=window.duration_minutes)


def _next(window: Window, now: datetime) -> datetime:
    opening: datetime = croniter(window.schedule, now.astimezone(ZoneInfo(window.time_zone))).get_next(datetime)
    return opening.astimezone(UTC)


# --- the plan as a person approves it ---------------------------------------------------------------------------


def plan_hash(plan: Plan) -> str:
    """What an approval refers to: exactly these steps, for exactly these objects and specs, once.

    The same steps another time, or for a new object of the old name, have another hash. What is planned for other
    objects is not part of it, so that an edit elsewhere does not void an approval.
    """
    steps = [_digestible(step) for step in plan.steps]
    changes = [str(change) for change in plan.own_pending]
    objects = sorted(plan.decisions[key].version for key in plan.keys_of(plan.refs))
    text = json.dumps([steps, changes, objects, plan.spent])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digestible(step: Step) -> list[Any]:
    words = [step.action, str(step.ref)]
    match step.action:
        case "create":
            return [*words, step.object.type, step.object.parent, sorted(step.object.props.items())]
        case "update":
            return [*words, step.object.parent, [[d.key, d.have, d.want] for d in step.diff]]
        case "delete":
            return [*words, step.object.parent]


def summary(plan: Plan) -> list[str]:
    """The steps for a person, and what an interrupted run staged already."""
    return [words for words, _, _ in lines(plan)]


def summary_classes(plan: Plan) -> list[StepClass]:
    """The class of each line of :func:`summary`."""
    return [step_class for _, _, step_class in lines(plan)]


def class_counts(plan: Plan) -> str:
    """``disruptive: 1, reload: 2``: how many lines of the summary are of which class."""
    return in_words(summary_classes(plan))


def lines(plan: Plan) -> list[tuple[str, SdnRef, StepClass]]:
    """Each line of the summary with the object it is about and its class."""
    stepping = {step.ref for step in plan.steps}
    staged = [change for change in plan.own_pending if change.ref not in stepping]
    found = [(str(step), step.ref) for step in plan.steps]
    found += [(f"apply what is staged already: {change}", change.ref) for change in staged]
    return [(words, ref, plan.classes.get(ref, StepClass.RELOAD)) for words, ref in found]
