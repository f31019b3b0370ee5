"""Out-of-band edits: found, told once, corrected or only reported; and what is no drift."""

from __future__ import annotations

import pytest

from pve_lab.faults import ForeignLock, NodeOffline, OutOfBandEdit
from tests.engine.world import CLUSTER, NET1, ZONE, cluster, programmed, vnet, zone


async def test_an_out_of_band_edit_is_written_back_with_one_apply_and_told_once() -> None:
    world = await programmed()
    world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
    await world.settle()
    assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "default/net1"
    assert world.lab.applies == 3
    assert world.events("Drifted") == ["alias is theirs, specified default/net1: the specified values are written back"]
    await world.settle()
    assert world.lab.applies == 3


async def test_an_object_removed_out_of_band_is_made_again() -> None:
    world = await programmed()
    world.lab.sdn.edited["subnets"].clear()
    world.lab.sdn.edited["vnets"].clear()
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle()
    assert world.lab.sdn.running["vnets"]["net1"]["tag"] == 5001
    assert "zone1-10.1.0.0-24" in world.lab.sdn.running["subnets"]
    assert "vnet net1 is missing" in world.events("Drifted")[0]


async def test_report_says_it_and_changes_nothing_ever() -> None:
    world = await programmed(drift="Report")
    world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
    await world.settle()
    drifted = world.kube.condition(NET1, "Drifted")
    assert (drifted["status"], drifted["message"]) == ("True", "alias is theirs, specified default/net1")
    assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "theirs"
    assert world.events("Drifted") == ["alias is theirs, specified default/net1: only reported"]
    patches = len(world.kube.writes)
    for restart in (False, True, False):
        if restart:
            world.start()
        await world.settle()
    assert world.kube.writes[patches:] == []
    assert world.lab.applies == 2


@pytest.mark.parametrize("trouble", ["lock", "offline"])
async def test_other_trouble_does_not_make_report_forget_that_it_is_drift(trouble: str) -> None:
    world = await programmed(vnet("net2", 5002), drift="Report")
    fault = world.lab.faults.add(ForeignLock() if trouble == "lock" else NodeOffline(node="pve3"))
    world.apply(vnet("net2", 5002, alias="new"))
    await world.settle_or_wait()
    world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
    await world.settle_or_wait()
    world.lab.faults.remove(fault)
    await world.settle()
    assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "theirs"
    assert world.kube.condition(NET1, "Drifted")["status"] == "True"


async def test_a_new_spec_takes_the_drift_along() -> None:
    world = await programmed(drift="Report")
    world.lab.faults.add(OutOfBandEdit(object="zones/zone1", set="mtu=1300"))
    await world.settle()
    assert world.kube.condition(ZONE, "Drifted")["status"] == "True"
    world.apply(zone(mtu=1400))
    await world.settle()
    assert world.lab.sdn.running["zones"]["zone1"]["mtu"] == 1400
    assert world.kube.condition(ZONE, "Drifted")["status"] == "False"


async def test_values_proxmox_fills_in_are_no_drift() -> None:
    world = await programmed()
    world.lab.faults.add(OutOfBandEdit(object="zones/zone1", set="mac=BC:24:11:00:00:99"))
    await world.settle()
    assert world.kube.condition(ZONE, "Drifted")["status"] == "False"
    assert world.lab.applies == 2


async def test_a_paused_object_is_watched_and_left_alone() -> None:
    world = await programmed()
    world.kube.annotate(NET1, "pve-evpn.dev/paused", "true")
    world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
    await world.settle_or_wait()
    assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "theirs"
    assert world.kube.condition(NET1, "Drifted")["status"] == "True"
    assert world.kube.condition(NET1, "Paused")["status"] == "True"


@pytest.mark.parametrize("how", ["paused", "ObserveOnly"])
async def test_a_cluster_that_is_not_to_be_written_is_not_written(how: str) -> None:
    world = await programmed()
    writes = world.writes()
    if how == "paused":
        world.kube.annotate(CLUSTER, "pve-evpn.dev/paused", "true")
    else:
        world.apply(cluster(managementPolicy="ObserveOnly"))
    new = world.apply(vnet("net2", 5002))[0]
    world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
    await world.settle_or_wait()
    assert world.writes() == writes
    assert world.kube.condition(NET1, "Drifted")["status"] == "True"
    assert world.ready(new)["status"] == "False"
