"""The graph holds what the objects say; its drawings are valid, whatever the labels hold."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from pve_evpn.cli.page.offline import as_html
from pve_evpn.cli.report.drawing import as_dot, as_mermaid, as_svg
from pve_evpn.cli.report.graph import EdgeKind, Graph, State, Vertex, VertexKind, collapsed, graph_of, of_cluster
from pve_evpn.cli.report.snapshot import Snapshot
from tests.unit.cli.people import judged, nic, node, ready, snapshot
from tests.unit.plan.world import vnet, zone

HOSTILE = '</script><b onload="x">\'\n\\\u202e`#&|]'


def peer(name: str | None, state: str = "Established") -> dict[str, object]:
    return {"address": f"10.0.0.{name[-1] if name else 9}", "node": name, "state": state, "remoteAs": 65001}


def there() -> Snapshot:
    return snapshot(
        node("pve1", peers=[peer("pve2"), peer(None)]),
        node("pve2", peers=[peer("pve1", "Active")]),
        ready(zone(), id="EZone1", vrfVni=100001, nodes=[{"name": "pve1", "state": "Available"}]),
        ready(vnet(), id="EVPN1", vni=5001),
        judged(nic(), "False", "Silent", node="pve2", vmid=100, guestName="web"),
    )


def test_every_object_has_its_vertex_and_its_edges() -> None:
    graph = graph_of(there())
    assert {(vertex.kind, vertex.label, vertex.state) for vertex in graph.vertices} == {
        (VertexKind.NODE, "pve1", State.GOOD), (VertexKind.NODE, "pve2", State.GOOD),
        (VertexKind.PEER, "10.0.0.9", State.GOOD), (VertexKind.ZONE, "EZone1", State.GOOD),
        (VertexKind.VNET, "EVPN1", State.GOOD), (VertexKind.NIC, "web", State.BAD),
    }  # fmt: skip
    assert {(edge.kind, edge.source, edge.target) for edge in graph.edges} == {
        (EdgeKind.SESSION, "EvpnNode//pve-pve1", "EvpnNode//pve-pve2"),
        (EdgeKind.SESSION, "EvpnNode//pve-pve1", "peer/pve/10.0.0.9"),
        (EdgeKind.MEMBER, "EvpnNode//pve-pve1", "EvpnZone//zone1"),
        (EdgeKind.PART, "VNet/default/net1", "EvpnZone//zone1"),
        (EdgeKind.ON, "NicAttachment/default/nic1", "VNet/default/net1"),
        (EdgeKind.ON, "NicAttachment/default/nic1", "EvpnNode//pve-pve2"),
    }


def test_a_session_is_as_bad_as_its_worse_end_says() -> None:
    [session] = [
        edge for edge in graph_of(there()).edges if edge.target == "EvpnNode//pve-pve2" and edge.kind == "session"
    ]
    assert session.state is State.BAD
    assert session.detail == "pve1: Established; pve2: Active"


def test_what_is_not_known_is_unknown_and_not_bad() -> None:
    unseen = snapshot(judged(vnet(), "Unknown", "SourceUnavailable"))
    [vertex] = [vertex for vertex in graph_of(unseen).vertices if vertex.kind is VertexKind.VNET]
    assert vertex.state is State.UNKNOWN


def test_a_large_zone_is_collapsed_and_what_is_wrong_stays() -> None:
    vnets = [ready(vnet(f"net{number}")) for number in range(2, 200)]
    wrong = judged(vnet("zzz"), "False", "VtepMissing")
    graph = collapsed(graph_of(snapshot(*vnets, wrong)), 10)
    drawn = [vertex.label for vertex in graph.vertices if vertex.kind is VertexKind.VNET]
    assert len(drawn) == 10
    assert drawn[-1] == "zzz"
    [more] = [vertex for vertex in graph.vertices if vertex.kind is VertexKind.MORE]
    assert more.label == "190 more VNets"
    known = {vertex.id for vertex in graph.vertices}
    assert all({edge.source, edge.target} <= known for edge in graph.edges)


def test_only_one_cluster_is_drawn_where_it_is_named() -> None:
    assert of_cluster(graph_of(there()), "other") == Graph((), ())
    assert of_cluster(graph_of(there()), "pve") == graph_of(there())


def hostile() -> Graph:
    return Graph((Vertex('a"b', VertexKind.NODE, HOSTILE, State.BAD, "pve", HOSTILE),), ())


def test_svg_is_xml_and_shows_every_vertex() -> None:
    tree = ElementTree.fromstring(as_svg(graph_of(there())))
    groups = tree.findall("{http://www.w3.org/2000/svg}g")
    assert len(groups) == 6
    ElementTree.fromstring(as_svg(hostile()))
    ElementTree.fromstring(as_svg(Graph((), ())))


def test_no_two_vertices_of_the_svg_are_in_one_place() -> None:
    many = snapshot(
        *(node(f"pve{number}", peers=[]) for number in range(16)), *(ready(vnet(f"n{i}")) for i in range(60))
    )
    places = re.findall(r'<rect x="([-0-9]+)" y="([-0-9]+)" width="156"', as_svg(graph_of(many)))
    assert len(set(places)) == len(places) == 16 + 1 + 61 + 1


@pytest.mark.parametrize("write", [as_dot, as_mermaid])
def test_labels_of_others_stay_labels(write: object) -> None:
    text = write(hostile())  # type: ignore[operator]
    assert "\u202e" not in text
    assert "</script>" not in as_mermaid(hostile())
    lines = [line for line in text.splitlines() if "onload" in line]
    assert len(lines) == 1
    if write is as_dot:  # every quote inside the label is escaped
        assert not re.search(r'(?<!\\)"x', lines[0])


def test_the_html_file_holds_the_graph_as_data() -> None:
    text = as_html(hostile())
    data = re.search(r'<script type="application/json" id="graph">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["vertices"][0]["state"] == "bad"
    assert "src=" not in text.split("</style></head>")[1].split("<script>")[0]
