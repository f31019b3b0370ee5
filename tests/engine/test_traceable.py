"""From Proxmox to the object: readable names, and an alias that says namespace and name."""

from __future__ import annotations

from typing import Any

from pve_evpn.domain.objects import ObjectKey, hashed_id
from tests.engine.test_lock import _die_at
from tests.engine.world import NET1, ZONE, World, cluster, controller, programmed, vnet, zone

SUBNET = "10.1.0.0/24"


def alias(world: World, id_: str = "net1") -> Any:
    return world.lab.sdn.running["vnets"][id_].get("alias")


def id_of(world: World, key: ObjectKey) -> str:
    return str(world.kube.status(key)["id"])


def in_namespace(namespace: str, document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


async def without_alias() -> World:
    """A network that an earlier version of the operator made: without an alias."""
    world = await programmed()
    for copy in (world.lab.sdn.edited, world.lab.sdn.running):
        del copy["vnets"]["net1"]["alias"]
    return world


async def test_a_new_vnet_says_whose_it_is() -> None:
    world = await programmed(vnet("named", 5002, alias="Office"))
    assert alias(world) == "default/net1"
    assert alias(world, "named") == "Office"


async def test_a_network_that_is_there_is_not_rewritten_for_its_alias() -> None:
    world = await without_alias()
    world.start()
    await world.settle()
    assert world.lab.applies == 1
    assert world.kube.condition(NET1, "Drifted")["status"] == "False"
    assert world.complaints() == []


async def test_another_change_of_it_brings_the_alias_along() -> None:
    world = await without_alias()
    world.apply(vnet("net1", 5001, SUBNET, isolatePorts=True))
    await world.settle()
    assert alias(world) == "default/net1"
    assert world.lab.applies == 2
    before = len(world.writes())
    world.start()
    await world.settle()
    assert len(world.writes()) == before


async def test_an_alias_that_leaves_the_spec_becomes_namespace_and_name() -> None:
    world = await programmed(vnet("named", 5002, alias="Office"))
    world.apply(vnet("named", 5002))
    await world.settle()
    assert alias(world, "named") == "default/named"


async def test_a_staged_alias_of_another_client_is_taken_back_without_an_apply() -> None:
    world = await without_alias()
    world.by_hand("PUT", "/cluster/sdn/vnets/net1", alias="theirs")
    await world.settle()
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert alias(world) is None
    assert world.lab.applies == 1


async def test_an_adopted_vnet_keeps_the_alias_it_has_or_has_not() -> None:
    world = World()
    world.by_hand("POST", "/cluster/sdn/controllers", controller="evpn1", type="evpn", asn="65001", fabric="Fabric1")
    vrf = {"vrf-vxlan": "100001"}
    world.by_hand("POST", "/cluster/sdn/zones", zone="zone1", type="evpn", controller="evpn1", **vrf)
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="net1", zone="zone1", tag="5001")
    world.by_hand("PUT", "/cluster/sdn")
    world.apply(cluster(), controller(), zone(adoption={"namespaces": {}}), vnet("net1", 5001))
    await world.settle()
    world.apply(vnet("net1", 5001, isolatePorts=True))
    await world.settle()
    assert world.complaints() == []
    assert world.lab.sdn.running["vnets"]["net1"]["isolate-ports"]
    assert alias(world) is None


async def test_a_long_name_is_cut_to_what_proxmox_takes() -> None:
    name = "a" * 253
    world = await programmed(vnet(name, 5002))
    (id_,) = [id_ for id_ in world.lab.sdn.running["vnets"] if id_ != "net1"]
    assert alias(world, id_) == f"default/{name}"[:256]
    world.start()
    assert await world.settle() == 1


async def test_the_alias_of_another_namespace_is_not_shown_to_who_may_adopt() -> None:
    world = await programmed()
    world.apply(zone(adoption={"namespaces": {}}))
    world.kube.namespaces["other"] = {}
    (kept,) = world.apply(vnet("kept", 5002, deletionPolicy="Orphan"))
    await world.settle()
    world.kube.delete(kept)
    await world.settle()
    assert alias(world, "kept") == "default/kept"
    (key,) = world.apply(in_namespace("other", vnet("kept", 5002, alias="mine")))
    await world.settle_or_wait()
    message = world.kube.condition(key, "Accepted")["message"]
    assert "alias: another text instead of mine" in message
    assert "default" not in message


# --- readable names -----------------------------------------------------------------------------------------------


async def test_a_name_that_proxmox_does_not_take_becomes_its_letters_and_digits() -> None:
    world = await programmed()
    keys = world.apply(zone("lab-zone", vrfVni=100002), vnet("lab-a", 5002), vnet("production-web", 5003))
    await world.settle()
    assert [id_of(world, key) for key in keys] == ["labzone", "laba", hashed_id("default", "production-web")]
    assert alias(world, "laba") == "default/lab-a"


async def test_a_name_in_use_is_not_taken_by_a_second_object() -> None:
    world = await programmed()
    world.kube.namespaces["other"] = {}
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="labc", zone="zone1", tag="5009")
    world.by_hand("PUT", "/cluster/sdn")
    documents = [
        vnet("lab-a", 5002),  # its name is taken by the younger laba, which can have no other
        vnet("laba", 5003),
        vnet("lab-b", 5004),
        in_namespace("other", vnet("lab-b", 5005)),
        vnet("lab-c", 5006),  # what Proxmox has is not adopted by accident
        vnet("vmbr-0", 5007),  # the name of an interface
    ]
    keys = world.apply(*documents)
    await world.settle()
    assert world.complaints() == []
    assert [id_of(world, key) for key in keys] == [
        hashed_id("default", "lab-a"),
        "laba",
        "labb",
        hashed_id("other", "lab-b"),
        hashed_id("default", "lab-c"),
        hashed_id("default", "vmbr-0"),
    ]


async def test_a_name_stays_whatever_comes_later() -> None:
    world = await programmed()
    (key,) = world.apply(vnet("lab-a", 5002))
    await world.settle()
    (late,) = world.apply(vnet("laba", 5003))
    world.start()
    await world.settle_or_wait()
    assert id_of(world, key) == "laba"
    assert world.ready(key)["status"] == "True"
    assert world.ready(late)["reason"] == "IdConflict"


async def test_an_object_of_an_earlier_version_keeps_its_hash_also_without_its_status() -> None:
    world = await programmed()
    world.apply(zone(adoption={"namespaces": {}}))
    (key,) = world.apply(vnet("lab-a", 5002, id=hashed_id("default", "lab-a")))
    await world.settle()
    del world.kube.objects[key]["spec"]["id"]
    world.kube.objects[key]["status"] = {}
    world.start()
    await world.settle()
    assert id_of(world, key) == hashed_id("default", "lab-a")
    assert world.complaints() == []


async def test_an_object_whose_status_was_lost_finds_its_readable_name_again() -> None:
    world = await programmed()
    world.apply(zone(adoption={"namespaces": {}}))
    (key,) = world.apply(vnet("lab-a", 5002))
    await world.settle()
    applies = world.lab.applies
    world.kube.objects[key]["status"] = {}
    world.start()
    await world.settle()
    assert id_of(world, key) == "laba"
    assert world.lab.applies == applies
    assert world.complaints() == []


async def test_a_crash_at_any_write_neither_forgets_nor_doubles_a_readable_name() -> None:
    for method, path in (
        ("POST", "/cluster/sdn/vnets"),
        ("POST", "/cluster/sdn/vnets/laba/subnets"),
        ("PUT", "/cluster/sdn"),
        ("DELETE", "/cluster/sdn/lock"),
    ):
        for when in ("before", "after"):
            world = await programmed()
            (key,) = world.apply(vnet("lab-a", 5002, "10.2.0.0/24"))
            world.interrupt = _die_at(world, method, path, when)
            assert await world.run_until_killed()
            world.interrupt = lambda *_: None
            world.start()
            await world.settle()
            assert id_of(world, key) == "laba", (when, method, path)
            assert set(world.lab.sdn.running["vnets"]) == {"net1", "laba"}
            assert world.complaints() == []


async def test_an_object_that_is_deleted_before_its_name_was_reported_leaves_nothing() -> None:
    world = await programmed()
    (key,) = world.apply(vnet("lab-a", 5002, "10.2.0.0/24"))
    world.interrupt = _die_at(world, "PUT", "/cluster/sdn", "after")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    world.kube.delete(key)
    world.start()
    await world.settle()
    assert key not in world.kube.objects
    assert set(world.lab.sdn.running["vnets"]) == {"net1"}
    assert world.ready(ZONE)["status"] == "True"
