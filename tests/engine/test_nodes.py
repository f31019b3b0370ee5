"""What each node made of an apply: told per node, caught up alone, and never by another apply."""

from __future__ import annotations

from datetime import timedelta

from pve_lab.faults import HostEdit, NodeHangs, NodeOffline, ReloadFails, ReloadWarns
from tests.engine.world import CLUSTER, ZONE, World, programmed, vnet

NEW = vnet("net2", 5002)


def row(world: World, node: str) -> dict:
    return next(r for r in world.kube.status(CLUSTER)["nodes"] if r["name"] == node)


def reloads(world: World) -> list[str]:
    return [path for method, path in world.writes() if method == "PUT" and path.endswith("/network")]


async def test_a_node_that_is_offline_is_named_and_reloaded_alone_when_it_returns() -> None:
    world = await programmed()
    fault = world.lab.faults.add(NodeOffline(node="pve3"))
    world.apply(NEW)
    await world.settle()
    reason, message = world.programmed()
    assert (reason, "pve3: offline" in message) == ("PartiallyApplied", True)
    assert row(world, "pve3")["programmed"] is False
    assert row(world, "pve1")["programmed"] is True
    for _ in range(5):  # a state, not a loop
        world.now += timedelta(seconds=15)
        await world.settle()
    assert (world.lab.applies, reloads(world)) == (2, [])

    world.lab.faults.remove(fault)
    await world.settle()
    assert world.complaints() == []
    assert reloads(world) == ["/nodes/pve3/network"]
    assert world.lab.applies == 2
    assert world.lab.nodes["pve3"].applied_version == world.lab.sdn.version
    assert world.events("NodeCaughtUp") == ["pve3 has loaded what it had missed"]


async def test_a_node_whose_reload_fails_is_tried_again_alone_and_less_and_less_often() -> None:
    world = await programmed()
    fault = world.lab.faults.add(ReloadFails(node="pve2"))
    world.apply(NEW)
    await world.settle()
    reason, message = world.programmed()
    assert reason == "PartiallyApplied"
    assert "pve2: its reload failed: command 'ifreload -a' failed: exit code 1" in message
    assert "pve2" in world.programmed(ZONE)[1]
    for _ in range(40):  # ten minutes
        world.now += timedelta(seconds=15)
        await world.settle()
    assert 3 <= len(reloads(world)) <= 7
    assert world.lab.applies == 2
    world.lab.faults.remove(fault)
    world.now += timedelta(minutes=20)
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 2


async def test_warnings_of_a_reload_are_shown() -> None:
    world = await programmed()
    world.lab.faults.add(ReloadWarns(node="pve2", times=1))
    world.apply(NEW)
    await world.settle()
    assert world.complaints() == []
    assert "frr reload command fail. Restarting frr." in row(world, "pve2")["message"]
    assert "frr reload command fail" in world.kube.status(CLUSTER)["lastTransaction"]["message"]


async def test_a_node_with_staged_host_network_edits_is_not_caught_up() -> None:
    world = await programmed()
    fault = world.lab.faults.add(NodeOffline(node="pve3"))
    world.apply(NEW)
    await world.settle()
    world.lab.faults.remove(fault)
    edit = world.lab.faults.add(HostEdit(node="pve3"))
    world.now += timedelta(minutes=1)
    await world.settle()
    assert reloads(world) == []
    assert "host-network edits are staged" in row(world, "pve3")["message"]
    world.lab.faults.remove(edit)
    world.now += timedelta(minutes=2)
    await world.settle()
    assert world.complaints() == []


async def test_a_host_network_edit_made_while_another_node_is_caught_up_is_seen() -> None:
    world = await programmed(nodes=6)
    faults = [world.lab.faults.add(NodeOffline(node=node)) for node in ("pve2", "pve3")]
    world.apply(NEW)
    await world.settle_or_wait()
    for fault in faults:
        world.lab.faults.remove(fault)
    world.once("after", "PUT", "/nodes/pve2/network", lambda: world.lab.faults.add(HostEdit(node="pve3")))
    world.now += timedelta(minutes=1)
    await world.one_pass()
    assert [path for path in reloads(world) if "pve3" in str(path)] == []
    assert world.lab.nodes["pve3"].network.changes


async def test_a_token_that_may_not_reload_a_node_says_so() -> None:
    world = await programmed()
    fault = world.lab.faults.add(NodeOffline(node="pve3"))
    world.apply(NEW)
    await world.settle()
    world.lab.faults.remove(fault)
    world.refuse("PUT", "/nodes/pve3/network", "Permission check failed (/nodes/pve3, Sys.Modify)", 403)
    world.now += timedelta(minutes=1)
    await world.settle()
    assert "Sys.Modify" in world.programmed()[1]
    assert world.lab.applies == 2


async def test_a_node_that_somebody_elses_apply_left_behind_is_caught_up_after_a_while() -> None:
    world = await programmed()
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.by_hand("POST", "/cluster/sdn/zones", zone="theirs", type="simple")
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle()
    assert reloads(world) == [], "it may be loading at this moment"
    world.now += timedelta(seconds=30)
    await world.settle()
    assert reloads(world) == ["/nodes/pve2/network"]
    assert world.complaints() == []


async def test_a_node_that_does_not_answer_is_unknown_and_not_failed() -> None:
    world = await programmed()
    fault = world.lab.faults.add(NodeHangs(node="pve3"))
    world.now += timedelta(minutes=1)
    await world.settle()
    assert world.complaints() == []
    rows = {r["name"]: r for r in world.kube.status(ZONE)["nodes"]}
    assert rows["pve3"]["state"] == "Unknown"
    world.lab.faults.remove(fault)
