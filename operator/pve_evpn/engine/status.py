"""Writes what is known into the objects: after each sync, and after each poll of the nodes in between.

It writes statuses, and removes finalizers of what may go. It decides nothing: ``domain`` says what a status is. The
sync and the observer share it, so reports take turns: a status is always made from the one before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pve_evpn.api.conditions import ReportedStatus
from pve_evpn.api.events import EventReason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.guard import alone
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.nics import NicDecision, NicPlan
from pve_evpn.domain.nics.addresses import holds
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.plan.deletion import leaves_proxmox_alone
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.plan.withheld import waiting_plan
from pve_evpn.domain.status import cluster as cluster_status
from pve_evpn.domain.status import nic as nic_report
from pve_evpn.domain.status import sdn as report
from pve_evpn.domain.status import without_proxmox
from pve_evpn.domain.status.effective import ineffective
from pve_evpn.domain.status.reported import was_reported
from pve_evpn.domain.status.sync_result import SyncResult, count_nics, count_vnets, vnet_problems
from pve_evpn.engine import lifecycle, nodes
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import together

StatusT = TypeVar("StatusT", bound=ReportedStatus)
HealthByKey = Mapping[ObjectKey, Health]
#: Objects whose statuses are made side by side. More at once would hold up everything else.
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class _Lost:
    """Why Proxmox could not be reached, and what users wanted then."""

    desired: Desired
    problem: Problem


class StatusWriter:
    """Reports of one cluster."""

    def __init__(self, context: ClusterContext) -> None:
        self._context = context
        self._cache = context.cache
        self._writer = context.writer
        self._turn = asyncio.Lock()
        self._last: Sync | _Lost | None = None
        self._ineffective: Mapping[ObjectKey, Problem] = {}
        #: What the statuses were made from since the last sync: the object as it was then, and its health.
        self._made: dict[ObjectKey, tuple[Resource[Any], Health | None]] = {}

    async def report(self, sync: Sync) -> None:
        """Write what a sync found: statuses, parents first; then remove the finalizers that may go."""
        async with self._turn:
            self._made = {}
            self._ineffective = await asyncio.to_thread(ineffective, sync.desired, sync.state, sync.plan)
            at = await asyncio.to_thread(self._sync_result, sync)
            if cluster := self._context.resource:
                status = cluster_status.reachable(
                    cluster, at, sync.gateway.active_endpoint, sync.result, sync.reloads, sync.lock
                )
                await self._writer.write_status(cluster, status)
                entry = sync.journal
                if text := cluster_status.wrong_approval(cluster, status, (entry.approval, entry.consumed_approval)):
                    await self._writer.record(cluster, EventReason.WRONG_APPROVAL, text)
            await self._write_members(at, sync.nics, lifecycle.applied(sync.result, sync.journal))
            await self._release_cluster()
            if not sync.desired.cluster.deleting:
                await nodes.sync(self._context, sync.state.nodes)
                await nodes.report(self._context, at.health, at.now)
            self._last = sync

    async def report_lost(self, desired: Desired, problem: Problem, health: HealthByKey, *, past_grace: bool) -> None:
        """A sync could not reach Proxmox: objects that need nothing from it are released.

        Before the grace time has passed, statuses keep what was known.
        """
        async with self._turn:
            cluster = self._cache.get(desired.cluster.key)
            if cluster is None:
                return
            now = self._context.clock.now()
            await self._writer.write_status(cluster, cluster_status.unreachable(cluster, problem, now))
            for resource in desired:
                current = self._cache.get(resource.key)
                if current is not None and current.deleting and _needs_nothing(current):
                    await self._writer.release(current, lifecycle.left_behind(current))
            unknown = [r for r in desired if past_grace or r.deleting or not was_reported(r)]
            await self._write_lost(unknown, _Lost(desired, problem), health)
            await self._release_cluster()
            if past_grace:
                self._last = _Lost(desired, problem)

    async def refresh(self, health: HealthByKey, reported: Mapping[ObjectKey, Resource[Any]]) -> None:
        """The nodes were polled between two syncs: write again what the last one found, with this health.

        Only of objects whose health has changed since. ``reported``: the objects as they were when the health was
        assessed. One that was written in the meantime waits for the next poll: what this one says of it is outdated.
        """
        async with self._turn:
            match self._last:
                case Sync() as sync:
                    at = replace(await asyncio.to_thread(self._sync_result, sync), health=health)
                    try:
                        await self._write_members(at, sync.nics, reported=reported)
                    except BaseException:
                        self._made = {}
                        raise
                    await nodes.report(self._context, health, at.now)
                case _Lost() as lost:
                    await self._write_lost(lost.desired, lost, health)

    def _sync_result(self, sync: Sync) -> SyncResult:
        return SyncResult(
            sync.desired,
            sync.state,
            sync.plan,
            self._context.clock.now(),
            sync.held,
            sync.failures,
            sync.health,
            waiting_plan(sync.desired, sync.plan, sync.waiting, sync.held, sync.everything),
            sync.pins,
            sync.credential,
            sync.credentials_end,
            self._ineffective,
            count_vnets(sync.plan),
            count_nics(sync.nics),
            vnet_problems(sync.desired, sync.plan),
            sync.secrets,
            sync.addresses,
        )

    # --- what a sync found --------------------------------------------------------------------------------------

    async def _write_members(
        self,
        at: SyncResult,
        nics: NicPlan,
        applied: lifecycle.Applied = lifecycle.NOTHING,
        *,
        reported: Mapping[ObjectKey, Resource[Any]] | None = None,
    ) -> None:
        """``applied``: what was made live since the last report. ``reported``: as in refresh."""

        def as_assessed(resources: Sequence[Resource[Any]]) -> Sequence[Resource[Any]]:
            if reported is None:
                return resources
            return [r for r in resources if self._cache.get(r.key) is reported.get(r.key)]

        decisions = at.plan.decisions
        for group in at.desired.sdn_groups():
            await _in_turns(as_assessed(group), lambda r: self._write_sdn(r, decisions.get(r.key), at, applied))
        await _in_turns(as_assessed(at.desired.nics), lambda n: self._write_nic(n, nics.decisions.get(n.key), at))

    def _is_made(self, current: Resource[Any], at: SyncResult) -> bool:
        """Whether this object's status was made from the same already, since the last sync."""
        made_from = current, at.health.get(current.key)
        known = self._made.get(current.key)
        self._made[current.key] = made_from
        return known is not None and known[0] is current and known[1] == made_from[1]

    async def _write_sdn(
        self, resource: Resource[Any], decision: Decision | None, at: SyncResult, applied: lifecycle.Applied
    ) -> None:
        current = self._cache.get(resource.key)
        if decision is None or current is None or current.generation != resource.generation:
            return  # a newer spec is on its way; its own sync reports
        if decision.release and current.deleting:
            await self._writer.release(current, lifecycle.gone(current, decision))
            return
        status = await self._write_made(current, at, lambda: report.sdn_status(current, decision, at))
        if status and (event := lifecycle.programmed(current.status, status, decision, applied)):
            await self._writer.record(current, *event)

    async def _write_nic(self, nic: Resource[Any], decision: NicDecision | None, at: SyncResult) -> None:
        current = self._cache.get(nic.key)
        if decision is None or current is None or current.generation != nic.generation:
            return
        pin = at.pins.get(nic.key)
        forgotten = (pin is not None and pin.holds and not current.force_orphan) or holds(current, decision)
        if decision.release and current.deleting and not forgotten:
            await self._writer.release(current, lifecycle.nic_gone(current, decision))
            return
        await self._write_made(current, at, lambda: nic_report.nic_status(current, decision, at))

    async def _write_made(self, current: Resource[Any], at: SyncResult, build: Callable[[], StatusT]) -> StatusT | None:
        """Build and write a status; None where it was made from the same already. A defect is that object's alone."""
        if self._is_made(current, at):
            return None
        status: StatusT = alone(
            current.key, build, lambda problem: without_proxmox.unowned_status(current, problem, at.now)
        )
        await self._writer.write_status(current, status)
        return status

    # --- when Proxmox could not be reached ----------------------------------------------------------------------

    async def _write_lost(self, resources: Iterable[Resource[Any]], lost: _Lost, health: HealthByKey) -> None:
        now = self._context.clock.now()
        for resource in resources:
            current = self._cache.get(resource.key)
            if current is not None and current.generation == resource.generation:
                status = without_proxmox.unreachable_status(
                    current, lost.desired, lost.problem, now, health.get(resource.key)
                )
                await self._writer.write_status(current, status)
        if health:
            await nodes.report(self._context, health, now)

    # --- releasing ----------------------------------------------------------------------------------------------

    async def _release_cluster(self) -> None:
        """A ProxmoxCluster stays while anything refers to it, being deleted or not: its credentials are needed."""
        desired = self._context.desired
        if desired and desired.cluster.deleting and not any(True for _ in desired):
            await nodes.remove(self._context)
            await self._writer.release(desired.cluster)


async def _in_turns(resources: Sequence[Resource[Any]], write: Callable[[Resource[Any]], Awaitable[None]]) -> None:
    """Write some at a time."""
    for start in range(0, len(resources), _AT_ONCE):
        await together(map(write, resources[start : start + _AT_ONCE]))


def _needs_nothing(resource: Resource[Any]) -> bool:
    if resource.key.kind == "NicAttachment":
        policy = getattr(resource.spec, "deletion_policy", None)
        return resource.force_orphan or resource.origin is None or policy == "Orphan"
    return leaves_proxmox_alone(resource)
