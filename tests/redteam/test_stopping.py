"""The users of one namespace against everybody's networks: one object's values, or many objects, must stop nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.domain import nics
from pve_evpn.domain import plan as domain_plan
from pve_evpn.domain.nics import inventory, pins
from pve_evpn.domain.plan import checks, deletion, plan
from pve_evpn.domain.status import nic as nic_report
from pve_evpn.domain.status import sdn as sdn_report
from pve_evpn.engine.firewall import FirewallWriter
from tests.engine.world import NET1, document, key, programmed
from tests.engine.world import vnet as vnet_document
from tests.unit.plan.world import controller, desired, observed, vnet, zone

pytestmark = pytest.mark.redteam

NO_VNIS = ("9" * 5000, "-1", "0", "16777216", "1e3", "1_000", "", " ", "\u0665", "5001\n", "0x10", "NaN", "null")


@pytest.mark.parametrize("text", NO_VNIS, ids=lambda text: repr(text[:10]))
def test_an_annotation_that_is_no_vni_refuses_its_own_object(text: str) -> None:
    evil = replace(vnet("evil", vni=None), annotations={kinds.ANNOTATION_VNI: text})
    ranged = zone(vniRange={"first": 6000, "last": 6999})
    made = plan(desired(controller(), ranged, evil, vnet(age=1)), observed())
    refused = made.decisions[evil.key].refused
    assert refused is not None
    assert refused.reason is Reason.INVALID_SPEC
    assert len(refused.message) < 200
    assert made.decisions[vnet().key].vni == 5001


async def test_an_annotation_of_5000_digits_ends_no_sync() -> None:
    world = await programmed()
    for doc in (
        document("VNet", "evil", {"zoneRef": {"name": "zone1"}}, **{kinds.ANNOTATION_VNI: "9" * 5000}),
        document("VNet", "good", {"zoneRef": {"name": "zone1"}, "vni": 6000}),
    ):
        world.apply(doc)
        last = key(doc)
    await world.settle()
    assert world.ready(last)["status"] == world.ready(NET1)["status"] == "True"
    assert world.ready(last._replace(name="evil"))["reason"] == "InvalidSpec"


def test_an_object_that_breaks_a_check_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(candidate: Any) -> None:
        if candidate.resource.key.name == "evil":
            raise RecursionError("too deep")

    monkeypatch.setattr(checks, "VNET", (broken, *checks.VNET))
    made = plan(desired(controller(), zone(), vnet("evil", vni=6000), vnet(age=1)), observed())
    refused = made.decisions[vnet("evil").key].refused
    assert refused is not None
    assert (refused.reason, "RecursionError" in refused.message) == (Reason.INVALID_SPEC, True)
    assert made.decisions[vnet().key].refused is None


ALL_GUESTS = [{"namespaces": {}, "guests": {"vmids": [{"from": 100, "to": 999}]}}]


def nic_document(name: str, vnet: str, vmid: int) -> dict[str, Any]:
    references = {"clusterRef": {"name": "pve"}, "vnetRef": {"name": vnet}, "guest": {"vmid": vmid}}
    return document("NicAttachment", name, {**references, "device": "net0"})


def raising(original: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises where it is given the object named evil."""

    def wrapped(*arguments: Any) -> Any:
        for argument in arguments:
            about = getattr(argument, "key", None) or getattr(getattr(argument, "vnet", None), "key", None)
            if getattr(about, "name", "") == "evil":
                raise RecursionError("too deep")
        return original(*arguments)

    return wrapped


@pytest.mark.parametrize("deleting", [False, True])
@pytest.mark.parametrize(
    ("holder", "name"),
    [
        (domain_plan, "_compared"),
        (deletion._Decider, "_decide"),
        (deletion._Decider, "_claimed"),
        (nics._NicPlanner, "decide"),
        (inventory.NicInventory, "_find"),
        (pins._PinPlanner, "decide"),
        (sdn_report, "sdn_status"),
        (nic_report, "nic_status"),
        (FirewallWriter, "_sync"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_a_defect_that_one_object_meets_ends_no_sync(
    monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, deleting: bool
) -> None:
    """Whatever stage meets it: all other objects are brought to where they should be."""
    world = await programmed(guestAccess=ALL_GUESTS)
    for vmid in (101, 102):
        world.add_guest(vmid, "vmbr0")
        world.lab.guests[vmid].config["net0"] = f"virtio=BC:24:11:00:01:{vmid - 90},bridge=vmbr0"
    evil = world.apply(
        vnet_document("evil", 6000, firewall={"enabled": True}),
        nic_document("evil", "net1", 101),
    )
    await world.settle()
    monkeypatch.setattr(holder, name, raising(getattr(holder, name)))
    for target in evil if deleting else ():
        world.kube.delete(target)
    world.apply(
        vnet_document("good", 6001),
        nic_document("good", "good", 102),
    )
    for _ in range(3):
        await world.settle_or_wait()
    assert [text for text in world.complaints() if "evil" not in text] == []


_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["9" * 5000, "a\nb", "../..", "\ud7ff", "0", "-1", "1e400", "zone1", "net1"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_FIELDS = ("id", "vni", "alias", "subnets", "firewall", "vlanAware", "isolatePorts", "adoptionPolicy")
_VNETS = st.fixed_dictionaries(
    {"zoneRef": st.just({"name": "zone1"}) | _VALUES},
    optional=dict.fromkeys(_FIELDS, _VALUES),
)
_NICS = st.fixed_dictionaries(
    {
        "clusterRef": st.just({"name": "pve"}) | _VALUES,
        "vnetRef": st.just({"name": "net1"}) | _VALUES,
        "guest": st.just({"vmid": 101}) | _VALUES,
    },
    optional=dict.fromkeys(("device", "mac", "mtu", "vlan", "rateLimitMBps", "ip", "name", "deletionPolicy"), _VALUES),
)
_ANNOTATIONS = st.dictionaries(
    st.sampled_from([*kinds.ANNOTATIONS, "pve-evpn.dev/unknown"]).map(lambda name: name.removeprefix("pve-evpn.dev/")),
    _TEXTS,
    max_size=4,
)


@settings(max_examples=60)
@given(
    vnet_spec=_VNETS, nic_spec=_NICS, annotations=_ANNOTATIONS, deleted=st.booleans(),
    finalizers=st.sampled_from([[], [kinds.FINALIZER], ["other/one"]]),
)  # fmt: skip
def test_no_values_of_an_object_end_a_sync(
    vnet_spec: dict[str, Any],
    nic_spec: dict[str, Any],
    annotations: dict[str, str],
    deleted: bool,
    finalizers: list[str],
) -> None:
    """Also those that the API server would refuse: an older CRD might have let them in."""

    async def scenario() -> None:
        world = await programmed(guestAccess=ALL_GUESTS)
        world.add_guest(101, "vmbr0")
        evil = world.apply(
            document("VNet", "evil", vnet_spec, **annotations),
            document("NicAttachment", "evil", nic_spec, **annotations),
        )
        for target in evil:
            world.kube.objects[target]["metadata"]["finalizers"] = list(finalizers)
            if deleted:
                world.kube.delete(target)
        world.apply(vnet_document("good", 6001))
        for _ in range(3):
            await world.settle_or_wait()
        assert [text for text in world.complaints() if "evil" not in text] == []

    with ours_logged() as failures:
        asyncio.run(scenario())
    assert failures == []


@contextlib.contextmanager
def ours_logged() -> Iterator[list[str]]:
    """The tracebacks that the operator logs meanwhile: a defect, although it ends nothing."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1]:
                found.append("".join(traceback.format_exception(record.exc_info[1]))[-600:])

    handler = Handler()
    logging.getLogger("pve_evpn").addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger("pve_evpn").removeHandler(handler)
