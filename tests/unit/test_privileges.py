"""Which privileges are missing, and how that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from pve_evpn.domain.privileges import NEEDS, Feature, Held, Need, lack_in_words, missing, written_into

PAGE = Path(__file__).parents[2] / "docs" / "proxmox-access.md"
ALL = tuple(Feature)
DOCUMENTED: Held = {
    "/": frozenset({"Sys.Audit"}),
    "/sdn": frozenset({"SDN.Allocate", "SDN.Audit", "SDN.Use"}),
    "/nodes": frozenset({"Sys.Audit", "Sys.Modify"}),
    "/vms": frozenset({"VM.Audit", "VM.Config.Network"}),
}


def without(privilege: str) -> Held:
    return {path: privileges - {privilege} for path, privileges in DOCUMENTED.items()}


def test_the_page_has_the_table() -> None:
    assert written_into(PAGE.read_text()) == PAGE.read_text(), (
        "run: python -m pve_evpn.domain.privileges docs/proxmox-access.md"
    )


def test_the_documented_credentials_lack_nothing() -> None:
    assert missing(DOCUMENTED, ALL) == ()


def test_everything_may_be_held_at_the_top() -> None:
    assert missing({"/": frozenset(need.privilege for need in NEEDS)}, ALL) == ()


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.privilege)
def test_each_is_missed_where_its_feature_is_used_and_only_there(need: Need) -> None:
    held = without(need.privilege)
    lacking = missing(held, [need.feature])
    assert need in lacking
    others = [feature for feature in Feature if feature is not need.feature]
    assert need not in missing(held, others)


def test_a_deeper_entry_replaces_what_comes_from_above() -> None:
    held = {"/": frozenset({"SDN.Allocate"}), "/sdn": frozenset({"SDN.Audit"})}
    assert [need.privilege for need in missing(held, [Feature.WRITE])] == ["SDN.Allocate"]


@pytest.mark.parametrize("path", ["/vms/100", "/pool/lab"])
def test_guests_may_be_handed_over_one_by_one_or_by_pool(path: str) -> None:
    held = {**without("VM.Audit"), "/vms": frozenset(), path: frozenset({"VM.Audit", "VM.Config.Network"})}
    assert missing(held, [Feature.NICS]) == ()


def test_the_message_names_privilege_path_and_command() -> None:
    words = lack_in_words(missing(without("SDN.Allocate"), ALL), "pve-evpn@pve")
    assert "lack SDN.Allocate on /sdn" in words
    assert "pveum acl modify /sdn --users pve-evpn@pve --roles PveEvpnNetworks" in words
