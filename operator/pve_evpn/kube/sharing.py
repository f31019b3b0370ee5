"""The replicas of a release share its ProxmoxClusters: each cluster has one writer at any time.

Three kinds of Leases, all in the operator's namespace, say who may write:

* one per replica, renewed every two seconds: it lives (``kube.leader``, ``kube.members``);
* one per cluster, written when the cluster changes hands: who writes for it (``kube.ownership``);
* one that all replicas hold together: no process of a release that let one replica lead does (``SharedLease``).

A replica may write for a cluster while it holds all three, by its own clock and memory (:meth:`Sharing.may_write`). It
takes a cluster's Lease only where that names no replica, or one that is gone. Why no cluster has two writers then is in
docs/decisions/2026-11-28-replicas-share-clusters.md.

A replica that took a cluster lists all objects before it begins to work for it: the watches may not have delivered yet
what its predecessor wrote last.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from pve_evpn.engine.clock import wait_for_event
from pve_evpn.engine.supervisor import UNOWNED
from pve_evpn.kube.client import WRITERS
from pve_evpn.kube.leader import FAILURES, ReplicaLease, SharedLease, words
from pve_evpn.kube.members import LABEL_TAKES, Members
from pve_evpn.kube.ownership import ClusterLeases
from pve_evpn.kube.shares import assign, weight
from pve_evpn.settings import JITTER

log = logging.getLogger(__name__)

#: Seconds between two reads of every cluster's Lease while nothing changes.
AUDIT_SECONDS = 30.0


class Work(Protocol):
    """What runs for clusters: the supervisor."""

    def match(self) -> None:
        """Begin and end reconcilers as :meth:`Sharing.serves` says."""

    def works_for(self, cluster: str) -> bool:
        """Whether anything still runs for the cluster."""


@dataclass(frozen=True, slots=True)
class Leases:
    """Every Lease a replica has to do with."""

    replica: ReplicaLease
    shared: SharedLease
    members: Members
    clusters: ClusterLeases


class Sharing:
    """What this replica holds, and the loop that takes clusters and hands them over.

    Args:
        leases: Those of this replica and release. The replica's own and the shared one are renewed elsewhere.
        clusters: The names of the ProxmoxClusters there are.
        read: Lists every object anew.
        pause: Seconds between two lists of the replicas.
    """

    def __init__(
        self, leases: Leases, clusters: Callable[[], frozenset[str]], read: Callable[[], Awaitable[None]], pause: float
    ) -> None:
        self._leases = leases
        self._clusters = clusters
        self._read = read
        self._pause = pause
        self._identity = leases.replica.identity
        self._owned: dict[str, Any] = {}
        self._current: set[str] = set()
        self._holders: dict[str, str] = {}
        self._giving_up: set[str] = set()
        self._work: Work | None = None
        self._changed = asyncio.Event()
        self._view: object = None
        self._is_settled = False
        self._audited_at = float("-inf")
        self._is_leaving = False
        self.error = ""
        """Why the last round could not be ended; "" if it was."""

    # --- what this replica may do -------------------------------------------------------------------------------

    def may_write(self, cluster: str) -> bool:
        """Whether this replica may write for the cluster now. Cheap, and from any thread."""
        return cluster in self._owned and self._leases.replica.is_held and self._leases.shared.is_held

    def serves(self, cluster: str) -> bool:
        """Whether this replica is to work for the cluster: it may write, has read what is there and does not stop."""
        return cluster in self._current and cluster not in self._giving_up and self.may_write(cluster)

    def holder(self, cluster: str) -> str:
        """The name of the other replica that held the cluster when the Leases were read last; "" if none is known."""
        identity = self._holders.get(cluster, "")
        return "" if identity == self._identity else identity.rpartition("_")[0] or identity

    @property
    def held(self) -> frozenset[str]:
        """The clusters this replica may write for."""
        return frozenset(cluster for cluster in self._owned if self.may_write(cluster))

    # --- the loop -----------------------------------------------------------------------------------------------

    async def begin(self, work: Work) -> None:
        """The first round, before anything runs. Afterwards everything has been listed. Raises what went wrong."""
        self._work = work
        self._current.clear()
        self._is_settled = False
        await self._round()

    async def run(self) -> None:
        """Take clusters and hand them over until cancelled."""
        self._offer(takes=not self._is_leaving)
        while True:
            usual = self._pause * random.uniform(1.0, JITTER)  # noqa: S311
            await wait_for_event(self._changed, min(usual, self._leases.members.next_silence + 0.05))
            self._changed.clear()
            try:
                await self._round()
                self.error = ""
                self._offer(takes=not self._is_leaving)
            except FAILURES as error:
                self.error = words(error)
                self._offer(takes=False)  # it keeps what it holds
                log.warning("the clusters could not be shared; trying again: %s", self.error)

    def changed(self) -> None:
        """A ProxmoxCluster came or went, or the work for one ended."""
        self._changed.set()

    def leave(self) -> None:
        """Hand over everything as soon as the work for it has ended; take nothing more."""
        self._is_leaving = True
        self._offer(takes=False)
        self._changed.set()

    async def close(self) -> None:
        """Release what is still held. Nothing runs for it any more."""
        self._owned.clear()
        try:
            await self._disown(await self._leases.clusters.list_all(), frozenset())
        except FAILURES as error:
            log.warning("clusters could not be released, others wait for this replica's Lease: %s", words(error))

    def _offer(self, *, takes: bool) -> None:
        """Have the other replicas know, with the next renewal, whether this one takes clusters."""
        self._leases.replica.labels[LABEL_TAKES] = str(takes).lower()

    async def _round(self) -> None:
        await self._release()
        members = self._leases.members
        await members.listen()
        clusters = frozenset() if self._is_leaving else self._clusters()
        view = (clusters, members.eligible, members.others, self._is_leaving)
        now = asyncio.get_running_loop().time()
        if not self._is_settled or view != self._view or now - self._audited_at >= AUDIT_SECONDS:
            self._audited_at = now
            self._is_settled = False
            self._is_settled = await self._share(clusters)
            self._view = view
        await self._read_what_was_taken()

    async def _share(self, clusters: frozenset[str]) -> bool:
        """Take and give up what is to change hands. Whether every cluster is where it belongs."""
        leases = await self._leases.clusters.list_all()
        self._check(leases)
        members = self._leases.members
        holders = {cluster: (lease.spec and lease.spec.holder_identity) or "" for cluster, lease in leases.items()}
        self._holders = holders
        members.expect(holders.values())
        held = {cluster: holder for cluster, holder in holders.items() if holder and not members.is_gone(holder)}
        mine = self._mine(clusters, held)
        self._giving_up = {cluster for cluster in self._owned if cluster not in mine}
        free = [name for name in mine - self._owned.keys() if held.get(name, self._identity) == self._identity]
        await _together(self._take(name, leases.get(name), holders.get(name, "")) for name in free)
        await self._disown(leases, mine)
        if self._work is not None:
            self._work.match()
        await self._release()
        live = members.others | {self._identity}
        everywhere = all(held.get(cluster, "") in live or cluster in self._owned for cluster in (*clusters, UNOWNED))
        return self._owned.keys() == mine and (everywhere or self._is_leaving)

    def _mine(self, clusters: frozenset[str], held: dict[str, str]) -> frozenset[str]:
        """What this replica is to hold."""
        if self._is_leaving:
            return frozenset()
        replicas = self._leases.members.eligible | {self._identity}
        assigned = assign(clusters, replicas, held)
        # What belongs to no cluster goes with the first one, so that a replica without clusters has nothing to do.
        first = assigned.get(min(clusters, default=UNOWNED)) or max(replicas, key=lambda each: weight(UNOWNED, each))
        assigned[UNOWNED] = held[UNOWNED] if held.get(UNOWNED) in replicas else first
        return frozenset(cluster for cluster, replica in assigned.items() if replica == self._identity)

    def _check(self, leases: dict[str, Any]) -> None:
        """Hold nothing of which the Lease says otherwise: another client may have edited it."""
        for cluster in list(self._owned):
            lease = leases.get(cluster)
            if lease is None or lease.spec is None or lease.spec.holder_identity != self._identity:
                log.error("%s is no longer this replica's: its Lease was changed by another client", _name(cluster))
                self._forget(cluster)
            else:
                self._owned[cluster] = lease

    async def _take(self, cluster: str, lease: Any, holder: str) -> None:
        written = await self._leases.clusters.take(cluster, lease)
        if written is None:
            return
        self._owned[cluster] = written
        after = f" after {holder}, which is gone" if holder not in ("", self._identity) else ""
        log.info("this replica writes for %s%s", _name(cluster), after, extra={"cluster": cluster})

    async def _disown(self, leases: dict[str, Any], mine: frozenset[str]) -> None:
        """Release Leases that name this replica though it holds nothing by them: a request of it was executed late."""
        await _together(
            self._leases.clusters.release(cluster, lease)
            for cluster, lease in leases.items()
            if lease.spec is not None
            and lease.spec.holder_identity == self._identity
            and cluster not in self._owned
            and cluster not in mine
        )

    async def _release(self) -> None:
        """Give back what is given up and at rest."""
        for cluster in sorted(self._giving_up & self._owned.keys()):
            if self._work is not None and self._work.works_for(cluster):
                continue
            lease = self._owned[cluster]
            self._forget(cluster)  # first: from here on nothing may be written
            self._is_settled = False
            if cluster == UNOWNED or cluster in self._clusters() or self._is_leaving:
                await self._leases.clusters.release(cluster, lease)
            else:
                await self._leases.clusters.delete(lease)
            log.info("this replica no longer writes for %s", _name(cluster), extra={"cluster": cluster})

    def _forget(self, cluster: str) -> None:
        self._owned.pop(cluster, None)
        self._current.discard(cluster)
        self._giving_up.discard(cluster)

    async def _read_what_was_taken(self) -> None:
        """List everything after the last cluster was taken, then begin to work for what was."""
        taken = set(self._owned)
        if taken <= self._current:
            return
        await self._read()
        self._current |= taken & self._owned.keys()
        if self._work is not None:
            self._work.match()


async def _together(requests: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Send several requests at once, but not all. Raises the first failure once all have ended."""
    slots = asyncio.Semaphore(WRITERS)

    async def send(request: Coroutine[Any, Any, None]) -> None:
        async with slots:
            await request

    for result in await asyncio.gather(*map(send, requests), return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _name(cluster: str) -> str:
    return f"ProxmoxCluster {cluster}" if cluster else "objects of no cluster"
