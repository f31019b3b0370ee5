"""What the statuses of zones and VNets count."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pve_evpn.api.zone import EvpnZoneStatus
from pve_evpn.domain.nics import NicDecision, NicPlan
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan import plan
from pve_evpn.domain.status.sdn import SyncResult, count_nics, count_vnets, sdn_status
from tests.unit.plan.world import controller, desired, observed, vnet, zone

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def statuses(*vnets: Any, nics: NicPlan | None = None) -> dict[str, Any]:
    wanted = desired(controller(), zone(), zone("zone2", vrfVni=10002), *vnets)
    made = plan(wanted, observed())
    connected = count_nics(nics or NicPlan())
    sync = SyncResult(wanted, observed(), made, NOW, vnet_count=count_vnets(made), nic_count=connected)
    return {r.key.name: sdn_status(r, made.decisions[r.key], sync) for r in wanted}


def test_a_zone_counts_the_vnets_that_were_accepted() -> None:
    found = statuses(vnet("net1", vni=5001), vnet("net2", vni=5002), vnet("net3", vni=5002, age=9))
    assert isinstance(found["zone1"], EvpnZoneStatus)
    assert (found["zone1"].vnets, found["zone2"].vnets) == (2, 0)


def test_a_vnet_counts_the_nics_that_are_connected() -> None:
    keys = [ObjectKey("NicAttachment", "default", f"n{number}") for number in range(3)]
    decisions = {key: NicDecision(key, vnet_id="net1", in_sync=key is not keys[0]) for key in keys}
    found = statuses(vnet("net1", vni=5001), vnet("net2", vni=5002), nics=NicPlan(decisions=decisions))
    assert (found["net1"].nics, found["net2"].nics) == (2, 0)
