"""Watching, on kopf: every event of every kind goes into the cache, and that is all that happens here.

kopf holds the watches, resumes them and survives an API server that comes and goes. Its handlers, storages, indices
and timers are not used: at ten thousand objects they cost thousands of writes and fragment one change into many
applies, while an event handler that only fills a cache costs none. What no watch shows, namely that a list is
complete and what vanished during a gap, comes from lists of our own (:func:`resync`).

This is the only module that imports kopf.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from pve_evpn import metrics
from pve_evpn.api.kinds import FINALIZER, GROUP, KINDS, VERSION
from pve_evpn.engine.cache import NAMESPACE, WATCHED, Cache
from pve_evpn.kube.client import CustomObjects

log = logging.getLogger(__name__)

#: How often everything is listed anew, in seconds. Ghosts (objects deleted while no watch was open) live this long.
RESYNC_SECONDS = 600.0


class _GenerationOnly(kopf.DiffBaseStorage):
    """kopf compares nothing for us, so it must not store or copy whole objects either."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {"generation": body.metadata.get("generation")}

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        pass


def registry(
    cache: Cache, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> kopf.OperatorRegistry:
    """The handlers: events into ``cache``; ``start`` and ``stop`` around the watching.

    ``stop`` runs while kopf still waits: tasks of ours that outlived it would be cancelled in mid-transaction.
    """
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        # The same choice as kube.client makes; kopf asks again when the token is refused.
        return kopf.login_with_kubeconfig(**kwargs) or _by_address(kopf.login_with_service_account(**kwargs))

    # A failure ends the process at once; kopf would try again after a minute, in which nothing runs.
    @kopf.on.startup(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.persistence.diffbase_storage = _GenerationOnly()
        # Anything but our own finalizer: kopf removes its own where no handler of its kind needs it.
        settings.persistence.finalizer = f"{FINALIZER}-unused"
        settings.posting.enabled = False
        settings.peering.standalone = True
        settings.scanning.disabled = True
        # A worker keeps its object's last event for as long as it waits for the next one: while thousands of objects
        # are written, the default of five seconds keeps all of them.
        settings.queueing.idle_timeout = 0.1
        settings.watching.chunk_size = 500
        settings.watching.server_timeout = 290
        settings.networking.connect_timeout = 10
        settings.networking.request_timeout = 30
        settings.networking.error_backoffs = (0.5, 1, 2, 4, 8, 16)
        settings.networking.enforce_retry_after = True
        # kopf would kill the process so long after its own end, even where the operator begins anew (see kube.app).
        # How long a transaction may take to end is the pod's terminationGracePeriodSeconds.
        settings.process.ultimate_exiting_timeout = None
        await start()

    @kopf.on.cleanup(registry=handlers)
    async def clean_up(**_: Any) -> None:
        await stop()

    async def on_event(type: str | None, body: Any, **_: Any) -> None:
        kind = body.get("kind", "")
        metrics.WATCH_EVENTS.labels(kind, type or "LISTED").inc()
        try:
            if type == "DELETED":
                cache.remove(body)
            else:
                cache.upsert(body)
        except Exception:
            # kopf neither retries nor reports an event handler's failure; the next list brings the object again.
            log.exception("an event of a %s could not be taken in", kind)

    for kind in WATCHED:
        kopf.on.event(GROUP, VERSION, KINDS[kind].plural, registry=handlers)(on_event)
    kopf.on.event("v1", "namespaces", registry=handlers)(on_event)
    return handlers


def _by_address(login: kopf.ConnectionInfo | None) -> kopf.ConnectionInfo | None:
    """The API server by the address the pod was given, as the other client has it: kopf would ask the cluster's DNS."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if login is None or not host:
        return login
    return dataclasses.replace(login, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


async def watch(handlers: kopf.OperatorRegistry, stop: asyncio.Event) -> None:
    """Watch until ``stop`` is set or a watch fails for good."""
    # Its own choice would be the user's name, which the user of a container does not have.
    identity: Any = "pve-evpn-operator"
    await kopf.operator(registry=handlers, clusterwide=True, standalone=True, identity=identity, stop_flag=stop)


async def resync(cache: Cache, objects: CustomObjects) -> None:
    """List every kind once; afterwards the cache is complete."""
    for kind in WATCHED:
        await list_kind(cache, objects, kind)
    items, version = await objects.namespaces()
    cache.replace(NAMESPACE, items, version)


async def list_kind(cache: Cache, objects: CustomObjects, kind: str) -> None:
    """List one kind once."""
    listed: set[Any] = set()
    version = 0
    async for items, part_version in objects.pages(kind):
        listed |= cache.take(kind, items)
        version = part_version
    cache.listed(kind, listed, version)


async def resync_forever(cache: Cache, objects: CustomObjects, seconds: float = RESYNC_SECONDS) -> None:
    """List everything now and then; a failure is logged and made good the next time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await resync(cache, objects)
        except Exception:
            log.exception("listing all objects again failed; trying again in %d s", seconds)
