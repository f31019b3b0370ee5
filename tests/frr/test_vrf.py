"""Routing between VNets in VRFs: L3 VNIs, type-5 routes and exit nodes, which need VRF devices in the kernel.

`make e2e-frr-vm` runs these in a machine that has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pve_evpn.domain.health.vnis import VniIndex
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.observe.frr import observation
from pve_lab.frr.guests import Nic
from pve_lab.frr.outside import Outside
from pve_lab.frr.sshd import HELPER
from pve_lab.frr.tables import FrrTables
from pve_lab.frr.topology import Topology
from pve_lab.running_config import RunningConfig
from tests.frr.world import AGEING, NODES, await_full_mesh, seed
from tests.waiting import await_

pytestmark = pytest.mark.frr_vrf

UPLINK = "192.0.2.2/30"
#: Zone to L3 VNI.
ZONES = {"EZone1": 100001, "EZone2": 100002}
A = Nic(100, 0, "EVPN1", "bc:24:11:00:01:00", ip="10.50.1.11/24", gateway="10.50.1.1")
B = Nic(101, 0, "EVPN2", "bc:24:11:00:01:01", ip="10.50.2.11/24", gateway="10.50.2.1")
C = Nic(102, 0, "OTHER", "bc:24:11:00:01:02", ip="10.60.1.11/24", gateway="10.60.1.1")


def two_zones() -> RunningConfig:
    """Two VNets in the first zone, which has an exit node with a BGP controller; one VNet in the second zone."""
    one = seed(**{"exitnodes": "pve1", "advertise-subnets": 1, "mac": "bc:24:11:00:00:01"})
    two = {"type": "evpn", "controller": "evpn1", "vrf-vxlan": ZONES["EZone2"], "mac": "bc:24:11:00:00:02"}
    edge = {"type": "bgp", "asn": 65001, "node": "pve1", "peers": "192.0.2.1", "ebgp": 1}
    return replace(
        one,
        controllers={**one.controllers, "edge": edge},
        zones={**one.zones, "EZone2": two},
        vnets={
            **one.vnets,
            "EVPN2": {"type": "vnet", "zone": "EZone1", "tag": 5002},
            "OTHER": {"type": "vnet", "zone": "EZone2", "tag": 5003},
        },
        subnets={
            "EZone1-10.50.1.0-24": {"vnet": "EVPN1", "gateway": "10.50.1.1"},
            "EZone1-10.50.2.0-24": {"vnet": "EVPN2", "gateway": "10.50.2.1"},
            "EZone2-10.60.1.0-24": {"vnet": "OTHER", "gateway": "10.60.1.1"},
        },
    )


@pytest.fixture(scope="module")
def lab() -> Iterator[Topology]:
    with Topology(NODES, ageing_seconds=10 * AGEING, outside=Outside({"pve1": UPLINK})) as lab:
        lab.apply(two_zones())
        await_full_mesh(lab)
        for node, nic in (("pve1", A), ("pve4", B), ("pve4", C)):
            lab.plug(node, nic)
            lab.speak(nic.vmid)
        yield lab


def read_all(lab: Topology) -> ClusterObservation:
    at = datetime.now(UTC)
    answers = lab.each(lambda node: node.space.run(HELPER))
    return ClusterObservation(at, {name: observation(name, at, answer) for name, answer in answers.items()})


def vrf_routes(lab: Topology, node: str, zone: str) -> dict[str, list[dict[str, Any]]]:
    """Prefix to FRR's routes in a zone's VRF."""
    return dict(lab.tables(node).json(f"show ip route vrf vrf_{zone}"))


def test_every_zone_has_its_l3_vni_in_its_vrf_on_all_nodes(lab: Topology) -> None:
    for node in NODES:
        for zone, vni in ZONES.items():

            def up(node: str = node, zone: str = zone, vni: int = vni) -> bool:
                row = lab.tables(node).json(f"show evpn vni {vni}")
                return (row.get("type"), row.get("state"), row.get("vrf")) == ("L3", "Up", f"vrf_{zone}")

            await_(f"L3 VNI {vni} is up on {node}", up)


def test_subnets_are_type_5_routes_with_the_router_mac_of_their_node(lab: Topology) -> None:
    """Of the zone that advertises its subnets, and not of the other."""

    def prefixes() -> set[str]:
        text = lab.vtysh("pve2", "show bgp l2vpn evpn route type prefix")
        return {word for word in text.split() if word.startswith("[5]")}

    await_("pve2 has both subnets", lambda: {"[5]:[0]:[24]:[10.50.1.0]", "[5]:[0]:[24]:[10.50.2.0]"} <= prefixes())
    assert not any("10.60.1.0" in prefix for prefix in prefixes())
    assert "Rmac:" in lab.vtysh("pve2", "show bgp l2vpn evpn route type prefix")


def test_the_operator_counts_type_5_routes_and_knows_every_router_mac(lab: Topology) -> None:
    """As `status.routes.type5` of a VNet and `status.ipVrf` of a zone have them, from what the helper reads."""
    index = VniIndex(read_all(lab))
    l3 = index.l3(ZONES["EZone1"], "EZone1", NODES)
    own = {node: lab.tables(node).json(f"show evpn vni {ZONES['EZone1']}")["sysMac"] for node in NODES}
    assert {row.node: row.router_mac for row in l3.nodes} == own
    assert len(set(own.values())) == len(NODES)
    others = len(NODES) - 1
    assert l3.prefixes == 2 * others + 2, "two subnets of each node, but of the exit node its two default routes"
    net = index.l2(5001, NODES, NODES, ["10.50.1.0/24"], ZONES["EZone1"])
    assert (net.type5, net.type3) == (others, len(NODES))
    other = index.l2(5003, NODES, NODES, ["10.60.1.0/24"], ZONES["EZone2"])
    assert other.type5 == 0
    assert {row.node for row in index.l3(ZONES["EZone2"], "EZone2", NODES).nodes if row.present} == set(NODES)


def test_guests_of_two_vnets_reach_each_other_through_the_l3_vni(lab: Topology) -> None:
    """VNet EVPN1 on pve1, EVPN2 on pve4: each node routes into the VRF, and the packet crosses in the L3 VNI."""
    await_("VM 100 reaches VM 101", lambda: lab.guests.reaches(100, 101, seconds=1))
    await_("VM 101 reaches VM 100", lambda: lab.guests.reaches(101, 100, seconds=1))
    (route,) = vrf_routes(lab, "pve1", "EZone1")["10.50.2.11/32"]
    assert route["nexthops"][0]["interfaceName"] == "vrfbr_EZone1"


def test_zones_do_not_reach_each_other(lab: Topology) -> None:
    assert not lab.guests.reaches(101, 102, seconds=1), "both guests are on pve4"


def test_the_exit_node_gives_the_others_a_default_route(lab: Topology) -> None:
    await_("pve4 has it", lambda: "0.0.0.0/0" in vrf_routes(lab, "pve4", "EZone1"))
    (route,) = [row for row in vrf_routes(lab, "pve4", "EZone1")["0.0.0.0/0"] if row.get("selected")]
    assert (route["protocol"], route["nexthops"][0]["ip"]) == ("bgp", NODES["pve1"])
    other = vrf_routes(lab, "pve4", "EZone2").get("0.0.0.0/0", [])
    assert {row["protocol"] for row in other} == {"kernel"}, "the unreachable route that ifupdown2 puts into each VRF"


def test_the_exit_node_advertises_to_the_outside_the_zones_networks(lab: Topology) -> None:
    """By `import vrf`: the routes of the VRF in the node's own BGP."""
    assert lab.world is not None
    outside = FrrTables(lab.world)
    await_("both networks", lambda: {"10.50.1.0/24", "10.50.2.0/24"} <= set(outside.json("show ip route bgp")))
    assert "10.60.1.0/24" not in outside.json("show ip route bgp")


def test_a_zone_that_is_deleted_takes_its_vrf_along(lab: Topology) -> None:
    whole = two_zones()
    without = replace(
        whole,
        zones={"EZone1": whole.zones["EZone1"]},
        vnets={name: vnet for name, vnet in whole.vnets.items() if vnet["zone"] == "EZone1"},
        subnets={id_: subnet for id_, subnet in whole.subnets.items() if subnet["vnet"] != "OTHER"},
    )
    lab.unplug(102)
    lab.apply(without)
    for node in NODES:
        names = {row["ifname"] for row in lab.nodes[node].bridges.links()}
        assert "vrf_EZone1" in names
        assert not {name for name in names if "EZone2" in name}
        assert "EZone2" not in lab.vtysh(node, "show running-config")
        assert str(ZONES["EZone2"]) not in lab.tables(node).json("show evpn vni")
