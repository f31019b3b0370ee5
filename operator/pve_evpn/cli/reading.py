"""Everything a report is made from, read with the caller's own rights. Secrets are never read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP, KINDS
from pve_evpn.cli.report.snapshot import RecordedEvent, Snapshot
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.engine.cache import resource_from
from pve_evpn.kube.client import CustomObjects, api_client

#: The field of an Event that only who records it sets; Events of others are not ours to repeat.
REPORTER = f"{GROUP}/operator"
_PAGE = 500


async def read_snapshot(namespace: str = "", *, events: bool = True) -> Snapshot:
    """Every object the caller may list; what may not be listed is named in ``unread``.

    Args:
        namespace: Only its VNets and NicAttachments; those of all namespaces where it is empty.
        events: Read the operator's Events too.
    """
    async with api_client() as api:
        return await snapshot_through(api, namespace, events=events)


async def snapshot_through(api: client.ApiClient, namespace: str = "", *, events: bool = True) -> Snapshot:
    """:func:`read_snapshot` through a client that is open already."""
    objects: dict[ObjectKey, Resource[Any]] = {}
    recorded: list[RecordedEvent] = []
    unread: dict[str, str] = {}
    custom = CustomObjects(api)

    async def read_kind(kind: str) -> None:
        try:
            items, _ = await custom.list_all(kind, namespace if KINDS[kind].scope == "Namespaced" else "")
        except ApiException as error:
            unread[kind] = unreadable(error, kind, namespace)
            return
        for raw in items:
            resource = resource_from({**raw, "kind": kind})
            objects[resource.key] = resource

    async def read_events(place: str) -> None:
        try:
            recorded.extend(await _events(client.EventsV1Api(api), place))
        except ApiException as error:
            unread["Event"] = unreadable(error, "Event", place)

    # Those about cluster-scoped objects are in the namespace `default`.
    places = sorted({namespace, "default"}) if namespace else [""]
    await asyncio.gather(*map(read_kind, KINDS), *(map(read_events, places) if events else ()))
    recorded.sort(key=lambda event: event.at)
    return Snapshot(objects, datetime.now(UTC), tuple(recorded), dict(sorted(unread.items())))


def unreadable(error: ApiException, kind: str, namespace: str = "") -> str:
    """A sentence for the two answers that leave the rest of a report useful. Raises the error for all others."""
    if error.status == 404:
        return "this kind is not installed: kubectl apply --server-side -f crds/"
    if error.status != 403:
        raise error
    if kind in KINDS and KINDS[kind].scope == "Cluster":
        return f"you may not list {KINDS[kind].plural}: it takes a ClusterRole, the kind has no namespace"
    plural = KINDS[kind].plural if kind in KINDS else "events (events.k8s.io)"
    if namespace:
        return f"you may not list {plural} in the namespace {namespace}"
    return f"you may not list {plural} in all namespaces: name one with -n"


async def _events(api: client.EventsV1Api, place: str) -> list[RecordedEvent]:
    """The operator's Events of one namespace, or of all."""
    found: dict[str, RecordedEvent] = {}
    token: str | None = None
    while True:
        options = {"limit": _PAGE, "_continue": token, "field_selector": f"reportingController={REPORTER}"}
        answer = await (api.list_namespaced_event(place, **options) if place
                        else api.list_event_for_all_namespaces(**options))  # fmt: skip
        for item in answer.items:
            if made := recorded_event(item):
                found[item.metadata.uid] = made
        token = answer.metadata._continue
        if not token:
            return list(found.values())


def recorded_event(item: Any) -> RecordedEvent | None:
    """An Event of events.k8s.io as reports have it; None where it is not the operator's about its own kinds."""
    if item.reporting_controller != REPORTER or not item.regarding or item.regarding.kind not in KINDS:
        return None
    about = ObjectKey(item.regarding.kind, item.regarding.namespace or "", item.regarding.name)
    last = item.series.last_observed_time if item.series else None
    at = last or item.event_time or item.metadata.creation_timestamp
    return RecordedEvent(at, about, item.reason or "", item.note or "", item.type == "Warning")
