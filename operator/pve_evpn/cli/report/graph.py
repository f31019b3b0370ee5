"""The network as a graph: nodes and their sessions, zones, VNets, NICs. The page and ``graph`` draw it.

Pure. Vertices are named ``KIND/NAMESPACE/NAME`` after their objects, and ``peer/CLUSTER/ADDRESS`` where a BGP peer is
no node of the cluster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pve_evpn.cli.report.causes import is_good, state_of
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.status import ESTABLISHED, node_name
from pve_evpn.domain.objects import ObjectKey, Resource


class State(StrEnum):
    """How a vertex or an edge is. Unknown is never drawn as bad."""

    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"
    UNKNOWN = "unknown"


class VertexKind(StrEnum):
    """What a vertex stands for. ``MORE`` stands for VNets that are not drawn one by one."""

    NODE = "node"
    PEER = "peer"
    ZONE = "zone"
    VNET = "vnet"
    NIC = "nic"
    MORE = "more"


class EdgeKind(StrEnum):
    """Session: BGP. Member: a node has the zone. Part: a VNet is in a zone. On: a NIC is on its VNet, or its node."""

    SESSION = "session"
    MEMBER = "member"
    PART = "part"
    ON = "on"


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
    """A session has no direction: each pair of speakers has one, in the worse of the two states."""

    source: str
    target: str
    kind: EdgeKind
    state: State
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Edges lead to vertices of the graph only."""

    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


def vertex_id(key: ObjectKey) -> str:
    """The vertex of an object."""
    return f"{key.kind}/{key.namespace}/{key.name}"


def graph_of(snapshot: Snapshot) -> Graph:
    """Everything, one vertex per object."""
    reading = _Reading(snapshot)
    vertices = {vertex.id: vertex for vertex in reading.vertices()}
    edges: dict[tuple[str, str, EdgeKind], Edge] = {}
    for edge in reading.edges():
        place = (edge.source, edge.target, edge.kind)
        if edge.source in vertices and edge.target in vertices:
            edges[place] = _worse(edges.get(place), edge)
    return Graph(tuple(vertices.values()), tuple(edges.values()))


def collapsed(graph: Graph, most: int) -> Graph:
    """The graph with at most ``most`` VNets per zone, those that are not good first; one vertex counts the others.

    NICs of VNets that are left out are left out with them.
    """
    by_zone: dict[str, list[Vertex]] = defaultdict(list)
    for vertex in graph.vertices:
        if vertex.kind is VertexKind.VNET:
            by_zone[vertex.zone].append(vertex)
    hidden: set[str] = set()
    counted: list[Vertex] = []
    for zone, vnets in by_zone.items():
        rest = sorted(vnets, key=lambda vertex: (vertex.state is State.GOOD, vertex.label))[most:]
        hidden |= {vertex.id for vertex in rest}
        if rest:
            state = State.GOOD if all(vertex.state is State.GOOD for vertex in rest) else State.WAITING
            counted.append(
                Vertex(f"more/{zone}", VertexKind.MORE, f"{len(rest)} more VNets", state, rest[0].cluster, zone=zone)
            )
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
            for row in zone.status.nodes or ():
                if member := self._node_vertex.get((self._cluster(zone), row.name)):
                    yield Edge(member, vertex_id(zone.key), EdgeKind.MEMBER, State.GOOD)
        for vnet in self._snapshot.of_kind("VNet"):
            if zone_id := _zone_of(vnet):
                yield Edge(vertex_id(vnet.key), zone_id, EdgeKind.PART, _state(vnet))
        for nic in self._snapshot.of_kind("NicAttachment"):
            if vnet_key := _vnet_of(nic):
                yield Edge(vertex_id(nic.key), vertex_id(vnet_key), EdgeKind.ON, _state(nic))
            if home := self._node_vertex.get((self._cluster(nic), nic.status.node or "")):
                yield Edge(vertex_id(nic.key), home, EdgeKind.ON, _state(nic))

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
