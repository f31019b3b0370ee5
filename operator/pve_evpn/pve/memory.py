"""What a refresh need not read again: subnets that were not edited, guests that were not touched.

Proxmox lists subnets only below their VNet and NICs only below their guest, so a complete read costs a call for each.
The memory asks for what may have changed, and for everything in rotation, so that nothing is older than a bound.

Why that is safe for subnets (PVE::Network::SDN; measured):

* A VNet's plain list of subnets carries the digest of the *whole* subnet file. One such call, the **probe**, says
  whether any subnet of any VNet was edited since the digest was taken.
* The running copy changes by an apply only, and an apply is a task (``reloadnetworkall``). After one that the operator
  did not send, everything is read again. VNets with pending subnets are read each time.
* Before an apply of the operator's, under the SDN lock, the tasks of every node are asked. Where no subnet exists that
  a digest could come with, every VNet is read then. So nothing is published that was not read.

Guests have no such digest. What a hint names is read: a changed row of ``/cluster/resources``, a task about it, a write
of the operator's, a NicAttachment that changed. What another client edits without a task (a container, or a VM through
PUT) is noticed by the rotation.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_evpn.domain.state import FirewallName, FirewallNames, GuestState

Items = list[Mapping[str, Any]]
#: Reads the subnets of a VNet in both copies (``?pending=1``).
Fetch = Callable[[str], Awaitable[Items]]
#: The digest that a VNet's plain list of subnets carries; "" where it has none.
Probe = Callable[[str], Awaitable[str]]
APPLY_TASK = "reloadnetworkall"
#: VNets read at once while the first one with a subnet is looked for.
_BATCH = 8
#: VNets asked for the digest before it counts as unknown.
_WITNESSES = 3
#: Of the bound, for the turns of a rotation, because a sync may come late.
_SAFETY = 0.9
_MOST_TASKS = 2000


@dataclass(slots=True)
class _Subnets:
    items: Items
    read_at: float

    @property
    def pending(self) -> bool:
        return any(item.get("state") for item in self.items)

    @property
    def edited(self) -> bool:
        """Whether the edited copy has a subnet, so that the VNet's list carries a digest."""
        return any(item.get("state") != "deleted" for item in self.items)


@dataclass
class SubnetMemory:
    """The subnets of every VNet of one cluster.

    ``resync``: seconds after which a VNet is read again whatever the probe says; 0 reads everything each time.
    """

    fetch: Fetch
    probe: Probe
    resync: float
    _known: dict[str, _Subnets] = field(default_factory=dict)
    _digest: str = ""
    _suspects: set[str] = field(default_factory=set)
    _all_suspect: bool = True
    _complete: bool = False

    def __post_init__(self) -> None:
        self._rotation = Rotation(self.resync)

    async def read(self, vnets: Collection[str], now: float, *, before_apply: bool) -> dict[str, Items]:
        """The subnets by VNet.

        Args:
            vnets: Every VNet of the edited copy.
            now: Monotonic seconds.
            before_apply: Nothing may be left unknown. The caller holds the SDN lock.
        """
        self._known = {vnet: known for vnet, known in self._known.items() if vnet in vnets}
        if await self._must_read_all(before_apply=before_apply):
            await self._read_all(vnets, now)
        else:
            await self._read(self._due(vnets, now), now)
        # Under the lock no other client edits: what is complete now stays so until the operator gives the lock back.
        self._complete = before_apply
        return {vnet: self._known[vnet].items for vnet in vnets}

    def wrote(self, vnet: str) -> None:
        """The operator writes a subnet of this VNet, under the lock."""
        self._suspects.add(vnet)

    async def sealed(self) -> None:
        """All is staged that will be applied, still under the lock: the present digest is that of the operator's edits.

        Without this the next probe would take them for another client's.
        """
        if self._suspects and self._complete:
            self._digest = await self._present_digest()

    def forget(self) -> None:
        """Another client applied, or may have, or took the lock: nothing that is known holds."""
        self._all_suspect, self._complete = True, False

    async def _must_read_all(self, *, before_apply: bool) -> bool:
        if self._all_suspect or not self.resync:
            return True
        if not self._digest:
            return before_apply or any(known.edited for known in self._known.values())
        return await self._present_digest() != self._digest

    async def _present_digest(self) -> str:
        """The digest of the subnet file; "" where no VNet is known whose list carries it."""
        for vnet in self._witnesses()[:_WITNESSES]:
            if digest := await self.probe(vnet):
                return digest
        return ""

    def _witnesses(self) -> list[str]:
        """VNets whose lists carry a digest, those first that the operator did not just write."""
        sure = [vnet for vnet, known in self._known.items() if known.edited and vnet not in self._suspects]
        return [*sure[:_WITNESSES], *sorted(self._suspects)]

    def _due(self, vnets: Collection[str], now: float) -> set[str]:
        new = set(vnets) - self._known.keys()
        pending = {vnet for vnet, known in self._known.items() if known.pending}
        turn = self._rotation.due({vnet: known.read_at for vnet, known in self._known.items()}, now)
        return new | pending | (self._suspects & set(vnets)) | turn

    async def _read_all(self, vnets: Collection[str], now: float) -> None:
        """Every VNet between two probes: only if both agree, nothing was edited while the lists were read."""
        left, first = sorted(vnets), list[str]()
        while left and not self._witnesses():
            first, left = left[:_BATCH], left[_BATCH:]
            await self._read(first, now)
        before = await self._present_digest()
        # Without a witness to begin with, what was read before the first probe is read once more.
        await self._read(left if not before else [*first, *left], now)
        self._digest = before if before and await self._present_digest() == before else ""
        self._all_suspect = False

    async def _read(self, vnets: Iterable[str], now: float) -> None:
        names = sorted(vnets)
        lists = await asyncio.gather(*map(self.fetch, names))
        for name, items in zip(names, lists, strict=True):
            self._known[name] = _Subnets(items, now)
        self._suspects -= set(names)


@dataclass
class Rotation:
    """Whose turn it is to be read again, so that nothing gets older than ``bound`` seconds."""

    bound: float
    _last: float | None = None
    _owed: float = 0.0

    def due(self, read_at: Mapping[Any, float], now: float) -> set[Any]:
        """Those past the bound, and the oldest: a share of all for the time since the last turn.

        The share keeps a thousand that were read at once from being due at once.
        """
        elapsed = 0.0 if self._last is None else now - self._last
        self._last = now
        self._owed += len(read_at) * elapsed / (_SAFETY * self.bound)
        count = int(self._owed)
        self._owed -= count
        late = {name for name, at in read_at.items() if now - at >= self.bound}
        return late | set(heapq.nsmallest(count, read_at, key=lambda name: read_at[name]))


@dataclass(slots=True)
class _Guest:
    row: GuestRow
    state: GuestState
    read_at: float


@dataclass
class GuestMemory:
    """The guests of one cluster with their NICs. ``resync`` as in :class:`SubnetMemory`."""

    resync: float
    _known: dict[int, _Guest] = field(default_factory=dict)
    _touched: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._rotation = Rotation(self.resync)

    async def read(
        self,
        rows: Collection[GuestRow],
        fetch: Callable[[GuestState], Awaitable[GuestState]],
        now: float,
        fresh: Callable[[GuestState], bool],
    ) -> dict[int, GuestState]:
        """Every guest by vmid.

        Args:
            rows: ``/cluster/resources``, every guest.
            fetch: Reads one guest's configuration.
            now: Monotonic seconds.
            fresh: Whether the caller needs this guest as it is now.
        """
        by_vmid = {row.state.vmid: row for row in rows}
        self._known = {vmid: known for vmid, known in self._known.items() if vmid in by_vmid}
        turn = (
            self._rotation.due({vmid: known.read_at for vmid, known in self._known.items()}, now) if self.resync else ()
        )
        due = [
            row
            for vmid, row in by_vmid.items()
            if not self.resync
            or vmid in turn
            or vmid in self._touched
            or (known := self._known.get(vmid)) is None
            or known.state.nics is None
            or row.changed_since(known.row)
            or fresh(row.state)
        ]
        for row, state in zip(due, await asyncio.gather(*(fetch(row.state) for row in due)), strict=True):
            self._known[state.vmid] = _Guest(row, state, now)
            self._touched.discard(state.vmid)
        return {vmid: known.state for vmid, known in self._known.items()}

    def touched(self, vmids: Iterable[int]) -> None:
        """A task, or a write of the operator's, may have changed these guests."""
        self._touched.update(vmids)


@dataclass(slots=True)
class _Names:
    """``there``: the names of one kind, None where the credentials may not list them; ``used`` when it was read."""

    there: frozenset[str] | None
    used: frozenset[str]
    read_at: float


@dataclass
class NameMemory:
    """The names of the datacenter's firewall, of the kinds that rules use. They change rarely, and by hand.

    ``fetch`` lists one kind; None where the credentials may not. ``resync`` as in :class:`SubnetMemory`.
    """

    fetch: Callable[[FirewallName], Awaitable[frozenset[str] | None]]
    resync: float
    _known: dict[FirewallName, _Names] = field(default_factory=dict)

    async def read(self, used: FirewallNames, now: float) -> FirewallNames:
        """What there is of each kind that is used; a kind that is not known is left out.

        A kind is read again past the bound, and for a name that is new among those used and was not there.
        """
        self._known = {kind: known for kind, known in self._known.items() if used.get(kind)}
        due = [kind for kind, names in used.items() if names and self._is_due(kind, names, now)]
        for kind, there in zip(due, await asyncio.gather(*map(self.fetch, due)), strict=True):
            self._known[kind] = _Names(there, used[kind], now)
        return {kind: known.there for kind, known in self._known.items() if known.there is not None}

    def _is_due(self, kind: FirewallName, names: frozenset[str], now: float) -> bool:
        known = self._known.get(kind)
        if known is None or now - known.read_at >= self.resync:
            return True
        return known.there is not None and not names - known.used <= known.there


@dataclass(frozen=True, slots=True)
class GuestRow:
    """One guest as ``/cluster/resources`` lists it; ``uptime`` in seconds, 0 where it does not run."""

    state: GuestState
    uptime: int = 0

    def changed_since(self, before: GuestRow) -> bool:
        """Whether anything but its load changed: place, name, state, tags, lock; a lower uptime means a restart."""
        return self.state != before.state or self.uptime < before.uptime


class TaskMemory:
    """The tasks that were seen, to tell which are new. It keeps the newest :data:`_MOST_TASKS`."""

    def __init__(self) -> None:
        #: By UPID, in the order they were seen: whether the task had ended.
        self._ended: dict[str, bool] = {}
        self._own: set[str] = set()

    @property
    def empty(self) -> bool:
        """Whether no task was seen yet."""
        return not self._ended

    def sent(self, upid: str) -> None:
        """A task that the operator started."""
        self._own.add(upid)

    def news(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Rows of tasks that were not seen before, or still ran then.

        Args:
            rows: As ``/cluster/tasks`` has them: ``upid``, ``type``, ``id`` and, once ended, ``endtime``.
        """
        found = []
        for row in rows:
            upid, ended = str(row.get("upid")), bool(row.get("endtime"))
            if not self._ended.get(upid, False):
                found.append(row)
                self._ended[upid] = ended
        for upid in list(self._ended)[: max(0, len(self._ended) - _MOST_TASKS)]:
            del self._ended[upid]
            self._own.discard(upid)
        return found

    def foreign_apply(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Whether one of these tasks is an apply that the operator did not send."""
        return bool(self.foreign_applies(rows))

    def foreign_applies(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of these tasks that are applies the operator did not send."""
        return [row for row in rows if row.get("type") == APPLY_TASK and str(row.get("upid")) not in self._own]
