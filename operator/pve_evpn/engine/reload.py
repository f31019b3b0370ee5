"""What became of the nodes' reloads: the cluster's apply task says OK whatever became of them.

Follows tasks and finds each node's own reload after an apply. A node that cannot be asked is unknown, not failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from pve_evpn.domain.plan.outcome import NodeResult
from pve_evpn.domain.state import NodeState
from pve_evpn.engine.clock import Pace
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway, TaskEnd

#: Proxmox' clock decides when a task started, and it may be behind ours; also how far back older reloads are listed.
_SKEW = 60
_UNREADABLE = (errors.Unreachable, errors.Refused, errors.Forbidden)


class Reloads:
    """Follows reloads on one cluster."""

    def __init__(self, gateway: Gateway, pace: Pace, now: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._pace = pace
        self._now = now

    async def follow(self, upid: str) -> TaskEnd | None:
        """Wait for a task; None if it outlasts our patience. A read that fails is asked again."""
        deadline, pause = time.monotonic() + self._pace.timeout, self._pace.poll
        while time.monotonic() < deadline:
            try:
                if end := await self._gateway.task_end(upid):
                    return end
            except errors.Unreachable:
                pass
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, self._pace.poll_max)
        return None

    async def listed(self, nodes: Iterable[NodeState]) -> frozenset[str]:
        """Reloads that are in the lists already, and therefore not those of an apply to come."""
        online = [node for node in nodes if node.online]
        lists = await asyncio.gather(*(self._of(node.name, int(self._now()) - _SKEW) for node in online))
        return frozenset(upid for upids in lists for upid in upids or ())

    async def of_nodes(self, nodes: Iterable[NodeState], started: int, known: frozenset[str]) -> dict[str, NodeResult]:
        """How each node's reload ended that began with an apply at ``started`` (Unix seconds)."""
        results = await asyncio.gather(*(self._of_node(node, started - _SKEW, known) for node in nodes))
        return {result.name: result for result in results}

    async def again(self, node: str) -> NodeResult:
        """Reload one node alone and follow it. Raises :class:`errors.PveError` where it could not be asked to."""
        return await self._ended(node, await self._gateway.reload_node(node))

    async def _of(self, node: str, since: int) -> list[str] | None:
        try:
            return await self._gateway.reload_tasks(node, since)
        except _UNREADABLE:
            return None

    async def _of_node(self, node: NodeState, since: int, known: frozenset[str]) -> NodeResult:
        if not node.online:
            message = "offline; it is reloaded when it returns"
            return NodeResult(node.name, ok=False, message=message, offline=True)
        for _ in range(5):  # the list may lag a moment behind the task
            upids = await self._of(node.name, since)
            if upids is None:
                return NodeResult(node.name, ok=False, message="its tasks could not be read", known=False)
            if mine := [upid for upid in upids if upid not in known]:
                return await self._ended(node.name, mine[0])
            await asyncio.sleep(self._pace.poll)
        return NodeResult(node.name, ok=False, message="it started no reload")

    async def _ended(self, node: str, upid: str) -> NodeResult:
        try:
            end = await self.follow(upid)
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
            log = await self._gateway.task_log(upid, last=500)
        except _UNREADABLE:
            log = []
        lines = [line.strip() for line in log if "warn" in line.lower() and not line.startswith("TASK ")]
        return "reloaded with warnings" + (f": {' | '.join(lines[:3])}" if lines else "")
