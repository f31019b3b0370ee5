"""The journal: what must outlive a crash of a transaction, one entry per cluster.

``kube`` keeps it in a Secret, because it holds the lock token.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from typing import Any, Protocol

from pydantic import ConfigDict, Field, TypeAdapter, field_serializer, field_validator
from pydantic.dataclasses import dataclass

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.sdn import WRITTEN_AT_ONCE, SdnKind, SdnObject, SdnRef, SdnSnapshot


def _stored(name: str, default: Any, **options: Any) -> Any:
    """A field with the name it has in Secrets that older releases wrote."""
    return Field(default=default, validation_alias=name, serialization_alias=name, **options)


_CONFIG = ConfigDict(extra="ignore", validate_by_name=True, validate_by_alias=True)


@dataclass(frozen=True, config=_CONFIG)
class StoredObject:
    """An SDN object as it ran before an apply; ``type`` is "" where there was none."""

    kind: SdnKind
    id: str
    type: str = ""
    parent: str = ""
    props: dict[str, str | tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, ref: SdnRef, found: SdnObject | None) -> StoredObject:
        if found is None:
            return cls(ref.kind, ref.id)
        return cls(ref.kind, ref.id, found.type, found.parent, dict(found.props))

    @property
    def ref(self) -> SdnRef:
        return SdnRef(self.kind, self.id)

    def is_in(self, sdn: SdnSnapshot) -> bool:
        """Whether the object that is there is this one, or none is. What Proxmox fills in does not matter."""
        found = sdn.edited.get(self.ref) or sdn.running.get(self.ref)
        if found is None:
            return True
        same = (found.type, found.parent) == (self.type, self.parent)
        return same and all(found.props.get(key) == value for key, value in self.props.items())

    @property
    def object(self) -> SdnObject | None:
        """The object; None where there was none."""
        return SdnObject(self.ref, self.type, self.props, self.parent) if self.type else None


@dataclass(frozen=True, config=_CONFIG)
class PendingConfirm:
    """An apply that has not been confirmed yet.

    ``record``: what worked before it (:class:`domain.health.confirm.NetworkRecord` as JSON, "" where nothing was seen).
    ``before``: the objects it changes, as they ran. ``applied_at``: when it ended, 0 while that is not known.
    ``evidence``: why it is to be reverted, "" while that is not decided.
    """

    record: str = ""
    before: tuple[StoredObject, ...] = ()
    applied_at: int = 0
    evidence: str = ""


@dataclass(frozen=True, config=_CONFIG)
class Correction:
    """A field that another client had changed and the operator wrote back. Times are Unix seconds.

    ``count``: how often, without a long pause in between. ``at``: the last time. ``next``: not again before.
    """

    key: ObjectKey
    field: str
    count: int
    at: int
    next: int


@dataclass(frozen=True, config=_CONFIG)
class JournalEntry:
    """The state of the last transaction of one cluster. Times are Unix seconds, 0 for none.

    ``lock_token``: of the SDN lock the operator holds; "" between transactions.
    ``lock_requested_at``: when the operator asked for a lock whose token it does not have (yet).
    ``lock_seen``: the lock was held after that request, so the request has most likely been executed.
    ``creating``: objects that were about to be created, and are the operator's if they are there.
    ``changed``: objects that a transaction changed and of which no report says so yet.
    ``dirty``: edits of the operator may be staged.
    ``apply_started_at``: when an apply was sent whose end was not seen.
    ``apply_deadline``: until when Proxmox may still execute an apply whose answer was lost.
    ``relocked``: the lock was taken after that apply, so Proxmox would refuse it.
    ``approval``: the hash of the plan that a person approved and that is being carried out.
    ``consumed_approval``: the hash of the one that was carried out last; an approval counts once.
    ``lost``: of ``creating``, those that were staged when another client took the lock by force, as they were staged.
    A different object of that name is that client's.
    ``confirm``: the apply that waits for its confirmation.
    ``corrections``: the newest ones, so that a restart does not begin a fight anew; written only with a correction.
    """

    lock_token: str = _stored("token", "", repr=False)
    lock_requested_at: int = _stored("asked", 0)
    lock_seen: bool = False
    creating: frozenset[SdnRef] = frozenset()
    changed: frozenset[ObjectKey] = frozenset()
    dirty: bool = False
    apply_started_at: int = _stored("started", 0)
    apply_deadline: int = _stored("late", 0)
    relocked: bool = _stored("fenced", False)
    approval: str = _stored("approved", "")
    consumed_approval: str = _stored("spent", "")
    confirm: PendingConfirm | None = None
    lost: tuple[StoredObject, ...] = ()
    corrections: tuple[Correction, ...] = ()

    @property
    def interrupted(self) -> bool:
        """Whether a transaction did not come to its end, so that something may have to be put in order."""
        return bool(self.lock_token or self.lock_requested_at or self.dirty or self.apply_started_at)

    def created(self, sdn: SdnSnapshot) -> frozenset[SdnRef]:
        """Of ``creating``, what is the operator's if it is there."""
        foreign = {stored.ref for stored in self.lost if not stored.is_in(sdn)}
        return self.creating - foreign

    @field_validator("creating", mode="before")
    @classmethod
    def _refs(cls, value: Iterable[Any]) -> frozenset[SdnRef]:
        return frozenset(ref if isinstance(ref, SdnRef) else SdnRef(SdnKind(ref[0]), ref[1]) for ref in value)

    @field_serializer("creating")
    def _pairs(self, refs: frozenset[SdnRef]) -> list[tuple[str, str]]:
        return sorted((str(ref.kind), ref.id) for ref in refs)

    @field_serializer("changed")
    def _keys(self, keys: frozenset[ObjectKey]) -> list[ObjectKey]:
        return sorted(keys)


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

    async def forget_reported(self, sdn: SdnSnapshot) -> None:
        """The statuses say by now what was created and changed: the journal need not, unless something is still staged.

        A service that Proxmox does not have yet may come still: it was not said what became of its creation.
        """
        if (self.entry.creating or self.entry.changed) and not self.entry.interrupted:
            left = (ref for ref in self.entry.creating if ref.kind in WRITTEN_AT_ONCE and ref not in sdn.edited)
            await self.update(creating=frozenset(left), changed=frozenset(), lost=())
