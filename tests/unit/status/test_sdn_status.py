"""What the statuses of zones and VNets count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.status import updated
from pve_evpn.api.zone import EvpnZoneStatus, Exit
from pve_evpn.domain.conditions import ConditionValue
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.nics import NicDecision, NicPlan
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan import plan
from pve_evpn.domain.status.sdn import sdn_status
from pve_evpn.domain.status.sync_result import SyncResult, count_nics, count_vnets
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


def zone_status(exit_: Exit | None, before: Exit | None = None, *, seen: bool = True) -> EvpnZoneStatus:
    """The status of a zone with this observation of its exit nodes, and that of the poll before."""
    wanted = desired(controller(), zone())
    (resource,) = wanted.zones
    part = EvpnZoneStatus(exit=exit_) if seen else EvpnZoneStatus()
    health = Health(ConditionValue(ConditionType.OPERATIONAL, True, Reason.OPERATIONAL), part)
    made = plan(wanted, observed())
    reported = replace(resource, status=updated(resource.status, EvpnZoneStatus(exit=before)))
    sync = SyncResult(wanted, observed(), made, NOW, health={resource.key: health})
    return sdn_status(reported, made.decisions[resource.key], sync)


def test_exit_nodes_that_lose_packets_are_ineffective_and_do_not_touch_ready() -> None:
    lost = Exit(problems=["pve1 has no default route of its own", "b", "c", "d"])
    for status in (zone_status(lost), zone_status(None, before=lost, seen=False)):
        condition = status.condition(ConditionType.EFFECTIVE)
        assert condition is not None
        assert (condition.status, condition.reason) == ("False", Reason.EXIT_IMPAIRED)
        assert condition.message == "exitNodes: pve1 has no default route of its own; b; c and 1 more"
        assert status.says(ConditionType.READY) == zone_status(None).says(ConditionType.READY)


def test_exit_nodes_in_order_have_no_condition() -> None:
    for exit_ in (None, Exit(), Exit(risks=["a"])):
        assert zone_status(exit_, before=Exit(problems=["a"])).condition(ConditionType.EFFECTIVE) is None
