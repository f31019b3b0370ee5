"""``dry-run``: what an apply would change on one node, compared with what the node has loaded."""

from __future__ import annotations

from pve_lab import faults
from tests.lab.clients import LabClient


def dry_run(pve: LabClient, node: str = "pve1") -> dict[str, str]:
    return dict(pve.get("/cluster/sdn/dry-run", node=node))


def test_nothing_staged_and_everything_loaded_is_no_difference(pve: LabClient) -> None:
    pve.overlay()
    assert dry_run(pve) == {}


def test_a_new_vnet_shows_in_the_interfaces_and_a_new_controller_in_frr(pve: LabClient) -> None:
    pve.overlay()
    pve.post("/cluster/sdn/vnets", vnet="v2", zone="z1", tag=5002)
    diff = dry_run(pve)
    assert diff.keys() == {"interfaces-diff"}
    assert "+iface vxlan_v2" in diff["interfaces-diff"]
    assert "+\tvxlan-id 5002" in diff["interfaces-diff"]
    pve.put("/cluster/sdn/controllers/c1", asn=65099)
    assert "+router bgp 65099" in dry_run(pve)["frr-diff"]


def test_a_zone_of_other_nodes_is_no_difference_here(pve: LabClient) -> None:
    pve.overlay()
    pve.post("/cluster/sdn/zones", zone="z2", type="evpn", controller="c1", vrf_vxlan=2, nodes="pve2")
    pve.post("/cluster/sdn/vnets", vnet="v2", zone="z2", tag=5002)
    assert "interfaces-diff" not in dry_run(pve, "pve1")
    assert "+iface v2" in dry_run(pve, "pve2")["interfaces-diff"]


def test_a_node_that_missed_an_apply_differs_though_nothing_is_staged(pve: LabClient) -> None:
    fault = pve.lab.faults.add(faults.NodeOffline(node="pve3"))
    pve.overlay()
    pve.lab.faults.remove(fault)
    assert dry_run(pve, "pve1") == {}
    assert "+iface v1" in dry_run(pve, "pve3")["interfaces-diff"]


def test_it_needs_a_node_that_is_there(pve: LabClient) -> None:
    assert pve.errors("GET", "/cluster/sdn/dry-run").keys() == {"node"}
    pve.lab.faults.add(faults.NodeOffline(node="pve3"))
    assert pve.ask("GET", "/cluster/sdn/dry-run", node="pve3").status == 595
