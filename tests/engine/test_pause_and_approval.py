"""Annotations that people set: a pause that is easily forgotten, an approval of another plan, a name mistyped."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from pve_evpn.api.kinds import KINDS
from pve_evpn.engine.collector import StatusCollector
from tests.engine.world import CLUSTER, NET1, ZONE, World, cluster, programmed, vnet, zone

PAUSED = "pve-evpn.dev/paused"
APPROVED = "pve-evpn.dev/approved-plan"


def series(world: World, name: str) -> dict[str, float]:
    """Values by kind."""
    assert world.cache
    registry = CollectorRegistry()
    registry.register(StatusCollector(world.cache, lambda: world.now))
    return {
        sample.labels["kind"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"pve_evpn_{name}" and sample.labels["cluster"] == "pve"
    }


@pytest.mark.parametrize("value", ["true", "yes", "", "True", "until friday"])
async def test_every_value_but_false_pauses(value: str) -> None:
    world = await programmed()
    world.kube.annotate(NET1, PAUSED, value)
    await world.settle()
    assert world.kube.condition(NET1, "Paused")["reason"] == "AnnotationPaused"
    world.kube.annotate(NET1, PAUSED, "false")
    await world.settle()
    assert world.kube.condition(NET1, "Paused")["status"] == "False"


async def test_a_pause_is_counted_with_the_time_it_began() -> None:
    world = await programmed()
    assert series(world, "objects_paused")["VNet"] == 0
    assert series(world, "paused_since_timestamp_seconds") == {}
    began = world.now = world.now + timedelta(hours=1)
    world.kube.annotate(NET1, PAUSED, "true")
    await world.settle()
    world.now += timedelta(days=2)
    world.kube.annotate(ZONE, PAUSED, "true")
    await world.settle()
    assert series(world, "objects_paused") == {kind: int(kind in ("EvpnZone", "VNet")) for kind in KINDS}
    assert series(world, "paused_since_timestamp_seconds")["VNet"] == began.timestamp()
    world.kube.annotate(NET1, PAUSED, None)
    world.kube.annotate(ZONE, PAUSED, None)
    await world.settle()
    assert series(world, "paused_since_timestamp_seconds") == {}


async def test_a_paused_cluster_is_one_pause() -> None:
    world = await programmed()
    world.kube.annotate(CLUSTER, PAUSED, "true")
    await world.settle()
    assert world.kube.condition(NET1, "Paused")["reason"] == "ClusterPaused"
    paused = series(world, "objects_paused")
    assert (paused["ProxmoxCluster"], paused["VNet"]) == (1, 0)


async def test_a_wrong_approval_is_answered_once_with_the_hash_that_waits() -> None:
    world = await programmed()
    world.apply(cluster(apply={"policy": "Manual"}), zone(mtu=1400))
    await world.settle_or_wait()
    hash_ = world.kube.status(CLUSTER)["pendingPlan"]["hash"]
    assert world.events("WrongApproval") == []
    world.kube.annotate(CLUSTER, APPROVED, "0123")
    await world.settle_or_wait()
    world.start()
    await world.settle_or_wait()
    (answer,) = world.events("WrongApproval")
    assert "0123" in answer
    assert hash_ in answer
    said = f"The annotation is 0123 now, and this plan is {hash_}"
    assert said in world.programmed()[1]
    assert said in world.kube.status(CLUSTER)["pendingPlan"]["message"]
    world.kube.annotate(CLUSTER, APPROVED, hash_)
    await world.settle()
    assert world.complaints() == []
    world.apply(zone(mtu=1399))  # the annotation stays, and was used
    await world.settle_or_wait()
    assert "The annotation is" not in world.programmed()[1]
    assert len(world.events("WrongApproval")) == 1


async def test_an_approval_while_nothing_waits_is_answered_too() -> None:
    world = await programmed()
    world.kube.annotate(CLUSTER, APPROVED, "x" * 300 + "\n")
    await world.settle()
    (answer,) = world.events("WrongApproval")
    assert answer.endswith("which approves nothing: no plan waits")
    assert len(answer) < 200


@pytest.mark.parametrize("window", [{"timeZone": "Europe/Nowhere"}, {"schedule": "0 0 30 2 *"}])
async def test_a_window_that_never_opens_is_refused_before_anything_waits_for_it(window: dict[str, str]) -> None:
    world = await programmed()
    base = {"schedule": "0 22 * * *", "timeZone": "Europe/Vienna", "durationMinutes": 60}
    world.apply(cluster(apply={"policy": "Window", "windows": [{**base, **window}]}))
    await world.settle()
    accepted = world.kube.condition(CLUSTER, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert next(iter(window.values())) in accepted["message"]
    assert world.kube.condition(CLUSTER, "Stalled")["status"] == "True"
    assert world.ready(NET1)["status"] == "True"
    world.apply(cluster(apply={"policy": "Window", "windows": [base]}))
    await world.settle()
    assert world.complaints() == []


async def test_an_annotation_of_ours_that_does_not_exist_is_named_with_the_one_that_was_meant() -> None:
    world = await programmed()
    world.kube.annotate(NET1, "pve-evpn.dev/pause", "true")
    world.kube.annotate(CLUSTER, "pve-evpn.dev/approved_plan", "0")
    await world.settle()
    effective = world.kube.condition(NET1, "Effective")
    assert (effective["status"], effective["reason"]) == ("False", "UnknownAnnotation")
    assert "pve-evpn.dev/pause; is pve-evpn.dev/paused meant?" in effective["message"]
    assert "approved-plan meant?" in world.kube.condition(CLUSTER, "Effective")["message"]
    assert world.complaints() == []
    world.kube.annotate(NET1, "pve-evpn.dev/pause", None)
    await world.settle()
    assert world.kube.condition(NET1, "Effective") == {}


async def test_annotations_of_others_are_none_of_ours() -> None:
    world = await programmed(vnet("net2", 5002))
    world.kube.objects[NET1]["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] = "1"
    world.kube.annotate(NET1, "pve-evpn.dev/reconcile-requested-at", "now")
    await world.settle()
    assert world.kube.condition(NET1, "Effective") == {}
