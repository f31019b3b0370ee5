"""What the engine needs from Kubernetes, as protocols. ``kube`` implements them, tests use fakes.

Nothing here mentions HTTP, kopf or a client library: the engine can be driven without any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.journal import Journal

RawObject = Mapping[str, Any]


class Objects(Protocol):
    """Writes to the objects users see. Each returns the object as it is afterwards, or None if it is gone."""

    async def patch_status(self, key: ObjectKey, status: Mapping[str, Any]) -> RawObject | None: ...

    async def patch_metadata(
        self,
        key: ObjectKey,
        resource_version: int,
        finalizers: tuple[str, ...],
        annotations: Mapping[str, str | None],
    ) -> RawObject | None:
        """Replace the finalizers and merge the annotations, if the object is still at ``resource_version``.

        Returns None too on a conflict: the newer object is on its way and will be judged again.
        """

    async def create(self, kind: str, name: str, spec: Mapping[str, Any], owner: ObjectKey) -> RawObject | None:
        """Create a cluster-scoped object of ours (EvpnNode) below its owner."""

    async def delete(self, key: ObjectKey) -> None: ...


@dataclass(frozen=True, slots=True)
class Secret:
    """A Secret; ``data`` is decoded."""

    data: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    revision: str = ""
    """Changes with it (``resourceVersion``)."""


class Secrets(Protocol):
    """Secrets of the operator's own namespace, and of no other."""

    @property
    def namespace(self) -> str:
        """That namespace."""

    async def read(self, name: str) -> Secret | None:
        """None if there is no such Secret."""


class Events(Protocol):
    """Kubernetes Events: transitions for people, never a log."""

    async def post(self, key: ObjectKey, uid: str, kind: str, reason: str, message: str, cause: str = "") -> None:
        """``kind`` is Normal or Warning. What has the same ``cause`` (default: the message) is counted as one."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything the engine reaches in Kubernetes."""

    objects: Objects
    secrets: Secrets
    journal: Journal
    events: Events
