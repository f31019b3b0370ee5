"""Leaves time between applies where the objects of one namespace change again and again, and between other writes.

An apply makes every node reload its network. A few in a row go at once; a namespace that causes more of them waits,
longer each time up to ``LONGEST`` intervals. An apply publishes the whole plan: whoever's turn it is takes along what
others wait with, and nobody waits because of another namespace. A guest's NIC and a VNet's firewall are written apart
from it, for one object each: there every object waits by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from pve_evpn.api.cluster import LastTransaction, ProxmoxClusterSpec
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem, timestamp
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.plan.model import Plan

#: Least seconds between applies of a namespace that changes again and again, unless the spec says otherwise.
INTERVAL = 15
#: Applies in a row that wait for nothing.
BURST = 5
#: The longest wait, in intervals. In that time one apply is forgotten, so that one that often waits no longer.
LONGEST = 4


KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True)
class _Recent:
    """What was counted of late: ``count`` at ``at``, one less each ``LONGEST`` intervals. ``next``: not before."""

    count: float
    at: datetime
    next: datetime


class Spacing(Generic[KeyT]):
    """A few in a row at once, then longer and longer apart; each key by itself.

    Args:
        interval: Seconds; 0 for no spacing.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._recent: dict[KeyT, _Recent] = {}
        self._restored: _Recent | None = None
        """What counts for keys of which nothing is known."""

    def counted(self, key: KeyT, now: datetime) -> None:
        """One more of this key."""
        count = self._count(key, now) + 1
        over = count - BURST + 0.5
        wait = self.interval * min(2 ** int(over), LONGEST) if over >= 0 else 0
        self._recent[key] = _Recent(count, now, now + timedelta(seconds=wait))

    def forget(self, now: datetime) -> None:
        """Forget the keys that have been quiet for long enough."""
        self._recent = {key: recent for key, recent in self._recent.items() if self._count(key, now)}

    def next_of(self, key: KeyT, now: datetime) -> datetime | None:
        """When the next one of this key may follow; None for at once."""
        recent = self._recent.get(key, self._restored)
        if recent is None or not now < recent.next <= now + timedelta(seconds=self.interval * LONGEST):
            return None  # later than any wait: the clock was set back, or the interval made shorter
        return recent.next

    def _count(self, key: KeyT, now: datetime) -> float:
        recent = self._recent.get(key, self._restored)
        if recent is None or not self.interval:
            return 0.0
        passed = abs((now - recent.at).total_seconds())
        return max(0.0, recent.count - passed / (self.interval * LONGEST))


class ApplySpacing(Spacing[str]):
    """The recent applies of one cluster, by namespace ("" for cluster-scoped objects).

    Args:
        interval: ``apply.minIntervalSeconds``; 0 for no spacing.
        last: The transaction that the status of the ProxmoxCluster remembers. After a restart every namespace waits as
            that says.
    """

    def __init__(self, interval: float, last: LastTransaction | None) -> None:
        super().__init__(interval)
        self.due: datetime | None = None
        """When the plan asked about last may be applied; None for at once."""
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
            self.counted(namespace, now)
        self.forget(now)
        return self._due_of(caused, now)

    def _due_of(self, namespaces: Iterable[str], now: datetime) -> datetime | None:
        """The first turn of any of these."""
        dues = [self.next_of(namespace, now) for namespace in set(namespaces)]
        return min((due for due in dues if due), default=None) if all(dues) else None


class WriteSpacing(Spacing[ObjectKey]):
    """The recent writes that no apply publishes, to guests and firewalls, by the object that they were for.

    It is forgotten with the process.
    """

    def __init__(self) -> None:
        super().__init__(INTERVAL)

    def begin(self, cluster: Resource[ProxmoxClusterSpec], now: datetime) -> None:
        """A sync begins: take the interval of the spec, and forget the objects that have been quiet."""
        self.interval = interval_of(cluster)
        self.forget(now)

    def problem(self, key: ObjectKey, now: datetime) -> Problem | None:
        """Why nothing is written for the object now; None where it may be."""
        if (due := self.next_of(key, now)) is None:
            return None
        message = (
            f"waits for the next write at {timestamp(due)}: there were many for this object in a short time "
            "(apply.minIntervalSeconds of the ProxmoxCluster)"
        )
        return Problem(Reason.APPLIES_SPACED, message, retryable=True)


def interval_of(cluster: Resource[ProxmoxClusterSpec]) -> float:
    """``apply.minIntervalSeconds`` of a ProxmoxCluster."""
    policy = cluster.spec.apply if cluster.spec else None
    seconds = policy.min_interval_seconds if policy else None
    return float(INTERVAL if seconds is None else seconds)
