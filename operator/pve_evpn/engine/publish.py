"""Publishing: sending an apply, and following it on every node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pve_evpn.domain.plan.outcome import NodeResult
from pve_evpn.domain.state import NodeState
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.journal import ClusterJournal
from pve_evpn.engine.lock import LATE
from pve_evpn.engine.reload import Reloads
from pve_evpn.engine.tasks import TaskFollower, uninterrupted
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway, TaskEnd


@dataclass(frozen=True, slots=True)
class Published:
    """How an apply went.

    ``end`` is its task's, None if it outlasted our patience. ``nodes``: the nodes' reloads. ``note``: what is to be
    said of the apply as a whole.
    """

    end: TaskEnd | None
    nodes: Mapping[str, NodeResult] = field(default_factory=dict)
    note: str = ""

    @property
    def failed(self) -> set[str]:
        """Nodes whose reload is known to have failed. A node that was offline is no worse off than before."""
        return {f"{n.name}: {n.message}" for n in self.nodes.values() if not n.ok and n.known and not n.offline}

    @property
    def idle(self) -> bool:
        """Whether an online node has started no reload."""
        return any(not node.started and not node.offline for node in self.nodes.values())


class Publisher:
    """Applies for one transaction. ``tasks`` follows its tasks."""

    def __init__(self, context: ClusterContext, gateway: Gateway, journal: ClusterJournal, tasks: TaskFollower) -> None:
        self._context = context
        self._gateway = gateway
        self._journal = journal
        self._tasks = tasks
        self._reloads = Reloads(context, gateway, tasks)
        self._known: frozenset[str] | None = None
        """Reloads from before the apply that was sent last; None before one was sent."""

    async def publish(self, nodes: Iterable[NodeState]) -> Published:
        """Apply what is staged, and follow the task and every node's reload.

        Raises :class:`errors.Refused` where Proxmox answered with an error, OutcomeUnknown where it did not answer.
        """
        members = tuple(nodes)
        await self._gateway.seal()
        self._known = await self._reloads.listed(members)
        await self._journal.update(apply_started_at=int(self._now()))
        upid = await self._send()
        return await self._follow(await self._tasks.follow(upid), members)

    async def find(self, nodes: Iterable[NodeState]) -> Published:
        """How an apply went whose task is not known: the last one, of this transaction or of one that was cut off."""
        return await self._follow(TaskEnd(True, "OK"), nodes)

    async def _follow(self, end: TaskEnd | None, nodes: Iterable[NodeState]) -> Published:
        started = self._journal.entry.apply_started_at
        return Published(end, await self._reloads.of_nodes(nodes, started, self._known))

    async def _send(self) -> str:
        """Send the apply; its task.

        While the lock is free Proxmox takes any token. Where it is not known what becomes of the apply, the lock
        therefore stays until it can no longer be executed: it would publish whatever is staged then.
        """
        try:
            return await self._gateway.apply(self._journal.entry.lock_token)
        except (errors.OutcomeUnknown, asyncio.CancelledError):
            deadline = int(self._now()) + LATE
            await uninterrupted(self._journal.update(apply_deadline=deadline, relocked=False))
            raise

    def _now(self) -> float:
        return self._context.clock.now().timestamp()
