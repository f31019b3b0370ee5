"""The Leases of one namespace as an API server keeps them: versions, conflicts, preconditions, label selectors."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

from kubernetes.aio.client.exceptions import ApiException


class LeaseServer:
    """Stands in for ``CoordinationV1Api``. ``down`` makes every request fail, ``before`` runs before each one.

    ``requests`` are verbs with the names or selectors they were about.
    """

    def __init__(self) -> None:
        self.stored: dict[str, Any] = {}
        self.down = False
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.requests: list[tuple[str, str]] = []
        self._version = 0

    def holder(self, name: str) -> str:
        """Who holds a Lease; "" where no replica does."""
        lease = self.stored.get(name)
        return (lease.spec.holder_identity or "") if lease else ""

    async def read_namespaced_lease(self, name: str, _namespace: str) -> Any:
        await self._begin("get", name)
        return copy.deepcopy(self._existing(name))

    async def list_namespaced_lease(
        self, _namespace: str, label_selector: str, limit: int = 0, _continue: str | None = None
    ) -> Any:
        await self._begin("list", label_selector)
        found = list(self._selected(label_selector))
        first = int(_continue or 0)
        page = found[first : first + limit] if limit else found
        more = str(first + limit) if limit and first + limit < len(found) else None
        return SimpleNamespace(items=copy.deepcopy(page), metadata=SimpleNamespace(var_continue=more))

    async def create_namespaced_lease(self, _namespace: str, lease: Any) -> Any:
        await self._begin("create", lease.metadata.name)
        if lease.metadata.name in self.stored:
            raise ApiException(status=409, reason="AlreadyExists")
        return self._keep(lease)

    async def replace_namespaced_lease(self, name: str, _namespace: str, lease: Any) -> Any:
        await self._begin("update", name)
        self._check(self._existing(name), lease.metadata.resource_version)
        return self._keep(lease)

    async def delete_namespaced_lease(self, name: str, _namespace: str, body: Any = None) -> None:
        await self._begin("delete", name)
        there = self._existing(name)
        if body is not None:
            self._check(there, body.preconditions.resource_version)
        del self.stored[name]

    async def _begin(self, verb: str, what: str) -> None:
        self.requests.append((verb, what))
        await asyncio.sleep(0)
        if self.before is not None:
            await self.before(verb)
        if self.down:
            raise OSError("connection refused")

    def _existing(self, name: str) -> Any:
        if name not in self.stored:
            raise ApiException(status=404, reason="Not Found")
        return self.stored[name]

    def _check(self, there: Any, version: str) -> None:
        if there.metadata.resource_version != version:
            raise ApiException(status=409, reason="Conflict")

    def _keep(self, lease: Any) -> Any:
        self._version += 1
        kept = self.stored[lease.metadata.name] = copy.deepcopy(lease)
        kept.metadata.resource_version = str(self._version)
        return copy.deepcopy(kept)

    def _selected(self, selector: str) -> Iterator[Any]:
        label, _, value = selector.partition("=")
        for _, lease in sorted(self.stored.items()):
            if (lease.metadata.labels or {}).get(label) == value:
                yield lease
