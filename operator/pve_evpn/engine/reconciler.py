"""One cluster's reconciler: when something changed, or time has passed, bring Proxmox and Kubernetes together.

Every sync starts from the whole state, so a sync may fail or be killed anywhere and the next one completes it. It
reaches Proxmox through the gateway only, and Kubernetes through the ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Protocol

from pve_evpn import logs, metrics
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.plan.twins import duplicate
from pve_evpn.engine import garbage
from pve_evpn.engine.addresses import AddressWriter
from pve_evpn.engine.apply import Applier
from pve_evpn.engine.backoff import Backoff
from pve_evpn.engine.clock import wait_for_event
from pve_evpn.engine.confirm import Network, NetworkView
from pve_evpn.engine.connection import Connection, GatewayMaker, NoConnection, problem_of
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.drift import DriftBrake
from pve_evpn.engine.failures import Failures
from pve_evpn.engine.firewall import FirewallWriter
from pve_evpn.engine.journal import ClusterJournal
from pve_evpn.engine.nics import NicWriter
from pve_evpn.engine.observer import Poll
from pve_evpn.engine.pins import Helper, PinWriter
from pve_evpn.engine.planner import Planner
from pve_evpn.engine.reload import ReloadRetry
from pve_evpn.engine.services import ServiceWriter
from pve_evpn.engine.status import HealthByKey, StatusWriter
from pve_evpn.engine.sync import Sync
from pve_evpn.leadership import NotLeader
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

log = logging.getLogger(__name__)

#: Changes that come together are planned together: a sync waits until none has come for this long (seconds), at most
#: for the longest.
DEBOUNCE, DEBOUNCE_LONGEST = 0.2, 2.0
#: While so many come within one such pause, thousands are on their way: then it waits for them for up to so many
#: seconds, because each apply reloads every node.
MANY, DEBOUNCE_MANY = 5, 30.0
#: Seconds between attempts after a failure.
BACKOFF_FIRST, BACKOFF_LONGEST = 1.0, 60.0
#: Seconds without contact before what was known becomes Unknown, and between syncs, unless the spec says otherwise.
GRACE = 60.0
#: Seconds by which the clocks of Proxmox and the operator may differ before the log says so.
CLOCK_OFFSET = 60.0
INTERVAL = 15.0
#: Seconds for which a sync that finds everything as the last one left it ends there.
REST = 300.0
#: Seconds after an apply that was put off is due.
_SOON = 0.1


class Observer(Network, Protocol):
    """Polls the nodes of one cluster at its own interval and assesses what they show."""

    def polls(self) -> AsyncGenerator[Poll, None]:
        """Poll at the interval until closed."""

    async def expect(self, sync: Sync) -> Sync:
        """Take what a sync found as what the nodes should show; add the last poll and what it means."""

    def lost(self) -> None:
        """A sync could not reach Proxmox."""

    def health(self) -> HealthByKey:
        """What the last poll means for each object."""

    def helper(self) -> Helper | None:
        """The way to the operator's helper on the nodes; None where there is none."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """A sync that left nothing to do: as it ended, the plan it began with, and when that was (monotonic seconds)."""

    sync: Sync
    plan: Plan
    since: float


class Reconciler:
    """The loop of one ProxmoxCluster."""

    def __init__(self, context: ClusterContext, observer: Observer, gateways: GatewayMaker = Gateway) -> None:
        self.cluster = context.cluster
        self._context = context
        self._observer = observer
        self._connection = Connection(context, gateways)
        self._journal = ClusterJournal(context.cluster, context.ports.journal)
        self._failures = Failures(context.clock)
        self._brake = DriftBrake(context, self._journal)
        self._planner = Planner(context, self._journal, self._failures, self._brake)
        self._applier = Applier(context, self._journal, self._planner, observer, self._failures)
        self._reload_retry = ReloadRetry(context)
        self._services = ServiceWriter(context, self._journal, self._planner, self._failures)
        self._firewalls = FirewallWriter(context, self._brake)
        self._pins = PinWriter(context, observer.helper)
        self._nics = NicWriter(context, self._pins)
        self._addresses = AddressWriter(context, self._planner.silent)
        self.statuses = StatusWriter(context)
        self._backoff = Backoff(BACKOFF_FIRST, BACKOFF_LONGEST)
        self._rest: _Rest | None = None
        self._changes = 0
        self._reported: ClusterObservation | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._last_contact: float | None = None
        self._clock_is_off = False
        self.busy = False

    # --- the loop -----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something changed."""
        self._changes += 1
        self._wake.set()

    @property
    def is_at_rest(self) -> bool:
        """Whether the last sync left nothing to do and nothing has changed since."""
        return not self._wake.is_set() and self._backoff.failures == 0

    def stop(self) -> None:
        """End after the present sync."""
        self._stopping = True
        self._wake.set()

    def view(self) -> NetworkView | None:
        """The last poll of the nodes; None before the first one."""
        return self._observer.view()

    def close(self) -> None:
        """Close the connections to Proxmox."""
        self._connection.close()

    async def run(self) -> None:
        """Reconcile until stopped, or until the ProxmoxCluster is gone."""
        observing = asyncio.create_task(self._observe(), name=f"observer-{self.cluster}")
        try:
            delay = 0.0
            while not self._stopping:
                await self._wait(delay)
                if self._stopping or self._context.desired is None:
                    return
                self.busy = True
                with metrics.RECONCILE_SECONDS.labels(self.cluster).time(), logs.fields(cluster=self.cluster):
                    delay = await self.run_once()
                self.busy = False
                await garbage.put_aside()
        finally:
            observing.cancel()
            await asyncio.gather(observing, return_exceptions=True)
            self.close()
            metrics.forget_cluster(self.cluster, is_gone=self._context.resource is None)

    async def run_once(self) -> float:
        """One sync, however it ends; the seconds until the next one if nothing happens."""
        self._wake.clear()
        desired = self._context.desired
        assert desired is not None
        result = "error"
        try:
            settled = await self.sync(desired)
            result = "ok" if settled else "waiting"
            if settled:
                self._backoff.succeeded()
                return self._interval(desired)
            delay = min(self._interval(desired), self._backoff.failed()) * _jitter()
            due = self._applier.seconds_to_next()
            return delay if due is None else min(delay, due + _SOON)
        except NoConnection as error:
            await self._lost(desired, error.problem)
        except errors.AuthenticationFailed as error:
            self._connection.try_other_token()
            await self._lost(desired, problem_of(error))
        except errors.PveError as error:
            await self._lost(desired, problem_of(error))
        except NotLeader as error:
            result = "not leading"
            log.warning("%s: %s", self.cluster, error)
        except Exception:
            log.exception("%s: a sync failed; trying again", self.cluster)
        finally:
            metrics.RECONCILES.labels(self.cluster, result).inc()
        return self._backoff.failed() * _jitter()

    async def _observe(self) -> None:
        """Poll the nodes for as long as this runs, whatever ends the observer."""
        while True:
            try:
                async with contextlib.aclosing(self._observer.polls()) as polls:
                    async for poll in polls:
                        await self._report(poll)
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) and task.cancelling():
                    raise
                log.error("%s: observing the nodes was cancelled from elsewhere; beginning again", self.cluster)
            except Exception:
                log.exception("%s: observing the nodes ended; beginning again", self.cluster)
            await asyncio.sleep(BACKOFF_LONGEST)

    async def _report(self, poll: Poll) -> None:
        """Write what a poll means into the statuses; sync where it contradicts what Proxmox said of a guest."""
        try:
            await self.statuses.refresh(poll.health, poll.reported)
            self._reported = poll.observation
        except Exception:
            log.exception("%s: what a poll showed could not be reported; the next one is", self.cluster)
        if poll.suspects:
            self.wake()

    async def _wait(self, seconds: float) -> None:
        """Until woken, and no change has come for a moment; or until ``seconds`` have passed."""
        if not await wait_for_event(self._wake, seconds):
            return
        monotonic = self._context.clock.monotonic
        began, deadline = monotonic(), monotonic() + DEBOUNCE_LONGEST
        while self._wake.is_set() and monotonic() < deadline and not self._stopping:
            self._wake.clear()
            self._changes = 0
            await asyncio.sleep(DEBOUNCE)
            if self._changes >= MANY:
                deadline = min(began + DEBOUNCE_MANY, monotonic() + DEBOUNCE_LONGEST)

    def _interval(self, desired: Desired) -> float:
        observe = desired.cluster.spec.observe if desired.cluster.spec else None
        return float((observe.interval_seconds if observe else None) or INTERVAL)

    # --- one sync -----------------------------------------------------------------------------------------------

    async def sync(self, desired: Desired) -> bool:
        """One sync. False where something is still to be done for which no event will come."""
        if desired.cluster.spec is None:
            await self._lost(desired, Problem(Reason.INVALID_SPEC, desired.cluster.invalid or "unreadable"))
            return True
        if not desired.cluster.deleting:
            await self._context.writer.claim(desired.cluster, {})
        gateway = await self._connection.gateway(desired.cluster.spec)
        await self._journal.load()

        sync = await self._planner.read(gateway)
        if problem := duplicate(desired.cluster, self._context.cache.of_kind("ProxmoxCluster"), sync.state):
            raise NoConnection(problem)
        self._reached(gateway)
        first = sync.plan
        if await self._rests(sync):
            return True
        sync = await self._brake_drift(sync)
        sync = await self._detach(sync)
        sync = await self._addresses.release(sync)
        sync = await self._services.write(sync)
        sync = await self._applier.apply(sync)
        await self._brake.corrected(sync)
        if not sync.reloads:
            sync = await self._planner.with_zones(sync)
        sync = await self._reload_retry.reload(sync)
        if sync.result or sync.reloads or sync.plan.needs_apply:
            sync = await self._planner.verify(sync)
        sync = await self._services.remove(sync)
        sync = await self._firewalls.write(sync)
        sync = await self._nics.attach(sync)
        sync = await self._addresses.register(sync)
        sync = await self._observer.expect(sync)
        sync = await self._pins.write(sync)

        sync = await self._planner.with_everything(sync)
        sync = await self._with_failures(sync)
        view = self._observer.view()
        if view is not None and view.observation is not sync.observation:
            sync = await self._observer.expect(sync)  # a poll came in between, and is newer
        await self.statuses.report(sync)
        await self._journal.forget_reported(sync.state.sdn)
        settled = self._settled(sync)
        self._rest = _Rest(sync, first, self._context.clock.monotonic()) if settled and self._may_rest(sync) else None
        return settled

    async def _rests(self, sync: Sync) -> bool:
        """Whether everything is as the last sync left it, which then left nothing to do.

        The plan is the same object only where what users want and what Proxmox has are the same.
        """
        rest = self._rest
        if rest is None or sync.plan is not rest.plan or sync.gateway is not rest.sync.gateway:
            return False
        if self._context.clock.monotonic() - rest.since >= REST or self._context.desired is not rest.sync.desired:
            return False
        view = self._observer.view()
        if view is not None and not any(view.observation is seen for seen in (rest.sync.observation, self._reported)):
            return False
        state = (await self._planner.with_zones(sync)).state
        return state.nodes == rest.sync.state.nodes

    def _may_rest(self, sync: Sync) -> bool:
        """Whether the next sync depends on nothing but what users want and what a refresh shows.

        A VNet's firewall is read by itself, and what is behind, fails, waits or goes depends on time.
        """
        desired = sync.desired
        waits = sync.held or sync.waiting or sync.failures or sync.addresses or sync.pins or sync.result or sync.reloads
        firewall = any(vnet.spec is not None and vnet.spec.firewall is not None for vnet in desired.vnets)
        going = desired.cluster.deleting or any(resource.deleting for resource in desired)
        return not (waits or firewall or going or self._reload_retry.is_behind or desired is not self._context.desired)

    async def _detach(self, sync: Sync) -> Sync:
        """Take NICs off VNets that are being deleted; what waited for that is planned anew."""
        detached = await self._nics.detach(sync)
        return detached if detached.state is sync.state else await self._planner.replan(detached)

    def _reached(self, gateway: Gateway) -> None:
        """Proxmox has answered."""
        offset = gateway.clock_offset
        if abs(offset) > CLOCK_OFFSET and not self._clock_is_off:
            direction = "ahead of" if offset > 0 else "behind"
            log.warning("%s: Proxmox' clock is %.0f s %s the operator's", self.cluster, abs(offset), direction)
        self._clock_is_off = abs(offset) > CLOCK_OFFSET
        self._last_contact = self._context.clock.monotonic()
        metrics.REACHABLE.labels(self.cluster).set(1)

    async def _with_failures(self, sync: Sync) -> Sync:
        """Add which objects failed, which credentials are in use, and when they end."""
        failures = {**self._planner.left_out(sync.desired), **self._nics.problems}
        end = await self._connection.credentials_end(sync.gateway)
        return replace(
            sync,
            failures=failures,
            credential=self._connection.credential,
            credentials_end=end,
            secrets=self._planner.services.given,
        )

    def _settled(self, sync: Sync) -> bool:
        waits = sync.held is not None or self._journal.entry.interrupted
        failed = any(problem.retryable for problem in (*sync.failures.values(), *sync.addresses.values()))
        return not (waits or failed or sync.plan.needs_apply)

    async def _brake_drift(self, sync: Sync) -> Sync:
        """Record what another client changed; what it changes again and again is not planned for a while."""
        replan = await self._brake.hold(sync)
        await self._record_drift(sync)
        return await self._planner.replan(sync) if replan else sync

    async def _record_drift(self, sync: Sync) -> None:
        """An Event for each object of which another client changed something."""
        written_back = getattr(sync.desired.cluster.spec, "drift", None) != "Report"
        for resource in sync.desired:
            if (decision := sync.plan.decisions.get(resource.key)) and decision.drift:
                corrected = written_back and decision.managed and resource.key not in self._brake.held
                await self._context.writer.record_drift(resource, decision.drift, corrected=corrected)

    # --- before and instead -------------------------------------------------------------------------------------

    async def _lost(self, desired: Desired, problem: Problem) -> None:
        """Nothing can be known or done at present. Statuses keep what was known for the grace time."""
        self._rest = None
        metrics.REACHABLE.labels(self.cluster).set(0)
        observe = desired.cluster.spec.observe if desired.cluster.spec else None
        grace = GRACE if observe is None or observe.grace_seconds is None else observe.grace_seconds
        past_grace = self._last_contact is None or self._context.clock.monotonic() - self._last_contact >= grace
        self._observer.lost()
        await self.statuses.report_lost(desired, problem, self._observer.health(), past_grace=past_grace)


def _jitter() -> float:
    """So that operators and clusters do not keep step."""
    return random.uniform(0.8, 1.2)  # noqa: S311
