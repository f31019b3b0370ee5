"""``status.unmanaged``: controllers, zones and VNets that are in Proxmox and in no object."""

from __future__ import annotations

from typing import Any

from tests.engine.world import CLUSTER, NET1, World, cluster, programmed, vnet


def unmanaged(world: World) -> dict[str, Any]:
    return dict(world.kube.status(CLUSTER).get("unmanaged") or {})


def foreign(world: World) -> None:
    """A zone of another type with a VNet, and a VNet in the operator's zone, made and applied by another client."""
    world.by_hand("POST", "/cluster/sdn/zones", zone="lan", type="simple")
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="lan1", zone="lan")
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="theirs", zone="zone1", tag="5009")
    world.by_hand("PUT", "/cluster/sdn")


async def test_nothing_is_said_where_everything_has_an_object() -> None:
    world = await programmed()
    assert unmanaged(world) == {}


async def test_what_has_no_object_is_counted_and_named_and_costs_no_call_and_no_write() -> None:
    world = await programmed()
    await world.settle()
    before = len(world.calls)
    await world.one_pass()
    calls = len(world.calls) - before
    foreign(world)
    await world.settle()
    assert unmanaged(world) == {
        "count": 3,
        "controllers": 0,
        "zones": 1,
        "vnets": 2,
        "names": ["vnet lan1", "vnet theirs", "zone lan (simple)"],
    }
    world.kube.writes.clear()
    before = len(world.calls)
    await world.one_pass()
    assert world.kube.writes == []
    assert len(world.calls) - before <= calls + 2, "the subnets of two more VNets"


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
    assert (found["count"], len(found["names"]), found["truncated"]) == (81, 64, 17)
