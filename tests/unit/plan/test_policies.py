"""Prefix lists and route maps: from a spec to Proxmox and back, and the order of calls."""

from __future__ import annotations

from pve_evpn.api.policy import PrefixListSpec, RouteMapSpec
from pve_evpn.domain.plan import plan, policies, render
from pve_evpn.domain.plan.model import Step, in_order
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from tests.kube.routing_cases import BASES
from tests.unit.plan.world import desired, observed, prefix_list, route_map


def test_a_prefix_list_comes_back_as_it_was_written() -> None:
    spec = PrefixListSpec.model_validate(BASES["PrefixList"])
    made = render.prefix_list("own", spec)
    (field,) = render.PREFIX_LIST.fields
    assert field.back(made.props["entries"]) == BASES["PrefixList"]["entries"]


def test_a_route_map_comes_back_as_it_was_written() -> None:
    spec = RouteMapSpec.model_validate(BASES["RouteMap"])
    made = policies.route_map("to-the-world", spec, lambda kind, name: f"{kind[0]}-{name}")
    back = policies.entries_back(made.props, lambda kind, name: name.removeprefix(f"{kind[0]}-"))
    assert back == BASES["RouteMap"]["entries"]


def test_a_called_map_is_made_before_and_deleted_after_its_caller() -> None:
    def step(name: str, *called: str) -> Step:
        ref = SdnRef(SdnKind.ROUTE_MAP, name)
        entries = {str(n): ("action permit", f"call {other}") for n, other in enumerate(called)}
        return Step(ref, None, SdnObject(ref, "route-map", entries or {"1": ("action permit",)}))

    made = [step("a", "b"), step("b", "c"), step("c"), step("d")]
    assert [s.ref.id for s in in_order(made)] == ["c", "d", "b", "a"]
    assert [s.ref.id for s in in_order(s.inverse() for s in made)] == ["a", "b", "c", "d"]


def test_the_order_of_names_does_not_decide_what_waits_for_what() -> None:
    maps = [
        route_map("a", entries=[{"order": 1, "action": "Permit", "callRef": {"name": "z"}}], age=1),
        route_map("z", entries=[{"order": 1, "action": "Permit", "match": {"prefixListRef": {"name": "pl1"}}}], age=2),
    ]
    made = plan(desired(*maps, prefix_list(age=3)), observed())
    assert [str(step) for step in made.steps] == [
        "create prefix-list pl1",
        "create route-map z",
        "create route-map a",
    ]
