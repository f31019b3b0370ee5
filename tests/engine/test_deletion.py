"""Deletions: child first, honest about what holds them, and never waiting for what they do not need."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from pve_lab.faults import ForeignChange, NodeOffline, OutOfBandEdit
from tests.engine.test_foreign import Reply
from tests.engine.test_lock import _die_at
from tests.engine.world import (
    CLUSTER,
    CONTROLLER,
    NET1,
    SEED,
    ZONE,
    World,
    cluster,
    controller,
    key,
    programmed,
    vnet,
    zone,
)

FINALIZER = "pve-evpn.dev/cleanup"
ADOPTION = {"adoption": {"namespaces": {}}}
FORCE = "pve-evpn.dev/force-orphan"


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
async def test_any_order_of_deletion_ends_with_nothing_left(order: tuple[int, ...]) -> None:
    world = await programmed()
    for position in order:
        world.kube.delete(key(SEED[position]))
        if position % 2:
            await world.settle_or_wait()
    await world.settle()
    assert world.kube.objects == {}
    assert not any(world.lab.sdn.edited.values())
    assert world.lab.sdn.edited == world.lab.sdn.running


async def test_a_vnet_that_guests_use_is_kept_and_they_are_named() -> None:
    world = await programmed()
    world.add_guest(101, "net1", "pve2")
    for doc in SEED:
        world.kube.delete(key(doc))
    await world.settle_or_wait()
    reason, message = world.programmed(NET1)
    assert reason == "DeletionBlocked"
    assert "1 guest that this namespace may not use" in message
    (problem,) = world.kube.status(ZONE)["vnetProblems"]
    assert "VM 101 (vm101) net0 on pve2" in problem["message"]
    assert "net1" in world.lab.sdn.running["vnets"]
    assert "vnet net1" in world.programmed(ZONE)[1]
    world.lab.guests[101].config["net0"] = "virtio=BC:24:11:00:00:01,bridge=vmbr0"
    await world.settle()
    assert world.kube.objects == {}
    assert not any(world.lab.sdn.running.values())


async def test_a_guest_that_cannot_be_read_may_use_it_too() -> None:
    world = await programmed()
    world.add_guest(101, "vmbr0", "pve2")
    fault = world.lab.faults.add(NodeOffline(node="pve2"))
    world.kube.delete(NET1)
    await world.settle_or_wait()
    reason, message = world.programmed(NET1)
    assert reason == "DeletionBlocked"
    assert "guests that this namespace may not use" in message
    (problem,) = world.kube.status(ZONE)["vnetProblems"]
    assert "VM 101" in problem["message"]
    world.lab.faults.remove(fault)
    await world.settle()
    assert NET1 not in world.kube.objects


async def test_children_of_somebody_else_keep_a_zone_and_are_named() -> None:
    world = await programmed()
    world.lab.faults.add(OutOfBandEdit(object="vnets/theirs", set="zone=zone1;tag=99"))
    for target in (NET1, ZONE):
        world.kube.delete(target)
    await world.settle_or_wait()
    assert NET1 not in world.kube.objects
    assert world.programmed(ZONE) == ("DeletionBlocked", "zone zone1 is still used by vnet theirs (no object)")
    assert "theirs" in world.lab.sdn.running["vnets"]


async def test_adopted_objects_stay_in_proxmox_unless_the_spec_says_otherwise() -> None:
    world = World()
    for path, params in (
        ("controllers", {"controller": "evpn1", "type": "evpn", "asn": "65001", "fabric": "Fabric1"}),
        ("zones", {"zone": "zone1", "type": "evpn", "controller": "evpn1", "vrf-vxlan": "100001"}),
        ("vnets", {"vnet": "net1", "zone": "zone1", "tag": "5001"}),
    ):
        assert world.by_hand("POST", f"/cluster/sdn/{path}", **params).status == 200
    world.by_hand("PUT", "/cluster/sdn")
    world.apply(cluster(), controller(), zone(**ADOPTION), vnet("net1", 5001, deletionPolicy="Delete"))
    await world.settle()
    assert world.lab.applies == 1, "adopting writes nothing"
    assert world.kube.status(ZONE)["origin"] == "Adopted"
    for target in (CONTROLLER, ZONE, NET1):
        world.kube.delete(target)
    await world.settle()
    assert {k for k in world.kube.objects if k.kind != "EvpnNode"} == {CLUSTER}
    assert "zone1" in world.lab.sdn.running["zones"]
    assert "net1" not in world.lab.sdn.running["vnets"]


@pytest.mark.parametrize("gone", ["secret", "unreachable"])
async def test_what_needs_nothing_from_proxmox_goes_without_it(gone: str) -> None:
    world = await programmed(vnet("kept", 5002, deletionPolicy="Orphan"))
    if gone == "secret":
        del world.kube.secrets["c"]
    else:
        world.refuse(".*", ".*", "Connection refused", 595)
    kept = key(vnet("kept"))
    for target in (kept, NET1):
        world.kube.delete(target)
    await world.settle_or_wait()
    assert kept not in world.kube.objects
    ready = world.ready(NET1)
    assert ready["reason"] == "DeletionBlocked"
    uid = world.kube.objects[NET1]["metadata"]["uid"]
    assert f"{FORCE}={uid}" in ready["message"]
    world.kube.annotate(NET1, FORCE, uid)
    await world.settle_or_wait()
    assert NET1 not in world.kube.objects
    assert "net1" in world.lab.sdn.running["vnets"]


async def test_force_orphan_must_name_the_object_itself_and_is_told_of() -> None:
    world = await programmed()
    world.add_guest(101, "net1")
    world.kube.delete(NET1)
    world.kube.annotate(NET1, FORCE, "true")
    await world.settle_or_wait()
    assert NET1 in world.kube.objects
    world.kube.annotate(NET1, FORCE, world.kube.objects[NET1]["metadata"]["uid"])
    await world.settle()
    assert NET1 not in world.kube.objects
    assert "net1" in world.lab.sdn.running["vnets"]
    assert world.events("Orphaned") == ["left in Proxmox: vnet net1, subnet zone1-10.1.0.0-24"]


async def test_a_paused_object_is_not_deleted_and_says_how_to_go_on() -> None:
    world = await programmed()
    world.kube.annotate(NET1, "pve-evpn.dev/paused", "true")
    world.kube.delete(NET1)
    await world.settle_or_wait()
    assert world.programmed(NET1)[0] == "DeletionBlocked"
    assert "deletionPolicy: Orphan" in world.programmed(NET1)[1]
    world.kube.annotate(NET1, "pve-evpn.dev/paused", None)
    await world.settle()
    assert NET1 not in world.kube.objects


async def test_an_object_deleted_while_we_were_dead_in_the_middle_of_making_it_is_removed_whole() -> None:
    """No status says yet that it is ours, nor that its subnet is."""
    world = await programmed()
    new = world.apply(vnet("new", 5007, "10.7.0.0/24"))[0]
    world.interrupt = _die_at(world, "DELETE", "/cluster/sdn/lock")
    assert await world.run_until_killed()
    assert "new" in world.lab.sdn.running["vnets"]
    world.interrupt = lambda *_: None
    world.kube.delete(new)
    world.start()
    await world.settle()
    assert new not in world.kube.objects
    assert "new" not in world.lab.sdn.running["vnets"]
    assert not [s for s in world.lab.sdn.running["subnets"] if "10.7" in s]


async def test_a_namesake_made_by_somebody_before_us_is_not_deleted_for_our_announcement() -> None:
    """The announcement was written, the creation refused; then somebody makes an object of that name."""
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/vnets", "no")
    new = world.apply(vnet("new", 5007))[0]
    await world.one_pass()
    world.lab.faults.clear()
    world.lab.faults.add(OutOfBandEdit(object="vnets/new", set="zone=zone1;tag=77"))
    world.kube.delete(new)
    await world.settle()
    assert new not in world.kube.objects
    assert world.lab.sdn.running["vnets"]["new"]["tag"] == 77


async def test_a_restored_backup_without_statuses_knows_what_is_ours() -> None:
    world = await programmed()
    for raw in world.kube.objects.values():
        raw.pop("status", None)
    writes = world.writes()
    world.start()
    await world.settle_or_wait()
    assert world.ready(NET1)["reason"] == "ForeignObject", (
        "a namespace's users can write the annotation that a backup keeps"
    )
    world.apply(zone(**ADOPTION))
    await world.settle()
    assert world.writes() == writes
    assert world.kube.status(NET1)["origin"] == "Created"
    assert world.kube.status(NET1)["subnets"] == [{"id": "zone1-10.1.0.0-24", "origin": "Created"}]


async def test_an_allocated_vni_survives_the_loss_of_the_status() -> None:
    world = World()
    world.apply(cluster(), controller(), zone(vniRange={"first": 6000, "last": 6010}, **ADOPTION), vnet("a"), vnet("b"))
    await world.settle()
    a, b = key(vnet("a")), key(vnet("b"))
    vnis = [world.kube.status(k)["vni"] for k in (a, b)]
    world.kube.delete(a)
    await world.settle()
    world.kube.objects[b].pop("status")
    world.start()
    await world.settle()
    assert world.kube.status(b)["vni"] == vnis[1]


async def test_a_subnet_made_just_before_we_died_is_removed_when_the_spec_has_lost_it_meanwhile() -> None:
    """Only the journal knows that it is ours: no status says so, and no spec lists it."""
    world = await programmed()
    world.apply(vnet("new", 5007, "10.7.0.0/24"))
    world.interrupt = _die_at(world, "DELETE", "/cluster/sdn/lock")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    world.apply(vnet("new", 5007))
    world.start()
    await world.settle()
    assert world.complaints() == []
    assert not [s for s in world.lab.sdn.running["subnets"] if "10.7" in s]


async def test_credentials_that_do_not_see_everything_delete_nothing() -> None:
    world = await programmed()
    world.lab.faults.add(Reply(path="/access/permissions", data={"/sdn": {"SDN.Use": 1}}))
    world.kube.delete(NET1)
    world.start()
    await world.settle_or_wait()
    reason, message = world.programmed(NET1)
    assert (reason, "SDN.Audit" in message) == ("DeletionBlocked", True)
    missing = ["/sdn: SDN.Allocate", "/sdn: SDN.Audit", "/: Sys.Audit", "/nodes: Sys.Modify"]
    assert world.kube.status(CLUSTER)["privileges"] == {"missing": missing}
    assert "net1" in world.lab.sdn.running["vnets"]
    world.lab.faults.clear()
    world.start()
    await world.settle()
    assert NET1 not in world.kube.objects


# --- what must stay, while its deletion is staged ------------------------------------------------------------------


def stage_deletion(world: World, name: str, *subnets: str) -> None:
    """Somebody deletes a VNet of ours in the GUI, and has not applied it."""
    for subnet in subnets:
        assert world.by_hand("DELETE", f"/cluster/sdn/vnets/{name}/subnets/{subnet}").status == 200
    assert world.by_hand("DELETE", f"/cluster/sdn/vnets/{name}").status == 200


SUBNET = "zone1-10.1.0.0-24"


@pytest.mark.parametrize("drift", ["Correct", "Report"])
async def test_somebodys_staged_deletion_of_a_vnet_that_guests_use_does_not_go_live_by_our_hand(drift: str) -> None:
    world = await programmed(drift=drift)
    world.add_guest(101, "net1")
    world.kube.delete(NET1)
    await world.settle_or_wait()
    stage_deletion(world, "net1", SUBNET)
    new = world.apply(vnet("net2", 5002))[0]
    world.now += timedelta(minutes=1)
    await world.settle_or_wait()
    assert "net1" in world.lab.sdn.running["vnets"]
    assert SUBNET in world.lab.sdn.running["subnets"]
    assert world.programmed(NET1)[0] == "DeletionBlocked"
    if drift == "Correct":
        assert world.lab.sdn.edited == world.lab.sdn.running
        assert world.ready(new)["status"] == "True"
    else:
        assert world.programmed()[0] == "ForeignPendingChanges"
        assert "vnet net1 deleted" in world.programmed()[1]


async def test_a_staged_deletion_of_a_blocked_vnet_alone_is_taken_back_without_an_apply() -> None:
    world = await programmed()
    world.add_guest(101, "net1")
    world.kube.delete(NET1)
    stage_deletion(world, "net1", SUBNET)
    await world.settle_or_wait()
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.applies == 1
    assert "unstaged" in world.events("Corrected")[0]
    assert not world.events("Applied")[1:]


async def test_a_subnet_that_nobody_could_see_below_a_deleted_vnet_is_put_back_with_it() -> None:
    """Proxmox shows no subnets of a VNet whose deletion is staged; the apply is for something else."""
    world = await programmed()
    world.add_guest(101, "net1")
    world.kube.delete(NET1)
    stage_deletion(world, "net1", SUBNET)
    world.apply(zone(mtu=1400))
    await world.one_pass()
    assert world.lab.sdn.running["zones"]["zone1"]["mtu"] == 1400
    assert SUBNET in world.lab.sdn.running["subnets"]


async def test_what_a_stranger_deleted_below_a_deleted_vnet_is_seen_once_that_is_put_back() -> None:
    world = await programmed()
    assert world.by_hand("POST", "/cluster/sdn/vnets/net1/subnets", subnet="10.9.0.0/24", type="subnet").status == 200
    assert world.by_hand("PUT", "/cluster/sdn").status == 200
    stage_deletion(world, "net1", SUBNET, "zone1-10.9.0.0-24")
    world.apply(zone(mtu=1400))
    await world.settle_or_wait()
    assert world.programmed()[0] == "ForeignPendingChanges"
    assert "subnet zone1-10.9.0.0-24 deleted" in world.programmed()[1]
    assert "zone1-10.9.0.0-24" in world.lab.sdn.running["subnets"]
    assert "mtu" not in world.lab.sdn.edited["zones"]["zone1"]


async def test_a_paused_deletion_is_not_carried_out_by_somebodys_staged_one() -> None:
    world = await programmed()
    world.kube.annotate(NET1, "pve-evpn.dev/paused", "true")
    world.kube.delete(NET1)
    stage_deletion(world, "net1", SUBNET)
    world.apply(vnet("net2", 5002))
    await world.settle_or_wait()
    assert world.programmed()[0] == "ForeignPendingChanges"
    assert "net1" in world.lab.sdn.running["vnets"]


async def test_what_is_orphaned_stays_though_somebody_has_staged_its_deletion() -> None:
    world = await programmed(vnet("kept", 5002, deletionPolicy="Orphan"), drift="Report")
    kept = key(vnet("kept"))
    stage_deletion(world, "kept")
    world.kube.delete(kept)
    world.apply(vnet("net2", 5003))
    await world.settle_or_wait()
    assert kept not in world.kube.objects
    assert "kept" in world.lab.sdn.running["vnets"]
    assert world.programmed()[0] == "ForeignPendingChanges"


@pytest.mark.parametrize("drift", ["Correct", "Report"])
@pytest.mark.parametrize("meanwhile", ["guest", "orphan", "guest and zone", "guest and stranger"])
async def test_an_interrupted_deletion_is_taken_back_when_it_must_not_be_any_more(meanwhile: str, drift: str) -> None:
    """Killed just before the apply; by the restart a guest was plugged in, or the policy says to keep it."""
    world = await programmed(drift=drift)
    for target in (NET1, ZONE) if "zone" in meanwhile else (NET1,):
        world.kube.delete(target)
    world.interrupt = _die_at(world, "PUT", "/cluster/sdn")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    assert "net1" not in world.lab.sdn.edited["vnets"]
    if "guest" in meanwhile:
        world.add_guest(101, "net1")
    else:
        world.apply(vnet("net1", 5001, "10.1.0.0/24", deletionPolicy="Orphan"))
    if "stranger" in meanwhile:
        world.lab.sdn.lock = None  # by force, and then he stages something
        assert world.by_hand("POST", "/cluster/sdn/zones", zone="theirs", type="simple").status == 200
    world.start()
    await world.settle_or_wait()
    assert world.lab.applies == 1
    world.lab.sdn.edited["zones"].pop("theirs", None)
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert SUBNET in world.lab.sdn.running["subnets"]
    assert world.lab.sdn.lock is None
    assert (NET1 in world.kube.objects) is (meanwhile != "orphan")


async def test_what_is_taken_back_stays_so_when_another_change_is_refused() -> None:
    world = await programmed(drift="Report")
    world.kube.delete(NET1)
    world.interrupt = _die_at(world, "PUT", "/cluster/sdn")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    world.add_guest(101, "net1")
    world.refuse("POST", "/cluster/sdn/vnets/good/subnets", "no")
    world.apply(vnet("good", 5004, "10.4.0.0/24"))
    world.start()
    await world.settle_or_wait()
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert SUBNET in world.lab.sdn.running["subnets"]


@pytest.mark.parametrize("drift", ["Correct", "Report"])
@pytest.mark.parametrize("stranger", [False, True])
async def test_an_interrupted_change_of_what_is_deleted_and_held_back_stops_nobody(stranger: bool, drift: str) -> None:
    world = await programmed(vnet("net2", 5002), drift=drift)
    world.apply(vnet("net1", 5001, "10.1.0.0/24", alias="new"))
    world.interrupt = _die_at(world, "PUT", "/cluster/sdn")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    world.add_guest(101, "net1")
    world.kube.delete(NET1)
    theirs = world.lab.faults.add(ForeignChange(object="zones/theirs")) if stranger else None
    world.start()
    await world.settle_or_wait()
    assert world.lab.sdn.edited["vnets"]["net1"]["alias"] == "default/net1"
    if theirs:
        world.lab.faults.remove(theirs)
    changed = world.apply(vnet("net2", 5002, alias="two"))[0]
    await world.settle_or_wait()
    assert world.ready(changed)["status"] == "True"
    assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "default/net1"
    assert world.lab.sdn.edited == world.lab.sdn.running


async def test_a_subnet_with_addresses_in_the_ipam_names_the_way_out() -> None:
    world = World()
    world.apply(cluster(), controller(), zone(ipam="pve"), vnet("net1", 5001, "10.1.0.0/24"))
    await world.settle()
    place = {"zone": "zone1", "ip": "10.1.0.5"}
    assert world.by_hand("POST", "/cluster/sdn/vnets/net1/ips", **place).status == 200
    world.kube.delete(NET1)
    await world.settle_or_wait()
    reason, message = world.programmed(NET1)
    assert reason == "StagingFailed"
    assert "cannot delete subnet '10.1.0.0/24', not empty" in message
    assert "below 'zone1' in /etc/pve/sdn/pve-ipam-state.json" in message
    assert "pvesh delete /cluster/sdn/vnets/net1/ips --zone zone1 --ip ADDRESS" in message

    assert world.by_hand("DELETE", "/cluster/sdn/vnets/net1/ips", **place).status == 200
    world.now += timedelta(minutes=15)
    await world.settle()
    assert NET1 not in world.kube.objects
    assert "net1" not in world.lab.sdn.running["vnets"]
