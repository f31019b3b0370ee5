"""The firewall of VNets: in force at once, an ordered list, a digest of its own."""

from __future__ import annotations

import pytest

from tests.lab.asking import Asking

RULES = "/cluster/sdn/vnets/v1/firewall/rules"
OPTIONS = "/cluster/sdn/vnets/v1/firewall/options"


@pytest.fixture(autouse=True)
def overlay(pve: Asking) -> None:
    pve.overlay()


def comments(pve: Asking) -> list[str]:
    rows = pve.get(RULES)
    assert [row["pos"] for row in rows] == list(range(len(rows)))
    return [row["comment"] for row in rows]


def add(pve: Asking, comment: str, **more: str) -> None:
    pve.post(RULES, **{"type": "forward", "action": "ACCEPT", "comment": comment, **more})


def test_new_rules_come_first_and_can_be_moved(pve: Asking) -> None:
    for name in "abc":
        add(pve, name)
    assert comments(pve) == ["c", "b", "a"]
    add(pve, "d", pos="1")
    assert comments(pve) == ["c", "d", "b", "a"]
    pve.put(f"{RULES}/0", moveto=3)
    assert comments(pve) == ["d", "b", "c", "a"]
    pve.put(f"{RULES}/3", moveto=0)
    assert comments(pve) == ["a", "d", "b", "c"]
    pve.delete(f"{RULES}/1")
    assert comments(pve) == ["a", "b", "c"]


def test_a_rule_is_changed_in_parts(pve: Asking) -> None:
    add(pve, "a", proto="tcp", dport="22")
    pve.put(f"{RULES}/0", enable=1, delete="dport,proto")
    rule = pve.get(f"{RULES}/0")
    assert (rule["enable"], rule["comment"]) == (1, "a")
    assert not {"dport", "proto"} & rule.keys()


def test_the_digest_guards_every_write(pve: Asking) -> None:
    add(pve, "a")
    digest = pve.get(RULES)[0]["digest"]
    pve.put(OPTIONS, enable=1, policy_forward="DROP")
    for verb, path in (("POST", RULES), ("PUT", f"{RULES}/0"), ("DELETE", f"{RULES}/0"), ("PUT", OPTIONS)):
        params = {"type": "forward", "action": "DROP"} if verb == "POST" else {}
        assert "detected modified configuration" in pve.message(verb, path, digest=digest, **params)
    pve.delete(f"{RULES}/0", digest=pve.get(OPTIONS)["digest"])


def test_options_are_set_and_unset(pve: Asking) -> None:
    pve.put(OPTIONS, enable=1, log_level_forward="info")
    found = pve.get(OPTIONS)
    assert (found["enable"], found["log_level_forward"]) == (1, "info")
    pve.put(OPTIONS, delete="log_level_forward")
    assert "log_level_forward" not in pve.get(OPTIONS)


def test_neither_lock_nor_rollback_is_known_here(pve: Asking) -> None:
    token = pve.post("/cluster/sdn/lock")
    add(pve, "a")
    pve.post("/cluster/sdn/rollback", lock_token=token)
    assert comments(pve) == ["a"]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"type": "in", "action": "ACCEPT"}, "type"),
        ({"type": "forward", "action": "PERHAPS"}, "action"),
        ({"type": "forward", "action": "ACCEPT", "dport": "22"}, "proto"),
        ({"type": "forward"}, "action"),
        ({"type": "forward", "action": "ACCEPT", "colour": "red"}, "colour"),
    ],
)
def test_wrong_rules_are_named(pve: Asking, params: dict[str, str], named: str) -> None:
    assert pve.errors("POST", RULES, **params).keys() == {named}


def test_there_is_no_rule_beyond_the_last(pve: Asking) -> None:
    assert "no rule at position 0" in pve.message("GET", f"{RULES}/0")


def test_a_vnet_that_is_not_there_has_no_firewall(pve: Asking) -> None:
    assert "does not exist" in pve.message("GET", "/cluster/sdn/vnets/nope/firewall/rules")


def test_rules_outlive_their_vnet(pve: Asking) -> None:
    """Nothing in Proxmox takes the file away: a VNet of the same name finds it again."""
    add(pve, "a")
    pve.delete("/cluster/sdn/vnets/v1")
    assert "does not exist" in pve.message("GET", RULES)
    pve.post("/cluster/sdn/vnets", vnet="v1", zone="z1", tag=5001)
    assert comments(pve) == ["a"]
