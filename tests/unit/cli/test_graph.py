"""The graph holds what the objects say; its drawings are valid, whatever the labels hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from pve_evpn.cli.page import static_file
from pve_evpn.cli.page.content import graph_data
from pve_evpn.cli.page.offline import as_html
from pve_evpn.cli.report.drawing import as_dot, as_mermaid, as_svg
from pve_evpn.cli.report.graph import EdgeKind, Graph, State, Vertex, VertexKind, collapsed, graph_of, of_cluster
from pve_evpn.cli.report.layout import places_of
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.domain.objects import Resource
from tests.unit.cli.people import judged, nic, node, ready, snapshot
from tests.unit.plan.world import (
    bgp_controller,
    controller,
    fabric,
    isis_controller,
    prefix_list,
    resource,
    route_map,
    vnet,
    zone,
)

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
    vnets = [ready(vnet(f"net{number}")) for number in range(2, 200)]  # net1 is in every snapshot
    wrong = judged(vnet("zzz"), "False", "VtepMissing")
    graph = collapsed(graph_of(snapshot(*vnets, wrong)), 10)
    drawn = [vertex.label for vertex in graph.vertices if vertex.kind is VertexKind.VNET]
    assert drawn == ["zzz", *(f"net{number}" for number in range(1, 10))]
    [more] = [vertex for vertex in graph.vertices if vertex.kind is VertexKind.MORE]
    assert more.label == "190 more VNets"
    known = {vertex.id for vertex in graph.vertices}
    assert all({edge.source, edge.target} <= known for edge in graph.edges)


def test_only_one_cluster_is_drawn_where_it_is_named() -> None:
    assert of_cluster(graph_of(there()), "other") == Graph((), ())
    assert of_cluster(graph_of(there()), "pve") == graph_of(there())


def whole() -> Snapshot:
    """Two nodes of a fabric, one with a router outside, a zone with both as exit nodes, and its services."""
    exits = [
        {"name": "pve1", "role": "Primary", "usable": True, "peers": [{"address": "192.0.2.1", "advertised": 1}]},
        {"name": "pve2", "role": "Standby", "usable": False},
    ]
    members = [{"name": "pve1", "origin": "Created"}, {"name": "pve2", "origin": "Created"}]
    neighbours = [{"name": "pve1", "up": 1}, {"name": "pve2", "problems": ["eno2 is down"]}]
    router = bgp_controller(peers=["192.0.2.1"], routeMapOutRef={"name": "rm1"})
    match = {"prefixListRef": {"name": "pl1"}}
    return snapshot(
        node("pve1", peers=[peer("pve2")]),
        node("pve2", peers=[peer("pve1")]),
        ready(fabric(), id="under", nodes=members, adjacencies=neighbours, adjacenciesSummary="1/2"),
        ready(controller(underlay={"fabricRef": {"name": "under"}})),
        ready(router, peers=[{"address": "192.0.2.1", "state": "Established", "remoteAs": 65100}]),
        ready(isis_controller(node="pve2"), neighboursSummary="1/1"),
        ready(route_map(entries=[{"order": 10, "action": "Permit", "match": match}])),
        ready(route_map("unused")),
        ready(prefix_list()),
        ready(prefix_list("alone")),
        ready(resource("Ipam", "ipam1", {"clusterRef": {"name": "pve"}, "type": "pve"})),
        ready(
            zone(exitNodes={"nodes": ["pve1", "pve2"], "primary": "pve1"}, ipamRef={"name": "ipam1"}),
            nodes=[{"name": "pve1", "state": "Available"}, {"name": "pve2", "state": "Available"}],
            exit={"nodes": exits},
        ),
    )  # fmt: skip


def test_what_the_network_stands_on_is_drawn_once_it_is_used() -> None:
    graph = graph_of(whole())
    below = {VertexKind.FABRIC, VertexKind.CONTROLLER, VertexKind.POLICY, VertexKind.SERVICE, VertexKind.PEER}
    assert {(vertex.kind, vertex.label, vertex.detail) for vertex in graph.vertices if vertex.kind in below} == {
        (VertexKind.FABRIC, "under", "Fabric OpenFabric, 1/2 nodes"),
        (VertexKind.CONTROLLER, "evpn1", "EvpnController"),
        (VertexKind.CONTROLLER, "bgp1", "BgpController, AS 65001"),
        (VertexKind.CONTROLLER, "isis1", "IsisController, 1/1 interfaces with a neighbour"),
        (VertexKind.PEER, "192.0.2.1", "AS 65100"),
        (VertexKind.POLICY, "rm1", "RouteMap"),
        (VertexKind.POLICY, "pl1", "PrefixList"),
        (VertexKind.SERVICE, "ipam1", "Ipam"),
    }
    old = {EdgeKind.PART, EdgeKind.ON}
    assert {(edge.kind, edge.source, edge.target, edge.state) for edge in graph.edges if edge.kind not in old} == {
        (EdgeKind.SESSION, "EvpnNode//pve-pve1", "EvpnNode//pve-pve2", State.GOOD),
        (EdgeKind.SESSION, "BgpController//bgp1", "peer/pve/192.0.2.1", State.GOOD),
        (EdgeKind.RUNS, "BgpController//bgp1", "EvpnNode//pve-pve1", State.GOOD),
        (EdgeKind.RUNS, "IsisController//isis1", "EvpnNode//pve-pve2", State.GOOD),
        (EdgeKind.UNDERLAY, "EvpnNode//pve-pve1", "Fabric//under", State.GOOD),
        (EdgeKind.UNDERLAY, "EvpnNode//pve-pve2", "Fabric//under", State.BAD),
        (EdgeKind.UNDERLAY, "EvpnController//evpn1", "Fabric//under", State.GOOD),
        (EdgeKind.EXIT, "EvpnNode//pve-pve1", "EvpnZone//zone1", State.GOOD),
        (EdgeKind.EXIT, "EvpnNode//pve-pve2", "EvpnZone//zone1", State.BAD),
        (EdgeKind.USES, "EvpnZone//zone1", "EvpnController//evpn1", State.GOOD),
        (EdgeKind.USES, "EvpnZone//zone1", "Ipam//ipam1", State.GOOD),
        (EdgeKind.USES, "BgpController//bgp1", "RouteMap//rm1", State.GOOD),
        (EdgeKind.USES, "RouteMap//rm1", "PrefixList//pl1", State.GOOD),
    }


def test_the_primary_exit_node_is_marked_in_every_form() -> None:
    graph = graph_of(whole())
    exits = {edge.source: (edge.label, edge.primary, edge.detail) for edge in graph.edges if edge.kind is EdgeKind.EXIT}
    assert exits == {
        "EvpnNode//pve-pve1": ("primary exit", True, "primary exit node pve1"),
        "EvpnNode//pve-pve2": ("exit", False, "exit node pve2, has no default route"),
    }
    assert 'label="primary exit", penwidth=3' in as_dot(graph)
    assert '===|"primary exit"|' in as_mermaid(graph)
    assert 'stroke-width="3"><title>primary exit node pve1</title>' in as_svg(graph)
    data = re.search(r'<script type="application/json" id="graph">(.*?)</script>', as_html(graph), re.DOTALL)
    assert data is not None
    assert [edge["label"] for edge in json.loads(data[1])["edges"] if edge["primary"]] == ["primary exit"]


def test_exit_nodes_and_sessions_without_a_source_are_unknown() -> None:
    unseen = snapshot(
        node("pve1"), ready(bgp_controller()), ready(zone(exitNodes={"nodes": ["pve1"], "primary": "pve1"}))
    )
    graph = graph_of(unseen)
    states = {edge.kind: edge.state for edge in graph.edges if edge.kind in (EdgeKind.EXIT, EdgeKind.SESSION)}
    assert states == {EdgeKind.EXIT: State.UNKNOWN, EdgeKind.SESSION: State.UNKNOWN}


def test_a_router_outside_is_as_bad_as_its_worst_session() -> None:
    def router(name: str, state: str) -> Resource[Any]:
        return ready(bgp_controller(name), peers=[{"address": "192.0.2.1", "state": state}])

    unseen = ready(bgp_controller("bgp3", peers=["192.0.2.1"]))
    graph = graph_of(snapshot(router("bgp1", "Active"), router("bgp2", "Established"), unseen))
    assert [vertex.state for vertex in graph.vertices if vertex.kind is VertexKind.PEER] == [State.BAD]
    graph = graph_of(snapshot(router("bgp2", "Established"), unseen))
    assert [vertex.state for vertex in graph.vertices if vertex.kind is VertexKind.PEER] == [State.GOOD]


def test_many_policies_are_collapsed_and_what_is_wrong_stays() -> None:
    names = [f"rm{number}" for number in range(30)]
    routers = [ready(bgp_controller(f"bgp{name}", routeMapInRef={"name": name})) for name in names]
    maps = [ready(route_map(name)) for name in names[:-1]]
    graph = collapsed(graph_of(snapshot(*routers, *maps, judged(route_map(names[-1]), "False", "InvalidSpec"))), 10)
    drawn = [vertex.label for vertex in graph.vertices if vertex.kind is VertexKind.POLICY]
    assert len(drawn) == 10
    assert names[-1] in drawn
    assert [vertex.label for vertex in graph.vertices if vertex.kind is VertexKind.MORE] == ["20 more policies"]
    ElementTree.fromstring(as_svg(graph))


def test_nothing_of_the_whole_network_covers_another_in_the_svg() -> None:
    svg = as_svg(graph_of(whole()))
    places = [(int(x), int(y)) for x, y in re.findall(r'<rect x="([-0-9]+)" y="([-0-9]+)" width="156"', svg)]
    assert len(places) == len(graph_of(whole()).vertices)
    for number, (x, y) in enumerate(places):
        assert all(abs(x - x2) >= 156 or abs(y - y2) >= 36 for x2, y2 in places[number + 1 :])


def test_the_page_has_the_places_of_the_svg_but_for_the_column_of_zones() -> None:
    graph = graph_of(whole())
    column = {VertexKind.ZONE, VertexKind.VNET, VertexKind.NIC, VertexKind.SERVICE}
    places = graph_data(graph)["layouts"][""]["places"]
    assert places.keys() == {vertex.id for vertex in graph.vertices if vertex.kind not in column}
    assert {name: place for name, place in places_of(graph).items() if name in places} == places


def test_a_cluster_that_is_shown_alone_has_a_layout_of_its_own() -> None:
    def graph(*clusters: str) -> Graph:
        nodes = [Vertex(f"{c}/{n}", VertexKind.NODE, f"pve{n}", State.GOOD, c) for c in clusters for n in range(9)]
        return Graph(tuple(nodes), ())

    layouts = graph_data(graph("one", "two"))["layouts"]
    assert layouts.keys() == {"", "one", "two"}
    assert layouts["two"] == graph_data(graph("two"))["layouts"][""]
    assert layouts[""]["column"] != layouts["two"]["column"]


def test_the_states_have_the_same_colours_on_the_page_and_in_the_svg() -> None:
    light = static_file("page.css").decode().split("}")[0]
    of_page = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    svg = as_svg(Graph(tuple(Vertex(state, VertexKind.NODE, state, state, "pve") for state in State), ()))
    for state in State:
        assert f'fill="{of_page[f"{state}-fill"]}" stroke="{of_page[state]}"' in svg


def test_one_vertex_for_many_is_in_their_worst_state() -> None:
    good = [
        Vertex(f"VNet/a/{number}", VertexKind.VNET, f"n{number}", State.GOOD, "pve", zone="z") for number in range(3)
    ]
    bad = [replace(vertex, id=f"{vertex.id}b", state=State.BAD) for vertex in good]
    vnets = (*bad, *good)
    states = {most: collapsed(Graph(vnets, ()), most).vertices[-1].state for most in (1, 3)}
    assert states == {1: State.BAD, 3: State.GOOD}


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
