"""Transactions: what they cost, what stops them, what they leave."""

from __future__ import annotations

from tests.engine.world import SEED, World, key, programmed, vnet


async def test_many_objects_cost_one_apply_and_leave_no_lock() -> None:
    world = World()
    world.apply(*SEED, *(vnet(f"n{n}", 6000 + n, f"10.2.{n}.0/24") for n in range(20)))
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 1
    assert world.lab.sdn.lock is None
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert len(world.lab.sdn.running["subnets"]) == 21


async def test_a_restart_writes_nothing() -> None:
    world = await programmed()
    writes, patches = world.writes(), len(world.kube.writes)
    world.start()
    await world.settle()
    assert world.writes() == writes
    assert world.kube.writes[patches:] == []


async def test_everything_is_deleted_with_one_apply_whatever_the_order() -> None:
    world = await programmed()
    for doc in SEED:
        world.kube.delete(key(doc))
    await world.settle()
    assert world.kube.objects == {}
    assert world.lab.applies == 2
    assert not any(world.lab.sdn.edited.values())
    assert world.lab.sdn.lock is None
