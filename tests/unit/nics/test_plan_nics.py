"""The plan for NICs, case by case: what is written, what waits, what is refused, what is put back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.nics import NicDecision, NicPlan, plan_nics
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import Desired, Origin, Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import ClusterState, GuestState, PveVersion
from tests.unit.plan.world import NODES, after, cluster, controller, desired, resource, sdn, vnet, with_status, zone

MAC = "BC:24:11:00:00:01"
PLAIN = f"virtio={MAC},bridge=vmbr0,firewall=1"
ALL_GUESTS = [{"namespaces": {}, "guests": {"vmids": [{"from": 100, "to": 999}]}}]


def nic(name: str = "web-net0", *, age: int = 0, **spec: Any) -> Resource[Any]:
    changes = {key: spec.pop(key) for key in ("deleting", "status", "annotations", "generation") if key in spec}
    base = {
        "clusterRef": {"name": "pve"},
        "guest": {"vmid": 100},
        "device": "net0",
        "vnetRef": {"name": "net1"},
    }
    return resource("NicAttachment", name, {**base, **spec}, age=age, **changes)


def vm(vmid: int = 100, **changes: Any) -> GuestState:
    base = {"vmid": vmid, "kind": "qemu", "node": "pve4", "name": "web", "running": True, "digest": "d1"}
    return GuestState(**{**base, "nics": {"net0": PLAIN}, **changes})


def ct(vmid: int = 200, **changes: Any) -> GuestState:
    net0 = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=dhcp,type=veth"
    return vm(vmid, **{"kind": "lxc", "name": "ct", "nics": {"net0": net0}, **changes})


class World:
    """The seed topology, programmed and available everywhere, with some guests."""

    def __init__(self, *guests: GuestState, zone_spec: dict[str, Any] | None = None, **cluster_spec: Any) -> None:
        base, observed = after(controller(), zone(**(zone_spec or {})), vnet())
        self.base = base
        nodes = {name: replace(node, zones={"zone1": "available"}) for name, node in NODES.items()}
        self.observed: ClusterState = replace(observed, nodes=nodes, guests={guest.vmid: guest for guest in guests})
        self.cluster = cluster(**{"guestAccess": ALL_GUESTS, **cluster_spec})
        self.namespaces = {"default": {"team": "a"}}

    def desired(self, *nics: Resource[Any]) -> Desired:
        return replace(desired(self.cluster, *self.base, *nics), namespaces=self.namespaces)

    def plan(self, *nics: Resource[Any]) -> NicPlan:
        wanted = self.desired(*nics)
        return plan_nics(wanted, self.observed, plan(wanted, self.observed).decisions)

    def decision(self, item: Resource[Any], *others: Resource[Any]) -> NicDecision:
        return self.plan(item, *others).decisions[item.key]

    def change(self, item: Resource[Any], *others: Resource[Any]) -> dict[str, str | None]:
        """What is written to the only guest that is written to; nothing: {}."""
        writes = self.plan(item, *others).writes
        assert len(writes) <= 1
        return dict(writes[0].changes) if writes else {}

    def with_zone(self, zones: dict[str, str] | None) -> World:
        nodes = {name: replace(node, zones=zones) for name, node in NODES.items()}
        self.observed = replace(self.observed, nodes=nodes)
        return self


def attached(item: Resource[Any], *, origin: Origin = Origin.ADOPTED, vmid: int = 100, **status: Any) -> Resource[Any]:
    """The object as it is once its NIC was written and reported."""
    remembered = {
        "origin": str(origin),
        "vmid": vmid,
        "vnet": "net1",
        "macAddress": MAC.lower(),
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Programmed",
                "status": "True",
                "reason": "Programmed",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    if origin is Origin.ADOPTED:
        remembered["previousBridge"] = "vmbr0"
    return with_status(replace(item, finalizers=(kinds.FINALIZER,)), {**remembered, **status})


def refused(decision: NicDecision) -> tuple[Reason, str]:
    assert decision.refused is not None
    return decision.refused.reason, decision.refused.message


# --- what is written ----------------------------------------------------------------------------------------------


def test_only_the_bridge_changes_where_the_spec_says_no_more() -> None:
    assert World(vm()).change(nic()) == {"net0": f"virtio={MAC},bridge=net1,firewall=1"}


def test_every_field_of_the_spec_is_written_and_no_other() -> None:
    text = f"e1000={MAC},bridge=vmbr0,firewall=1,future=x,rate=3"
    item = nic(firewall=False, model="virtio", mtu=1400, queues=4, rateLimitMBps=12.5, linkDown=True)
    assert World(vm(nics={"net0": text})).change(item) == {
        "net0": f"virtio={MAC},bridge=net1,future=x,rate=12.5,link_down=1,mtu=1400,queues=4"
    }


def test_containers_keep_what_is_not_specified() -> None:
    item = nic(guest={"vmid": 200}, type="lxc", ip="10.0.0.2/24", gw="10.0.0.1")
    assert World(ct()).change(item) == {
        "net0": "name=eth0,bridge=net1,hwaddr=BC:24:11:00:00:02,ip=10.0.0.2/24,type=veth,gw=10.0.0.1"
    }


def test_a_nic_that_reads_differently_and_means_the_same_is_not_written() -> None:
    text = f"model=virtio,macaddr={MAC.lower()},bridge=net1,firewall=0,rate=10"
    decision = World(vm(nics={"net0": text})).decision(nic(macAddress=MAC, firewall=False, rateLimitMBps=10))
    assert decision.in_sync


def test_a_nic_that_proxmox_would_refuse_is_named_and_not_written() -> None:
    decision = World(vm(nics={"net0": f"{PLAIN},bridge=vmbr1"})).decision(nic())
    assert decision.write is None
    assert decision.waiting is not None
    assert "would refuse net0 of VM 100 (web) (bridge: set twice)" in decision.waiting.message


def test_a_flag_that_a_person_wrote_in_words_is_read_as_proxmox_reads_it() -> None:
    world = World(vm(nics={"net0": f"virtio={MAC},bridge=net1,firewall=on"}))
    assert world.decision(nic(firewall=True)).in_sync
    assert world.change(nic(firewall=False)) == {"net0": f"virtio={MAC},bridge=net1"}


def test_a_missing_nic_is_added_with_what_proxmox_needs() -> None:
    world = World(vm(), ct(nics={"net0": "name=eth1,bridge=vmbr0", "net2": "name=eth2,bridge=vmbr0"}))
    assert world.change(nic(device="net1")) == {"net1": "virtio,bridge=net1"}
    container = nic(guest={"vmid": 200}, device="net1", macAddress=MAC)
    assert world.change(container) == {"net1": f"name=eth0,type=veth,bridge=net1,hwaddr={MAC}"}


@pytest.mark.parametrize(
    ("names", "written"),
    [
        ((None, None), {"net1": "eth0", "net2": "eth3"}),
        ((None, "eth0"), {"net1": "eth3", "net2": "eth0"}),
        (("eth0", None), {"net1": "eth0", "net2": "eth3"}),
    ],
    ids=["both chosen", "the younger's is specified", "the older's is specified"],
)
def test_nics_added_to_a_container_at_once_have_different_names(
    names: tuple[str | None, str | None], written: dict[str, str]
) -> None:
    there = {"net5": "name=eth1,bridge=vmbr0", "net6": "name=eth2,bridge=vmbr0"}
    older, younger = (
        replace(item, spec=item.spec.model_copy(update={"name": name}))
        for item, name in zip(
            (nic(f"n{n}", age=n, guest={"vmid": 200}, device=f"net{n}") for n in (1, 2)), names, strict=True
        )
    )
    change = World(ct(nics=there)).change(older, younger)
    assert {device: NetN.parse("lxc", text or "").get("name") for device, text in change.items()} == written


def test_before_9_2_a_new_vm_nic_asks_for_the_mtu_of_its_bridge() -> None:
    world = World(vm())
    world.observed = replace(world.observed, version=PveVersion(9, 1))
    assert world.change(nic(device="net1")) == {"net1": "virtio,mtu=1,bridge=net1"}
    assert world.change(nic(device="net1", mtu=1400)) == {"net1": "virtio,mtu=1400,bridge=net1"}
    assert world.change(nic(device="net1", model="e1000")) == {"net1": "e1000,bridge=net1"}
    assert "mtu: 1" in " ".join(world.decision(nic()).warnings)


def test_several_nics_of_a_guest_are_one_write() -> None:
    world = World(vm(nics={f"net{n}": PLAIN.replace("00:01", f"00:0{n}") for n in range(4)}))
    made = world.plan(*(nic(f"n{n}", age=n, device=f"net{n}") for n in range(4)))
    assert len(made.writes) == 1
    assert set(made.writes[0].changes) == {"net0", "net1", "net2", "net3"}


@pytest.mark.parametrize("where", ["object", "cluster", "paused", "cluster paused"])
def test_nothing_is_written_where_it_is_not_wanted(where: str) -> None:
    world, item = World(vm()), nic()
    match where:
        case "object":
            item = nic(managementPolicy="ObserveOnly")
        case "cluster":
            world = World(vm(), managementPolicy="ObserveOnly")
        case "paused":
            item = nic(annotations={kinds.ANNOTATION_PAUSED: "true"})
        case "cluster paused":
            world.cluster = replace(world.cluster, annotations={kinds.ANNOTATION_PAUSED: "true"})
    assert world.plan(item).writes == ()
    assert world.plan(attached(replace(item, deleting=True))).writes == ()


# --- problem the guest --------------------------------------------------------------------------------------------


def test_a_guest_is_found_by_name_wherever_it_is() -> None:
    decision = World(vm(node="pve2")).decision(nic(guest={"name": "web"}))
    assert decision.guest is not None
    assert (decision.guest.vmid, decision.guest.node) == (100, "pve2")


def test_an_ambiguous_name_is_not_guessed() -> None:
    reason, words = refused(World(vm(), vm(101)).decision(nic(guest={"name": "web"})))
    assert reason is Reason.REF_NOT_FOUND
    assert "100, 101" in words


def test_a_type_tells_namesakes_apart() -> None:
    world = World(vm(), ct(name="web"))
    decision = world.decision(nic(guest={"name": "web"}, type="lxc"))
    assert decision.guest is not None
    assert decision.guest.vmid == 200


def test_a_missing_guest_is_waited_for() -> None:
    decision = World().decision(nic())
    assert refused(decision)[0] is Reason.REF_NOT_FOUND
    assert decision.refused is not None
    assert decision.refused.retryable


def test_a_template_is_named_as_what_it_is() -> None:
    assert "template" in refused(World(vm(template=True)).decision(nic()))[1]


def test_fields_of_the_other_kind_of_guest_are_refused() -> None:
    assert refused(World(ct()).decision(nic(guest={"vmid": 200}, queues=2))) == (
        Reason.INVALID_SPEC,
        "queues: container 200 (ct) cannot have it",
    )
    assert refused(World(ct()).decision(nic(guest={"vmid": 200}, mtu=1)))[0] is Reason.INVALID_SPEC


# --- who may wire what --------------------------------------------------------------------------------------------

TEAM_A = {"matchLabels": {"team": "a"}}


@pytest.mark.parametrize(
    ("grants", "permitted"),
    [
        (None, False),
        ([{"namespaces": TEAM_A, "guests": {"pools": ["a"]}}], True),
        ([{"namespaces": TEAM_A, "guests": {"pools": ["b"]}}], False),
        ([{"namespaces": TEAM_A, "guests": {"tags": ["x", "web"]}}], True),
        ([{"namespaces": TEAM_A, "guests": {"tags": ["we"]}}], False),
        ([{"namespaces": TEAM_A, "guests": {"vmids": [{"from": 1000, "to": 2000}, {"from": 100, "to": 100}]}}], True),
        ([{"namespaces": TEAM_A, "guests": {"vmids": [{"from": 101, "to": 200}]}}], False),
        ([{"namespaces": {"matchLabels": {"team": "b"}}, "guests": {"pools": ["a"]}}], False),
        ([{"namespaces": {}, "guests": {"pools": ["a"]}}], True),
    ],
)
def test_a_guest_is_used_by_grant_only(grants: Any, permitted: bool) -> None:
    world = World(vm(pool="a", tags=frozenset({"web"})), guestAccess=grants)
    assert bool(world.change(nic())) is permitted


@pytest.mark.parametrize("guest", [{"vmid": 100}, {"name": "web"}])
def test_a_guest_one_may_not_use_reads_the_same_as_one_that_is_not_there(guest: dict[str, Any]) -> None:
    there, not_there = World(vm(), guestAccess=None), World(guestAccess=None)
    assert there.decision(nic(guest=guest)) == not_there.decision(nic(guest=guest))


def test_a_namesake_one_may_not_use_makes_no_name_ambiguous() -> None:
    grants = [{"namespaces": {}, "guests": {"vmids": [{"from": 101, "to": 101}]}}]
    decision = World(vm(), vm(101), guestAccess=grants).decision(nic(guest={"name": "web"}))
    assert decision.guest is not None
    assert decision.guest.vmid == 101


def test_a_withdrawn_permission_says_so_and_tears_nothing_down() -> None:
    on_vnet = vm(nics={"net0": PLAIN.replace("vmbr0", "net1")})
    item = attached(nic())
    world = World(on_vnet, guestAccess=None)
    assert refused(world.decision(item))[0] is Reason.REF_NOT_PERMITTED
    assert world.plan(item).writes == ()
    gone = replace(item, deleting=True)
    assert world.decision(gone).release
    assert world.plan(gone).writes == ()


def test_a_namespace_that_lost_its_label_lost_the_guest() -> None:
    world = World(vm(), guestAccess=[{"namespaces": TEAM_A, "guests": {"vmids": [{"from": 100, "to": 100}]}}])
    assert world.change(nic())
    world.namespaces = {"default": {}}
    assert not world.change(nic())


def test_a_vnet_of_another_namespace_is_not_there() -> None:
    item = nic()
    item = replace(item, key=item.key._replace(namespace="other"))
    world = World(vm())
    world.namespaces = {"default": {}, "other": {}}
    assert refused(world.decision(item))[0] is Reason.REF_NOT_FOUND


# --- waiting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zones", [None, {}, {"zone1": "pending"}, {"zone1": "error"}])
def test_a_nic_waits_until_its_vnet_is_up_on_the_guests_node(zones: dict[str, str] | None) -> None:
    world = World(vm()).with_zone(zones)
    decision = world.decision(nic())
    assert decision.waiting is not None
    assert decision.waiting.reason is Reason.WAITING_FOR_DEPENDENCIES
    assert "pve4" in decision.waiting.message
    assert world.plan(nic()).writes == ()


def test_a_nic_waits_for_the_transaction_that_makes_its_vnet() -> None:
    world = World(vm())
    world.observed = replace(world.observed, sdn=sdn())
    decision = world.decision(nic())
    assert decision.waiting is not None
    assert "VNet default/net1" in decision.waiting.message


@pytest.mark.parametrize("lock", ["backup", "clone", "create", "migrate", "rollback", "snapshot", "suspended", "disk"])
def test_a_locked_guest_is_waited_for(lock: str) -> None:
    world = World(vm(lock=lock))
    decision = world.decision(nic())
    assert decision.waiting is not None
    assert decision.waiting.reason is Reason.GUEST_LOCKED
    assert lock in decision.waiting.message
    assert world.plan(nic()).writes == ()


def test_a_lock_means_nothing_where_nothing_is_to_be_written() -> None:
    assert World(vm(lock="backup", nics={"net0": PLAIN.replace("vmbr0", "net1")})).decision(nic()).in_sync


def test_an_unreadable_configuration_is_not_an_empty_one() -> None:
    world = World(vm(nics=None))
    assert world.decision(nic()).waiting is not None
    assert world.plan(nic()).writes == ()


def test_a_guest_outside_the_zones_nodes_is_named_before_and_after_attaching() -> None:
    world = World(vm(), zone_spec={"nodes": ["pve1", "pve2"]})
    decision = world.decision(nic())
    assert decision.waiting is not None
    assert decision.waiting.reason is Reason.NODE_NOT_IN_ZONE
    assert "pve1, pve2" in decision.waiting.message
    world = World(vm(nics={"net0": PLAIN.replace("vmbr0", "net1")}), zone_spec={"nodes": ["pve1"]})
    misplaced = world.decision(nic()).misplaced
    assert misplaced is not None
    assert misplaced.reason is Reason.NODE_NOT_IN_ZONE


# --- after the write ----------------------------------------------------------------------------------------------


def test_what_waits_for_a_restart_is_named_field_by_field() -> None:
    want = f"e1000={MAC},bridge=net1,firewall=1,queues=4"
    world = World(vm(nics={"net0": want}, pending={"net0": f"virtio={MAC},bridge=net1,firewall=1"}))
    decision = world.decision(nic(model="e1000", queues=4))
    assert decision.in_sync
    assert decision.restart == ("model", "queues")


def test_a_nic_that_could_not_be_plugged_waits_as_a_whole() -> None:
    want = f"virtio={MAC},bridge=net1"
    decision = World(vm(nics={"net1": want}, pending={"net1": None})).decision(nic(device="net1"))
    assert decision.restart == ("device",)


def test_a_foreign_change_is_drift_and_is_written_back_or_only_reported() -> None:
    there = vm(nics={"net0": PLAIN})
    item = attached(nic())
    world = World(there)
    assert world.decision(item).drift == ("vnetRef is vmbr0, specified net1",)
    assert world.change(item) == {"net0": f"virtio={MAC},bridge=net1,firewall=1"}
    report = World(there, drift="Report")
    assert report.decision(item).drift
    assert report.plan(item).writes == ()
    assert report.change(nic()) == {"net0": f"virtio={MAC},bridge=net1,firewall=1"}


def test_a_changed_spec_is_not_drift() -> None:
    item = replace(attached(nic(mtu=1400)), generation=2)
    assert World(vm(nics={"net0": PLAIN.replace("vmbr0", "net1")})).decision(item).drift == ()


# --- conflicts ----------------------------------------------------------------------------------------------------


def test_two_objects_for_one_nic_the_older_wins() -> None:
    world = World(vm())
    older, younger = nic("older", age=1), nic("younger", age=2, guest={"name": "web"})
    made = world.plan(younger, older)
    assert refused(made.decisions[younger.key]) == (
        Reason.NIC_CONFLICT,
        "device: net0 of VM 100 (web) already belongs to NicAttachment default/older",
    )
    assert made.decisions[older.key].refused is None
    assert [tuple(write.keys.values()) for write in made.writes] == [(older.key,)]


def test_a_nic_being_detached_is_not_attached_at_the_same_time() -> None:
    going = attached(nic("going", deleting=True), origin=Origin.CREATED)
    coming = nic("coming", age=1)
    world = World(vm(nics={"net0": PLAIN.replace("vmbr0", "net1")}))
    made = world.plan(going, coming)
    assert made.writes[0].changes == {"net0": None}
    assert refused(made.decisions[coming.key])[0] is Reason.NIC_CONFLICT


def test_a_mac_is_used_once_in_a_vnet() -> None:
    other = vm(101, name="db", nics={"net3": PLAIN.replace("vmbr0", "net1")})
    reason, words = refused(World(vm(), other).decision(nic()))
    assert reason is Reason.NIC_CONFLICT
    assert "net3 of VM 101 (db)" in words
    foreign = replace(other, vmid=5000)
    assert "may not use" in refused(World(vm(), foreign).decision(nic()))[1]
    template = replace(other, template=True)
    assert World(vm(), template).decision(nic()).refused is None
    elsewhere = vm(101, nics={"net3": PLAIN})
    assert World(vm(), elsewhere).decision(nic()).refused is None


def test_of_two_objects_with_one_mac_the_older_is_attached() -> None:
    older, younger = nic("older", age=1, macAddress=MAC), nic("younger", age=2, guest={"vmid": 101}, macAddress=MAC)
    unlike = vm(101, nics={"net0": PLAIN.replace("00:01", "00:99")})
    made = World(vm(), unlike).plan(younger, older)
    assert [tuple(write.keys.values()) for write in made.writes] == [(older.key,)]
    assert refused(made.decisions[younger.key])[0] is Reason.NIC_CONFLICT


@pytest.mark.parametrize("spec", [{"tag": 5}, {"trunks": [5, 6]}])
def test_an_evpn_vnet_carries_no_vlans(spec: dict[str, Any]) -> None:
    assert refused(World(vm()).decision(nic(**spec)))[0] is Reason.INVALID_SPEC
    assert refused(World(vm(nics={"net0": f"{PLAIN},tag=5"})).decision(nic()))[0] is Reason.NIC_CONFLICT


def test_an_mtu_above_the_zones_is_refused() -> None:
    assert refused(World(vm()).decision(nic(mtu=1500)))[0] is Reason.MTU_TOO_BIG
    assert refused(World(vm(nics={"net0": f"{PLAIN},mtu=1500"})).decision(nic()))[0] is Reason.MTU_TOO_BIG
    big = {"mtu": 8950}
    assert World(vm(), zone_spec=big).decision(nic(mtu=8950)).refused is None
    assert refused(World(vm(), zone_spec=big).decision(nic(mtu=9000)))[0] is Reason.MTU_TOO_BIG
    assert World(vm()).decision(nic(mtu=1)).refused is None
    other = World(vm(nics={"net0": PLAIN.replace("virtio", "e1000")})).decision(nic(mtu=1500))
    assert other.refused is None
    assert "no effect" in " ".join(other.warnings)


# --- detaching ----------------------------------------------------------------------------------------------------

ON_VNET = PLAIN.replace("vmbr0", "net1")


@pytest.mark.parametrize(
    ("origin", "policy", "change"),
    [
        (Origin.CREATED, None, {"net0": None}),
        (Origin.ADOPTED, None, {"net0": PLAIN}),
        (Origin.CREATED, "Detach", {"net0": None}),
        (Origin.ADOPTED, "LinkDown", {"net0": f"{ON_VNET},link_down=1"}),
        (Origin.CREATED, "LinkDown", {"net0": f"{ON_VNET},link_down=1"}),
        (Origin.CREATED, "Orphan", {}),
    ],
)
def test_deleting_does_what_its_policy_says(origin: Origin, policy: str | None, change: dict[str, str | None]) -> None:
    item = attached(nic(deletionPolicy=policy, deleting=True), origin=origin)
    world = World(vm(nics={"net0": ON_VNET}))
    assert world.change(item) == change
    assert world.decision(item).release is not bool(change)


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"net0": PLAIN},
        {"net0": ON_VNET.replace("00:01", "00:77")},
    ],
    ids=["gone", "elsewhere", "another NIC of that name"],
)
def test_what_is_no_longer_ours_is_let_go(now: dict[str, str]) -> None:
    item = attached(nic(deleting=True), origin=Origin.CREATED)
    world = World(vm(nics=now))
    assert world.decision(item).release
    assert world.plan(item).writes == ()


def test_a_detached_nic_is_waited_for_until_the_guest_lets_it_go() -> None:
    item = attached(nic(deleting=True), origin=Origin.CREATED)
    blocked = World(vm(nics={}, pending={"net0": ON_VNET})).decision(item).blocked
    assert blocked is not None
    assert blocked.reason is Reason.RESTART_REQUIRED


def test_a_guest_that_is_gone_holds_back_no_deletion() -> None:
    assert World().decision(attached(nic(deleting=True))).release


def test_a_nic_with_no_bridge_to_go_back_to_stays_and_is_named() -> None:
    item = attached(nic(deleting=True), previousBridge=None)
    decision = World(vm(nics={"net0": ON_VNET})).decision(item)
    assert decision.release
    assert decision.left == "net0 of VM 100 (web) on net1, because no bridge is known that it was on before"


def test_a_nic_that_was_on_no_bridge_goes_back_to_none() -> None:
    bare = f"virtio={MAC},firewall=1"
    decision = World(vm(nics={"net0": bare})).decision(nic())
    assert (decision.origin, decision.previous_bridge) == (Origin.ADOPTED, "")
    item = attached(nic(deleting=True), previousBridge="")
    assert World(vm(nics={"net0": ON_VNET})).change(item) == {"net0": f"virtio={MAC},firewall=1"}


@pytest.mark.parametrize("policy", ["LinkDown", "Orphan"])
def test_what_stays_by_its_policy_is_not_named(policy: str) -> None:
    item = attached(nic(deletionPolicy=policy, deleting=True), previousBridge=None)
    assert World(vm(nics={"net0": f"{ON_VNET},link_down=1"})).decision(item).left == ""


def test_a_renamed_guest_is_still_detached() -> None:
    item = attached(nic(guest={"name": "web"}, deleting=True))
    assert World(vm(name="www", nics={"net0": ON_VNET})).change(item) == {"net0": PLAIN}


def test_a_locked_guest_holds_back_a_deletion() -> None:
    world = World(vm(nics={"net0": ON_VNET}, lock="backup"))
    item = attached(nic(deleting=True))
    blocked = world.decision(item).blocked
    assert blocked is not None
    assert blocked.reason is Reason.GUEST_LOCKED
    assert world.plan(item).writes == ()


def test_deleting_while_waiting_for_another_vnet_leaves_the_present_one() -> None:
    item = attached(nic(vnetRef={"name": "other"}, deleting=True))
    assert World(vm(nics={"net0": ON_VNET})).change(item) == {"net0": PLAIN}


# --- what a tenant cannot do --------------------------------------------------------------------------------------


@pytest.mark.redteam
def test_the_bridge_to_go_back_to_is_not_taken_from_an_annotation() -> None:
    forged = {
        "pve-evpn.dev/previous-bridge": "mgmt0",
        kinds.ANNOTATION_ORIGIN: "Adopted",
        kinds.ANNOTATION_ATTACHED: "net1",
    }
    item = nic(annotations=forged, deleting=True)
    world = World(vm(nics={"net0": ON_VNET}))
    assert world.plan(item).writes == ()
    assert world.decision(item).release


@pytest.mark.redteam
def test_a_nic_is_not_removed_because_an_annotation_says_that_we_made_it() -> None:
    forged = {kinds.ANNOTATION_ORIGIN: "Created", kinds.ANNOTATION_ATTACHED: "vmbr0"}
    assert World(vm()).decision(nic(annotations=forged, deleting=True)).release
    assert World(vm()).decision(nic(annotations=forged)).origin is Origin.ADOPTED


@pytest.mark.redteam
def test_annotations_do_not_tell_which_guests_exist() -> None:
    world = World(vm(105), guestAccess=None)
    said = set()
    for number in ("105", "106"):
        forged = {kinds.ANNOTATION_ORIGIN: "Adopted", "pve-evpn.dev/attached-guest": number}
        reason, message = refused(world.decision(nic(guest={"vmid": int(number)}, annotations=forged)))
        said.add((reason, message.replace(number, "N")))
    assert len(said) == 1


def test_a_number_that_was_given_to_another_guest_is_another_nic() -> None:
    """The VM whose NIC we made was destroyed; the next one of its number came with a NIC of its own."""
    theirs = "virtio=BC:24:11:99:99:99,bridge=vmbr7"
    item = attached(nic(), origin=Origin.CREATED)
    decision = World(vm(nics={"net0": theirs})).decision(item)
    assert (decision.origin, decision.previous_bridge) == (Origin.ADOPTED, "vmbr7")
    on_our_vnet = World(vm(nics={"net0": theirs.replace("vmbr7", "net1")}))
    assert on_our_vnet.change(attached(nic(deleting=True), origin=Origin.CREATED)) == {}


def test_a_nic_that_was_lost_comes_back_with_its_mac() -> None:
    """Removed by hand, or by a snapshot from before it was made."""
    item = attached(nic(device="net1"), origin=Origin.CREATED, device="net1")
    assert World(vm()).change(item) == {"net1": f"virtio={MAC},bridge=net1"}


def test_what_was_done_to_one_guest_is_not_undone_on_its_namesake() -> None:
    """The name went to another VM: its NIC was there before us, whatever is remembered of the first one."""
    item = attached(nic(guest={"name": "web"}), origin=Origin.CREATED)
    world = World(vm(name="old", nics={}), vm(101, nics={"net0": PLAIN}))
    decision = world.decision(item)
    assert decision.origin is Origin.ADOPTED
    assert decision.previous_bridge == "vmbr0"


def test_a_foreign_vnet_in_the_same_zone_is_no_matter_of_ours() -> None:
    world = World(vm(nics={"net0": PLAIN.replace("vmbr0", "theirs")}))
    foreign = SdnObject(SdnRef(SdnKind.VNET, "theirs"), "vnet", {"zone": "zone1", "tag": "77"})
    world.observed = replace(world.observed, sdn=sdn(*world.observed.sdn.edited.values(), foreign))
    assert world.decision(nic()).previous_bridge == "theirs"
