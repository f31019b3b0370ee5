"""One cluster's reconciler: when something changed, or time has passed, bring Proxmox and Kubernetes together.

A pass is: look, plan, (detach NICs,) one transaction, look again, attach NICs, observe, report. Every pass starts
from the whole state, so a pass may fail or be killed anywhere and the next one makes good. Nothing here speaks to
Proxmox but through the gateway, or to Kubernetes but through the ports.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from pve_evpn import metrics
from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.domain import report
from pve_evpn.domain.decisions import Finding, Plan
from pve_evpn.domain.evpn import ClusterObservation
from pve_evpn.domain.leadership import MayWrite, NotLeading
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.observed import OLDEST_SUPPORTED, Observed, PveVersion
from pve_evpn.domain.plan import plan
from pve_evpn.domain.report import Circumstances
from pve_evpn.domain.resources import Desired, Resource
from pve_evpn.engine.catching_up import CatchingUp
from pve_evpn.engine.connection import Connection, GatewayMaker, NoConnection, finding_of
from pve_evpn.engine.expiry import Expiry
from pve_evpn.engine.firewalls import Firewalls
from pve_evpn.engine.nic_writing import NicWriting
from pve_evpn.engine.pinning import Helper, Pinning
from pve_evpn.engine.ports import Ports
from pve_evpn.engine.reloads import NodeResult, Pace
from pve_evpn.engine.reporting import HealthByKey, Reporting
from pve_evpn.engine.store import Store
from pve_evpn.engine.transacting import Look, Transacting
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

    def know(self, gateway: Gateway, desired: Desired, observed: Observed, plan: Plan, nics: NicPlan) -> None:
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

    def __init__(
        self,
        cluster: str,
        store: Store,
        ports: Ports,
        observer: Observer,
        *,
        may_write: MayWrite = lambda: True,
        pace: Pace | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        gateways: GatewayMaker = Gateway,
    ) -> None:
        self.cluster = cluster
        self._store = store
        self._ports = ports
        self._observer = observer
        self._may_write = may_write
        self._pace = pace or Pace()
        self._clock = clock
        self._connection = Connection(cluster, ports.secrets, gateways)
        self._expiry = Expiry()
        self._reporting = Reporting(cluster, store, ports.objects, ports.events, clock)
        self._transacting = Transacting(cluster, store, ports, self._mark, may_write, self._pace, clock)
        self._catching_up = CatchingUp(self._pace, clock)
        self._firewalls = Firewalls(may_write)
        remember = self._reporting.write
        self._pins = Pinning(cluster, store, ports.events, remember, observer.helper, may_write)
        self._nics = NicWriting(
            cluster, store, ports.events, self._mark, remember, may_write, self._pace, self._pins.before_write
        )
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
                if self._stopping or self._store.desired(self.cluster) is None:
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
                await self._observer.run(self._reporting.seen, self.wake)
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
        deadline = time.monotonic() + QUIET_CAP
        while self._wake.is_set() and time.monotonic() < deadline and not self._stopping:
            self._wake.clear()
            await asyncio.sleep(QUIET)

    async def run_once(self) -> float:
        """One pass, whatever becomes of it; the seconds until the next one if nothing happens."""
        desired = self._store.desired(self.cluster)
        assert desired is not None
        result = "error"
        try:
            settled = await self._pass(desired)
            result = "ok" if settled else "waiting"
            self._attempts = 0 if settled else self._attempts + 1
            return self._interval(desired) if settled else self._backoff(cap=self._interval(desired))
        except NoConnection as problem:
            await self._lost(desired, problem.finding)
        except errors.AuthenticationFailed as problem:
            self._connection.try_other_token()
            await self._lost(desired, finding_of(problem))
        except errors.PveError as problem:
            await self._lost(desired, finding_of(problem))
        except NotLeading as problem:
            result = "not leading"
            log.warning("%s: %s", self.cluster, problem)
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
            finding = Finding(Reason.INVALID_SPEC, desired.cluster.invalid or "unreadable")
            await self._lost(desired, finding)
            return True
        await self._greet(desired)
        gateway = await self._connection.gateway(desired.cluster.spec)
        release = await gateway.version()
        if PveVersion.parse(release) < OLDEST_SUPPORTED:
            message = f"Proxmox VE {release} has no SDN lock; {OLDEST_SUPPORTED} or newer is needed"
            raise NoConnection(Finding(Reason.VERSION_UNSUPPORTED, message))
        await self._transacting.load()
        look = self._looker(gateway, release)
        observed, planned = await look()
        self._last_contact = time.monotonic()
        metrics.REACHABLE.labels(self.cluster).set(1)
        await self._tell_drift(desired, planned)

        _, detached = await self._nics.write(gateway, self._desired(), observed, planned, detach_only=True)
        if detached is not observed:
            observed, planned = detached, self._plan(detached)
        carried = await self._transacting.carry_out(gateway, self._desired(), observed, planned, look)
        reloaded = carried.result is not None and bool(carried.result.nodes)
        caught = {} if reloaded else await self._catch_up(gateway, observed, planned)
        if carried.result is not None or caught or planned.needs_apply:
            observed, planned = await look()
        desired = self._desired()
        planned = await self._firewalls.write(gateway, desired, planned)
        nics, observed = await self._nics.write(gateway, desired, observed, planned)
        self._observer.know(gateway, desired, observed, planned, nics)
        health = self._observer.health()
        pins = await self._pins.run(self._desired(), observed, planned, nics, self._observer.looks)
        failures = {**self._transacting.failures.active(desired), **self._nics.findings}
        at = Circumstances(
            desired, observed, planned, self._clock(), carried.held, failures, health, carried.waiting, pins,
            await self._expiry.of(gateway),
        )  # fmt: skip
        reloads = {**(carried.result.nodes if carried.result else {}), **caught}
        await self._reporting.found(at, nics, gateway.active_endpoint, carried.result, reloads, self._transacting.lock)
        await self._transacting.remembered()
        held = carried.held is not None or self._transacting.journal.interrupted
        return not (held or any(f.heals for f in failures.values()) or planned.needs_apply)

    def _desired(self) -> Desired:
        """The newest state; a cluster deleted in mid-pass keeps its last one."""
        desired = self._store.desired(self.cluster)
        if desired is None:
            raise NoConnection(Finding(Reason.REF_NOT_FOUND, "the ProxmoxCluster is gone"))
        return desired

    def _looker(self, gateway: Gateway, release: str) -> Look:
        async def look() -> tuple[Observed, Plan]:
            desired = self._desired()
            guests = bool(desired.nics) or any(vnet.deleting for vnet in desired.vnets)
            observed = await gateway.observe(release, guests=guests)
            return observed, self._plan(observed)

        return look

    def _plan(self, observed: Observed) -> Plan:
        desired, journal = self._desired(), self._transacting.journal
        return plan(
            desired,
            observed,
            journal=journal.creating,
            failures=self._transacting.failures.active(desired),
            recovering=journal.interrupted,
            spent=journal.spent,
        )

    async def _catch_up(self, gateway: Gateway, observed: Observed, planned: Plan) -> dict[str, NodeResult]:
        """Reload the nodes that missed something, one after the other."""
        cluster = self._desired().cluster
        if not self._may_write() or self._transacting.may_not_write(cluster) or not observed.quorate:
            return {}
        results = {}
        for node in self._catching_up.due(cluster, observed, planned):
            results[node.name] = result = await self._catching_up.reload(gateway, cluster, node)
            if result.ok:
                await self._event(cluster, "Normal", "NodeCaughtUp", f"{node.name} has loaded what it had missed")
        return results

    async def _tell_drift(self, desired: Desired, planned: Plan) -> None:
        """Say once that somebody changed what is ours; corrected at once, it would show in no status."""
        corrected = getattr(desired.cluster.spec, "drift", None) != "Report"
        for resource in desired:
            decision = planned.decisions.get(resource.key)
            if decision is None or not decision.drift or report.is_drifted(resource):
                continue
            metrics.DRIFT.labels(self.cluster, resource.key.kind).inc()
            what = "the specified values are written back" if corrected and decision.managed else "only reported"
            await self._event(resource, "Warning", "Drifted", f"{'; '.join(decision.drift)}: {what}")

    async def _mark(self, resource: Resource[Any], annotations: Mapping[str, str]) -> bool:
        """Add our finalizer and annotations where they are not there yet; false if somebody wrote it meanwhile."""
        missing = {key: value for key, value in annotations.items() if resource.annotations.get(key) != value}
        if resource.has_finalizer and not missing:
            return True
        finalizers = resource.finalizers if resource.has_finalizer else (*resource.finalizers, kinds.FINALIZER)
        raw = await self._ports.objects.patch_metadata(resource.key, resource.resource_version, finalizers, missing)
        if raw:
            self._store.upsert(raw)
        return raw is not None

    # --- reporting ----------------------------------------------------------------------------------------------

    async def _greet(self, desired: Desired) -> None:
        """Objects seen for the first time say that nothing is known yet; the cluster gets its finalizer."""
        if not desired.cluster.deleting:
            await self._mark(desired.cluster, {})
        new = [r for r in (desired.cluster, *desired) if not r.status.get("conditions")]
        await asyncio.gather(*(self._reporting.write(r, report.pending_status(r, self._clock())) for r in new))

    async def _lost(self, desired: Desired, finding: Finding) -> None:
        """Nothing can be known or done at present. What was known a moment ago is still said for the grace time."""
        metrics.REACHABLE.labels(self.cluster).set(0)
        observe = desired.cluster.spec.observe if desired.cluster.spec else None
        grace = GRACE if observe is None or observe.grace_seconds is None else observe.grace_seconds
        past_grace = self._last_contact is None or time.monotonic() - self._last_contact >= grace
        self._observer.lost()
        await self._reporting.lost(desired, finding, self._observer.health(), past_grace=past_grace)

    async def _event(self, resource: Resource[Any], kind: str, reason: str, message: str) -> None:
        await self._ports.events.post(resource.key, resource.uid, kind, reason, message)
