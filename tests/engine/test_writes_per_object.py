"""How often Kubernetes is written for a new object: once before Proxmox is, and once to report."""

from __future__ import annotations

from collections import Counter

from tests.engine.world import CLUSTER, NET1, ZONE, programmed


async def test_a_new_object_costs_one_write_of_metadata_and_one_of_status() -> None:
    world = await programmed()
    writes = Counter(world.kube.writes)
    for key in (ZONE, NET1):
        assert (writes[f"metadata {key}"], writes[f"status {key}"]) == (1, 1), key
    assert writes[f"metadata {CLUSTER}"] == 1


async def test_conditions_that_were_never_judged_get_their_time_with_the_first_report() -> None:
    world = await programmed()
    times = {condition["lastTransitionTime"] for condition in world.kube.status(NET1)["conditions"]}
    assert not [time for time in times if time.startswith("1970")]
