"""The one way to write to Kubernetes objects: finalizers and annotations, statuses, Events.

Every answer goes into the cache, so that the next decision is made from what was just written. What a status says and
whether a finalizer may go is decided in ``domain``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pve_evpn import metrics
from pve_evpn.api import kinds
from pve_evpn.api.conditions import Condition, ConditionType
from pve_evpn.api.events import EventReason
from pve_evpn.api.status import StatusT, patch
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.plan.ownership import known_in_words
from pve_evpn.domain.status.reported import is_drifted
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.ports import Events, Ports, RawObject
from pve_evpn.text import one_line

log = logging.getLogger(__name__)

#: Counted in ``pve_evpn_nic_changes_total``, by the reason in lower case.
_NIC_CHANGES = frozenset(
    {
        EventReason.ATTACHED,
        EventReason.UPDATED,
        EventReason.MOVED,
        EventReason.DETACHED,
        EventReason.PINNED,
        EventReason.UNPINNED,
        EventReason.HEALED,
        EventReason.MAC_ADVERTISED,
        EventReason.MAC_MOVED,
        EventReason.MAC_WITHDRAWN,
        EventReason.MAC_ON_WRONG_NODE,
        EventReason.MAC_DUPLICATE,
        EventReason.MAC_ZOMBIE,
    }
)


class EventRecorder:
    """Records Kubernetes Events and counts those about NICs."""

    def __init__(self, cache: Cache, events: Events) -> None:
        self._cache = cache
        self._events = events

    async def record(self, resource: Resource[Any], reason: EventReason, message: str, cause: str = "") -> None:
        """Record one Event about an object; its type follows from the reason.

        What happens again for the same ``cause`` (default: the message) is counted in the Event that is there.
        """
        if reason in _NIC_CHANGES and (resource.key.kind == "NicAttachment" or reason is EventReason.HEALED):
            metrics.NIC_CHANGES.labels(self._cache.cluster_of(resource) or "", reason.lower()).inc()
        await self._events.post(resource.key, resource.uid, reason.type, reason, one_line(message), one_line(cause))


class ObjectWriter:
    """Writes finalizers, annotations, statuses and Events."""

    def __init__(self, cache: Cache, ports: Ports) -> None:
        self._cache = cache
        self._objects = ports.objects
        self._events = EventRecorder(cache, ports.events)

    async def record(self, resource: Resource[Any], reason: EventReason, message: str, cause: str = "") -> None:
        """Record an Event about an object; one of the same ``cause`` (default: the message) is counted."""
        await self._events.record(resource, reason, message, cause)

    async def record_drift(self, resource: Resource[Any], drift: Iterable[str], *, corrected: bool) -> None:
        """Record once that another client changed what the spec says; corrected at once, it would show in no status."""
        found = "; ".join(drift)
        if not found or is_drifted(resource):
            return
        metrics.DRIFT.labels(self._cache.cluster_of(resource) or "", resource.key.kind).inc()
        outcome = "the specified values are written back" if corrected else "only reported"
        await self.record(resource, EventReason.DRIFTED, f"{found}: {outcome}")

    async def write_status(self, resource: Resource[Any, StatusT], status: StatusT) -> None:
        """Write what differs from the status the object has; no request where nothing does."""
        changes, written = patch(resource.status, status)
        if changes:
            _log_ready(resource, status)
            with self._cache.writing_status(resource.key, status, written):
                self._remember(await self._objects.patch_status(resource.key, changes))
            if (stalled := status.condition(ConditionType.STALLED)) and not _was_stalled(resource, stalled):
                await self.record(resource, EventReason.STALLED, f"{stalled.reason}: {stalled.message}")

    async def claim(self, resource: Resource[Any], annotations: Mapping[str, str]) -> bool:
        """Add the operator's finalizer and these annotations where they are missing.

        False if another client changed the object at the same time: then it has to be planned again.
        """
        missing = {key: value for key, value in annotations.items() if resource.annotations.get(key) != value}
        if resource.has_finalizer and not missing:
            return True
        finalizers = resource.finalizers if resource.has_finalizer else (*resource.finalizers, kinds.FINALIZER)
        with self._cache.writing(resource.key, finalizers, missing):
            raw = await self._objects.patch_metadata(resource.key, resource.resource_version, finalizers, missing)
            return self._remember(raw)

    async def release(self, resource: Resource[Any], event: tuple[EventReason, str] | None = None) -> None:
        """Remove the operator's finalizer; Kubernetes then deletes the object.

        ``event`` says what became of it. One that is given up by force says what stays in Proxmox.
        """
        if not resource.has_finalizer:
            return
        finalizers = tuple(name for name in resource.finalizers if name != kinds.FINALIZER)
        raw = await self._objects.patch_metadata(resource.key, resource.resource_version, finalizers, {})
        if not self._remember(raw):
            return
        if resource.force_orphan and (left := known_in_words(resource)):
            event = EventReason.ORPHANED, f"left in Proxmox: {left}"
        if event:
            await self.record(resource, *event)

    async def create(self, kind: str, name: str, spec: Mapping[str, Any], owner: ObjectKey) -> None:
        """Create a cluster-scoped object below its owner, unless it is there."""
        with self._cache.writing(ObjectKey(kind, "", name)):
            self._remember(await self._objects.create(kind, name, spec, owner))

    async def delete(self, key: ObjectKey) -> None:
        """Delete a cluster-scoped object."""
        await self._objects.delete(key)

    def _remember(self, raw: RawObject | None) -> bool:
        if raw:
            self._cache.upsert(raw)
        return bool(raw)


def _log_ready(resource: Resource[Any, Any], status: Any) -> None:
    """One line when ``Ready`` changes, so that the log says what became of an object without any Event."""
    before, now = _ready(resource.status), _ready(status)
    if now is not None and (before is None or before.status != now.status or before.reason != now.reason):
        name = str(resource.key)
        reason = ": ".join(filter(None, (now.reason, now.message)))
        log.info("%s: Ready is %s, %s", name, now.status, reason, extra={"object": name})


def _was_stalled(resource: Resource[Any], now: Condition) -> bool:
    """Whether the object was stalled before, by the same spec for the same reason."""
    before = resource.status.condition(ConditionType.STALLED)
    return before is not None and (before.reason, before.observed_generation) == (now.reason, now.observed_generation)


def _ready(status: Any) -> Condition | None:
    return next((condition for condition in status.conditions or () if condition.type == ConditionType.READY), None)
