"""What many statuses say alike is in memory once."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api.conditions import Condition
from pve_evpn.api.shared import shared
from pve_evpn.api.status import as_written, read_status
from pve_evpn.api.vnet import VniOnNode

READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-05T12:00:00Z",
}


def vnet(**ready: Any) -> Any:
    return read_status(
        "VNet", {"conditions": [{**READY, **ready}], "nodes": [{"name": "pve1", "state": "Available", "macs": 3}]}
    )


def test_equal_conditions_and_rows_of_two_objects_are_one() -> None:
    one, other = vnet(), vnet()
    assert one.conditions[0] is other.conditions[0]
    assert one.nodes[0] is other.nodes[0]


def test_what_differs_is_not_shared_and_is_written_as_it_was_read() -> None:
    one, other = vnet(), vnet(observedGeneration=2)
    assert one.conditions[0] != other.conditions[0]
    assert as_written(other)["conditions"][0]["observedGeneration"] == 2


def test_a_condition_that_was_built_is_the_one_that_was_read() -> None:
    read = vnet()
    moment = datetime(2026, 1, 5, 12, tzinfo=UTC)
    built = Condition(type="Ready", status="True", reason="Ready", observed_generation=1, last_transition_time=moment)
    status = type(read)(conditions=[built])
    assert status.conditions[0] is read.conditions[0]


def test_a_model_with_a_list_is_left_alone() -> None:
    row = VniOnNode(macs=1, missing_vteps=["pve2"])
    assert shared(row) is row
    assert shared(VniOnNode(macs=1, missing_vteps=["pve2"])) is not row


def test_nothing_is_kept_that_no_object_has() -> None:
    kept = weakref.ref(vnet(message="only here").conditions[0])
    gc.collect()
    assert kept() is None
