"""The firewall of a VNet: options and rules for the traffic that its bridge forwards.

The rules below refuse what pve-firewall 6.0.4 was measured to refuse, and what it takes and forgets: the latter would
put a rule in force that the spec does not have. What only Proxmox knows (its macros, aliases, IP sets, names of
services and protocols) is refused by Proxmox, whose text the VNet's status then shows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.rules import ATOMIC, ONE_LINE, Matching, Rule, only_one_of, rules
from pve_evpn.api.types import ApiModel

LogLevel = Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"]

#: Protocols with ports, as Proxmox takes them.
_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite", "6", "17", "33", "132", "136")
_ICMP_V6 = ("icmpv6", "ipv6-icmp")
#: ICMP types as iptables and ip6tables name them; numbers are refused.
_ICMP_TYPES = (
    "any", "echo-reply", "destination-unreachable", "network-unreachable", "host-unreachable",
    "protocol-unreachable", "port-unreachable", "fragmentation-needed", "source-route-failed", "network-unknown",
    "host-unknown", "network-prohibited", "host-prohibited", "TOS-network-unreachable", "TOS-host-unreachable",
    "communication-prohibited", "host-precedence-violation", "precedence-cutoff", "source-quench", "redirect",
    "network-redirect", "host-redirect", "TOS-network-redirect", "TOS-host-redirect", "echo-request",
    "router-advertisement", "router-solicitation", "time-exceeded", "ttl-zero-during-transit",
    "ttl-zero-during-reassembly", "parameter-problem", "ip-header-bad", "required-option-missing",
    "timestamp-request", "timestamp-reply", "address-mask-request", "address-mask-reply",
)  # fmt: skip
_ICMP_TYPES_V6 = (
    "destination-unreachable", "no-route", "communication-prohibited", "beyond-scope", "address-unreachable",
    "port-unreachable", "failed-policy", "reject-route", "packet-too-big", "time-exceeded",
    "ttl-zero-during-transit", "ttl-zero-during-reassembly", "parameter-problem", "bad-header",
    "unknown-header-type", "unknown-option", "echo-request", "echo-reply", "router-solicitation",
    "router-advertisement", "neighbor-solicitation", "neighbour-solicitation", "neighbor-advertisement",
    "neighbour-advertisement", "redirect",
)  # fmt: skip

_NAME = "[A-Za-z][A-Za-z0-9_-]+"
_REFERENCE = rf"(dc/)?{_NAME}|\+(dc/)?[a-z][a-z0-9_-]+|\+sdn/{_NAME}"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4, _V4_LENGTH = rf"({_BYTE}\.){{3}}{_BYTE}", "(/(3[0-2]|[12]?[0-9]))?"
_V6, _V6_LENGTH = "[0-9A-Fa-f:]*:[0-9A-Fa-f:]+", "(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"
_FAMILIES = ((_V4, _V4_LENGTH), (_V6, _V6_LENGTH))
_SPELLED = "|".join(f"{ip}{length}(,{ip}{length})*|{ip}-{ip}" for ip, length in _FAMILIES)
_NUMBER = "([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_PORT = rf"({_NUMBER}(:{_NUMBER})?|[A-Za-z][A-Za-z0-9._+-]*)"

#: What a packet's source or destination may be. Host bits inside of a list are left to Proxmox: the API server would
#: count such a rule as too expensive.
Addresses = Annotated[
    str,
    Length(min_length=1, max_length=512),
    Matching(
        f"{_SPELLED}|{_REFERENCE}",
        "must be an address, a network, a list of them without blanks, a range a-b, an alias, or +ipset in lower case",
    ),
    Rule("!(self.contains(':') && self.contains('.'))", "must not mix IPv4 and IPv6"),
    Rule(
        "self.contains(',') || self.contains('-') || !self.contains(':') || isIP(self) || isCIDR(self)",
        "must be an IPv6 address or network",
    ),
    Rule("!isCIDR(self) || cidr(self) == cidr(self).masked()", "must be a network without host bits"),
]
Ports = Annotated[
    str,
    Length(min_length=1, max_length=128),
    Matching(
        f"{_PORT}(,{_PORT})*",
        "must be a port up to 65535, a range such as 80:85, a service by name, or a list of them without blanks",
    ),
    Rule(
        "!self.matches('^[0-9]+:[0-9]+$') || int(self.split(':')[0]) <= int(self.split(':')[1])",
        "a range begins with the lower port",
    ),
    Rule(
        "self.matches('[A-Za-z]') || self.split(',').size() + self.split(':').size() <= 16",
        "must not have more than 15 numbers; a range has two",
    ),
    Rule("self != '0'", "Proxmox would drop port 0"),
]


def _is_v4(field: str) -> str:
    """CEL: whether the field is set to IPv4 addresses; of an alias or IP set nothing is known."""
    return f"(has(self.{field}) && !self.{field}.contains(':') && self.{field}.matches('^[0-9]'))"


def _is_v6(field: str) -> str:
    return f"(has(self.{field}) && self.{field}.contains(':'))"


def _one_of(field: str, values: tuple[str, ...]) -> str:
    return f"self.{field} in [{', '.join(repr(value) for value in values)}]"


class FirewallRule(ApiModel):
    """One rule for traffic forwarded by the VNet's bridge; the first that matches decides."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(only_one_of("action", "securityGroup"), "set exactly one of action and securityGroup"),
            Rule(
                "!has(self.securityGroup) || !(has(self.macro) || has(self.source) || has(self.dest) || "
                "has(self.proto) || has(self.sport) || has(self.dport) || has(self.icmpType) || has(self.log))",
                "beside securityGroup only comment and enabled can be set: Proxmox would drop the rest",
            ),
            Rule("!(has(self.sport) || has(self.dport)) || has(self.proto)", "sport and dport need proto"),
            Rule(
                f"!has(self.sport) || !has(self.proto) || {_one_of('proto', _WITH_PORTS)}",
                "sport needs a protocol with ports: tcp, udp, sctp, dccp or udplite",
            ),
            Rule(
                f"!has(self.dport) || !has(self.proto) || {_one_of('proto', (*_WITH_PORTS, 'icmp', *_ICMP_V6))}",
                "dport needs a protocol with ports: tcp, udp, sctp, dccp or udplite",
            ),
            Rule(
                f"!has(self.icmpType) || (has(self.proto) && {_one_of('proto', ('icmp', *_ICMP_V6))})",
                "icmpType needs proto: icmp, icmpv6 or ipv6-icmp",
            ),
            Rule("!has(self.icmpType) || !has(self.dport)", "icmpType and dport exclude each other"),
            Rule(
                f"!has(self.icmpType) || !has(self.proto) || self.proto != 'icmp' || "
                f"{_one_of('icmpType', _ICMP_TYPES)}",
                "icmpType must be the name of a type of ICMP for IPv4, such as echo-request",
            ),
            Rule(
                f"!has(self.icmpType) || !has(self.proto) || !({_one_of('proto', _ICMP_V6)}) || "
                f"{_one_of('icmpType', _ICMP_TYPES_V6)}",
                "icmpType must be the name of a type of ICMPv6, such as echo-request",
            ),
            Rule(
                f"!({_is_v4('source')} && {_is_v6('dest')}) && !({_is_v6('source')} && {_is_v4('dest')})",
                "source and dest must be of one IP version",
            ),
            Rule(
                f"!has(self.proto) || self.proto != 'icmp' || !({_is_v6('source')} || {_is_v6('dest')})",
                "proto icmp is that of IPv4: use icmpv6 for IPv6 addresses",
            ),
            Rule(
                f"!has(self.proto) || !({_one_of('proto', _ICMP_V6)}) || !({_is_v4('source')} || {_is_v4('dest')})",
                "proto icmpv6 is that of IPv6: use icmp for IPv4 addresses",
            ),
        )
    )

    action: Literal["ACCEPT", "DROP"] | None = Field(
        None, description="What to do. Proxmox has no REJECT for forwarded traffic. Proxmox: action."
    )
    security_group: (
        Annotated[
            str,
            Length(min_length=2, max_length=18),
            Matching(r"[A-Za-z][A-Za-z0-9_-]+", "must be a security group: letters, digits, - and _, a letter first"),
        ]
        | None
    ) = Field(
        None,
        description="Use the rules of this security group. It has conditions of its own: beside it only comment and "
        "enabled can be set. Proxmox: type group, action.",
    )
    macro: (
        Annotated[
            str,
            Length(min_length=1, max_length=128),
            Matching(r"[A-Za-z][A-Za-z0-9]*", "must be the name of a macro, such as SSH: letters and digits"),
        ]
        | None
    ) = Field(
        None,
        description="A service Proxmox knows, e.g. SSH; the case does not matter. Proto and ports beside it must not "
        "say anything else. Proxmox: macro.",
    )
    source: Addresses | None = Field(
        None,
        description="Address, network, list of them, range (a-b), +ipset or alias; one IP version. Proxmox: source.",
    )
    dest: Addresses | None = Field(
        None,
        description="Address, network, list of them, range (a-b), +ipset or alias; one IP version. Proxmox: dest.",
    )
    proto: (
        Annotated[
            str,
            Length(min_length=1, max_length=32),
            Matching(r"[a-z][a-z0-9.-]*|[1-9][0-9]{0,2}", "must be an IP protocol: its name in lower case, or number"),
            Rule("!(self in ['any', 'all'])", "leave proto out for any protocol"),
        ]
        | None
    ) = Field(None, description="IP protocol, by name (lower case) or number. Proxmox: proto.")
    sport: Ports | None = Field(
        None, description="Source port, service, range (80:85) or list; needs proto. Proxmox: sport."
    )
    dport: Ports | None = Field(
        None, description="Destination port, service, range (80:85) or list; needs proto. Proxmox: dport."
    )
    icmp_type: Annotated[str, Length(min_length=1, max_length=64), ONE_LINE] | None = Field(
        None, description="Name of an ICMP type, with proto icmp, icmpv6 or ipv6-icmp. Proxmox: icmp-type."
    )
    log: LogLevel | None = Field(None, description="Log level. Default: nolog. Proxmox: log.")
    comment: (
        Annotated[
            str,
            Length(max_length=256),
            ONE_LINE,
            Rule("!(self.trim() in ['-', '0'])", "Proxmox would drop a comment that is only - or 0"),
        ]
        | None
    ) = Field(None, description="Text for people, one line. Proxmox: comment.")
    enabled: bool | None = Field(None, description="Default: true. Proxmox: enable.")


class Firewall(ApiModel):
    """The VNet's firewall. It takes effect at once, outside the SDN transaction."""

    enabled: bool | None = Field(None, description="Whether it is on. Default: false. Proxmox: enable.")
    policy_forward: Literal["ACCEPT", "DROP"] | None = Field(
        None, description="What happens to traffic no rule matches. Default: ACCEPT. Proxmox: policy_forward."
    )
    log_level_forward: LogLevel | None = Field(
        None, description="Log level of that policy. Default: nolog. Proxmox: log_level_forward."
    )
    rules: list[FirewallRule] | None = Field(
        None,
        max_length=64,
        description="Rules in order. The list is the whole rule set: rules it does not hold are removed.",
        json_schema_extra=ATOMIC,
    )
