"""What statuses cost the operator's own CPU: building them where nothing changed, and reading them from Kubernetes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api.status import as_written, patch, read_status
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.status.sdn import sdn_status
from pve_evpn.domain.status.sync_result import SyncResult
from tests.bench.measuring import best_of
from tests.unit.plan.world import NODES, carry_out, controller, desired, observed, vnet, zone

VNETS = 1000


def test_statuses_of_1000_vnets_at_rest_are_built_in_300_ms() -> None:
    nodes = {name: replace(node, zones={"zone1": "available"}) for name, node in NODES.items()}
    vnets = [vnet(f"v{number}", vni=5000 + number, id=f"v{number}") for number in range(VNETS)]
    wanted = desired(controller(), zone(), *vnets)
    state = observed(nodes=nodes)
    state = replace(state, sdn=carry_out(state.sdn, plan(wanted, state)))
    at = SyncResult(wanted, state, plan(wanted, state), datetime(2026, 1, 1, tzinfo=UTC))

    def build(resources: list[Resource[Any]]) -> list[Any]:
        return [sdn_status(resource, at.plan.decisions[resource.key], at) for resource in resources]

    stored = [as_written(status) for status in build(vnets)]

    def read() -> list[Resource[Any]]:
        return [replace(item, status=read_status("VNet", raw)) for item, raw in zip(vnets, stored, strict=True)]

    reported = read()

    def write() -> list[Any]:
        return [patch(item.status, status)[0] for item, status in zip(reported, build(reported), strict=True)]

    assert not any(write())
    at_rest, reading = best_of(5, write), best_of(5, read)
    print(f"\nstatuses of {VNETS} VNets at rest: {at_rest:.1f} ms; reading them: {reading:.1f} ms")
    assert at_rest < 300
    assert reading < 300
