"""What a refresh need not read again: subnets that were not edited, guests that were not touched.

Proxmox lists subnets only below their VNet and NICs only below their guest, so a complete read costs a call for each.
The memory asks for what may have changed, and for everything in rotation, so that nothing is older than a bound.

Why that is safe for subnets (PVE::Network::SDN; measured):

* A VNet's plain list of subnets carries the digest of the *whole* subnet file. One such call, the **probe**, says
  whether any subnet of any VNet was edited since the digest was taken.
* The running copy changes by an apply only, and an apply is a task (``reloadnetworkall``). After one that the operator
  did not send, everything is read again. VNets with pending subnets are read each time.
* Before an apply of the operator's, under the SDN lock, the tasks are asked for again. The cluster's list has every
  task from the moment it starts, but of each node the newest only: where it may leave some out, the node's own list is
  asked. Where no subnet exists that a digest could come with, every VNet is read then. So nothing is published that
  was not read.
* What the operator itself staged under the lock and then applied is known. Proxmox may store a value in another form
  than it was sent, so some of the VNets that were written are read all the same, and the others in rotation.

So a VNet that was read, while the digest stands and no other client applied, is as it was read: the bound holds
without reading it again. It is read again all the same, :data:`CONFIRMED` times as rarely, for what neither shows: a
file that was edited by hand on a node. What was never read, but staged and applied, has its turn within the bound.

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

from pve_evpn.domain.sdn import PendingChange, SdnObject, SdnRef
from pve_evpn.domain.state import FirewallName, FirewallNames, GuestState


@dataclass(frozen=True, slots=True)
class Copies:
    """Some objects, as the subnets of one VNet, in both copies; ``reworded`` as in :class:`SdnSnapshot`."""

    edited: Mapping[SdnRef, SdnObject] = field(default_factory=dict)
    running: Mapping[SdnRef, SdnObject] = field(default_factory=dict)
    reworded: tuple[PendingChange, ...] = ()

    @property
    def pending(self) -> bool:
        return bool(self.reworded) or self.edited != self.running


#: Reads the subnets of a VNet.
Fetch = Callable[[str], Awaitable[Copies]]
#: The digest that a VNet's plain list of subnets carries; "" where it has none.
Probe = Callable[[str], Awaitable[str]]
APPLY_TASK = "reloadnetworkall"
#: VNets read at once while the first one with a subnet is looked for.
_BATCH = 8
#: VNets asked for the digest before it counts as unknown.
_WITNESSES = 3
#: So few VNets are read each time: that costs no more than the probes would.
_FEW = 2
#: VNets that the operator wrote and that are read once more after the apply; the others are read in rotation.
VERIFIED = 50
#: Bounds after which a VNet is read again that the digest confirmed in each sync since it was read.
CONFIRMED = 6
#: Of the bound, for the turns of a rotation, because a sync may come late.
_SAFETY = 0.9
_MOST_TASKS = 10_000
#: Where the cluster's list of tasks has fewer rows, it has all there are (Proxmox keeps 25 ended ones of each node).
_ALL_TASKS = 25


@dataclass(slots=True)
class _Known:
    """``read``: whether Proxmox said so; else it is what was staged and applied."""

    subnets: Copies
    read_at: float
    read: bool = True

    @property
    def edited(self) -> bool:
        """Whether the edited copy has a subnet, so that the VNet's list carries a digest."""
        return bool(self.subnets.edited)


@dataclass
class SubnetMemory:
    """The subnets of every VNet of one cluster.

    ``resync``: seconds after which what no digest confirms is read again; 0 reads everything each time.
    ``verified``: see :data:`VERIFIED`.
    """

    fetch: Fetch
    probe: Probe
    resync: float
    verified: int = VERIFIED
    _known: dict[str, _Known] = field(default_factory=dict)
    _digest: str = ""
    _suspects: set[str] = field(default_factory=set)
    #: The edited copy of the VNets that the operator wrote under this lock, as the writes leave it.
    _staged: dict[str, dict[SdnRef, SdnObject]] = field(default_factory=dict)
    #: What of that was applied and not read since.
    _applied: dict[str, Copies] = field(default_factory=dict)
    _all_suspect: bool = True
    _complete: bool = False

    def __post_init__(self) -> None:
        self._rotation, self._confirming = Rotation(self.resync), Rotation(self.resync * CONFIRMED)

    async def read(self, vnets: Collection[str], now: float, *, before_apply: bool) -> dict[str, Copies]:
        """The subnets by VNet.

        Args:
            vnets: Every VNet of the edited copy.
            now: Monotonic seconds.
            before_apply: Nothing may be left unknown. The caller holds the SDN lock.
        """
        self._known = {vnet: known for vnet, known in self._known.items() if vnet in vnets}
        self._staged = {}
        if self.resync and len(vnets) <= _FEW:
            self._digest = ""
            await self._read(vnets, now)
            self._all_suspect = False
        elif await self._must_read_all(before_apply=before_apply):
            await self._read_all(vnets, now)
        else:
            self._take_applied(vnets, now)
            await self._read(self._due(vnets, now), now)
        self._applied = {}
        # Under the lock no other client edits: what is complete now stays so until the operator gives the lock back.
        self._complete = before_apply
        return {vnet: self._known[vnet].subnets for vnet in vnets}

    def creates(self, vnet: str) -> None:
        """The operator creates this VNet, under the lock."""
        self._suspects.add(vnet)
        self._staged.setdefault(vnet, {})

    def wrote(self, ref: SdnRef, before: SdnObject | None, after: SdnObject | None) -> None:
        """The operator writes a subnet, under the lock: as it was, and as it is to be."""
        for obj in filter(None, (before, after)):
            self._suspects.add(obj.parent)
            if obj.parent not in self._staged and (known := self._known.get(obj.parent)):
                self._staged[obj.parent] = dict(known.subnets.edited)
        if before and before.parent in self._staged:
            self._staged[before.parent].pop(ref, None)
        if after and after.parent in self._staged:
            self._staged[after.parent][ref] = SdnObject(ref, after.type, after.props, after.parent)

    async def sealed(self) -> None:
        """All is staged that will be applied, still under the lock: the present digest is that of the operator's edits.

        Without this the next probe would take them for another client's.
        """
        if self._suspects and self._complete:
            few = len(self._known.keys() | self._suspects) <= _FEW
            self._digest = "" if few else await self._present_digest()

    def applied(self) -> None:
        """Proxmox has taken the apply of what was sealed: what is staged runs."""
        if self._complete:
            self._applied = {vnet: Copies(edited, edited) for vnet, edited in self._staged.items()}
        self._staged = {}

    def forget(self) -> None:
        """Another client applied, or may have, or took the lock: nothing that is known holds."""
        self._all_suspect, self._complete = True, False
        self._staged, self._applied = {}, {}

    def _take_applied(self, vnets: Collection[str], now: float) -> None:
        """Take what was applied for what there is, but of the first VNets, which are read all the same."""
        for vnet in sorted(self._applied.keys() & set(vnets))[self.verified :]:
            self._known[vnet] = _Known(self._applied[vnet], now, read=False)
            self._suspects.discard(vnet)

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
        pending = {vnet for vnet, known in self._known.items() if known.subnets.pending}
        confirmed = {vnet: known.read_at for vnet, known in self._known.items() if self._digest and known.read}
        others = {vnet: known.read_at for vnet, known in self._known.items() if vnet not in confirmed}
        turn = self._rotation.due(others, now) | self._confirming.due(confirmed, now)
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
        for name, subnets in zip(names, lists, strict=True):
            self._known[name] = _Known(subnets, now)
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

    def store(self, state: GuestState, now: float) -> None:
        """A guest that is known was read by itself."""
        if known := self._known.get(state.vmid):
            self._known[state.vmid] = _Guest(known.row, state, now)
            self._touched.discard(state.vmid)

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
        self._begun = False

    def unreached(self, rows: Collection[Mapping[str, Any]], nodes: Iterable[str]) -> set[str]:
        """Nodes of which the cluster's list may leave out tasks that began since the last one; see :meth:`reaches`.

        None for the first list: what ended before it is in all that is read after it.
        """
        if not self._begun or len(rows) < _ALL_TASKS:
            return set()
        upids = (str(row.get("upid")) for row in rows)
        return set(nodes) - {upid.split(":")[1] for upid in upids if self._ended.get(upid, False)}

    def reaches(self, rows: Collection[Mapping[str, Any]], limit: int) -> bool:
        """Whether a node's newest tasks, at most ``limit``, reach back to what was seen before: nothing is left out.

        A list has the running tasks, then the others by their end. One that had ended when it was seen has below it
        only tasks that were seen.
        """
        return len(rows) < limit or any(self._ended.get(str(row.get("upid")), False) for row in rows)

    def sent(self, upid: str) -> None:
        """A task that the operator started."""
        self._own.add(upid)

    def is_own(self, row: Mapping[str, Any]) -> bool:
        """Whether the operator started this task."""
        return str(row.get("upid")) in self._own

    def news(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Rows of tasks that were not seen before, or still ran then.

        Args:
            rows: As ``/cluster/tasks`` has them: ``upid``, ``type``, ``id`` and, once ended, ``endtime``.
        """
        found = []
        self._begun = True
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
        return [row for row in rows if row.get("type") == APPLY_TASK and not self.is_own(row)]
