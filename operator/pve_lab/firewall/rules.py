"""One rule: checked as Proxmox checks it, written as a line of the file, and read back from it.

What a client gets is what the file gives, not what it sent: the line leaves out what a security group does not use and
what Perl takes for false, a comment ends with its first line, and the check adds the IP version it found.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_lab.errors import refused, wrong_parameters
from pve_lab.firewall import macros
from pve_lab.firewall.names import ICMP_TYPES, WITH_ICMP_TYPE, WITH_PORTS
from pve_lab.firewall.values import address_version, alias_name, check_ports, check_protocol, ipset_name

Rule = dict[str, Any]

#: What a rule can be given; ``pos`` and ``digest`` are parameters of the request and may be named all the same.
PROPERTIES = frozenset(
    {
        "pos", "digest", "type", "action", "macro", "iface", "source", "dest", "proto", "enable", "log", "sport",
        "dport", "comment", "icmp-type",
    }
)  # fmt: skip
_REQUIRED = frozenset({"type", "action"})
_ACTIONS = ("ACCEPT", "DROP", "REJECT")
LOG_LEVELS = "emerg|alert|crit|err|warning|notice|info|debug|nolog"
_GROUP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")
#: Options of a line in the order in which they are written.
_WRITTEN = {"source": "-source", "dest": "-dest", "proto": "-p", "dport": "-dport", "sport": "-sport", "log": "-log"}
#: Options of a line as they may be read.
_OPTION = re.compile(
    rf"-i (?P<iface>\S+)\s*|(?:-p|--?proto) (?P<proto>\S+)\s*|--?dport (?P<dport>\S+)\s*|--?sport (?P<sport>\S+)\s*"
    rf"|--?source (?P<source>\S+)\s*|--?dest (?P<dest>\S+)\s*|-log (?P<log>{LOG_LEVELS})\s*"
    r"|--?icmp-type (?P<icmp_type>\S+)\s*",
    re.ASCII,
)


@dataclass
class KnownNames:
    """Names of the datacenter's firewall that rules refer to: aliases with their networks, IP sets, security groups.

    Proxmox looks up an alias whatever its case. ``sdn_ipsets`` are the sets that it makes itself.
    """

    aliases: dict[str, str] = field(default_factory=dict)
    ipsets: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    sdn_ipsets: set[str] = field(default_factory=set)

    def has_ipset(self, scope: str, name: str) -> bool:
        return name in {"": self.ipsets, "dc/": self.ipsets, "sdn/": self.sdn_ipsets, "guest/": ()}[scope]

    def alias_version(self, scope: str, name: str) -> int | None:
        if scope == "guest/":
            return None
        found = (cidr for alias, cidr in self.aliases.items() if alias.lower() == name.lower())
        return next((6 if ":" in cidr else 4 for cidr in found), None)


def is_true(value: Any) -> bool:
    """What Perl takes for true."""
    return value is not None and str(value) not in ("", "0")


def set_properties(rule: Rule, params: Mapping[str, Any]) -> None:
    """An empty value, and a dash, take the property away."""
    for key in PROPERTIES & params.keys():
        value = str(params[key])
        if value in ("", "-"):
            rule.pop(key, None)
        else:
            rule[key] = value


def delete_properties(rule: Rule, names: Iterable[str]) -> None:
    for name in names:
        if name not in PROPERTIES:
            raise wrong_parameters({"delete": f"no such property ('{name}')"})
        if name in _REQUIRED:
            raise wrong_parameters({"delete": f"unable to delete required property '{name}'"})
        rule.pop(name, None)


# --- the check ------------------------------------------------------------------------------------------------------


class _Wrong(Exception):
    """A property that is wrong, with the text of its error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text.rstrip("\n")


class _MixedVersions(Exception):
    """An alias of the other IP version: Proxmox does not say which property it is."""


def verify(rule: Rule, known: KnownNames) -> None:
    """Check a rule that is to be stored: its first error is a 400 with one parameter, mixed aliases are a 500."""
    try:
        _Check(rule, known, _raise).run()
    except _Wrong as wrong:
        raise wrong_parameters({wrong.name: wrong.text}) from None
    except _MixedVersions:
        raise refused("detected mixed ipv4/ipv6 addresses in rule\n") from None


def _raise(name: str, text: str) -> None:
    raise _Wrong(name, text)


class _Check:
    """One run over a rule. ``report`` gets every error; it may end the run by raising."""

    def __init__(self, rule: Rule, known: KnownNames, report: Callable[[str, str], None]) -> None:
        self.rule = rule
        self.known = known
        self.version: int | None = None
        self.errors: dict[str, str] = {}
        self._report = report

    def run(self) -> None:
        self._type_and_action()
        self._interface()
        self._macro_name()
        self._protocol_and_ports()
        self._addresses("source")
        self._addresses("dest")
        if self.version:
            self.rule["ipversion"] = self.version
        if is_true(self.rule.get("macro")) and not self.errors:
            found = macros.contradiction(self.rule["macro"], self.rule, self.version)
            if found:
                self._wrong(*found)
        if self.errors:
            self.rule["errors"] = self.errors

    def _wrong(self, name: str, text: str) -> None:
        self._report(name, text)
        self.errors.setdefault(name, text)

    def _sees(self, version: int | None) -> None:
        if version and self.version and version != self.version:
            raise _MixedVersions
        self.version = version or self.version

    def _type_and_action(self) -> None:
        type_, action = self.rule.get("type"), self.rule.get("action")
        if not is_true(type_):
            self._wrong("type", "missing property")
        if not is_true(action):
            self._wrong("action", "missing property")
        if type_ in ("in", "out"):
            self._wrong("type", f"invalid rule type '{type_}' for rule_env 'vnet'")
        if type_ in ("in", "out", "forward"):
            if is_true(action) and action not in _ACTIONS:
                self._wrong("action", f"unknown action '{action}'")
            if type_ == "forward" and action == "REJECT":
                self._wrong("action", "cannot define REJECT rules on forward chain")
        elif type_ == "group":
            if is_true(action) and not _GROUP_NAME.fullmatch(str(action)):
                self._wrong("action", "invalid characters in security group name")
        elif is_true(type_):
            self._wrong("type", f"unknown rule type '{type_}'")

    def _interface(self) -> None:
        if is_true(self.rule.get("iface")):
            self._wrong("type", "parameter -i not allowed for this rule type")

    def _macro_name(self) -> None:
        if is_true(name := self.rule.get("macro")):
            if canonical := macros.canonical(str(name)):
                self.rule["macro"] = canonical
            else:
                self._wrong("macro", f"unknown macro '{name}'")

    def _protocol_and_ports(self) -> None:
        proto = self.rule.get("proto")
        icmp_version = WITH_ICMP_TYPE.get(str(proto))
        if is_true(proto):
            self._tried("proto", functools.partial(check_protocol, str(proto)))
            self._sees(icmp_version)
        for key in ("dport", "icmp-type", "sport"):
            if not is_true(value := self.rule.get(key)):
                continue
            if key == "icmp-type":
                self._icmp_type(str(value), icmp_version)
                continue
            icmp = key == "dport" and icmp_version is not None
            self._tried(key, functools.partial(check_ports, str(value), icmp=icmp))
            if not is_true(proto):
                self._wrong("proto", f"missing property - '{key}' requires this property")
            if proto not in WITH_PORTS and not icmp:
                self._wrong(key, f"protocol '{proto or ''}' does not support ports")

    def _icmp_type(self, name: str, version: int | None) -> None:
        if version is None:
            self._wrong("proto", "missing property - 'icmp-type' requires this property")
        if is_true(self.rule.get("dport")):
            self._wrong("icmp-type", "'icmp-type' cannot be specified together with 'dport'")
        if version and name not in ICMP_TYPES[version]:
            self._wrong("icmp-type", f"invalid icmp-type '{name}' for proto '{self.rule['proto']}'")

    def _addresses(self, key: str) -> None:
        if not is_true(self.rule.get(key)):
            return
        text = str(self.rule[key])
        try:
            self._sees(address_version(text))
        except ValueError as problem:
            self._wrong(key, str(problem))
        except _MixedVersions:
            self._wrong(key, "detected mixed ipv4/ipv6 addresses in rule")
        if text.startswith("+"):
            if (reference := ipset_name(text)) is None:
                self._wrong(key, f"invalid ipset name '{text}'")
            elif not self.known.has_ipset(*reference):
                self._wrong(key, f"no such ipset '{reference[1]}'")
        elif alias := alias_name(text):
            version = self.known.alias_version(*alias)
            if version is None:
                self._wrong(key, f"no such alias '{text}'")
            self._sees(version)

    def _tried(self, key: str, check: Callable[[], None]) -> None:
        try:
            check()
        except ValueError as problem:
            self._wrong(key, str(problem))


# --- the line -------------------------------------------------------------------------------------------------------


def written(rule: Rule) -> str:
    """The rule's line (more than one if its comment has more)."""
    enabled = "enable" not in rule or is_true(rule["enable"])
    action = f"{rule['macro']}({rule['action']})" if is_true(rule.get("macro")) else rule["action"]
    line = f"{'' if enabled else '|'}{str(rule['type']).upper()} {action}"
    if rule["type"] != "group":
        line += "".join(f" {option} {rule[key]}" for key, option in _WRITTEN.items() if is_true(rule.get(key)))
        if rule.get("icmp-type"):
            line += f" -icmp-type {rule['icmp-type']}"
    comment = str(rule.get("comment", ""))
    if is_true(comment) and comment.strip():
        line += f" # {comment}"
    return line


def read(line: str, known: KnownNames) -> Rule | None:
    """The rule of one line; None for a line that Proxmox skips with a warning."""
    rule: Rule = {}
    if match := re.search(r"#\s*(.*?)\s*$", line, re.ASCII):
        rule["comment"] = match[1]
        line = line[: match.start()]
    rule["enable"] = 0 if line.startswith("|") else 1
    match = re.match(r"(\S+)\s+(\S+)\s*", line.removeprefix("|"), re.ASCII)
    if match is None:
        return None
    rest = line.removeprefix("|")[match.end() :]
    rule["type"], rule["action"] = match[1].lower(), match[2]
    if rule["type"] != "group" and (macro := re.fullmatch(rf"(\S+)\(({'|'.join(_ACTIONS)})\)", rule["action"])):
        rule["macro"], rule["action"] = macro.groups()
    while rest and (option := _OPTION.match(rest)):
        key = str(option.lastgroup)
        if rule["type"] == "group" and key != "iface":
            break
        rule[key.replace("_", "-")] = option[key]
        rest = rest[option.end() :]
    if rest:
        return None
    try:
        _Check(rule, known, lambda _name, _text: None).run()
    except _MixedVersions:
        return None
    return rule
