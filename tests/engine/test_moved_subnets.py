"""Objects that another client moved or made anew, and desired objects that change places: all of it settles."""

from __future__ import annotations

import pytest

from pve_evpn.domain.objects import ObjectKey
from tests.engine.world import CONTROLLER, NET1, SEED, ZONE, World, cluster, controller, programmed, vnet, zone

SUBNET = "zone1-10.1.0.0-24"
CONTROLLER_2 = ObjectKey("EvpnController", "", "fabric")
NET2 = ObjectKey("VNet", "default", "net2")


def parents(world: World) -> dict[str, str]:
    return {id_: str(row["vnet"]) for id_, row in world.lab.sdn.running["subnets"].items()}


@pytest.mark.parametrize("applied", [False, True], ids=["staged", "applied"])
async def test_a_subnet_that_another_client_moved_below_another_vnet_is_moved_back(applied: bool) -> None:
    world = await programmed(vnet("net2", 5002))
    world.by_hand("PUT", f"/cluster/sdn/vnets/net2/subnets/{SUBNET}", snat=1)
    if applied:
        world.by_hand("PUT", "/cluster/sdn")
    await world.settle()
    assert world.complaints() == []
    assert parents(world) == {SUBNET: "net1"}
    assert "snat" not in world.lab.sdn.running["subnets"][SUBNET]
    world.apply(vnet("net3", 5003))  # nothing is left that blocks an apply
    await world.settle()
    assert "net3" in world.lab.sdn.running["vnets"]


async def test_a_moved_subnet_below_a_foreign_vnet_is_named_as_drift_and_moved_back() -> None:
    world = await programmed(drift="Report")
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="theirs", zone="zone1", tag="9")
    world.by_hand("PUT", f"/cluster/sdn/vnets/theirs/subnets/{SUBNET}")
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle_or_wait()
    assert f"{SUBNET} vnet is theirs, specified net1" in world.ready(NET1)["message"]
    world.apply(cluster(drift="Correct"))
    await world.settle()
    assert parents(world) == {SUBNET: "net1"}


async def test_two_vnets_swap_their_subnets_in_one_go() -> None:
    world = await programmed(vnet("net2", 5002, "10.2.0.0/24"))
    world.apply(vnet("net1", 5001, "10.2.0.0/24"), vnet("net2", 5002, "10.1.0.0/24"))
    await world.settle()
    assert world.complaints() == []
    assert parents(world) == {SUBNET: "net2", "zone1-10.2.0.0-24": "net1"}
    assert world.lab.applies == 2
    rows = {key.name: world.kube.status(key)["subnets"] for key in (NET1, NET2)}
    assert rows == {
        "net1": [{"id": "zone1-10.2.0.0-24", "origin": "Created"}],
        "net2": [{"id": SUBNET, "origin": "Created"}],
    }
    for key in (NET1, NET2):
        world.kube.delete(key)
    await world.settle()
    assert parents(world) == {}


async def test_a_subnet_moves_to_a_vnet_that_is_new() -> None:
    world = await programmed()
    world.apply(vnet("net2", 5002, "10.1.0.0/24"), vnet("net1", 5001))
    await world.settle()
    assert world.complaints() == []
    assert parents(world) == {SUBNET: "net2"}


async def test_a_zone_made_anew_with_another_type_is_neither_written_nor_deleted() -> None:
    world = await programmed()
    world.kube.delete(NET1)
    await world.settle()
    world.by_hand("DELETE", "/cluster/sdn/zones/zone1")
    world.by_hand("POST", "/cluster/sdn/zones", zone="zone1", type="vxlan", peers="192.168.16.1")
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle_or_wait()
    condition = world.ready(ZONE)
    assert condition["reason"] == "ForeignObject"
    assert "type 'vxlan'" in condition["message"]
    world.kube.delete(ZONE)
    await world.settle()
    assert ZONE not in world.kube.objects
    assert world.lab.sdn.running["zones"]["zone1"]["type"] == "vxlan"


async def test_a_vnet_made_anew_in_another_zone_is_not_ours_to_delete() -> None:
    world = await programmed()
    world.by_hand("POST", "/cluster/sdn/zones", zone="vlans", type="vlan", bridge="vmbr0")
    world.by_hand("DELETE", f"/cluster/sdn/vnets/net1/subnets/{SUBNET}")
    world.by_hand("DELETE", "/cluster/sdn/vnets/net1")
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="net1", zone="vlans", tag="501")
    world.by_hand("PUT", "/cluster/sdn")
    world.kube.delete(NET1)
    await world.settle()
    assert NET1 not in world.kube.objects
    assert world.lab.sdn.running["vnets"]["net1"]["zone"] == "vlans"


async def test_an_adopted_vnet_with_adopted_subnets_goes_if_its_policy_says_delete() -> None:
    world = World()
    world.apply(cluster(), controller(), zone(adoption={"namespaces": {}}))
    await world.settle()
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="net1", zone="zone1", tag="5001")
    world.by_hand("POST", "/cluster/sdn/vnets/net1/subnets", subnet="10.1.0.0/24", type="subnet")
    world.by_hand("PUT", "/cluster/sdn")
    world.apply(vnet("net1", 5001, "10.1.0.0/24", deletionPolicy="Delete"))
    await world.settle()
    assert world.kube.status(NET1)["subnets"] == [{"id": SUBNET, "origin": "Adopted"}]
    world.kube.delete(NET1)
    await world.settle()
    assert NET1 not in world.kube.objects
    assert world.lab.sdn.running["vnets"] == {}


async def test_a_renamed_controller_takes_the_place_of_the_old_one_without_an_interruption() -> None:
    """Proxmox VE 9.1 has one EVPN controller per cluster, and the zones need it all the time."""
    world = World(version="9.1")
    world.apply(*SEED)
    await world.settle()
    renamed = controller("fabric", id="evpn1")
    world.kube.delete(CONTROLLER)
    world.apply(renamed, zone(controllerRef={"name": "fabric"}))
    await world.settle()
    assert world.complaints() == []
    assert CONTROLLER not in world.kube.objects
    assert world.lab.sdn.running["controllers"].keys() == {"evpn1"}
    assert world.lab.applies == 1
    assert world.kube.status(CONTROLLER_2)["origin"] == "Created"
