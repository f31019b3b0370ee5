"""Text from outside, and proposals of names that were meant."""

from __future__ import annotations

import pytest

from pve_evpn.text import meant


@pytest.mark.parametrize(
    ("name", "known", "proposal"),
    [
        ("Web", ["web", "db"], "; is web meant?"),
        ("zone-1", ["zone1", "zone2"], "; is zone1 meant?"),
        ("net1", ["net2"], "; is net2 meant?"),
        ("prodcution", ["production", "staging"], "; is production meant?"),
        ("web", ["database", "web"], ""),
        ("web", [], ""),
        ("blue", ["red"], ""),
    ],
)
def test_a_name_that_is_nearly_right_is_proposed(name: str, known: list[str], proposal: str) -> None:
    assert meant(name, known) == proposal
