"""No status is refused for its size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_evpn.api.kinds import KINDS
from pve_evpn.api.status import as_written, read_status

SINCE = "2026-01-01T00:00:00Z"


def fit(kind: str, status: dict[str, Any]) -> dict[str, Any]:
    """The status as it is written once its model was built."""
    return as_written(read_status(kind, status))


def test_what_fits_is_not_touched() -> None:
    status = {
        "id": "EVPN1",
        "vni": 5001,
        "nodes": [{"name": "pve1", "state": "Available"}],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "x" * 1024,
                "lastTransitionTime": SINCE,
            }
        ],
    }
    assert fit("VNet", status) == status


def test_a_long_text_says_that_it_was_cut() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "x" * 2000, "lastTransitionTime": SINCE}
    message = fit("VNet", {"conditions": [ready]})["conditions"][0]["message"]
    assert len(message) == 1024
    assert message.endswith("x ...")


def test_a_long_list_says_how_much_is_missing() -> None:
    nodes = [{"name": f"pve{n}", "state": "Available"} for n in range(100)]
    cut = fit("EvpnZone", {"nodes": nodes})
    assert cut["nodes"] == nodes[:64]
    assert cut["truncated"] == 36


def test_the_writer_knows_better_how_much_is_missing() -> None:
    nodes = [{"name": f"pve{n}", "state": "Available"} for n in range(65)]
    assert fit("EvpnZone", {"nodes": nodes, "truncated": 400})["truncated"] == 400


def test_nested_lists_are_counted_where_they_are() -> None:
    cut = fit("ProxmoxCluster", {"pending": {"foreign": ["zone z1 changed"] * 40}})
    assert cut == {"pending": {"foreign": ["zone z1 changed"] * 32, "truncated": 8}}


#: Size is what matters here, not content: drawn as a number, so that drawing is quick.
TEXTS = st.integers(0, 2000).map("x".__mul__)
ENTRIES = TEXTS | st.none() | st.builds(lambda text: {"name": text, "message": text, "problems": [text] * 20}, TEXTS)
VALUES = ENTRIES | st.builds(lambda entry, count: [entry] * count, ENTRIES, st.integers(0, 300))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_fitting_twice_changes_nothing_more(kind: str, data: Any) -> None:
    fields = list(KINDS[kind].status_model.model_json_schema(by_alias=True)["properties"])
    status = data.draw(st.dictionaries(st.sampled_from(fields), VALUES, max_size=4))
    once = fit(kind, status)
    assert fit(kind, once) == once
