"""Reading one Proxmox cluster: the requests of a refresh, and what of them may come from memory.

What is remembered, and why that is safe, is in :mod:`pve_evpn.pve.memory`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pve_evpn.domain.privileges import Rights
from pve_evpn.domain.sdn import (
    PendingChange,
    PendingState,
    SdnKind,
    SdnObject,
    SdnRef,
    SdnSnapshot,
)
from pve_evpn.domain.state import (
    ClusterState,
    FirewallName,
    FirewallNames,
    GuestState,
    NodeState,
    PveVersion,
    capabilities_of,
)
from pve_evpn.pve import decode, errors
from pve_evpn.pve.memory import APPLY_TASK, Copies, GuestMemory, GuestRow, NameMemory, SubnetMemory, TaskMemory
from pve_evpn.pve.nodes import NodeReader
from pve_evpn.text import from_outside

#: Below ``/cluster/sdn``. The services of ipams and dns are not staged.
_STAGED = ("controllers", "fabrics", "prefix-lists", "route-maps", "vnets", "zones")
_KNOWN = frozenset({*_STAGED, "dns", "dry-run", "ipams", "lock", "rollback"})
#: The lists of those services, which have no ``pending`` view.
SERVICES: Mapping[SdnKind, str] = {SdnKind.IPAM: "/cluster/sdn/ipams", SdnKind.DNS: "/cluster/sdn/dns"}
_REACH_SECONDS = 300.0
#: Seconds for which the release is remembered.
_RELEASE_SECONDS = 300.0
#: Newest tasks of a node that are compared with those known; and applies of it, where that does not reach far enough.
_NEWEST_TASKS, _NEWEST_APPLIES = 50, 10
#: Seconds for which the reloads that were listed with a node's tasks count as those there are.
_RELOADS_SECONDS = 5.0
RELOAD_TASK = "srvreload"
#: The lists of the kinds that have one of their own.
COLLECTION: Mapping[SdnKind, str] = {
    SdnKind.CONTROLLER: "/cluster/sdn/controllers",
    SdnKind.ZONE: "/cluster/sdn/zones",
    SdnKind.VNET: "/cluster/sdn/vnets",
}
#: The lists of the datacenter's firewall, and the key of a row that names it.
_FIREWALL_LISTS: Mapping[FirewallName, tuple[str, str]] = {
    FirewallName.MACRO: ("/cluster/firewall/macros", "macro"),
    FirewallName.GROUP: ("/cluster/firewall/groups", "group"),
    FirewallName.IPSET: ("/cluster/firewall/ipset", "name"),
    FirewallName.ALIAS: ("/cluster/firewall/aliases", "name"),
}
#: Kinds that are few, rarely change, and are read in lists of their own.
_SHARED = frozenset({SdnKind.FABRIC, SdnKind.FABRIC_NODE, SdnKind.ROUTE_MAP, SdnKind.PREFIX_LIST, SdnKind.OTHER})
#: Fabrics with their nodes in one answer; route maps as entries; prefix lists, which say nothing without ``verbose``.
FABRICS = "/cluster/sdn/fabrics"
ROUTE_MAPS = "/cluster/sdn/route-maps/entries"
PREFIX_LISTS = "/cluster/sdn/prefix-lists"


class ClusterReader(NodeReader):
    """Reads of one cluster, typed. :meth:`remember_for` says how long what nothing hints at need not be read again."""

    def __init__(self, *connection: Any, **options: Any) -> None:
        super().__init__(*connection, **options)
        self._asked = -_REACH_SECONDS
        self._tasks = TaskMemory()
        #: Nodes of which lists of the cluster's tasks may have left some out.
        self._unreached: set[str] = set()
        self._subnets = SubnetMemory(self._read_subnets, self._subnet_digest, resync=0)
        self._guests = GuestMemory(resync=0)
        self._names = NameMemory(self._read_names, resync=0)
        self._reached: tuple[bool, tuple[str, ...]] = (False, ())
        self._rights: Rights | None = None
        self._services: Mapping[SdnKind, Mapping[SdnRef, SdnObject]] = {}
        self._fingerprints: Mapping[str, str] = {}
        self._release: tuple[float, str, str] = (-_RELEASE_SECONDS, "", "")
        self._reloads: tuple[float, frozenset[str]] | None = None
        self._lists: dict[SdnKind, tuple[list[Mapping[str, Any]], Copies]] = {}

    async def version(self) -> str:
        """The release of the node that answers, e.g. ``9.2.11``."""
        asked, endpoint, release = self._release
        stale = time.monotonic() - asked >= _RELEASE_SECONDS or endpoint != self.active_endpoint
        if stale or not self.remembers:
            release = str((await self.get("/version"))["version"])
            self._release = time.monotonic(), self.active_endpoint, release
        return release

    async def packages(self, node: str, names: Collection[str]) -> dict[str, str]:
        """The installed versions of these Debian packages on a node; a package that is not installed is left out.

        Proxmox tells it to those with Sys.Audit on the node. Raises :class:`errors.PveError` otherwise.
        """
        rows = await self.get(f"/nodes/{node}/apt/versions")
        return decode.installed(rows, names)

    async def credentials_end(self) -> datetime | None:
        """When the token, or its user's account, expires; None for never.

        Proxmox tells it to those with Sys.Audit on /access/groups. Raises :class:`errors.PveError` otherwise.
        """
        user = await self.get(f"/access/users/{self.credentials.user}")
        return decode.earliest_end(user or {}, self.credentials.token_name)

    def remember_for(self, seconds: float) -> None:
        """How long subnets and guests that nothing hints at need not be read again; 0 reads everything each time."""
        self.remembers = seconds > 0
        if seconds != self._subnets.resync:
            self._subnets = SubnetMemory(self._read_subnets, self._subnet_digest, resync=seconds)
            self._guests = GuestMemory(resync=seconds)
            self._names = NameMemory(self._read_names, resync=seconds)

    async def read_cluster(
        self,
        release: str,
        *,
        guests: bool,
        before_apply: bool = False,
        verified: ClusterState | None = None,
        hosts: Mapping[str, NodeState] = MappingProxyType({}),
        zones: bool = True,
        fresh: Callable[[GuestState], bool] = lambda _guest: False,
        names: FirewallNames = MappingProxyType({}),
        services: Collection[SdnKind] = (),
    ) -> ClusterState:
        """Read the cluster: what may have changed since the last read, the rest from memory.

        Args:
            release: As :meth:`version` gives it.
            guests: Whether guests are needed at all.
            before_apply: The SDN lock is held and an apply may follow: nothing of SDN is left unknown.
            verified: What was read a moment ago under the lock of an apply of the operator's that went well on every
                node: of it are taken the nodes, fabrics and policies, of which none was staged.
            hosts: Nodes whose host network was read a moment ago, in the same sync: it is taken from there.
            zones: Whether the nodes are asked for the states of their zones; else these too are those of ``hosts``.
            fresh: Guests that are needed as they are now.
            names: Those of the datacenter's firewall that rules use; only their kinds are read.
            services: Which of IPAMs and DNS servers are needed as they are now: a request each. The others are those of
                up to :data:`_REACH_SECONDS` ago, without their secrets.

        Raises :class:`errors.PveError` for what must be known (lists, quorum); a silent node is only marked so.
        """
        version = PveVersion.parse(release)
        if verified:
            members, quorate, name = verified.nodes, verified.quorate, verified.cluster_name
        else:
            members, quorate, name = decode.nodes(await self.get("/cluster/status"))
        sdn = await self._sdn(version, members.values(), verified, before_apply=before_apply)
        sdn = await self._with_services(sdn, services)
        nodes = await asyncio.gather(
            *(self._read_node(node, hosts.get(node.name), ask_zones=zones) for node in members.values())
        )
        nodes = [replace(node, fingerprint=self._fingerprints.get(node.name, "")) for node in nodes]
        return ClusterState(
            version=version,
            release=release,
            sdn=sdn,
            nodes={node.name: node for node in nodes},
            guests=await self.guests(fresh) if guests else None,
            quorate=quorate,
            cluster_name=name,
            rights=self._rights,
            firewall_names=await self._names.read(names, time.monotonic()),
        )

    async def _sdn(
        self, version: PveVersion, members: Collection[NodeState], verified: ClusterState | None, *, before_apply: bool
    ) -> SdnSnapshot:
        """Both copies from the ``pending`` views. Subnets can only be listed below their VNet."""
        kinds = tuple(COLLECTION)
        lists = await asyncio.gather(*(self.get(COLLECTION[kind], pending=1) for kind in kinds))
        edited: dict[SdnRef, SdnObject] = {}
        running: dict[SdnRef, SdnObject] = {}
        reworded: list[PendingChange] = []
        for kind, items in zip(kinds, lists, strict=True):
            copies = self._decoded(kind, items or [])
            edited |= copies.edited
            running |= copies.running
            reworded += copies.reworded
        vnets = [ref.id for ref in edited if ref.kind is SdnKind.VNET]
        if not verified:
            await self._notice_tasks(members, before_apply=before_apply)
        for subnets in (await self._subnets.read(vnets, time.monotonic(), before_apply=before_apply)).values():
            edited |= subnets.edited
            running |= subnets.running
            reworded += subnets.reworded
        if verified:
            known = verified.sdn
            edited |= {ref: obj for ref, obj in known.edited.items() if ref.kind in _SHARED}
            running |= {ref: obj for ref, obj in known.running.items() if ref.kind in _SHARED}
            return replace(known, edited=edited, running=running, reworded=tuple(reworded))
        fabrics, addresses = await self._fabrics(edited, running, reworded)
        if capabilities_of(version).policies:
            await self._policies(edited, running, reworded)
        sees_all, unknown = await self._reach()
        others = [change for name in unknown for change in await self._strange(name)]
        return SdnSnapshot(
            edited, running, tuple(others), tuple(reworded), fabrics, complete=sees_all, fabric_addresses=addresses
        )

    async def _with_services(self, sdn: SdnSnapshot, kinds: Collection[SdnKind]) -> SdnSnapshot:
        """Add the services to both copies: they have one, which is in effect."""
        wanted = [kind for kind in SERVICES if kind in kinds]
        lists = await asyncio.gather(*(self.get(SERVICES[kind]) for kind in wanted))
        found = {ref: obj for kind, known in self._services.items() if kind not in kinds for ref, obj in known.items()}
        for kind, rows in zip(wanted, lists, strict=True):
            found |= _services(kind, rows)
        return replace(sdn, edited={**sdn.edited, **found}, running={**sdn.running, **found}) if found else sdn

    def _decoded(self, kind: SdnKind, items: list[Mapping[str, Any]]) -> Copies:
        """The objects of a list; the same ones as before where the list is the same."""
        known, copies = self._lists.get(kind, (None, Copies()))
        if known != items:
            copies = _copies(kind, items)
            self._lists[kind] = items, copies
        return copies

    async def _reach(self) -> tuple[bool, tuple[str, ...]]:
        """Whether the credentials see all of SDN, and the collections that this program does not know.

        A list leaves out what one may not see, so an object that is missing from it may be there. Both change rarely
        and are asked for now and then only.
        """
        if time.monotonic() - self._asked > _REACH_SECONDS:
            held, names, self._fingerprints, *services = await asyncio.gather(
                self.get("/access/permissions"), self._index(), self._certificates(), *map(self._listed, SERVICES)
            )
            self._services = dict(zip(SERVICES, services, strict=True))
            self._reached = (decode.sees_all(held or {}), tuple(sorted(names - _KNOWN)))
            self._rights = Rights(self.credentials.user, decode.privileges(held or {}))
            self._asked = time.monotonic()
        return self._reached

    async def _listed(self, kind: SdnKind) -> Mapping[SdnRef, SdnObject]:
        """The IPAMs or DNS servers that one may see, without their secrets; none where Proxmox does not tell."""
        try:
            rows = await self.get(SERVICES[kind])
        except (errors.Unreachable, errors.Refused, errors.Forbidden):
            return {}
        return {ref: replace(obj, secret=None) for ref, obj in _services(kind, rows).items()}

    async def _certificates(self) -> Mapping[str, str]:
        """The fingerprint of each node's certificate; nothing where Proxmox does not tell."""
        answer = await self.get_if_answered("/nodes")
        rows = [row for row in (answer or {}).get("data") or () if isinstance(row, dict)]
        found = {str(row.get("node")): from_outside(row.get("ssl_fingerprint") or "", longest=128) for row in rows}
        return {name: fingerprint for name, fingerprint in found.items() if fingerprint}

    async def _index(self) -> set[str]:
        """What there is below ``/cluster/sdn``; nothing where one may not ask."""
        try:
            rows = await self.get("/cluster/sdn")
        except (errors.Unreachable, errors.Refused, errors.Forbidden):
            return set()
        return {str(row.get("id")) for row in rows or () if isinstance(row, dict)}

    async def _strange(self, name: str) -> list[PendingChange]:
        """Edits in a collection of a newer Proxmox. An apply would publish them too, whatever they are."""
        answer = await self.get_if_answered(f"/cluster/sdn/{name}", pending=1)
        rows = (answer or {}).get("data")
        found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return decode.other_pending(SdnKind.OTHER, [{**r, "id": f"{name}/{r.get('id', '?')}"} for r in found], ("id",))

    async def _notice_tasks(self, members: Collection[NodeState], *, before_apply: bool) -> None:
        """Take the hints that tasks give: guests they are about, and applies of other clients.

        The cluster's list has of each node the newest tasks only. So before an apply each node of which it may have
        left out some is asked for its own. (It has all users' tasks for those with Sys.Audit on /, without which
        Proxmox does not tell the members either.)
        """
        if not self.remembers:
            return
        online = [node.name for node in members if node.online]
        try:
            rows = decode.rows(await self.get("/cluster/tasks"))
            self._unreached |= self._tasks.unreached(rows, online)
            if before_apply:
                asked = self._unreached.intersection(online)
                rows += [row for rows in await asyncio.gather(*map(self._newest_tasks, asked)) for row in rows]
                self._unreached.difference_update(asked)
        except (errors.Unreachable, errors.Refused, errors.Forbidden):
            self._subnets.forget()
            return
        if before_apply:
            reloads = (str(row.get("upid")) for row in rows if row.get("type") == RELOAD_TASK)
            self._reloads = time.monotonic(), frozenset(reloads)
        news = self._tasks.news(rows)
        if self._tasks.foreign_apply(news):
            self._subnets.forget()
        about = (str(row.get("id") or "") for row in news if not self._tasks.is_own(row))
        self._guests.touched(int(vmid) for vmid in about if vmid.isdecimal())

    async def _newest_tasks(self, node: str) -> list[Mapping[str, Any]]:
        """A node's newest tasks; every apply of it among them that was not seen before."""
        path = f"/nodes/{node}/tasks"
        rows = decode.rows(await self.get(path, source="all", limit=_NEWEST_TASKS))
        if not self._tasks.reaches(rows, _NEWEST_TASKS):
            rows += decode.rows(await self.get(path, source="all", typefilter=APPLY_TASK, limit=_NEWEST_APPLIES))
        return rows

    def reloads_just_listed(self) -> frozenset[str] | None:
        """UPIDs of the reloads that were listed with the tasks, under the lock; None where that is long ago."""
        if self._reloads is None or time.monotonic() - self._reloads[0] > _RELOADS_SECONDS:
            return None
        return self._reloads[1]

    async def _read_subnets(self, vnet: str) -> Copies:
        try:
            rows = await self.get(f"/cluster/sdn/vnets/{vnet}/subnets", pending=1)
        except errors.NotFound:  # deleted since the list was made
            rows = ()
        return _copies(SdnKind.SUBNET, rows or (), vnet)

    async def _read_names(self, kind: FirewallName) -> frozenset[str] | None:
        path, key = _FIREWALL_LISTS[kind]
        try:
            rows = await self.get(path)
        except (errors.Unreachable, errors.Refused, errors.Forbidden):
            return None
        return frozenset(kind.form(str(row[key])) for row in rows or () if isinstance(row, dict) and row.get(key))

    async def _subnet_digest(self, vnet: str) -> str:
        try:
            rows = await self.get(f"/cluster/sdn/vnets/{vnet}/subnets")
        except errors.Refused:  # deleted since, or pending to be
            return ""
        return str(rows[0].get("digest") or "") if rows else ""

    async def _fabrics(
        self, edited: dict[SdnRef, SdnObject], running: dict[SdnRef, SdnObject], reworded: list[PendingChange]
    ) -> tuple[frozenset[str], dict[str, dict[str, str]]]:
        """Read fabrics and their nodes; the edited fabrics' names, and the addresses of the running ones' nodes."""
        answer = await self.get(f"{FABRICS}/all", pending=1)
        fabrics, nodes = answer.get("fabrics") or (), answer.get("nodes") or ()
        reworded += _sort_in(SdnKind.FABRIC, fabrics, "", edited, running)
        reworded += _sort_in(SdnKind.FABRIC_NODE, nodes, "", edited, running)
        names = frozenset(ref.id for ref in edited if ref.kind is SdnKind.FABRIC)
        return names, decode.fabric_addresses(nodes)

    async def _policies(
        self, edited: dict[SdnRef, SdnObject], running: dict[SdnRef, SdnObject], reworded: list[PendingChange]
    ) -> None:
        """Read prefix lists and route maps."""
        lists, entries = await asyncio.gather(
            self.get(PREFIX_LISTS, pending=1, verbose=1), self.get(ROUTE_MAPS, pending=1)
        )
        reworded += _sort_in(SdnKind.PREFIX_LIST, lists or (), "", edited, running)
        new, old, spelled = decode.route_maps(entries or ())
        edited |= new
        running |= old
        reworded += spelled

    async def guests(self, fresh: Callable[[GuestState], bool] = lambda _guest: True) -> dict[int, GuestState]:
        """Every guest the credentials may see, with its NIC configuration; those ``fresh`` names as they are now."""
        rows = await self.get("/cluster/resources", type="vm")
        found = [
            GuestRow(decode.guest(row), int(row.get("uptime") or 0))
            for row in rows
            if row.get("type") in ("qemu", "lxc")
        ]
        return await self._guests.read(found, self.guest, time.monotonic(), fresh)

    async def guest_again(self, guest: GuestState) -> GuestState:
        """Read one guest after a write of the operator's; the next read of all takes it from memory."""
        read = await self.guest(guest)
        if read is not guest:
            self._guests.store(read, time.monotonic())
        return read

    async def guest(self, guest: GuestState) -> GuestState:
        """Read one guest's configuration; unchanged if its node does not answer, or does not let us see it.

        The ``pending`` view has it all, live and to come; the digest too, except where a release leaves it out.
        """
        base = f"/nodes/{guest.node}/{guest.kind}/{guest.vmid}"
        try:
            read = decode.guest_config(guest, await self.get(f"{base}/pending") or ())
            if not read.digest:
                read = replace(read, digest=str((await self.get(f"{base}/config")).get("digest") or ""))
        except errors.Unreachable:
            return guest
        except (errors.Refused, errors.Forbidden) as error:
            return replace(guest, error=str(error)) if guest.nics is None else guest
        return read


def _services(kind: SdnKind, rows: Any) -> dict[SdnRef, SdnObject]:
    """The IPAMs or DNS servers of a list."""
    return {obj.ref: obj for row in decode.rows(rows) if (obj := decode.service(kind, row))}


def _copies(kind: SdnKind, items: Iterable[Mapping[str, Any]], parent: str = "") -> Copies:
    """Both copies of what a list has."""
    edited: dict[SdnRef, SdnObject] = {}
    running: dict[SdnRef, SdnObject] = {}
    reworded = _sort_in(kind, items, parent, edited, running)
    return Copies(edited, running, tuple(reworded))


def _sort_in(
    kind: SdnKind,
    items: Iterable[Mapping[str, Any]],
    parent: str,
    edited: dict[SdnRef, SdnObject],
    running: dict[SdnRef, SdnObject],
) -> list[PendingChange]:
    """Fill both copies; the edits among them that only change the spelling of values."""
    reworded = []
    for item in items:
        new, old = decode.both_copies(kind, item, parent)
        if new:
            edited[new.ref] = new
        if old:
            running[old.ref] = old
        if new and old and item.get("state") and (new.type, new.props) == (old.type, old.props):
            reworded.append(PendingChange(new.ref, PendingState.CHANGED, tuple(sorted(item.get("pending") or ()))))
    return reworded
