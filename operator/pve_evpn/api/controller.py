"""EvpnController: the BGP instance that carries EVPN between the nodes of one Proxmox cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.limits import Cut
from pve_evpn.api.rules import ATOMIC, SET, Matching, Rule, keyed, only_one_of, rules
from pve_evpn.api.types import (
    ApiModel,
    Asn,
    ClusterScopedRef,
    ClusterScopedSpec,
    IpAddress,
    Network,
    NodeName,
    id_in_proxmox,
    id_or_ref,
)

#: ``spec.id`` of a controller of any kind.
ControllerId = Annotated[
    Annotated[
        str,
        Length(min_length=2, max_length=64),
        Matching(
            r"[a-zA-Z][a-zA-Z0-9_-]*[a-zA-Z0-9]",
            "must be 2 to 64 letters, digits, - and _, a letter first and a letter or digit last",
        ),
    ]
    | None,
    Field(description=id_in_proxmox(": 2 to 64 letters, digits, - and _, a letter first", "controller")),
]
FabricId = Annotated[
    str,
    Length(min_length=2, max_length=8),
    Matching(
        r"[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]",
        "must be a fabric's id: 2 to 8 letters, digits and -, neither first nor last a -",
    ),
]
ConfigId = Annotated[
    str,
    Length(min_length=2, max_length=64),
    Matching(r"[a-zA-Z][a-zA-Z0-9_-]+", "must be an id in Proxmox: letters, digits, - and _, a letter first"),
]
PeerAddress = Annotated[
    IpAddress,
    Rule(
        "!isIP(self) || !(ip(self).isUnspecified() || ip(self).isLoopback() || ip(self).isLinkLocalMulticast())",
        "must be the address of a node: not unspecified, loopback or multicast",
    ),
]
#: Between the two ends of an eBGP session.
Hops = Annotated[int, Field(ge=1, le=255)]

# The route maps of a controller for BGP, of either kind.
ROUTE_MAP_IN = "Id of a route map for received routes (Proxmox VE 9.2). Proxmox: route-map-in."
ROUTE_MAP_OUT = "Id of a route map for sent routes (Proxmox VE 9.2). Proxmox: route-map-out."
RouteMapInRef = Annotated[
    ClusterScopedRef | None,
    Field(description="RouteMap for received routes, instead of routeMapIn. Proxmox: route-map-in."),
]
RouteMapOutRef = Annotated[
    ClusterScopedRef | None,
    Field(description="RouteMap for sent routes, instead of routeMapOut. Proxmox: route-map-out."),
]


class ClusterNodes(ApiModel):
    """Peers kept equal to the cluster's members."""

    cidr: Network | None = Field(
        None,
        description="Take each node's address inside this network; a node that is switched off keeps the peer it is. "
        "Default: the address the cluster knows it by.",
    )


class Underlay(ApiModel):
    """How the nodes reach each other: exactly one of the four."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                only_one_of("peers", "fabric", "fabricRef", "clusterNodes"),
                "set exactly one of peers, fabric, fabricRef and clusterNodes",
            )
        )
    )

    peers: list[PeerAddress] | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Addresses of all nodes, IPv4 or IPv6. Proxmox: peers.",
        json_schema_extra=SET,
    )
    fabric: FabricId | None = Field(
        None, description="Id of a fabric (OSPF, OpenFabric) that exists in Proxmox. Proxmox: fabric."
    )
    fabric_ref: ClusterScopedRef | None = Field(
        None, description="Fabric of this API, whose nodes are the peers. Proxmox: fabric."
    )
    cluster_nodes: ClusterNodes | None = Field(
        None,
        description="Peers are the cluster's own nodes, also those that join or leave later; {} is enough. "
        "Proxmox: peers.",
    )


class EvpnControllerSpec(ClusterScopedSpec):
    """An EVPN controller. Before Proxmox VE 9.2 a cluster can have one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!has(self.ebgpMultihop) || !has(self.bgpMode) || self.bgpMode != 'Internal'",
                "ebgpMultihop has no meaning with bgpMode: Internal",
            ),
            id_or_ref("routeMapIn"),
            id_or_ref("routeMapOut"),
        )
    )

    id: ControllerId = None
    asn: Asn = Field(description="Autonomous system number, 1 to 4294967295. Proxmox: asn.")
    underlay: Underlay = Field(description="How the nodes reach each other: peers, fabric, fabricRef or clusterNodes.")
    nodes: list[NodeName] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Nodes this controller runs on (Proxmox VE 9.2). Default: all. Proxmox: nodes.",
        json_schema_extra=SET,
    )
    bgp_mode: Literal["Auto", "External", "Internal"] | None = Field(
        None,
        description="Whether the peers are eBGP or iBGP (Proxmox VE 9.2). Default: Auto, which is iBGP unless a BGP "
        "controller says otherwise. Proxmox: bgp-mode.",
    )
    ebgp_multihop: Hops | None = Field(
        None, description="Most hops to eBGP peers, 1 to 255 (Proxmox VE 9.2). Proxmox: ebgp-multihop."
    )
    peer_group_name: ConfigId | None = Field(
        None,
        description="FRR peer group (Proxmox VE 9.2), different for every controller of a cluster. Default: VTEP. "
        "Proxmox: peer-group-name.",
    )
    route_map_in: ConfigId | None = Field(None, description=ROUTE_MAP_IN)
    route_map_out: ConfigId | None = Field(None, description=ROUTE_MAP_OUT)
    route_map_in_ref: RouteMapInRef = None
    route_map_out_ref: RouteMapOutRef = None


class ControllerNode(ApiModel):
    """Sessions of one node."""

    name: Annotated[str, Cut(63)] = Field(description="Node name.")
    established: int | None = Field(None, description="Established sessions; absent if unknown.")
    expected: int | None = Field(None, description="Sessions it should have.")
    problems: Annotated[list[Annotated[str, Cut(256)]], Cut(16)] | None = Field(
        None, description="What is wrong, peer by peer.", json_schema_extra=ATOMIC
    )


class Sessions(ApiModel):
    """Totals over all nodes."""

    established: int = Field(description="Established sessions.")
    expected: int = Field(description="Sessions there should be.")


class EvpnControllerStatus(ManagedStatus):
    """The state of the controller in Proxmox and of its sessions."""

    sessions: Sessions | None = Field(None, description="BGP sessions, established of expected; absent if unknown.")
    sessions_summary: Annotated[str, Cut(16)] | None = Field(None, description="The same as text, e.g. 12/12.")
    nodes: Annotated[list[ControllerNode], Cut(64)] | None = Field(
        None, description="Per node.", json_schema_extra=keyed("name")
    )
    truncated: int | None = Field(None, description="How many more nodes there are.")
