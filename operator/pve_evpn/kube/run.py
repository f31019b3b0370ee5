"""The running operator: client, store, watches, reconcilers and probes, started and ended in the right order."""

from __future__ import annotations

import asyncio
import logging
import signal

from pve_evpn import metrics
from pve_evpn.engine.observing import Observer
from pve_evpn.engine.ports import Ports
from pve_evpn.engine.reconciler import Reconciler
from pve_evpn.engine.status_metrics import StatusMetrics
from pve_evpn.engine.store import Store
from pve_evpn.engine.supervisor import Supervisor
from pve_evpn.kube import http, source
from pve_evpn.kube.client import CustomObjects, api_client
from pve_evpn.kube.objects import KubeEvents, KubeObjects, OwnSecrets, SecretJournal
from pve_evpn.settings import Settings

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. The pass that is running then is finished first."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with api_client() as api:
        objects = CustomObjects(api)
        ports = Ports(
            KubeObjects(objects),
            OwnSecrets(api, settings.namespace),
            SecretJournal(api, settings.namespace),
            KubeEvents(api, settings.namespace, settings.instance),
        )
        store = Store()
        metrics.REGISTRY.register(StatusMetrics(store))
        supervisor = Supervisor(store, ports, lambda name: Reconciler(name, store, ports, Observer(name, store, ports)))
        runner = await http.serve(settings.http_host, settings.http_port, lambda: store.complete)
        tasks: list[asyncio.Task[None]] = []

        async def start() -> None:
            # Everything is listed before the first plan: one transaction instead of one per batch of watch events.
            await source.resync(store, objects)
            log.info("listed everything; reconciling")
            tasks.append(asyncio.create_task(supervisor.run()))
            tasks.append(asyncio.create_task(source.resync_forever(store, objects)))

        async def end() -> None:
            supervisor.stop()
            if tasks:
                tasks[1].cancel()
                await tasks[0]

        try:
            await source.watch(source.registry(store, start, end), stop)
        finally:
            await runner.cleanup()
