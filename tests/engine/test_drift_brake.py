"""Another tool writes other values again and again: each field is written back less and less often, and says so."""

from __future__ import annotations

from datetime import timedelta

from pve_lab.faults import OutOfBandEdit
from tests.engine.world import NET1, ZONE, World, cluster, programmed, vnet

STEP = timedelta(seconds=5)


async def fight(world: World, minutes: int, edit: str = "alias=theirs") -> int:
    """Another tool that writes its value whenever it is not there; the applies of the operator meanwhile."""
    name, _, value = edit.partition("=")
    theirs = 0
    before = world.lab.applies
    for _ in range(minutes * 12):
        if world.lab.sdn.running["vnets"]["net1"].get(name) != value:
            world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set=edit))
            theirs += 1
        await world.one_pass()
        world.now += STEP
    return world.lab.applies - before - theirs


async def test_a_fight_costs_few_applies_and_is_named_with_who_does_it() -> None:
    world = await programmed()
    assert await fight(world, minutes=20) <= 7
    drifted = world.kube.condition(NET1, "Drifted")
    assert (drifted["status"], drifted["reason"]) == ("True", "DriftFight")
    assert "alias is theirs, specified default/net1" in drifted["message"]
    (row,) = world.kube.status(ZONE)["vnetProblems"]
    assert "root@pam" in row["message"]
    assert "UPID:" in row["message"]
    assert world.ready(NET1)["reason"] == "DriftFight"
    assert len(world.events("DriftFight")) <= 4


async def test_a_restart_does_not_begin_a_fight_anew() -> None:
    world = await programmed()
    await fight(world, minutes=5)
    before = len(world.events("DriftFight"))
    applies = 0
    for _ in range(5):
        world.start()
        applies += await fight(world, minutes=1)
    assert applies <= 2
    assert world.ready(NET1)["reason"] == "DriftFight"
    assert len(world.events("DriftFight")) - before <= applies, "each correction begins another one, a restart does not"


async def test_a_network_at_rest_writes_no_journal() -> None:
    world = await programmed()
    await fight(world, minutes=1)
    world.now += timedelta(hours=3)
    await world.settle()
    entry = world.kube.journal["pve"]
    await world.one_pass()
    assert world.kube.journal["pve"] is entry


async def test_one_object_in_a_fight_holds_up_no_other() -> None:
    world = await programmed()
    await fight(world, minutes=5)
    world.apply(vnet("net2", 5002))
    for _ in range(3):
        await world.one_pass()
    assert world.lab.sdn.running["vnets"]["net2"]["tag"] == 5002


async def test_it_ends_when_the_other_client_stops() -> None:
    world = await programmed()
    await fight(world, minutes=5)
    world.now += timedelta(hours=1)
    await world.settle()
    assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "default/net1"
    assert world.complaints() == []
    assert world.kube.condition(NET1, "Drifted")["status"] == "False"


async def test_it_ends_when_the_spec_takes_the_value_over() -> None:
    world = await programmed()
    await fight(world, minutes=5)
    world.apply(vnet("net1", 5001, "10.1.0.0/24", alias="theirs"))
    await world.settle()
    assert world.complaints() == []


async def test_drift_that_is_only_reported_is_no_fight() -> None:
    world = await programmed(drift="Report")
    assert await fight(world, minutes=2) == 0
    assert world.kube.condition(NET1, "Drifted")["reason"] == "FieldsDiffer"
    world.apply(cluster(drift="Correct"))
    await world.settle()
    assert world.complaints() == []


# --- the firewall of a VNet, which no apply publishes -------------------------------------------------------------

RULES = "/cluster/sdn/vnets/net1/firewall/rules"


async def guarded(**spec: object) -> World:
    """The seed with one firewall rule."""
    return await programmed(vnet("net1", 5001, "10.1.0.0/24", firewall=FIREWALL), **spec)


FIREWALL = {"enabled": True, "rules": [{"action": "ACCEPT", "proto": "tcp", "dport": "443"}]}


async def fight_over_the_firewall(world: World, minutes: int) -> int:
    """Another client that adds a rule whenever there is only the operator's; how often the operator removed it."""
    theirs = 0
    for _ in range(minutes * 12):
        if len(world.lab.firewalls["net1"].rules) == 1:
            world.by_hand("POST", RULES, type="forward", action="DROP", enable=1)
            theirs += 1
        await world.one_pass()
        world.now += STEP
    return theirs - (len(world.lab.firewalls["net1"].rules) > 1)


async def test_a_fight_over_a_firewall_costs_few_writes_and_is_named() -> None:
    world = await guarded()
    assert await fight_over_the_firewall(world, minutes=20) <= 7
    drifted = world.kube.condition(NET1, "Drifted")
    assert (drifted["status"], drifted["reason"]) == ("True", "DriftFight")
    assert "another client writes another value again and again: firewall" in drifted["message"]
    assert world.ready(NET1)["reason"] == "DriftFight"
    assert 1 <= len(world.events("DriftFight")) <= 5


async def test_a_restart_does_not_begin_a_fight_over_a_firewall_anew() -> None:
    world = await guarded()
    await fight_over_the_firewall(world, minutes=5)
    removed = 0
    for _ in range(5):
        world.start()
        removed += await fight_over_the_firewall(world, minutes=1)
    assert removed <= 2
    assert world.ready(NET1)["reason"] == "DriftFight"


async def test_a_fight_over_a_firewall_ends_when_the_other_client_stops_and_holds_up_nothing_else() -> None:
    world = await guarded()
    await fight_over_the_firewall(world, minutes=5)
    world.apply(vnet("net2", 5002))
    for _ in range(3):
        await world.one_pass()
    assert world.lab.sdn.running["vnets"]["net2"]["tag"] == 5002
    world.now += timedelta(hours=1)
    await world.settle()
    assert [rule["dport"] for rule in world.lab.firewalls["net1"].rules] == ["443"]
    assert world.complaints() == []
    world.now += timedelta(hours=3)
    assert await fight_over_the_firewall(world, minutes=1) == 1, "at once again, then the brake"


async def test_a_users_edit_ends_a_fight_over_a_firewall() -> None:
    world = await guarded()
    await fight_over_the_firewall(world, minutes=5)
    world.apply(vnet("net1", 5001, "10.1.0.0/24", firewall={"enabled": True, "rules": []}))
    await world.settle()
    assert world.lab.firewalls["net1"].rules == []
    assert world.complaints() == []
