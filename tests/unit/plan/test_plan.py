"""The plan, case by case: what is created, what is refused and why, what is never touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pve_evpn.api.conditions import Reason
from pve_evpn.api.vnet import VNetStatus
from pve_evpn.domain.objects import Origin
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.model import Step
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import GuestState, PveVersion
from tests.unit.plan.world import (
    after,
    carry_out,
    cluster,
    controller,
    desired,
    foreign_vnet,
    foreign_zone,
    observed,
    sdn,
    vnet,
    with_status,
    zone,
)

SEED = (controller(), zone(), vnet())
ADOPTION = {"adoption": {"namespaces": {}}}
VNET = SdnRef(SdnKind.VNET, "net1")
ZONE = SdnRef(SdnKind.ZONE, "zone1")


def newer(old, fresh):
    """``fresh``'s spec as the next generation of ``old``."""
    return replace(old, spec=fresh.spec, generation=old.generation + 1)


def with_props(look, ref, **props):
    """Somebody edited an object and applied it."""
    there = look.sdn.edited[ref]
    others = [obj for key, obj in look.sdn.edited.items() if key != ref]
    return replace(look, sdn=sdn(*others, replace(there, props={**there.props, **props})))


def refusal(made, item):
    problem = made.decisions[item.key].refused
    assert problem is not None
    return problem


def test_the_seed_is_created_parents_first() -> None:
    made = plan(desired(*SEED), observed())
    assert [str(step) for step in made.steps] == ["create controller evpn1", "create zone zone1", "create vnet net1"]
    assert made.needs_apply
    assert not made.foreign


def test_nothing_to_do_is_an_empty_plan() -> None:
    resources, look = after(*SEED)
    assert not plan(desired(*resources), look).needs_apply


def test_deleting_goes_children_first_whatever_order_the_user_chose() -> None:
    resources, look = after(controller(), zone(), vnet(subnets=[{"cidr": "10.1.0.0/24"}]))
    going = [replace(r, deleting=True) for r in resources]
    made = plan(desired(*going), look)
    kinds = [step.ref.kind for step in made.steps]
    assert kinds == [SdnKind.SUBNET, SdnKind.VNET, SdnKind.ZONE, SdnKind.CONTROLLER]
    done = plan(desired(*going), replace(look, sdn=carry_out(look.sdn, made)))
    assert all(decision.release for decision in done.decisions.values())


def test_nothing_is_deleted_on_the_word_of_an_incomplete_list() -> None:
    resources, look = after(*SEED)
    going = [replace(r, deleting=True) for r in resources]
    made = plan(desired(*going, complete=False), look)
    assert made.steps == ()
    assert not any(decision.release for decision in made.decisions.values())


def test_a_zone_is_not_deleted_under_a_foreign_vnet() -> None:
    resources, look = after(*SEED)
    look = replace(look, sdn=sdn(*look.sdn.edited.values(), foreign_vnet(zone_id="zone1")))
    made = plan(desired(*(replace(r, deleting=True) for r in resources)), look)
    assert [str(step) for step in made.steps] == ["delete vnet net1"]
    blocked = made.decisions[resources[1].key].blocked
    assert blocked is not None
    assert "theirnet" in blocked.message


def test_a_vnet_that_guests_use_is_not_deleted() -> None:
    resources, look = after(*SEED)
    guest = GuestState(100, "qemu", "pve4", "web", nics={"net0": "virtio=BC:24:11:11:11:11,bridge=net1"})
    going = [replace(r, deleting=True) for r in resources]
    made = plan(desired(*going), replace(look, guests={100: guest}))
    assert made.steps == ()
    blocked = made.decisions[resources[2].key].blocked
    assert blocked is not None
    assert "VM 100 (web) net0 on pve4" in blocked.full


def test_a_field_removed_from_the_spec_is_removed_from_what_we_created() -> None:
    resources, look = after(controller(), zone(mtu=1400), vnet())
    resources[1] = newer(resources[1], zone())
    (step,) = plan(desired(*resources), look).steps
    assert step.action == "update"
    assert [(d.key, d.want) for d in step.diff] == [("mtu", None)]


def test_the_mac_that_proxmox_filled_in_is_left_alone() -> None:
    resources, look = after(*SEED)
    assert "mac" in look.sdn.edited[ZONE].props
    assert plan(desired(*resources), look).steps == ()


def test_an_identical_foreign_object_is_adopted_and_owned_only_in_its_fields() -> None:
    resources = (controller(), zone(**ADOPTION), vnet())
    _, look = after(*resources)
    made = plan(desired(*resources), with_props(look, VNET, alias="theirs"))
    assert made.decisions[SEED[2].key].origin is Origin.ADOPTED
    assert made.steps == ()


def test_a_different_foreign_object_is_refused_with_the_difference() -> None:
    _, look = after(controller(), zone(), vnet(vni=6000))
    made = plan(desired(controller(), zone(**ADOPTION), vnet()), look)
    problem = refusal(made, SEED[2])
    assert problem.reason is Reason.FOREIGN_OBJECT
    assert "tag: 6000 instead of 5001" in problem.message
    assert made.steps == ()


def test_always_overwrites_and_never_refuses() -> None:
    _, look = after(controller(), zone(), vnet(vni=6000))
    parents = (controller(), zone(**ADOPTION))
    (step,) = plan(desired(*parents, vnet(adoptionPolicy="Always")), look).steps
    assert step.action == "update"
    never = vnet(vni=6000, adoptionPolicy="Never")
    assert refusal(plan(desired(*parents, never), look), never).reason is Reason.FOREIGN_OBJECT


def test_what_an_interrupted_transaction_created_is_ours() -> None:
    _, look = after(controller(), zone(), vnet(vni=6000))
    made = plan(desired(*SEED), look, journal=frozenset({VNET}))
    assert made.decisions[SEED[2].key].origin is Origin.CREATED


@pytest.mark.parametrize(
    ("resources", "reason", "words"),
    [
        pytest.param((zone(),), Reason.REF_NOT_FOUND, "'evpn1'", id="no controller"),
        pytest.param((vnet(),), Reason.REF_NOT_FOUND, "'zone1'", id="no zone"),
        pytest.param(
            (controller(underlay={"fabric": "Nope"}),), Reason.REF_NOT_FOUND, "it has: Fabric1", id="no fabric"
        ),
        pytest.param((controller(), zone(nodes=["pve9"])), Reason.REF_NOT_FOUND, "no node pve9", id="no node"),
        pytest.param((controller(), zone(), vnet(vni=100001)), Reason.VNI_CONFLICT, "100001", id="L3 VNI as L2 VNI"),
        pytest.param(
            (controller(), zone(), vnet(), vnet("b", age=1, id="bb")), Reason.VNI_CONFLICT, "default/net1", id="VNI"
        ),
        pytest.param(
            (controller(), zone(), vnet(), vnet("b", age=1, id="net1", vni=7)),
            Reason.ID_CONFLICT,
            "a free spec.id",
            id="id",
        ),
        pytest.param(
            (controller(), zone(allowedNamespaces={"from": "None"}), vnet()),
            Reason.REF_NOT_FOUND,
            "may use",
            id="namespace",
        ),
        pytest.param(
            (
                controller(),
                zone(),
                vnet(subnets=[{"cidr": "10.1.0.0/16"}]),
                vnet("b", age=1, id="bb", vni=7, subnets=[{"cidr": "10.1.2.0/24"}]),
            ),
            Reason.SUBNET_OVERLAP,
            "10.1.2.0/24 overlaps 10.1.0.0/16",
            id="overlap",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_says_why(resources, reason: Reason, words: str) -> None:
    made = plan(desired(*resources), observed())
    (problem,) = [d.refused for d in made.decisions.values() if d.refused]
    assert problem.reason is reason
    assert words in problem.message


def test_a_namespace_that_may_not_use_a_zone_reads_the_same_as_one_that_is_not_there() -> None:
    forbidden = plan(desired(controller(), zone(allowedNamespaces={"from": "None"}), vnet()), observed())
    missing = plan(desired(controller(), vnet()), observed())
    assert refusal(forbidden, vnet()) == refusal(missing, vnet())


def test_a_refused_object_blocks_nothing_else() -> None:
    bad, good = vnet("bad", age=1, vni=5001), vnet("good", age=2, vni=5002)
    made = plan(desired(*SEED, bad, good), observed())
    assert {step.ref.id for step in made.steps} == {"evpn1", "zone1", "net1", "good"}


def test_foreign_vnis_count() -> None:
    made = plan(desired(*SEED), observed(sdn(foreign_zone(), foreign_vnet(vni=5001))))
    assert "theirnet" in refusal(made, SEED[2]).full


def test_a_second_controller_needs_proxmox_9_2() -> None:
    second = controller("evpn2", age=1)
    old = plan(desired(controller(), second), observed(version=PveVersion(9, 1)))
    assert refusal(old, second).reason is Reason.CONTROLLER_CONFLICT
    second = controller("evpn2", age=1, peerGroupName="SPINE")
    assert plan(desired(controller(), second), observed()).decisions[second.key].refused is None


def foreign_controller(name: str = "theirs", type_: str = "evpn", **props: str) -> SdnObject:
    return SdnObject(SdnRef(SdnKind.CONTROLLER, name), type_, {"asn": "65001", "fabric": "Fabric1", **props})


@pytest.mark.parametrize(
    ("spec", "there", "names"),
    [
        ({}, foreign_controller(), ("peerGroupName", "VTEP", "theirs")),
        ({"peerGroupName": "SPINE"}, foreign_controller(**{"peer-group-name": "SPINE"}), ("SPINE", "theirs")),
        ({"peerGroupName": "SPINE", "asn": 65002}, foreign_controller(nodes=("pve2",)), ("asn", "65001", "pve2")),
        ({}, foreign_controller("up", "bgp", asn="64512", node="pve3"), ("asn", "BGP", "64512", "pve3")),
    ],
)
def test_a_controller_that_does_not_go_with_another_is_refused_before_proxmox_does(spec, there, names) -> None:
    made = plan(desired(controller(**spec)), observed(sdn(there)))
    problem = refusal(made, controller())
    assert (problem.reason, problem.retryable) == (Reason.CONTROLLER_CONFLICT, False)
    assert all(name in problem.message for name in names), problem.message
    assert made.steps == ()


@pytest.mark.parametrize(
    ("spec", "there"),
    [
        ({"peerGroupName": "SPINE"}, foreign_controller()),
        ({"peerGroupName": "SPINE", "asn": 65002, "nodes": ["pve1"]}, foreign_controller(nodes=("pve2", "pve3"))),
        ({"bgpMode": "External"}, foreign_controller("up", "bgp", asn="64512", node="pve3")),
        ({}, foreign_controller("up", "bgp", asn="64512", node="pve3", ebgp="1")),
    ],
)
def test_controllers_that_go_together(spec, there) -> None:
    made = plan(desired(controller(**spec)), observed(sdn(there)))
    assert made.decisions[controller().key].refused is None


def test_of_two_controllers_with_one_peer_group_the_older_one_has_it() -> None:
    older, younger = controller("second"), controller("first", age=1)
    made = plan(desired(younger, older), observed())
    assert made.decisions[older.key].refused is None
    assert "'second'" in refusal(made, younger).message


def test_a_vnet_whose_zone_is_refused_waits_and_says_for_what() -> None:
    made = plan(desired(controller(), zone(nodes=["pve9"]), vnet()), observed())
    waiting = made.decisions[vnet().key].waiting
    assert waiting is not None
    assert "EvpnZone zone1" in waiting.message
    assert "pve9" in waiting.message


def test_others_pending_edits_are_named_and_never_ours() -> None:
    resources, look = after(*SEED)
    snapshot = sdn(*look.sdn.edited.values(), foreign_zone(), running=look.sdn.running.values())
    idle = plan(desired(*resources), replace(look, sdn=snapshot))
    assert not idle.needs_apply
    busy = plan(desired(*resources, vnet("b", age=1, id="bb", vni=7)), replace(look, sdn=snapshot))
    assert [str(change) for change in busy.foreign] == [str(change) for change in idle.foreign] == ["zone theirs new"]


def test_an_edit_of_a_property_we_do_not_know_is_foreign() -> None:
    resources, look = after(*SEED)
    edited = with_props(look, VNET, colour="red").sdn.edited.values()
    made = plan(desired(*resources), replace(look, sdn=sdn(*edited, running=look.sdn.running.values())))
    assert [str(change) for change in made.foreign] == ["vnet net1 changed (colour)"]
    assert not made.needs_apply


def test_an_out_of_band_edit_is_drift_and_is_put_back() -> None:
    resources, look = after(*SEED)
    look = with_props(look, VNET, alias="x")
    made = plan(desired(*resources), look)
    assert made.decisions[resources[2].key].drift == ("alias is x, specified default/net1",)
    assert [step.action for step in made.steps] == ["update"]


def test_drift_is_only_reported_where_the_cluster_says_so() -> None:
    resources, look = after(*SEED)
    made = plan(desired(cluster(drift="Report"), *resources), with_props(look, VNET, alias="x"))
    assert made.steps == ()
    assert made.decisions[resources[2].key].drift


def test_observe_only_and_pause_write_nothing() -> None:
    watched = [controller(managementPolicy="ObserveOnly"), zone(managementPolicy="ObserveOnly")]
    assert plan(desired(*watched), observed()).steps == ()
    paused = replace(cluster(), annotations={"pve-evpn.dev/paused": "true"})
    assert plan(desired(paused, *SEED), observed()).steps == ()


def test_an_orphan_goes_without_a_word_to_proxmox() -> None:
    resources, look = after(controller(), zone(), vnet(deletionPolicy="Orphan"))
    going = replace(resources[2], deleting=True)
    made = plan(desired(*resources[:2], going), look)
    assert made.decisions[going.key].release
    assert made.steps == ()


def test_a_vni_is_allocated_lowest_first_and_kept() -> None:
    ranged = zone(vniRange={"first": 7000, "last": 7001})
    auto = [vnet(name, age=age, vni=None) for age, name in enumerate(("aa", "bb", "cc"))]
    made = plan(desired(controller(), ranged, *auto), observed())
    assert [made.decisions[v.key].vni for v in auto[:2]] == [7000, 7001]
    assert "7000 to 7001" in refusal(made, auto[2]).message
    kept = with_status(auto[1], {"vni": 7001})
    assert plan(desired(controller(), ranged, kept), observed()).decisions[kept.key].vni == 7001


def test_a_dropped_subnet_goes_and_a_foreign_one_stays() -> None:
    resources, look = after(controller(), zone(), vnet(subnets=[{"cidr": "10.1.0.0/24"}, {"cidr": "10.2.0.0/24"}]))
    theirs = SdnObject(SdnRef(SdnKind.SUBNET, "zone1-10.9.0.0-24"), "subnet", {}, "net1")
    look = replace(look, sdn=sdn(*look.sdn.edited.values(), theirs))
    resources[2] = newer(resources[2], vnet(subnets=[{"cidr": "10.1.0.0/24"}]))
    made = plan(desired(*resources), look)
    gone = SdnObject(SdnRef(SdnKind.SUBNET, "zone1-10.2.0.0-24"), "subnet", {}, "net1")
    assert made.steps == (Step(gone.ref, gone, None),)


def test_what_was_staged_before_a_crash_is_applied() -> None:
    first = plan(desired(*SEED), observed())
    staged = replace(carry_out(sdn(), first), running={})
    made = plan(desired(*SEED), observed(staged), journal=frozenset(step.ref for step in first.steps))
    assert made.steps == ()
    assert made.needs_apply
    assert not made.foreign


def test_an_allocated_vni_is_not_lost_to_an_older_object_that_becomes_valid_later() -> None:
    """It waits for an approval, say, so that Proxmox does not have it yet."""
    ranged = zone(vniRange={"first": 7000, "last": 7001})
    older, younger = vnet("aa", vni=None), vnet("bb", age=1, vni=None)
    younger = replace(younger, status=VNetStatus(vni=7000))
    made = plan(desired(controller(), ranged, older, younger), observed())
    assert [made.decisions[item.key].vni for item in (older, younger)] == [7001, 7000]
    explicit = vnet("aa", vni=7000)
    made = plan(desired(controller(), ranged, explicit, younger), observed())
    assert made.decisions[younger.key].vni == 7000
    assert "VNet default/bb" in refusal(made, explicit).message
