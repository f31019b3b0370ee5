"""``Effective``: said while it is False, gone when it works, and no reason not to be Ready."""

from __future__ import annotations

from typing import Any

from pve_evpn.pve import errors
from tests.engine.world import NET1, ZONE, World, programmed, vnet, zone

SNAT = {"subnets": [{"cidr": "10.1.0.0/24", "gateway": "10.1.0.1", "snat": True}]}


def _no_proxmox(_when: str, _method: str, _path: str) -> None:
    raise errors.Unreachable("connection refused")


async def test_snat_without_exit_nodes_is_said_until_there_are_some() -> None:
    world = await programmed()
    assert world.kube.condition(NET1, "Effective") == {}
    world.apply(vnet("net1", 5001, **SNAT))
    await world.settle()
    effective = world.kube.condition(NET1, "Effective")
    assert (effective["status"], effective["reason"]) == ("False", "NoExitNodes")
    assert effective["message"].startswith("subnets[0].snat: ")
    assert world.ready(NET1)["status"] == "True"

    world.apply(zone(exitNodes={"nodes": ["pve1"]}))
    await world.settle()
    assert world.kube.condition(NET1, "Effective") == {}
    assert world.ready(ZONE)["status"] == "True"


async def test_while_proxmox_does_not_answer_it_stays_as_it_was() -> None:
    world = await programmed()
    world.apply(vnet("net1", 5001, **SNAT))
    await world.settle()
    before = world.kube.condition(NET1, "Effective")
    world.interrupt = _no_proxmox
    world.skipped = 3600.0  # the grace time has passed
    await world.one_pass()
    assert world.kube.condition(NET1, "Programmed")["reason"] == "ClusterUnreachable"
    assert world.kube.condition(NET1, "Effective") == before


# --- names of the datacenter's firewall -----------------------------------------------------------------------------


def ruled(**rule: Any) -> dict[str, Any]:
    return vnet("net1", 5001, "10.1.0.0/24", firewall={"enabled": True, "rules": [{"enabled": True, **rule}]})


def lists(world: World) -> list[str]:
    """The lists of names that were asked for so far."""
    return [path.rpartition("/")[2] for _, path, _ in world.calls if path.startswith("/cluster/firewall/")]


async def test_a_security_group_that_proxmox_does_not_have_is_said_until_it_is_there() -> None:
    """Proxmox takes such a rule, and it filters nothing."""
    world = await programmed()
    assert lists(world) == [], "no VNet uses a name"
    world.apply(ruled(securityGroup="web"))
    await world.settle()
    effective = world.kube.condition(NET1, "Effective")
    assert (effective["status"], effective["reason"]) == ("False", "RefNotFound")
    assert effective["message"].startswith("firewall.rules[0].securityGroup: Proxmox has no security group 'web', so ")
    assert world.ready(NET1)["status"] == "True"
    assert set(lists(world)) == {"groups"}

    assert world.by_hand("POST", "/cluster/firewall/groups", group="web").status == 200
    await world.settle()
    assert world.kube.condition(NET1, "Effective") == {}


async def test_a_macro_that_proxmox_does_not_have_is_said_with_its_field() -> None:
    world = await programmed()
    world.apply(ruled(action="ACCEPT", macro="SHH"))
    await world.settle()
    assert world.kube.condition(NET1, "Effective")["message"] == (
        "firewall.rules[0].macro: Proxmox has no macro 'SHH'; correct the name"
    )
    world.apply(ruled(action="ACCEPT", macro="ssh"))
    await world.settle()
    assert world.kube.condition(NET1, "Effective") == {}


async def test_names_that_the_credentials_may_not_list_are_unknown_and_never_missing() -> None:
    world = await programmed()
    world.refuse("GET", "/cluster/firewall/ipset", "Permission check failed (/, Sys.Audit)", 403)
    world.apply(ruled(action="DROP", source="+blocked"))
    await world.settle()
    assert world.kube.condition(NET1, "Effective") == {}
    assert "no such ipset 'blocked'" in world.programmed(NET1)[1], "Proxmox refuses it in its own words"


async def test_the_names_are_read_once_until_the_resync() -> None:
    world = await programmed()
    world.remembers = True
    world.lab.firewall_names.groups.add("web")
    world.apply(ruled(securityGroup="web"))
    await world.settle()
    for _ in range(3):
        await world.one_pass()
    assert lists(world) == ["groups"]
    world.apply(ruled(securityGroup="db"))
    world.lab.firewall_names.groups.add("db")
    await world.settle()
    assert lists(world) == ["groups"] * 2, "a name that was not there is looked up at once"
    assert world.kube.condition(NET1, "Effective") == {}
