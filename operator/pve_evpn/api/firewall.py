"""The firewall of a VNet: options and rules for the traffic that its bridge forwards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.types import ATOMIC, ApiModel, Matching, Rule, only_one_of, rules

LogLevel = Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"]


class FirewallRule(ApiModel):
    """One rule for traffic forwarded by the VNet's bridge; the first that matches decides."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(only_one_of("action", "securityGroup"), "set exactly one of action and securityGroup"),
            Rule("!(has(self.sport) || has(self.dport)) || has(self.proto)", "sport and dport need proto"),
            Rule(
                "!has(self.icmpType) || (has(self.proto) && self.proto in ['icmp', 'icmpv6', 'ipv6-icmp'])",
                "icmpType needs proto: icmp, icmpv6 or ipv6-icmp",
            ),
        )
    )

    action: Literal["ACCEPT", "DROP", "REJECT"] | None = Field(None, description="What to do. Proxmox: action.")
    security_group: (
        Annotated[
            str,
            Length(min_length=2, max_length=18),
            Matching(r"[A-Za-z][A-Za-z0-9_-]+", "must be a security group: letters, digits, - and _, a letter first"),
        ]
        | None
    ) = Field(None, description="Use the rules of this security group. Proxmox: type group, action.")
    macro: Annotated[str, Length(min_length=1, max_length=128)] | None = Field(
        None, description="A service Proxmox knows, e.g. SSH. Proxmox: macro."
    )
    source: Annotated[str, Length(min_length=1, max_length=512)] | None = Field(
        None, description="Address, network, range, list, +ipset or alias. Proxmox: source."
    )
    dest: Annotated[str, Length(min_length=1, max_length=512)] | None = Field(
        None, description="Address, network, range, list, +ipset or alias. Proxmox: dest."
    )
    proto: Annotated[str, Length(min_length=1, max_length=32)] | None = Field(
        None, description="IP protocol, by name or number. Proxmox: proto."
    )
    sport: Annotated[str, Length(min_length=1, max_length=128)] | None = Field(
        None, description="Source port, range (80:85) or list; needs proto. Proxmox: sport."
    )
    dport: Annotated[str, Length(min_length=1, max_length=128)] | None = Field(
        None, description="Destination port, range (80:85) or list; needs proto. Proxmox: dport."
    )
    icmp_type: Annotated[str, Length(min_length=1, max_length=64)] | None = Field(
        None, description="ICMP type, with proto icmp or icmpv6. Proxmox: icmp-type."
    )
    log: LogLevel | None = Field(None, description="Log level. Default: nolog. Proxmox: log.")
    comment: Annotated[str, Length(max_length=256)] | None = Field(
        None, description="Text for people. Proxmox: comment."
    )
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
