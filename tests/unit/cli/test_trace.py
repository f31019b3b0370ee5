"""A NIC is found by whatever people have of it; the tables have the columns of FRR."""

from __future__ import annotations

import pytest

from pve_evpn.cli.report.snapshot import RecordedEvent, Snapshot
from pve_evpn.cli.report.tables import peers_report, routes_report, vni_report
from pve_evpn.cli.report.trace import matching, trace_report
from tests.unit.cli.people import MAC, NOW, nic, node, ready, snapshot
from tests.unit.plan.world import vnet

PEER = {"address": "10.0.0.2", "node": "pve2", "state": "Established", "remoteAs": 65001}


def there() -> Snapshot:
    evpn = {"verdict": "Advertised", "announcedBy": "pve2", "ips": ["10.1.0.5", "2001:db8::5"], "seenBy": 2}
    status = {"vmid": 100, "guestName": "web", "node": "pve2", "device": "net0", "macAddress": MAC, "evpn": evpn}
    vnis = [{"vni": 5001, "type": "L2", "macs": 1}]
    return snapshot(
        ready(nic(), **status),
        ready(nic("other", guest={"vmid": 101}, type="lxc", ip="10.1.0.9/24"), vmid=101),
        ready(vnet(), vni=5001, nodes=[{"name": "pve1", "state": "Available", "missingVteps": ["pve2"]}]),
        node("pve1", peers=[{**PEER, "state": "Active"}], vnis=[]),
        node("pve2", vnis=vnis),
        events=(RecordedEvent(NOW, nic().key, "MacWithdrawn", "no longer advertised", True),),
    )


@pytest.mark.parametrize(
    "query",
    [MAC, MAC.upper(), "bc24.1111.1111", "BC-24-11-11-11-11", "10.1.0.5", "2001:DB8:0::5", "100", "web", "nic1",
     "default/nic1"],
)  # fmt: skip
def test_it_is_found_by_whatever_names_it(query: str) -> None:
    assert [found.key.name for found in matching(there(), query)] == ["nic1"]


@pytest.mark.parametrize(("query", "names"), [("10.1.0.9", ["other"]), ("10.1.0.6", []), ("bc:24:11:11:11:12", [])])
def test_nothing_else_is_found(query: str, names: list[str]) -> None:
    assert [found.key.name for found in matching(there(), query)] == names


def test_what_a_node_lacks_is_named() -> None:
    data = trace_report(there(), matching(there(), MAC)).data()
    assert data["nic/default/nic1"]["advertisedBy"] == "pve2"
    lacks, has = data["nodes/default/nic1"]
    assert (lacks["hasVni"], lacks["missingVteps"], lacks["session"]) == (False, "pve2", "Active")
    assert (has["hasVni"], has["role"]) == (True, "home, advertises")
    assert [row["reason"] for row in data["history/default/nic1"]] == ["MacWithdrawn"]


def test_tables_per_node_say_where_no_source_sees_anything() -> None:
    data = peers_report(there()).data()
    assert data["pve-pve1"][0]["state"] == "Active"
    assert data["pve-pve2"] == ["No source shows its sessions."]
    assert list(vni_report(there(), "pve2").data()) == ["pve-pve2"]


def test_routes_of_a_vnet_are_in_frrs_spelling_and_name_where_one_is_missing() -> None:
    status = {
        "routes": {"type2": 7, "type3": 2},
        "nodes": [
            {"name": "pve1", "state": "Available", "missingVteps": ["pve2"]},
            {"name": "pve2", "state": "Available"},
        ],
    }
    net = ready(vnet(), vni=5001, **status)
    far = node("pve2", routerId="10.0.0.2", peers=[], vnis=[])
    data = routes_report(snapshot(*there().objects.values(), net, far), net)
    rows = data.data()["routes"]
    assert [row["prefix"] for row in rows] == [
        f"[2]:[0]:[48]:[{MAC}]", f"[2]:[0]:[48]:[{MAC}]:[32]:[10.1.0.5]", f"[2]:[0]:[48]:[{MAC}]:[128]:[2001:db8::5]",
        "[3]:[0]:[32]:[?]", "[3]:[0]:[32]:[10.0.0.2]",
    ]  # fmt: skip
    assert [row["nextHop"] for row in rows] == ["10.0.0.2", "10.0.0.2", "10.0.0.2", None, "10.0.0.2"]
    assert rows[-1]["problem"] == "missing on pve1"
    assert not data.good
