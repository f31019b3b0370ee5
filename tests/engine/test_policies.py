"""Prefix lists and route maps: one transaction with what names them, and none of them vanishes while it is named."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from tests.engine.routing import entry, matching, prefix_list, route_map
from tests.engine.world import SEED, World, cluster, controller, programmed

LIST, MAP, OTHER = (
    ObjectKey("PrefixList", "", "pl1"),
    ObjectKey("RouteMap", "", "rm1"),
    ObjectKey("RouteMap", "", "rm2"),
)
CONTROLLER = ObjectKey("EvpnController", "", "evpn1")
USED = (
    prefix_list("pl1", "10.0.0.0/8", "192.168.0.0/16"),
    route_map("rm2", entry(5, match={"vni": 5001})),
    route_map("rm1", matching(10, "pl1", callRef={"name": "rm2"}), entry(20, "Deny")),
    controller(routeMapInRef={"name": "rm1"}),
)


def entries(world: World) -> dict[str, Any]:
    return world.lab.route_maps.entries.running


async def test_one_apply_makes_policies_and_what_names_them() -> None:
    world = await programmed(*USED)
    lists = world.lab.prefix_lists.lists.running
    assert lists["pl1"]["entries"] == [
        "action=permit,prefix=10.0.0.0/8,seq=5",
        "action=permit,prefix=192.168.0.0/16,seq=10",
    ]
    assert entries(world)["rm1/10"]["match"] == ["key=ip-address-prefix-list,value=pl1"]
    assert entries(world)["rm1/10"]["call"] == "rm2"
    assert world.lab.sdn.running["controllers"]["evpn1"]["route-map-in"] == "rm1"
    status = world.kube.objects[MAP]["status"]
    assert (status["id"], status["entries"], status["usedBy"]) == ("rm1", 2, ["controller evpn1"])
    assert world.kube.objects[OTHER]["status"]["usedBy"] == ["route-map rm1"]
    assert world.kube.objects[LIST]["status"]["usedBy"] == ["route-map rm1"]
    calls = len(world.calls)
    await world.settle()
    assert [call for call in world.calls[calls:] if call[0] != "GET"] == []


async def test_nothing_shows_policies_at_work_so_they_have_no_operational() -> None:
    """Also one that an earlier release reported it for loses it with the next status."""
    world = await programmed(*USED)
    types = {condition["type"] for condition in world.kube.objects[MAP]["status"]["conditions"]}
    assert types == {"Ready", "Accepted", "Programmed", "Drifted", "Paused"}
    unknown = {**world.ready(MAP), "type": "Operational", "status": "Unknown", "reason": "SourceUnavailable"}
    world.kube.objects[LIST]["status"]["conditions"].append(unknown)
    world.apply(prefix_list("pl1", "10.0.0.0/8"))
    await world.settle()
    assert "Operational" not in {each["type"] for each in world.kube.objects[LIST]["status"]["conditions"]}
    assert "Operational" in {each["type"] for each in world.kube.objects[CONTROLLER]["status"]["conditions"]}


async def test_a_changed_entry_is_one_write_and_one_apply() -> None:
    world = await programmed(*USED)
    before = len(world.writes())
    world.apply(route_map("rm1", matching(10, "pl1", callRef={"name": "rm2"}), entry(20, "Permit"), entry(30, "Deny")))
    await world.settle()
    writes = [path for _, path in world.writes()[before:] if "route-maps" in path]
    assert writes == ["/cluster/sdn/route-maps/entries/rm1/entry/20", "/cluster/sdn/route-maps/entries"]
    assert world.lab.applies == 2
    assert (entries(world)["rm1/20"]["action"], entries(world)["rm1/30"]["action"]) == ("permit", "deny")
    assert world.complaints() == []


async def test_what_is_named_stays_and_says_by_what() -> None:
    world = await programmed(*USED)
    for key in (LIST, OTHER, MAP):
        world.kube.delete(key)
    await world.settle_or_wait()
    messages = [world.programmed(key)[1] for key in (MAP, OTHER, LIST)]
    assert messages == [
        "route-map rm1 is still used by EvpnController evpn1 (controller evpn1)",
        "route-map rm2 is still used by RouteMap rm1 (route-map rm1)",
        "prefix-list pl1 is still used by RouteMap rm1 (route-map rm1)",
    ]
    world.apply(controller())
    await world.settle()
    assert {LIST, MAP, OTHER} & world.kube.objects.keys() == set()
    assert (entries(world), world.lab.prefix_lists.lists.running) == ({}, {})
    assert world.lab.applies == 2


@pytest.mark.parametrize("order", list(itertools.permutations((CONTROLLER, MAP, OTHER, LIST))))
async def test_deleted_in_any_order_all_is_gone(order: tuple[ObjectKey, ...]) -> None:
    world = World()
    world.apply(cluster(), *USED)
    await world.settle()
    assert world.complaints() == []
    for key in order:
        world.kube.delete(key)
        await world.settle_or_wait()
    await world.settle()
    assert {CONTROLLER, LIST, MAP, OTHER} & world.kube.objects.keys() == set()
    assert (entries(world), world.lab.prefix_lists.lists.running, world.lab.sdn.running["controllers"]) == ({}, {}, {})


async def test_a_missing_reference_and_a_circle_are_said() -> None:
    world = World()
    world.apply(
        *SEED,
        route_map("alone", matching(10, "nowhere")),
        route_map("a", entry(10, callRef={"name": "b"})),
        route_map("b", entry(10, callRef={"name": "a"})),
        prefix_list("six", "fd00::/48"),
        route_map("mixed", matching(10, "six")),
    )
    await world.settle_or_wait()
    said = {name: world.ready(ObjectKey("RouteMap", "", name)) for name in ("alone", "a", "b", "mixed")}
    assert said["alone"]["reason"] == "RefNotFound"
    assert said["alone"]["message"] == (
        "entries[10].match.prefixListRef: there is no PrefixList 'nowhere' that this object may use"
    )
    assert said["a"]["reason"] == "InvalidSpec"
    assert "a -> b -> a" in said["a"]["message"]
    assert "b -> a -> b" in said["b"]["message"]
    assert "PrefixList 'six' has no IPv4 network" in said["mixed"]["message"]
    assert entries(world) == {}
    assert world.ready(CONTROLLER)["status"] == "True", "nothing else waits for them"


async def test_before_9_2_a_policy_says_what_it_needs() -> None:
    world = World(version="9.1.4")
    world.apply(*SEED, prefix_list(), route_map())
    await world.settle_or_wait()
    for key in (LIST, MAP):
        assert world.ready(key)["reason"] == "VersionUnsupported"
        assert world.ready(key)["message"] == f"{key.kind}: needs Proxmox VE 9.2 or newer, and it is 9.1"
    assert world.ready(CONTROLLER)["status"] == "True"


async def test_another_clients_entry_in_a_created_map_is_drift() -> None:
    world = await programmed(*USED)
    world.by_hand("POST", "/cluster/sdn/route-maps/entries", **{"route-map-id": "rm1", "order": 15, "action": "permit"})
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle()
    assert sorted(entries(world)) == ["rm1/10", "rm1/20", "rm2/5"]
    assert world.complaints() == []


async def test_an_equal_map_is_adopted_without_a_write_and_stays_when_its_object_goes() -> None:
    world = World()
    world.by_hand("POST", "/cluster/sdn/route-maps/entries", **{"route-map-id": "rm1", "order": 10, "action": "permit"})
    world.by_hand("POST", "/cluster/sdn/prefix-lists", id="pl1", entries=["seq=5,prefix=10.0.0.0/8,action=permit"])
    world.by_hand("PUT", "/cluster/sdn")
    world.apply(cluster(), route_map(), prefix_list())
    await world.settle()
    assert world.complaints() == []
    assert world.writes() == []
    assert {world.kube.objects[key]["status"]["origin"] for key in (MAP, LIST)} == {"Adopted"}
    world.kube.delete(MAP)
    await world.settle()
    assert (MAP in world.kube.objects, "rm1/10" in entries(world)) == (False, True)


async def test_a_map_of_another_client_that_differs_is_left_alone() -> None:
    world = World()
    world.by_hand("POST", "/cluster/sdn/route-maps/entries", **{"route-map-id": "rm1", "order": 10, "action": "deny"})
    world.by_hand("PUT", "/cluster/sdn")
    world.apply(cluster(), route_map())
    await world.settle_or_wait()
    assert world.ready(MAP)["reason"] == "ForeignObject"
    assert "10: action deny instead of action permit" in world.ready(MAP)["message"]
    assert world.writes() == []


async def test_a_refused_entry_leaves_nothing_of_its_map_staged() -> None:
    world = await programmed(*USED[:2], route_map("rm1", matching(10, "pl1")))
    world.refuse("PUT", "/cluster/sdn/route-maps/entries/rm1/entry/10", "no such thing")
    world.apply(route_map("rm1", entry(5), entry(10, "Deny")))
    await world.settle_or_wait()
    assert world.programmed(MAP)[0] == "StagingFailed"
    assert world.lab.route_maps.entries.edited == entries(world)
    assert sorted(entries(world)) == ["rm1/10", "rm2/5"]


async def test_a_paused_map_is_left_alone() -> None:
    world = await programmed(*USED)
    world.apply(
        {**route_map("rm1", entry(10)), "metadata": {"name": "rm1", "annotations": {"pve-evpn.dev/paused": "1"}}}
    )
    await world.settle_or_wait()
    assert sorted(entries(world)) == ["rm1/10", "rm1/20", "rm2/5"]
    assert world.kube.condition(MAP, "Paused")["status"] == "True"
