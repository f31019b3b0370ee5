"""The engine's ports to Kubernetes, on the client of ``kube.client``.

Objects and their status, Secrets of our own namespace, the transaction journal (a Secret, because it holds the lock
token). Nothing here decides; each method does one request. Writes of what only a leader may say are not
sent once the Lease is lost: a status, and above all a journal, of the past would overwrite the successor's.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP, LABEL_CLUSTER, VERSION
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.journal import JournalEntry, entry_from_json, entry_to_json
from pve_evpn.engine.ports import Secret
from pve_evpn.kube.client import WRITERS, CustomObjects
from pve_evpn.kube.core import CoreObjects
from pve_evpn.leadership import IsLeader, NotLeader

log = logging.getLogger(__name__)

_MANAGER = "pve-evpn-operator"


class KubeObjects:
    """:class:`engine.ports.Objects`; at most ``WRITERS`` requests at once, with all that share ``slots``."""

    def __init__(self, custom: CustomObjects, is_leader: IsLeader, slots: asyncio.Semaphore | None = None) -> None:
        self._custom = custom
        self._is_leader = is_leader
        self._slots = slots or asyncio.Semaphore(WRITERS)

    @asynccontextmanager
    async def _turn(self, what: str) -> AsyncIterator[None]:
        """Wait for a free connection; then, as late as possible, see whether the write is still ours to send."""
        async with self._slots:
            if not self._is_leader():
                raise NotLeader(what)
            yield

    async def patch_status(self, key: ObjectKey, status: Mapping[str, Any]) -> dict[str, Any] | None:
        async with self._turn(f"the status of {key}"):
            return _with_kind(await self._custom.patch(key, {"status": status}, status=True), key)

    async def patch_metadata(
        self,
        key: ObjectKey,
        resource_version: int,
        finalizers: tuple[str, ...],
        annotations: Mapping[str, str | None],
    ) -> dict[str, Any] | None:
        metadata: dict[str, Any] = {"resourceVersion": str(resource_version), "finalizers": list(finalizers)}
        if annotations:
            metadata["annotations"] = dict(annotations)
        async with self._turn(f"the metadata of {key}"):
            return _with_kind(await self._custom.patch(key, {"metadata": metadata}, status=False), key)

    async def create(self, kind: str, name: str, spec: Mapping[str, Any], owner: ObjectKey) -> dict[str, Any] | None:
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": kind,
            "metadata": {"name": name, "labels": {LABEL_CLUSTER: owner.name}},
            "spec": dict(spec),
        }
        async with self._turn(f"the new {kind} {name}"):
            answer = await self._custom.create(kind, body)
        return None if answer is None else {**answer, "kind": kind}

    async def delete(self, key: ObjectKey) -> None:
        async with self._turn(f"the deletion of {key}"):
            await self._custom.delete(key)


def _with_kind(answer: dict[str, Any] | None, key: ObjectKey) -> dict[str, Any] | None:
    return None if answer is None else {**answer, "kind": key.kind}


class OwnSecrets:
    """:class:`engine.ports.Secrets`: of the operator's namespace, read afresh each time (a few per sync at most).

    Args:
        grace: Seconds for which a refusal (403) is an error: an API server that starts refuses everything for a moment.
            After that, a Secret that may not be read is a Secret that is not there.
    """

    def __init__(
        self,
        api: client.ApiClient,
        namespace: str,
        grace: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._core = CoreObjects(api)
        self.namespace = namespace
        self._grace = grace
        self._monotonic = monotonic
        self._refused_since: dict[str, float] = {}

    async def read(self, name: str) -> Secret | None:
        try:
            secret = await self._core.secret(self.namespace, name)
        except ApiException as error:
            if error.status == 403 and self._is_new(name):
                raise
            if error.status in (403, 404):
                return None
            raise
        self._refused_since.pop(name, None)
        data, metadata = secret.get("data") or {}, secret["metadata"]
        return Secret(
            {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in data.items()},
            metadata.get("labels") or {},
            metadata.get("annotations") or {},
            str(metadata.get("resourceVersion") or ""),
        )

    def _is_new(self, name: str) -> bool:
        """Whether a Secret has not been refused for long."""
        now = self._monotonic()
        return now - self._refused_since.setdefault(name, now) < self._grace


class SecretJournal:
    """:class:`engine.ports.Journal`: one Secret per cluster, ``pve-evpn-journal-<cluster>``."""

    def __init__(self, api: client.ApiClient, namespace: str, is_leader: IsLeader) -> None:
        self._core = CoreObjects(api)
        self._namespace = namespace
        self._is_leader = is_leader
        self._exists: set[str] = set()

    async def load(self, cluster: str) -> JournalEntry:
        try:
            secret = await self._core.secret(self._namespace, journal_name(cluster))
        except ApiException as error:
            if error.status == 404:
                return JournalEntry()
            raise
        self._exists.add(cluster)
        return entry_from_json(base64.b64decode((secret.get("data") or {}).get("entry", "")).decode() or "{}")

    async def save(self, cluster: str, entry: JournalEntry) -> None:
        if not self._is_leader():
            raise NotLeader(f"the journal of {cluster}")
        body = {"stringData": {"entry": entry_to_json(entry)}}
        name = journal_name(cluster)
        if cluster in self._exists:
            try:
                await self._core.patch_secret(self._namespace, name, body)
                return
            except ApiException as error:
                if error.status != 404:
                    raise
        labels = {"app.kubernetes.io/managed-by": _MANAGER, f"{GROUP}/journal": "true"}
        metadata = {"name": name, "labels": labels}
        await self._core.create_secret(self._namespace, {**body, "metadata": metadata, "type": "Opaque"})
        self._exists.add(cluster)


def journal_name(cluster: str) -> str:
    return f"pve-evpn-journal-{cluster}"
