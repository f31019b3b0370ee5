"""Who may say when: approvals, windows, and deletions that need a word of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pve_lab.faults import CfsLockBusy, ForeignChange, OutOfBandEdit
from tests.engine.test_foreign import Reply
from tests.engine.test_lock import _die_at
from tests.engine.world import CLUSTER, NET1, SEED, ZONE, World, cluster, programmed, vnet, zone

MANUAL = {"apply": {"policy": "Manual"}}
GOOD = vnet("good", 5004, "10.4.0.0/24")
APPROVED = "pve-evpn.dev/approved-plan"


def nightly(minutes: int = 60, zone_: str = "Europe/Vienna", schedule: str = "0 22 * * *") -> dict:
    window = {"schedule": schedule, "timeZone": zone_, "durationMinutes": minutes}
    return {"apply": {"policy": "Window", "windows": [window]}}


async def approve(world: World, hash_: str = "") -> None:
    hash_ = hash_ or world.kube.status(CLUSTER)["pendingPlan"]["hash"]
    world.kube.annotate(CLUSTER, APPROVED, hash_)
    await world.settle_or_wait()


async def manual_world() -> World:
    world = await programmed()
    world.apply(cluster(**MANUAL))
    await world.settle()
    return world


async def test_a_manual_plan_is_shown_and_applied_once_its_hash_is_approved() -> None:
    world = await manual_world()
    good = world.apply(GOOD, zone(mtu=1400))[0]
    await world.settle_or_wait()
    plan = world.kube.status(CLUSTER)["pendingPlan"]
    assert plan["summary"] == [
        "update zone zone1: mtu unset -> 1400",
        "create vnet good",
        "create subnet zone1-10.4.0.0-24 in vnet good",
    ]
    assert plan["destructive"] is False
    reason, message = world.programmed(good)
    assert reason == "AwaitingApproval"
    assert "ProxmoxCluster pve" in message
    command = f"kubectl annotate proxmoxcluster pve {APPROVED}={plan['hash']} --overwrite"
    assert all(command in world.programmed(key)[1] for key in (CLUSTER, ZONE))
    assert world.lab.applies == 1
    await approve(world, "0" * 16)
    assert world.lab.applies == 1
    await approve(world, plan["hash"])
    assert world.complaints() == []
    assert world.lab.applies == 2
    assert "pendingPlan" not in world.kube.status(CLUSTER)


async def test_an_approval_is_for_that_plan_and_no_other() -> None:
    world = await manual_world()
    world.apply(GOOD)
    await world.settle_or_wait()
    hash_ = world.kube.status(CLUSTER)["pendingPlan"]["hash"]
    world.apply(vnet("more", 5009))
    await approve(world, hash_)
    assert world.lab.applies == 1
    assert world.kube.status(CLUSTER)["pendingPlan"]["hash"] != hash_


async def test_a_crash_in_the_middle_of_an_approved_plan_keeps_the_approval() -> None:
    world = await manual_world()
    world.apply(GOOD)
    await world.settle_or_wait()
    world.kube.annotate(CLUSTER, APPROVED, world.kube.status(CLUSTER)["pendingPlan"]["hash"])
    world.interrupt = _die_at(world, "POST", "/cluster/sdn/vnets/good/subnets")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    world.start()
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 2


async def test_an_approval_counts_once_and_not_for_the_next_object_of_that_name() -> None:
    world = await programmed(apply={"destructive": "Manual"})
    world.kube.delete(NET1)
    await world.settle_or_wait()
    await approve(world)
    assert NET1 not in world.kube.objects
    world.now += timedelta(days=60)
    world.apply(vnet("net1", 5001, "10.1.0.0/24"))
    await world.settle()
    world.kube.delete(NET1)
    await world.settle_or_wait()
    assert world.programmed(NET1)[0] == "AwaitingApproval"
    assert "net1" in world.lab.sdn.running["vnets"]
    await approve(world)
    assert NET1 not in world.kube.objects


async def test_an_approved_change_that_comes_up_again_has_another_hash() -> None:
    """Somebody sets the value back by hand, twice: the object and its spec are the same, and so are the steps."""
    world = await manual_world()
    hashes = set()
    for _ in range(3):
        world.now += timedelta(minutes=15)  # the operator corrects the same field at once only where that is long ago
        world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
        await world.settle_or_wait()
        assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "theirs"
        assert world.programmed()[0] == "AwaitingApproval"
        hashes.add(world.kube.status(CLUSTER)["pendingPlan"]["hash"])
        await approve(world)
        assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "default/net1"
        world.start()  # it is remembered beyond a restart
        await world.settle()
    assert len(hashes) == 3


async def test_an_approval_that_was_never_used_is_not_for_a_later_edit_to_the_same_effect() -> None:
    world = await manual_world()
    world.apply(zone(mtu=1400))
    await world.settle_or_wait()
    hash_ = world.kube.status(CLUSTER)["pendingPlan"]["hash"]
    world.apply(zone())
    await approve(world, hash_)
    world.apply(zone(mtu=1400))
    await world.settle_or_wait()
    assert world.programmed()[0] == "AwaitingApproval"
    assert "mtu" not in world.lab.sdn.running["zones"]["zone1"]


@pytest.mark.parametrize(
    ("when", "method", "path"),
    [
        ("before", "POST", "/cluster/sdn/vnets"),
        ("after", "POST", "/cluster/sdn/vnets/good/subnets"),
        ("before", "PUT", "/cluster/sdn"),
        ("after", "PUT", "/cluster/sdn"),
        ("before", "DELETE", "/cluster/sdn/lock"),
        ("after", "DELETE", "/cluster/sdn/lock"),
    ],
)
async def test_a_crash_in_an_approved_plan_neither_loses_the_approval_nor_leaves_it_for_another_time(
    when: str, method: str, path: str
) -> None:
    world = await manual_world()
    world.apply(vnet("net1", 5001, "10.1.0.0/24", alias="ours"), GOOD)
    await world.settle_or_wait()
    approved = world.kube.status(CLUSTER)["pendingPlan"]["hash"]
    world.kube.annotate(CLUSTER, APPROVED, approved)
    world.interrupt = _die_at(world, method, path, when)
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    world.start()
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 2
    entry = world.kube.journal["pve"]
    assert (entry.consumed_approval, entry.approval) == (approved, "")


async def test_an_approval_stays_where_proxmox_refuses_for_a_moment() -> None:
    world = await manual_world()
    world.apply(GOOD)
    await world.settle_or_wait()
    world.lab.faults.add(CfsLockBusy(method="POST", path="/cluster/sdn/vnets/good/subnets", times=1))
    world.refuse("PUT", "/cluster/sdn", "could not commit SDN config: no", times=1)
    world.kube.annotate(CLUSTER, APPROVED, world.kube.status(CLUSTER)["pendingPlan"]["hash"])
    await world.settle()
    assert world.complaints() == []


async def test_with_destructive_manual_the_rest_goes_ahead_and_only_the_deletion_waits() -> None:
    world = await programmed(apply={"destructive": "Manual"})
    world.kube.delete(NET1)
    good = world.apply(GOOD)[0]
    await world.settle_or_wait()
    assert world.ready(good)["status"] == "True"
    assert "net1" in world.lab.sdn.running["vnets"]
    plan = world.kube.status(CLUSTER)["pendingPlan"]
    assert plan["destructive"] is True
    assert plan["summary"] == ["delete subnet zone1-10.1.0.0-24", "delete vnet net1"]
    assert world.programmed(NET1)[0] == "AwaitingApproval"
    await approve(world)
    assert NET1 not in world.kube.objects
    assert "net1" not in world.lab.sdn.running["vnets"]
    assert world.complaints() == []


async def test_an_approval_of_a_deletion_survives_other_changes() -> None:
    world = await programmed(apply={"destructive": "Manual"})
    world.kube.delete(NET1)
    await world.settle_or_wait()
    hash_ = world.kube.status(CLUSTER)["pendingPlan"]["hash"]
    world.apply(GOOD, zone(mtu=1400))
    await world.settle_or_wait()
    assert world.kube.status(CLUSTER)["pendingPlan"]["hash"] == hash_


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        (datetime(2026, 1, 5, 20, 59, tzinfo=UTC), False),  # 21:59 in Vienna
        (datetime(2026, 1, 5, 21, 0, tzinfo=UTC), True),
        (datetime(2026, 1, 5, 21, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 5, 22, 0, tzinfo=UTC), False),
        (datetime(2026, 7, 5, 20, 0, tzinfo=UTC), True),  # summer time
        (datetime(2026, 7, 5, 21, 0, tzinfo=UTC), False),
    ],
)
async def test_a_window_opens_and_closes_by_the_clock_of_its_zone(moment: datetime, opens: bool) -> None:
    world = await programmed()
    world.apply(cluster(**nightly()))
    world.now = moment
    world.apply(GOOD)
    await world.one_pass()
    assert (world.lab.applies == 2) is opens
    if not opens:
        assert world.programmed()[0] == "OutsideWindow"
        assert "22:00 Europe/Vienna" in world.programmed()[1]


async def test_a_window_over_a_clock_change_lasts_as_long_as_it_says() -> None:
    """On 2026-10-25 in Vienna 03:00 becomes 02:00 again: two hours from 01:30 end at 02:30 the second time."""
    world = await programmed()
    world.apply(cluster(**nightly(minutes=120, schedule="30 1 * * *")), GOOD)
    world.now = datetime(2026, 10, 25, 1, 29, tzinfo=UTC)
    await world.one_pass()
    assert world.lab.applies == 2
    world.apply(vnet("late", 5010))
    world.now = datetime(2026, 10, 25, 1, 31, tzinfo=UTC)
    await world.one_pass()
    assert world.programmed()[0] == "OutsideWindow"


async def test_outside_of_the_window_an_approval_lets_the_plan_through() -> None:
    world = await programmed()
    world.apply(cluster(**nightly()), GOOD)
    await world.settle_or_wait()
    assert world.programmed()[0] == "OutsideWindow"
    await approve(world)
    assert world.complaints() == []


@pytest.mark.parametrize("field", [{"zone_": "Europe/Nowhere"}, {"schedule": "0 0 30 2 *"}])
async def test_a_window_that_cannot_be_is_named_and_stops_only_writing(field: dict) -> None:
    world = await programmed()
    world.apply(cluster(**nightly(**field)), GOOD)
    await world.settle_or_wait()
    ready = world.ready(CLUSTER)
    assert ready["status"] == "False"
    assert next(iter(field.values())) in ready["message"]
    assert world.lab.applies == 1


async def test_what_an_interrupted_run_staged_is_taken_back_when_it_may_not_go_live() -> None:
    """The window closes, or somebody else stages a change, between a crash and the restart."""
    world = await programmed()
    world.apply(GOOD, zone(mtu=1400))
    world.interrupt = _die_at(world, "POST", "/cluster/sdn/vnets/good/subnets")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    assert world.lab.sdn.edited["zones"]["zone1"]["mtu"] == 1400
    world.apply(cluster(**nightly()))
    world.start()
    await world.settle_or_wait()
    assert world.programmed()[0] == "OutsideWindow"
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.sdn.lock is None
    assert len(world.kube.status(CLUSTER)["pendingPlan"]["summary"]) == 3
    world.now = datetime(2026, 1, 5, 21, 30, tzinfo=UTC)
    await world.settle()
    assert world.complaints() == []


async def test_our_half_is_taken_back_and_the_others_is_left_alone() -> None:
    world = await programmed()
    world.apply(GOOD)
    world.interrupt = _die_at(world, "POST", "/cluster/sdn/vnets/good/subnets")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    fault = world.lab.faults.add(ForeignChange(object="zones/alien"))
    world.start()
    await world.settle_or_wait()
    assert world.programmed()[0] == "ForeignPendingChanges"
    assert "good" not in world.lab.sdn.edited["vnets"]
    assert "alien" in world.lab.sdn.edited["zones"]
    world.lab.faults.remove(fault)
    world.now += timedelta(minutes=1)
    await world.settle()
    assert world.complaints() == []


async def test_disruptive_steps_wait_and_harmless_ones_go_ahead() -> None:
    world = await programmed(apply={"approval": ["disruptive", "destructive"]})
    world.apply(GOOD, zone(mtu=1400))
    await world.settle_or_wait()
    pending = world.kube.status(CLUSTER)["pendingPlan"]
    assert pending["summary"] == ["update zone zone1: mtu unset -> 1400"]
    assert (pending["class"], pending["classes"], pending["destructive"]) == ("disruptive", ["disruptive"], False)
    assert "good" in world.lab.sdn.running["vnets"]
    assert "mtu" not in world.lab.sdn.running["zones"]["zone1"]
    await approve(world)
    assert world.lab.sdn.running["zones"]["zone1"]["mtu"] in (1400, "1400")
    assert world.complaints() == []
    applied = world.events("Applied")
    assert "2 changes applied on every node in 0 s (reload: 2): create" in applied[-2]
    assert "1 change applied on every node in 0 s (disruptive: 1)" in applied[-1]


async def test_credentials_that_may_not_write_are_named_with_the_command_before_the_first_write() -> None:
    world = World()
    held = {"/": {"Sys.Audit": 1}, "/sdn": {"SDN.Audit": 1}, "/nodes": {"Sys.Modify": 1}}
    world.lab.faults.add(Reply(path="/access/permissions", data=held))
    world.apply(*SEED)
    await world.settle_or_wait()
    reason, message = world.programmed(NET1)
    assert reason == "PrivilegesMissing"
    assert "lack SDN.Allocate on /sdn" in message
    assert "pveum acl modify /sdn --users root@pam --roles PveEvpnNetworks" in message
    assert world.kube.condition(CLUSTER, "Authenticated")["reason"] == "PrivilegesMissing"
    assert world.writes() == []
