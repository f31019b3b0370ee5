"""Fabrics: neighbours, interfaces and routes of each node, and what a Fabric says of them. Pure.

Which nodes are connected with which Proxmox does not know, so what is expected of a node is: at least one neighbour, no
incomplete one, every configured interface up, and a route to each other node that is online.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pve_evpn.api.conditions import Reason
from pve_evpn.api.fabric import Adjacency, FabricInterfaceRow, FabricNeighbourRow, FabricStatus
from pve_evpn.domain.health.context import HealthContext, as_before, dated, listed, not_seen, operational
from pve_evpn.domain.health.expected import ExpectedFabric
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.observation import FabricNeighbour, FabricView, NodeObservation

#: Protocols whose words for a neighbour's state are not known.
_FREE_TEXT = frozenset({"wireguard"})


def fabric_health(fabric: ExpectedFabric, context: HealthContext) -> Health:
    """What a Fabric says of its nodes."""
    names = sorted(fabric.nodes)
    if context.in_grace(names):
        return as_before(context.previous(fabric.key))
    rows = [_row(name, fabric, context) for name in names]
    known = [row for row in rows if row.up is not None]
    well = sum(not row.problems for row in known)
    part = FabricStatus(
        adjacencies=rows,
        adjacencies_summary=f"{well}/{len(rows)}" if known else None,
        truncated=None,
        source=context.source(names) if known else None,
    )
    problems = [problem for row in rows for problem in row.problems or ()]
    unseen = [row.name for row in rows if row.up is None and context.online(row.name)]
    if problems:
        value = operational(False, Reason.ADJACENCY_DOWN, listed(problems))
    elif unseen or not known:
        value = not_seen(unseen or names, context, _why_nothing)
    else:
        value = operational(True, Reason.OPERATIONAL, f"{well} of {len(rows)} nodes have all their neighbours")
    return Health(value, dated(context.previous(fabric.key), part, context.observation.at))


def _row(name: str, fabric: ExpectedFabric, context: HealthContext) -> Adjacency:
    view = _view(name, fabric, context)
    if view is None or view.neighbours is None:
        return Adjacency(name=name)
    mtus = context.expected.members[name].interface_mtus if name in context.expected.members else {}
    links = [
        FabricInterfaceRow(name=link.name, state=link.state, type=link.type or None, mtu=mtus.get(link.name))
        for link in view.links or ()
    ]
    return Adjacency(
        name=name,
        up=sum(neighbour.up for neighbour in view.neighbours),
        neighbours=[FabricNeighbourRow(neighbour=n.neighbour, state=n.state) for n in view.neighbours],
        interfaces=links if view.links is not None else None,
        routes=None if view.routes is None else len(view.routes),
        problems=list(_problems(name, fabric, view, view.neighbours, context)) or None,
    )


def _view(name: str, fabric: ExpectedFabric, context: HealthContext) -> FabricView | None:
    """What the node shows of the fabric. FRR itself names no fabric, so its neighbours are those of the protocol."""
    node = context.observation.nodes.get(name)
    if not isinstance(node, NodeObservation):
        return None
    if node.fabrics and fabric.id in node.fabrics:
        return node.fabrics[fabric.id]
    alike = [other for other in context.expected.fabrics if other.protocol == fabric.protocol and name in other.nodes]
    found = [n for n in node.fabric_neighbours or () if n.protocol == fabric.protocol]
    return FabricView(tuple(found)) if found and len(alike) == 1 else None


def _problems(
    name: str, fabric: ExpectedFabric, view: FabricView, neighbours: tuple[FabricNeighbour, ...], context: HealthContext
) -> Iterable[str]:
    others = [other for other in sorted(fabric.nodes) if other != name and context.online(other)]
    if fabric.protocol not in _FREE_TEXT:
        if others and not neighbours:
            yield f"{name} has no neighbour in the fabric"
        for neighbour in neighbours:
            if not neighbour.up:
                yield f"{name} to {neighbour.neighbour} is {neighbour.state or 'down'}"
    states = {link.name: link.state for link in view.links or ()}
    for link in fabric.links.get(name, ()) if view.links is not None else ():
        if states.get(link, "missing").lower() != "up":
            yield f"{name}: interface {link} is {states.get(link, 'missing')}"
    if view.routes is not None and neighbours:
        networks = [ipaddress.ip_network(route, strict=False) for route in view.routes if _is_network(route)]
        for other in others:
            for address in fabric.nodes[other]:
                if not any(ipaddress.ip_address(address) in network for network in networks):
                    yield f"{name} has no route to {other} ({address})"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _why_nothing(node: NodeObservation) -> str:
    if node.problems:
        return f"{node.node}: {node.problems[0]}"
    return "neighbours are seen by source api (Proxmox VE 9.1 and newer), those of OSPF and OpenFabric by ssh too"
