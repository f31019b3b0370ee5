"""Other people's edits: never published by us, always named, and looked for again under the lock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pve_lab.faults import HostEdit, RequestFault
from pve_lab.request import Answer
from tests.engine.world import NET1, SEED, Killed, World, cluster, controller, programmed, vnet

APPLY = {"apply": {"foreignPending": "Include"}}
OTHERS = {
    "zone": ("POST", "/cluster/sdn/zones", {"zone": "theirs", "type": "simple"}),
    "vnet": ("POST", "/cluster/sdn/vnets", {"vnet": "theirs", "zone": "zone1", "tag": "99"}),
    "subnet": ("POST", "/cluster/sdn/vnets/net1/subnets", {"subnet": "10.9.0.0/24", "type": "subnet"}),
    "controller": (
        "POST",
        "/cluster/sdn/controllers",
        {"controller": "bgp1", "type": "bgp", "node": "pve1", "asn": "65001", "peers": "10.0.0.1"},
    ),
}


@dataclass(kw_only=True)
class Reply(RequestFault):
    """Another answer than the lab's: collections it does not model with pending edits."""

    data: Any = field(default=None)

    def around(self, lab: Any, request: Any, proceed: Any) -> Answer:
        return Answer(200, "OK", {"data": self.data})


async def test_a_host_network_edit_made_while_we_stage_stops_the_apply() -> None:
    """The SDN lock does not cover it, and the apply would activate it."""
    world = await programmed()
    good = world.apply(vnet("good", 5004))[0]
    world.once("after", "POST", "/cluster/sdn/vnets", lambda: world.lab.faults.add(HostEdit(node="pve1")))
    applies = world.lab.applies
    await world.one_pass()
    assert world.lab.nodes["pve1"].network.changes
    assert world.lab.applies == applies
    assert world.programmed(good)[0] == "NodeNetworkPending"
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.sdn.lock is None


async def test_it_leaves_nothing_of_an_interrupted_run_either() -> None:
    world = await programmed()
    good = world.apply(vnet("good", 5004))[0]

    def die(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("before", "PUT", "/cluster/sdn"):
            raise Killed

    world.interrupt = die
    assert await world.run_until_killed()
    looks = 0

    def edit(when: str, method: str, path: str) -> None:
        nonlocal looks
        if (when, method, path) == ("after", "GET", "/nodes/pve1/network"):
            looks += 1
            if looks == 1:  # the sync's own; the next one is the check before the apply
                world.lab.faults.add(HostEdit(node="pve1"))

    world.interrupt = edit
    world.start()
    await world.one_pass()
    assert world.programmed(good)[0] == "NodeNetworkPending"
    assert world.lab.nodes["pve1"].network.changes
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.sdn.lock is None


@pytest.mark.parametrize("what", OTHERS)
async def test_a_staged_object_of_somebody_stops_the_transaction_and_is_named(what: str) -> None:
    world = await programmed()
    method, path, params = OTHERS[what]
    assert world.by_hand(method, path, **params).status == 200
    world.apply(vnet("net2", 5002))
    await world.settle_or_wait()
    reason, message = world.programmed()
    assert reason == "ForeignPendingChanges"
    assert f"{what} {'zone1-10.9.0.0-24' if what == 'subnet' else next(iter(params.values()))} new" in message
    assert world.programmed(world.apply(vnet("net2", 5002))[0])[0] == "ForeignPendingChanges"
    assert world.lab.applies == 1
    assert world.lab.sdn.lock is None
    assert world.kube.status(NET1)["conditions"][0]["status"] == "True", "what is programmed stays Ready"


async def test_a_staged_property_of_somebody_is_named_and_not_published() -> None:
    """The zone is adopted and its spec says nothing of mtu: that property is not ours."""
    world = World()
    world.by_hand("POST", "/cluster/sdn/controllers", controller="evpn1", type="evpn", asn="65001", fabric="Fabric1")
    fields = {"zone": "zone1", "type": "evpn", "controller": "evpn1", "vrf-vxlan": "100001"}
    world.by_hand("POST", "/cluster/sdn/zones", **fields)
    world.by_hand("PUT", "/cluster/sdn")
    world.apply(*SEED)
    await world.settle()
    assert world.complaints() == []
    world.by_hand("PUT", "/cluster/sdn/zones/zone1", mtu="1300")
    world.apply(vnet("net2", 5002))
    await world.settle_or_wait()
    reason, message = world.programmed()
    assert (reason, "zone zone1 changed (mtu)" in message) == ("ForeignPendingChanges", True)
    assert "mtu" not in world.lab.sdn.running["zones"]["zone1"]


@pytest.mark.parametrize("path", ["fabrics/all", "route-maps/entries", "prefix-lists"])
async def test_edits_of_fabrics_and_policies_count_too(path: str) -> None:
    world = await programmed()
    rows = {
        "fabrics/all": {"fabrics": [{"id": "Fabric2", "state": "new", "pending": {}}, {"id": "Fabric1"}], "nodes": []},
        "route-maps/entries": [{"route-map-id": "rm", "order": 10, "state": "changed", "pending": {"action": "deny"}}],
        "prefix-lists": [{"id": "pl", "state": "deleted", "pending": {}}],
    }
    world.lab.faults.add(Reply(path=f"/cluster/sdn/{path}", data=rows[path]))
    world.apply(vnet("net2", 5002))
    await world.settle_or_wait()
    reason, message = world.programmed()
    assert reason == "ForeignPendingChanges"
    assert any(
        name in message for name in ("fabric Fabric2 new", "route-map rm changed (10)", "prefix-list pl deleted")
    )
    assert world.lab.applies == 1


async def test_host_network_edits_are_named_by_node_and_interface() -> None:
    world = await programmed()
    edit = world.lab.faults.add(HostEdit(node="pve2"))
    world.apply(vnet("net2", 5002))
    await world.settle_or_wait()
    reason, message = world.programmed()
    assert reason == "NodeNetworkPending"
    assert "pve2 (vmbr7)" in message
    assert world.lab.nodes["pve2"].network.changes, "nobody activated them"
    world.lab.faults.remove(edit)
    await world.settle()
    assert world.complaints() == []


async def test_a_node_that_does_not_say_whether_it_has_such_edits_stops_it_too() -> None:
    world = await programmed()
    silence = world.refuse("GET", "/nodes/pve2/network", "Connection timed out", 596)
    world.apply(vnet("net2", 5002))
    await world.settle_or_wait()
    reason, message = world.programmed()
    assert (reason, "pve2" in message) == ("NodeNetworkPending", True)
    world.lab.faults.remove(silence)
    await world.settle()
    assert world.complaints() == []


async def test_include_applies_them_too() -> None:
    world = await programmed(**APPLY)
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="theirs", zone="zone1", tag="99")
    world.lab.faults.add(HostEdit(node="pve2"))
    world.apply(vnet("net2", 5002))
    await world.settle()
    assert "theirs" in world.lab.sdn.running["vnets"]
    assert world.lab.nodes["pve2"].network.changes == ""


async def test_foreign_edits_alone_are_no_reason_for_an_apply() -> None:
    world = await programmed(**APPLY)
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="theirs", zone="zone1", tag="99")
    await world.settle()
    assert world.lab.applies == 1
    assert world.kube.status(next(iter(world.kube.objects)))["pending"]["foreign"] == ["vnet theirs new"]


@pytest.mark.parametrize("moment", ["lock", "host"])
async def test_what_appears_between_the_look_and_the_lock_is_seen_under_the_lock(moment: str) -> None:
    world = await programmed()
    world.apply(vnet("net2", 5002))

    def interrupt(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("after" if moment == "host" else "before", "POST", "/cluster/sdn/lock"):
            world.interrupt = lambda *_: None
            if moment == "host":
                world.lab.faults.add(HostEdit(node="pve3"))
            else:
                world.by_hand("POST", "/cluster/sdn/vnets", vnet="theirs", zone="zone1", tag="99")

    world.interrupt = interrupt
    await world.settle_or_wait()
    assert world.programmed()[0] == ("NodeNetworkPending" if moment == "host" else "ForeignPendingChanges")
    assert world.lab.applies == 1
    assert "net2" not in world.lab.sdn.edited["vnets"]
    assert world.lab.sdn.lock is None


async def test_somebodys_staged_edit_of_our_object_is_taken_back_without_an_apply() -> None:
    world = await programmed()
    world.by_hand("PUT", "/cluster/sdn/vnets/net1", alias="theirs")
    world.by_hand("DELETE", "/cluster/sdn/vnets/net1/subnets/zone1-10.1.0.0-24")
    await world.settle()
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "default/net1"
    assert world.lab.applies == 1
    assert world.events("Corrected")


async def test_a_staged_deletion_of_our_zone_is_taken_back_with_the_mac_it_runs_with() -> None:
    world = await programmed()
    mac = world.lab.sdn.running["zones"]["zone1"]["mac"]
    world.by_hand("DELETE", "/cluster/sdn/vnets/net1/subnets/zone1-10.1.0.0-24")
    world.by_hand("DELETE", "/cluster/sdn/vnets/net1")
    world.by_hand("DELETE", "/cluster/sdn/zones/zone1")
    await world.settle()
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.sdn.running["zones"]["zone1"]["mac"] == mac
    assert world.lab.applies == 1


async def test_with_drift_report_somebodys_staged_edit_of_our_object_is_foreign() -> None:
    world = await programmed(drift="Report")
    world.by_hand("PUT", "/cluster/sdn/vnets/net1", alias="theirs")
    world.apply(vnet("net2", 5002))
    await world.settle_or_wait()
    assert world.programmed()[0] == "ForeignPendingChanges"
    assert world.lab.sdn.running["vnets"]["net1"]["alias"] == "default/net1"


async def test_another_spelling_of_our_own_values_stops_nothing_and_of_others_does() -> None:
    peers = {"underlay": {"peers": ["192.168.16.1", "192.168.16.2"]}}
    theirs = {"zone": "theirs", "type": "evpn", "controller": "evpn1", "vrf-vxlan": "9", "rt-import": "1:1,2:2"}
    world = World()
    world.apply(cluster(), controller(**peers))
    await world.settle()
    world.by_hand("POST", "/cluster/sdn/zones", **theirs)
    world.by_hand("PUT", "/cluster/sdn")
    world.by_hand("PUT", "/cluster/sdn/controllers/evpn1", peers="192.168.16.2 192.168.16.1")
    world.apply(controller(asn=65009, **peers))
    await world.settle()
    assert world.lab.sdn.running["controllers"]["evpn1"]["asn"] == 65009
    world.by_hand("PUT", "/cluster/sdn/zones/theirs", **{"rt-import": "2:2,1:1"})
    world.apply(controller(asn=65010, **peers))
    await world.settle_or_wait()
    assert "zone theirs changed (rt-import)" in world.programmed()[1]


async def test_a_kind_that_this_program_does_not_know_counts_too() -> None:
    world = await programmed()
    world.lab.faults.add(Reply(path="/cluster/sdn", method="GET", data=[{"id": "zones"}, {"id": "overlays"}]))
    world.lab.faults.add(Reply(path="/cluster/sdn/overlays", data=[{"id": "new1", "state": "new"}, {"id": "old"}]))
    world.apply(vnet("net2", 5002))
    world.start()
    await world.settle_or_wait()
    assert world.programmed()[0] == "ForeignPendingChanges"
    assert "object overlays/new1 new" in world.programmed()[1]
