"""The tables of a poll as JSON: every row, and of a VNet its own."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pve_evpn.domain.health.expected import ExpectedOverlay, ExpectedVNet, ExpectedZone
from pve_evpn.domain.health.tables import cluster_tables, vnet_tables
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import BfdPeer, ClusterObservation, EvpnRoute, NodeObservation
from tests.unit.health.overlay import L3_VNI, START, VM1, VNI, Overlay

NODES = ("pve1", "pve2", "pve3", "pve4")
BLUE = ExpectedVNet(ObjectKey("VNet", "default", "blue"), "blue", VNI, "zone1", NODES, ("10.1.0.0/24",))
EXPECTED = ExpectedOverlay(
    zones=(ExpectedZone(ObjectKey("EvpnZone", "", "zone1"), "zone1", L3_VNI, NODES),),
    vnets=(BLUE,),
    names={VNI: "blue", L3_VNI: "zone1"},
)
NOW = START + timedelta(seconds=7)


def overlay() -> Overlay:
    made = Overlay(l2=[VNI, 7])
    made.speak(VM1, "pve1", "10.1.0.5", mobility=3)
    made.speak("bc:24:11:00:00:07", "pve2", vni=7)
    return made


def of_cluster(seen: ClusterObservation, *tables: Any, nodes: tuple[str, ...] = ()) -> Any:
    return json.loads("".join(cluster_tables(seen, EXPECTED, NOW, *([tables] if tables else []), nodes=nodes)))


def of_vnet(seen: ClusterObservation, vnet: ExpectedVNet = BLUE) -> Any:
    return json.loads("".join(vnet_tables(seen, EXPECTED, vnet, NOW)))


def test_every_row_of_every_node_is_there_with_the_age_of_its_poll() -> None:
    seen = overlay().seen()
    answer = of_cluster(seen)
    assert (answer["observedAt"], answer["ageSeconds"]) == ("2026-01-05T12:00:00Z", 7.0)
    for node in answer["nodes"]:
        read = seen.nodes[node["name"]]
        assert isinstance(read, NodeObservation)
        tables = node["tables"]
        held = {"peers": read.peers, "vnis": read.vnis, "macs": read.macs, "routes": read.routes}
        assert {name: len(rows) for name, rows in tables.items()} == {
            name: len(rows or ()) for name, rows in held.items()
        }
        assert node["ageSeconds"] == 7.0
    first = answer["nodes"][0]["tables"]
    assert {row["vni"]: row.get("vnet") for row in first["vnis"]} == {VNI: "blue", 7: None, L3_VNI: "zone1"}
    assert {row["mobilitySequence"] for row in first["routes"] if row.get("mac") == VM1} == {3}


def test_thousands_of_rows_come_in_pieces() -> None:
    read = overlay().look("pve1")
    assert isinstance(read, NodeObservation)
    routes = tuple(EvpnRoute(2, f"[2]:{number}", "1:1", VNI) for number in range(1001))
    seen = ClusterObservation(START, {"pve1": replace(read, routes=routes)})
    pieces = list(cluster_tables(seen, EXPECTED, NOW, ["routes"]))
    assert max(map(len, pieces)) < 50_000
    prefixes = [row["prefix"] for row in json.loads("".join(pieces))["nodes"][0]["tables"]["routes"]]
    assert prefixes == [route.prefix for route in routes]


def test_what_no_source_shows_is_null_and_not_empty() -> None:
    made = overlay()
    made.fall_back("pve2", "another host key")
    made.fail("pve3")
    pve1, pve2, pve3, _ = of_cluster(made.seen())["nodes"]
    assert pve1["tables"]["macs"]
    assert set(pve2["tables"].values()) == {None}
    assert (pve2["sources"], pve2["problems"]) == (["api"], ["ssh: another host key"])
    assert pve3["failure"]["reason"] == "Unreachable"


def test_a_vnets_rows_are_of_its_vni() -> None:
    answer = of_vnet(overlay().seen())
    assert answer["vni"] == VNI
    for node in answer["nodes"]:
        assert list(node["tables"]) == ["vnis", "macs", "routes"]
        assert {row["vni"] for rows in node["tables"].values() for row in rows} == {VNI}
        assert not any("peer" in row for row in node["tables"]["routes"])
        assert "problems" not in node


def test_a_vnets_prefixes_are_those_of_its_subnets_in_its_zones_vrf() -> None:
    read = overlay().look("pve1")
    assert isinstance(read, NodeObservation)

    def prefix(ip: str, length: int, vni: int = L3_VNI) -> EvpnRoute:
        return EvpnRoute(5, f"[5]:[0]:[{length}]:[{ip}]", "1:1", vni, vni, ip=ip, prefix_length=length)

    own = [prefix("10.1.0.0", 24), prefix("10.1.0.7", 32)]
    others = [prefix("10.1.0.0", 16), prefix("10.2.0.0", 24), prefix("10.1.0.0", 24, 9), prefix("fd00::", 64)]
    odd = [prefix("10.1.0", 24), prefix("10.1.0.0", 24)._replace(ip=None)]
    seen = ClusterObservation(START, {"pve1": replace(read, routes=(*own, *others, *odd))})
    routes = of_vnet(seen)["nodes"][0]["tables"]["routes"]
    assert [row["prefix"] for row in routes] == [route.prefix for route in own]


def test_peers_come_with_their_bfd_sessions() -> None:
    read = overlay().look("pve1")
    assert isinstance(read, NodeObservation)
    seen = ClusterObservation(START, {"pve1": replace(read, bfd_peers=(BfdPeer("192.168.16.2", "down"),))})
    peers = of_cluster(seen, "peers")["nodes"][0]["tables"]["peers"]
    assert {peer["address"]: peer.get("bfd") for peer in peers} == {
        "192.168.16.2": "down", "192.168.16.3": None, "192.168.16.4": None,
    }  # fmt: skip


def test_nodes_can_be_chosen() -> None:
    answer = of_cluster(overlay().seen(), "vnis", nodes=("pve3", "pve9"))
    assert [(node["name"], list(node["tables"])) for node in answer["nodes"]] == [("pve3", ["vnis"])]
