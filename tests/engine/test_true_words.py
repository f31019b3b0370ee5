"""Messages say what is so: which kind of guest, whose VNet, what was meant, who holds a deletion up."""

from __future__ import annotations

from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from tests.engine.test_nics import Wired, nic
from tests.engine.world import CONTROLLER, NET1, ZONE, World, controller, document, programmed, vnet, zone


def accepted(world: World, key: ObjectKey) -> tuple[str, str]:
    condition = world.kube.condition(key, "Accepted")
    return condition["reason"], condition["message"]


def columns(world: World, key: ObjectKey) -> tuple[Any, Any]:
    """What `kubectl get nic` prints below GUEST and VNET."""
    return world.kube.status(key).get("vmid"), world.kube.objects[key]["spec"]["vnetRef"]["name"]


@pytest.mark.parametrize(
    ("vmid", "said", "label"), [(500, "lxc", "VM 500 (g500)"), (600, "qemu", "container 600 (g600)")]
)
async def test_a_guest_of_the_other_kind_is_called_so(vmid: int, said: str, label: str) -> None:
    world = Wired()
    (key,) = await world.after(nic(vmid, type=said))
    assert accepted(world, key) == (
        "InvalidSpec",
        f"type: the spec says {said}, and the guest with vmid {vmid} is {label}",
    )
    assert columns(world, key) == (vmid, "net1")


async def test_a_guest_of_the_other_kind_that_is_not_granted_stays_unknown() -> None:
    world = Wired(guestAccess=[])
    (key,) = await world.after(nic(500, type="lxc"))
    assert accepted(world, key) == ("RefNotFound", "guest: there is no guest with vmid 500 that this object may use")
    assert columns(world, key) == (500, "net1")


async def test_the_name_of_a_guest_is_proposed_only_to_those_who_may_use_it() -> None:
    world = Wired()
    named = nic(name="named", guest={"name": "G500"})
    (key,) = await world.after(named)
    assert accepted(world, key)[1].endswith("; is g500 meant?")
    world = Wired(guestAccess=[])
    (key,) = await world.after(named)
    assert accepted(world, key)[1].endswith("may use")
    assert world.kube.status(key)["guestName"] == "G500"


async def test_a_vnet_of_another_cluster_is_called_so() -> None:
    world = Wired()
    world.apply(
        document("ProxmoxCluster", "b", {"endpoints": ["https://b:8006"], "credentialsSecretRef": {"name": "c"}}),
        zone("zoneb", clusterRef={"name": "b"}, controllerRef={"name": "evpnb"}),
        controller("evpnb", clusterRef={"name": "b"}),
        vnet("netb", 7001, zoneRef={"name": "zoneb"}),
        zone("zone2", vrfVni=100002, controllerRef={"name": "evpnb"}),
    )
    (key,) = await world.after(nic(vnetRef={"name": "netb"}))
    reason, message = accepted(world, key)
    assert reason == "RefNotFound"
    assert message == "vnetRef: VNet default/netb is of another Proxmox cluster than the guest's (clusterRef: pve)"
    assert columns(world, key) == (500, "netb")
    _, message = accepted(world, ObjectKey("EvpnZone", "", "zone2"))
    assert message == "controllerRef: EvpnController evpnb belongs to ProxmoxCluster b, and this object to pve"


async def test_a_vnet_without_a_zone_is_not_called_absent() -> None:
    world = Wired()
    world.apply(vnet("lost", 7001, zoneRef={"name": "nowhere"}))
    (key,) = await world.after(nic(vnetRef={"name": "lost"}))
    assert accepted(world, key)[1].startswith("vnetRef: VNet default/lost has no zone that it may use yet")


async def test_names_that_were_meant_are_those_that_the_namespace_may_use() -> None:
    world = Wired()
    world.kube.namespaces["default"] = {"team": "a"}
    hidden = {"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}
    world.apply(zone("zone-b", vrfVni=100009, allowedNamespaces=hidden))
    refs = [{"name": "zone-1"}, {"name": "zone-c"}]
    keys = world.apply(*(vnet(f"v{number}", 7000 + number, zoneRef=ref) for number, ref in enumerate(refs)))
    (nic_key,) = await world.after(nic(vnetRef={"name": "net-1"}))
    messages = [accepted(world, key)[1] for key in keys]
    assert messages[0].endswith("'zone-1' that this object may use; is zone1 meant?")
    assert "zone-b" not in messages[1]
    assert accepted(world, nic_key)[1] == "vnetRef: there is no VNet 'net-1' in namespace default; is net1 meant?"


async def test_a_controller_that_was_meant_is_said_to_administrators_only() -> None:
    world = await programmed()
    (zone2,) = world.apply(zone("zone2", vrfVni=100002, controllerRef={"name": "evpn2"}))
    (net2,) = world.apply(vnet("net2", 5002, zoneRef={"name": "zone2"}))
    await world.settle_or_wait()
    assert accepted(world, zone2)[1].endswith("; is evpn1 meant?")
    assert "evpn1" not in world.programmed(net2)[1]


async def test_a_deletion_that_waits_names_the_objects_that_hold_it() -> None:
    world = Wired()
    (nic_key,) = await world.after(nic())
    for key in (NET1, ZONE, CONTROLLER):
        world.kube.delete(key)
    await world.passes(3)
    _, message = world.programmed(NET1)[1:]
    assert message == (
        "vnet net1 is still used by NicAttachment default/n500-net0 (VM 500 (g500) net0 on pve1); connect them to "
        "another bridge first"
    )
    assert "VNet default/net1 (vnet net1), VNet default/net2 (vnet net2)" in world.programmed(ZONE)[2]
    assert world.programmed(CONTROLLER)[2] == "controller evpn1 is still used by EvpnZone zone1 (zone zone1)"
    world.kube.delete(nic_key)
    await world.passes(4)
    assert NET1 not in world.kube.objects
