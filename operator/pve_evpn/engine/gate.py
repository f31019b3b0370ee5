"""Whether a plan may be carried out now: a checklist, the first objection counts.

Asked twice for each transaction, before the lock and again under it, because what it objects to (other people's
edits) may appear in between. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from pve_evpn.api import kinds
from pve_evpn.api.cluster import ApplyPolicy, ProxmoxClusterSpec
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.decisions import Finding, Plan
from pve_evpn.domain.observed import Observed
from pve_evpn.domain.resources import Resource

Check = Callable[[Resource[ProxmoxClusterSpec], Observed, Plan, datetime], Finding | None]


def objection(cluster: Resource[ProxmoxClusterSpec], observed: Observed, plan: Plan, now: datetime) -> Finding | None:
    """Why the plan must wait, or None."""
    for check in _CHECKS:
        if finding := check(cluster, observed, plan, now):
            return finding
    return None


def _policy(cluster: Resource[ProxmoxClusterSpec]) -> ApplyPolicy:
    return (cluster.spec.apply if cluster.spec else None) or ApplyPolicy()


def _quorum(_cluster: Any, observed: Observed, _plan: Plan, _now: datetime) -> Finding | None:
    if observed.quorate:
        return None
    return Finding(Reason.NO_QUORUM, "the Proxmox cluster has no quorum, so it cannot be changed", heals=True)


def _foreign(cluster: Resource[ProxmoxClusterSpec], _observed: Observed, plan: Plan, _now: datetime) -> Finding | None:
    if not plan.foreign or _policy(cluster).foreign_pending == "Include":
        return None
    message = f"an apply would also publish what others have staged: {_some(map(str, plan.foreign))}"
    return Finding(Reason.FOREIGN_PENDING_CHANGES, message, heals=True)


def _host_network(
    cluster: Resource[ProxmoxClusterSpec], observed: Observed, _p: Plan, _now: datetime
) -> Finding | None:
    """An apply makes every node take over its staged interfaces file, SDN or not."""
    nodes = [node.name for node in observed.nodes.values() if node.network_pending]
    if not nodes or _policy(cluster).foreign_pending == "Include":
        return None
    message = f"an apply would also activate staged host-network edits on {_some(sorted(nodes))}"
    return Finding(Reason.NODE_NETWORK_PENDING, message, heals=True)


def _approval(cluster: Resource[ProxmoxClusterSpec], _observed: Observed, plan: Plan, now: datetime) -> Finding | None:
    policy = _policy(cluster)
    approved = cluster.annotations.get(kinds.ANNOTATION_APPROVED_PLAN) == plan_hash(plan)
    destructive = plan.is_destructive and policy.destructive == "Manual"
    if (policy.policy == "Manual" or destructive) and not approved:
        message = f"waits for approval: annotate {kinds.ANNOTATION_APPROVED_PLAN}={plan_hash(plan)}"
        return Finding(Reason.AWAITING_APPROVAL, message, heals=True)
    if policy.policy == "Window" and not approved and not any(_open(w, now) for w in policy.windows or ()):
        return Finding(Reason.OUTSIDE_WINDOW, "waits for the next maintenance window", heals=True)
    return None


_CHECKS: tuple[Check, ...] = (_quorum, _foreign, _host_network, _approval)


def _open(window: Any, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(window.time_zone))
    opened: datetime = croniter(window.schedule, local + timedelta(seconds=1)).get_prev(datetime)
    return local < opened + timedelta(minutes=window.duration_minutes)


def plan_hash(plan: Plan) -> str:
    """What an approval refers to: exactly these steps and nothing else."""
    text = "\n".join(repr(step) for step in plan.steps) + "\n" + "\n".join(map(str, plan.own_pending))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _some(items: Any, most: int = 5) -> str:
    listed = list(items)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
