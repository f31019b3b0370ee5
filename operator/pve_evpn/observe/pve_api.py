"""The Proxmox API as a source of observations (9.1 and newer): what it shows without any access to the nodes.

It shows MAC/IP routes that are best paths, the routes of a VRF and the neighbours of a fabric; no BGP session, no
MAC-only route, no flood list. Tables are read in turn, a fixed number per poll, each through one node (that of a VRF
through each exit node too): the cost does not grow with VNets times nodes, the age of what is known does. Zones' states
are not read here: each sync has them.
"""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from pve_evpn.domain.health.expected import ExpectedOverlay
from pve_evpn.domain.observation import (
    FabricLink,
    FabricNeighbour,
    FabricView,
    IpVrfRoute,
    MacIp,
    NodeObservation,
    SourceName,
)
from pve_evpn.observe.source import NodeTarget, NodeUnreadable, now
from pve_evpn.pve import errors

#: What is read of a fabric on each of its nodes.
FABRIC_TABLES = ("neighbors", "interfaces", "routes")
#: Tables read per poll, whatever the number of VNets, zones and nodes.
BUDGET = 16


@dataclass(frozen=True, slots=True)
class Table:
    """One table that can be read: which, and through which node."""

    kind: str
    """``mac-vrf`` of a VNet, ``ip-vrf`` of a zone; ``neighbors``, ``routes``, ``interfaces`` of a fabric on a node."""
    name: str
    node: str

    @property
    def path(self) -> str:
        branch = {"mac-vrf": "vnets", "ip-vrf": "zones"}.get(self.kind, "fabrics")
        return f"/nodes/{self.node}/sdn/{branch}/{self.name}/{self.kind}"


class Reader(Protocol):
    """The one call to Proxmox that this source needs."""

    async def get(self, path: str, **params: Any) -> Any:
        """The ``data`` of a GET. Raises `PveError`."""


@dataclass(frozen=True, slots=True)
class Access:
    """How Proxmox is reached at the moment, and what there is to read.

    `tables`: whether its release has the tables of EVPN (9.1 and newer).
    """

    reader: Reader
    tables: bool
    expected: ExpectedOverlay
    fabrics: tuple[str, ...] = ()


class ApiSource:
    """Reads through what `access` gives; without it every read fails, which says nothing about the nodes."""

    def __init__(self, access: Callable[[], Access | None], interval: float) -> None:
        self._access = access
        self._interval = interval
        self._turn = 0
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._tables: dict[Table, tuple[Table, datetime, list[Mapping[str, Any]]]] = {}

    @property
    def name(self) -> SourceName:
        return "api"

    async def read(self, node: NodeTarget) -> NodeObservation:
        access = self._access()
        if access is None:
            raise NodeUnreadable("Unreachable", "the Proxmox API does not answer")
        member = access.expected.members.get(node.name)
        if member is None or not member.online:
            raise NodeUnreadable("Unreachable", f"the Proxmox cluster does not see {node.name}")
        async with self._reading:  # the first node of a poll reads for all of them
            if (time := asyncio.get_running_loop().time()) - self._read_at >= self._interval / 2:
                self._read_at = time
                await self._read_tables(access)
        here = [(table, at, rows) for table, at, rows in self._tables.values() if table.node == node.name]
        return NodeObservation(
            node.name,
            "api",
            now(),
            mac_ips=tuple(row for entry in here for row in _mac_ips(*entry)),
            ip_vrf=tuple(route for entry in here for route in _ip_vrf(*entry)) or None,
            fabric_neighbours=tuple(n for entry in here for n in _neighbours(*entry)) or None,
            fabrics=_fabrics(here) or None,
        )

    async def close(self) -> None:
        """Nothing is held: the connection belongs to the reconciler."""

    async def _read_tables(self, access: Access) -> None:
        tables = list(_tables(access))
        known = set(tables)
        self._tables = {key: entry for key, entry in self._tables.items() if key in known}
        if not access.tables or not tables:
            return
        start = self._turn % len(tables)
        due = list(itertools.islice(itertools.cycle(tables), start, start + min(BUDGET, len(tables))))
        self._turn += len(due)
        for table, rows in zip(due, await asyncio.gather(*(_rows(access.reader, t) for t in due)), strict=True):
            if rows is None:
                self._tables.pop(table, None)
            else:
                self._tables[table] = (table, now(), rows)


def _tables(access: Access) -> Iterator[Table]:
    """Everything that could be read, always through the same node while that is online: two nodes' views of one
    table, read at different times, would contradict each other."""
    online = [name for name, node in sorted(access.expected.members.items()) if node.online]

    def through(name: str, nodes: tuple[str, ...]) -> Iterator[str]:
        if there := [node for node in online if node in nodes]:
            yield there[zlib.crc32(name.encode()) % len(there)]

    # The few first: they are read with the first poll, so that a restart does not empty a status for a while.
    managed = {fabric.id for fabric in access.expected.fabrics}
    for fabric in access.fabrics:
        if fabric not in managed:
            yield from (Table("neighbors", fabric, node) for node in through(fabric, tuple(online)))
    for zone in access.expected.zones:
        exits = zone.exit.nodes if zone.exit else ()
        # An exit node's VRF differs from the others'; of the others one stands for all.
        yield from (Table("ip-vrf", zone.id, node) for node in online if node in exits)
        others = tuple(node for node in zone.nodes if node not in exits)
        yield from (Table("ip-vrf", zone.id, node) for node in through(zone.id, others))
    # Each node has neighbours, interfaces and routes of its own.
    for expected in access.expected.fabrics:
        there = [node for node in online if node in expected.nodes]
        yield from (Table(kind, expected.id, node) for kind in FABRIC_TABLES for node in there)
    for vnet in access.expected.vnets:
        yield from (Table("mac-vrf", vnet.id, node) for node in through(vnet.id, vnet.nodes))


async def _rows(reader: Reader, table: Table) -> list[Mapping[str, Any]] | None:
    """The rows; None where it cannot be read.

    Proxmox answers 500 for a zone limited to some nodes, and where FRR is down: neither says that there is nothing.
    """
    try:
        rows = await reader.get(table.path)
    except errors.PveError:
        return None
    return [row for row in rows or () if isinstance(row, Mapping)]


def _mac_ips(table: Table, at: datetime, rows: list[Mapping[str, Any]]) -> Iterator[MacIp]:
    for row in rows if table.kind == "mac-vrf" else ():
        if row.get("mac") and row.get("ip") and row.get("nexthop"):
            yield MacIp(table.name, str(row["mac"]).lower(), str(row["ip"]), str(row["nexthop"]), at)


def _ip_vrf(table: Table, at: datetime, rows: list[Mapping[str, Any]]) -> Iterator[IpVrfRoute]:
    for row in rows if table.kind == "ip-vrf" else ():
        if row.get("ip"):
            hops = tuple(str(hop) for hop in row.get("nexthops") or ())
            yield IpVrfRoute(table.name, str(row["ip"]), str(row.get("protocol") or ""), hops, at)


def _neighbours(table: Table, _at: datetime, rows: list[Mapping[str, Any]]) -> Iterator[FabricNeighbour]:
    for row in rows if table.kind == "neighbors" else ():
        if row.get("neighbor"):
            yield FabricNeighbour("", str(row["neighbor"]), str(row.get("status") or ""), fabric=table.name)


def _fabrics(entries: list[tuple[Table, datetime, list[Mapping[str, Any]]]]) -> dict[str, FabricView]:
    """What one node shows of each fabric."""
    found: dict[str, FabricView] = {}
    for table, at, rows in entries:
        view = found.get(table.name, FabricView())
        match table.kind:
            case "neighbors":
                found[table.name] = replace(view, neighbours=tuple(_neighbours(table, at, rows)))
            case "interfaces":
                named = (row for row in rows if row.get("name"))
                links = (FabricLink(*(str(row.get(key) or "") for key in ("name", "state", "type"))) for row in named)
                found[table.name] = replace(view, links=tuple(links))
            case "routes":
                found[table.name] = replace(view, routes=tuple(str(row["route"]) for row in rows if row.get("route")))
    return found
