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
from pve_evpn.domain.conditions import timestamp
from pve_evpn.domain.decisions import Finding, Plan
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.observed import OLDEST_SUPPORTED, Observed, PveVersion
from pve_evpn.domain.plan import plan
from pve_evpn.domain.report import Circumstances, Health
from pve_evpn.domain.resources import Desired, ObjectKey, Resource
from pve_evpn.engine import gate
from pve_evpn.engine.connection import Connection, NoConnection, finding_of
from pve_evpn.engine.nic_writing import NicWriting
from pve_evpn.engine.ports import JournalEntry, Ports
from pve_evpn.engine.reporting import Reporting
from pve_evpn.engine.store import Store
from pve_evpn.engine.transaction import Outcome, Pace, Result, Transaction
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
    """Looks at BGP and the VNIs of one cluster and says what it means for each object."""

    async def look(
        self, gateway: Gateway, desired: Desired, observed: Observed, plan: Plan, nics: NicPlan
    ) -> Mapping[ObjectKey, Health]: ...


class Reconciler:
    """The loop of one ProxmoxCluster."""

    def __init__(
        self,
        cluster: str,
        store: Store,
        ports: Ports,
        observer: Observer,
        *,
        may_write: Callable[[], bool] = lambda: True,
        pace: Pace | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.cluster = cluster
        self._store = store
        self._ports = ports
        self._observer = observer
        self._may_write = may_write
        self._pace = pace or Pace()
        self._clock = clock
        self._connection = Connection(cluster, ports.secrets)
        self._reporting = Reporting(cluster, store, ports.objects, clock)
        self._nics = NicWriting(cluster, store, ports.events, self._mark, self._reporting.write, may_write, self._pace)
        self._wake = asyncio.Event()
        self._stopping = False
        self._failures: dict[ObjectKey, tuple[int, Finding]] = {}
        self._attempts = 0
        self._last_contact: float | None = None
        self._locked_since: datetime | None = None
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
        try:
            pause = 0.0
            while not self._stopping:
                await self._wait(pause)
                if self._stopping or self._store.desired(self.cluster) is None:
                    return
                self.busy = True
                with metrics.RECONCILE_SECONDS.labels(self.cluster).time():
                    pause = await self._guarded_pass()
                self.busy = False
        finally:
            self._connection.close()
            metrics.forget_cluster(self.cluster)

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

    async def _guarded_pass(self) -> float:
        """One pass; the seconds until the next one if nothing happens."""
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
        journal = await self._ports.journal.load(self.cluster)
        look = self._looker(gateway, release, journal)
        observed, planned = await look()
        self._last_contact = time.monotonic()
        metrics.REACHABLE.labels(self.cluster).set(1)

        await self._nics.write(gateway, self._desired(), observed, planned, detach_only=True)
        held, result = await self._transact(gateway, journal, observed, planned, look)
        if result is not None or planned.needs_apply:
            observed, planned = await look()
        desired = self._desired()
        nics, observed = await self._nics.write(gateway, desired, observed, planned)
        health = await self._observer.look(gateway, desired, observed, planned, nics)
        failures = {key: finding for key, (_, finding) in self._failures.items()} | self._nics.findings
        at = Circumstances(desired, observed, planned, self._clock(), held, failures, health)
        await self._reporting.found(at, nics, gateway.active_endpoint, result, self._locked_since)
        unfinished = held is not None or any(f.heals for f in failures.values()) or planned.needs_apply
        return not unfinished and (result is None or result.outcome is not Outcome.PARTIALLY_APPLIED)

    def _desired(self) -> Desired:
        """The newest state; a cluster deleted in mid-pass keeps its last one."""
        desired = self._store.desired(self.cluster)
        if desired is None:
            raise NoConnection(Finding(Reason.REF_NOT_FOUND, "the ProxmoxCluster is gone"))
        return desired

    def _looker(
        self, gateway: Gateway, release: str, journal: JournalEntry
    ) -> Callable[[], Awaitable[tuple[Observed, Plan]]]:
        async def look() -> tuple[Observed, Plan]:
            desired = self._desired()
            guests = bool(desired.nics) or any(vnet.deleting for vnet in desired.vnets)
            observed = await gateway.observe(release, guests=guests)
            desired = self._desired()
            planned = plan(desired, observed, journal=journal.creating)
            return observed, self._without_failed(planned, desired)

        return look

    def _without_failed(self, planned: Plan, desired: Desired) -> Plan:
        """Leave out the steps of objects Proxmox refused, until their spec changes or their time has come again."""
        generations = {resource.key: resource.generation for resource in desired}
        self._failures = {
            key: (generation, finding)
            for key, (generation, finding) in self._failures.items()
            if generations.get(key) == generation
        }
        refs = {
            want.ref for key in self._failures if (decision := planned.decisions.get(key)) for want in decision.wanted
        }
        if not refs:
            return planned
        steps = tuple(step for step in planned.steps if step.ref not in refs)
        pending = tuple(change for change in planned.own_pending if change.ref not in refs)
        return Plan(steps, planned.decisions, pending, planned.foreign)

    # --- the transaction ----------------------------------------------------------------------------------------

    async def _transact(
        self,
        gateway: Gateway,
        journal: JournalEntry,
        observed: Observed,
        planned: Plan,
        look: Callable[[], Awaitable[tuple[Observed, Plan]]],
    ) -> tuple[Finding | None, Result | None]:
        """Carry out the plan if it has work and nothing objects; why not, and what came of it."""
        cluster = self._desired().cluster
        if not planned.needs_apply and not journal.token:
            self._locked_since = None
            return None, None
        if not self._may_write() or cluster.paused or _observe_only(cluster):
            return None, None
        if planned.needs_apply and (finding := gate.objection(cluster, observed, planned, self._clock())):
            return finding, None
        await self._claim(planned)
        transaction = Transaction(
            gateway,
            self._ports.journal,
            replan=look,
            gate=lambda seen, again: gate.objection(self._desired().cluster, seen, again, self._clock()),
            allow_foreign=bool(cluster.spec and cluster.spec.apply and cluster.spec.apply.foreign_pending == "Include"),
            may_write=self._may_write,
            pace=self._pace,
        )
        result = await transaction.run(journal, bool(planned.own_pending))
        return await self._judge(result), result

    async def _judge(self, result: Result) -> Finding | None:
        """What a result means for those who wait for it."""
        cluster = self._desired().cluster
        if result.outcome is Outcome.LOCKED:
            self._locked_since = self._locked_since or self._clock()
            message = f"{result.message}, since {timestamp(self._locked_since)}"
            return Finding(Reason.SDN_LOCKED, message, heals=True)
        self._locked_since = None
        match result.outcome:
            case Outcome.REFUSED:
                return result.objection
            case Outcome.STAGING_FAILED:
                finding = Finding(Reason.STAGING_FAILED, f"Proxmox refused: {result.message}", heals=True)
                for key, decision in result.plan.decisions.items():
                    if any(want.ref == result.culprit for want in decision.wanted):
                        self._failures[key] = (self._generation(key), finding)
                await self._event(cluster, "Warning", "StagingFailed", result.message)
                self._wake.set()  # the others' steps are due without the culprit's
                return finding
            case Outcome.APPLY_FAILED:
                await self._event(cluster, "Warning", "ApplyFailed", result.message)
                return Finding(Reason.APPLY_FAILED, result.message, heals=True)
            case Outcome.PARTIALLY_APPLIED:
                await self._event(cluster, "Warning", "PartiallyApplied", result.message)
            case Outcome.APPLIED:
                steps = len(result.plan.steps)
                await self._event(cluster, "Normal", "Applied", f"{steps} changes applied on every node")
        return None

    def _generation(self, key: ObjectKey) -> int:
        resource = self._store.get(key)
        return resource.generation if resource else 0

    async def _claim(self, planned: Plan) -> None:
        """Finalizers and origins, before Proxmox knows of anything: a crash must not make us forget."""
        writes = []
        for decision in planned.decisions.values():
            resource = self._store.get(decision.key)
            if resource and decision.managed and not resource.deleting and decision.wanted and not decision.refused:
                annotations = {kinds.ANNOTATION_ORIGIN: str(decision.origin)} if decision.origin else {}
                writes.append(self._mark(resource, annotations))
        await asyncio.gather(*writes)

    async def _mark(self, resource: Resource[Any], annotations: Mapping[str, str]) -> None:
        """Add our finalizer and annotations where they are not there yet."""
        missing = {key: value for key, value in annotations.items() if resource.annotations.get(key) != value}
        if resource.has_finalizer and not missing:
            return
        finalizers = resource.finalizers if resource.has_finalizer else (*resource.finalizers, kinds.FINALIZER)
        raw = await self._ports.objects.patch_metadata(resource.key, resource.resource_version, finalizers, missing)
        if raw:
            self._store.upsert(raw)

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
        await self._reporting.lost(desired, finding, {}, past_grace=past_grace)

    async def _event(self, resource: Resource[Any], kind: str, reason: str, message: str) -> None:
        await self._ports.events.post(resource.key, resource.uid, kind, reason, message)


def _observe_only(cluster: Resource[Any]) -> bool:
    return getattr(cluster.spec, "management_policy", None) == "ObserveOnly"
