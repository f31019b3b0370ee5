"""The lab's API with real FRR behind it: what a client of Proxmox sees is what the nodes do, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pve_lab import faults
from pve_lab.dataplane.frr import FrrDataplane
from pve_lab.frr.topology import Topology
from pve_lab.lab import Lab, seed
from tests.frr.world import AGEING, NODES, VM1, VNET, VNI, await_full_mesh
from tests.lab.clients import LabClient
from tests.lab.deviations import check_answer
from tests.waiting import await_

NET0 = f"virtio={VM1.upper()},bridge={VNET},firewall=1"


class Client(LabClient):
    """Asks a lab whose time is the real one."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        lab.faults.after.append(check_answer)
        seed(lab)

    def wait_for(self, upid: str) -> str:
        """How a task ended."""
        return await_(f"{upid} ends", lambda: self.exit_of(upid))

    def zone_states(self) -> list[str]:
        return [self.get(f"/nodes/{node}/sdn/zones")[0]["status"] for node in NODES]


@pytest.fixture(scope="module")
def pve() -> Iterator[Client]:
    """The seed topology, configured and applied through the API."""
    lab = Lab(list(NODES), task_seconds=0.2)
    plane = FrrDataplane(lab, ageing_seconds=AGEING)
    lab.dataplane = plane
    client = Client(lab)
    client.post("/cluster/sdn/controllers", controller="evpn1", type="evpn", asn=65001, fabric="Fabric1")
    client.post("/cluster/sdn/zones", zone="EZone1", type="evpn", controller="evpn1", vrf_vxlan=100001)
    client.post("/cluster/sdn/vnets", vnet=VNET, zone="EZone1", tag=VNI)
    assert client.wait_for(client.put("/cluster/sdn")) == "OK"
    await_full_mesh(plane.frr)
    yield client
    plane.close()


@pytest.fixture
def frr(pve: Client) -> Topology:
    plane = pve.lab.dataplane
    assert isinstance(plane, FrrDataplane)
    return plane.frr


def test_an_apply_reloads_every_node(pve: Client, frr: Topology) -> None:
    assert pve.zone_states() == ["available"] * 4
    for node in NODES:
        (task,) = pve.reloads(node)
        assert f"created {VNET}" in pve.log_of(task["upid"])
        neighbours = pve.get(f"/nodes/{node}/sdn/fabrics/Fabric1/neighbors")
        assert {row["neighbor"] for row in neighbours} == set(NODES.values()) - {NODES[node]}


def test_a_guest_from_its_configuration_to_mac_vrf_and_back(pve: Client, frr: Topology) -> None:
    """Plugged in, announced, moved, silent: each of it through the API alone."""
    mac_vrf = f"/nodes/pve1/sdn/vnets/{VNET}/mac-vrf"
    pve.put("/nodes/pve4/qemu/100/config", net0=NET0)
    row = {"mac": VM1, "ip": "10.50.1.11", "nexthop": NODES["pve4"]}
    await_("VM1 is in mac-vrf", lambda: row in pve.get(mac_vrf))
    (bridge,) = pve.get("/nodes/pve4/sdn/zones/EZone1/bridges")
    assert {"name": "fwpr100p0", "vmid": 100, "index": "net0"} in bridge["ports"]

    assert pve.wait_for(pve.post("/nodes/pve4/qemu/100/migrate", target="pve3", online=1)) == "OK"
    await_("VM1's route is pve3's", lambda: {**row, "nexthop": NODES["pve3"]} in pve.get(mac_vrf))
    route = frr.tables("pve1").mac_route(VM1)
    assert route is not None
    assert route.moves == 1

    pve.lab.guests[100].speaks = False
    await_("VM1 is forgotten", lambda: pve.get(mac_vrf) == [])
    pve.put("/nodes/pve3/qemu/100/config", net0=NET0.replace(VNET, "vmbr0"))
    await_("VM1's port is gone", lambda: len(pve.get("/nodes/pve3/sdn/zones/EZone1/bridges")[0]["ports"]) == 1)
    pve.lab.guests[100].speaks = True


def test_a_node_that_goes_away_is_missed_by_the_others(pve: Client, frr: Topology) -> None:
    gone = pve.lab.faults.add(faults.NodeOffline(node="pve2"))
    await_("pve1 misses pve2", lambda: NODES["pve2"] not in frr.tables("pve1").established())
    pve.lab.faults.remove(gone)
    await_full_mesh(frr)


def test_a_bridge_that_is_gone_is_an_error_until_the_next_reload(pve: Client, frr: Topology) -> None:
    frr.nodes["pve2"].space.ip("link", "del", "dev", VNET)
    assert pve.zone_states() == ["available", "error", "available", "available"]
    (row,) = pve.get("/nodes/pve2/sdn/zones/EZone1/content")
    assert row == {"vnet": VNET, "status": "error", "statusmsg": f"missing {VNET}"}
    assert pve.wait_for(pve.put("/nodes/pve2/network")) == "OK"
    assert pve.zone_states() == ["available"] * 4
    await_full_mesh(frr)


def test_a_node_that_cannot_build_a_vnet_stays_behind_and_says_why(pve: Client, frr: Topology) -> None:
    """Somebody's VXLAN interface has the VNI already: the cluster's task ends well all the same."""
    frr.nodes["pve3"].space.ip("link", "add", "name", "foreign", "type", "vxlan", "id", "5002", "dstport", "4789")
    pve.post("/cluster/sdn/vnets", vnet="EVPN2", zone="EZone1", tag=5002)
    assert pve.wait_for(pve.put("/cluster/sdn")) == "OK"
    assert pve.zone_states() == ["available", "available", "pending", "available"]
    (latest, *_) = pve.reloads("pve3")
    assert "already exists" in latest["status"]
    frr.nodes["pve3"].space.ip("link", "del", "dev", "foreign")
    assert pve.wait_for(pve.put("/nodes/pve3/network")) == "OK"
    assert pve.zone_states() == ["available"] * 4


@pytest.mark.frr_long
def test_a_reload_that_frr_cannot_do_restarts_it_with_a_warning(pve: Client, frr: Topology) -> None:
    frr.nodes["pve3"].stop()
    assert pve.wait_for(pve.put("/nodes/pve3/network")) == "WARNINGS: 1"
    await_full_mesh(frr)


def test_what_is_deleted_leaves_the_nodes(pve: Client, frr: Topology) -> None:
    for vnet in (VNET, "EVPN2"):
        pve.delete(f"/cluster/sdn/vnets/{vnet}")
    pve.delete("/cluster/sdn/zones/EZone1")
    pve.delete("/cluster/sdn/controllers/evpn1")
    assert pve.wait_for(pve.put("/cluster/sdn")) == "OK"
    for node in NODES:
        assert {row["ifname"] for row in frr.nodes[node].bridges.links()} == {"lo", "eth0"}
        assert "router bgp" not in frr.vtysh(node, "show running-config")
