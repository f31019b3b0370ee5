"""Leaves time between applies where the objects of one namespace change again and again.

An apply makes every node reload its network. A few in a row go at once; a namespace that causes more of them waits,
longer each time up to ``LONGEST`` intervals. An apply publishes the whole plan: whoever's turn it is takes along what
others wait with, and nobody waits because of another namespace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pve_evpn.api.cluster import LastTransaction, ProxmoxClusterSpec
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem, timestamp
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan.model import Plan

#: Least seconds between applies of a namespace that changes again and again, unless the spec says otherwise.
INTERVAL = 15
#: Applies in a row that wait for nothing.
BURST = 5
#: The longest wait, in intervals. In that time one apply is forgotten, so that one that often waits no longer.
LONGEST = 4


@dataclass(frozen=True, slots=True)
class _Recent:
    """The applies that a namespace caused of late: ``count`` at ``at``, one less each ``LONGEST`` intervals."""

    count: float
    at: datetime
    next: datetime


class ApplySpacing:
    """The recent applies of one cluster, by namespace ("" for cluster-scoped objects).

    Args:
        interval: ``apply.minIntervalSeconds``; 0 for no spacing.
        last: The transaction that the status of the ProxmoxCluster remembers. After a restart every namespace waits as
            that says.
    """

    def __init__(self, interval: float, last: LastTransaction | None) -> None:
        self.interval = interval
        self.due: datetime | None = None
        """When the plan asked about last may be applied; None for at once."""
        self._recent: dict[str, _Recent] = {}
        self._restored: _Recent | None = None
        if last and last.finished_at and last.next_apply_after and interval:
            wait = (last.next_apply_after - last.finished_at).total_seconds()
            count = BURST - 0.5 + max(0, round(wait / interval).bit_length() - 1)
            self._restored = _Recent(count, last.finished_at, last.next_apply_after)

    def problem(self, plan: Plan, now: datetime) -> Problem | None:
        """Why no object of the plan may be applied now; None where one may."""
        self.due = self._due_of((key.namespace for key in plan.keys_of(plan.refs)), now)
        if self.due is None:
            return None
        message = (
            f"waits for the next apply at {timestamp(self.due)}: there were many in a short time, and each makes all "
            "nodes reload (apply.minIntervalSeconds of the ProxmoxCluster)"
        )
        return Problem(Reason.APPLIES_SPACED, message, retryable=True)

    def count(self, namespaces: Iterable[str], now: datetime) -> datetime | None:
        """Count an apply for each namespace that caused it; when their next one may follow, None for at once."""
        self.due = None
        caused = set(namespaces)
        for namespace in caused:
            count = self._count(namespace, now) + 1
            over = count - BURST + 0.5
            wait = self.interval * min(2 ** int(over), LONGEST) if over >= 0 else 0
            self._recent[namespace] = _Recent(count, now, now + timedelta(seconds=wait))
        self._recent = {name: recent for name, recent in self._recent.items() if self._count(name, now)}
        return self._due_of(caused, now)

    def _due_of(self, namespaces: Iterable[str], now: datetime) -> datetime | None:
        """The first turn of any of these."""
        dues = [self._due(namespace, now) for namespace in set(namespaces)]
        return min((due for due in dues if due), default=None) if all(dues) else None

    def _due(self, namespace: str, now: datetime) -> datetime | None:
        recent = self._recent.get(namespace, self._restored)
        if recent is None or not now < recent.next <= now + timedelta(seconds=self.interval * LONGEST):
            return None  # later than any wait: the clock was set back, or the interval made shorter
        return recent.next

    def _count(self, namespace: str, now: datetime) -> float:
        recent = self._recent.get(namespace, self._restored)
        if recent is None or not self.interval:
            return 0.0
        passed = abs((now - recent.at).total_seconds())
        return max(0.0, recent.count - passed / (self.interval * LONGEST))


def interval_of(cluster: Resource[ProxmoxClusterSpec]) -> float:
    """``apply.minIntervalSeconds`` of a ProxmoxCluster."""
    policy = cluster.spec.apply if cluster.spec else None
    seconds = policy.min_interval_seconds if policy else None
    return float(INTERVAL if seconds is None else seconds)
