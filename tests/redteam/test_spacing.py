"""The users of one namespace who edit all day: every apply makes all nodes reload, so applies are spaced."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from tests.engine.test_nics import Wired, nic
from tests.engine.world import CLUSTER, NET1, World, cluster, document, programmed, vnet

pytestmark = pytest.mark.redteam

OTHER = ObjectKey("VNet", "other", "net2")
NIC = ObjectKey("NicAttachment", "default", "n500-net0")


async def edit(world: World, count: int, every: float) -> None:
    """So many edits of one tenant's VNet, one after ``every`` seconds; each wakes the operator."""
    for number in range(count):
        alias = f"edit{len(world.calls)}n{number}"
        world.apply(vnet("net1", 5001, "10.1.0.0/24", alias=alias))
        await world.one_pass()
        world.now += timedelta(seconds=every)


def of_another_namespace(**spec: Any) -> dict[str, Any]:
    made = document("VNet", "net2", {"zoneRef": {"name": "zone1"}, "vni": 5002, **spec})
    made["metadata"]["namespace"] = "other"
    return made


async def churned(**apply: Any) -> World:
    """98 edits in 40 seconds, the last of which wait."""
    world = await programmed(**({"apply": apply} if apply else {}))
    world.kube.namespaces["other"] = {}
    await edit(world, 98, 40 / 98)
    return world


async def test_98_edits_in_40_seconds_are_a_handful_of_applies() -> None:
    world = await churned()
    assert 2 <= world.lab.applies <= 7
    reason, message = world.programmed(NET1)
    assert reason == "AppliesSpaced"
    next_apply = world.kube.status(CLUSTER)["lastTransaction"]["nextApplyAfter"]
    assert f"waits for the next apply at {next_apply}:" in message
    assert world.programmed() == (reason, message)
    await world.settle()
    assert world.complaints() == []
    assert world.lab.sdn.running["vnets"]["net1"]["alias"].endswith("n97")


async def test_who_goes_on_gets_one_apply_a_minute() -> None:
    world = await churned()
    before = world.lab.applies
    await edit(world, 300, 2)
    assert 8 <= world.lab.applies - before <= 11


async def test_nobody_else_waits_and_their_apply_takes_along_what_waits() -> None:
    world = await churned()
    before = world.lab.applies
    world.apply(of_another_namespace())
    await world.one_pass()
    assert world.lab.applies == before + 1
    assert world.ready(OTHER)["status"] == world.ready(NET1)["status"] == "True"


async def test_a_restart_does_not_begin_anew() -> None:
    world = await churned()
    before = world.lab.applies
    for _ in range(4):
        world.die()
        world.start()
        await edit(world, 2, 0.5)
    assert world.lab.applies == before
    assert world.programmed(NET1)[0] == "AppliesSpaced"


async def test_after_a_quiet_time_an_apply_is_immediate() -> None:
    world = await churned()
    await world.settle()
    world.now += timedelta(minutes=10)
    before = world.lab.applies
    await edit(world, 4, 1)
    assert world.lab.applies == before + 4


async def test_the_operator_wakes_when_the_time_has_come() -> None:
    world = await churned()
    due = world.kube.status(CLUSTER)["lastTransaction"]["nextApplyAfter"]
    before = world.lab.applies
    for _ in range(30):
        wait = await world.one_pass()
        if world.lab.applies > before:
            break
        world.now += timedelta(seconds=wait)
    late = world.now - datetime.fromisoformat(due)
    assert timedelta(0) < late < timedelta(seconds=1)


async def test_what_was_interrupted_is_not_put_off() -> None:
    world = await churned()
    world.kube.journal["pve"] = replace(world.kube.journal["pve"], dirty=True)
    before = world.lab.applies
    await world.one_pass()
    assert world.lab.applies == before + 1


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=400)])
async def test_a_clock_that_is_set_back_stops_no_apply(back: timedelta) -> None:
    world = await churned()
    world.now -= back
    before = world.lab.applies
    await world.one_pass()
    assert world.lab.applies == before + 1


async def test_changes_that_proxmox_refuses_count_too() -> None:
    """Each of them takes the lock, stages and unstages."""
    world = await programmed()
    world.refuse("PUT", ".*/vnets/net1", "no")
    await edit(world, 98, 40 / 98)
    locks = [path for method, path in world.writes() if path == "/cluster/sdn/lock"]
    assert len(locks) <= 20


async def test_zero_means_never() -> None:
    world = await programmed(apply={"minIntervalSeconds": 0})
    await edit(world, 20, 0.4)
    assert world.lab.applies == 21


async def test_an_edited_interval_counts_at_once() -> None:
    world = await churned()
    before = world.lab.applies
    world.apply(cluster(apply={"minIntervalSeconds": 0}))
    await world.one_pass()
    assert world.lab.applies == before + 1


# --- guests and firewalls, which no apply publishes ---------------------------------------------------------------


async def wired(**apply: Any) -> Wired:
    """Two attached NICs, of guests 500 and 600."""
    world = Wired(**({"apply": apply} if apply else {}))
    world.apply(nic(500), nic(600))
    await world.settle()
    assert world.complaints() == []
    world.calls.clear()
    return world


async def flip(world: Wired, count: int, every: float = 1.0) -> None:
    """So many edits of the NIC of guest 500, one after ``every`` seconds."""
    for number in range(count):
        world.apply(nic(500, rateLimitMBps=number + 1))
        await world.one_pass()
        world.now += timedelta(seconds=every)


async def test_a_nic_that_is_edited_every_second_is_a_handful_of_writes() -> None:
    world = await wired()
    await flip(world, 60)
    assert 5 <= len(world.guest_writes()) <= 8
    status, reason, message = world.programmed(NIC)
    assert (status, reason) == ("False", "AppliesSpaced")
    assert "waits for the next write at 2026-" in message
    before = len(world.guest_writes())
    await flip(world, 300, 2)
    assert 8 <= len(world.guest_writes()) - before <= 11, "one a minute"
    await world.settle()
    assert world.complaints() == []
    assert "rate=300" in world.vm.config["net0"], "the last one"


async def test_another_nic_waits_for_nothing_and_a_deleted_one_goes_at_once() -> None:
    world = await wired()
    await flip(world, 20)
    before = len(world.guest_writes())
    world.apply(nic(600, linkDown=True))
    await world.one_pass()
    assert len(world.guest_writes()) == before + 1
    world.kube.delete(NIC)
    await world.settle()
    assert NIC not in world.kube.objects
    assert world.bridges()["net0"] != "net1"


async def test_after_a_quiet_time_a_nic_is_written_at_once_and_zero_means_never() -> None:
    world = await wired()
    await flip(world, 20)
    await world.settle()
    world.now += timedelta(minutes=10)
    before = len(world.guest_writes())
    await flip(world, 4)
    assert len(world.guest_writes()) == before + 4
    plain = await wired(minIntervalSeconds=0)
    await flip(plain, 20)
    assert len(plain.guest_writes()) == 20


async def test_a_client_that_fights_over_a_nic_is_answered_once_a_minute() -> None:
    world = await wired()
    for _ in range(120):
        world.vm.config["net0"] = world.vm.config["net0"].replace("bridge=net1", "bridge=vmbr0")
        await world.one_pass()
        world.now += timedelta(seconds=5)
    assert len(world.guest_writes()) <= 16


async def test_a_firewall_that_is_edited_every_second_is_a_handful_of_writes() -> None:
    world = await programmed(vnet("net1", 5001, "10.1.0.0/24", firewall={"enabled": True}))
    world.calls.clear()
    for number in range(60):
        rule = {"action": "ACCEPT", "proto": "tcp", "dport": str(1000 + number)}
        world.apply(vnet("net1", 5001, "10.1.0.0/24", firewall={"enabled": True, "rules": [rule]}))
        await world.one_pass()
        world.now += timedelta(seconds=1)
    inserted = [path for method, path in world.writes() if method == "POST" and "/firewall/" in path]
    assert 5 <= len(inserted) <= 8
    assert world.programmed(NET1)[0] == "AppliesSpaced"
    world.now += timedelta(minutes=2)
    await world.settle()
    assert world.complaints() == []
    assert [rule["dport"] for rule in world.lab.firewalls["net1"].rules] == ["1059"]
