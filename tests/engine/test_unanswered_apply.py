"""An apply that Proxmox commits and answers with an error: every node loads what is committed, and nothing is lost."""

from __future__ import annotations

import pytest

from pve_evpn.engine.reload import PATIENCE
from pve_lab.faults import ApplyWithoutWorker
from tests.engine.world import NET1, SEED, Killed, World, key, programmed, vnet

GOOD = vnet("good", 5002)


def loaded(world: World) -> bool:
    """Whether every node has loaded the newest configuration."""
    return {node.applied_version for node in world.lab.nodes.values()} == {world.lab.sdn.version}


async def test_the_apply_is_sent_again_and_nothing_is_taken_back() -> None:
    world = await programmed()
    world.lab.faults.add(ApplyWithoutWorker(times=1))
    world.apply(GOOD)
    await world.one_pass()
    assert loaded(world)
    assert world.lab.applies == 3
    assert world.complaints() == []
    assert any("got no worker upid" in message for message in world.events("Applied"))


@pytest.mark.parametrize("times", [1, 2])
async def test_what_was_deleted_is_gone_from_the_nodes_too(times: int) -> None:
    world = await programmed()
    world.lab.faults.add(ApplyWithoutWorker(times=times))
    for document in SEED[1:]:
        world.kube.delete(key(document))
    await world.settle()
    assert not any(world.lab.sdn.running.values())
    assert [k.name for k in world.kube.objects if k.kind != "EvpnNode"] == ["pve"]
    for _ in range(3):
        await world.one_pass()
    assert loaded(world)
    assert world.complaints() == []


async def test_nodes_are_reloaded_one_by_one_where_proxmox_starts_no_worker_for_all() -> None:
    world = await programmed()
    fault = world.lab.faults.add(ApplyWithoutWorker())
    world.apply(GOOD)
    await world.one_pass()
    assert not loaded(world)
    assert world.programmed()[0] == "PartiallyApplied"
    assert "it started no reload" in world.programmed()[1]
    for _ in range(3):
        await world.one_pass()
    assert loaded(world)
    assert world.programmed()[0] == "Programmed"
    assert world.lab.applies == 3
    world.lab.faults.remove(fault)


async def test_a_crash_after_the_answer_leaves_no_node_behind() -> None:
    world = await programmed()
    world.lab.faults.add(ApplyWithoutWorker(times=1))
    world.kube.delete(NET1)

    def die(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("after", "PUT", "/cluster/sdn"):
            world.interrupt = lambda *_: None
            world.die()
            raise Killed

    world.interrupt = die
    assert await world.run_until_killed()
    assert not loaded(world)
    await world.settle()
    assert NET1 not in world.kube.objects
    for _ in range(3):  # the nodes may be loading at this moment, so each is reloaded at an interval after that only
        world.now += PATIENCE
        await world.one_pass()
    assert loaded(world)
    assert world.complaints() == []
