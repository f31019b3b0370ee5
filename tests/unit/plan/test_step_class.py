"""The class of a change: what publishing it does to the network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.apply_policy import permit, summary_classes
from pve_evpn.domain.plan.step_class import StepClass, class_of
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import ClusterState
from tests.unit.plan.world import EPOCH, after, cluster, controller, desired, observed, sdn, vnet, zone

SEED = (controller(), zone(), vnet())


def readable(state: ClusterState) -> ClusterState:
    """Every node tells that nothing is staged in its own network."""
    return replace(state, nodes={name: replace(node, network_pending="") for name, node in state.nodes.items()})


def _object(kind: SdnKind, props: dict[str, Any], parent: str = "") -> SdnObject:
    return SdnObject(SdnRef(kind, "x"), "evpn", props, parent)


@pytest.mark.parametrize(
    ("kind", "before", "after_", "expected"),
    [
        (SdnKind.CONTROLLER, {"asn": "1"}, {"asn": "2"}, "disruptive"),
        (SdnKind.CONTROLLER, {"peers": ("a", "b")}, {"peers": ("a", "b", "c")}, "reload"),
        (SdnKind.CONTROLLER, {"peers": ("a", "b")}, {"peers": ("a", "c")}, "disruptive"),
        (SdnKind.CONTROLLER, {"peers": ("a",)}, {"fabric": "f"}, "disruptive"),
        (SdnKind.ZONE, {"vrf-vxlan": "1"}, {"vrf-vxlan": "2"}, "disruptive"),
        (SdnKind.ZONE, {"controller": "a"}, {"controller": "b"}, "disruptive"),
        (SdnKind.ZONE, {}, {"mtu": "1400"}, "disruptive"),
        (SdnKind.ZONE, {"nodes": ("a",)}, {"nodes": ("a", "b")}, "reload"),
        (SdnKind.ZONE, {"nodes": ("a",)}, {}, "reload"),
        (SdnKind.ZONE, {}, {"nodes": ("a",)}, "disruptive"),
        (SdnKind.ZONE, {}, {"advertise-subnets": "1"}, "reload"),
        (SdnKind.ZONE, {"advertise-subnets": "1"}, {}, "disruptive"),
        (SdnKind.ZONE, {}, {"dns": "a", "unheard-of": "1"}, "disruptive"),
        (SdnKind.VNET, {"alias": "a"}, {"alias": "b"}, "none"),
        (SdnKind.VNET, {}, {"isolate-ports": "1"}, "disruptive"),
        (SdnKind.SUBNET, {}, {"gateway": "10.0.0.1"}, "reload"),
        (SdnKind.SUBNET, {"gateway": "10.0.0.1"}, {"gateway": "10.0.0.2"}, "disruptive"),
        (SdnKind.SUBNET, {"snat": "1"}, {}, "disruptive"),
    ],
)
def test_the_class_of_a_changed_property(kind: SdnKind, before: Any, after_: Any, expected: str) -> None:
    assert class_of(_object(kind, before), _object(kind, after_)) == expected


def test_the_class_of_what_comes_and_goes() -> None:
    there = _object(SdnKind.VNET, {"tag": "1"})
    assert [class_of(None, there), class_of(there, None), class_of(there, there)] == ["reload", "destructive", "none"]


def test_taking_a_staged_edit_back_publishes_nothing() -> None:
    resources, state = after(*SEED)
    edited = dict(state.sdn.edited)
    ref = SdnRef(SdnKind.ZONE, "zone1")
    edited[ref] = replace(edited[ref], props={**edited[ref].props, "mtu": "1300"})
    made = plan(desired(*resources), replace(state, sdn=sdn(*edited.values(), running=state.sdn.running.values())))
    assert [str(step) for step in made.steps] == ["update zone zone1: mtu 1300 -> unset"]
    assert made.classes == {ref: StepClass.NONE}


def _changed(**apply: Any) -> tuple[Any, Any, Any]:
    """A cluster, its state and a plan with one step of each class."""
    resources, state = after(*SEED, vnet("net2", vni=5002), vnet("net3", vni=5003))
    new = {
        "zone1": zone(mtu=1400),
        "net1": vnet(alias="web"),
        "net3": replace(resources[4], deleting=True),
    }
    changed = [
        replace(r, spec=new[r.key.name].spec, deleting=new[r.key.name].deleting) if r.key.name in new else r
        for r in resources
    ]
    item, state = cluster(apply=apply), readable(state)
    return item, state, plan(desired(item, *changed, vnet("net4", vni=5004)), state)


def test_every_step_of_a_plan_has_its_class() -> None:
    _, _, made = _changed()
    assert dict(zip(map(str, made.steps), summary_classes(made), strict=True)) == {
        "delete vnet net3": "destructive",
        "update zone zone1: mtu unset -> 1400": "disruptive",
        "update vnet net1: alias default/net1 -> web": "none",
        "create vnet net4": "reload",
    }


@pytest.mark.parametrize(
    ("apply", "waiting"),
    [
        ({}, set()),
        ({"destructive": "Manual"}, {"net3"}),
        ({"approval": ["destructive"]}, {"net3"}),
        ({"approval": ["disruptive", "destructive"]}, {"net3", "zone1"}),
        ({"approval": ["disruptive"], "destructive": "Manual"}, {"net3", "zone1"}),
        ({"approval": ["none", "reload", "disruptive", "destructive"]}, {"net1", "net3", "net4", "zone1"}),
    ],
)
def test_the_named_classes_wait_and_the_rest_goes_ahead(apply: dict[str, Any], waiting: set[str]) -> None:
    item, state, made = _changed(**apply)
    permission = permit(item, state, made, EPOCH)
    held = {step.ref.id for step in permission.waiting.steps} if permission.waiting else set()
    assert held == waiting
    assert {step.ref.id for step in permission.plan.steps} == {"net1", "net3", "net4", "zone1"} - waiting


def test_what_depends_on_a_waiting_step_waits_with_it() -> None:
    """The zone moves to another controller: the old one cannot go, nor the zone move, before the other step."""
    first, second = controller(), controller("evpn2", age=1, peerGroupName="OTHER")
    resources, state = after(first, zone())
    state = readable(state)
    moved = replace(resources[1], spec=zone(controllerRef={"name": "evpn2"}).spec)
    gone = replace(resources[0], deleting=True)
    for approval in (["disruptive"], ["reload"]):
        item = cluster(apply={"approval": approval})
        made = plan(desired(item, second, moved, gone), state)
        permission = permit(item, state, made, EPOCH)
        assert permission.waiting is not None
        assert {step.ref.id for step in made.steps if "zone1" in step.ref.id} == {"zone1"}
        assert "zone1" in {step.ref.id for step in permission.waiting.steps}
        assert "evpn1" not in {step.ref.id for step in permission.plan.steps}


def test_a_staged_change_of_a_class_that_waits_holds_everything() -> None:
    """An interrupted run staged it: an apply of anything else would publish it."""
    resources, state = after(*SEED)
    wanted = replace(resources[1], spec=zone(mtu=1400).spec)
    ref = SdnRef(SdnKind.ZONE, "zone1")
    edited = dict(state.sdn.edited)
    edited[ref] = replace(edited[ref], props={**edited[ref].props, "mtu": "1400"})
    staged = readable(observed(sdn(*edited.values(), running=state.sdn.running.values())))
    item = cluster(apply={"approval": ["disruptive"]})
    made = plan(desired(item, resources[0], wanted, resources[2], vnet("net4", vni=5004)), staged)
    permission = permit(item, staged, made, EPOCH)
    assert permission.plan.steps == ()
    assert permission.waiting == made
