"""Where the vertices of a graph stand, in the SVG and on the page. Pure.

Nodes stand on a circle, BGP peers that are no nodes inside it. Left of it stand controllers of single nodes and the
routers that only these talk to; below it fabrics, EvpnControllers and policies; right of it a column of zones with
their VNets and NICs beside them, and services below. It needs no layout engine, and the same network always looks the
same.

On the page people open and close zones, so the places in the column change while they watch: it gets the places of
everything else from here, and stacks the column itself by the same distances.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pve_evpn.cli.report.graph import Edge, EdgeKind, Graph, Vertex, VertexKind, of_cluster

Place = tuple[float, float]

#: Between two rows, between what stands side by side below the circle, and from its edge to what stands beside it.
_ROW, _ACROSS, _BESIDE = 54.0, 180.0, 190.0


@dataclass(frozen=True, slots=True)
class Distances:
    """Of the column. ``vnet``, ``nic``: from a zone to its VNets and their NICs; ``nics`` of them stand in one row."""

    row: float = _ROW
    gap: float = 22.0
    vnet: float = 176.0
    nic: float = 352.0
    nics: int = 3
    between_nics: float = 196.0


DISTANCES = Distances()


@dataclass(frozen=True, slots=True)
class Layout:
    """``places`` of what is not in the column, by vertex; ``column`` is where the first zone stands if it is alone."""

    places: Mapping[str, Place]
    column: Place


def layout_of(graph: Graph) -> Layout:
    """The places that do not depend on which zones are open."""
    kinds = _by_kind(graph.vertices)
    nodes = kinds[VertexKind.NODE]
    radius = max(150.0, len(nodes) * 26.0)
    places = dict(_circle(nodes, radius))
    places |= _below(kinds, radius)
    places |= _outside(graph.edges, kinds, radius)
    inside = [peer for peer in kinds[VertexKind.PEER] if peer.id not in places]
    places |= _circle(inside, radius * 0.45 if nodes else radius)
    return Layout(places, (radius + _BESIDE, -radius))


def places_of(graph: Graph) -> dict[str, Place]:
    """Where each vertex is, with every zone open."""
    made = layout_of(graph)
    return dict(made.places) | dict(_column(graph, made))


def _by_kind(vertices: Sequence[Vertex]) -> Mapping[VertexKind, list[Vertex]]:
    kinds: dict[VertexKind, list[Vertex]] = defaultdict(list)
    for vertex in vertices:
        kinds[vertex.kind].append(vertex)
    return kinds


def _circle(vertices: Sequence[Vertex], radius: float) -> Iterator[tuple[str, Place]]:
    for number, vertex in enumerate(vertices):
        angle = 2 * math.pi * number / len(vertices) - math.pi / 2
        yield vertex.id, (radius * math.cos(angle), radius * math.sin(angle))


def _below(kinds: Mapping[VertexKind, list[Vertex]], radius: float) -> Iterator[tuple[str, Place]]:
    """Rows below the circle, as wide as it is: fabrics with the controllers that run over them, then policies."""
    evpn = [vertex for vertex in kinds[VertexKind.CONTROLLER] if _is_evpn(vertex)]
    policies = [*kinds[VertexKind.POLICY], *filter(_counts_policies, kinds[VertexKind.MORE])]
    across, y = 1 + int(2 * radius // _ACROSS), radius + 90
    for row in ([*kinds[VertexKind.FABRIC], *evpn], policies):
        for number, vertex in enumerate(row):
            yield vertex.id, (_ACROSS * (number % across) - radius, y + _ROW * (number // across))
        y += _ROW * math.ceil(len(row) / across) + (30 if row else 0)


def _outside(
    edges: Sequence[Edge], kinds: Mapping[VertexKind, list[Vertex]], radius: float
) -> Iterator[tuple[str, Place]]:
    """Controllers of single nodes in a column left of the circle, the routers that only they talk to beside it."""
    routers = [vertex.id for vertex in kinds[VertexKind.CONTROLLER] if not _is_evpn(vertex)]
    own = set(routers)
    sessions = [edge for edge in edges if edge.kind is EdgeKind.SESSION]
    others = {end for edge in sessions if edge.source not in own for end in (edge.source, edge.target)}
    peers = dict.fromkeys(edge.target for edge in sessions if edge.source in own and edge.target not in others)
    for column, ids in enumerate((routers, list(peers))):
        for number, name in enumerate(ids):
            yield name, (-radius - _BESIDE - 200 * column, 64 * (number - (len(ids) - 1) / 2))


def _column(graph: Graph, made: Layout) -> Iterator[tuple[str, Place]]:
    """Zones with their VNets, the VNets' NICs, services, and last NICs whose VNet is not drawn."""
    kinds, distances = _by_kind(graph.vertices), DISTANCES
    left = {vertex.id: vertex for vertex in kinds[VertexKind.NIC]}
    nics: dict[str, list[Vertex]] = defaultdict(list)
    for edge in graph.edges:
        if edge.kind is EdgeKind.ON and edge.target.startswith("VNet/") and edge.source in left:
            nics[edge.target].append(left.pop(edge.source))
    zones: dict[str, list[Vertex]] = {zone.id: [] for zone in kinds[VertexKind.ZONE]}
    drawn = {*zones}
    more = (vertex for vertex in kinds[VertexKind.MORE] if not _counts_policies(vertex))
    for vertex in (*kinds[VertexKind.VNET], *more):
        zones.setdefault(vertex.zone, []).append(vertex)
    x, y = made.column
    for zone, vnets in zones.items():
        first = y
        for vnet in vnets:
            yield vnet.id, (x + distances.vnet, y)
            for number, nic in enumerate(nics[vnet.id]):
                row, column = divmod(number, distances.nics)
                yield nic.id, (x + distances.nic + distances.between_nics * column, y + distances.row * row)
            y += distances.row * max(1, math.ceil(len(nics[vnet.id]) / distances.nics))
        if zone in drawn:
            yield zone, (x, first + max(0.0, y - first - distances.row) / 2)
        y = max(y, first + distances.row) + distances.gap
    for vertex in (*kinds[VertexKind.SERVICE], *left.values()):
        yield vertex.id, (x, y)
        y += distances.row


def _is_evpn(controller: Vertex) -> bool:
    return controller.id.startswith("EvpnController/")


def _counts_policies(more: Vertex) -> bool:
    return more.id.startswith("more/policy/")


def as_data(graph: Graph) -> dict[str, object]:
    """The layout as JSON for the page: of all clusters together (``""``), and of each where there are several."""
    names = sorted({vertex.cluster for vertex in graph.vertices})
    parts = {"": graph, **({name: of_cluster(graph, name) for name in names} if len(names) > 1 else {})}
    return {
        "distances": dataclasses.asdict(DISTANCES),
        "layouts": {name: dataclasses.asdict(layout_of(part)) for name, part in parts.items()},
    }
