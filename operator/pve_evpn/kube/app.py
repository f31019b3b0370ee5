"""The running operator: its Leases, then cache, watches and reconcilers, started and ended in the right order.

Every replica watches all objects; it works for the clusters it holds (``kube.sharing``). What a replica knows is cheap
to rebuild, so one that lost its Lease ends its process instead of trying to join again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kubernetes.aio import client

from pve_evpn import metrics
from pve_evpn.engine import garbage
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.collector import StatusCollector
from pve_evpn.engine.confirm import NetworkView
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.observer import Observer
from pve_evpn.engine.ports import Ports
from pve_evpn.engine.reconciler import Reconciler
from pve_evpn.engine.supervisor import UNOWNED, Supervisor
from pve_evpn.kube import server, watch
from pve_evpn.kube.adapters import KubeObjects, OwnSecrets, SecretJournal
from pve_evpn.kube.certificate import Certificate
from pve_evpn.kube.client import WRITERS, CustomObjects, api_client
from pve_evpn.kube.core import CoreObjects
from pve_evpn.kube.events import KubeEvents
from pve_evpn.kube.kinds import ServedKinds
from pve_evpn.kube.leader import Lease, LeaseKeeper, ReplicaLease, SharedLease
from pve_evpn.kube.members import LABEL_REPLICA, Members
from pve_evpn.kube.ownership import ClusterLeases
from pve_evpn.kube.reviews import Reviews
from pve_evpn.kube.server import Readiness
from pve_evpn.kube.sharing import Leases, Sharing
from pve_evpn.kube.tables import Holdings, TableServer
from pve_evpn.pve.gateway import Gateway
from pve_evpn.settings import Settings

log = logging.getLogger(__name__)

#: After the Lease is lost nothing is written any more; this long, in seconds, the syncs may take to notice.
_LOST_SECONDS = 5.0

#: An API server that starts refuses everything until it has read the roles.
_REFUSED_SECONDS = 30.0


async def run(settings: Settings) -> bool:
    """Run until SIGTERM or SIGINT; the syncs that run then are finished first. False if the Lease was lost."""
    garbage.collect_the_young_only()
    stop, lost = asyncio.Event(), asyncio.Event()
    _take_signals(stop)
    async with api_client() as api:
        cache = Cache()
        # Made before it is needed: loading the client's code stops the loop for seconds, which a writer cannot afford.
        objects = CustomObjects(api)
        kinds = ServedKinds(objects)
        leases = _leases(settings, client.CoordinationV1Api(api))
        sharing = Sharing(
            leases,
            lambda: frozenset(resource.key.name for resource in cache.of_kind("ProxmoxCluster")),
            partial(watch.resync, cache, objects),
            settings.lease_timing.retry,
        )
        metrics.LEADER.set_function(lambda: float(bool(sharing.held)))
        metrics.REGISTRY.register(StatusCollector(cache, holds=sharing.may_write))
        ports = _ports(settings, api, objects, sharing)
        replica = _Replica(leases, sharing, cache, objects, ports, kinds, stop, lost)
        host, port = settings.http_host, settings.http_port
        runner = await server.serve(host, port, lambda: _readiness(leases, sharing, cache, kinds))
        try:
            async with _tables(settings, api, replica):
                await _join(replica)
        finally:
            await runner.cleanup()
    return not lost.is_set()


@contextlib.asynccontextmanager
async def _tables(settings: Settings, api: client.ApiClient, replica: _Replica) -> AsyncIterator[None]:
    """Serve full tables meanwhile, where that is asked for. What is wrong with them holds up no network."""
    if settings.tables_address is None:
        yield
        return
    sharing, lease = replica.sharing, replica.leases.replica
    audiences = [name for each in settings.tables_audiences.split(",") if (name := each.strip())]
    holdings = Holdings(replica.cache, sharing.serves, sharing.holder, replica.view)
    async with contextlib.AsyncExitStack() as stack:
        try:
            certificate = Certificate(Path(settings.tables_tls) if settings.tables_tls else None)
            tables = TableServer(holdings, Reviews(CoreObjects(api), audiences), certificate, lease.annotations)
            await stack.enter_async_context(tables.listening(*settings.tables_address))
        except (OSError, ValueError) as error:
            log.error("full tables are not served: %s", error)
        yield


def _leases(settings: Settings, api: client.CoordinationV1Api) -> Leases:
    """The Leases of this process: names and identity are its own, so what its predecessor left is another replica's."""
    namespace, release, timing = settings.namespace, settings.lease_name, settings.lease_timing
    process = uuid.uuid4()
    identity = f"{settings.instance}_{process}"
    replica = ReplicaLease(api, namespace, f"{release}-replica-{process.hex[:12]}", identity, timing)
    replica.labels[LABEL_REPLICA] = release
    return Leases(
        replica,
        SharedLease(api, namespace, release, timing),
        Members(api, namespace, release, identity, timing.duration),
        ClusterLeases(api, namespace, release, identity, timing.duration),
    )


def _ports(
    settings: Settings, api: client.ApiClient, objects: CustomObjects, sharing: Sharing
) -> Callable[[str], Ports]:
    """The ports of one cluster: they write while this replica holds it."""
    secrets = OwnSecrets(api, settings.namespace, _REFUSED_SECONDS)
    events = KubeEvents(api, settings.namespace, settings.instance)
    slots = asyncio.Semaphore(WRITERS)

    def of(cluster: str) -> Ports:
        is_leader = partial(sharing.may_write, cluster)
        return Ports(
            KubeObjects(objects, is_leader, slots), secrets, SecretJournal(api, settings.namespace, is_leader), events
        )

    return of


@contextlib.asynccontextmanager
async def _coordination() -> AsyncIterator[client.CoordinationV1Api]:
    async with api_client() as api:
        yield client.CoordinationV1Api(api)


@dataclass
class _Replica:
    """What a replica works with. ``stop`` ends it; ``lost`` says that a Lease was lost."""

    leases: Leases
    sharing: Sharing
    cache: Cache
    objects: CustomObjects
    ports: Callable[[str], Ports]
    kinds: ServedKinds
    stop: asyncio.Event
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    keepers: list[LeaseKeeper] = field(default_factory=list)
    supervisor: Supervisor | None = None

    def view(self, cluster: str) -> NetworkView | None:
        """The last poll of a cluster's nodes; None where there is none."""
        return self.supervisor.view(cluster) if self.supervisor else None

    async def hold(self, lease: Lease) -> bool:
        """Take a Lease and have it renewed from then on. False if it is to stop before."""
        if not await _before(lease.acquire(), self.stop):
            return False
        keeper = LeaseKeeper(lease, _coordination, self._on_lost)
        keeper.start()
        self.keepers.append(keeper)
        return True

    def _on_lost(self) -> None:
        self.lost.set()
        self.stop.set()

    def leave(self) -> None:
        """Have the other replicas know that this one takes nothing more."""
        self.sharing.leave()
        for keeper in self.keepers:
            keeper.hurry()


async def _join(replica: _Replica) -> None:
    """Be one of the replicas until ``stop``."""
    leases = replica.leases
    try:
        # In this order: SharedLease.release_if.
        if await replica.hold(leases.replica) and await replica.hold(leases.shared):
            await _operate(replica)
    finally:
        if not replica.lost.is_set():
            await replica.sharing.close()
        # The Leases are renewed until the last sync has ended.
        for keeper in replica.keepers:
            await keeper.stop()
        if not replica.lost.is_set():
            await leases.replica.release()
            await leases.shared.release_if(leases.members.are_none_left)


async def _operate(replica: _Replica) -> None:
    """Watch and reconcile until ``stop``. Where a CRD goes away meanwhile, wait until it is back and begin anew.

    Raises what ended the watches or the supervisor otherwise.
    """
    while not replica.stop.is_set():
        if not await _before(replica.kinds.wait(), replica.stop):
            return
        try:
            await _watch_and_reconcile(replica)
        except Exception as error:
            if replica.stop.is_set() or await replica.kinds.are_served():
                raise
            log.warning("watching ended (%s); it begins anew when the CRDs are back", type(error).__name__)
            replica.cache.reset()
            _take_signals(replica.stop)  # kopf has removed them with its own


async def _watch_and_reconcile(replica: _Replica) -> None:
    """Watch and reconcile until ``stop``. Raises what ended it before."""
    cache, objects, sharing = replica.cache, replica.objects, replica.sharing

    def reconciler(name: str) -> Reconciler:
        is_leader = partial(sharing.may_write, name)
        context = ClusterContext(name, cache, replica.ports(name), is_leader=is_leader)
        return Reconciler(context, Observer(context), partial(Gateway, is_leader=is_leader))

    supervisor = Supervisor(cache, replica.ports(UNOWNED), reconciler, serves=sharing.serves, changed=sharing.changed)
    replica.supervisor = supervisor
    ended = asyncio.Event()
    failures: list[Exception] = []
    reconciling: list[asyncio.Task[None]] = []
    beside: list[asyncio.Task[None]] = []

    async def to_the_end(work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:
            failures.append(error)
        finally:
            ended.set()  # without it nothing is reconciled: starting anew is better than looking alive

    async def start() -> None:
        _take_signals(replica.stop)  # kopf has taken them over
        # Which clusters there are decides what this replica takes. Everything else is listed after it was taken, and
        # before the first plan: one transaction instead of one per batch of watch events.
        await watch.list_kind(cache, objects, "ProxmoxCluster")
        await sharing.begin(supervisor)
        if not cache.complete:
            await watch.resync(cache, objects)
        log.info("listed everything; reconciling")
        reconciling.append(asyncio.create_task(to_the_end(supervisor.run())))
        beside.append(asyncio.create_task(to_the_end(sharing.run())))
        beside.append(asyncio.create_task(watch.resync_forever(cache, objects)))

    async def end() -> None:
        # kopf would wait 5 s for its own waiter of a flag that is never set.
        ended.set()
        if replica.stop.is_set():
            replica.leave()
        supervisor.stop()
        if reconciling:
            await asyncio.wait(reconciling, timeout=_LOST_SECONDS if replica.lost.is_set() else None)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)

    async def follow_stop() -> None:
        await replica.stop.wait()
        ended.set()

    follower = asyncio.create_task(follow_stop())
    try:
        await watch.watch(watch.registry(cache, start, end), ended)
    finally:
        follower.cancel()
    replica.stop.set()
    if failures:
        raise failures[0]


def _take_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT end the operator."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _readiness(leases: Leases, sharing: Sharing, cache: Cache, kinds: ServedKinds) -> Readiness:
    missing = next((lease for lease in (leases.replica, leases.shared) if not lease.is_held), None)
    if error := missing.error if missing else sharing.error:
        return Readiness(False, f"the Leases cannot be read or written: {error}")
    if not leases.shared.is_held:
        return Readiness(True, f"standby; {leases.shared.holder or 'no replica'} leads")
    if kinds.missing:
        return Readiness(False, kinds.in_words)
    if not cache.complete:
        return Readiness(False, "not everything has been listed yet")
    clusters = sum(1 for _ in cache.of_kind("ProxmoxCluster"))
    held = sharing.held
    if not held:
        return Readiness(True, f"standby; other replicas lead for {clusters} clusters")
    return Readiness(True, f"leading for {len(held - {UNOWNED})} of {clusters} clusters")


async def _before(work: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Wait for ``work``, but no longer than until ``stop``; whether it was done."""
    tasks = [asyncio.create_task(work), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            await tasks[0]
            return True
        return False
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
