"""What alerts look at, from what the engine really did: true while it hurts, and over when that is over."""

from __future__ import annotations

from datetime import timedelta

from pve_evpn.engine.cache import WATCHED
from pve_evpn.engine.collector import StatusCollector
from tests.engine.world import CLUSTER, World, cluster, document, key, programmed, vnet, zone

BAD = vnet("bad", 5003)


def scraped(world: World, name: str) -> dict[tuple[str, ...], float]:
    """A family's samples of cluster pve, by their labels after that one."""
    assert world.cache is not None
    families = {family.name: family for family in StatusCollector(world.cache).collect()}
    samples = families[f"pve_evpn_{name}"].samples
    return {tuple(s.labels.values())[1:]: s.value for s in samples if s.labels["cluster"] == "pve"}


def failed(world: World) -> set[str]:
    return {outcome for (outcome,), value in scraped(world, "transaction_failed").items() if value}


async def test_a_failed_transaction_is_over_with_its_cause_though_it_stays_the_last_one() -> None:
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/vnets", "create sdn vnet object failed: no")
    world.apply(BAD)
    await world.settle_or_wait()
    assert failed(world) == {"StagingFailed"}
    world.kube.delete(key(BAD))
    await world.settle()
    assert world.complaints() == []
    assert world.kube.status(CLUSTER)["lastTransaction"]["outcome"] == "StagingFailed"
    assert failed(world) == set()


async def test_a_refused_object_is_not_forgotten_over_the_success_of_others() -> None:
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/vnets", "create sdn vnet object failed: no", times=1)
    world.apply(BAD, zone(mtu=1400))
    for _ in range(2):
        await world.one_pass()
    assert world.kube.status(CLUSTER)["lastTransaction"]["outcome"] == "Applied"
    assert failed(world) == {"StagingFailed"}


async def test_what_could_not_be_taken_back_is_a_failure_until_it_is() -> None:
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/vnets/bad/subnets", "no", times=1)
    world.refuse("DELETE", "/cluster/sdn/vnets/bad", "no", times=1)
    world.apply(vnet("bad", 5003, "10.3.0.0/24"))
    await world.one_pass()
    assert world.kube.journal["pve"].dirty
    assert world.kube.status(CLUSTER)["pending"] == {"own": 1}
    assert failed(world) == {"StagingFailed"}
    world.now += timedelta(minutes=1)
    await world.settle()
    assert failed(world) == set()


async def test_changes_that_wait_for_their_window_are_nobody_unready() -> None:
    window = {"schedule": "0 22 * * *", "timeZone": "Europe/Vienna", "durationMinutes": 60}
    access = [{"namespaces": {}, "guests": {"vmids": [{"from": 100, "to": 199}]}}]
    nic = {"clusterRef": {"name": "pve"}, "guest": {"vmid": 100}, "device": "net5", "vnetRef": {"name": "new"}}
    world = await programmed()
    world.apply(cluster(guestAccess=access, apply={"policy": "Window", "windows": [window]}))
    world.apply(zone(mtu=1400), vnet("new", 5004), document("NicAttachment", "n", nic))
    await world.settle_or_wait()
    objects, waiting = scraped(world, "objects"), scraped(world, "objects_waiting")
    unready = {kind: objects[kind, "False"] for kind in WATCHED}
    assert unready["ProxmoxCluster"] == unready["EvpnZone"] == unready["VNet"] == unready["NicAttachment"] == 1
    assert {kind: count - waiting[kind,] for kind, count in unready.items()} == dict.fromkeys(WATCHED, 0)
