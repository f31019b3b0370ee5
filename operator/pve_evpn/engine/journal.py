"""The journal: what must outlive a crash of a transaction, one entry per cluster.

``kube`` keeps it in a Secret, because it holds the lock token.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

from pydantic import ConfigDict, Field, TypeAdapter, field_serializer, field_validator
from pydantic.dataclasses import dataclass

from pve_evpn.domain.sdn import SdnKind, SdnRef


def _stored(name: str, default: Any, **options: Any) -> Any:
    """A field with the name it has in Secrets that older releases wrote."""
    return Field(default=default, validation_alias=name, serialization_alias=name, **options)


@dataclass(frozen=True, config=ConfigDict(extra="ignore", validate_by_name=True, validate_by_alias=True))
class JournalEntry:
    """The state of the last transaction of one cluster. Times are Unix seconds, 0 for none.

    ``lock_token``: of the SDN lock the operator holds; "" between transactions.
    ``lock_requested_at``: when the operator asked for a lock whose token it does not have (yet).
    ``creating``: objects that were about to be created, and are the operator's if they are there.
    ``dirty``: edits of the operator may be staged.
    ``apply_started_at``: when an apply was sent whose end was not seen.
    ``apply_deadline``: until when Proxmox may still execute an apply whose answer was lost.
    ``relocked``: the lock was taken after that apply, so Proxmox would refuse it.
    ``approval``: the hash of the plan that a person approved and that is being carried out.
    ``consumed_approval``: the hash of the one that was carried out last; an approval counts once.
    """

    lock_token: str = _stored("token", "", repr=False)
    lock_requested_at: int = _stored("asked", 0)
    creating: frozenset[SdnRef] = frozenset()
    dirty: bool = False
    apply_started_at: int = _stored("started", 0)
    apply_deadline: int = _stored("late", 0)
    relocked: bool = _stored("fenced", False)
    approval: str = _stored("approved", "")
    consumed_approval: str = _stored("spent", "")

    @property
    def interrupted(self) -> bool:
        """Whether a transaction did not come to its end, so that something may have to be put in order."""
        return bool(self.lock_token or self.lock_requested_at or self.dirty or self.apply_started_at)

    @field_validator("creating", mode="before")
    @classmethod
    def _refs(cls, value: Iterable[Any]) -> frozenset[SdnRef]:
        return frozenset(ref if isinstance(ref, SdnRef) else SdnRef(SdnKind(ref[0]), ref[1]) for ref in value)

    @field_serializer("creating")
    def _pairs(self, refs: frozenset[SdnRef]) -> list[tuple[str, str]]:
        return sorted((str(ref.kind), ref.id) for ref in refs)


_ENTRY = TypeAdapter(JournalEntry)


def entry_to_json(entry: JournalEntry) -> str:
    """The entry as it is stored."""
    return _ENTRY.dump_json(entry, by_alias=True).decode()


def entry_from_json(text: str) -> JournalEntry:
    """A stored entry, also of an older release. Raises ValueError where it is no journal entry."""
    return _ENTRY.validate_json(text)


class Journal(Protocol):
    """Where entries are kept."""

    async def load(self, cluster: str) -> JournalEntry: ...

    async def save(self, cluster: str, entry: JournalEntry) -> None: ...


class ClusterJournal:
    """The journal of one cluster. ``entry`` is what is stored."""

    def __init__(self, cluster: str, store: Journal) -> None:
        self._cluster = cluster
        self._store = store
        self.entry = JournalEntry()

    async def load(self) -> None:
        """Read the stored entry; every sync begins with it."""
        self.entry = await self._store.load(self._cluster)

    async def save(self, entry: JournalEntry) -> None:
        """Store the entry; no request where it is stored already."""
        if entry != self.entry:
            await self._store.save(self._cluster, entry)
            self.entry = entry

    async def update(self, **changes: Any) -> None:
        """Store the entry with these fields changed."""
        await self.save(replace(self.entry, **changes))

    async def forget_created(self) -> None:
        """The statuses say by now what was created: the journal need not, unless something is still staged."""
        if self.entry.creating and not self.entry.interrupted:
            await self.update(creating=frozenset())
