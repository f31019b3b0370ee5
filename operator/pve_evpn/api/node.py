"""EvpnNode: what one Proxmox node says of BGP and its VNIs. Written by the operator only."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from pve_evpn.api.base import ATOMIC, ApiModel, ClusterScopedRef, keyed
from pve_evpn.api.conditions import Condition


class EvpnNodeSpec(ApiModel):
    """Which node."""

    cluster_ref: ClusterScopedRef = Field(description="The ProxmoxCluster.")
    node: Annotated[str, StringConstraints(max_length=63)] = Field(description="The node's name in Proxmox.")


class Peer(ApiModel):
    """One BGP session in address family l2vpn evpn."""

    address: str = Field(max_length=64, description="The peer's address.")
    node: str | None = Field(None, max_length=63, description="The peer's node name, where it is one of the cluster.")
    state: str = Field(max_length=32, description="FRR's word, e.g. Established, Idle, Active, Idle (Admin).")
    since: str | None = Field(
        None,
        description="Since when it has (not) been established.",
        json_schema_extra={"format": "date-time"},
    )
    prefixes_received: int | None = Field(None, description="Prefixes received.")
    prefixes_sent: int | None = Field(None, description="Prefixes sent.")
    last_error: str | None = Field(None, max_length=256, description="Why it was last reset, while it is down.")


class VniStatus(ApiModel):
    """One VNI on the node."""

    vni: int = Field(description="The number.")
    type: str = Field(max_length=4, description="L2 or L3.")
    vnet: str | None = Field(None, max_length=8, description="The VNet or zone that has this VNI.")
    macs: int | None = Field(None, description="MAC addresses (L3: router MACs).")
    arp_nd: int | None = Field(None, description="ARP and ND entries (L3: next hops).")
    remote_vteps: int | None = Field(None, description="VTEPs in the flood list.")
    tenant_vrf: str | None = Field(None, max_length=32, description="The VRF it belongs to.")


class EvpnNodeStatus(ApiModel):
    """The two tables a network engineer looks at first."""

    observed_generation: int | None = Field(None, description="metadata.generation this status is about.")
    frr_version: str | None = Field(None, max_length=32, description="FRR's version.")
    router_id: str | None = Field(None, max_length=45, description="BGP router id.")
    asn: int | None = Field(None, description="BGP AS number.", json_schema_extra={"format": "int64"})
    sessions: str | None = Field(None, max_length=16, description="Established of all sessions, e.g. 3/3.")
    peers: list[Peer] | None = Field(
        None,
        max_length=128,
        description="As show bgp l2vpn evpn summary.",
        json_schema_extra=keyed("address"),
    )
    vnis: list[VniStatus] | None = Field(
        None, max_length=256, description="As show evpn vni.", json_schema_extra=keyed("vni")
    )
    truncated: int | None = Field(None, description="How many more VNIs there are.")
    problems: list[Annotated[str, StringConstraints(max_length=256)]] | None = Field(
        None, max_length=16, description="What could not be read, and why.", json_schema_extra=ATOMIC
    )
    source: str | None = Field(None, max_length=32, description="Where the observation came from.")
    conditions: list[Condition] | None = Field(
        None, max_length=24, description="Judgements.", json_schema_extra=keyed("type")
    )
