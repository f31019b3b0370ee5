"""EvpnNode: what one Proxmox node says of BGP and its VNIs. Written by the operator only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pve_evpn.api.conditions import ObservedStatus
from pve_evpn.api.limits import Cut
from pve_evpn.api.rules import ATOMIC, immutable, keyed
from pve_evpn.api.types import ApiModel, ClusterRef, NodeName, Timestamp


class EvpnNodeSpec(ApiModel):
    """Which node. The operator makes one EvpnNode per node; those made by hand are reported too, and never deleted."""

    cluster_ref: ClusterRef
    node: Annotated[NodeName, immutable("node")] = Field(description="The node's name in Proxmox. Immutable.")


class Peer(ApiModel):
    """One BGP session in address family l2vpn evpn."""

    address: Annotated[str, Cut(64)] = Field(description="The peer's address.")
    node: Annotated[str, Cut(63)] | None = Field(
        None, description="The peer's node name, where it is one of the cluster."
    )
    remote_as: int | None = Field(None, description="The peer's AS number.")
    state: Annotated[str, Cut(32)] = Field(description="FRR's state, e.g. Established, Idle, Active, Idle (Admin).")
    since: Timestamp | None = Field(None, description="Since when it has (not) been established.")
    prefixes_received: int | None = Field(None, description="Prefixes received.")
    prefixes_sent: int | None = Field(None, description="Prefixes sent.")
    last_error: Annotated[str, Cut(256)] | None = Field(None, description="Why it was last reset, while it is down.")
    bfd: Annotated[str, Cut(32)] | None = Field(
        None, description="State of the BFD session with the peer: up, down, init or shutdown; absent without BFD."
    )


class FabricNeighbour(ApiModel):
    """One neighbour in the underlay's routing protocol."""

    protocol: Annotated[str, Cut(16)] | None = Field(
        None, description="ospf or openfabric; absent where the source does not say."
    )
    neighbour: Annotated[str, Cut(64)] = Field(description="OSPF: its router id. OpenFabric: its system id or name.")
    interface: Annotated[str, Cut(64)] | None = Field(None, description="The interface it is seen on.")
    state: Annotated[str, Cut(32)] = Field(description="FRR's state, e.g. Full/DR, 2-Way/DROther, Up.")


class VniStatus(ApiModel):
    """One VNI on the node."""

    vni: int = Field(description="The number.")
    type: Literal["L2", "L3"] = Field(description="L2 (a VNet's) or L3 (a zone's).")
    vnet: Annotated[str, Cut(8)] | None = Field(None, description="The VNet or zone in Proxmox that has this VNI.")
    macs: int | None = Field(None, description="MAC addresses (L3: router MACs).")
    arp_nd: int | None = Field(None, description="ARP and ND entries (L3: next hops).")
    remote_vteps: int | None = Field(None, description="VTEPs in the flood list.")
    tenant_vrf: Annotated[str, Cut(32)] | None = Field(None, description="The VRF it belongs to.")


class EvpnNodeStatus(ObservedStatus):
    """BGP sessions and VNIs of one node, as FRR prints them."""

    frr_version: Annotated[str, Cut(32)] | None = Field(None, description="FRR's version.")
    router_id: Annotated[str, Cut(45)] | None = Field(None, description="BGP router id.")
    asn: int | None = Field(None, description="BGP AS number.")
    sessions: Annotated[str, Cut(16)] | None = Field(None, description="Established of all sessions, e.g. 3/3.")
    peers: Annotated[list[Peer], Cut(128)] | None = Field(
        None,
        description="As show bgp l2vpn evpn summary prints.",
        json_schema_extra=keyed("address"),
    )
    vnis: Annotated[list[VniStatus], Cut(256)] | None = Field(
        None, description="As show evpn vni prints.", json_schema_extra=keyed("vni")
    )
    truncated: int | None = Field(None, description="How many more VNIs and peers there are.")
    fabric_neighbours: Annotated[list[FabricNeighbour], Cut(128)] | None = Field(
        None,
        description="Neighbours in the underlay; absent where neither OSPF nor OpenFabric runs.",
        json_schema_extra=ATOMIC,
    )
    problems: Annotated[list[Annotated[str, Cut(256)]], Cut(16)] | None = Field(
        None, description="What could not be read, and why.", json_schema_extra=ATOMIC
    )
