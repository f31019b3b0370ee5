"""The observer of one cluster: polls the nodes at its own interval and assesses what they show.

It runs beside the reconciler, and neither waits for the other: a dead node holds up no sync, and a sync that waits
(for a lock, a window, minutes of applying, a Proxmox that does not answer) holds up no poll. Each sync hands over what
the nodes should show (`expect`); each poll yields what they do show (`polls`). The observer reads Proxmox only through
its sources and writes only Events and metrics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.observe import Observe
from pve_evpn.domain.health import Assessment, Suspects, assess, untouched
from pve_evpn.domain.health.context import Reported
from pve_evpn.domain.health.expected import ExpectedOverlay
from pve_evpn.domain.health.overlay import expected_overlay, networks_to_advertise, remembered_overlay
from pve_evpn.domain.health.transitions import HOLD, Facts, facts, facts_before
from pve_evpn.domain.objects import Desired, Resource
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.engine.clock import wait_for_event
from pve_evpn.engine.confirm import NetworkView
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.events import TransitionRecorder, measure
from pve_evpn.engine.pins import Helper
from pve_evpn.engine.secrets import ClusterSecrets
from pve_evpn.engine.sources import Sources
from pve_evpn.engine.status import HealthByKey
from pve_evpn.engine.sync import Sync
from pve_evpn.observe.pve_api import Access
from pve_evpn.observe.source import NodeTarget

log = logging.getLogger(__name__)

#: Seconds between two polls, where the ProxmoxCluster does not say.
INTERVAL = 15.0
#: Seconds that a source's last answer is trusted, where the ProxmoxCluster does not say.
GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Poll:
    """One poll of the nodes and what it means.

    Attributes:
        observation: What the nodes show.
        health: What that means for each object's status.
        suspects: NICs whose MAC contradicts what Proxmox says of the guest: a new sync may know better.
        facts: What may be worth an Event, and in `before` what it was when the operator started.
        interval: How long after this poll began the next one is due.
        reported: The objects as they were when it was assessed.
    """

    observation: ClusterObservation
    health: HealthByKey
    suspects: Suspects
    facts: Facts
    before: Facts
    interval: timedelta
    reported: Reported


@dataclass(frozen=True, slots=True)
class _Known:
    """What the last sync and the last poll left behind. Replaced as a whole, because assessing runs in a thread."""

    expected: ExpectedOverlay | None = None
    observation: ClusterObservation | None = None
    health: HealthByKey = field(default_factory=dict)
    suspects: Suspects = field(default_factory=dict)
    interval: timedelta = timedelta(seconds=INTERVAL)


class Observer:
    """Observes BGP and the VNIs of one cluster. `hold`: how long a change must last to be worth an Event."""

    def __init__(self, context: ClusterContext, *, sources: Sources | None = None, hold: timedelta = HOLD) -> None:
        self._context = context
        self._hold = hold
        self._sources = sources or Sources(ClusterSecrets(context.cluster, context.ports.secrets), lambda: self._access)
        self._access: Access | None = None
        self._known = _Known()
        self._recorder: TransitionRecorder | None = None
        self._synced = asyncio.Event()
        self._poll_now = asyncio.Event()
        self._requested: tuple[object, ...] | None = None

    # --- between syncs and polls ----------------------------------------------------------------------------------

    async def expect(self, sync: Sync) -> Sync:
        """Take what a sync found as what the nodes should show; add the last poll and what it means."""
        desired, state = sync.desired, sync.state
        before = self._known.expected
        expected = await asyncio.to_thread(expected_overlay, desired, state, sync.plan, sync.nics, before)
        self._known = replace(self._known, expected=expected)
        self._access = _access(sync, expected)
        self._synced.set()
        # A user who changes how nodes are observed, or asks for a sync, gets a poll at once.
        requested = (
            desired.cluster.spec and desired.cluster.spec.observe,
            desired.cluster.annotations.get(kinds.ANNOTATION_RECONCILE),
        )
        if self._requested not in (None, requested):
            self._poll_now.set()
        self._requested = requested
        known, now = self._known, self._context.desired
        if known.observation is None or now is None:
            return replace(sync, observation=known.observation, health=self.health())
        reported = self._reported(now)
        assessed = await asyncio.to_thread(_assess, known, expected, known.observation, reported)
        self._known = replace(self._known, health=assessed.health)
        return replace(sync, observation=known.observation, health=assessed.health)

    def view(self) -> NetworkView | None:
        """The last poll; None before the first, and where no source sees the nodes."""
        known = self._known
        if known.expected is None or known.observation is None:
            return None
        return NetworkView(known.expected, known.observation)

    def poll_soon(self, sync: Sync) -> None:
        """Poll at once, also before the first sync has ended: what to expect is then what the statuses remember."""
        if self._access is None:
            self._access = _access(sync, self._known.expected or remembered_overlay(sync.desired))
        self._synced.set()
        self._poll_now.set()

    def lost(self) -> None:
        """Proxmox does not answer. What was expected last stays expected."""
        self._access = None
        self._synced.set()

    def health(self) -> HealthByKey:
        """What the last poll means for each object; before the first one everything stays as it was."""
        desired, known = self._context.desired, self._known
        if known.observation is None or known.expected is None or desired is None:
            return untouched([*(desired or ()), *self._nodes()])
        return _assess(known, known.expected, known.observation, self._reported(desired)).health

    def helper(self) -> Helper | None:
        """The way to the operator's helper on the nodes, where source ssh is one of the cluster's."""
        return self._sources.ssh

    # --- polling --------------------------------------------------------------------------------------------------

    async def polls(self) -> AsyncGenerator[Poll, None]:
        """Poll at the interval, from the first sync on, until closed. A poll that fails is logged and left out."""
        loop = asyncio.get_running_loop()
        try:
            await self._synced.wait()
            while True:
                began, interval = loop.time(), INTERVAL
                try:
                    if poll := await self.poll():
                        interval = poll.interval.total_seconds()
                        yield poll
                        await self.record(poll)
                    else:
                        interval = 1.0
                except Exception:
                    log.exception("%s: a poll failed; trying again", self._context.cluster)
                await wait_for_event(self._poll_now, max(0.0, began + interval - loop.time()))
                self._poll_now.clear()
        finally:
            await self._sources.close()

    async def poll(self) -> Poll | None:
        """One poll; None while it is not known which nodes there are."""
        desired = self._context.desired
        if desired is None or desired.cluster.spec is None:
            return None
        observe = desired.cluster.spec.observe or Observe()
        interval = timedelta(seconds=observe.interval_seconds or INTERVAL)
        grace = timedelta(seconds=GRACE if observe.grace_seconds is None else observe.grace_seconds)
        expected = self._known.expected or remembered_overlay(desired)
        if not expected.members:
            return None
        self._known = replace(self._known, expected=expected, interval=interval)
        chain = await self._sources.chain(observe, interval.total_seconds(), grace, desired.cluster.spec.endpoints)
        networks = networks_to_advertise(expected)
        targets = [NodeTarget(name, node.address, networks.get(name, ())) for name, node in expected.members.items()]
        observation = await chain.poll(targets)
        known = self._known
        expected = known.expected or expected  # a sync may have brought a newer one meanwhile
        reported = self._reported(self._context.desired or desired)
        # In a thread: thousands of routes and NICs take long enough to hold up everything else.
        assessment = await asyncio.to_thread(_assess, known, expected, observation, reported)
        self._known = replace(
            self._known, observation=observation, health=assessment.health, suspects=assessment.suspects
        )
        measure(self._context.cluster, observation, assessment)
        fresh = facts(assessment, observation)
        before = facts_before(fresh, reported) if self._recorder is None else {}
        return Poll(observation, assessment.health, assessment.suspects, fresh, before, interval, reported)

    async def record(self, poll: Poll) -> None:
        """Record the Events that are due."""
        if self._recorder is None:
            self._recorder = TransitionRecorder(self._context, self._hold, poll.before)
        await self._recorder.record(poll.facts, self._context.clock.now())

    def _reported(self, desired: Desired) -> Reported:
        """The cluster's objects as they are now: a snapshot, because assessing runs in a thread."""
        return {resource.key: resource for resource in (*desired, *self._nodes())}

    def _nodes(self) -> list[Resource[Any]]:
        cache = self._context.cache
        return [node for node in cache.of_kind("EvpnNode") if cache.cluster_of(node) == self._context.cluster]


def _access(sync: Sync, expected: ExpectedOverlay) -> Access:
    """The way to the nodes through the Proxmox API."""
    fabrics = {c.spec.underlay.fabric for c in sync.desired.controllers if c.spec and c.spec.underlay.fabric}
    return Access(sync.gateway, sync.state.capabilities.evpn_tables, expected, tuple(sorted(fabrics)))


def _assess(
    known: _Known, expected: ExpectedOverlay, observation: ClusterObservation, reported: Reported
) -> Assessment:
    """The assessment, with the health of the one before where it is the same: statuses and syncs keep both."""
    found = assess(expected, observation, reported, known.suspects, known.interval)
    health = {
        key: before if (before := known.health.get(key)) == health else health for key, health in found.health.items()
    }
    return replace(found, health=health)
