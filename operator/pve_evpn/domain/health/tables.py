"""The tables of one poll as rows of JSON: what ``kube.tables`` serves, whole and uncapped, where statuses have a part.

Rows are as FRR has them (``domain.observation``): nothing is added up, and what no source shows is absent, not empty.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeAlias, get_args

from pydantic.alias_generators import to_camel

from pve_evpn.domain.health.expected import ExpectedOverlay, ExpectedVNet
from pve_evpn.domain.health.rows import bfd_states, session_fields, vni_fields
from pve_evpn.domain.observation import (
    BgpVniRow,
    ClusterObservation,
    EvpnRoute,
    MacRow,
    NodeObservation,
    NodeResult,
    ObservationFailure,
    PeerState,
    VniRow,
)

TableName: TypeAlias = Literal["peers", "vnis", "macs", "routes"]
#: All tables of a node, and those that can be given for one VNet.
TABLES: tuple[TableName, ...] = get_args(TableName)
VNET_TABLES: tuple[TableName, ...] = ("vnis", "macs", "routes")
#: Rows in one piece of the answer.
_ROWS = 200

Row: TypeAlias = dict[str, Any]


def cluster_tables(
    observation: ClusterObservation,
    expected: ExpectedOverlay,
    now: datetime,
    tables: Collection[TableName] = TABLES,
    nodes: Collection[str] = (),
) -> Iterator[str]:
    """All rows of every node, as one JSON document in pieces.

    Args:
        observation: The last poll.
        expected: Names the VNIs.
        now: Ages count to here.
        tables: Which ones.
        nodes: Only these; all of them where it is empty.
    """
    head = {"observedAt": _time(observation.at), "ageSeconds": _age(observation.at, now)}
    wanted = {name: result for name, result in observation.nodes.items() if not nodes or name in nodes}
    yield from _document(head, wanted, now, lambda node: _whole(node, expected, tables), trusted=True)


def vnet_tables(
    observation: ClusterObservation,
    expected: ExpectedOverlay,
    vnet: ExpectedVNet,
    now: datetime,
    tables: Collection[TableName] = VNET_TABLES,
) -> Iterator[str]:
    """The rows of one VNet and no others: those of its VNI, and type-5 routes of its subnets in its zone's VRF.

    Its readers may be tenants: what could not be read says nothing of addresses and credentials, and a route does not
    say by which session it came.
    """
    head = {
        "vni": vnet.vni,
        "zone": vnet.zone,
        "observedAt": _time(observation.at),
        "ageSeconds": _age(observation.at, now),
    }
    vrf = next((zone.vni for zone in expected.zones if zone.id == vnet.zone), None)
    wanted = {name: observation.nodes[name] for name in vnet.nodes if name in observation.nodes}
    yield from _document(head, wanted, now, lambda node: _of_vnet(node, vnet, vrf, expected, tables), trusted=False)


_Parts: TypeAlias = dict[TableName, Iterator[Row] | None]


def _document(
    head: Row,
    nodes: dict[str, NodeResult],
    now: datetime,
    parts: Callable[[NodeObservation], _Parts],
    *,
    trusted: bool,
) -> Iterator[str]:
    yield json.dumps(head)[:-1] + ', "nodes": ['
    for number, (name, result) in enumerate(sorted(nodes.items())):
        separator = ", " if number else ""
        if isinstance(result, ObservationFailure):
            failure: Row = {"reason": result.reason}
            if trusted:
                failure["message"] = f"{result.source}: {result.message}" if result.source else result.message
            yield separator + json.dumps({"name": name, "failure": failure})
            continue
        about: Row = {
            "name": name,
            "sources": result.sources,
            "observedAt": _time(result.at),
            "ageSeconds": _age(result.at, now),
        }
        if trusted:
            about |= _absent_left_out(
                routerId=result.router_id, asn=result.asn, frrVersion=result.frr_version, problems=result.problems
            )
        yield separator + json.dumps(about)[:-1] + ', "tables": {'
        for place, (table, rows) in enumerate(parts(result).items()):
            yield f'{", " if place else ""}"{table}": '
            yield from _list(rows)
        yield "}}"
    yield "]}\n"


def _list(rows: Iterator[Row] | None) -> Iterator[str]:
    if rows is None:
        yield "null"
        return
    yield "["
    first, batch = True, []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS:
            yield ("" if first else ", ") + json.dumps(batch)[1:-1]
            first, batch = False, []
    if batch:
        yield ("" if first else ", ") + json.dumps(batch)[1:-1]
    yield "]"


def _whole(node: NodeObservation, expected: ExpectedOverlay, tables: Collection[TableName]) -> _Parts:
    bfd = bfd_states(node)
    bgp = {row.vni: row for row in node.bgp_vnis or ()}
    found: _Parts = {
        "peers": _each(node.peers, lambda peer: _peer(peer, bfd.get(peer.address))),
        "vnis": _each(node.vnis, lambda row: _vni(row, bgp.get(row.vni), expected)),
        "macs": _each(node.macs, _mac),
        "routes": _each(node.routes, _route),
    }
    return {table: found[table] for table in TABLES if table in tables}


def _of_vnet(
    node: NodeObservation,
    vnet: ExpectedVNet,
    vrf: int | None,
    expected: ExpectedOverlay,
    tables: Collection[TableName],
) -> _Parts:
    bgp = {row.vni: row for row in node.bgp_vnis or ()}
    networks = [ipaddress.ip_network(subnet, strict=False) for subnet in vnet.subnets]
    vnis = None if node.vnis is None else [row for row in node.vnis if row.vni == vnet.vni]
    macs = None if node.macs is None else [row for row in node.macs if row.vni == vnet.vni]
    routes = None if node.routes is None else [row for row in node.routes if _is_of(row, vnet.vni, vrf, networks)]
    found: _Parts = {
        "vnis": _each(vnis, lambda row: _vni(row, bgp.get(row.vni), expected)),
        "macs": _each(macs, _mac),
        "routes": _each(routes, lambda row: {key: value for key, value in _route(row).items() if key != "peer"}),
    }
    return {table: found[table] for table in VNET_TABLES if table in tables}


def _is_of(
    route: EvpnRoute, vni: int, vrf: int | None, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    if route.route_type != 5:
        return route.vni == vni
    if vrf is None or route.l3_vni != vrf or route.ip is None or route.prefix_length is None:
        return False
    try:
        prefix = ipaddress.ip_network((route.ip, route.prefix_length), strict=False)
    except ValueError:
        return False
    return any(prefix.version == network.version and _within(prefix, network) for network in networks)


def _within(prefix: Any, network: Any) -> bool:
    return bool(prefix.subnet_of(network))


def _each(rows: Sequence[Any] | None, render: Callable[[Any], Row]) -> Iterator[Row] | None:
    return None if rows is None else map(render, rows)


def _peer(peer: PeerState, bfd: str | None) -> Row:
    return _absent_left_out(**_spelled(session_fields(peer, peer.since)), hostname=peer.hostname, bfd=bfd)


def _vni(row: VniRow, bgp: BgpVniRow | None, expected: ExpectedOverlay) -> Row:
    return _absent_left_out(
        **_spelled(vni_fields(row, expected)),
        vxlanInterface=row.vxlan_interface,
        remoteVteps=row.remote_vteps,
        remoteVtepCount=row.remote_vtep_count,
        rd=bgp.rd if bgp else None,
        originatorIp=bgp.originator_ip if bgp else None,
        importRouteTargets=bgp.import_rts if bgp else None,
        routerMac=bgp.router_mac if bgp else None,
    )


def _mac(row: MacRow) -> Row:
    return _absent_left_out(
        vni=row.vni,
        mac=row.mac,
        type=row.type,
        interface=row.interface,
        remoteVtep=row.remote_vtep,
        localSequence=row.local_sequence,
        remoteSequence=row.remote_sequence,
        duplicate=row.duplicate or None,
        zombie=row.zombie or None,
    )


def _route(route: EvpnRoute) -> Row:
    return _absent_left_out(
        type=route.route_type,
        prefix=route.prefix,
        rd=route.rd,
        vni=route.vni,
        l3Vni=route.l3_vni,
        mac=route.mac,
        ip=route.ip,
        prefixLength=route.prefix_length,
        nextHop=route.next_hop,
        own=route.own or None,
        best=route.best or None,
        valid=route.valid or None,
        mobilitySequence=route.mobility,
        sticky=route.sticky or None,
        routeTargets=route.route_targets,
        routerMac=route.router_mac,
        peer=route.peer,
    )


_camel = cache(to_camel)


def _spelled(fields: Mapping[str, Any]) -> Row:
    """As statuses are: in camelCase, with times as text."""
    return {_camel(name): _time(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def _absent_left_out(**values: Any) -> Row:
    return {name: value for name, value in values.items() if value is not None}


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _age(at: datetime, now: datetime) -> float:
    return max(0.0, round((now - at).total_seconds(), 1))
