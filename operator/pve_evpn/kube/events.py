"""Events on events.k8s.io: one per cause, with a series where the same thing happens again.

The rules are those of client-go's recorder (``tools/record/events_cache.go``, ``tools/events``): what repeats is
counted in the Event that is there, and many that differ in their text only are counted in one. A lost Event is logged,
never an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP, KINDS, VERSION
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.client import MERGE_PATCH

log = logging.getLogger(__name__)

#: Seconds after which a repetition is a new Event: Kubernetes keeps Events for an hour by default.
SERIES = 3600.0
#: As many Events of one reason about one object within so many seconds may differ in their text; more are combined.
SIMILAR, SIMILAR_SECONDS = 10, 600.0
_COMBINED = "(combined from similar events): "
#: Series that are remembered, and requests at once: an apply may have hundreds of objects with an Event each.
_REMEMBERED, _AT_ONCE = 2048, 4

_Cause = tuple[str, str, str]


@dataclass(slots=True)
class _Recorded:
    """An Event that was posted: how often its cause occurred, and when last (seconds)."""

    name: str
    last: float
    count: int = 1


class KubeEvents:
    """:class:`engine.ports.Events`. ``now``: seconds since the epoch."""

    def __init__(
        self, api: client.ApiClient, namespace: str, instance: str, now: Callable[[], float] = time.time
    ) -> None:
        self._events = client.EventsV1Api(api)
        self._namespace = namespace
        self._instance = instance
        self._now = now
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._recorded: OrderedDict[_Cause, _Recorded] = OrderedDict()
        self._texts: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    async def post(self, key: ObjectKey, uid: str, kind: str, reason: str, message: str, cause: str = "") -> None:
        now, cause_key = self._now(), (uid, reason, cause or message)
        known = self._known(cause_key, now)
        if known is None and self._has_many(uid, reason, now):
            cause_key, message = (uid, reason, ""), _COMBINED + message
            known = self._known(cause_key, now)
        place = key.namespace or "default"  # where the API server wants Events of cluster-scoped objects
        async with self._slots:
            try:
                if known is None or not await self._repeated(known, place, now):
                    await self._create(key, uid, kind, reason, message, place, cause_key, now)
            except (ApiException, OSError) as error:
                log.warning("event %s for %s was not posted: %s", reason, key, getattr(error, "reason", error))

    def _known(self, cause: _Cause, now: float) -> _Recorded | None:
        """The Event of a cause that occurred not long ago."""
        known = self._recorded.get(cause)
        return known if known and now - known.last < SERIES else None

    def _has_many(self, uid: str, reason: str, now: float) -> bool:
        """Count one more text of a reason; whether there were many lately."""
        times = self._texts.setdefault((uid, reason), [])
        self._texts.move_to_end((uid, reason))
        _shorten(self._texts)
        times.append(now)
        del times[: -SIMILAR - 1]
        return len(times) > SIMILAR and now - times[0] < SIMILAR_SECONDS

    async def _repeated(self, known: _Recorded, place: str, now: float) -> bool:
        """Count a repetition in the Event that is there. False where that cannot be written: it may be gone."""
        known.count, known.last = known.count + 1, now
        body = {"series": {"count": known.count, "lastObservedTime": _micro_time(now)}}
        try:
            await self._events.patch_namespaced_event(known.name, place, body, _content_type=MERGE_PATCH)
        except ApiException as error:
            if error.status in (403, 404):
                return False
            raise
        return True

    async def _create(
        self,
        key: ObjectKey,
        uid: str,
        kind: str,
        reason: str,
        message: str,
        place: str,
        cause: _Cause,
        now: float,
    ) -> None:
        name = f"{key.name[:200]}.{time.time_ns():x}"
        body: dict[str, Any] = {
            "metadata": {"name": name, "namespace": place},
            "eventTime": _micro_time(now),
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": kind,
            "reason": reason,
            "note": message[:1024],
            "regarding": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KINDS[key.kind].name,
                "name": key.name,
                "namespace": key.namespace or None,
                "uid": uid,
            },
        }
        self._recorded[cause] = _Recorded(name, now)
        self._recorded.move_to_end(cause)
        _shorten(self._recorded)
        await self._events.create_namespaced_event(place, body)


def _shorten(remembered: OrderedDict[Any, Any]) -> None:
    while len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)


def _micro_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
