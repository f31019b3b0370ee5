"""The users of one namespace who want to learn about others: no message of their objects names them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.hidden import without_foreign
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.sdn import SdnObject
from pve_evpn.domain.state import GuestState
from pve_evpn.domain.status.sync_result import vnet_problems
from pve_lab.faults import OutOfBandEdit
from tests.engine.world import NET1, document, programmed
from tests.engine.world import vnet as engine_vnet
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
    zone,
)

pytestmark = pytest.mark.redteam

SECRET = vnet("secret", id="topnet", vni=7777, subnets=[{"cidr": "10.7.0.0/24"}])
NAMES = ("secret", "topnet", "theirs", "10.7.0.0", "hidden", "4242")


def curious(**spec: Any) -> Resource[Any]:
    made = vnet("curious", age=10, **spec)
    return replace(made, key=ObjectKey("VNet", "curious", "curious"))


def curious_id(wanted: Desired) -> str:
    (item,) = (vnet for vnet in wanted.vnets if vnet.key.namespace == "curious")
    return str(item.spec and item.spec.id)


def check(wanted: Desired, made: Plan, problem: Problem | None, reason: Reason, *names: str) -> None:
    """The message names only what the object itself says; the zone's status names the rest."""
    assert problem is not None
    assert problem.reason is reason
    own = curious_id(wanted)
    assert [name for name in NAMES if name in problem.message and name != own] == []
    assert all(name in problem.full for name in names), problem.full
    (row,) = vnet_problems(wanted, made)["zone1"]
    assert (row.namespace, row.name, row.message) == ("curious", "curious", problem.full)


@pytest.mark.parametrize(
    ("spec", "reason", "name"),
    [
        ({"vni": 7777}, Reason.VNI_CONFLICT, "secret"),
        ({"id": "topnet"}, Reason.ID_CONFLICT, "secret"),
        ({"subnets": [{"cidr": "10.7.0.128/25"}]}, Reason.SUBNET_OVERLAP, "10.7.0.0/24 of VNet"),
    ],
)
@pytest.mark.parametrize("applied", [False, True])
def test_conflicts_do_not_name_objects_of_other_namespaces(
    spec: dict[str, Any], reason: Reason, name: str, applied: bool
) -> None:
    resources, state = after(controller(), zone(), SECRET)
    item = curious(**spec)
    wanted = desired(*resources, item) if applied else desired(controller(), zone(), SECRET, item)
    made = plan(wanted, state if applied else observed())
    check(wanted, made, made.decisions[item.key].refused, reason, name)


@pytest.mark.parametrize(
    ("there", "spec", "reason"),
    [
        (foreign_vnet("hidden", 5001), {}, Reason.VNI_CONFLICT),
        (foreign_vnet("net1", 4242), {"id": "net1", "vni": 6000}, Reason.FOREIGN_OBJECT),
    ],
)
def test_what_is_in_proxmox_is_not_named_either(there: SdnObject, spec: dict[str, Any], reason: Reason) -> None:
    item = curious(**spec)
    wanted = desired(controller(), zone(adoption={"namespaces": {}}), item)
    made = plan(wanted, observed(sdn(foreign_zone(), there)))
    check(wanted, made, made.decisions[item.key].refused, reason)


@pytest.mark.parametrize("read", [True, False])
def test_a_blocked_deletion_names_the_guests_of_its_namespace_and_counts_the_others(read: bool) -> None:
    nics = {"net0": "virtio=BC:24:11:00:00:01,bridge=curious"} if read else None
    guests = {
        100: GuestState(100, "qemu", "pve4", "topsecret", nics=nics),
        101: GuestState(101, "qemu", "pve4", "mine", tags=frozenset({"own"}), nics=nics),
    }
    access = cluster(guestAccess=[{"namespaces": {}, "guests": {"tags": ["own"]}}])
    resources, state = after(controller(), zone(), curious())
    going = replace(resources[2], deleting=True)
    wanted = desired(access, *resources[:2], going, namespaces={"curious": {}})
    made = plan(wanted, replace(state, guests=guests))
    blocked = made.decisions[curious().key].blocked
    assert blocked is not None
    assert "topsecret" not in blocked.message
    assert "100" not in blocked.message
    assert "1 guest that this namespace may not use" in blocked.message
    assert "VM 101 (mine)" in blocked.message
    check(wanted, made, blocked, Reason.DELETION_BLOCKED, "VM 100 (topsecret)")


def test_a_vnet_that_waits_for_its_zone_does_not_learn_whom_the_zone_conflicts_with() -> None:
    refused = zone("zone2", age=5, vrfVni=7777)
    item = curious(zoneRef={"name": "zone2"})
    resources, state = after(controller(), zone(), SECRET)
    made = plan(desired(*resources, refused, item), state)
    zone_problem, waiting = made.decisions[refused.key].refused, made.decisions[item.key].waiting
    assert zone_problem is not None
    assert waiting is not None
    assert "topnet" in zone_problem.full
    assert [name for name in NAMES if name in waiting.message] == []


async def test_the_statuses_in_kubernetes_keep_to_that() -> None:
    """On the way through the engine: the VNet is silent, the zone and the ProxmoxCluster are not."""
    world = await programmed()
    world.add_guest(101, "net1", "pve2")
    net1 = next(key for key in world.kube.objects if key.kind == "VNet")
    world.kube.delete(net1)
    await world.settle_or_wait()
    assert "vm101" not in str(world.kube.status(net1))
    (row,) = world.kube.status(ObjectKey("EvpnZone", "", "zone1"))["vnetProblems"]
    assert "VM 101 (vm101) net0 on pve2" in row["message"]
    world.lab.guests[101].config["net0"] = "virtio=BC:24:11:00:00:01,bridge=vmbr0"
    await world.settle()
    assert "vnetProblems" not in world.kube.status(ObjectKey("EvpnZone", "", "zone1"))


# --- Proxmox' own words -----------------------------------------------------------------------------------------------

OTHERS = "topnet: tag 7777 is in use by topnet (10.7.0.0/24, zone1-10.7.0.0-24) with alias very secret; net1 is fine"


def theirs() -> dict[str, Any]:
    made = document("VNet", "topnet", {"zoneRef": {"name": "zone1"}, "vni": 7777, "alias": "very secret"})
    made["metadata"]["namespace"] = "secret"
    made["spec"]["subnets"] = [{"cidr": "10.7.0.0/24"}]
    return made


async def test_what_proxmox_says_of_a_refused_change_names_nothing_else() -> None:
    """And it still says what is wrong with the object itself."""
    world = await programmed(theirs())
    world.refuse("PUT", ".*/vnets/net1", OTHERS + "\x1b[31m\nnew line" + " long" * 1000)
    world.apply(engine_vnet("net1", 5001, "10.1.0.0/24", alias="new"))
    await world.settle_or_wait()
    reason, message = world.programmed(NET1)
    assert reason == "StagingFailed"
    assert "net1 is fine [31m | new line" in message
    assert "alias default/net1 -> new" in message
    assert [name for name in ("topnet", "7777", "10.7.0.0", "secret") if name in message] == []
    assert message.isprintable()
    assert len(message) <= 1024
    (row,) = world.kube.status(ObjectKey("EvpnZone", "", "zone1"))["vnetProblems"]
    assert "in use by topnet" in row["message"]


async def test_a_failed_apply_does_not_say_why_on_everybodys_objects() -> None:
    world = await programmed(theirs())
    world.refuse("PUT", "/cluster/sdn", OTHERS)
    world.apply(engine_vnet("net1", 5001, "10.1.0.0/24", alias="new"))
    await world.settle_or_wait()
    reason, message = world.programmed(NET1)
    assert (reason, "topnet" in message) == ("ApplyFailed", False)
    assert "topnet" in world.programmed()[1]


@pytest.mark.parametrize("text", [OTHERS, "vnet net1: 10.7.0.0/24 overlaps", "TOPNET", "x" * 10_000, ""])
def test_words_that_are_nobodys_stay(text: str) -> None:
    _, state = after(controller(), zone(), SECRET)
    shown = without_foreign(text, (), state.sdn)
    assert [name for name in ("topnet", "7777", "10.7.0.0") if name in shown] == []
    assert "in use" in shown or "in use" not in text


async def test_a_drift_fight_does_not_name_users_of_proxmox() -> None:
    world = await programmed()
    for _ in range(240):
        if world.lab.sdn.running["vnets"]["net1"]["alias"] != "theirs":
            world.lab.faults.add(OutOfBandEdit(object="vnets/net1", set="alias=theirs"))
        await world.one_pass()
        world.now += timedelta(seconds=5)
    drifted = world.kube.condition(NET1, "Drifted")
    assert drifted["reason"] == "DriftFight"
    shown = [str(world.kube.status(NET1)), *world.events("DriftFight")]
    assert [text for text in shown if "root@pam" in text or "UPID" in text] == []
    (row,) = world.kube.status(ObjectKey("EvpnZone", "", "zone1"))["vnetProblems"]
    assert "root@pam" in row["message"]
