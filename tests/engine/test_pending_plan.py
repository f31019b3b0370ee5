"""``status.pendingPlan``: what would be changed and is not, whatever the reason; nothing is written while it stays."""

from __future__ import annotations

from typing import Any

import pytest

from pve_lab.faults import ForeignChange, ForeignLock, OutOfBandEdit
from tests.engine.world import CLUSTER, NET1, SEED, ZONE, World, cluster, programmed, vnet, zone

PAUSED = "pve-evpn.dev/paused"
NET2 = vnet("net2", 5002, "10.2.0.0/24", alias="two")
CREATIONS = ["create vnet net2", "create subnet zone1-10.2.0.0-24 in vnet net2"]


def pending(world: World) -> dict[str, Any]:
    return dict(world.kube.status(CLUSTER).get("pendingPlan") or {})


async def _paused_cluster(world: World) -> None:
    world.kube.annotate(CLUSTER, PAUSED, "yes")


async def _paused_zone_with_an_edit(world: World) -> None:
    world.kube.annotate(ZONE, PAUSED, "true")


async def _observed_only(world: World) -> None:
    world.apply(cluster(managementPolicy="ObserveOnly"))


async def _locked(world: World) -> None:
    world.lab.faults.add(ForeignLock())


async def _foreign_edit(world: World) -> None:
    world.lab.faults.add(ForeignChange(object="zones/alien"))


async def _outside_window(world: World) -> None:
    window = {"schedule": "0 22 * * *", "timeZone": "Europe/Vienna", "durationMinutes": 60}
    world.apply(cluster(apply={"policy": "Window", "windows": [window]}))


async def _manual(world: World) -> None:
    world.apply(cluster(apply={"policy": "Manual"}))


@pytest.mark.parametrize(
    ("prevent", "reason", "words"),
    [
        (_paused_cluster, "ClusterPaused", "ProxmoxCluster pve is paused"),
        (_observed_only, "FieldsDiffer", "managementPolicy of ProxmoxCluster pve is ObserveOnly"),
        (_locked, "SdnLocked", "SDN lock is held"),
        (_foreign_edit, "ForeignPendingChanges", "zone alien new"),
        (_outside_window, "OutsideWindow", "22:00 Europe/Vienna"),
        (_manual, "AwaitingApproval", "approved-plan="),
    ],
)
async def test_what_is_not_applied_is_shown_with_the_reason_and_nothing_is_written_while_it_stays(
    prevent: Any, reason: str, words: str
) -> None:
    world = await programmed()
    await prevent(world)
    world.apply(NET2)
    await world.settle_or_wait()
    plan = pending(world)
    assert plan["summary"] == CREATIONS
    assert (plan["reason"], plan["reasons"]) == (reason, [reason] * 2)
    assert words in plan["message"]
    assert (plan["class"], plan["classes"], plan["destructive"]) == ("reload", ["reload"] * 2, False)
    assert world.lab.applies == 1
    world.kube.writes.clear()
    await world.settle_or_wait()
    world.start()
    await world.settle_or_wait()
    assert world.kube.writes == []
    assert pending(world) == plan


async def test_nothing_waits_where_nothing_differs() -> None:
    world = await programmed()
    await _paused_cluster(world)
    await world.settle_or_wait()
    assert pending(world) == {}


async def test_a_paused_object_waits_beside_a_plan_that_goes_ahead() -> None:
    world = await programmed()
    await _paused_zone_with_an_edit(world)
    world.apply(zone(mtu=1400, advertiseSubnets=True), NET2)
    await world.settle_or_wait()
    assert "net2" in world.lab.sdn.running["vnets"]
    plan = pending(world)
    assert plan["summary"] == ["update zone zone1: advertise-subnets unset -> 1, mtu unset -> 1400"]
    assert (plan["reason"], plan["message"]) == ("AnnotationPaused", "EvpnZone zone1 is paused")
    assert world.programmed(ZONE) == (
        "PendingApply",
        "paused, so this is not applied: update zone zone1: advertise-subnets unset -> 1, mtu unset -> 1400",
    )
    world.kube.annotate(ZONE, PAUSED, None)
    await world.settle()
    assert pending(world) == {}
    assert world.complaints() == []


async def test_a_deletion_that_a_pause_holds_back_is_shown() -> None:
    world = await programmed()
    world.kube.annotate(NET1, PAUSED, "true")
    world.kube.delete(NET1)
    await world.settle_or_wait()
    plan = pending(world)
    assert plan["summary"] == ["delete subnet zone1-10.1.0.0-24", "delete vnet net1"]
    assert (plan["reason"], plan["destructive"]) == ("AnnotationPaused", True)


async def test_reported_drift_is_shown_with_all_its_fields() -> None:
    world = await programmed(drift="Report")
    world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
    world.lab.faults.add(OutOfBandEdit(object="zones/zone1", set="mtu=1300"))
    await world.settle_or_wait()
    plan = pending(world)
    assert plan["summary"] == ["update zone zone1: mtu 1300 -> unset", "update vnet net1: alias theirs -> default/net1"]
    assert plan["reasons"] == ["FieldsDiffer"] * 2
    assert "spec.drift of ProxmoxCluster pve is Report" in plan["message"]


async def test_a_step_that_proxmox_refused_waits_for_its_next_attempt() -> None:
    world = await programmed()
    world.refuse("POST", "/cluster/sdn/vnets", "no")
    world.apply(NET2, zone(mtu=1400))
    await world.settle_or_wait()
    plan = pending(world)
    assert plan["summary"] == CREATIONS
    assert plan["reasons"] == ["StagingFailed"] * 2
    assert "Proxmox refused: create vnet net2: no" in plan["message"]


async def test_a_whole_topology_is_shown_before_the_first_write() -> None:
    world = World()
    world.apply(cluster(managementPolicy="ObserveOnly"), *SEED[1:])
    await world.settle_or_wait()
    assert pending(world)["summary"] == [
        "create controller evpn1",
        "create zone zone1",
        "create vnet net1",
        "create subnet zone1-10.1.0.0-24 in vnet net1",
    ]
    assert world.writes() == []


async def test_a_plan_that_was_approved_during_a_pause_is_the_one_that_is_applied_after_it() -> None:
    world = await programmed()
    world.apply(cluster(apply={"policy": "Manual"}))
    await _paused_cluster(world)
    world.apply(NET2)
    await world.settle_or_wait()
    world.kube.annotate(CLUSTER, "pve-evpn.dev/approved-plan", pending(world)["hash"])
    await world.settle_or_wait()
    assert world.lab.applies == 1
    world.kube.annotate(CLUSTER, PAUSED, None)
    await world.settle()
    assert world.lab.applies == 2
    assert world.complaints() == []


async def test_only_the_part_that_may_be_approved_is_in_the_hash() -> None:
    world = await programmed()
    await _paused_zone_with_an_edit(world)
    world.apply(cluster(apply={"policy": "Manual"}), NET2)
    await world.settle_or_wait()
    before = pending(world)
    world.apply(zone(mtu=1400))
    await world.settle_or_wait()
    plan = pending(world)
    assert plan["reasons"] == ["AwaitingApproval", "AwaitingApproval", "AnnotationPaused"]
    assert (plan["hash"], plan["since"]) == (before["hash"], before["since"])


async def test_an_adoption_says_at_once_all_that_differs() -> None:
    world = World()
    world.by_hand("POST", "/cluster/sdn/controllers", controller="evpn1", type="evpn", asn="65001", fabric="Fabric1")
    world.by_hand(
        "POST", "/cluster/sdn/zones", zone="zone1", type="evpn", controller="evpn1", **{"vrf-vxlan": "100001"}
    )
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="net1", zone="zone1", tag="5001", alias="theirs")
    world.by_hand("POST", "/cluster/sdn/vnets/net1/subnets", subnet="10.1.0.0/24", type="subnet", gateway="10.1.0.254")
    world.by_hand("PUT", "/cluster/sdn")
    adopting = zone(adoption={"namespaces": {}})
    subnet = {"cidr": "10.1.0.0/24", "gateway": "10.1.0.1"}
    world.apply(
        cluster(),
        SEED[1],
        adopting,
        vnet("net1", 5001, alias="ours")
        | {"spec": {"zoneRef": {"name": "zone1"}, "vni": 5001, "alias": "ours", "subnets": [subnet]}},
    )
    await world.settle_or_wait()
    message = world.kube.condition(NET1, "Accepted")["message"]
    assert "alias: theirs instead of ours" in message
    assert "gateway: 10.1.0.254 instead of 10.1.0.1" in message
