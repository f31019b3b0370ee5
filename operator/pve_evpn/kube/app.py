"""The running operator: the Lease, then cache, watches and reconcilers, started and ended in the right order.

A standby holds nothing but the wish for the Lease: no watch, no cache, no connection to Proxmox. What a leader knows
is cheap to rebuild, so one that lost the Lease ends its process instead of trying to become a standby again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import uuid
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from functools import partial

from kubernetes.aio import client

from pve_evpn import metrics
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.collector import StatusCollector
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.observer import Observer
from pve_evpn.engine.ports import Ports
from pve_evpn.engine.reconciler import Reconciler
from pve_evpn.engine.supervisor import Supervisor
from pve_evpn.kube import server, watch
from pve_evpn.kube.adapters import KubeObjects, OwnSecrets, SecretJournal
from pve_evpn.kube.client import CustomObjects, api_client
from pve_evpn.kube.events import KubeEvents
from pve_evpn.kube.kinds import ServedKinds
from pve_evpn.kube.leader import Lease, LeaseKeeper
from pve_evpn.kube.server import Readiness
from pve_evpn.pve.gateway import Gateway
from pve_evpn.settings import Settings

log = logging.getLogger(__name__)

#: After the Lease is lost nothing is written any more; this long, in seconds, the syncs may take to notice.
_LOST_SECONDS = 5.0


async def run(settings: Settings) -> bool:
    """Run until SIGTERM or SIGINT; the sync that is running then is finished first. False if the Lease was lost."""
    stop = asyncio.Event()
    _take_signals(stop)
    async with api_client() as api:
        identity = f"{settings.instance}_{uuid.uuid4()}"
        lease = Lease(
            client.CoordinationV1Api(api), settings.namespace, settings.lease_name, identity, settings.lease_timing
        )
        metrics.LEADER.set_function(lambda: float(lease.is_held))
        cache = Cache()
        metrics.REGISTRY.register(StatusCollector(cache))
        # Made by a standby too: loading the client's code stops the loop for seconds, which a leader cannot afford.
        objects = CustomObjects(api)
        kinds = ServedKinds(objects)
        ports = _ports(settings, api, objects, lease)
        runner = await server.serve(settings.http_host, settings.http_port, lambda: _readiness(lease, cache, kinds))
        try:
            if not await _before(lease.acquire(), stop):
                return True
            return await _lead(_Leader(lease, cache, objects, ports, kinds, stop))
        finally:
            await runner.cleanup()


def _ports(settings: Settings, api: client.ApiClient, objects: CustomObjects, lease: Lease) -> Ports:
    def is_leader() -> bool:
        return lease.is_held

    return Ports(
        KubeObjects(objects, is_leader),
        OwnSecrets(api, settings.namespace),
        SecretJournal(api, settings.namespace, is_leader),
        KubeEvents(api, settings.namespace, settings.instance),
    )


@contextlib.asynccontextmanager
async def _coordination() -> AsyncIterator[client.CoordinationV1Api]:
    async with api_client() as api:
        yield client.CoordinationV1Api(api)


@dataclass(frozen=True)
class _Leader:
    """What a leader works with. ``stop`` ends it; ``lost`` says that the Lease was lost."""

    lease: Lease
    cache: Cache
    objects: CustomObjects
    ports: Ports
    kinds: ServedKinds
    stop: asyncio.Event
    lost: asyncio.Event = field(default_factory=asyncio.Event)


async def _lead(leader: _Leader) -> bool:
    """Be the operator while the Lease is held. False if it was lost."""

    def on_lost() -> None:
        leader.lost.set()
        leader.stop.set()

    # The Lease is renewed until the last sync has ended.
    keeper = LeaseKeeper(leader.lease, _coordination, on_lost)
    keeper.start()
    try:
        await _operate(leader)
    finally:
        await keeper.stop()
        await leader.lease.release()
    return not leader.lost.is_set()


async def _operate(leader: _Leader) -> None:
    """Watch and reconcile until ``stop``. Where a CRD goes away meanwhile, wait until it is back and begin anew.

    Raises what ended the watches or the supervisor otherwise.
    """
    while not leader.stop.is_set():
        if not await _before(leader.kinds.wait(), leader.stop):
            return
        try:
            await _watch_and_reconcile(leader)
        except Exception as error:
            if leader.stop.is_set() or await leader.kinds.are_served():
                raise
            log.warning("watching ended (%s); it begins anew when the CRDs are back", type(error).__name__)
            leader.cache.reset()
            _take_signals(leader.stop)  # kopf had taken them over


async def _watch_and_reconcile(leader: _Leader) -> None:
    """Watch and reconcile until ``stop`` or a signal, which sets it. Raises what ended it before."""
    cache, ports = leader.cache, leader.ports

    def is_leader() -> bool:
        return leader.lease.is_held

    def reconciler(name: str) -> Reconciler:
        context = ClusterContext(name, cache, ports, is_leader=is_leader)
        return Reconciler(context, Observer(context), partial(Gateway, is_leader=is_leader))

    supervisor = Supervisor(cache, ports, reconciler)
    ended = asyncio.Event()
    failures: list[Exception] = []
    tasks: list[asyncio.Task[None]] = []

    async def reconcile() -> None:
        try:
            await supervisor.run()
        except Exception as error:
            failures.append(error)
        finally:
            ended.set()  # without it nothing is reconciled: starting anew is better than looking alive

    async def start() -> None:
        # Everything is listed before the first plan: one transaction instead of one per batch of watch events.
        await watch.resync(cache, leader.objects)
        log.info("listed everything; reconciling")
        tasks.append(asyncio.create_task(reconcile()))
        tasks.append(asyncio.create_task(watch.resync_forever(cache, leader.objects)))

    async def end() -> None:
        # kopf has taken over the signals; it would wait 5 s for its own waiter of a flag that is never set.
        ended.set()
        supervisor.stop()
        if tasks:
            tasks[1].cancel()
            await asyncio.wait(tasks[:1], timeout=_LOST_SECONDS if leader.lost.is_set() else None)

    async def follow_stop() -> None:
        await leader.stop.wait()
        ended.set()

    follower = asyncio.create_task(follow_stop())
    try:
        await watch.watch(watch.registry(cache, start, end), ended)
    finally:
        follower.cancel()
    leader.stop.set()
    if failures:
        raise failures[0]


def _take_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT end the operator."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _readiness(lease: Lease, cache: Cache, kinds: ServedKinds) -> Readiness:
    if lease.is_held:
        if kinds.missing:
            return Readiness(False, kinds.in_words)
        return Readiness(cache.complete, "leading" if cache.complete else "not everything has been listed yet")
    if lease.error:
        return Readiness(False, f"the Lease cannot be read or written: {lease.error}")
    return Readiness(True, f"standby; {lease.holder or 'no replica'} leads")


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
