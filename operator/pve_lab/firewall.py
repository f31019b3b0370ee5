"""The firewall of VNets: options and an ordered list of rules.

Nothing of it is staged: a write is in force at once, knows no lock token, and stays when the rest is rolled back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_lab.errors import bad_parameters, refused

Rule = dict[str, Any]
_NUMBERS = ("enable", "ipversion")
_MODIFIED = "detected modified configuration - file changed by other user? Try again.\n"


@dataclass
class VnetFirewall:
    """One VNet's file."""

    options: dict[str, Any] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)

    @property
    def digest(self) -> str:
        text = json.dumps([self.options, self.rules], sort_keys=True)
        return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324

    def check_digest(self, given: Any) -> None:
        if given and str(given) != self.digest:
            raise refused(_MODIFIED)

    def set_options(self, values: Mapping[str, Any], delete: list[str]) -> None:
        kept = {key: value for key, value in self.options.items() if key not in delete}
        self.options = {**kept, **{k: int(v) if k == "enable" else v for k, v in values.items()}}

    def shown(self) -> list[Rule]:
        """The rules with their places."""
        return [{**rule, "pos": place} for place, rule in enumerate(self.rules)]

    def rule(self, place: int) -> Rule:
        if not 0 <= place < len(self.rules):
            raise refused(f"no rule at position {place}\n")
        return {**self.rules[place], "pos": place}

    def insert(self, values: Mapping[str, Any], place: int = 0) -> None:
        """New rules come first unless a place is given; those after the last place at the end."""
        rule = _checked({"enable": 0, **values})
        self.rules.insert(min(place, len(self.rules)), rule)

    def change(self, place: int, values: Mapping[str, Any], delete: list[str]) -> None:
        old = self.rule(place)
        old.pop("pos")
        self.rules[place] = _checked({**{k: v for k, v in old.items() if k not in delete}, **values})

    def move(self, place: int, to: int) -> None:
        """The rule comes to stand before the one that is at ``to`` now."""
        self.rule(place)
        rule = self.rules.pop(place)
        self.rules.insert(min(to - (to > place), len(self.rules)), rule)

    def remove(self, place: int) -> None:
        self.rule(place)
        del self.rules[place]


def _checked(values: Mapping[str, Any]) -> Rule:
    """A VNet only forwards: rules for what comes in or goes out are refused."""
    rule = {key: int(value) if key in _NUMBERS else value for key, value in values.items()}
    if rule["type"] not in ("forward", "group"):
        raise bad_parameters(type=f"rules of type '{rule['type']}' are not allowed for a vnet")
    if rule["type"] == "forward" and rule["action"] not in ("ACCEPT", "DROP", "REJECT"):
        raise bad_parameters(action=f"unknown action '{rule['action']}'")
    if ("dport" in rule or "sport" in rule) and "proto" not in rule and "macro" not in rule:
        raise bad_parameters(proto="missing property - 'dport'/'sport' need a protocol")
    return rule
