"""The users of one namespace against everybody's networks: one object's values, or many objects, must stop nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.plan import checks, plan
from tests.engine.world import NET1, document, key, programmed
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
