"""The plan's promises, over generated worlds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pve_evpn.domain.plan import plan
from tests.unit.plan.world import (
    carry_out,
    controller,
    desired,
    foreign_vnet,
    foreign_zone,
    observed,
    reported,
    sdn,
    vnet,
    zone,
)

_vni = st.integers(1, 12)
_policy = st.sampled_from(["IfIdentical", "Always", "Never"])


@st.composite
def worlds(draw):
    """Objects that may well conflict with each other and with what somebody else made."""
    resources = [controller()]
    for n in range(draw(st.integers(0, 3))):
        age = draw(st.integers(0, 5))
        adoption = draw(st.sampled_from([None, {"namespaces": {}}]))
        resources.append(zone(f"zone{n}", age=age, vrfVni=draw(_vni), adoptionPolicy=draw(_policy), adoption=adoption))
    for n in range(draw(st.integers(0, 4))):
        octets = draw(st.lists(st.integers(0, 3), unique=True, max_size=2))
        resources.append(
            vnet(
                f"net{n}",
                age=draw(st.integers(0, 5)),
                id=draw(st.sampled_from([f"net{n}", "theirnet"])),
                zoneRef={"name": f"zone{draw(st.integers(0, 3))}"},
                vni=draw(_vni),
                adoptionPolicy=draw(_policy),
                subnets=[{"cidr": f"10.0.{octet}.0/24"} for octet in octets],
            )
        )
    there = [foreign_zone(vni=draw(_vni)), foreign_vnet(vni=draw(_vni))] if draw(st.booleans()) else []
    return resources, sdn(*there)


def overwritable(resources, made) -> set:
    """What the users allowed us to take over."""
    keys = {r.key for r in resources if getattr(r.spec, "adoption_policy", None) == "Always"}
    return {want.ref for key in keys for want in made.decisions[key].wanted}


def frees_a_vni(made) -> bool:
    """Whether a taken-over object moves to another VNI."""
    changes = [d for step in made.steps for d in step.diff]
    return any(d.key in ("tag", "vrf-vxlan") and d.have for d in changes)


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_carrying_out_a_plan_leaves_nothing_to_plan(world) -> None:
    resources, snapshot = world
    made = plan(desired(*resources), observed(snapshot))
    resources, snapshot = [reported(r, made) for r in resources], carry_out(snapshot, made)
    again = plan(desired(*resources), observed(snapshot))
    if frees_a_vni(made):
        # Somebody may have been refused for the VNI that this plan gave up; that one has its turn now, and no other.
        resources, snapshot = [reported(r, again) for r in resources], carry_out(snapshot, again)
        again = plan(desired(*resources), observed(snapshot))
    assert not again.needs_apply


@settings(max_examples=300, deadline=None)
@given(worlds(), st.data())
def test_deletions_settle_in_orders_proxmox_accepts_and_leave_others_alone(world, data) -> None:
    resources, snapshot = world
    made = plan(desired(*resources), observed(snapshot))
    taken_over = overwritable(resources, made)
    look = observed(carry_out(snapshot, made))
    resources = [reported(r, made) for r in resources]
    going = data.draw(st.sets(st.sampled_from(range(len(resources)))))
    left = [replace(r, deleting=i in going) for i, r in enumerate(resources)]
    for _ in range(3):
        made = plan(desired(*left), look)
        # Somebody may have been refused before for a VNI or a name that a deletion gives up, and has its turn now.
        taken_over |= overwritable(left, made)
        look = replace(look, sdn=carry_out(look.sdn, made))
        left = [r for r in left if not (r.deleting and made.decisions[r.key].release)]
    assert not plan(desired(*left), look).needs_apply
    for ref, obj in snapshot.edited.items():
        assert ref in taken_over or look.sdn.edited[ref] == obj, f"{ref} was somebody else's"


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_foreign_objects_are_in_no_plan_unless_taken_over_by_request(world) -> None:
    resources, snapshot = world
    made = plan(desired(*resources), observed(snapshot))
    allowed = overwritable(resources, made)
    assert [step for step in made.steps if step.ref in snapshot.edited and step.ref not in allowed] == []


@settings(max_examples=100, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_in_which_objects_arrive_means_nothing(world, random) -> None:
    resources, snapshot = world
    shuffled = list(resources)
    random.shuffle(shuffled)
    assert plan(desired(*resources), observed(snapshot)).steps == plan(desired(*shuffled), observed(snapshot)).steps
