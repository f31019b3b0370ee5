"""The firewall of a VNet: what a spec means in Proxmox' words, and the writes that bring it about. Pure.

It is not part of the SDN configuration: no copy of it is staged, no apply publishes it, each write is in force at once.
So it is changed so that at no moment less is filtered than before or after: new rules are there before old ones go, and
the firewall is switched on last and off first.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pve_evpn.api.vnet import Firewall, FirewallRule

Rule = Mapping[str, str]

#: Keys of an answer that do not configure the rule.
_META = frozenset({"pos", "digest", "ipversion"})
_NO_LOG = "nolog"


@dataclass(frozen=True, slots=True)
class FirewallWrite:
    """One write: ``pos`` None for the options. ``values`` empty removes the rule at ``pos``."""

    pos: int | None
    values: Mapping[str, str]
    delete: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.pos is None:
            said = [f"{key}={value}" for key, value in sorted(self.values.items())]
            return f"options {', '.join([*said, *(f'{key} unset' for key in self.delete)])}"
        return f"rule {self.pos}: {shown(self.values)}" if self.values else f"rule {self.pos} removed"


def options_of(spec: Firewall) -> dict[str, str]:
    """What the options are to be; an option that is not there has Proxmox' default."""
    options = {"enable": "1" if spec.enabled else None, "policy_forward": spec.policy_forward}
    log = spec.log_level_forward if spec.log_level_forward != _NO_LOG else None
    return {key: value for key, value in {**options, "log_level_forward": log}.items() if value}


def rules_of(spec: Firewall) -> tuple[Rule, ...] | None:
    """The rule set; None where the spec says nothing of it."""
    return None if spec.rules is None else tuple(_rule(rule) for rule in spec.rules)


def _rule(rule: FirewallRule) -> Rule:
    values = {
        "type": "group" if rule.security_group else "forward",
        "action": rule.security_group or rule.action,
        "macro": rule.macro,
        "source": rule.source,
        "dest": rule.dest,
        "proto": rule.proto,
        "sport": rule.sport,
        "dport": rule.dport,
        "icmp-type": rule.icmp_type,
        "log": rule.log if rule.log != _NO_LOG else None,
        "comment": rule.comment.strip() if rule.comment else None,
        "enable": "0" if rule.enabled is False else "1",
    }
    return {key: value for key, value in values.items() if value}


def options_seen(answer: Mapping[str, Any]) -> dict[str, str]:
    """The options as Proxmox has them, in the form of :func:`options_of`."""
    seen = {key: str(value) for key, value in answer.items() if key != "digest"}
    off = {"enable": "0", "log_level_forward": _NO_LOG}
    return {key: value for key, value in seen.items() if value != off.get(key)}


def rules_seen(answer: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules as Proxmox has them, in the form of :func:`rules_of`; unknown properties stay and so differ."""
    found = []
    for row in sorted(answer, key=lambda r: int(r["pos"])):
        rule = {key: str(value).strip() for key, value in row.items() if key not in _META}
        rule = {key: value for key, value in rule.items() if value and (key, value) != ("log", _NO_LOG)}
        found.append({"enable": "0", **rule})
    return tuple(found)


def options_write(have: Mapping[str, str], want: Mapping[str, str]) -> FirewallWrite | None:
    """The write that changes the options, if they differ. Options our API does not know are left alone."""
    changed = {key: value for key, value in want.items() if have.get(key) != value}
    gone = tuple(key for key in ("enable", "log_level_forward", "policy_forward") if key in have and key not in want)
    return FirewallWrite(None, changed, gone) if changed or gone else None


def rule_writes(have: Iterable[Rule], want: Iterable[Rule]) -> list[FirewallWrite]:
    """From one rule set to the other, to be carried out one after the other: insertions, then removals.

    Every rule that is in both, in that order, stays where it is.
    """
    before, after = [_key(rule) for rule in have], [_key(rule) for rule in want]
    wanted = list(want)
    inserts: list[FirewallWrite] = []
    stale: list[int] = []
    grown = 0
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for place, rule in enumerate(wanted[j1:j2]):
            inserts.append(FirewallWrite(i1 + grown + place, rule))
        grown += j2 - j1
        stale += [position + grown for position in range(i1, i2)]
    return inserts + [FirewallWrite(position, {}) for position in reversed(stale)]


def fingerprint(spec: Firewall | None) -> str:
    """What is wanted, as text; empty where nothing is said."""
    return "" if spec is None else json.dumps([sorted(options_of(spec).items()), list(map(_key, rules_of(spec) or ()))])


def _key(rule: Rule) -> str:
    return json.dumps(sorted(rule.items()))


def shown(rule: Rule) -> str:
    """A rule for a person, in the order people write them."""
    order = ("type", "action", "macro", "source", "dest", "proto", "sport", "dport", "icmp-type", "log", "enable")
    return " ".join(rule[key] if key in ("type", "action") else f"{key}={rule[key]}" for key in order if key in rule)
