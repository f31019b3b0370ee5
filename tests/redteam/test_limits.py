"""The users of one namespace who want more than their share: VNIs, networks and numbers of objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.state import NodeState
from tests.unit.nics.test_plan_nics import World, nic, vm
from tests.unit.plan.world import controller, desired, observed, vnet, zone

pytestmark = pytest.mark.redteam

RANGE = {"first": 5000, "last": 5999}


def refused(item: Resource[Any], made: Plan) -> Reason | None:
    problem = made.decisions[item.key].refused
    return problem and problem.reason


@pytest.mark.parametrize(
    ("own", "other", "vni", "reason"),
    [
        (RANGE, None, 7777, None),
        ({**RANGE, "enforced": True}, None, 7777, Reason.NOT_ALLOWED),
        ({**RANGE, "enforced": True}, None, 5001, None),
        (None, {**RANGE, "enforced": True}, 5001, Reason.NOT_ALLOWED),
        (None, RANGE, 5001, None),
        (RANGE, {**RANGE, "enforced": True}, 5001, None),
    ],
)
def test_an_enforced_range_binds_explicit_vnis(own: Any, other: Any, vni: int, reason: Reason | None) -> None:
    item = vnet(vni=vni)
    zones = zone(vniRange=own), zone("zone2", vrfVni=100002, vniRange=other)
    made = plan(desired(controller(), *zones, item), observed())
    assert refused(item, made) is reason
    problem = made.decisions[item.key].refused
    assert problem is None or "zone2" not in problem.message


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("10.1.0.0/24", None),
        ("10.1.0.0/16", None),
        ("10.0.0.0/15", Reason.NOT_ALLOWED),
        ("192.168.50.0/24", Reason.NOT_ALLOWED),
        ("fd00::/64", Reason.NOT_ALLOWED),
    ],
)
def test_subnets_stay_inside_what_the_zone_allows(cidr: str, reason: Reason | None) -> None:
    item = vnet(subnets=[{"cidr": cidr}])
    made = plan(desired(controller(), zone(allowedSubnets=["10.1.0.0/16"]), item), observed())
    assert refused(item, made) is reason


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("192.168.16.0/24", Reason.NOT_ALLOWED),
        ("192.168.16.2/32", Reason.NOT_ALLOWED),
        ("172.16.0.0/12", Reason.NOT_ALLOWED),
        ("fd00:1::/64", Reason.NOT_ALLOWED),
        ("192.168.17.0/24", None),
        ("fd00:2::/64", None),
    ],
)
def test_no_subnet_has_the_nodes_own_addresses(cidr: str, reason: Reason | None) -> None:
    more = NodeState("pve9", True, "pve9.example.com", addresses=("172.16.1.9/24", "fd00:1::9/64"))
    state = observed()
    item = vnet(subnets=[{"cidr": cidr}])
    made = plan(desired(controller(), zone(), item), replace(state, nodes={**state.nodes, "pve9": more}))
    assert refused(item, made) is reason


@pytest.mark.parametrize(
    ("limits", "kept"), [({"vnets": 2}, 2), ({"subnets": 3}, 1), ({"vnets": 2, "subnets": 4}, 2), ({}, 3)]
)
def test_a_namespace_has_no_more_than_its_zone_allows(limits: dict[str, int], kept: int) -> None:
    many = [
        vnet(f"n{i}", age=i, vni=6000 + i, subnets=[{"cidr": f"10.{i}.{j}.0/24"} for j in range(2)]) for i in range(3)
    ]
    limited = zone(allowedNamespaces={"from": "All", "limits": limits})
    made = plan(desired(controller(), limited, *reversed(many)), observed())
    assert [refused(item, made) for item in many] == [None] * kept + [Reason.LIMIT_EXCEEDED] * (3 - kept)


def test_a_limit_of_one_namespace_is_not_used_up_by_another() -> None:
    limited = zone(allowedNamespaces={"from": "All", "limits": {"vnets": 1}})
    own, other = vnet("own", age=1, vni=6001), vnet("other", vni=6002)
    other = replace(other, key=other.key._replace(namespace="other"))
    made = plan(desired(controller(), limited, own, other), observed())
    assert (refused(own, made), refused(other, made)) == (None, None)


def test_a_namespace_has_no_more_nics_than_its_zone_allows() -> None:
    limits = {"allowedNamespaces": {"from": "All", "limits": {"nics": 1}}}
    world = World(vm(100), vm(101, nics={"net0": "virtio=BC:24:11:00:00:02,bridge=vmbr0"}), zone_spec=limits)
    older, younger = nic("older"), nic("younger", age=1, guest={"vmid": 101})
    decisions = world.plan(younger, older).decisions
    assert decisions[older.key].refused is None
    problem = decisions[younger.key].refused
    assert problem is not None
    assert problem.reason is Reason.LIMIT_EXCEEDED
