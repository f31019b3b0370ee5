"""Fabric: the underlay's routing between the nodes, as Proxmox' SDN fabrics have it."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.controller import FabricId
from pve_evpn.api.limits import Cut
from pve_evpn.api.policy import Ipv4Address, Ipv6Address
from pve_evpn.api.rules import ATOMIC, Matching, Rule, keyed, rules
from pve_evpn.api.types import (
    ApiModel,
    ClusterScopedRef,
    ClusterScopedSpec,
    InterfaceName,
    Network,
    NodeName,
    Origin,
    Port,
    id_in_proxmox,
)

#: As many as a Proxmox cluster has, and as one may have.
MOST_NODES, MOST_INTERFACES = 64, 16
Protocol = Literal["OpenFabric", "OSPF", "BGP", "WireGuard"]


def _area(text: str) -> str:
    if text.isdecimal() and int(text) > 4294967295:
        raise ValueError("must be a number up to 4294967295")
    return text


def _interface_address(text: str) -> str:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError("must be an address with its prefix length, such as 10.0.0.1/31") from None
    return text


def _with_length(version: int, example: str) -> Rule:
    return Rule(
        f"isCIDR(self) && cidr(self).ip().family() == {version}",
        f"must be an IPv{version} address with its prefix length, such as {example}",
    )


_LinkAddress = Annotated[str, Length(min_length=4, max_length=49), AfterValidator(_interface_address)]
Ipv4Link = Annotated[_LinkAddress, _with_length(4, "10.0.0.1/31")]
Ipv6Link = Annotated[_LinkAddress, _with_length(6, "2001:db8::1/127")]
Area = Annotated[
    str,
    Length(min_length=1, max_length=15),
    Matching(
        r"[0-9]{1,10}|[0-9]{1,3}(\.[0-9]{1,3}){3}",
        "must be a number, or look like an IPv4 address (0 and 0.0.0.0 are one)",
    ),
    AfterValidator(_area),
]
Endpoint = Annotated[
    str,
    Length(min_length=1, max_length=261),
    Matching(
        r"[a-zA-Z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}|[0-9a-fA-F:.]+", "must be host, or host:port"
    ),
]
PublicKey = Annotated[
    str,
    Length(min_length=44, max_length=44),
    Matching(r"[A-Za-z0-9+/]{43}=", "must be a WireGuard public key: 44 letters"),
]


class FabricInterface(ApiModel):
    """One interface of a node in the fabric."""

    name: InterfaceName = Field(
        description="Interface of the node, e.g. eno1. For WireGuard the name of the one that Proxmox makes, at most 8 "
        "characters."
    )
    ip: Ipv4Link | None = Field(
        None, description="Its own IPv4 address with length, e.g. 10.0.0.1/31. Default: none, it is unnumbered."
    )
    ip6: Ipv6Link | None = Field(None, description="OpenFabric, WireGuard: its own IPv6 address with length.")
    hello_multiplier: Annotated[int, Field(ge=2, le=100)] | None = Field(
        None, description="OpenFabric: lost hellos until a neighbour counts as down, 2 to 100. Default: Proxmox' own."
    )
    network_type: Literal["Broadcast", "NonBroadcast", "PointToMultipoint", "PointToPoint"] | None = Field(
        None, description="OSPF: what the interface is connected to. Default: Proxmox' own."
    )
    listen_port: Port | None = Field(
        None, description="WireGuard: UDP port, which its interface needs. Default: none for other protocols."
    )


class WireGuardPeer(ApiModel):
    """WireGuard: another node that an interface of this one talks to."""

    interface: InterfaceName = Field(description="Interface of this node.")
    node: NodeName = Field(description="The other node, by its name in the fabric.")
    node_interface: InterfaceName | None = Field(
        None, description="Interface of the other node. Default: none, which is right for an external one."
    )
    endpoint: Endpoint | None = Field(None, description="Where to reach it, instead of what its own entry says.")
    skip_routes: bool | None = Field(
        None, description="Make no routes for the networks behind it. Default: false, routes are made."
    )


class FabricNode(ApiModel):
    """One node of the fabric."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!has(self.external) || !self.external || (has(self.publicKey) && has(self.endpoint))",
                "an external node needs publicKey and endpoint",
            ),
            Rule(
                "!has(self.external) || !self.external || !has(self.interfaces)",
                "interfaces are those of nodes of the cluster, not of an external node",
            ),
        )
    )

    name: NodeName = Field(
        description="The node's name in the cluster. Of an external node any name. Proxmox: node_id."
    )
    ip: Ipv4Address | None = Field(
        None,
        description="Its IPv4 address in the fabric, inside prefix. Default: the lowest free one, chosen once. "
        "Proxmox: ip.",
    )
    ip6: Ipv6Address | None = Field(
        None,
        description="Its IPv6 address in the fabric, inside prefix6. Default: the lowest free one, chosen once. "
        "Proxmox: ip6.",
    )
    interfaces: list[FabricInterface] | None = Field(
        None,
        max_length=MOST_INTERFACES,
        description="Interfaces on which the protocol runs. Default: those of allNodes. Proxmox: interfaces.",
        json_schema_extra=keyed("name"),
    )
    external: bool | None = Field(
        None,
        description="WireGuard: the node is not of the cluster; Proxmox configures nothing on it. Default: false. "
        "Proxmox: role.",
    )
    public_key: PublicKey | None = Field(None, description="WireGuard: key of an external node. Proxmox: public_key.")
    endpoint: Endpoint | None = Field(
        None, description="WireGuard: where others reach it, host or host:port. Proxmox: endpoint."
    )
    allowed_ips: list[Network] | None = Field(
        None,
        max_length=32,
        description="WireGuard: networks behind it. Proxmox: allowed_ips.",
        json_schema_extra=ATOMIC,
    )
    peers: list[WireGuardPeer] | None = Field(
        None,
        max_length=64,
        description="WireGuard: whom its interfaces talk to. Proxmox: peers.",
        json_schema_extra=ATOMIC,
    )


class AllNodes(ApiModel):
    """Every node of the cluster."""

    interfaces: list[FabricInterface] | None = Field(
        None,
        max_length=MOST_INTERFACES,
        description="Interfaces on which the protocol runs, alike on all nodes. Default: none.",
        json_schema_extra=keyed("name"),
    )


class Redistribution(ApiModel):
    """Routes of another source that the fabric carries too."""

    source: Literal["BGP", "Connected", "Kernel", "OSPF", "Static"] = Field(description="Where they come from.")
    route_map_ref: ClusterScopedRef | None = Field(None, description="RouteMap that they pass. Default: all pass.")


def _only(field: str, protocols: str, words: str) -> Rule:
    return Rule(f"!has(self.{field}) || self.protocol in [{protocols}]", f"{field} belongs to protocol {words}")


def _only_on_interfaces(field: str, protocols: str, words: str) -> Rule:
    """A field of interfaces, wherever the spec lists these."""
    found = f"has(i.{field})"
    return Rule(
        f"self.protocol in [{protocols}] || !("
        f"(has(self.nodes) && self.nodes.exists(n, has(n.interfaces) && n.interfaces.exists(i, {found}))) || "
        f"(has(self.allNodes) && has(self.allNodes.interfaces) && self.allNodes.interfaces.exists(i, {found})))",
        f"{field} of an interface belongs to protocol {words}",
    )


def _inside(field: str, prefix: str) -> Rule:
    return Rule(
        f"!has(self.nodes) || self.nodes.all(n, !has(n.{field}) || (has(self.{prefix}) && isCIDR(self.{prefix}) && "
        f"isIP(n.{field}) && cidr(self.{prefix}).containsIP(ip(n.{field}))))",
        f"every {field} of a node must be inside {prefix}",
    )


class FabricSpec(ClusterScopedSpec):
    """Routing between the nodes; an EvpnController names it as its underlay (``underlay.fabricRef``)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("has(self.prefix) || has(self.prefix6)", "set prefix, prefix6 or both"),
            Rule("has(self.nodes) || has(self.allNodes)", "set nodes, allNodes or both"),
            Rule("self.protocol != 'OSPF' || has(self.area)", "protocol OSPF needs an area"),
            Rule("self.protocol != 'OSPF' || !has(self.prefix6)", "protocol OSPF knows IPv4 only: unset prefix6"),
            _only("area", "'OSPF'", "OSPF"),
            _only("helloIntervalSeconds", "'OpenFabric'", "OpenFabric"),
            _only("csnpIntervalSeconds", "'OpenFabric'", "OpenFabric"),
            _only("persistentKeepaliveSeconds", "'WireGuard'", "WireGuard"),
            _only("redistribute", "'OSPF', 'BGP'", "OSPF or BGP"),
            _only("routeFilterRef", "'OpenFabric', 'OSPF', 'BGP'", "OpenFabric, OSPF or BGP"),
            Rule(
                "!has(self.redistribute) || self.redistribute.all(r, r.source != self.protocol)",
                "redistribute must not name the fabric's own protocol as a source",
            ),
            _only_on_interfaces("helloMultiplier", "'OpenFabric'", "OpenFabric"),
            _only_on_interfaces("networkType", "'OSPF'", "OSPF"),
            _only_on_interfaces("listenPort", "'WireGuard'", "WireGuard"),
            _only_on_interfaces("ip6", "'OpenFabric', 'WireGuard'", "OpenFabric or WireGuard"),
            _only_on_interfaces("ip", "'OpenFabric', 'OSPF', 'WireGuard'", "OpenFabric, OSPF or WireGuard"),
            Rule(
                "self.protocol == 'WireGuard' || !has(self.nodes) || self.nodes.all(n, !has(n.external) && "
                "!has(n.publicKey) && !has(n.endpoint) && !has(n.allowedIps) && !has(n.peers))",
                "external, publicKey, endpoint, allowedIps and peers belong to protocol WireGuard",
            ),
            _inside("ip", "prefix"),
            _inside("ip6", "prefix6"),
            Rule(
                "!has(self.nodes) || self.nodes.all(n, !has(n.ip) || "
                "self.nodes.exists_one(o, has(o.ip) && o.ip == n.ip))",
                "every node needs an ip of its own",
            ),
            Rule(
                "!has(self.nodes) || self.nodes.all(n, !has(n.ip6) || "
                "self.nodes.exists_one(o, has(o.ip6) && o.ip6 == n.ip6))",
                "every node needs an ip6 of its own",
            ),
        )
    )

    id: FabricId | None = Field(
        None, description=id_in_proxmox(": 2 to 8 letters, digits and -, neither first nor last a -", "id")
    )
    protocol: Protocol = Field(
        description="Routing protocol; BGP and WireGuard since Proxmox VE 9.2. Immutable once programmed. "
        "Proxmox: protocol."
    )
    prefix: Network | None = Field(
        None,
        description="IPv4 network of the nodes' own addresses, e.g. 10.255.0.0/24. Proxmox cannot remove it again. "
        "Proxmox: ip_prefix.",
    )
    prefix6: Network | None = Field(None, description="IPv6 network of the nodes' own addresses. Proxmox: ip6_prefix.")
    area: Area | None = Field(None, description="OSPF: the area, different for each fabric. Proxmox: area.")
    hello_interval_seconds: Annotated[int, Field(ge=1, le=600)] | None = Field(
        None, description="OpenFabric: between two hellos, 1 to 600. Default: Proxmox' own. Proxmox: hello_interval."
    )
    csnp_interval_seconds: Annotated[int, Field(ge=1, le=600)] | None = Field(
        None,
        description="OpenFabric: between two complete lists of what is known, 1 to 600. Default: Proxmox' own. "
        "Proxmox: csnp_interval.",
    )
    persistent_keepalive_seconds: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None,
        description="WireGuard: between two packets that keep NAT and firewalls open, 0 to 65535. Default: 0, none. "
        "Proxmox: persistent_keepalive.",
    )
    route_filter_ref: ClusterScopedRef | None = Field(
        None,
        description="PrefixList of the routes that nodes take into their routing table (Proxmox VE 9.2). "
        "Proxmox: route_filter.",
    )
    redistribute: list[Redistribution] | None = Field(
        None,
        max_length=4,
        description="Routes of other sources that it carries too (Proxmox VE 9.2). Proxmox: redistribute.",
        json_schema_extra=keyed("source"),
    )
    nodes: list[FabricNode] | None = Field(
        None,
        min_length=1,
        max_length=MOST_NODES,
        description="Its nodes. With allNodes: those that differ from the others.",
        json_schema_extra=keyed("name"),
    )
    all_nodes: AllNodes | None = Field(
        None, description="All nodes of the cluster, also those that join or leave later; {} is enough."
    )


class FabricMember(ApiModel):
    """One node of the fabric in Proxmox."""

    name: Annotated[str, Cut(63)] = Field(description="Node name.")
    origin: Origin = Field(description="Created by the operator, or Adopted.")
    ip: Annotated[str, Cut(64)] | None = Field(None, description="Its IPv4 address in the fabric; it stays.")
    ip6: Annotated[str, Cut(64)] | None = Field(None, description="Its IPv6 address in the fabric; it stays.")


class FabricNeighbourRow(ApiModel):
    """One neighbour of a node in the fabric."""

    neighbour: Annotated[str, Cut(64)] = Field(description="Its address or name, as FRR prints it.")
    state: Annotated[str, Cut(32)] = Field(description="FRR's state, e.g. Full/- or Up.")


class FabricInterfaceRow(ApiModel):
    """One interface of a node in the fabric."""

    name: Annotated[str, Cut(32)] = Field(description="Interface.")
    state: Annotated[str, Cut(32)] = Field(description="Its state, as FRR prints it.")
    type: Annotated[str, Cut(32)] | None = Field(None, description="Its type in the fabric, as FRR prints it.")
    mtu: int | None = Field(None, description="Its MTU; absent if unknown.")


class Adjacency(ApiModel):
    """What one node shows of the fabric."""

    name: Annotated[str, Cut(63)] = Field(description="Node name.")
    up: int | None = Field(None, description="Neighbours with a complete adjacency; absent if unknown.")
    neighbours: Annotated[list[FabricNeighbourRow], Cut(32)] | None = Field(
        None, description="Its neighbours; absent if unknown.", json_schema_extra=ATOMIC
    )
    interfaces: Annotated[list[FabricInterfaceRow], Cut(16)] | None = Field(
        None, description="Its interfaces; absent if unknown.", json_schema_extra=ATOMIC
    )
    routes: int | None = Field(None, description="Routes it has from the fabric; absent if unknown.")
    problems: Annotated[list[Annotated[str, Cut(256)]], Cut(16)] | None = Field(
        None, description="What is wrong there.", json_schema_extra=ATOMIC
    )


class FabricStatus(ManagedStatus):
    """The state of the fabric in Proxmox and on the nodes."""

    id: Annotated[str, Cut(8)] | None = Field(None, description="The name in Proxmox.")
    nodes: Annotated[list[FabricMember], Cut(MOST_NODES)] | None = Field(
        None, description="Its nodes in Proxmox, with their addresses.", json_schema_extra=keyed("name")
    )
    adjacencies: Annotated[list[Adjacency], Cut(MOST_NODES)] | None = Field(
        None, description="What each node shows of it.", json_schema_extra=keyed("name")
    )
    adjacencies_summary: Annotated[str, Cut(16)] | None = Field(
        None, description="Nodes on which all is as it should be, of all, e.g. 4/4; absent if unknown."
    )
    truncated: int | None = Field(None, description="How many more nodes there are.")
