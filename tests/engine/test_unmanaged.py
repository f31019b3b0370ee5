"""``status.unmanaged``: what is in Proxmox' SDN configuration and in no object; here ``Fabric1`` from the start."""

from __future__ import annotations

from typing import Any

import pytest

from pve_evpn.pve import reader
from tests.engine.routing import fabric
from tests.engine.test_services import TOKEN, served
from tests.engine.world import CLUSTER, NET1, SEED, World, cluster, programmed, vnet


def unmanaged(world: World) -> dict[str, Any]:
    return dict(world.kube.status(CLUSTER).get("unmanaged") or {})


def foreign(world: World) -> None:
    """A zone of another type with a VNet, and a VNet in the operator's zone, made and applied by another client."""
    world.by_hand("POST", "/cluster/sdn/zones", zone="lan", type="simple")
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="lan1", zone="lan")
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="theirs", zone="zone1", tag="5009")
    world.by_hand("PUT", "/cluster/sdn")


async def test_nothing_is_said_where_everything_has_an_object() -> None:
    same = {"id": "Fabric1", "area": "0.0.0.0", "prefix": "192.168.16.0/24", "allNodes": {}}
    world = await programmed(fabric("fabric1", "OSPF", **same, managementPolicy="ObserveOnly"))
    assert unmanaged(world) == {}


async def test_every_kind_is_counted_each_by_itself_and_costs_no_call() -> None:
    world = await programmed()
    await world.settle()
    before = len(world.calls)
    await world.one_pass()
    calls = len(world.calls) - before
    for path, params in (
        ("prefix-lists", {"id": "pl1", "entries": "seq=5,action=permit,prefix=10.0.0.0/8"}),
        ("route-maps/entries", {"route-map-id": "rm1", "order": "10", "action": "permit"}),
        ("route-maps/entries", {"route-map-id": "rm1", "order": "20", "action": "deny"}),
        ("controllers", {"controller": "b1", "type": "bgp", "node": "pve1", "asn": "65001", "peers": "192.0.2.1"}),
    ):
        world.by_hand("POST", f"/cluster/sdn/{path}", **params)
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle()
    assert unmanaged(world) == {
        "count": 4,
        "ipams": 0,
        "dnsServers": 0,
        "fabrics": 1,
        "routeMaps": 1,
        "prefixLists": 1,
        "controllers": 1,
        "zones": 0,
        "vnets": 0,
        "names": ["controller b1 (bgp)", "fabric Fabric1", "prefix-list pl1", "route-map rm1"],
    }
    before = len(world.calls)
    await world.one_pass()
    assert len(world.calls) - before == calls, "each list is read once a sync, whatever is in it"


async def test_what_has_no_object_is_counted_and_named_and_costs_no_call_and_no_write() -> None:
    world = await programmed()
    await world.settle()
    before = len(world.calls)
    await world.one_pass()
    calls = len(world.calls) - before
    foreign(world)
    await world.settle()
    assert unmanaged(world) == {
        "count": 4,
        "ipams": 0,
        "dnsServers": 0,
        "fabrics": 1,
        "routeMaps": 0,
        "prefixLists": 0,
        "controllers": 0,
        "zones": 1,
        "vnets": 2,
        "names": ["fabric Fabric1", "vnet lan1", "vnet theirs", "zone lan (simple)"],
    }
    world.kube.writes.clear()
    before = len(world.calls)
    await world.one_pass()
    assert world.kube.writes == []
    assert len(world.calls) - before <= calls + 2, "the subnets of two more VNets"


async def test_services_are_counted_without_the_built_in_ipam_and_without_a_call_per_sync(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.apply(*SEED)
    world.by_hand("POST", "/cluster/sdn/ipams", ipam="nb1", type="netbox", url="https://n/api", token=TOKEN)
    world.by_hand("POST", "/cluster/sdn/dns", dns="ns1", type="powerdns", url="http://d", key=TOKEN)
    await world.settle()
    assert ("GET", "/cluster/sdn/ipams", 200) in world.calls, "Proxmox lists pve there"
    found = unmanaged(world)
    assert (found["count"], found["ipams"], found["dnsServers"]) == (3, 1, 1)
    assert found["names"] == ["dns ns1", "fabric Fabric1", "ipam nb1 (netbox)"]
    assert TOKEN not in str(world.kube.objects)

    world.by_hand("DELETE", "/cluster/sdn/dns/ns1")
    world.calls.clear()
    await world.settle()
    assert not [path for _, path, _ in world.calls if path in ("/cluster/sdn/ipams", "/cluster/sdn/dns")]
    monkeypatch.setattr(reader, "_REACH_SECONDS", 0.0)
    await world.settle()
    assert "dns ns1" not in unmanaged(world)["names"]


async def test_an_ipam_object_takes_it_off_the_list_and_is_read_as_it_is_now() -> None:
    world = await served()
    await world.settle()
    assert unmanaged(world)["ipams"] == 0
    world.by_hand("POST", "/cluster/sdn/ipams", ipam="nb2", type="netbox", url="https://n/api", token=TOKEN)
    await world.settle()
    assert "ipam nb2 (netbox)" in unmanaged(world)["names"]


async def test_services_that_may_not_be_listed_are_left_out() -> None:
    world = World()
    world.apply(*SEED)
    world.by_hand("POST", "/cluster/sdn/ipams", ipam="nb1", type="netbox", url="https://n/api", token=TOKEN)
    world.refuse("GET", "/cluster/sdn/ipams", "Permission check failed", status=403)
    await world.settle()
    assert unmanaged(world)["names"] == ["fabric Fabric1"]


async def test_an_object_that_stands_for_it_takes_it_off_the_list() -> None:
    world = await programmed()
    foreign(world)
    world.apply(vnet("theirs", 5009, managementPolicy="ObserveOnly"))  # its zone lets the namespace adopt nothing
    await world.settle_or_wait()
    assert "vnet theirs" in unmanaged(world)["names"]
    world.kube.delete(NET1)
    world.apply(cluster(managementPolicy="ObserveOnly"))
    await world.settle_or_wait()
    assert "vnet net1" in unmanaged(world)["names"]


async def test_many_are_counted_and_some_are_named() -> None:
    world = await programmed()
    world.by_hand("POST", "/cluster/sdn/zones", zone="lan", type="simple")
    for number in range(80):
        world.by_hand("POST", "/cluster/sdn/vnets", vnet=f"v{number}", zone="lan")
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle()
    found = unmanaged(world)
    assert (found["count"], len(found["names"]), found["truncated"]) == (82, 64, 18)
