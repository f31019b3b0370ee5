"""The network as a graph: nodes and their sessions, zones, VNets, NICs, and what they stand on. The page and ``graph``
draw it.

Pure. Vertices are named ``KIND/NAMESPACE/NAME`` after their objects, and ``peer/CLUSTER/ADDRESS`` where a BGP peer is
no node of the cluster. An EvpnController is drawn where it uses a Fabric or a RouteMap, a RouteMap or PrefixList
where an object that is drawn uses it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pve_evpn.api.zone import ExitNode
from pve_evpn.cli.report.causes import is_good, state_of
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.status import node_name
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import ESTABLISHED
from pve_evpn.domain.plan import references

_POLICIES = frozenset({"RouteMap", "PrefixList"})


class State(StrEnum):
    """How a vertex or an edge is. Unknown is never drawn as bad."""

    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"
    UNKNOWN = "unknown"


#: Of several states that one vertex stands for, the last of these counts.
SEVERITY = (State.UNKNOWN, State.GOOD, State.WAITING, State.BAD)


class VertexKind(StrEnum):
    """What a vertex stands for. ``MORE`` stands for VNets or policies that are not drawn one by one.

    Controller: of EVPN, BGP or IS-IS. Policy: RouteMap or PrefixList. Service: Ipam or DnsServer.
    """

    NODE = "node"
    PEER = "peer"
    ZONE = "zone"
    VNET = "vnet"
    NIC = "nic"
    FABRIC = "fabric"
    CONTROLLER = "controller"
    POLICY = "policy"
    SERVICE = "service"
    MORE = "more"


_KINDS = tuple(VertexKind)


class EdgeKind(StrEnum):
    """Session: BGP. Member: a node has the zone. Part: a VNet is in a zone. On: a NIC is on its VNet, or its node.

    Exit: a node connects the zone with the outside, which implies Member. Underlay: a node is in a Fabric, or a
    controller runs over it. Runs: a controller runs on a node. Uses: an object names a policy, service or controller.
    """

    SESSION = "session"
    MEMBER = "member"
    PART = "part"
    ON = "on"
    EXIT = "exit"
    UNDERLAY = "underlay"
    RUNS = "runs"
    USES = "uses"


@dataclass(frozen=True, slots=True)
class Vertex:
    """``zone`` is the vertex of the zone that a VNet or NIC is in; ``""`` for others and where none is known."""

    id: str
    kind: VertexKind
    label: str
    state: State
    cluster: str
    detail: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """A session has no direction: each pair of speakers has one, in the worse of the two states.

    ``label`` is written beside the line, ``primary`` makes the line thick.
    """

    source: str
    target: str
    kind: EdgeKind
    state: State
    detail: str = ""
    label: str = ""
    primary: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """Edges lead to vertices of the graph only. Vertices are in the order in which they are drawn."""

    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


def vertex_id(key: ObjectKey) -> str:
    """The vertex of an object."""
    return f"{key.kind}/{key.namespace}/{key.name}"


def graph_of(snapshot: Snapshot) -> Graph:
    """Everything, one vertex per object."""
    reading = _Reading(snapshot)
    vertices: dict[str, Vertex] = {}
    for vertex in reading.vertices():
        before = vertices.get(vertex.id)  # a router outside that several speakers have a session with
        if before is None or _worst(before, vertex) is not before.state:
            vertices[vertex.id] = vertex
    edges: dict[tuple[str, str, EdgeKind], Edge] = {}
    for edge in reading.edges():
        place = (edge.source, edge.target, edge.kind)
        if edge.source in vertices and edge.target in vertices:
            edges[place] = _worse(edges.get(place), edge)
    return Graph(tuple(sorted(vertices.values(), key=_drawing_rank)), tuple(edges.values()))


def _drawing_rank(vertex: Vertex) -> tuple[int, bool, list[str | int]]:
    """By kind; VNets and policies that are not good first; then by label as people count, net2 before net10."""
    first = vertex.kind in (VertexKind.VNET, VertexKind.POLICY) and vertex.state is not State.GOOD
    parts = re.split(r"(\d+)", vertex.label.casefold())
    return (
        _KINDS.index(vertex.kind),
        not first,
        [int(part) if number % 2 else part for number, part in enumerate(parts)],
    )


def _worst(*vertices: Vertex) -> State:
    return max((vertex.state for vertex in vertices), key=SEVERITY.index)


def collapsed(graph: Graph, most: int) -> Graph:
    """The graph with at most ``most`` VNets per zone and policies per cluster, those that are not good first.

    One vertex counts the others.
    NICs of VNets that are left out are left out with them.
    """
    groups: dict[tuple[VertexKind, str], list[Vertex]] = defaultdict(list)
    for vertex in graph.vertices:
        if vertex.kind is VertexKind.VNET:
            groups[vertex.kind, vertex.zone].append(vertex)
        elif vertex.kind is VertexKind.POLICY:
            groups[vertex.kind, vertex.cluster].append(vertex)
    hidden: set[str] = set()
    counted: list[Vertex] = []
    for (kind, place), members in groups.items():
        rest = members[most:]
        hidden |= {vertex.id for vertex in rest}
        if rest:
            zone, name, what = (
                (place, place, "VNets") if kind is VertexKind.VNET else ("", f"policy/{place}", "policies")
            )
            label = f"{len(rest)} more {what}"
            counted.append(Vertex(f"more/{name}", VertexKind.MORE, label, _worst(*rest), rest[0].cluster, zone=zone))
    hidden |= {edge.source for edge in graph.edges if edge.kind is EdgeKind.ON and edge.target in hidden}
    edges = [edge for edge in graph.edges if not {edge.source, edge.target} & hidden]
    edges += [Edge(vertex.id, vertex.zone, EdgeKind.PART, vertex.state) for vertex in counted if vertex.zone]
    return Graph((*(vertex for vertex in graph.vertices if vertex.id not in hidden), *counted), tuple(edges))


def of_cluster(graph: Graph, name: str) -> Graph:
    """The part of one ProxmoxCluster."""
    vertices = tuple(vertex for vertex in graph.vertices if vertex.cluster == name)
    names = {vertex.id for vertex in vertices}
    return Graph(vertices, tuple(edge for edge in graph.edges if edge.source in names and edge.target in names))


class _Reading:
    """One snapshot on its way to vertices and edges."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._nodes = snapshot.of_kind("EvpnNode")
        #: (cluster, node's name in Proxmox) -> vertex.
        self._node_vertex = {(self._cluster(node), node_name(node)): vertex_id(node.key) for node in self._nodes}

    def vertices(self) -> Iterator[Vertex]:
        for node in self._nodes:
            sessions = f"{node.status.sessions} sessions" if node.status.sessions else ""
            yield self._vertex(node, VertexKind.NODE, node_name(node), _joined(node.status.router_id, sessions))
            yield from self._outside_peers(node)
        for zone in self._snapshot.of_kind("EvpnZone"):
            detail = f"L3 VNI {zone.status.vrf_vni}" if zone.status.vrf_vni else ""
            yield self._vertex(zone, VertexKind.ZONE, zone.status.id or zone.key.name, detail)
        for vnet in self._snapshot.of_kind("VNet"):
            detail = f"VNI {vnet.status.vni}" if vnet.status.vni else ""
            label = vnet.status.id or vnet.key.name
            yield self._vertex(vnet, VertexKind.VNET, label, detail, _zone_of(vnet))
        for nic in self._snapshot.of_kind("NicAttachment"):
            status = nic.status
            label = status.guest_name or (str(status.vmid) if status.vmid else nic.key.name)
            detail = _joined(status.mac_address, status.evpn.verdict.value if status.evpn else None)
            vnet_key = _vnet_of(nic)
            on = self._snapshot.objects.get(vnet_key) if vnet_key else None
            yield self._vertex(nic, VertexKind.NIC, label, detail, _zone_of(on))
        yield from self._below()

    def _below(self) -> Iterator[Vertex]:
        """What nodes and zones stand on: fabrics, controllers with routers outside, services, policies."""
        for fabric in self._snapshot.of_kind("Fabric"):
            protocol = fabric.spec.protocol if fabric.spec else ""
            summary = fabric.status.adjacencies_summary
            detail = _joined(f"Fabric {protocol}".strip(), f"{summary} nodes" if summary else "")
            yield self._vertex(fabric, VertexKind.FABRIC, fabric.status.id or fabric.key.name, detail)
        for controller in self._snapshot.of_kind("EvpnController"):
            if any(references.references(controller.spec)):
                yield self._vertex(controller, VertexKind.CONTROLLER, controller.key.name, "EvpnController")
        for controller in self._snapshot.of_kind("BgpController"):
            detail = _joined("BgpController", f"AS {controller.spec.asn}" if controller.spec else "")
            yield self._vertex(controller, VertexKind.CONTROLLER, controller.key.name, detail)
            for address, state, remote_as in _routers_of(controller):
                name, cluster = _peer_id(self._cluster(controller), address), self._cluster(controller)
                detail = f"AS {remote_as}" if remote_as else ""
                yield Vertex(name, VertexKind.PEER, address, state, cluster, detail)
        for controller in self._snapshot.of_kind("IsisController"):
            summary = controller.status.neighbours_summary
            detail = _joined("IsisController", f"{summary} interfaces with a neighbour" if summary else "")
            yield self._vertex(controller, VertexKind.CONTROLLER, controller.key.name, detail)
        for kind in ("Ipam", "DnsServer"):
            for resource in self._snapshot.of_kind(kind):
                yield self._vertex(resource, VertexKind.SERVICE, resource.key.name, kind)
        for key in sorted(self._used_policies()):
            yield self._vertex(self._snapshot.objects[key], VertexKind.POLICY, key.name, key.kind)

    def _used_policies(self) -> set[ObjectKey]:
        """RouteMaps and PrefixLists that others name, and what these name in turn."""
        users = [key for key in self._snapshot.objects if key.kind not in _POLICIES]
        used: set[ObjectKey] = set()
        while users:
            for _, kind, name in references.references(self._snapshot.objects[users.pop()].spec):
                key = ObjectKey(kind, "", name)
                if kind in _POLICIES and key in self._snapshot.objects and key not in used:
                    used.add(key)
                    users.append(key)
        return used

    def edges(self) -> Iterator[Edge]:
        for node in self._nodes:
            own, cluster = vertex_id(node.key), self._cluster(node)
            for peer in node.status.peers or ():
                other = self._node_vertex.get((cluster, peer.node or ""), _peer_id(cluster, peer.address))
                source, target = sorted((own, other))
                if source != target:
                    detail = f"{node_name(node)}: {peer.state}"
                    yield Edge(source, target, EdgeKind.SESSION, _session_state(peer.state), detail)
        for zone in self._snapshot.of_kind("EvpnZone"):
            exits = list(self._exits(zone))
            yield from exits
            leaves_by = {edge.source for edge in exits}
            for row in zone.status.nodes or ():
                member = self._node_vertex.get((self._cluster(zone), row.name))
                if member and member not in leaves_by:
                    yield Edge(member, vertex_id(zone.key), EdgeKind.MEMBER, State.GOOD)
        for vnet in self._snapshot.of_kind("VNet"):
            if zone_id := _zone_of(vnet):
                yield Edge(vertex_id(vnet.key), zone_id, EdgeKind.PART, _state(vnet))
        for nic in self._snapshot.of_kind("NicAttachment"):
            if vnet_key := _vnet_of(nic):
                yield Edge(vertex_id(nic.key), vertex_id(vnet_key), EdgeKind.ON, _state(nic))
            if home := self._node_vertex.get((self._cluster(nic), nic.status.node or "")):
                yield Edge(vertex_id(nic.key), home, EdgeKind.ON, _state(nic))
        for fabric in self._snapshot.of_kind("Fabric"):
            yield from self._members_of(fabric)
        for kind in ("BgpController", "IsisController"):
            for controller in self._snapshot.of_kind(kind):
                yield from self._edges_of_router(controller)
        yield from self._uses()

    def _exits(self, zone: Resource[Any]) -> Iterator[Edge]:
        """Each exit node, as the zone's status has it; from the spec, in an unknown state, where it has none."""
        if zone.status.exit and zone.status.exit.nodes:
            rows = [(row.name, row.role, _exit_state(row), _exit_detail(row)) for row in zone.status.exit.nodes]
        elif zone.spec and zone.spec.exit_nodes:
            wanted = zone.spec.exit_nodes
            rows = [(name, "Primary" if name == wanted.primary else "", State.UNKNOWN, "") for name in wanted.nodes]
        else:
            rows = []
        for name, role, state, detail in rows:
            if source := self._node_vertex.get((self._cluster(zone), name)):
                primary = role == "Primary"
                label = "primary exit" if primary else "exit"
                words = _joined(f"{label} node {name}", detail)
                yield Edge(source, vertex_id(zone.key), EdgeKind.EXIT, state, words, label, primary)

    def _members_of(self, fabric: Resource[Any]) -> Iterator[Edge]:
        shown = {row.name: row for row in fabric.status.adjacencies or ()}
        listed = fabric.status.nodes or (fabric.spec.nodes if fabric.spec else None) or ()
        for name in dict.fromkeys((*(member.name for member in listed), *shown)):
            if member := self._node_vertex.get((self._cluster(fabric), name)):
                row = shown.get(name)
                state = State.UNKNOWN if row is None or row.up is None else State.GOOD
                problems = tuple(row.problems or ()) if row else ()
                state = State.BAD if problems else state
                neighbours = f"{row.up} neighbours" if row and row.up is not None else ""
                detail = f"{name}: {_joined(neighbours, *problems)}" if neighbours or problems else ""
                yield Edge(member, vertex_id(fabric.key), EdgeKind.UNDERLAY, state, detail)

    def _edges_of_router(self, controller: Resource[Any]) -> Iterator[Edge]:
        own, cluster = vertex_id(controller.key), self._cluster(controller)
        name = controller.spec.node if controller.spec else controller.status.node
        if home := self._node_vertex.get((cluster, name or "")):
            yield Edge(own, home, EdgeKind.RUNS, _state(controller))
        if controller.key.kind == "BgpController":
            shown = {peer.address: peer.state for peer in controller.status.peers or ()}
            for address, state, _ in _routers_of(controller):
                detail = f"{name}: {shown[address]}" if address in shown else ""
                yield Edge(own, _peer_id(cluster, address), EdgeKind.SESSION, state, detail)

    def _uses(self) -> Iterator[Edge]:
        for key, resource in self._snapshot.objects.items():
            named = [(field, ObjectKey(kind, "", name)) for field, kind, name in references.references(resource.spec)]
            if key.kind == "EvpnZone" and resource.spec:
                refs = (resource.spec.controller_ref, *(resource.spec.secondary_controller_refs or ()))
                named += [("controller", ObjectKey("EvpnController", "", ref.name)) for ref in refs]
            for field, target in named:
                if found := self._snapshot.objects.get(target):
                    kind = EdgeKind.UNDERLAY if target.kind == "Fabric" else EdgeKind.USES
                    yield Edge(vertex_id(key), vertex_id(target), kind, _state(found), field)

    def _outside_peers(self, node: Resource[Any]) -> Iterator[Vertex]:
        """Route reflectors, leaf switches, routers: peers that are no node of the cluster."""
        cluster = self._cluster(node)
        for peer in node.status.peers or ():
            if (cluster, peer.node or "") not in self._node_vertex:
                detail = f"AS {peer.remote_as}" if peer.remote_as else ""
                name = _peer_id(cluster, peer.address)
                yield Vertex(name, VertexKind.PEER, peer.address, _session_state(peer.state), cluster, detail)

    def _vertex(self, resource: Resource[Any], kind: VertexKind, label: str, detail: str, zone: str = "") -> Vertex:
        return Vertex(vertex_id(resource.key), kind, label, _state(resource), self._cluster(resource), detail, zone)

    def _cluster(self, resource: Resource[Any]) -> str:
        cluster = self._snapshot.cluster_of(resource.key)
        return cluster.key.name if cluster else ""


def _state(resource: Resource[Any]) -> State:
    if is_good(resource):
        return State.GOOD
    if resource.deleting:
        return State.WAITING
    return State.BAD if state_of(resource)[0] == "False" else State.UNKNOWN


def _session_state(state: str) -> State:
    return State.GOOD if state == ESTABLISHED else State.BAD


def _exit_state(row: ExitNode) -> State:
    if row.usable is False or row.untranslated or any(peer.missing for peer in row.peers or ()):
        return State.BAD
    return State.UNKNOWN if row.usable is None else State.GOOD


def _exit_detail(row: ExitNode) -> str:
    missing = sum(peer.missing_count or 0 for peer in row.peers or ())
    return _joined(
        "has no default route" if row.usable is False else "",
        f"{missing} subnets not advertised" if missing else "",
        f"{len(row.untranslated)} subnets without snat" if row.untranslated else "",
    )


def _routers_of(controller: Resource[Any]) -> list[tuple[str, State, int | None]]:
    """Address, state of the session and AS of each router outside; unknown where no source shows the sessions."""
    if controller.status.peers is not None:
        return [(peer.address, _session_state(peer.state), peer.remote_as) for peer in controller.status.peers]
    return [(address, State.UNKNOWN, None) for address in (controller.spec.peers if controller.spec else ())]


def _peer_id(cluster: str, address: str) -> str:
    return f"peer/{cluster}/{address}"


def _zone_of(vnet: Resource[Any] | None) -> str:
    return vertex_id(ObjectKey("EvpnZone", "", vnet.spec.zone_ref.name)) if vnet and vnet.spec else ""


def _vnet_of(nic: Resource[Any]) -> ObjectKey | None:
    return ObjectKey("VNet", nic.key.namespace, nic.spec.vnet_ref.name) if nic.spec else None


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _worse(before: Edge | None, edge: Edge) -> Edge:
    """Both ends' words of one session, in the worse state."""
    if before is None or before.kind is not EdgeKind.SESSION:
        return edge
    state = before.state if before.state is State.BAD else edge.state
    return Edge(edge.source, edge.target, edge.kind, state, f"{before.detail}; {edge.detail}")
