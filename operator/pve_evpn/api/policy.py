"""PrefixList and RouteMap: which routes controllers and fabrics take and give, and what they change in them (9.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.limits import Cut
from pve_evpn.api.rules import Matching, Rule, keyed, rules
from pve_evpn.api.types import ApiModel, ClusterScopedRef, ClusterScopedSpec, IpAddress, Network, Vni, id_in_proxmox

#: Longest list of either kind; the API server counts the rules of every entry.
MOST_ENTRIES = 64

PolicyId = Annotated[
    str,
    Length(min_length=1, max_length=32),
    Matching(
        r"[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?",
        "must be 1 to 32 letters, digits, - and _, the first and the last a letter or digit",
    ),
]
_ID_FORM = " and in FRR: 1 to 32 letters, digits, - and _"
Action = Literal["Permit", "Deny"]
PrefixLength = Annotated[int, Field(ge=0, le=128)]
Unsigned = Annotated[int, Field(ge=0, le=4294967295)]
Order = Annotated[int, Field(ge=0, le=65535)]
Ipv4Address = Annotated[
    IpAddress,
    Rule("!isIP(self) || ip(self).family() == 4", "must be an IPv4 address; the field ending in 6 is for IPv6"),
]
Ipv6Address = Annotated[
    IpAddress,
    Rule("!isIP(self) || ip(self).family() == 6", "must be an IPv6 address; the field without the 6 is for IPv4"),
]
Modified = Annotated[
    str, Length(min_length=1, max_length=11), Matching(r"[+-]?[0-9]{1,10}", "must be a number, or + or - and a number")
]
Metric = Annotated[
    str,
    Length(min_length=1, max_length=11),
    Matching(
        r"[+-]?[0-9]{1,10}|[+-]?rtt|igp|aigp", "must be a number, + or - and a number, rtt, +rtt, -rtt, igp or aigp"
    ),
]
Tag = Annotated[
    str, Length(min_length=1, max_length=10), Matching(r"[0-9]{1,10}|untagged", "must be a number or the word untagged")
]
PeerName = Annotated[
    str,
    Length(min_length=1, max_length=64),
    Matching(r"[a-zA-Z0-9][a-zA-Z0-9_.:-]*", "must be an IP address, or the name of an interface or a peer group"),
]


class PrefixListEntry(ApiModel):
    """One line of a prefix list."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!isCIDR(self.prefix) || !has(self.ge) || self.ge >= cidr(self.prefix).prefixLength()",
                "ge must not be below the prefix's own length",
            ),
            Rule("!has(self.ge) || !has(self.le) || self.ge <= self.le", "le must not be below ge"),
            Rule(
                "!isCIDR(self.prefix) || !has(self.le) || self.le >= cidr(self.prefix).prefixLength()",
                "le must not be below the prefix's own length",
            ),
            Rule(
                "!isCIDR(self.prefix) || cidr(self.prefix).ip().family() == 6 || "
                "((!has(self.ge) || self.ge <= 32) && (!has(self.le) || self.le <= 32))",
                "ge and le must not be above 32 for an IPv4 prefix",
            ),
        )
    )

    seq: Annotated[int, Field(ge=1, le=4294967295)] = Field(
        description="Place in the list, 1 to 4294967295; lower numbers are compared first, and the first that matches "
        "decides. Proxmox: seq."
    )
    action: Action = Field(description="What a match does. A route that nothing matches is denied. Proxmox: action.")
    prefix: Network = Field(
        description="The network, 0.0.0.0/0 and ::/0 included. Without ge and le it matches that network alone. "
        "Proxmox: prefix."
    )
    ge: PrefixLength | None = Field(
        None,
        description="Match networks inside the prefix whose length is at least this. Default: the prefix's own length. "
        "Proxmox: ge.",
    )
    le: PrefixLength | None = Field(
        None,
        description="Match networks inside the prefix whose length is at most this. Default: 32 or 128 where ge "
        "is set, else the prefix's own length. Proxmox: le.",
    )


class PrefixListSpec(ClusterScopedSpec):
    """An ordered list of networks (Proxmox VE 9.2). Route maps and fabrics name it."""

    id: PolicyId | None = Field(None, description=id_in_proxmox(_ID_FORM, "id"))
    entries: list[PrefixListEntry] = Field(
        min_length=1, max_length=MOST_ENTRIES, description="The list. Proxmox: entries.", json_schema_extra=keyed("seq")
    )


class Match(ApiModel):
    """What a route must be; all fields that are set have to hold."""

    route_type: Literal["EAD", "MACIP", "Multicast", "EthernetSegment", "Prefix"] | None = Field(
        None, description="EVPN route type: 1 to 5 in this order. Proxmox: route-type."
    )
    vni: Vni | None = Field(None, description="VNI of an EVPN route. Default: any. Proxmox: vni.")
    prefix_list_ref: ClusterScopedRef | None = Field(
        None, description="PrefixList that permits the route's IPv4 network. Proxmox: ip-address-prefix-list."
    )
    prefix_list6_ref: ClusterScopedRef | None = Field(
        None, description="PrefixList that permits the route's IPv6 network. Proxmox: ip6-address-prefix-list."
    )
    next_hop_prefix_list_ref: ClusterScopedRef | None = Field(
        None, description="PrefixList that permits the IPv4 next hop. Proxmox: ip-next-hop-prefix-list."
    )
    next_hop_prefix_list6_ref: ClusterScopedRef | None = Field(
        None, description="PrefixList that permits the IPv6 next hop. Proxmox: ip6-next-hop-prefix-list."
    )
    next_hop: Ipv4Address | None = Field(None, description="IPv4 next hop. Proxmox: ip-next-hop-address.")
    next_hop6: Ipv6Address | None = Field(None, description="IPv6 next hop. Proxmox: ip6-next-hop-address.")
    metric: Unsigned | None = Field(None, description="Metric (MED). Default: any. Proxmox: metric.")
    local_preference: Unsigned | None = Field(
        None, description="Local preference. Default: any. Proxmox: local-preference."
    )
    peer: PeerName | None = Field(
        None, description="Peer it came from: an address, an interface or a peer group. Proxmox: peer."
    )
    tag: Tag | None = Field(None, description="Tag: a number, or untagged. Proxmox: tag.")


class Set(ApiModel):
    """What a permitted route gets."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "[has(self.nextHop), has(self.nextHopPeerAddress) && self.nextHopPeerAddress, "
                "has(self.nextHopUnchanged) && self.nextHopUnchanged].filter(x, x).size() <= 1",
                "set at most one of nextHop, nextHopPeerAddress and nextHopUnchanged",
            ),
            Rule(
                "!has(self.nextHop6) || !has(self.nextHop6PeerAddress) || !self.nextHop6PeerAddress",
                "set at most one of nextHop6 and nextHop6PeerAddress",
            ),
        )
    )

    next_hop: Ipv4Address | None = Field(None, description="IPv4 next hop. Proxmox: ip-next-hop.")
    next_hop_peer_address: bool | None = Field(
        None, description="Next hop is the peer's IPv4 address. Default: false. Proxmox: ip-next-hop-peer-address."
    )
    next_hop_unchanged: bool | None = Field(
        None, description="Leave the next hop as it is. Default: false. Proxmox: ip-next-hop-unchanged."
    )
    next_hop6: Ipv6Address | None = Field(None, description="IPv6 next hop. Proxmox: ip6-next-hop.")
    next_hop6_peer_address: bool | None = Field(
        None, description="Next hop is the peer's IPv6 address. Default: false. Proxmox: ip6-next-hop-peer-address."
    )
    next_hop6_prefer_global: bool | None = Field(
        None,
        description="Of a link-local and a global next hop take the global one. Default: false. "
        "Proxmox: ip6-next-hop-prefer-global.",
    )
    local_preference: Modified | None = Field(
        None,
        description="Local preference: a number, or + or - and a number to change it by. Proxmox: local-preference.",
    )
    tag: Tag | None = Field(None, description="Tag: a number, or untagged. Proxmox: tag.")
    weight: Unsigned | None = Field(None, description="Weight. Default: as it is. Proxmox: weight.")
    metric: Metric | None = Field(
        None,
        description="Metric (MED): a number, + or - and a number, rtt, +rtt, -rtt, igp or aigp. Proxmox: metric.",
    )
    src: IpAddress | None = Field(None, description="Source address of the kernel's route. Proxmox: src.")


class Exit(ApiModel):
    """Where a match goes on; without it the map ends there."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(self.action == 'Next') != has(self.order)",
                "order belongs to the actions GoTo and Continue, which need it",
            )
        )
    )

    action: Literal["Next", "GoTo", "Continue"] = Field(
        description="Next: with the next entry. GoTo: with the first entry from order on. Continue: call the entry "
        "order too. Proxmox: exit-action."
    )
    order: Order | None = Field(None, description="For GoTo and Continue: 0 to 65535. Default: none.")


class RouteMapEntry(ApiModel):
    """One entry of a route map."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!has(self.exit) || !has(self.exit.order) || self.exit.order > self.order",
                "exit.order must be above the entry's own order: a route map only goes forward",
            )
        )
    )

    order: Order = Field(
        description="Place in the map, 0 to 65535; lower numbers come first, and the first that matches decides. "
        "Proxmox: order."
    )
    action: Action = Field(description="What a match does. A route that nothing matches is denied. Proxmox: action.")
    match: Match | None = Field(None, description="Default: every route. Proxmox: match.")
    set: Set | None = Field(None, description="What a permitted route gets. Default: nothing. Proxmox: set.")
    call_ref: ClusterScopedRef | None = Field(
        None, description="RouteMap that has to permit the route too. Proxmox: call."
    )
    exit: Exit | None = Field(None, description="Where a match goes on. Default: the map ends. Proxmox: exit-action.")


class RouteMapSpec(ClusterScopedSpec):
    """An ordered list of rules about routes (Proxmox VE 9.2). Controllers and fabrics name it."""

    id: PolicyId | None = Field(None, description=id_in_proxmox(_ID_FORM, "route-map-id"))
    entries: list[RouteMapEntry] = Field(
        min_length=1, max_length=MOST_ENTRIES, description="The map's entries.", json_schema_extra=keyed("order")
    )


class PolicyStatus(ManagedStatus):
    """The state of a prefix list or route map in Proxmox."""

    entries: int | None = Field(None, description="How many entries Proxmox runs.")
    used_by: Annotated[list[Annotated[str, Cut(128)]], Cut(32)] | None = Field(
        None,
        description="What names it in Proxmox; while something does, it is not deleted.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    truncated: int | None = Field(None, description="How many more objects name it.")


class PrefixListStatus(PolicyStatus):
    """The state of the prefix list in Proxmox."""


class RouteMapStatus(PolicyStatus):
    """The state of the route map in Proxmox."""
