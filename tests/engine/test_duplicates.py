"""Two ProxmoxClusters that lead to one Proxmox: the younger one is refused, and writes nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.reconciler import Reconciler
from tests.engine.world import CLUSTER, DirectGateway, Unseeing, World, cluster, controller, programmed, vnet, zone

TWIN = ObjectKey("ProxmoxCluster", "", "twin")


def twin_of(world: World) -> Reconciler:
    """A second ProxmoxCluster with objects of its own, and its reconciler."""
    document = cluster(credentialsSecretRef={"name": "twin"})
    world.kube.bind("twin", "twin")
    document["metadata"]["name"] = "twin"
    reference: dict[str, Any] = {"clusterRef": {"name": "twin"}}
    world.apply(
        document,
        controller("theirs", asn=65002, **reference),
        zone("theirs", controllerRef={"name": "theirs"}, **reference),
    )
    world.apply(vnet("theirs", 6001, zoneRef={"name": "theirs"}))
    assert world.cache is not None
    gateway = type("Gateway", (DirectGateway,), {"world": world})
    return Reconciler(world.context(world.cache, "twin"), Unseeing(), partial(gateway, is_leader=lambda: True))


async def test_the_younger_is_refused_and_writes_nothing() -> None:
    world = await programmed()
    twin, writes = twin_of(world), len(world.writes())
    for _ in range(3):
        await twin.run_once()
        await world.settle()
    assert len(world.writes()) == writes
    accepted = world.kube.condition(TWIN, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "DuplicateCluster")
    assert "'pve'" in accepted["message"]
    assert world.ready(TWIN)["reason"] == "DuplicateCluster"
    assert world.ready(CLUSTER)["status"] == "True"
    told = {row["name"]: row["fingerprint"] for row in world.kube.status(CLUSTER)["nodes"]}
    assert told == {name: node.fingerprint for name, node in world.lab.nodes.items()}


async def test_it_takes_over_when_the_older_is_gone() -> None:
    world = await programmed()
    twin = twin_of(world)
    await twin.run_once()
    del world.kube.objects[CLUSTER]
    assert world.cache is not None
    world.cache.replace("ProxmoxCluster", [world.kube.objects[TWIN]], 10**9)
    await twin.run_once()
    assert world.kube.condition(TWIN, "Accepted")["status"] == "True"
