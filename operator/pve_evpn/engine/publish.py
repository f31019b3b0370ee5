"""Publishing: sending an apply, and following it on every node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from pve_evpn.domain.plan.outcome import NodeResult
from pve_evpn.domain.sdn import SdnRef
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.journal import ClusterJournal
from pve_evpn.engine.lock import LATE
from pve_evpn.engine.planner import Planner
from pve_evpn.engine.reload import Reloads
from pve_evpn.engine.safety import ApplySafety
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import TaskFollower, uninterrupted
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway, TaskEnd

log = logging.getLogger(__name__)

_SERVER_ERROR = 500


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

    def __init__(
        self,
        context: ClusterContext,
        journal: ClusterJournal,
        planner: Planner,
        safety: ApplySafety,
        tasks: TaskFollower,
    ) -> None:
        self._context = context
        self._journal = journal
        self._planner = planner
        self._safety = safety
        self._tasks = tasks
        self._known: frozenset[str] | None = None
        """Reloads from before the apply that was sent last; None before one was sent."""

    async def publish(self, sync: Sync, staged: Set[SdnRef]) -> Published:
        """Publish what is staged, and follow it. ``staged`` are the objects it is about.

        Proxmox commits the configuration before it starts the reloads, so an apply that it answers with an error (as
        "got no worker upid") may have been committed: the running copy says so. Then the apply is sent again, which
        publishes nothing and reloads the nodes. Raises :class:`errors.PveError` where nothing was committed.
        """
        try:
            return await self._once(sync)
        except errors.LockHeld:
            raise
        except errors.Refused as error:
            if error.status < _SERVER_ERROR:
                raise
            after = await self._planner.refresh(sync)
            if staged & {change.ref for change in after.state.sdn.pending}:
                raise
            log.warning("%s: Proxmox committed an apply and answered: %s", self._context.cluster, error)
            published = await self._reload_all(after, await self._find(sync))
            return replace(published, note=f"Proxmox committed the changes, but answered the apply with: {error}")

    async def resume(self, sync: Sync) -> Published:
        """How an apply went whose end an earlier transaction did not see. It is committed."""
        published = await self._find(sync)
        return published if sync.state.sdn.pending else await self._reload_all(sync, published)

    async def _reload_all(self, sync: Sync, published: Published) -> Published:
        """Apply again where online nodes have started no reload. Nothing may be staged: it would be published."""
        if not published.idle or await self._safety.problem_now(sync):
            return published
        try:
            return await self._once(sync)
        except errors.Refused as error:
            log.warning("%s: the nodes are reloaded one by one: %s", self._context.cluster, error)
            return published

    async def _once(self, sync: Sync) -> Published:
        """Send one apply, and follow its task and every node's reload. Raises what the gateway raises."""
        await sync.gateway.seal()
        self._known = await Reloads(self._context, sync.gateway, self._tasks).listed(sync.state.nodes.values())
        await self._journal.update(apply_started_at=int(self._now()))
        upid = await self._send(sync.gateway)
        return await self._follow(sync, await self._tasks.follow(upid))

    async def _find(self, sync: Sync) -> Published:
        """How an apply went whose task is not known: the last one, of this transaction or of one that was cut off."""
        return await self._follow(sync, TaskEnd(True, "OK"))

    async def _follow(self, sync: Sync, end: TaskEnd | None) -> Published:
        started, reloads = self._journal.entry.apply_started_at, Reloads(self._context, sync.gateway, self._tasks)
        return Published(end, await reloads.of_nodes(sync.state.nodes.values(), started, self._known))

    async def _send(self, gateway: Gateway) -> str:
        """Send the apply; its task.

        While the lock is free Proxmox takes any token. Where it is not known what becomes of the apply, the lock
        therefore stays until it can no longer be executed: it would publish whatever is staged then.
        """
        try:
            return await gateway.apply(self._journal.entry.lock_token)
        except (errors.OutcomeUnknown, asyncio.CancelledError):
            deadline = int(self._now()) + LATE
            await uninterrupted(self._journal.update(apply_deadline=deadline, relocked=False))
            raise

    def _now(self) -> float:
        return self._context.clock.now().timestamp()
