"""The full tables beside what real FRR printed, row by row: nothing is lost or made up on the way through the parsers.

The recordings are read here with ``json`` and nothing of the operator's.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from pve_evpn.domain.health.expected import ExpectedOverlay, ExpectedVNet, ExpectedZone
from pve_evpn.domain.health.tables import cluster_tables, vnet_tables
from pve_evpn.domain.objects import ObjectKey
from tests.unit.observe.recorded import AT, FOLDER, L3_VNI, answer, cluster

STATES = sorted({(path.parts[-3], path.parts[-2]) for path in FOLDER.rglob("*.txt")})
EXPECTED = ExpectedOverlay(names={5001: "EVPN1"})


def printed(version: str, state: str, node: str) -> dict[str, Any]:
    """FRR's documents by command; {} for one that printed nothing."""
    parts = re.split(r"^\S*[#>] (show [a-z0-9 ./-]+)\r?$", answer(version, state, node), flags=re.MULTILINE)
    found = {}
    for command, text in zip(parts[1::2], parts[2::2], strict=True):
        text = re.split(r"^pve-evpn-observe ", text, maxsplit=1, flags=re.MULTILINE)[0].strip()
        if command.endswith(" json"):
            found[command.removesuffix(" json")] = json.loads(re.sub(r"^\{\s*,", "{", text)) if text else {}
    return found


def paths(whole: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    """RD, prefix, next hop, mobility sequence, best or not, of every path."""
    found: Counter[tuple[Any, ...]] = Counter()
    for rd, entry in whole.items():
        for prefix, value in entry.items() if isinstance(entry, dict) else ():
            if prefix.startswith("["):
                for path in (path for group in value["paths"] for path in group):
                    moves = re.search(r"\bMM:(\d+)", path.get("extendedCommunity", {}).get("string", ""))
                    hop = path["nexthops"][0]["ip"]
                    found[rd, prefix, hop, int(moves[1]) if moves else 0, path.get("bestpath", False)] += 1
    return found


@pytest.mark.parametrize(("version", "state"), STATES)
def test_every_row_is_one_that_frr_printed(version: str, state: str) -> None:
    shown = json.loads("".join(cluster_tables(cluster(version, state), EXPECTED, AT)))
    for node in shown["nodes"]:
        frr, tables = printed(version, state, node["name"]), node["tables"]
        bgp = frr["show bgp l2vpn evpn summary"]
        assert {peer["address"]: (peer["state"], peer["remoteAs"]) for peer in tables["peers"]} == {
            address: (peer["state"], peer["remoteAs"]) for address, peer in bgp.get("peers", {}).items()
        }
        if not bgp.get("peers"):
            assert (tables["routes"], tables["macs"], tables["vnis"]) == (None, None, None), "unknown, not empty"
            continue
        rows = Counter(
            (row["rd"], row["prefix"], row["nextHop"], row["mobilitySequence"], row.get("best", False))
            for row in tables["routes"]
        )
        assert rows == paths(frr["show bgp l2vpn evpn route"])
        assert {(row["vni"], row["type"], row["macs"], row.get("remoteVtepCount")) for row in tables["vnis"]} == {
            (row["vni"], row["type"], row["numMacs"], row["numRemoteVteps"] if row["type"] == "L2" else None)
            for row in frr["show evpn vni"].values()
        }
        assert {(row["vni"], row["mac"], row["type"], row.get("remoteVtep")) for row in tables["macs"]} == {
            (int(vni), mac, row["type"], row.get("remoteVtep"))
            for vni, entry in frr["show evpn mac vni all"].items()
            if vni.isdigit()
            for mac, row in entry.get("macs", {}).items()
            if row["type"] in ("local", "remote")
        }


@pytest.mark.parametrize("version", sorted({version for version, _ in STATES}))
def test_a_vnets_routes_are_those_with_its_route_target(version: str) -> None:
    nodes = ("pve1", "pve3")
    vnet = ExpectedVNet(ObjectKey("VNet", "default", "evpn1"), "EVPN1", 5001, "zone", nodes)
    zone = ExpectedZone(ObjectKey("EvpnZone", "", "zone"), "zone", 100001, nodes)
    expected = ExpectedOverlay(zones=(zone,), vnets=(vnet,))
    shown = json.loads("".join(vnet_tables(cluster(version, L3_VNI), expected, vnet, AT)))
    assert [node["name"] for node in shown["nodes"]] == list(nodes)
    for node in shown["nodes"]:
        routes = printed(version, L3_VNI, node["name"])["show bgp l2vpn evpn route"]
        wanted = {
            (rd, prefix)
            for rd, entry in routes.items()
            if isinstance(entry, dict)
            for prefix, value in entry.items()
            if prefix.startswith(("[2]", "[3]"))
            and any(
                "RT:65001:5001" in path["extendedCommunity"]["string"] for group in value["paths"] for path in group
            )
        }
        assert {(row["rd"], row["prefix"]) for row in node["tables"]["routes"]} == wanted
        assert wanted
