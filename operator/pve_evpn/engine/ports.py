"""What the engine needs from Kubernetes, as protocols. ``kube`` implements them, tests use fakes.

Nothing here mentions HTTP, kopf or a client library: the engine can be driven without any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.sdn import SdnRef

RawObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What must outlive a crash of a transaction.

    ``token`` is the SDN lock we hold ("" between transactions), ``asked`` when we asked for one whose token we do
    not have (yet), ``creating`` the objects that were about to be created, ``dirty`` whether edits of ours may be
    staged, ``started`` when an apply was sent whose end was not seen, ``late`` until when such an apply may still be
    executed, and ``fenced`` whether the lock we hold was taken after it, so that it would be refused. Times are Unix
    seconds.

    ``approved`` is the hash of the plan that a person let through and that is being carried out, ``spent`` of the one
    that was carried out last: an approval counts once.
    """

    token: str = field(default="", repr=False)
    asked: int = 0
    creating: frozenset[SdnRef] = frozenset()
    dirty: bool = False
    started: int = 0
    late: int = 0
    fenced: bool = False
    approved: str = ""
    spent: str = ""

    @property
    def interrupted(self) -> bool:
        """Whether a transaction did not come to its end, so that there may be something to put in order."""
        return bool(self.token or self.asked or self.dirty or self.started)


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


class Secrets(Protocol):
    """Secrets of the operator's own namespace, and of no other."""

    async def read(self, name: str) -> Mapping[str, str] | None:
        """The decoded data; None if there is no such Secret."""


class Journal(Protocol):
    """Durable memory of transactions, one entry per cluster."""

    async def load(self, cluster: str) -> JournalEntry: ...

    async def save(self, cluster: str, entry: JournalEntry) -> None: ...


class Events(Protocol):
    """Kubernetes Events: transitions for people, never a log."""

    async def post(self, key: ObjectKey, uid: str, kind: str, reason: str, message: str) -> None:
        """``kind`` is Normal or Warning."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything the engine reaches in Kubernetes."""

    objects: Objects
    secrets: Secrets
    journal: Journal
    events: Events
