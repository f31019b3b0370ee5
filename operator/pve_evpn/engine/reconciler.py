"""One cluster's reconciler: when something changed, or time has passed, bring Proxmox and Kubernetes together.

A pass is: look, plan, (detach NICs,) one transaction, look again, attach NICs, observe, report. Every pass starts
from the whole state, so a pass may fail or be killed anywhere and the next one makes good. Nothing here speaks to
Proxmox but through the gateway, or to Kubernetes but through the ports.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from pve_evpn import metrics
from pve_evpn.api.conditions import Reason
from pve_evpn.api.events import EventReason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.objects import Desired
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.plan.outcome import NodeResult
from pve_evpn.domain.state import OLDEST_SUPPORTED, ClusterState, PveVersion
from pve_evpn.domain.status import sdn as report
from pve_evpn.domain.status.sdn import Circumstances
from pve_evpn.engine.apply import Applier, Look
from pve_evpn.engine.connection import Connection, GatewayMaker, NoConnection, problem_of
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.expiry import Expiry
from pve_evpn.engine.firewall import FirewallWriter
from pve_evpn.engine.nics import NicWriter
from pve_evpn.engine.pins import Helper, PinWriter
from pve_evpn.engine.reload_retry import ReloadRetry
from pve_evpn.engine.status import HealthByKey, StatusWriter
from pve_evpn.leadership import NotLeader
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

log = logging.getLogger(__name__)

#: Changes that come together are planned together: wait for this much quiet, but no longer than the cap (seconds).
QUIET, QUIET_CAP = 0.2, 2.0
#: Seconds between attempts after a failure, doubling.
BACKOFF_FIRST, BACKOFF_MAX = 1.0, 60.0
#: Seconds without contact before what was known becomes Unknown, unless the spec says otherwise.
GRACE = 60.0
INTERVAL = 15.0


class Observer(Protocol):
    """Looks at BGP and the VNIs of one cluster on its own time and says what it means for each object."""

    async def run(self, seen: Callable[[HealthByKey], Awaitable[None]], look_again: Callable[[], None]) -> None:
        """Look until cancelled, and tell."""

    def know(self, gateway: Gateway, desired: Desired, state: ClusterState, plan: Plan, nics: NicPlan) -> None:
        """What a pass found: what there is to look at."""

    def lost(self) -> None:
        """A pass could not talk to Proxmox."""

    def health(self) -> HealthByKey:
        """What was seen last."""

    @property
    def looks(self) -> ClusterObservation | None:
        """What the nodes said last; None before they were asked, and where nobody asks them."""

    def helper(self) -> Helper | None:
        """The way to our helper on the nodes; None where there is none."""


class Reconciler:
    """The loop of one ProxmoxCluster."""

    def __init__(self, context: ClusterContext, observer: Observer, gateways: GatewayMaker = Gateway) -> None:
        self._context = context
        self.cluster = context.cluster
        self._cache = context.cache
        self._writer = context.writer
        self._observer = observer
        self._connection = Connection(context.cluster, context.ports.secrets, gateways)
        self._expiry = Expiry()
        self._statuses = StatusWriter(context)
        self._applier = Applier(context)
        self._reload_retry = ReloadRetry(context)
        self._firewalls = FirewallWriter(context)
        self._pins = PinWriter(context, observer.helper)
        self._nics = NicWriter(context, self._pins)
        self._wake = asyncio.Event()
        self._stopping = False
        self._attempts = 0
        self._last_contact: float | None = None
        self.busy = False

    def wake(self) -> None:
        """Something changed."""
        self._wake.set()

    def stop(self) -> None:
        """End after the present pass."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Reconcile until stopped, or until the ProxmoxCluster is gone."""
        observing = asyncio.create_task(self._observe(), name=f"observer-{self.cluster}")
        try:
            pause = 0.0
            while not self._stopping:
                await self._wait(pause)
                if self._stopping or self._context.desired is None:
                    return
                self.busy = True
                with metrics.RECONCILE_SECONDS.labels(self.cluster).time():
                    pause = await self.run_once()
                self.busy = False
        finally:
            observing.cancel()
            await asyncio.gather(observing, return_exceptions=True)
            self._connection.close()
            metrics.forget_cluster(self.cluster)

    async def _observe(self) -> None:
        """Look at the nodes for as long as this runs; what ends a look's loop must not leave everybody blind."""
        while True:
            try:
                await self._observer.run(self._statuses.seen, self.wake)
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) and task.cancelling():
                    raise
                log.error("%s: observing the nodes was cancelled from elsewhere; beginning again", self.cluster)
            except Exception:
                log.exception("%s: observing the nodes ended; beginning again", self.cluster)
            await asyncio.sleep(BACKOFF_MAX)

    async def _wait(self, seconds: float) -> None:
        """Until woken and quiet, or until ``seconds`` have passed."""
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return
        deadline = self._context.clock.monotonic() + QUIET_CAP
        while self._wake.is_set() and self._context.clock.monotonic() < deadline and not self._stopping:
            self._wake.clear()
            await asyncio.sleep(QUIET)

    async def run_once(self) -> float:
        """One pass, whatever becomes of it; the seconds until the next one if nothing happens."""
        desired = self._context.desired
        assert desired is not None
        result = "error"
        try:
            settled = await self._pass(desired)
            result = "ok" if settled else "waiting"
            self._attempts = 0 if settled else self._attempts + 1
            return self._interval(desired) if settled else self._backoff(cap=self._interval(desired))
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
            log.exception("%s: a pass failed; trying again", self.cluster)
        finally:
            metrics.RECONCILES.labels(self.cluster, result).inc()
        self._attempts += 1
        return self._backoff()

    def _interval(self, desired: Desired) -> float:
        observe = desired.cluster.spec.observe if desired.cluster.spec else None
        return float((observe.interval_seconds if observe else None) or INTERVAL)

    def _backoff(self, cap: float = BACKOFF_MAX) -> float:
        pause: float = min(cap, BACKOFF_FIRST * 2 ** max(0, self._attempts - 1))
        return pause * random.uniform(0.8, 1.2)  # noqa: S311

    # --- a pass -------------------------------------------------------------------------------------------------

    async def _pass(self, desired: Desired) -> bool:
        """Look, act, report. False where something is still to be done that no event will announce."""
        if desired.cluster.spec is None:
            problem = Problem(Reason.INVALID_SPEC, desired.cluster.invalid or "unreadable")
            await self._lost(desired, problem)
            return True
        await self._greet(desired)
        gateway = await self._connection.gateway(desired.cluster.spec)
        release = await gateway.version()
        if PveVersion.parse(release) < OLDEST_SUPPORTED:
            message = f"Proxmox VE {release} has no SDN lock; {OLDEST_SUPPORTED} or newer is needed"
            raise NoConnection(Problem(Reason.VERSION_UNSUPPORTED, message))
        await self._applier.load()
        look = self._looker(gateway, release)
        state, planned = await look()
        self._last_contact = self._context.clock.monotonic()
        metrics.REACHABLE.labels(self.cluster).set(1)
        await self._record_drift(desired, planned)

        _, detached = await self._nics.detach(gateway, self._desired(), state, planned)
        if detached is not state:
            state, planned = detached, self._plan(detached)
        carried = await self._applier.carry_out(gateway, self._desired(), state, planned, look)
        reloaded = carried.result is not None and bool(carried.result.nodes)
        caught = {} if reloaded else await self._catch_up(gateway, state, planned)
        if carried.result is not None or caught or planned.needs_apply:
            state, planned = await look()
        desired = self._desired()
        planned = await self._firewalls.write(gateway, desired, planned)
        nics, state = await self._nics.write(gateway, desired, state, planned)
        self._observer.know(gateway, desired, state, planned, nics)
        health = self._observer.health()
        pins = await self._pins.run(self._desired(), state, planned, nics, self._observer.looks)
        failures = {**self._applier.failures.active(desired), **self._nics.problems}
        at = Circumstances(
            desired, state, planned, self._context.clock.now(), carried.held, failures, health, carried.waiting, pins,
            await self._expiry.of(gateway),
        )  # fmt: skip
        reloads = {**(carried.result.nodes if carried.result else {}), **caught}
        await self._statuses.found(at, nics, gateway.active_endpoint, carried.result, reloads, self._applier.lock)
        await self._applier.remembered()
        held = carried.held is not None or self._applier.journal.interrupted
        return not (held or any(f.retryable for f in failures.values()) or planned.needs_apply)

    def _desired(self) -> Desired:
        """The newest state; a cluster deleted in mid-pass keeps its last one."""
        desired = self._context.desired
        if desired is None:
            raise NoConnection(Problem(Reason.REF_NOT_FOUND, "the ProxmoxCluster is gone"))
        return desired

    def _looker(self, gateway: Gateway, release: str) -> Look:
        async def look() -> tuple[ClusterState, Plan]:
            desired = self._desired()
            guests = bool(desired.nics) or any(vnet.deleting for vnet in desired.vnets)
            state = await gateway.read_cluster(release, guests=guests)
            return state, self._plan(state)

        return look

    def _plan(self, state: ClusterState) -> Plan:
        desired, journal = self._desired(), self._applier.journal
        return plan(
            desired,
            state,
            journal=journal.creating,
            failures=self._applier.failures.active(desired),
            recovering=journal.interrupted,
            spent=journal.spent,
        )

    async def _catch_up(self, gateway: Gateway, state: ClusterState, planned: Plan) -> dict[str, NodeResult]:
        """Reload the nodes that missed something, one after the other."""
        cluster = self._desired().cluster
        if not self._context.is_leader() or self._applier.may_not_write(cluster) or not state.quorate:
            return {}
        results = {}
        for node in self._reload_retry.due(cluster, state, planned):
            results[node.name] = result = await self._reload_retry.reload(gateway, cluster, node)
            if result.ok:
                message = f"{node.name} has loaded what it had missed"
                await self._writer.record(cluster, EventReason.NODE_CAUGHT_UP, message)
        return results

    async def _record_drift(self, desired: Desired, planned: Plan) -> None:
        """An Event for each object of which another client changed something."""
        written_back = getattr(desired.cluster.spec, "drift", None) != "Report"
        for resource in desired:
            if decision := planned.decisions.get(resource.key):
                corrected = written_back and decision.managed
                await self._writer.record_drift(resource, decision.drift, corrected=corrected)

    # --- reporting ----------------------------------------------------------------------------------------------

    async def _greet(self, desired: Desired) -> None:
        """Objects seen for the first time say that nothing is known yet; the cluster gets its finalizer."""
        if not desired.cluster.deleting:
            await self._writer.claim(desired.cluster, {})
        new = [r for r in (desired.cluster, *desired) if not r.status.conditions]
        now = self._context.clock.now()
        await asyncio.gather(*(self._writer.write_status(r, report.pending_status(r, now)) for r in new))

    async def _lost(self, desired: Desired, problem: Problem) -> None:
        """Nothing can be known or done at present. What was known a moment ago is still said for the grace time."""
        metrics.REACHABLE.labels(self.cluster).set(0)
        observe = desired.cluster.spec.observe if desired.cluster.spec else None
        grace = GRACE if observe is None or observe.grace_seconds is None else observe.grace_seconds
        past_grace = self._last_contact is None or self._context.clock.monotonic() - self._last_contact >= grace
        self._observer.lost()
        await self._statuses.lost(desired, problem, self._observer.health(), past_grace=past_grace)
