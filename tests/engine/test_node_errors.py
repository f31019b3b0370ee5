"""A node or guest that answers an error: its words are in the status of what they are about."""

from __future__ import annotations

from datetime import timedelta

from pve_lab.faults import NoIfupdown2
from tests.engine.world import CLUSTER, NET1, cluster, document, key, programmed, vnet


async def test_a_node_that_answers_an_error_is_quoted_on_each_object() -> None:
    world = await programmed()
    fault = world.refuse("GET", "/nodes/pve2/sdn/zones", "unable to parse /etc/frr/frr.conf.local")
    await world.settle()
    rows = {row["name"]: row for row in world.kube.status(NET1)["nodes"]}
    assert rows["pve2"]["state"] == "Unknown"
    assert rows["pve2"]["message"] == "the node answered: unable to parse /etc/frr/frr.conf.local"
    assert rows["pve1"]["state"] == "Available"
    world.lab.faults.remove(fault)
    await world.settle()
    assert world.complaints() == []


async def test_a_node_that_does_not_answer_is_not_quoted() -> None:
    world = await programmed()
    world.refuse("GET", "/nodes/pve2/sdn/zones", "No route to host", 595)
    await world.settle()
    rows = {row["name"]: row for row in world.kube.status(NET1)["nodes"]}
    assert rows["pve2"]["message"] == "the node did not answer"


async def test_what_keeps_an_apply_back_quotes_the_node() -> None:
    world = await programmed()
    world.refuse("GET", "/nodes/pve2/network", "/etc/network/interfaces: syntax error")
    world.apply(vnet("net2", 5002))
    await world.settle_or_wait()
    reason, message = world.programmed()
    assert reason == "NodeNetworkPending"
    assert "pve2 (the node answered: /etc/network/interfaces: syntax error)" in message


async def test_a_guest_that_answers_an_error_is_quoted_too() -> None:
    access = [{"namespaces": {}, "guests": {"vmids": [{"from": 100, "to": 199}]}}]
    nic = {"clusterRef": {"name": "pve"}, "guest": {"vmid": 150}, "device": "net0", "vnetRef": {"name": "net1"}}
    world = await programmed()
    world.add_guest(150, "vmbr0")
    world.refuse("GET", "/nodes/pve1/qemu/150/pending", "unable to parse config")
    world.apply(cluster(guestAccess=access), attachment := document("NicAttachment", "n", nic))
    await world.settle_or_wait()
    assert "Proxmox answered: unable to parse config" in world.ready(key(attachment))["message"]
    assert world.kube.condition(CLUSTER, "Ready")["status"] == "True"


async def test_a_node_that_cannot_reload_says_why() -> None:
    world = await programmed()
    fault = world.lab.faults.add(NoIfupdown2(node="pve2"))
    world.apply(vnet("net2", 5002))
    for _ in range(3):
        await world.one_pass()
    rows = {row["name"]: row for row in world.kube.status(CLUSTER)["nodes"]}
    assert rows["pve2"]["programmed"] is False
    assert "ifupdown2" in rows["pve2"]["message"]
    assert world.programmed()[0] == "PartiallyApplied"
    world.lab.faults.remove(fault)
    world.now += timedelta(minutes=5)
    await world.settle()
    assert world.complaints() == []
