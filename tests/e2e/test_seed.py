"""The case the project was born from, end to end on real parts."""

from __future__ import annotations

import itertools

import pytest

from tests.e2e.stack import NOWHERE, Stack
from tests.waiting import await_

pytestmark = pytest.mark.kube


def test_the_seed_topology_costs_one_apply_and_leaves_nothing_behind(stack: Stack) -> None:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    assert stack.lab.applies == 1
    assert stack.lab.sdn.lock is None
    assert stack.lab.sdn.running["zones"]["EZone1"]["vrf-vxlan"] == 100001
    assert stack.lab.sdn.running["vnets"]["EVPN1"]["tag"] == 5001
    assert stack.lab.guests[100].config["net0"] == "virtio=BC:24:11:11:11:11,bridge=EVPN1,firewall=1"
    nic = stack.get(seed[-1])["status"]
    assert (nic["node"], nic["vnet"], nic["macAddress"]) == ("pve4", "EVPN1", "bc:24:11:11:11:11")

    stack.delete(*seed)
    assert stack.lab.sdn.running == {kind: {} for kind in stack.lab.sdn.running}
    assert stack.lab.sdn.edited == stack.lab.sdn.running
    assert stack.plane.kubectl("get", "evpnn", "-o", "name") == ""
    assert stack.lab.sdn.lock is None
    assert stack.lab.guests[100].config["net0"] == "virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1"


def test_a_restart_writes_nothing(stack: Stack) -> None:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    passes = stack.metric("pve_evpn_reconcile_duration_seconds_count")
    # What the first looks still find out is written by the one that runs, not by the next.
    await_("it has come to rest", lambda: stack.metric("pve_evpn_reconcile_duration_seconds_count") >= passes + 2)
    stack.stop_operator()
    writes = stack.writes()
    versions = [stack.get(document)["metadata"]["resourceVersion"] for document in seed]
    stack.start_operator()
    await_("three whole passes", lambda: stack.metric("pve_evpn_reconcile_duration_seconds_count") >= 3)
    assert stack.writes() == writes
    assert [stack.get(document)["metadata"]["resourceVersion"] for document in seed] == versions
    assert stack.metric("pve_evpn_k8s_requests_total") == 0


@pytest.mark.parametrize("order", [(4, 3, 2, 1, 0), (2, 4, 0, 3, 1)], ids=str)
def test_any_order_of_apply_and_delete_works(stack: Stack, order: tuple[int, ...]) -> None:
    seed = stack.seed()
    for position in order:
        stack.apply(seed[position])
    stack.await_ready(*seed)
    for position in order[::-1]:
        stack.delete(seed[position], wait=False)
    await_("everything is gone", lambda: not any(stack.get(document) for document in seed))
    assert not any(itertools.chain.from_iterable(stack.lab.sdn.running.values()))


def test_a_zone_names_the_controller_it_waits_for(stack: Stack) -> None:
    seed = stack.seed()
    stack.apply(seed[0], seed[2])
    message = stack.await_condition(seed[2], "Ready", "RefNotFound")
    assert "evpn1" in message
    assert stack.condition(seed[2], "Reconciling")["status"] == "True"


def test_a_hundred_vnets_cost_at_most_two_applies(stack: Stack) -> None:
    seed = stack.seed()
    vnets = [
        {
            **seed[3],
            "metadata": {"name": f"net{n}", "namespace": "default"},
            "spec": {**seed[3]["spec"], "id": f"n{n}", "vni": 6000 + n},
        }
        for n in range(100)
    ]
    stack.apply(*seed[:3], *vnets)
    stack.await_ready(*vnets, seconds=120)
    assert stack.lab.applies <= 2
    assert len(stack.lab.sdn.running["vnets"]) == 100


def test_bad_input_is_named_and_blocks_nothing_else(stack: Stack) -> None:
    seed = stack.seed()
    taken = {
        **seed[3],
        "metadata": {"name": "taken", "namespace": "default"},
        "spec": {**seed[3]["spec"], "id": "taken"},
    }
    lost = {
        **seed[2],
        "metadata": {"name": "lost"},
        "spec": {**seed[2]["spec"], "id": "lost", "vrfVni": 7, "controllerRef": {"name": "nope"}},
    }
    stack.apply(*seed)
    stack.await_ready(*seed)
    stack.apply(taken, lost)
    assert "5001" in stack.await_condition(taken, "Ready", "VniConflict")
    assert stack.condition(taken, "Stalled")["status"] == "True"
    assert "nope" in stack.await_condition(lost, "Ready", "RefNotFound")
    stack.await_ready(*seed)


def test_a_wrong_token_and_a_dead_endpoint_are_named(stack: Stack) -> None:
    seed = stack.seed()
    stack.write_secret("wrong")
    stack.apply(*seed)
    stack.await_condition(seed[0], "Ready", "AuthenticationFailed")
    assert stack.condition(seed[0], "Reachable")["status"] == "True"
    stack.write_secret("secret")
    stack.await_ready(*seed)
    dead = {**seed[0], "spec": {**seed[0]["spec"], "endpoints": [NOWHERE]}}
    stack.apply(dead)
    message = stack.await_condition(seed[0], "Ready", "ClusterUnreachable")
    assert "refused" in message
    assert stack.condition(seed[3], "Stalled") == {}
    stack.apply(seed[0])
    stack.await_ready(*seed)
