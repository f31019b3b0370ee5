"""Nodes' reloads of the running configuration: how they ended, and the reload of nodes that missed an apply.

The cluster's apply task says OK whatever became of the nodes, so each node's own reload is looked up and followed. A
node that cannot be asked is unknown, not failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pve_evpn.api.events import EventReason
from pve_evpn.domain.plan import apply_policy
from pve_evpn.domain.plan.outcome import NodeResult
from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.state import NodeState
from pve_evpn.engine.backoff import Backoff
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import TaskFollower
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway, TaskEnd

log = logging.getLogger(__name__)

#: Seconds by which a node's clock may be behind that of the endpoint, whose ``Date`` is known to a second or two; also
#: how far back older reloads are listed.
_SKEW = 60
_DATE = 2
_UNREADABLE = (errors.Unreachable, errors.Refused, errors.Forbidden)
#: A node that misses something may be loading at this moment, by another client's apply or by its own boot.
PATIENCE = timedelta(seconds=20)
#: Seconds until a node is reloaded again that still misses something.
FIRST, LONGEST = 30.0, 900.0


class Reloads:
    """Finds and follows the nodes' reloads."""

    def __init__(self, context: ClusterContext, gateway: Gateway, tasks: TaskFollower) -> None:
        self._context = context
        self._gateway = gateway
        self._tasks = tasks

    async def listed(self, nodes: Iterable[NodeState]) -> frozenset[str]:
        """Reloads that Proxmox lists already, and that therefore belong to no apply to come."""
        if (known := self._gateway.reloads_just_listed()) is not None:
            return known
        since = self._at_proxmox(self._context.clock.now().timestamp()) - _SKEW
        lists = await asyncio.gather(*(self._of(node.name, since) for node in nodes if node.online))
        return frozenset(upid for upids in lists for upid in upids or ())

    async def of_nodes(
        self, nodes: Iterable[NodeState], started: int, known: frozenset[str] | None
    ) -> dict[str, NodeResult]:
        """How each node's reload ended that began with an apply at ``started`` (Unix seconds).

        ``known`` are reloads of before. Where they are not known any more (None), only what Proxmox' clock says to be
        later than the apply counts.
        """
        since = self._at_proxmox(started) - (_DATE if known is None else _SKEW)
        results = await asyncio.gather(*(self._of_node(node, since, known or frozenset()) for node in nodes))
        return {result.name: result for result in results}

    async def reload(self, node: str) -> NodeResult:
        """Reload one node and follow it. Raises :class:`errors.PveError` where it could not be asked to."""
        return await self._ended(node, await self._gateway.reload_node(node))

    def _at_proxmox(self, moment: float) -> int:
        """A moment of this machine's clock by Proxmox' clock, which decides when a task started (Unix seconds)."""
        return int(moment + self._gateway.clock_offset)

    async def _of(self, node: str, since: int) -> dict[str, TaskEnd | None] | None:
        try:
            return await self._gateway.reload_tasks(node, since)
        except _UNREADABLE:
            return None

    async def _of_node(self, node: NodeState, since: int, known: frozenset[str]) -> NodeResult:
        if not node.online:
            message = "offline; it is reloaded when it returns"
            return NodeResult(node.name, ok=False, message=message, offline=True)
        for _ in range(5):  # the list may lag a moment behind the task
            reloads = await self._of(node.name, since)
            if reloads is None:
                return NodeResult(node.name, ok=False, message="its tasks could not be read", known=False)
            if new := [upid for upid in reloads if upid not in known]:
                return await self._ended(node.name, new[0], reloads[new[0]])
            await asyncio.sleep(self._context.pace.poll)
        return NodeResult(node.name, ok=False, message="it started no reload", started=False)

    async def _ended(self, node: str, upid: str, end: TaskEnd | None = None) -> NodeResult:
        """How a reload ended; ``end`` where that is known already."""
        try:
            end = end or await self._tasks.follow(upid)
        except (errors.Refused, errors.Forbidden):
            return NodeResult(node, ok=False, message="its reload task could not be read", known=False)
        if end is None:
            return NodeResult(node, ok=False, message="its reload did not end in time")
        if not end.ok:
            return NodeResult(node, ok=False, message=f"its reload failed: {end.text}")
        return NodeResult(node, ok=True, message=await self._warnings(upid) if end.warned else "")

    async def _warnings(self, upid: str) -> str:
        """What a task that ended with warnings warned of, in Proxmox' words."""
        try:
            lines = await self._gateway.task_log(upid, last=500)
        except _UNREADABLE:
            lines = []
        warnings = [line.strip() for line in lines if "warn" in line.lower() and not line.startswith("TASK ")]
        return "reloaded with warnings" + (f": {' | '.join(warnings[:3])}" if warnings else "")


@dataclass(slots=True)
class _Behind:
    """A node that misses something: since when, and when it is to be reloaded next."""

    since: datetime
    next: datetime | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST, LONGEST))


class ReloadRetry:
    """Reloads single nodes of one cluster that missed an apply, because they were offline or their reload failed.

    An apply cannot be repeated for one node: it publishes, and reloads all. The reload of one node loads what runs
    already and publishes nothing of SDN. It does take over host-network edits staged on that node, so it waits for
    those. A node that still misses something is reloaded again after a backoff.
    """

    def __init__(self, context: ClusterContext) -> None:
        self._context = context
        self._behind: dict[str, _Behind] = {}

    @property
    def is_behind(self) -> bool:
        """Whether a node missed something when the last sync asked."""
        return bool(self._behind)

    async def reload(self, sync: Sync) -> Sync:
        """Reload the nodes that are due, one after the other. ``sync.reloads`` then says what came of it."""
        cluster = sync.desired.cluster
        writes = self._context.is_leader() and not apply_policy.is_read_only(cluster)
        if sync.reloads or not writes or not sync.state.quorate:
            return sync
        results = {}
        for node in self._due(sync):
            results[node.name] = result = await self._reload(sync, node)
            if result.ok:
                message = f"{node.name} has loaded what it had missed"
                await self._context.writer.record(cluster, EventReason.NODE_CAUGHT_UP, message)
        return replace(sync, reloads=results)

    def _due(self, sync: Sync) -> list[NodeState]:
        """Nodes that miss something and whose turn it is."""
        now, state = self._context.clock.now(), sync.state
        missed = {row.name for row in sync.desired.cluster.status.nodes or () if row.programmed is False}
        ours = {
            ref.id
            for decision in sync.plan.decisions.values()
            for ref in decision.origins
            if ref.kind is SdnKind.ZONE and ref in state.sdn.running
        }
        behind = {
            node.name: node
            for node in state.nodes.values()
            if node.online
            and (
                (node.name in missed and (node.zones is not None or "zones" in node.errors))
                or (node.zones is not None and ours & state.unavailable_zones(node).keys())
            )
        }
        self._behind = {name: self._behind.get(name, _Behind(now)) for name in behind}
        due = []
        for name, node in sorted(behind.items()):
            known = self._behind[name]
            waited = name in missed or now - known.since >= PATIENCE
            if waited and (known.next is None or now >= known.next):
                due.append(node)
        return due

    async def _reload(self, sync: Sync, node: NodeState) -> NodeResult:
        """Reload one node; what came of it, or why it was not reloaded."""
        known, context = self._behind[node.name], self._context
        known.next = context.clock.now() + timedelta(seconds=known.backoff.failed())
        node = await sync.gateway.host_edits(node)  # the nodes before it took their time
        if node.network_pending != "" and not apply_policy.includes_foreign(sync.desired.cluster):
            why = "host-network edits are staged on it" if node.network_pending else "its staged edits are not known"
            return NodeResult(node.name, ok=False, message=f"behind; it is not reloaded while {why}")
        tasks = TaskFollower(sync.gateway, context.pace, context.clock)
        try:
            result = await Reloads(context, sync.gateway, tasks).reload(node.name)
        except errors.Forbidden as error:
            return NodeResult(node.name, ok=False, message=f"behind; it could not be reloaded alone: {error}")
        except errors.OutcomeUnknown as error:
            return NodeResult(node.name, ok=False, known=False, message=f"its reload was asked for: {error}")
        except errors.PveError as error:
            return NodeResult(node.name, ok=False, message=f"behind; it could not be reloaded: {error}")
        log.info("%s: reloaded %s alone: %s", context.cluster, node.name, result.message or "OK")
        return result
