"""The observer of one cluster: polls the nodes on its own time and says what that means for each object.

It runs beside the reconciler, so that neither waits for the other: a dead node holds up no pass, and a pass that
waits (for a lock, a window, minutes of applying, a Proxmox that does not answer) holds up no poll. The pass tells it
what there is to look at (`know`); it tells the pass what it saw (`health`). It reads nothing from Proxmox but through
its sources and writes nothing but Events and metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.cluster import Observe
from pve_evpn.domain.health import Judgement, judge_all, untouched
from pve_evpn.domain.health.debounce import HOLD
from pve_evpn.domain.health.expected import ExpectedOverlay, expected_overlay, remembered_overlay
from pve_evpn.domain.health.transitions import facts, remembered
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.events import TransitionRecorder, measure
from pve_evpn.engine.pins import Helper
from pve_evpn.engine.sources import Sources
from pve_evpn.engine.status import HealthByKey
from pve_evpn.engine.sync import Sync
from pve_evpn.observe.pve_api import Access
from pve_evpn.observe.source import NodeTarget

log = logging.getLogger(__name__)

INTERVAL = 15.0
GRACE = 60.0
_LOOK_NOW = kinds.ANNOTATION_RECONCILE


class Observer:
    """Looks at BGP and the VNIs of one cluster. `hold`: how long a change must last to be worth an Event."""

    def __init__(self, context: ClusterContext, *, sources: Sources | None = None, hold: timedelta = HOLD) -> None:
        self._context = context
        self._cluster = context.cluster
        self._cache = context.cache
        self._hold = hold
        self._sources = sources or Sources(context.ports.secrets, lambda: self._access)
        self._access: Access | None = None
        self._scene: ExpectedOverlay | None = None
        self._looks: ClusterObservation | None = None
        self._suspects: frozenset[ObjectKey] = frozenset()
        self._interval = timedelta(seconds=INTERVAL)
        self._announcer: TransitionRecorder | None = None
        self._told = asyncio.Event()
        self._soon = asyncio.Event()
        self._asked: tuple[object, ...] | None = None

    # --- between the pass and the polls -------------------------------------------------------------------------

    def expect(self, sync: Sync) -> Sync:
        """Take what a sync found as what the nodes should show; add the last poll and what it means."""
        desired, gateway, state = sync.desired, sync.gateway, sync.state
        self._scene = expected_overlay(desired, state, sync.plan, sync.nics, self._scene)
        fabrics = {c.spec.underlay.fabric for c in desired.controllers if c.spec and c.spec.underlay.fabric}
        self._access = Access(gateway, state.version, self._scene, tuple(sorted(fabrics)))
        self._told.set()
        # Somebody who changes how to look, or asks for a look, does not want to wait for the interval.
        asked = (desired.cluster.spec and desired.cluster.spec.observe, desired.cluster.annotations.get(_LOOK_NOW))
        if self._asked not in (None, asked):
            self._soon.set()
        self._asked = asked
        return replace(sync, observation=self._looks, health=self.health())

    def lost(self) -> None:
        """Proxmox does not answer; what it said last is still what there is to look at."""
        self._access = None
        self._told.set()

    def health(self) -> HealthByKey:
        """What the last poll means for each object; before the first one everything stays as it was."""
        desired = self._context.desired
        if self._looks is None or self._scene is None or desired is None:
            return untouched([*(desired or ()), *self._nodes()])
        return self._judge(self._scene, self._looks, self._nodes()).health

    def helper(self) -> Helper | None:
        """The way to our helper on the nodes, where source ssh is one of the cluster's."""
        return self._sources.ssh

    # --- polling ------------------------------------------------------------------------------------------------

    async def run(self, seen: Callable[[HealthByKey], Awaitable[None]], look_again: Callable[[], None]) -> None:
        """Poll until cancelled, from the first pass on. After each poll `seen` gets the health of everything.

        `look_again` asks for a pass, where what the nodes say contradicts what Proxmox said of a guest.
        """
        loop = asyncio.get_running_loop()
        try:
            await self._told.wait()
            while True:
                began, interval = loop.time(), INTERVAL
                try:
                    interval = await self.poll(seen, look_again)
                except Exception:
                    log.exception("%s: a poll failed; trying again", self._cluster)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._soon.wait(), max(0.0, began + interval - loop.time()))
                self._soon.clear()
        finally:
            await self._sources.close()

    async def poll(self, seen: Callable[[HealthByKey], Awaitable[None]], look_again: Callable[[], None]) -> float:
        """One poll; the seconds from its beginning to the next."""
        desired = self._context.desired
        if desired is None or desired.cluster.spec is None:
            return INTERVAL
        observe = desired.cluster.spec.observe or Observe()
        interval = float(observe.interval_seconds or INTERVAL)
        self._interval = timedelta(seconds=interval)
        grace = timedelta(seconds=GRACE if observe.grace_seconds is None else observe.grace_seconds)
        self._scene = self._scene or remembered_overlay(desired)
        if not self._scene.members:
            self._scene = None  # nobody has said yet which nodes there are
            return min(1.0, interval)
        chain = await self._sources.chain(observe, interval, grace)
        members = self._scene.members.values()
        looks = await chain.observe([NodeTarget(node.name, node.address) for node in members])
        scene = self._scene  # a pass may have brought a newer one meanwhile
        # In a thread: thousands of routes and NICs take long enough to hold up everybody else.
        judgement = await asyncio.to_thread(self._judge, scene, looks, self._nodes())
        news = facts(judgement, looks)
        if self._announcer is None:
            known = remembered(news, self._cache.get)
            self._announcer = TransitionRecorder(self._context, self._hold, known)
        self._looks, self._suspects = looks, judgement.suspects
        if self._suspects:
            look_again()
        measure(self._cluster, looks, judgement)
        await seen(judgement.health)
        await self._announcer.announce(news, self._context.clock.now())
        return interval

    def _judge(self, scene: ExpectedOverlay, looks: ClusterObservation, nodes: list[Resource[Any]]) -> Judgement:
        return judge_all(
            scene, looks, nodes, self._cache.get, self._context.clock.now(), self._suspects, self._interval
        )

    def _nodes(self) -> list[Resource[Any]]:
        return [node for node in self._cache.of_kind("EvpnNode") if self._cache.cluster_of(node) == self._cluster]
