"""Writing what is known into the objects: after each pass, and after each look at the nodes in between.

It writes statuses, and takes finalizers away from what may go. It judges nothing: ``domain`` says what a status is.
Two tellers share it, the pass and the observer, so each report has its turn: a status is always made from the one
before it, and never half from two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.health.record import Health
from pve_evpn.domain.nics import NicDecision, NicPlan
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.plan.deletion import leaves_proxmox_alone
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.plan.outcome import NodeResult, Result
from pve_evpn.domain.status import nic as nic_report
from pve_evpn.domain.status import sdn as report
from pve_evpn.domain.status.sdn import Circumstances
from pve_evpn.engine import cluster_status, nodes
from pve_evpn.engine.context import ClusterContext

HealthByKey = Mapping[ObjectKey, Health]


class StatusWriter:
    """Reports of one cluster."""

    def __init__(self, context: ClusterContext) -> None:
        self._context = context
        self._cache = context.cache
        self._writer = context.writer
        self._turn = asyncio.Lock()
        self._again: Callable[[HealthByKey], Awaitable[None]] | None = None

    async def found(
        self,
        at: Circumstances,
        nics: NicPlan,
        endpoint: str,
        result: Result | None,
        reloads: Mapping[str, NodeResult],
        lock: Mapping[str, str] | None,
    ) -> None:
        """A pass could talk to Proxmox: statuses, parents first; then the finalizers that may go."""
        async with self._turn:
            cluster = self._cache.get(at.desired.cluster.key)
            if cluster:
                status = cluster_status.reachable(cluster, at, endpoint, result, reloads, lock)
                await self._writer.write_status(cluster, status)
            await self._tell(at, nics)
            await self._release_cluster()
            if not at.desired.cluster.deleting:
                await nodes.sync(self._context, at.state.nodes)
                await nodes.report(self._context, at.health, at.now)
            self._again = lambda health: self._tell_again(at, nics, health)

    async def lost(self, desired: Desired, problem: Problem, health: HealthByKey, *, past_grace: bool) -> None:
        """A pass could not: nothing can be known or done, but what needs nothing from Proxmox may go.

        Before the grace time has passed, what was known is left as it is.
        """
        async with self._turn:
            cluster = self._cache.get(desired.cluster.key)
            if cluster is None:
                return
            await self._writer.write_status(
                cluster, cluster_status.unreachable(cluster, problem, self._context.clock.now())
            )
            for resource in desired:
                current = self._cache.get(resource.key)
                if current is not None and current.deleting and _needs_nothing(current):
                    await self._release(current)
            telling = [r for r in desired if past_grace or r.deleting or not report.was_reported(r)]
            await self._tell_lost(telling, desired, problem, health)
            await self._release_cluster()
            if past_grace:
                self._again = lambda health: self._tell_lost(desired, desired, problem, health)

    async def seen(self, health: HealthByKey) -> None:
        """The nodes were looked at between two passes: say again what the last one found, with this health."""
        async with self._turn:
            if self._again:
                await self._again(health)

    # --- what a pass found --------------------------------------------------------------------------------------

    async def _tell(self, at: Circumstances, nics: NicPlan) -> None:
        for group in (at.desired.controllers, at.desired.zones, at.desired.vnets):
            await asyncio.gather(*(self._tell_one(r, at.plan.decisions.get(r.key), at) for r in group))
        await asyncio.gather(*(self._tell_nic(nic, nics.decisions.get(nic.key), at) for nic in at.desired.nics))

    async def _tell_again(self, at: Circumstances, nics: NicPlan, health: HealthByKey) -> None:
        again = replace(at, health=health, now=self._context.clock.now())
        await self._tell(again, nics)
        await nodes.report(self._context, health, again.now)

    async def _tell_one(self, resource: Resource[Any], decision: Decision | None, at: Circumstances) -> None:
        current = self._cache.get(resource.key)
        if decision is None or current is None or current.generation != resource.generation:
            return  # a newer spec is on its way; its own pass will report
        if decision.release and current.deleting:
            await self._release(current)
            return
        await self._writer.write_status(current, report.sdn_status(current, decision, at))

    async def _tell_nic(self, nic: Resource[Any], decision: NicDecision | None, at: Circumstances) -> None:
        current = self._cache.get(nic.key)
        if decision is None or current is None or current.generation != nic.generation:
            return
        pin = at.pins.get(nic.key)
        forgotten = pin is not None and pin.holds and not current.force_orphan
        if decision.release and current.deleting and not forgotten:
            await self._release(current, decision.left)
            return
        await self._writer.write_status(current, nic_report.nic_status(current, decision, at))

    # --- when nothing was found ---------------------------------------------------------------------------------

    async def _tell_lost(
        self, resources: Iterable[Resource[Any]], desired: Desired, problem: Problem, health: HealthByKey
    ) -> None:
        now = self._context.clock.now()
        for resource in resources:
            current = self._cache.get(resource.key)
            if current is not None and current.generation == resource.generation:
                seen = health.get(resource.key)
                await self._writer.write_status(
                    current, report.unreachable_status(current, desired, problem, now, seen)
                )
        if health:
            await nodes.report(self._context, health, now)

    # --- letting go ---------------------------------------------------------------------------------------------

    async def _release(self, resource: Resource[Any], left: str = "") -> None:
        """Take our finalizer away; Kubernetes then removes the object."""
        await self._writer.release(resource, left)

    async def _release_cluster(self) -> None:
        """A ProxmoxCluster stays while anything refers to it, being deleted or not: its credentials are needed."""
        desired = self._context.desired
        if desired and desired.cluster.deleting and not any(True for _ in desired):
            await nodes.remove(self._context)
            await self._release(desired.cluster)


def _needs_nothing(resource: Resource[Any]) -> bool:
    if resource.key.kind == "NicAttachment":
        policy = getattr(resource.spec, "deletion_policy", None)
        return resource.force_orphan or resource.origin is None or policy == "Orphan"
    return leaves_proxmox_alone(resource)
