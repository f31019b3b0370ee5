"""The firewall of a VNet: what a spec means in Proxmox' words, how it differs from what is there, and the writes. Pure.

The firewall is not part of the SDN configuration: no copy of it is staged, no apply publishes it, and each write is in
force at once. So the order of the writes matters. New rules are in their places before they are switched on, all of
them are on before the policy changes, and only then old rules go: at no moment less is filtered than before or after.

How pve-firewall takes rules (measured on 6.0.4): a new rule is always the first one, whatever ``pos`` says; a rule is
moved by PUT with ``moveto``, which ignores everything else; options and rules have a digest each; macros are stored in
Proxmox' own spelling.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from pydantic.alias_generators import to_camel

from pve_evpn.api.firewall import Firewall, FirewallRule
from pve_evpn.domain.state import FirewallName, FirewallNames
from pve_evpn.text import from_outside

#: A rule in Proxmox' properties; ``enable`` is always there, a property that is not set is not.
Rule: TypeAlias = Mapping[str, str]
_Key: TypeAlias = frozenset[tuple[str, str]]
#: A rule apart from ``enable``, and ``enable``.
_Compared: TypeAlias = tuple[_Key, str]

#: Keys of a row that do not configure the rule.
_NOT_CONFIGURED = frozenset({"pos", "digest", "ipversion", "errors"})
_NO_LOG = "nolog"
_OPTIONS = ("enable", "log_level_forward", "policy_forward")
_SHOWN_IN_ORDER = (
    "type", "action", "macro", "source", "dest", "proto", "sport", "dport", "icmp-type", "log", "enable",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FirewallState:
    """A VNet's firewall in Proxmox. ``invalid``: by position, why Proxmox leaves a rule out of the packet filter."""

    options: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    options_digest: str = ""
    rules_digest: str = ""
    invalid: Mapping[int, str] = field(default_factory=dict)

    @property
    def enabled(self) -> bool:
        return self.options.get("enable") == "1"

    def same_as(self, other: FirewallState) -> bool:
        """Whether both configure the same; digests and what Proxmox says of rules do not count."""
        return self.options == other.options and list(map(_key, self.rules)) == list(map(_key, other.rules))


@dataclass(frozen=True, slots=True)
class DesiredFirewall:
    """The firewall as a spec wants it; ``rules`` None where the spec says nothing of them."""

    options: Mapping[str, str]
    rules: tuple[Rule, ...] | None


# --- the writes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetOptions:
    """PUT of the options that differ."""

    values: Mapping[str, str]
    delete: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = [f"{key}={value}" for key, value in sorted(self.values.items())]
        return f"set options {', '.join([*values, *(f'{key} to its default' for key in self.delete)])}"

    def carried_out(self, state: FirewallState) -> FirewallState:
        """The firewall after this write."""
        options = {key: value for key, value in state.options.items() if key not in self.delete}
        return replace(state, options={**options, **self.values})


@dataclass(frozen=True, slots=True)
class InsertRule:
    """POST of a rule that is switched off. Proxmox puts it before all others."""

    rule: Rule

    def __str__(self) -> str:
        return f"insert rule {shown(self.rule)}"

    def carried_out(self, state: FirewallState) -> FirewallState:
        """The firewall after this write."""
        return replace(state, rules=(self.rule, *state.rules))


@dataclass(frozen=True, slots=True)
class MoveRule:
    """PUT with ``moveto``: the rule at ``pos`` comes to stand before the one that is at ``before`` now, or last."""

    pos: int
    before: int

    def __str__(self) -> str:
        return f"move rule {self.pos} before {self.before}"

    def carried_out(self, state: FirewallState) -> FirewallState:
        """The firewall after this write."""
        rules = list(state.rules)
        rule = rules.pop(self.pos)
        rules.insert(self.before - (self.before > self.pos), rule)
        return replace(state, rules=tuple(rules))


@dataclass(frozen=True, slots=True)
class SwitchRule:
    """PUT that switches a rule on or off where it stands."""

    pos: int
    enable: str

    def __str__(self) -> str:
        return f"switch rule {self.pos} {'on' if self.enable == '1' else 'off'}"

    def carried_out(self, state: FirewallState) -> FirewallState:
        """The firewall after this write."""
        changed = {**state.rules[self.pos], "enable": self.enable}
        return replace(state, rules=(*state.rules[: self.pos], changed, *state.rules[self.pos + 1 :]))


@dataclass(frozen=True, slots=True)
class RemoveRule:
    """DELETE of the rule at ``pos``."""

    pos: int

    def __str__(self) -> str:
        return f"remove rule {self.pos}"

    def carried_out(self, state: FirewallState) -> FirewallState:
        """The firewall after this write."""
        return replace(state, rules=(*state.rules[: self.pos], *state.rules[self.pos + 1 :]))


FirewallWrite: TypeAlias = SetOptions | InsertRule | MoveRule | SwitchRule | RemoveRule


# --- from the spec, and from Proxmox --------------------------------------------------------------------------------


#: Proxmox' properties of a rule with conditions of its own, and the fields of ours that say them.
_RULE_FIELDS = {
    "action": "action",
    "macro": "macro",
    "source": "source",
    "dest": "dest",
    "proto": "proto",
    "sport": "sport",
    "dport": "dport",
    "icmp-type": "icmp_type",
    "log": "log",
}


def desired_firewall(spec: Firewall) -> DesiredFirewall:
    """The spec in Proxmox' properties. An option that is not there has Proxmox' default."""
    options = {
        "enable": "1" if spec.enabled else None,
        "policy_forward": spec.policy_forward,
        "log_level_forward": spec.log_level_forward if spec.log_level_forward != _NO_LOG else None,
    }
    rules = None if spec.rules is None else tuple(_desired_rule(rule) for rule in spec.rules)
    return DesiredFirewall({key: value for key, value in options.items() if value}, rules)


def _desired_rule(rule: FirewallRule) -> Rule:
    """A rule that uses a security group has no conditions of its own: Proxmox drops them."""
    about = {"comment": rule.comment.strip() if rule.comment else None, "enable": "0" if rule.enabled is False else "1"}
    if rule.security_group:
        return _without_empty({"type": "group", "action": rule.security_group, **about})
    values = {key: getattr(rule, field) for key, field in _RULE_FIELDS.items()}
    log = values["log"] if values["log"] != _NO_LOG else None
    return _without_empty({"type": "forward", **values, "log": log, **about})


def specified_firewall(actual: FirewallState) -> dict[str, Any]:
    """The other way round: the spec, as a manifest has it, that says what Proxmox has.

    Of a rule that our API cannot say, only what it can say is there; :func:`desired_firewall` shows the difference.
    """
    options, rules = actual.options, [_specified_rule(rule) for rule in actual.rules]
    return {
        **({"enabled": True} if options.get("enable") == "1" else {}),
        **({"policyForward": options["policy_forward"]} if "policy_forward" in options else {}),
        **({"logLevelForward": options["log_level_forward"]} if "log_level_forward" in options else {}),
        **({"rules": rules} if rules else {}),
    }


def _specified_rule(rule: Rule) -> dict[str, Any]:
    about = {
        **({"comment": rule["comment"]} if "comment" in rule else {}),
        **({"enabled": False} if rule["enable"] == "0" else {}),
    }
    if rule.get("type") == "group":
        return {"securityGroup": rule.get("action", ""), **about}
    return {**{to_camel(field): rule[key] for key, field in _RULE_FIELDS.items() if key in rule}, **about}


def _without_empty(values: Mapping[str, str | None]) -> Rule:
    return {key: value for key, value in values.items() if value}


def firewall_state(options: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> FirewallState:
    """Proxmox' answers about options and rules. Properties that this program does not know stay, and so differ."""
    ordered = sorted(rows, key=lambda row: int(row["pos"]))
    off = {"enable": "0", "log_level_forward": _NO_LOG}
    values = {key: str(value) for key, value in options.items() if key != "digest"}
    return FirewallState(
        options={key: value for key, value in values.items() if value != off.get(key)},
        rules=tuple(map(_actual_rule, ordered)),
        options_digest=str(options.get("digest") or ""),
        rules_digest=next((str(row["digest"]) for row in ordered if row.get("digest")), ""),
        invalid={pos: _why_invalid(row["errors"]) for pos, row in enumerate(ordered) if row.get("errors")},
    )


def _actual_rule(row: Mapping[str, Any]) -> Rule:
    values = {key: str(value).strip() for key, value in row.items() if key not in _NOT_CONFIGURED}
    values = {key: value for key, value in values.items() if value and (key, value) != ("log", _NO_LOG)}
    return {"enable": "0", **values}


def _why_invalid(errors: Any) -> str:
    if isinstance(errors, Mapping):
        return "; ".join(f"{from_outside(key)}: {from_outside(text)}" for key, text in sorted(errors.items()))
    return from_outside(errors)


# --- the difference -------------------------------------------------------------------------------------------------


def differences(actual: FirewallState, desired: DesiredFirewall) -> tuple[str, ...]:
    """What differs, one sentence each; empty where the firewall is as specified."""
    found = []
    if options := _options_write(actual, desired):
        for key in sorted({*options.values, *options.delete}):
            have, want = from_outside(actual.options.get(key, "default")), desired.options.get(key, "default")
            found.append(f"firewall option {key} is {have}, specified {want}")
    pairs = _Pairs.of(actual, desired)
    found += [f"firewall rule {shown(pairs.desired[place])} is missing" for place in pairs.missing]
    for place, pos in pairs.switched:
        state = "off" if pairs.desired[place]["enable"] == "1" else "on"
        found.append(f"firewall rule {pos} ({shown(pairs.desired[place])}) is switched {state}")
    found += [f"firewall rule {pos} ({shown(actual.rules[pos])}) is not specified" for pos in pairs.surplus]
    return tuple(found)


def invalid_rules(actual: FirewallState, desired: DesiredFirewall) -> tuple[str, ...]:
    """The specified rules that Proxmox has and does not use, with its reason: an alias that is gone, for example."""
    if desired.rules is None:
        return ()
    pairs = _Pairs.of(actual, desired)
    return tuple(
        f"rule {pos} ({shown(actual.rules[pos])}): {actual.invalid[pos]}"
        for pos in sorted(pairs.matched.values())
        if pos in actual.invalid
    )


def plan_writes(actual: FirewallState, desired: DesiredFirewall) -> Iterator[FirewallWrite]:
    """The writes that lead from one to the other, in order; each is about the firewall as the one before leaves it.

    One at a time, so that planning many of them does not hold up the event loop.
    """
    while (write := _next_write(actual, desired)) is not None:
        yield write
        actual = write.carried_out(actual)


def _next_write(actual: FirewallState, desired: DesiredFirewall) -> FirewallWrite | None:
    """Rules come in, options change, rules go; but a firewall that is off gets its options last, or first."""
    pairs = _Pairs.of(actual, desired)
    coming, going, options = _rule_in(actual, pairs), _rule_out(pairs), _options_write(actual, desired)
    if desired.options.get("enable") != "1":
        return options or coming or going
    if not actual.enabled:
        return coming or going or options
    return coming or options or going


def _options_write(actual: FirewallState, desired: DesiredFirewall) -> SetOptions | None:
    """The write that changes the options, if they differ. Options that our API does not have are left alone."""
    changed = {key: value for key, value in desired.options.items() if actual.options.get(key) != value}
    unset = tuple(key for key in _OPTIONS if key in actual.options and key not in desired.options)
    return SetOptions(changed, unset) if changed or unset else None


def _rule_in(actual: FirewallState, pairs: _Pairs) -> FirewallWrite | None:
    """Put every missing rule in its place, switched off, the last one first; then switch on, the first one first."""
    for place in reversed(pairs.missing):
        if (spare := pairs.spare_for(place)) is not None:
            return MoveRule(spare, pairs.position_for(place))
    if pairs.missing:
        return InsertRule({**pairs.desired[pairs.missing[-1]], "enable": "0"})
    on = [pos for place, pos in pairs.switched if pairs.desired[place]["enable"] == "1"]
    return SwitchRule(on[0], "1") if on else None


def _rule_out(pairs: _Pairs) -> FirewallWrite | None:
    off = [pos for place, pos in pairs.switched if pairs.desired[place]["enable"] == "0"]
    if off:
        return SwitchRule(off[0], "0")
    return RemoveRule(pairs.surplus[-1]) if pairs.surplus else None


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Which rule of Proxmox stands for which rule of the spec, both in their order.

    ``matched``: position in Proxmox by place in the spec. Two rules pair that are equal but for ``enable``; of all ways
    to pair them the one with the most equal rules counts, so that rules in force stay where they are.
    """

    desired: Sequence[Rule]
    actual: Sequence[Rule]
    matched: Mapping[int, int]

    @classmethod
    def of(cls, actual: FirewallState, desired: DesiredFirewall) -> _Pairs:
        if desired.rules is None:
            return cls((), (), {})
        return cls(desired.rules, actual.rules, _longest_common(actual.rules, desired.rules))

    @property
    def missing(self) -> list[int]:
        """Places in the spec that have no rule in Proxmox."""
        return [place for place in range(len(self.desired)) if place not in self.matched]

    @property
    def surplus(self) -> list[int]:
        """Positions in Proxmox that the spec does not have."""
        taken = set(self.matched.values())
        return [pos for pos in range(len(self.actual)) if pos not in taken]

    @property
    def switched(self) -> list[tuple[int, int]]:
        """Place and position of rules that are on and should be off, or the reverse."""
        pairs = sorted(self.matched.items())
        return [(place, pos) for place, pos in pairs if self.desired[place]["enable"] != self.actual[pos]["enable"]]

    def spare_for(self, place: int) -> int | None:
        """A surplus rule that is switched off and otherwise is the one that is missing at ``place``."""
        body = _body(self.desired[place])
        alike = (pos for pos in self.surplus if self.actual[pos]["enable"] == "0" and _body(self.actual[pos]) == body)
        return next(alike, None)

    def position_for(self, place: int) -> int:
        """The position before which the rule belongs: right behind that of its predecessor in the spec."""
        return 1 + max((pos for earlier, pos in self.matched.items() if earlier < place), default=-1)


def _longest_common(actual: Sequence[Rule], desired: Sequence[Rule]) -> dict[int, int]:
    """Pair the most equal rules in order, and then the most that differ in ``enable`` only."""
    have, want = [(_body(rule), rule["enable"]) for rule in actual], [(_body(rule), rule["enable"]) for rule in desired]
    # Equal rules at both ends pair with each other; at rest, that is all of them.
    most = min(len(want), len(have))
    head = next((n for n in range(most) if want[n] != have[n]), most)
    tail = next((n for n in range(most - head) if want[-1 - n] != have[-1 - n]), most - head)
    between = _aligned(want[head : len(want) - tail], have[head : len(have) - tail])
    pairs = {place: place for place in range(head)}
    pairs |= {head + place: head + pos for place, pos in between}
    return pairs | {len(want) - n: len(have) - n for n in range(1, tail + 1)}


def _aligned(want: Sequence[_Compared], have: Sequence[_Compared]) -> list[tuple[int, int]]:
    """The pairs of the heaviest common subsequence, by dynamic programming."""
    equal = len(want) + 1  # one equal pair outweighs all that are not
    best = [[0] * (len(have) + 1) for _ in range(len(want) + 1)]
    for place in reversed(range(len(want))):
        for pos in reversed(range(len(have))):
            best[place][pos] = max(best[place + 1][pos], best[place][pos + 1])
            if want[place][0] == have[pos][0]:
                worth = equal if want[place] == have[pos] else 1
                best[place][pos] = max(best[place][pos], worth + best[place + 1][pos + 1])
    pairs = []
    place = pos = 0
    while place < len(want) and pos < len(have):
        if best[place][pos] == best[place][pos + 1]:
            pos += 1
        elif best[place][pos] == best[place + 1][pos]:
            place += 1
        else:
            pairs.append((place, pos))
            place, pos = place + 1, pos + 1
    return pairs


# --- names that rules refer to ---------------------------------------------------------------------------------------


#: The IP sets that Proxmox makes of each VNet end so.
SETS_OF_VNETS = frozenset({"all", "gateway", "no-gateway", "dhcp"})


class NameUse(NamedTuple):
    """A name that a rule uses. ``made``: Proxmox makes the IP set itself (``+sdn/...``)."""

    field: str
    kind: FirewallName
    name: str
    made: bool = False


def names_in(spec: Firewall) -> Iterator[NameUse]:
    """The names that the rules use, with the fields that have them."""
    for number, rule in enumerate(spec.rules or ()):
        where = f"firewall.rules[{number}]"
        if rule.macro:
            yield NameUse(f"{where}.macro", FirewallName.MACRO, rule.macro)
        if rule.security_group:
            yield NameUse(f"{where}.securityGroup", FirewallName.GROUP, rule.security_group)
        for field_, text in (("source", rule.source), ("dest", rule.dest)):
            if text and text.startswith("+"):
                name = text[1:].removeprefix("dc/")
                made = name.startswith("sdn/")
                yield NameUse(f"{where}.{field_}", FirewallName.IPSET, name.removeprefix("sdn/"), made)
            elif text and text[0].isalpha() and ":" not in text:
                yield NameUse(f"{where}.{field_}", FirewallName.ALIAS, text.removeprefix("dc/"))


def names_used(specs: Iterable[Firewall]) -> FirewallNames:
    """The names of the datacenter's firewall that any of these uses."""
    found: dict[FirewallName, set[str]] = {}
    for use in (use for spec in specs for use in names_in(spec) if not use.made):
        found.setdefault(use.kind, set()).add(use.kind.form(use.name))
    return {kind: frozenset(names) for kind, names in found.items()}


# --- texts ----------------------------------------------------------------------------------------------------------


def fingerprint(spec: Firewall | None) -> str:
    """What is wanted, as text; empty where the spec has no firewall."""
    if spec is None:
        return ""
    desired = desired_firewall(spec)
    rules = [json.dumps(sorted(rule.items())) for rule in desired.rules or ()]
    return json.dumps([sorted(desired.options.items()), rules])


def shown(rule: Rule) -> str:
    """A rule for a person, in the order people write them."""
    words = (rule[key] if key in ("type", "action") else f"{key}={rule[key]}" for key in _SHOWN_IN_ORDER if key in rule)
    return from_outside(" ".join(words))


def _key(rule: Rule) -> _Key:
    """A rule for comparing. Proxmox stores a macro in its own spelling, whatever was written."""
    return frozenset((key, value.lower() if key == "macro" else value) for key, value in rule.items())


def _body(rule: Rule) -> _Key:
    return _key({key: value for key, value in rule.items() if key != "enable"})
