"""BGP and IS-IS controllers of single nodes: made with their route maps, one per node, beside the overlay's AS."""

from __future__ import annotations

import pytest

from pve_evpn.domain.objects import ObjectKey
from tests.engine.routing import bgp, isis, prefix_list, route_map
from tests.engine.world import SEED, World, cluster, controller, programmed

BGP, ISIS = ObjectKey("BgpController", "", "bgp-pve1"), ObjectKey("IsisController", "", "isis-pve1")
MAP = ObjectKey("RouteMap", "", "rm1")


async def test_one_apply_makes_both_with_what_they_name() -> None:
    world = await programmed(
        route_map(),
        prefix_list(),
        isis(interfaces=["eno2", "eno1"], loopback="lo"),
        bgp(
            peers=["192.0.2.2", "192.0.2.1"], routeMapOutRef={"name": "rm1"}, ebgpMultihop=3, multipathAsPathRelax=True
        ),
    )
    made = world.lab.sdn.running["controllers"]
    assert made["bgp-pve1"] == {
        "type": "bgp", "node": "pve1", "asn": 65001, "peers": "192.0.2.1,192.0.2.2", "ebgp": 1, "ebgp-multihop": 3,
        "bgp-multipath-as-path-relax": 1, "route-map-out": "rm1",
    }  # fmt: skip
    assert made["isis-pve1"]["isis-ifaces"] == "eno1,eno2"
    assert world.kube.objects[BGP]["status"]["node"] == "pve1"
    before = len(world.writes())
    await world.settle()
    assert world.writes()[before:] == []


async def test_a_route_map_stays_while_a_router_names_it() -> None:
    world = await programmed(route_map(), bgp(routeMapInRef={"name": "rm1"}))
    world.kube.delete(MAP)
    await world.settle_or_wait()
    assert world.programmed(MAP) == (
        "DeletionBlocked",
        "route-map rm1 is still used by BgpController bgp-pve1 (controller bgp-pve1)",
    )
    world.kube.delete(BGP)
    await world.settle()
    assert {MAP, BGP} & world.kube.objects.keys() == set()
    assert world.lab.sdn.running["controllers"].keys() == {"evpn1"}


@pytest.mark.parametrize(
    ("document", "reason", "message"),
    [
        (bgp("other", "pve1"), "ControllerConflict", "node: pve1 has the bgp controller 'bgp-pve1' already"),
        (bgp("other", "pve9"), "RefNotFound", "node: the Proxmox cluster has no node pve9"),
        (bgp("other", "pve2", asn=65002, ebgp=False), "ControllerConflict", "EVPN controller 'evpn1' has sessions"),
        (bgp("other", "pve2", routeMapInRef={"name": "no"}), "RefNotFound", "there is no RouteMap 'no'"),
        (isis("other", "pve1"), "ControllerConflict", "node: pve1 has the isis controller 'isis-pve1' already"),
    ],
)  # fmt: skip
async def test_what_does_not_go_with_the_others_is_said(document: dict[str, object], reason: str, message: str) -> None:
    world = await programmed(bgp(), isis())
    (key,) = world.apply(document)
    await world.settle_or_wait()
    assert world.ready(key)["reason"] == reason
    assert message in world.ready(key)["message"]
    assert world.ready(BGP)["status"] == "True"
    assert world.lab.applies == 1


async def test_before_9_2_routers_work_and_their_route_maps_do_not() -> None:
    world = World(version="9.1.4")
    world.apply(*SEED, bgp(), bgp("two", "pve2", routeMapIn="rm1"), isis())
    await world.settle_or_wait()
    assert world.ready(BGP)["status"] == world.ready(ISIS)["status"] == "True"
    assert world.ready(ObjectKey("BgpController", "", "two"))["message"] == (
        "routeMapIn: needs Proxmox VE 9.2 or newer, and it is 9.1"
    )


async def test_a_router_beside_an_evpn_controller_is_no_second_one_before_9_2() -> None:
    world = World(version="9.1.4")
    world.apply(cluster(), bgp())
    await world.settle()
    world.apply(controller())
    await world.settle()
    assert world.complaints() == []


async def test_an_id_of_another_sort_of_controller_is_refused() -> None:
    world = await programmed()
    (key,) = world.apply(bgp("evpn1"))
    await world.settle_or_wait()
    assert "already belongs to EvpnController evpn1" in world.ready(key)["message"]
    world.kube.delete(ObjectKey("VNet", "default", "net1"))
    world.kube.delete(ObjectKey("EvpnZone", "", "zone1"))
    world.kube.delete(ObjectKey("EvpnController", "", "evpn1"))
    await world.settle()
    assert world.lab.sdn.running["controllers"]["evpn1"]["type"] == "bgp", "its turn comes when the name is free"
