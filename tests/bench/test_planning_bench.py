"""What planning costs the operator's own CPU: it holds the event loop for as long as it takes."""

from __future__ import annotations

import pytest

from pve_evpn.domain.plan import plan
from tests.bench.measuring import best_of
from tests.unit.plan.world import carry_out, controller, desired, observed, reported, vnet, zone

VNETS, SUBNETS = 80, 32


@pytest.mark.redteam
def test_80_vnets_with_32_subnets_each_are_planned_in_500_ms() -> None:
    vnets = [
        vnet(f"n{i}", vni=5000 + i, subnets=[{"cidr": f"10.{i}.{j}.0/24"} for j in range(SUBNETS)])
        for i in range(VNETS)
    ]
    resources = [controller(), zone(), *vnets]
    state = observed()
    made = plan(desired(*resources), state)
    assert len(made.steps) == 2 + VNETS * (1 + SUBNETS)
    there = observed(carry_out(state.sdn, made))
    at_rest = [reported(resource, made) for resource in resources]
    creating = best_of(3, lambda: plan(desired(*resources), state))
    resting = best_of(3, lambda: plan(desired(*at_rest), there))
    print(f"\n{VNETS} VNets with {SUBNETS} subnets each: planned in {creating:.0f} ms, at rest {resting:.0f} ms")
    assert creating < 500
    assert resting < 500
