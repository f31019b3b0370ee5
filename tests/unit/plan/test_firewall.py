"""The writes of a VNet's firewall lead from any rule set to any other, and filter no less on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pve_evpn.api.firewall import Firewall
from pve_evpn.domain.plan.firewall import (
    DesiredFirewall,
    FirewallState,
    InsertRule,
    MoveRule,
    RemoveRule,
    SetOptions,
    SwitchRule,
    desired_firewall,
    differences,
    firewall_state,
    invalid_rules,
    plan_writes,
)

Rules = list[tuple[int, bool]]
RULES = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=6)


def state(rules: Rules, **options: str) -> FirewallState:
    return FirewallState(options, tuple({"action": str(n), "enable": str(int(on))} for n, on in rules))


def desired(rules: Rules, **options: str) -> DesiredFirewall:
    return DesiredFirewall(options, state(rules).rules)


def carry_out(rules: Rules, write: object) -> None:
    """As pve-firewall does it: new rules come first, ``moveto`` counts before the rule is taken out."""
    match write:
        case InsertRule(rule):
            rules.insert(0, (int(rule["action"]), rule["enable"] == "1"))
        case MoveRule(pos, before):
            rule = rules[pos]
            rules[pos] = (-1, False)
            rules.insert(before, rule)
            rules.remove((-1, False))
        case SwitchRule(pos, enable):
            rules[pos] = (rules[pos][0], enable == "1")
        case RemoveRule(pos):
            del rules[pos]
        case SetOptions():
            pass


@given(RULES, RULES)
def test_the_writes_lead_from_any_rule_set_to_any_other(have: Rules, want: Rules) -> None:
    now = list(have)
    writes = list(plan_writes(state(have), desired(want)))
    for write in writes:
        carry_out(now, write)
    assert now == want
    assert len(writes) <= 3 * len(want) + len(have)


@given(RULES, RULES)
def test_what_is_in_force_before_or_after_is_in_force_all_the_way(have: Rules, want: Rules) -> None:
    """Until everything that is wanted is in force in its order, nothing of the old rules is lost."""
    in_force = lambda rules: [n for n, on in rules if on]  # noqa: E731
    now = list(have)
    for write in plan_writes(state(have, enable="1"), desired(want, enable="1")):
        carry_out(now, write)
        kept_old, all_new = _within(in_force(have), in_force(now)), _within(in_force(want), in_force(now))
        assert kept_old or all_new


def _within(some: list[int], all_: list[int]) -> bool:
    """Whether the ones are among the others, in their order."""
    rest = iter(all_)
    return all(one in rest for one in some)


@given(RULES, RULES)
def test_a_new_rule_is_off_until_it_is_where_it_belongs(have: Rules, want: Rules) -> None:
    now = list(have)
    for write in plan_writes(state(have), desired(want)):
        if isinstance(write, MoveRule):
            assert not now[write.pos][1]
        if isinstance(write, InsertRule):
            assert write.rule["enable"] == "0"
        carry_out(now, write)


@given(RULES, RULES)
def test_there_are_differences_exactly_where_there_are_writes(have: Rules, want: Rules) -> None:
    assert bool(differences(state(have), desired(want))) == bool(list(plan_writes(state(have), desired(want))))


def kinds(*writes: object) -> list[str]:
    return [type(write).__name__ for write in writes]


def test_the_firewall_is_switched_on_after_its_rules_and_off_before_they_go() -> None:
    on = plan_writes(state([(9, True)]), desired([(1, True)], enable="1"))
    assert kinds(*on) == ["InsertRule", "SwitchRule", "RemoveRule", "SetOptions"]
    off = plan_writes(state([(1, True)], enable="1"), desired([]))
    assert kinds(*off) == ["SetOptions", "RemoveRule"]


def test_a_policy_changes_between_the_new_rules_and_the_old() -> None:
    """A policy of ACCEPT must not be in force before the DROP it needs, nor after the DROP it replaces has gone."""
    writes = plan_writes(state([(1, True)], enable="1", policy_forward="DROP"), desired([(2, True)], enable="1"))
    assert kinds(*writes) == ["InsertRule", "SwitchRule", "SetOptions", "RemoveRule"]


def test_without_rules_in_the_spec_those_in_proxmox_are_left_alone() -> None:
    spec = Firewall.model_validate({"enabled": True})
    assert kinds(*plan_writes(state([(1, True)]), desired_firewall(spec))) == ["SetOptions"]


def test_a_rule_with_a_security_group_has_no_conditions_of_its_own() -> None:
    spec = Firewall.model_validate({"rules": [{"securityGroup": "web", "source": "10.0.0.1", "log": "info"}]})
    assert desired_firewall(spec).rules == ({"type": "group", "action": "web", "enable": "1"},)


def row(pos: int, **values: object) -> dict[str, object]:
    return {"pos": pos, "digest": "d1", "type": "forward", "action": "DROP", "enable": 1, **values}


def test_macros_are_compared_without_case_and_the_ip_version_is_no_property() -> None:
    have = firewall_state({"digest": "d2"}, [row(0, macro="Ping", ipversion=4, log="nolog", comment="x ")])
    spec = Firewall.model_validate({"rules": [{"action": "DROP", "macro": "ping", "comment": " x", "log": "nolog"}]})
    assert differences(have, desired_firewall(spec)) == ()
    assert (have.options_digest, have.rules_digest) == ("d2", "d1")


def test_why_proxmox_does_not_use_a_rule_is_no_property_of_it() -> None:
    have = firewall_state({}, [row(0), row(1, source="gone", errors={"source": "no such alias 'gone'\n"})])
    spec = Firewall.model_validate({"rules": [{"action": "DROP"}, {"action": "DROP", "source": "gone"}]})
    assert list(plan_writes(have, desired_firewall(spec))) == []
    (message,) = invalid_rules(have, desired_firewall(spec))
    assert message == "rule 1 (forward DROP source=gone enable=1): source: no such alias 'gone'"


def test_an_unknown_property_of_a_rule_is_a_difference() -> None:
    have = firewall_state({}, [row(0, iface="net0")])
    spec = Firewall.model_validate({"rules": [{"action": "DROP"}]})
    assert kinds(*plan_writes(have, desired_firewall(spec))) == ["InsertRule", "SwitchRule", "RemoveRule"]


def test_foreign_text_is_shown_without_control_characters() -> None:
    have = firewall_state({}, [row(0, source="x\x1b[31m\u202e")])
    spec = Firewall.model_validate({"rules": []})
    assert differences(have, desired_firewall(spec)) == (
        "firewall rule 0 (forward DROP source=x [31m enable=1) is not specified",
    )
