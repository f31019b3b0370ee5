"""What is taken back: a staging that failed, and, where the user wants it, an apply that left things worse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pve_lab.faults import DropBefore, GatewayError, HostEdit, NodeOffline, ReloadFails
from tests.engine.world import CLUSTER, NET1, ZONE, World, programmed, vnet, zone

REVERT = {"apply": {"onFailure": "Revert"}}
BAD = vnet("bad", 5003)
GOOD = vnet("good", 5004, "10.4.0.0/24")


async def test_a_refused_object_leaves_nothing_pending_and_the_others_go_ahead() -> None:
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/vnets", "create sdn vnet object failed: no", times=1)
    bad, good, _ = world.apply(BAD, GOOD, zone(mtu=1400))
    before = dict(world.lab.sdn.edited["vnets"])
    await world.one_pass()
    assert world.lab.sdn.edited["vnets"] == before
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.sdn.lock is None
    reason, message = world.programmed(bad)
    assert (reason, message) == ("StagingFailed", "Proxmox refused: create vnet bad: create sdn vnet object failed: no")
    await world.one_pass()
    assert world.ready(good)["status"] == "True"
    assert world.lab.sdn.running["zones"]["zone1"]["mtu"] == 1400
    assert world.programmed(bad)[0] == "StagingFailed"
    assert world.events("StagingFailed")
    world.now += timedelta(minutes=1)
    await world.settle()
    assert world.complaints() == [], "it was tried again after a while"


async def test_what_needs_a_refused_object_waits_with_it_and_costs_no_attempts() -> None:
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/zones", "create sdn zone object failed: no")
    world.apply(zone("zone2", vrfVni=100002), vnet("in2", 5005, zoneRef={"name": "zone2"}), GOOD)
    for _ in range(4):
        await world.one_pass()
    posts = [path for method, path, _ in world.calls if method == "POST"]
    assert posts.count("/cluster/sdn/zones/zone2") == 1
    assert posts.count("/cluster/sdn/vnets/in2") == 0
    assert "zone2" in world.programmed(next(k for k in world.kube.objects if k.name == "in2"))[1]
    assert world.lab.sdn.running["vnets"]["good"]


async def test_a_refused_deletion_holds_up_nobody_else() -> None:
    world = await programmed(BAD)
    world.refuse("DELETE", "/cluster/sdn/vnets/bad", "delete sdn vnet object failed: no")
    bad = next(k for k in world.kube.objects if k.name == "bad")
    world.kube.delete(bad)
    world.apply(GOOD)
    for _ in range(4):
        await world.one_pass()
    assert world.lab.sdn.running["vnets"]["good"]
    assert world.programmed(bad)[0] == "StagingFailed"
    assert world.kube.objects[bad]["metadata"]["finalizers"]


async def test_what_could_not_be_taken_back_is_said_and_finished_later() -> None:
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/vnets/good/subnets", "no", times=1)
    world.refuse("DELETE", "/cluster/sdn/vnets/good", "no", times=1)
    world.apply(GOOD)
    await world.one_pass()
    assert "could not be unstaged: delete vnet good: no" in world.events("StagingFailed")[0]
    assert world.kube.journal["pve"].dirty
    world.now += timedelta(minutes=1)
    await world.settle()
    assert world.complaints() == []
    assert world.lab.sdn.edited == world.lab.sdn.running


async def test_a_refused_apply_takes_back_what_was_staged() -> None:
    world = await programmed()
    world.refuse("PUT", "/cluster/sdn", "could not commit SDN config: no", times=1)
    world.apply(GOOD)
    await world.one_pass()
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.programmed()[0] == "ApplyFailed"
    await world.settle()
    assert world.complaints() == []


async def test_losing_leadership_in_the_middle_writes_nothing_more_and_the_next_leader_finishes() -> None:
    world = await programmed()
    world.apply(GOOD)

    def lose(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("after", "POST", "/cluster/sdn/vnets"):
            world.is_leader = False

    world.interrupt = lose
    await world.one_pass()
    assert world.writes()[-1] == ("POST", "/cluster/sdn/vnets/good")
    world.interrupt, world.is_leader = (lambda *_: None), True
    world.start()
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 2
    assert world.lab.sdn.lock is None


# --- after an apply ---------------------------------------------------------------------------------------------


async def test_hold_keeps_a_bad_apply_and_reports_it() -> None:
    world = await programmed()
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.apply(zone(mtu=1400))
    await world.one_pass()
    assert world.programmed()[0] == "PartiallyApplied"
    assert world.lab.sdn.running["zones"]["zone1"]["mtu"] == 1400


async def test_revert_puts_the_previous_values_back_and_applies_once_more() -> None:
    world = await programmed(**REVERT)
    before = world.lab.sdn.running
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.apply(zone(mtu=1400), GOOD)
    await world.one_pass()
    assert world.lab.sdn.running == before
    assert world.lab.sdn.edited == before
    assert world.lab.applies == 3
    assert world.lab.sdn.lock is None
    last = world.kube.status(CLUSTER)["lastTransaction"]
    assert last["outcome"] == "Reverted"
    assert "pve2: its reload failed" in last["message"]
    reason, message = world.programmed(ZONE)
    assert reason == "Reverted"
    assert "reconcile-requested-at" in message
    assert world.kube.condition(ZONE, "Stalled")["reason"] == "Reverted"
    assert world.events("Reverted")


async def test_what_was_reverted_is_not_tried_again_until_somebody_asks() -> None:
    world = await programmed(**REVERT)
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.apply(zone(mtu=1400))
    await world.one_pass()
    for _ in range(3):
        world.start()  # not even after a restart
        world.now += timedelta(hours=1)
        await world.settle()
    assert world.lab.applies == 3
    assert world.programmed(ZONE)[0] == "Reverted"
    world.kube.annotate(ZONE, "pve-evpn.dev/reconcile-requested-at", "now")
    await world.settle()
    assert world.complaints() == []
    assert world.lab.sdn.running["zones"]["zone1"]["mtu"] == 1400


async def test_a_changed_spec_is_tried_at_once_and_others_are_not_held_up() -> None:
    world = await programmed(**REVERT)
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.apply(zone(mtu=1400))
    await world.one_pass()
    good = world.apply(GOOD)[0]
    await world.settle()
    assert world.ready(good)["status"] == "True"
    world.apply(zone(mtu=1401))
    await world.settle()
    assert world.complaints() == []


async def test_what_was_bad_before_is_no_reason_to_revert() -> None:
    world = await programmed(**REVERT)
    world.lab.faults.add(NodeOffline(node="pve3"))
    world.apply(GOOD)
    await world.settle()
    assert world.kube.status(CLUSTER)["lastTransaction"]["outcome"] == "PartiallyApplied"
    assert world.lab.sdn.running["vnets"]["good"]


async def test_a_node_that_returns_meanwhile_is_no_reason_to_revert() -> None:
    """It has not loaded the zone yet, and nobody knew before whether it had it."""
    world = await programmed(**REVERT)
    away = world.lab.faults.add(NodeOffline(node="pve3"))
    world.apply(zone(mtu=1400))
    world.once("after", "PUT", "/cluster/sdn", lambda: world.lab.faults.remove(away))
    await world.one_pass()
    assert world.kube.status(CLUSTER)["lastTransaction"]["outcome"] == "PartiallyApplied"
    assert world.lab.sdn.running["zones"]["zone1"]["mtu"] == 1400


async def test_a_read_that_fails_after_a_bad_apply_does_not_save_it() -> None:
    world = await programmed(**REVERT)
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.apply(zone(mtu=1400))
    world.once(
        "after",
        "PUT",
        "/cluster/sdn",
        lambda: world.lab.faults.add(DropBefore(method="GET", path="/cluster/status", user="tok", times=1)),
    )
    await world.one_pass()
    assert world.kube.status(CLUSTER)["lastTransaction"]["outcome"] == "Reverted"
    assert "mtu" not in world.lab.sdn.running["zones"]["zone1"]


async def test_a_revert_of_unknown_outcome_keeps_the_lock_in_its_way() -> None:
    """Executed a minute later it would publish what a stranger has staged by then."""
    world = await programmed(**REVERT)
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.apply(zone(mtu=1400))
    late = GatewayError(method="PUT", path="/cluster/sdn", times=1, skip=1, outcome="late", seconds=60)
    world.lab.faults.add(late)
    for _ in range(3):
        world.now += timedelta(seconds=await world.one_pass())
    assert world.by_hand("POST", "/cluster/sdn/zones", zone="alien", type="simple").status != 200
    assert world.lab.sdn.lock is not None
    world.now += timedelta(seconds=70)
    world.lab.settle()
    assert "alien" not in world.lab.sdn.running["zones"]


async def test_reverting_would_publish_host_network_edits_of_others_so_it_is_not_done() -> None:
    world = await programmed(**REVERT)
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.apply(zone(mtu=1400))
    world.once("after", "PUT", "/cluster/sdn", lambda: world.lab.faults.add(HostEdit(node="pve1")))
    await world.one_pass()
    assert world.lab.applies == 2
    assert world.lab.nodes["pve1"].network.changes
    assert "not reverted" in world.kube.status(CLUSTER)["lastTransaction"]["message"]


async def test_a_host_network_edit_made_while_the_revert_is_staged_stops_it_too() -> None:
    world = await programmed(**REVERT)
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.apply(zone(mtu=1400))
    writes = 0

    def edit(when: str, method: str, path: str) -> None:
        nonlocal writes
        if (when, method, path) == ("after", "PUT", "/cluster/sdn/zones/zone1"):
            writes += 1
            if writes == 2:
                world.lab.faults.add(HostEdit(node="pve1"))

    world.interrupt = edit
    await world.one_pass()
    assert world.lab.applies == 2
    assert world.lab.nodes["pve1"].network.changes
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert "not reverted" in world.kube.status(CLUSTER)["lastTransaction"]["message"]


@pytest.mark.parametrize("deleting", [NET1])
async def test_a_reverted_deletion_is_put_back_and_waits(deleting) -> None:
    world = await programmed(**REVERT)
    world.lab.faults.add(ReloadFails(node="pve2", times=1))
    world.kube.delete(deleting)
    await world.one_pass()
    assert world.lab.sdn.running["vnets"]["net1"]["tag"] == 5001
    assert "zone1-10.1.0.0-24" in world.lab.sdn.running["subnets"]
    assert world.programmed(deleting)[0] == "Reverted"
    world.kube.annotate(deleting, "pve-evpn.dev/reconcile-requested-at", "now")
    await world.settle()
    assert deleting not in world.kube.objects


async def test_a_world_that_is_well_costs_one_apply_with_revert_too() -> None:
    world = World()
    world = await programmed(**REVERT)
    world.apply(GOOD)
    await world.settle()
    assert world.lab.applies == 2
