"""A stored status is read whatever it looks like: what cannot be read is left out, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pve_evpn.api.conditions import ConditionType
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.status import as_written, read_status
from pve_evpn.api.vnet import VNetStatus

READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "",
    "observedGeneration": 3,
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
WHOLE: dict[str, Any] = {
    "observedGeneration": 3,
    "conditions": [READY],
    "id": "net1",
    "origin": "Created",
    "zone": "zone1",
    "vni": 5001,
    "subnets": [{"id": "zone1-10.0.0.0-24", "origin": "Adopted"}],
    "nodes": [{"name": "pve1", "state": "Available", "macs": 3}, {"name": "pve2", "state": "Missing"}],
    "observedAt": "2026-01-01T00:00:00Z",
}


def vnet(**changes: Any) -> VNetStatus:
    status = read_status("VNet", {**WHOLE, **changes})
    assert isinstance(status, VNetStatus)
    return status


def test_what_was_stored_is_what_would_be_written() -> None:
    assert as_written(vnet()) == WHOLE
    assert vnet().observed_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert vnet().says(ConditionType.READY) == "True"
    assert vnet().says(ConditionType.STALLED) == "Unknown"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [None, {}, [], "broken", {"conditions": 7}])
def test_no_status_is_an_empty_model(kind: str, raw: object) -> None:
    assert as_written(read_status(kind, raw)) == {}


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"vni": "many"}, {"vni": None}),
        ({"origin": "Stolen", "observedAt": "yesterday"}, {"origin": None, "observedAt": None}),
        ({"conditions": [{"type": "Ready"}, READY, {**READY, "status": "Maybe"}]}, {}),
        ({"conditions": [7, None, READY]}, {}),
        ({"nodes": [{"state": "Gone"}, *WHOLE["nodes"]]}, {}),
        ({"nodes": [{"name": "pve1", "state": "Available", "macs": 3, "arpNd": []}, WHOLE["nodes"][1]]}, {}),
        ({"written": "by a newer release"}, {}),
    ],
)
def test_what_cannot_be_read_is_left_out(changes: dict[str, Any], left: dict[str, Any]) -> None:
    expected = {key: value for key, value in {**WHOLE, **left}.items() if value is not None}
    assert as_written(vnet(**changes)) == expected
