"""The users of one namespace against the networks of another one and those that Proxmox had before.

They may write VNets of their own namespace, with any annotation, finalizer, label and owner, but no status.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.objects import ObjectKey, Origin, Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import ClusterState, GuestState
from tests.unit.plan.world import (
    after,
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

pytestmark = pytest.mark.redteam

ADOPTION = {"adoption": {"namespaces": {}}}
VICTIM = vnet("net1", age=10, subnets=[{"cidr": "10.1.0.0/24"}])
GUEST = GuestState(100, "qemu", "pve4", "web", nics={"net0": "virtio=BC:24:11:00:00:01,bridge=net1"})
POLICIES = ("Never", "IfIdentical", "Always")


def attacker(*, age: int = 20, deleting: bool = False, origin: str = "Created", **spec: Any) -> Resource[Any]:
    """A VNet of another namespace that says it created Proxmox' VNet ``net1``."""
    same = {"id": "net1", "subnets": [{"cidr": "10.1.0.0/24"}]}
    made = vnet("evil", age=age, **{**same, **spec})
    return replace(
        made,
        key=ObjectKey("VNet", "evil", "evil"),
        deleting=deleting,
        finalizers=(kinds.FINALIZER,),
        annotations={kinds.ANNOTATION_ORIGIN: origin, kinds.ANNOTATION_VNI: "5001"},
    )


def victims(**zone_spec: Any) -> tuple[list[Resource[Any]], ClusterState]:
    return after(controller(), zone(**zone_spec), VICTIM)


def refusal(made: Plan, item: Resource[Any]) -> Reason | None:
    refused = made.decisions[item.key].refused
    return refused and refused.reason


@pytest.mark.parametrize("zone_spec", [{}, ADOPTION], ids=["", "may adopt"])
@pytest.mark.parametrize("age", [0, 20], ids=["older", "younger"])
@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("guest", [False, True])
def test_a_forged_origin_deletes_nothing_of_another_namespace(
    zone_spec: dict[str, Any], age: int, origin: str, paused: bool, guest: bool
) -> None:
    resources, state = victims(**zone_spec)
    state = replace(state, guests={100: GUEST} if guest else {})
    evil = attacker(age=age, deleting=True, origin=origin, deletionPolicy="Delete")
    if paused:
        evil = replace(evil, annotations={**evil.annotations, kinds.ANNOTATION_PAUSED: "true"})
    made = plan(desired(*resources, evil), state)
    assert (made.steps, made.own_pending) == ((), ())
    assert refusal(made, VICTIM) is None
    assert made.decisions[evil.key].release
    assert made.decisions[evil.key].origins == {}


def test_the_owner_goes_on_editing_beside_a_deletion_that_guests_block() -> None:
    resources, state = victims()
    edited = replace(resources[2], spec=vnet("net1", alias="new", subnets=[{"cidr": "10.1.0.0/24"}]).spec, generation=2)
    made = plan(desired(*resources[:2], edited, attacker(deleting=True)), replace(state, guests={100: GUEST}))
    assert [str(step) for step in made.steps] == ["update vnet net1: alias default/net1 -> new"]


def test_an_owner_whose_spec_is_refused_keeps_its_network() -> None:
    """Neither a deletion nor an older object of another namespace gets it."""
    resources, state = victims(**ADOPTION)
    refused = replace(resources[2], spec=vnet("net1", vni=100001).spec, generation=2)
    for evil in (attacker(deleting=True), attacker(age=0, adoptionPolicy="Always", deletionPolicy="Delete")):
        made = plan(desired(*resources[:2], refused, evil), state)
        assert refusal(made, VICTIM) is Reason.VNI_CONFLICT
        assert made.steps == ()
        assert made.decisions[evil.key].origins == {}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("zone_spec", [{}, ADOPTION], ids=["", "may adopt"])
def test_an_older_object_does_not_get_the_network_of_a_younger_owner(policy: str, zone_spec: dict[str, Any]) -> None:
    resources, state = victims(**zone_spec)
    evil = attacker(age=0, adoptionPolicy=policy)
    made = plan(desired(*resources, evil), state)
    assert refusal(made, evil) is Reason.ID_CONFLICT
    assert refusal(made, VICTIM) is None
    assert made.steps == ()


@pytest.mark.parametrize("deleting", [False, True], ids=["staying", "deleting"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("origin", list(Origin))
def test_what_no_object_stands_for_is_neither_adopted_nor_deleted(origin: str, policy: str, deleting: bool) -> None:
    _, state = victims()
    evil = attacker(origin=origin, adoptionPolicy=policy, deletionPolicy="Delete", deleting=deleting)
    made = plan(desired(controller(), zone(), evil), state)
    assert [step for step in made.steps if step.ref.kind in (SdnKind.VNET, SdnKind.SUBNET)] == []
    assert made.decisions[evil.key].origins == {}
    assert deleting or refusal(made, evil) is Reason.FOREIGN_OBJECT


@pytest.mark.parametrize("deleting", [False, True], ids=["staying", "deleting"])
@pytest.mark.parametrize("type_", ["evpn", "vlan", "vxlan", "simple"])
def test_what_is_in_another_zone_is_never_adopted(type_: str, deleting: bool) -> None:
    there = replace(foreign_zone(), type=type_)
    state = observed(sdn(there, foreign_vnet("net1", vni=5001)))
    evil = attacker(adoptionPolicy="Always", deletionPolicy="Delete", deleting=deleting)
    made = plan(desired(controller(), zone(**ADOPTION), evil), state)
    assert {step.ref.kind for step in made.steps} <= {SdnKind.CONTROLLER, SdnKind.ZONE}
    assert deleting or refusal(made, evil) is Reason.FOREIGN_OBJECT


def test_a_subnet_below_another_vnet_is_never_adopted() -> None:
    resources, state = victims(**ADOPTION)
    evil = attacker(id="evil", vni=6000, adoptionPolicy="Always", deletionPolicy="Delete")
    assert refusal(plan(desired(*resources, evil), state), evil) is Reason.SUBNET_OVERLAP
    made = plan(desired(*resources, replace(evil, deleting=True)), state)
    assert made.steps == ()


def test_a_status_is_never_made_from_an_annotation_alone() -> None:
    """A deletion that is held back would otherwise write the forged origin into the status, where it counts."""
    _, state = victims()
    blocked = replace(state, sdn=replace(state.sdn, complete=False), guests={100: GUEST})
    made = plan(desired(controller(), zone(), attacker(deleting=True)), blocked)
    assert made.decisions[attacker().key].origin is None


# --- what administrators and backups still can --------------------------------------------------------------------


def test_a_restored_backup_is_recognized_where_the_zone_lets_its_namespace_adopt() -> None:
    resources, state = victims(**ADOPTION)
    restored = replace(VICTIM, annotations={kinds.ANNOTATION_ORIGIN: "Created"})
    made = plan(desired(*resources[:2], restored), state)
    assert made.decisions[VICTIM.key].origins == {
        SdnRef(SdnKind.VNET, "net1"): Origin.CREATED,
        SdnRef(SdnKind.SUBNET, "zone1-10.1.0.0-24"): Origin.CREATED,
    }
    going = plan(desired(*resources[:2], replace(restored, deleting=True)), state)
    assert [str(step) for step in going.steps] == ["delete subnet zone1-10.1.0.0-24", "delete vnet net1"]


@pytest.mark.parametrize("there", [foreign_vnet("net1", vni=77, zone_id="zone1"), foreign_vnet("net1", vni=5001)])
def test_a_restored_backup_is_not_recognized_where_number_or_zone_differ(there: SdnObject) -> None:
    resources, state = after(controller(), zone(**ADOPTION))
    state = replace(state, sdn=sdn(*state.sdn.edited.values(), there))
    going = replace(VICTIM, annotations={kinds.ANNOTATION_ORIGIN: "Created"}, deleting=True)
    assert plan(desired(*resources, going), state).steps == ()


def test_a_network_that_is_managed_already_needs_no_permission_to_adopt() -> None:
    resources, state = victims()
    adopted = with_status(resources[2], {"origin": "Adopted"})
    made = plan(desired(*resources[:2], adopted), state)
    assert made.decisions[VICTIM.key].origin is Origin.ADOPTED
    assert refusal(made, VICTIM) is None


@pytest.mark.parametrize("selected", [True, False])
@pytest.mark.parametrize("admitted", [True, False])
def test_the_cluster_says_who_adopts_in_all_its_zones(selected: bool, admitted: bool) -> None:
    """But only in zones that admit the namespace."""
    labels = {"matchLabels": {"team": "blue"}} if selected else {"matchLabels": {"team": "red"}}
    administrators = cluster(adoption={"namespaces": labels})
    admits = {"from": "All"} if admitted else {"from": "None"}
    item = vnet("net1", adoptionPolicy="Always")
    resources, state = after(controller(), zone(allowedNamespaces=admits))
    state = replace(state, sdn=sdn(*state.sdn.edited.values(), foreign_vnet("net1", vni=5001, zone_id="zone1")))
    namespaces = {item.key.namespace: {"team": "blue"}}
    made = plan(desired(administrators, *resources, item, namespaces=namespaces), state)
    expected = None if selected and admitted else Reason.FOREIGN_OBJECT if admitted else Reason.REF_NOT_FOUND
    assert refusal(made, item) is expected
