"""Created, Updated, Adopted, Deleted, Released, Stalled: one Event per change of an object, none per sync."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from pve_evpn.domain.objects import ObjectKey
from pve_lab.faults import OutOfBandEdit
from tests.engine.test_nics import Wired, nic
from tests.engine.world import (
    CLUSTER,
    CONTROLLER,
    NET1,
    ZONE,
    Killed,
    World,
    cluster,
    controller,
    programmed,
    vnet,
    zone,
)

LIFE = ("Created", "Updated", "Adopted", "Deleted", "Released", "Stalled", "Orphaned")


def life(world: World) -> list[tuple[str, str]]:
    """Object and reason of each Event about what became of an object."""
    return [(str(event.key), event.reason) for event in world.kube.events if event.reason in LIFE]


def text(world: World, key: ObjectKey, reason: str) -> str:
    (found,) = [event.message for event in world.kube.events if event.key == key and event.reason == reason]
    return found


async def by_hand() -> World:
    """The seed topology, made by another client."""
    world = World()
    world.by_hand("POST", "/cluster/sdn/controllers", controller="evpn1", type="evpn", asn="65001", fabric="Fabric1")
    world.by_hand(
        "POST", "/cluster/sdn/zones", zone="zone1", type="evpn", controller="evpn1", **{"vrf-vxlan": "100001"}
    )
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="net1", zone="zone1", tag="5001", alias="theirs")
    world.by_hand("PUT", "/cluster/sdn")
    return world


async def test_each_object_is_created_once_whatever_comes_after() -> None:
    world = await programmed()
    assert Counter(life(world)) == Counter((str(key), "Created") for key in (CONTROLLER, ZONE, NET1))
    assert text(world, NET1, "Created") == "create vnet net1; create subnet zone1-10.1.0.0-24 in vnet net1"
    before = len(world.kube.events)
    await world.settle()
    world.start()
    await world.settle()
    assert len(world.kube.events) == before


async def test_an_edit_is_one_updated_with_its_steps() -> None:
    world = await programmed()
    world.kube.events.clear()
    world.apply(vnet("net1", 5001, "10.1.0.0/24", "10.2.0.0/24", alias="web"))
    await world.settle()
    assert life(world) == [(str(NET1), "Updated")]
    assert text(world, NET1, "Updated") == (
        "update vnet net1: alias default/net1 -> web; create subnet zone1-10.2.0.0-24 in vnet net1"
    )
    await world.settle()
    assert len(world.kube.events) == 2, "Applied of the cluster, and nothing more"


async def test_an_update_is_recorded_once_wherever_the_operator_dies() -> None:
    """``kill -9`` before and after each request of the edit; Proxmox keeps what was applied."""
    recorded: list[Counter[tuple[str, str]]] = []
    for moment in range(await edited_and_killed(-1, "") - 1):
        recorded += [await edited_and_killed(moment, when) for when in ("before", "after")]
    assert len(recorded) > 80
    assert recorded == [Counter([(str(NET1), "Updated")])] * len(recorded)


async def edited_and_killed(moment: int, when: str) -> Any:
    """Edit a VNet, die at one request of that and begin again; the Events. With a negative moment, the requests."""
    world = await programmed()
    world.kube.events.clear()
    began = len(world.calls)

    def interrupt(now: str, method: str, path: str) -> None:
        due = len(world.calls) == began + moment + (now == "after")
        if due and now == when and (now, method, path) != ("after", "POST", "/cluster/sdn/lock"):  # it stays locked
            world.interrupt = lambda *_: None
            raise Killed

    world.interrupt = interrupt
    world.apply(vnet("net1", 5001, "10.1.0.0/24", "10.2.0.0/24", alias="web"))
    await world.run_until_killed()
    if moment < 0:
        return len(world.calls) - began
    await world.settle()
    world.start()
    await world.settle()
    assert world.complaints() == []
    return Counter(life(world))


async def test_drift_that_is_written_back_has_one_event() -> None:
    world = await programmed()
    world.kube.events.clear()
    world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
    await world.settle()
    about = [event.reason for event in world.kube.events if event.key == NET1]
    assert about == ["Drifted"]


async def test_what_proxmox_had_is_adopted_and_released_again() -> None:
    world = await by_hand()
    world.apply(cluster(), controller(), zone(adoption={"namespaces": {}}))
    world.apply(vnet("net1", 5001, alias="ours", adoptionPolicy="Always"))
    await world.settle()
    assert Counter(life(world)) == Counter([(str(key), "Adopted") for key in (CONTROLLER, ZONE, NET1)])
    assert text(world, NET1, "Adopted") == "took over vnet net1, which differs: update vnet net1: alias theirs -> ours"
    world.kube.events.clear()
    world.kube.delete(NET1)
    await world.settle()
    assert life(world) == [(str(NET1), "Released")]
    assert text(world, NET1, "Released") == "left in Proxmox, because it was adopted: vnet net1"


async def test_what_was_observed_first_is_adopted_when_it_comes_under_care() -> None:
    world = await by_hand()
    world.apply(cluster(), controller(managementPolicy="ObserveOnly"))
    await world.settle()
    assert life(world) == []
    world.apply(controller())
    await world.settle()
    assert life(world) == [(str(CONTROLLER), "Adopted")]


async def test_a_deletion_is_one_deleted() -> None:
    world = await programmed()
    world.kube.events.clear()
    world.kube.delete(NET1)
    await world.settle()
    assert life(world) == [(str(NET1), "Deleted")]
    assert text(world, NET1, "Deleted") == "gone from Proxmox: vnet net1, subnet zone1-10.1.0.0-24"


async def test_deletion_policy_orphan_says_what_stays() -> None:
    world = await programmed(vnet("kept", 5002, deletionPolicy="Orphan"))
    world.kube.events.clear()
    key = ObjectKey("VNet", "default", "kept")
    world.kube.delete(key)
    await world.settle()
    assert life(world) == [(str(key), "Released")]
    assert "deletionPolicy is Orphan: vnet kept" in text(world, key, "Released")


async def test_what_never_was_in_proxmox_goes_without_an_event() -> None:
    world = await programmed()
    (key,) = world.apply(vnet("lost", 5001))  # the number of net1
    await world.settle_or_wait()
    assert life(world)[-1] == (str(key), "Stalled")
    world.kube.events.clear()
    world.kube.delete(key)
    await world.settle()
    assert life(world) == []


async def test_a_stalled_object_has_one_event_for_each_spec_and_reason() -> None:
    world = await programmed()
    (key,) = world.apply(vnet("lost", 5001))
    for _ in range(3):
        await world.settle_or_wait()
    world.start()
    await world.settle_or_wait()
    assert life(world).count((str(key), "Stalled")) == 1
    assert text(world, key, "Stalled").startswith("VniConflict: ")
    world.apply(vnet("lost", 5001, alias="x"))
    await world.settle_or_wait()
    assert life(world).count((str(key), "Stalled")) == 2


async def test_a_refused_step_is_one_cause_however_often_it_is_tried() -> None:
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/vnets", "no")
    world.apply(vnet("net2", 5002))
    for _ in range(3):
        await world.settle_or_wait()
        world.now += timedelta(hours=1)
    failed = [event for event in world.kube.events if event.reason == "StagingFailed"]
    assert len(failed) > 1
    assert len({event.cause for event in failed}) == 1


async def test_the_last_transaction_says_classes_and_duration() -> None:
    world = await programmed()
    world.apply(zone(mtu=1400), vnet("net1", 5001, "10.1.0.0/24", alias="web"))
    await world.settle()
    last = world.kube.status(CLUSTER)["lastTransaction"]
    assert last["steps"] == ["update zone zone1: mtu unset -> 1400", "update vnet net1: alias default/net1 -> web"]
    assert last["classes"] == ["disruptive", "none"]
    assert last["durationSeconds"] >= 0
    assert " s (disruptive: 1, none: 1): " in world.events("Applied")[-1]


async def test_a_nic_that_is_on_its_vnet_already_is_adopted_and_released() -> None:
    world = Wired()
    world.vm.config["net0"] = "virtio=BC:24:11:00:00:01,bridge=net1"
    (key,) = await world.after(nic(deletionPolicy="Orphan"))
    assert [reason for about, reason in life(world) if about == str(key)] == ["Adopted"]
    assert text(world, key, "Adopted") == "took over net0 of VM 500 (g500), which is on net1 already"
    await world.passes(2)
    world.kube.delete(key)
    await world.passes(2)
    assert [reason for about, reason in life(world) if about == str(key)] == ["Adopted", "Released"]
    assert (
        text(world, key, "Released") == "left in Proxmox, because deletionPolicy is Orphan: net0 of guest 500 on net1"
    )


async def test_a_nic_is_created_and_deleted_once_whatever_it_is_attached_to_meanwhile() -> None:
    world = Wired()
    (key,) = await world.after(nic())
    assert text(world, key, "Created") == "net0 of VM 500 (g500) is on net1"
    world.apply(vnet("net2", 5002))
    await world.after(nic(vnetRef={"name": "net2"}))
    world.kube.delete(key)
    await world.passes(3)
    about = [event.reason for event in world.kube.events if event.key == key]
    assert Counter(about) == {"Attached": 2, "Created": 1, "Detached": 1, "Deleted": 1}
    assert text(world, key, "Deleted") == "taken back: net0 of guest 500 on net2"


async def test_a_nic_whose_guest_was_removed_is_deleted_all_the_same() -> None:
    world = Wired()
    (key,) = await world.after(nic())
    del world.lab.guests[500]
    world.kube.events.clear()
    world.kube.delete(key)
    await world.passes(3)
    assert [event.reason for event in world.kube.events if event.key == key] == ["Deleted"]


async def test_a_nic_that_never_was_connected_goes_without_an_event() -> None:
    world = Wired()
    (key,) = await world.after(nic(vmid=999))
    world.kube.events.clear()
    world.kube.delete(key)
    await world.passes(3)
    assert [event.reason for event in world.kube.events if event.key == key] == []
