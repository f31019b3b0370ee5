"""What each Proxmox VE release has, and what becomes of releases the operator does not know."""

from __future__ import annotations

import pytest

from pve_evpn.domain.state import (
    CAPABILITIES,
    NEWEST_KNOWN,
    PveVersion,
    capabilities_of,
    first_with,
    release_in_words,
)


@pytest.mark.parametrize(
    ("release", "tables", "controllers"), [("9.0", False, False), ("9.1", True, False), ("9.2.11", True, True)]
)
def test_each_release_has_its_row(release: str, tables: bool, controllers: bool) -> None:
    row = capabilities_of(PveVersion.parse(release))
    assert (row.evpn_tables, row.several_controllers) == (tables, controllers)


def test_an_unknown_newer_release_is_treated_as_the_newest_known_one_and_named() -> None:
    newer = PveVersion(NEWEST_KNOWN.major + 1, 0)
    assert capabilities_of(newer) is CAPABILITIES[NEWEST_KNOWN]
    words = release_in_words(newer, "10.0.1")
    assert "10.0.1 is newer than 9.2" in words
    assert "treated as 9.2" in words
    assert release_in_words(NEWEST_KNOWN, "9.2.11") == "Proxmox VE 9.2.11"


def test_a_release_without_the_sdn_lock_is_refused() -> None:
    with pytest.raises(ValueError, match="no SDN lock"):
        capabilities_of(PveVersion(8, 4))


def test_the_first_release_with_a_capability() -> None:
    assert first_with("evpn_tables") == PveVersion(9, 1)
    assert first_with("policies") == PveVersion(9, 2)
