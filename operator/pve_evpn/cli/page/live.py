"""A snapshot that watches keep current, with the rights of the caller's kubeconfig.

A kind that may not be listed is named in the snapshot's ``unread`` and tried again after a while. Where a watch ends,
it is resumed from a new list, so nothing that happened in between is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
from kubernetes.aio import client, watch
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP, KINDS, VERSION
from pve_evpn.cli.reading import REPORTER, recorded_event, unreadable
from pve_evpn.cli.report.snapshot import RecordedEvent, Snapshot
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.engine.cache import resource_from
from pve_evpn.kube.client import CustomObjects, api_client

#: Seconds: between tries of a watch that fails, of a list that is forbidden, and the API server's own end of a watch.
_RETRY, _RETRY_FORBIDDEN, _WATCH = 2.0, 60.0, 290
EVENT = "Event"


class LiveSnapshot:
    """Use :func:`live_snapshot`; it starts and ends the watches."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._custom = CustomObjects(api)
        self._objects: dict[ObjectKey, Resource[Any]] = {}
        self._events: dict[str, RecordedEvent] = {}
        self._unread: dict[str, str] = {}
        self._version = 0
        self._changed = asyncio.Condition()
        self._listed: set[str] = set()

    @property
    def custom(self) -> CustomObjects:
        return self._custom

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    def snapshot(self) -> Snapshot:
        """Everything as it is now."""
        events = tuple(sorted(self._events.values(), key=lambda event: event.at))
        return Snapshot(dict(self._objects), datetime.now(UTC), events, dict(sorted(self._unread.items())))

    async def newer_than(self, version: int) -> int:
        """Wait for a version after ``version``, once every kind was listed or refused; that version."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._version > version and self._listed >= {*KINDS, EVENT})
            return self._version

    async def follow(self) -> None:
        """Watch everything until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in (*KINDS, EVENT):
                group.create_task(self._follow(kind))

    async def _follow(self, kind: str) -> None:
        while True:
            pause = 0.0
            try:
                async for _ in self._changes(kind):
                    self._unread.pop(kind, None)
                    await self._mark_changed(kind)
            except ApiException as error:
                if error.status in (403, 404):
                    self._unread[kind] = unreadable(error, kind, self._namespace)
                    pause = _RETRY_FORBIDDEN
                elif error.status != 410:  # 410: the watch is too old, list again at once
                    self._unread[kind] = f"Kubernetes answers {error.status}; trying again"
                    pause = _RETRY
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self._unread[kind] = f"Kubernetes cannot be reached: {error}"
                pause = _RETRY
            if pause:
                await self._mark_changed(kind)
                await asyncio.sleep(pause)

    async def _changes(self, kind: str) -> AsyncIterator[None]:
        """List, then watch until the API server ends it; yields after the list and after each change."""
        call, place, selector = self._listing(kind)
        listed = await call(*place, **selector)
        items, version = _items(listed)
        self._replace(kind, items)
        yield
        stream = watch.Watch()
        try:
            async for event in stream.stream(
                call, *place, **selector, resource_version=version, timeout_seconds=_WATCH
            ):
                if event["type"] == "DELETED":
                    self._remove(kind, event["object"])
                elif event["type"] in ("ADDED", "MODIFIED"):
                    self._put(kind, event["object"])
                yield
        finally:
            stream.stop()

    def _listing(self, kind: str) -> tuple[Any, tuple[str, ...], dict[str, Any]]:
        if kind == EVENT:
            events = client.EventsV1Api(self._api)
            selector = {"field_selector": f"reportingController={REPORTER}"}
            if self._namespace:
                return events.list_namespaced_event, (self._namespace,), selector
            return events.list_event_for_all_namespaces, (), selector
        custom = client.CustomObjectsApi(self._api)
        plural = KINDS[kind].plural
        if self._namespace and KINDS[kind].scope == "Namespaced":
            return custom.list_namespaced_custom_object, (GROUP, VERSION, self._namespace, plural), {}
        return custom.list_cluster_custom_object, (GROUP, VERSION, plural), {}

    def _replace(self, kind: str, items: list[Any]) -> None:
        if kind == EVENT:
            self._events = {}
        else:
            self._objects = {key: value for key, value in self._objects.items() if key.kind != kind}
        for item in items:
            self._put(kind, item)

    def _put(self, kind: str, item: Any) -> None:
        if kind != EVENT:
            resource = resource_from({**item, "kind": kind})
            self._objects[resource.key] = resource
        elif made := recorded_event(item):
            self._events[item.metadata.uid] = made

    def _remove(self, kind: str, item: Any) -> None:
        if kind == EVENT:
            self._events.pop(item.metadata.uid, None)
        else:
            metadata = item["metadata"]
            self._objects.pop(ObjectKey(kind, metadata.get("namespace", ""), metadata["name"]), None)

    async def _mark_changed(self, kind: str) -> None:
        async with self._changed:
            self._listed.add(kind)
            self._version += 1
            self._changed.notify_all()


def _items(listed: Any) -> tuple[list[Any], str]:
    if isinstance(listed, dict):
        return listed["items"], listed["metadata"]["resourceVersion"]
    return listed.items, listed.metadata.resource_version


@contextlib.asynccontextmanager
async def live_snapshot(namespace: str = "") -> AsyncIterator[LiveSnapshot]:
    """A live snapshot of one namespace's objects, or of all.

    Raises :class:`kubernetes.aio.config.ConfigException` where there is no kubeconfig.
    """
    async with api_client() as api:
        live = LiveSnapshot(api, namespace)
        following = asyncio.create_task(live.follow())
        try:
            yield live
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
