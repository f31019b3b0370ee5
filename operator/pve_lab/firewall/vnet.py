"""The firewall of one VNet: a file with options and an ordered list of rules.

Nothing of it is staged: a write is in force at once, knows no lock token, and stays when the rest is rolled back. Every
answer is read from the file. Options and rules have a digest each. A new rule comes first, whatever position is asked
for, and is checked against no digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pve_lab.errors import died, refused, wrong_parameters
from pve_lab.firewall.rules import (
    LOG_LEVELS,
    KnownNames,
    Rule,
    delete_properties,
    is_true,
    read,
    set_properties,
    verify,
    written,
)

_MODIFIED = "detected modified configuration - file changed by other user? Try again.\n"
OPTIONS = ("enable", "log_level_forward", "policy_forward")
_SECTION = re.compile(r"\[(options|rules)\]", re.IGNORECASE)
_OPTION = re.compile(rf"(enable|log_level_forward|policy_forward):\s*([01]|{LOG_LEVELS}|ACCEPT|DROP)\s*", re.ASCII)
#: Lines of Proxmox' module that trip over a VNet without a file.
_UPDATES_AT, _DELETES_AT = 373, 462


class VnetFirewall:
    """One VNet's file; ``known`` gives the names that rules may refer to at the moment."""

    def __init__(self, known: Callable[[], KnownNames] = KnownNames) -> None:
        self.text = ""
        self._known = known

    # --- reading ------------------------------------------------------------------------------------------------

    @property
    def options(self) -> dict[str, Any]:
        """Lines that are no option of a VNet are skipped."""
        found: dict[str, Any] = {}
        for line in self._lines("options"):
            if match := _OPTION.fullmatch(line):
                found[match[1]] = int(match[2]) if match[1] == "enable" else match[2]
        return found

    @property
    def options_digest(self) -> str:
        return digest_of([self.options])

    @property
    def rules(self) -> list[Rule]:
        known = self._known()
        return [rule for line in self._lines("rules") if (rule := read(line, known)) is not None]

    @property
    def rules_digest(self) -> str:
        return digest_of(self.rules)

    def rule(self, place: int) -> Rule:
        rules = self.rules
        if place >= len(rules):
            raise refused(f"no rule at position {place}\n")
        return rules[place]

    def _lines(self, section: str) -> list[str]:
        """The lines of a section that are neither empty nor comments."""
        lines, current = [], ""
        for line in self.text.split("\n"):
            if match := _SECTION.fullmatch(line):
                current = match[1].lower()
            elif current == section and line.strip() and not line.startswith("#"):
                lines.append(line)
        return lines

    # --- writing ------------------------------------------------------------------------------------------------

    def set_options(self, values: Mapping[str, Any], delete: Iterable[str], digest: str) -> None:
        """What is set and deleted at once is set."""
        self._unchanged(self.options_digest, digest)
        options = self.options
        for name in delete:
            if name not in OPTIONS:
                raise wrong_parameters({"delete": f"no such option '{name}'"})
            options.pop(name, None)
        for name in OPTIONS:
            if name in values:
                options[name] = int(is_true(values[name])) if name == "enable" else str(values[name])
        self._save(options, self.rules)

    def insert(self, params: Mapping[str, Any]) -> None:
        rule: Rule = {}
        set_properties(rule, params)
        verify(rule, self._known())
        rule.setdefault("enable", 0)
        self._save(self.options, [rule, *self.rules])

    def change(self, place: int, params: Mapping[str, Any], delete: Iterable[str], digest: str) -> None:
        """What is set and deleted at once is deleted."""
        rules = self._writable(place, digest, _UPDATES_AT)
        set_properties(rules[place], params)
        delete_properties(rules[place], delete)
        verify(rules[place], self._known())
        self._save(self.options, rules)

    def move(self, place: int, to: int, digest: str) -> None:
        """The rule comes to stand before the one that is at ``to`` now, or last."""
        rules = self._writable(place, digest, _UPDATES_AT)
        rule = rules.pop(place)
        rules.insert(to - (to > place), rule)
        self._save(self.options, rules)

    def remove(self, place: int, digest: str) -> None:
        rules = self._writable(place, digest, _DELETES_AT)
        del rules[place]
        self._save(self.options, rules)

    def _writable(self, place: int, digest: str, line: int) -> list[Rule]:
        """The rules, if there is one at this place to write to."""
        self._unchanged(self.rules_digest, digest)
        if not self.text:
            raise refused(died("Can't use an undefined value as an ARRAY reference", "API2/Firewall/Rules.pm", line))
        self.rule(place)
        return self.rules

    @staticmethod
    def _unchanged(digest: str, given: str) -> None:
        if given and given != digest:
            raise refused(_MODIFIED)

    def _save(self, options: Mapping[str, Any], rules: list[Rule]) -> None:
        """A file without content is no file."""
        self.text = ""
        if options:
            self.text += "[OPTIONS]\n\n" + "".join(f"{key}: {value}\n" for key, value in sorted(options.items())) + "\n"
        if rules:
            self.text += "[RULES]\n\n" + "".join(f"{written(rule)}\n" for rule in rules) + "\n"


def digest_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """Proxmox' digest of a list; what is no scalar does not count."""
    text = "".join(
        f"{key}:{value}\n" for row in rows for key, value in sorted(row.items()) if not isinstance(value, dict)
    )
    return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324
