"""Transactions: what they cost, what stops them, what they leave."""

from __future__ import annotations

import logging

import pytest

from tests.engine.world import CLUSTER, SEED, World, key, programmed, vnet


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


async def test_what_was_changed_is_named_in_the_status_the_event_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    logging.getLogger("pve_evpn").setLevel(logging.INFO)
    world.apply(*SEED)
    await world.settle()
    steps = world.kube.status(CLUSTER)["lastTransaction"]["steps"]
    assert steps == [
        "create controller evpn1",
        "create zone zone1",
        "create vnet net1",
        "create subnet zone1-10.1.0.0-24 in vnet net1",
    ]
    assert "create controller evpn1; create zone zone1" in world.events("Applied")[-1]
    assert any("create subnet zone1-10.1.0.0-24" in line for line in caplog.messages)
    assert "VNet default/net1: Ready is True, Ready" in caplog.messages


@pytest.mark.parametrize(("value", "pauses"), [("true", True), ("", True), ("yes", True), ("false", False)])
async def test_every_value_but_false_pauses(value: str, pauses: bool) -> None:
    world = await programmed()
    document = vnet("net2", 5002)
    document["metadata"]["annotations"] = {"pve-evpn.dev/paused": value}
    key = world.apply(document)[0]
    await world.settle_or_wait()
    assert (world.kube.condition(key, "Paused")["status"] == "True") is pauses
    assert ("net2" in world.lab.sdn.running["vnets"]) is not pauses
