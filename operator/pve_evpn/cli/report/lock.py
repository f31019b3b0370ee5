"""What `pve-evpn lock` says: who holds Proxmox' SDN lock as far as that can be known, and whether it may be removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from pve_evpn.api.cluster import LockStatus
from pve_evpn.cli.report.model import Block, Cell, Facts, Lines, Report, Tone, age, columns
from pve_evpn.engine.journal import JournalEntry
from pve_evpn.engine.lock import LATE
from pve_evpn.text import some_of


class Holder(StrEnum):
    """Who holds the lock. Proxmox does not say, so this follows from whether it is held and the operator's records."""

    FREE = "no client"
    OPERATOR = "the operator"
    LOST = "probably the operator, by a request whose answer was lost"
    OTHER = "another client"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LockSeen:
    """What could be read.

    ``held``: None where Proxmox could not be asked; ``problem`` says why. ``journal``: None where the caller may not
    read it. ``status``: of the ProxmoxCluster. ``reloads``: applies and reloads of nodes that run now, in words.
    """

    cluster: str
    now: datetime
    held: bool | None = None
    problem: str = ""
    status: LockStatus | None = None
    journal: JournalEntry | None = None
    journal_name: str = ""
    pending: tuple[str, ...] = ()
    reloads: tuple[str, ...] = ()

    @property
    def holder(self) -> Holder:
        """Who holds it."""
        if self.held is False:
            return Holder.FREE
        if self.journal is None:
            return Holder.UNKNOWN
        if self.journal.lock_token or self._asks:
            return Holder.OPERATOR
        if self.journal.lock_requested_at:
            return Holder.LOST
        if self.held or (self.status and self.status.holder == "Other"):
            return Holder.OTHER
        return Holder.UNKNOWN

    @property
    def since(self) -> datetime | None:
        """Since when it has been held, or has been known to be; None where that is not known."""
        if self.holder is Holder.OPERATOR and self.journal and self.journal.lock_token:
            return taken_at(self.journal.lock_token)
        if self.holder in (Holder.OPERATOR, Holder.LOST) and self.journal:
            return datetime.fromtimestamp(self.journal.lock_requested_at, UTC)
        return self.status.since if self.status and self.holder is not Holder.FREE else None

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the lock should not be removed."""
        found: list[str] = []
        if self.holder is Holder.OPERATOR:
            found.append(
                "the operator holds the lock for a transaction of its own, and gives it back by itself, also after a "
                "crash"
            )
        if self.journal is None and self.holder is not Holder.FREE:
            found.append(f"whether the operator holds the lock is not known: {self.journal_name} cannot be read")
        if self.reloads and self.holder is not Holder.FREE:
            found.append(f"a client is in the middle of an apply: {some_of(self.reloads, 3)}")
        return tuple(found)

    @property
    def _asks(self) -> bool:
        """The operator has asked for the lock, and Proxmox may still carry that out."""
        asked = self.journal.lock_requested_at if self.journal else 0
        return bool(asked) and asked > self.now.timestamp() - LATE


def taken_at(token: str) -> datetime | None:
    """When a lock was taken, by its token, which is a UUID of version 7; None for another one."""
    try:
        return datetime.fromtimestamp((UUID(token).int >> 80) / 1000, UTC)
    except ValueError:
        return None


_FACTS = columns(
    ("held", "held"), ("holder", "by"), ("since", "since"), ("applying", "applying now"), ("pending", "staged edits"),
    ("notKnown", "not known"),
)  # fmt: skip
_SHOWN = 20


def lock_report(seen: LockSeen) -> Report:
    """Facts, and what to do."""
    tones = {Holder.FREE: Tone.GOOD, Holder.OPERATOR: Tone.WAITING}
    unknown = [seen.problem] if seen.problem else []
    if seen.journal is None:
        unknown.append(f"{seen.journal_name}, which says whether the operator holds the lock")
    values = {
        "held": Cell(seen.held, shown={True: "yes", False: "no", None: "not known"}[seen.held]),
        "holder": Cell(str(seen.holder), tones.get(seen.holder, Tone.BAD)),
        "since": age(seen.since, seen.now),
        "applying": Cell("; ".join(seen.reloads) or None),
        "pending": Cell(some_of(seen.pending, _SHOWN) or None),
        "notKnown": Cell("; ".join(unknown) or None, Tone.WAITING),
    }
    rows = tuple((column, values[column.key]) for column in _FACTS if values[column.key].value is not None)
    blocks: list[Block] = [Facts("lock", f"SDN LOCK OF {seen.cluster}", rows)]
    if steps := _what_to_do(seen):
        blocks.append(Lines("whatToDo", "WHAT TO DO", steps))
    return Report(tuple(blocks))


def _what_to_do(seen: LockSeen) -> tuple[str, ...]:
    command = f"pve-evpn lock {seen.cluster} --release"
    if seen.holder is Holder.FREE:
        return ()
    if seen.holder is Holder.OPERATOR:
        return ("Wait. Where no operator runs any more, start one: it gives its own lock back and takes a new one.",)
    if seen.holder is Holder.LOST:
        return (f"If no other client is at work: {command}",)
    return (
        "Find the client: Terraform, Ansible, a person in the UI, a second operator. Let it finish.",
        f"If it is certain that no client is at work: {command}",
    )
