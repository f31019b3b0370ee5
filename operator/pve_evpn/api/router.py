"""BgpController and IsisController: how one node peers with routers outside of the overlay."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.controller import (
    ROUTE_MAP_IN,
    ROUTE_MAP_OUT,
    ControllerId,
    Hops,
    RouteMapInRef,
    RouteMapOutRef,
    Sessions,
)
from pve_evpn.api.limits import Cut
from pve_evpn.api.policy import PolicyId
from pve_evpn.api.rules import SET, Matching, Rule, keyed, rules
from pve_evpn.api.types import (
    ApiModel,
    Asn,
    ClusterScopedSpec,
    InterfaceName,
    IpAddress,
    NodeName,
    Timestamp,
    id_or_ref,
)

#: What no router has.
_RouterAddress = Annotated[
    IpAddress,
    Rule(
        "!isIP(self) || !(ip(self).isUnspecified() || ip(self).isLoopback() || ip(self).isLinkLocalMulticast())",
        "must be the address of a router: not unspecified, loopback or multicast",
    ),
]
_NET = Matching(
    r"[a-fA-F0-9]{2}(\.[a-fA-F0-9]{4}){3,9}\.[a-fA-F0-9]{2}",
    "must be a network entity title such as 49.0001.1921.6801.6001.00",
)
_LOOPBACK = "Loopback or dummy interface whose address is the router's. Proxmox: loopback."


class BgpControllerSpec(ClusterScopedSpec):
    """BGP between one node and routers outside, in the IPv4 and IPv6 unicast families. A node has one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!has(self.ebgpMultihop) || (has(self.ebgp) && self.ebgp)",
                "ebgpMultihop needs ebgp: true: peers of the same AS may be any number of hops away",
            ),
            id_or_ref("routeMapIn"),
            id_or_ref("routeMapOut"),
        )
    )

    id: ControllerId = None
    node: NodeName = Field(description="The node that peers. Proxmox: node.")
    asn: Asn = Field(description="The node's autonomous system number, 1 to 4294967295. Proxmox: asn.")
    peers: list[_RouterAddress] = Field(
        min_length=1,
        max_length=64,
        description="Addresses of the routers, IPv4 or IPv6. Proxmox: peers.",
        json_schema_extra=SET,
    )
    ebgp: bool | None = Field(
        None, description="The peers are of other autonomous systems. Default: false. Proxmox: ebgp."
    )
    ebgp_multihop: Hops | None = Field(
        None, description="Most hops to eBGP peers, 1 to 255. Default: 1. Proxmox: ebgp-multihop."
    )
    loopback: InterfaceName | None = Field(None, description=_LOOPBACK)
    multipath_as_path_relax: bool | None = Field(
        None,
        description="Share traffic over paths of equal length through different autonomous systems. Default: false. "
        "Proxmox: bgp-multipath-as-path-relax.",
    )
    route_map_in: PolicyId | None = Field(None, description=ROUTE_MAP_IN)
    route_map_out: PolicyId | None = Field(None, description=ROUTE_MAP_OUT)
    route_map_in_ref: RouteMapInRef = None
    route_map_out_ref: RouteMapOutRef = None


class BgpPeer(ApiModel):
    """One session with a router outside."""

    address: Annotated[str, Cut(64)] = Field(description="The router's address.")
    state: Annotated[str, Cut(32)] = Field(description="FRR's state, e.g. Established; Missing if it has no such peer.")
    remote_as: int | None = Field(None, description="The router's autonomous system; absent before it was up once.")
    since: Timestamp | None = Field(None, description="Last change to or from Established.")
    prefixes_received: int | None = Field(None, description="Prefixes taken from it.")
    prefixes_sent: int | None = Field(None, description="Prefixes given to it.")
    last_error: Annotated[str, Cut(256)] | None = Field(None, description="Why the session was last reset.")


class BgpControllerStatus(ManagedStatus):
    """The state of the controller in Proxmox, and its sessions as the node shows them."""

    node: Annotated[str, Cut(63)] | None = Field(None, description="The node.")
    sessions: Sessions | None = Field(None, description="Sessions, established of expected; absent if unknown.")
    sessions_summary: Annotated[str, Cut(16)] | None = Field(None, description="The same as text, e.g. 2/2.")
    peers: Annotated[list[BgpPeer], Cut(64)] | None = Field(
        None, description="The sessions; absent if no source shows them.", json_schema_extra=keyed("address")
    )
    truncated: int | None = Field(None, description="How many more peers there are.")


class IsisControllerSpec(ClusterScopedSpec):
    """IS-IS on one node. A node has one."""

    id: ControllerId = None
    node: NodeName = Field(description="The node that takes part. Proxmox: node.")
    domain: Annotated[
        str,
        Length(min_length=1, max_length=64),
        Matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", "must be a word of letters, digits, _, . and -"),
    ] = Field(description="Name of the IS-IS domain, the same on all its nodes. Proxmox: isis-domain.")
    interfaces: list[InterfaceName] = Field(
        min_length=1,
        max_length=32,
        description="Interfaces on which IS-IS runs. Proxmox: isis-ifaces.",
        json_schema_extra=SET,
    )
    net: Annotated[str, Length(min_length=20, max_length=50), _NET] = Field(
        description="Network entity title, different on every node. Proxmox: isis-net."
    )
    loopback: InterfaceName | None = Field(None, description=_LOOPBACK)


class IsisNeighbour(ApiModel):
    """The neighbour on one interface. FRR shows one for each interface, also where there are several."""

    interface: Annotated[str, Cut(64)] = Field(description="The node's interface.")
    neighbour: Annotated[str, Cut(256)] | None = Field(
        None, description="The neighbour's host name, or its system id before that is known; absent without one."
    )
    state: Annotated[str, Cut(32)] = Field(
        description="FRR's state, e.g. Up or Initializing; Missing if the interface has no neighbour."
    )
    since: Timestamp | None = Field(None, description="When the interface was first seen in this state.")


class IsisControllerStatus(ManagedStatus):
    """The state of the controller in Proxmox, and its neighbours as the node shows them."""

    node: Annotated[str, Cut(63)] | None = Field(None, description="The node.")
    neighbours_summary: Annotated[str, Cut(16)] | None = Field(
        None, description="Interfaces with a neighbour that is up, of all, e.g. 2/2; absent if unknown."
    )
    neighbours: Annotated[list[IsisNeighbour], Cut(32)] | None = Field(
        None,
        description="The neighbour on each interface; absent if no source shows them.",
        json_schema_extra=keyed("interface"),
    )
