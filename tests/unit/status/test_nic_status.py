"""What a NicAttachment's status says: about its place, its silence, and what it must not forget."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.status import as_written
from pve_evpn.domain.conditions import ConditionValue, Problem
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.nics.pins import Pin, PinState
from pve_evpn.domain.objects import Origin, Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.status.nic import nic_status
from pve_evpn.domain.status.sync_result import SyncResult
from tests.unit.nics.test_plan_nics import MAC, ON_VNET, World, attached, nic, vm
from tests.unit.plan.world import with_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def told(world: World, item: Resource[Any], **circumstances: Any) -> dict[str, Any]:
    wanted = world.desired(item)
    at = SyncResult(wanted, world.observed, plan(wanted, world.observed), NOW, **circumstances)
    return as_written(nic_status(item, world.decision(item), at))


def condition(status: dict[str, Any], type_: str) -> dict[str, Any]:
    return next((c for c in status["conditions"] if c["type"] == type_), {})


def silent(reason: Reason = Reason.SILENT) -> Health:
    return Health(ConditionValue(ConditionType.OPERATIONAL, False, reason, "no frame came from it"))


def test_before_the_write_nothing_is_claimed() -> None:
    status = told(World(vm()), nic())
    assert (status["vmid"], status["node"], status.get("vnet")) == (100, "pve4", None)
    assert "origin" not in status
    assert condition(status, "Programmed")["reason"] == "PendingApply"


def test_after_it_everything_is_there() -> None:
    status = told(World(vm(nics={"net0": ON_VNET})), attached(nic()))
    assert (status["vnet"], status["macAddress"], status["origin"]) == ("net1", MAC.lower(), "Adopted")
    assert status["previousBridge"] == "vmbr0"
    assert condition(status, "Programmed")["status"] == "True"


def test_what_cannot_be_read_now_is_not_forgotten() -> None:
    status = told(World(vm(nics=None)), attached(nic()))
    assert (status["vnet"], status["macAddress"], status["previousBridge"]) == ("net1", MAC.lower(), "vmbr0")


def test_of_a_guest_that_may_not_be_used_nothing_is_shown_that_was_seen_once() -> None:
    item = attached(nic(), node="pve4", evpn={"verdict": "Advertised"}, pinned=True)
    status = told(World(vm(), guestAccess=None), item, health={item.key: silent()})
    assert not {"node", "evpn", "pinned"} & status.keys()
    assert condition(status, "Operational")["status"] == "Unknown"


def test_another_guest_of_the_same_name_inherits_nothing() -> None:
    item = attached(nic(guest={"name": "web"}), origin=Origin.CREATED)
    world = World(vm(name="old", nics={"net0": ON_VNET}), vm(101, lock="backup"))
    status = told(world, item)
    assert status["vmid"] == 101
    assert not {"origin", "previousBridge", "vnet"} & status.keys()


@pytest.mark.parametrize("reason", [Reason.SILENT, Reason.NEVER_SEEN])
def test_a_silent_host_comes_with_a_remedy(reason: Reason) -> None:
    world, item = World(vm(nics={"net0": ON_VNET})), attached(nic())
    assert (
        "silentHost: Pin" in condition(told(world, item, health={item.key: silent(reason)}), "Operational")["message"]
    )
    asked = attached(nic(silentHost="Pin"))
    assert "silentHost" not in condition(told(world, asked, health={asked.key: silent()}), "Operational")["message"]
    pinned = {item.key: PinState(True)}
    status = told(world, item, health={item.key: silent()}, pins=pinned)
    assert "silentHost" not in condition(status, "Operational")["message"]


def test_a_pin_is_shown_with_its_place_and_its_warning_with_the_connection() -> None:
    world, item = World(vm(nics={"net0": ON_VNET})), attached(nic(silentHost="Pin"))
    pin = Pin("pve4", "net1", 100, "net0", MAC.lower())
    status = told(world, item, pins={item.key: PinState(True, pin, "mind the gap")})
    assert status["pinned"] is True
    assert status["pin"] == {"node": "pve4", "vnet": "net1", "vmid": 100, "macAddress": MAC.lower()}
    assert "mind the gap" in condition(status, "Programmed")["message"]


def test_a_failed_write_is_told_until_the_nic_is_as_it_should_be() -> None:
    item = nic()
    failure = {item.key: Problem(Reason.APPLY_FAILED, "Proxmox refused: no")}
    assert condition(told(World(vm()), item, failures=failure), "Programmed")["message"] == "Proxmox refused: no"
    there = World(vm(nics={"net0": ON_VNET}))
    assert condition(told(there, item, failures=failure), "Programmed")["status"] == "True"


def test_reporting_twice_says_the_same() -> None:
    world, item = World(vm(nics={"net0": ON_VNET})), attached(nic())
    first = told(world, item)
    again = told(world, with_status(item, first))
    assert again == first
