"""``Effective``: said while it is False, gone when it works, and no reason not to be Ready."""

from __future__ import annotations

from pve_evpn.pve import errors
from tests.engine.world import NET1, ZONE, programmed, vnet, zone

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
