"""EvpnController: the BGP instance that carries EVPN between the nodes of one Proxmox cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pve_evpn.api.base import (
    ATOMIC,
    SET,
    AdoptionPolicy,
    ApiModel,
    ClusterScopedRef,
    DeletionPolicy,
    ManagementPolicy,
    NodeName,
    keyed,
    rule,
    rules,
)
from pve_evpn.api.conditions import Condition

_LONG_ID = r"^[a-zA-Z][a-zA-Z0-9_-]{0,62}[a-zA-Z0-9]$"
#: Proxmox' "configid"
_CONFIG_ID = r"^[a-zA-Z][a-zA-Z0-9_-]+$"
FabricId = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9-]{0,6}[a-zA-Z0-9]$")]
ConfigId = Annotated[str, StringConstraints(min_length=2, max_length=64, pattern=_CONFIG_ID)]


class ClusterNodes(ApiModel):
    """Peers kept equal to the cluster's members."""

    cidr: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        None,
        description="Take each node's address inside this network. Default: the address the cluster knows it by.",
        json_schema_extra=rules(rule("isCIDR(self)", "must be a network such as 192.168.16.0/24")),
    )


class Underlay(ApiModel):
    """How the nodes reach each other."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.peers), has(self.fabric), has(self.clusterNodes)].filter(x, x).size() == 1",
                "set exactly one of peers, fabric and clusterNodes",
            )
        )
    )

    peers: list[Annotated[str, StringConstraints(max_length=45)]] | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Addresses of all nodes (IPv4 or IPv6). Proxmox: peers.",
        json_schema_extra={**SET, **rules(rule("self.all(p, isIP(p))", "each peer must be an IP address"))},
    )
    fabric: FabricId | None = Field(
        None, description="Id of a fabric (OSPF, OpenFabric) that exists in Proxmox. Proxmox: fabric."
    )
    cluster_nodes: ClusterNodes | None = Field(None, description="Use the addresses of the cluster's own nodes.")


class EvpnControllerSpec(ApiModel):
    """An EVPN controller. Before Proxmox VE 9.2 a cluster can have one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)",
                "id cannot change",
            ),
        )
    )

    cluster_ref: ClusterScopedRef = Field(
        description="The ProxmoxCluster. Immutable.",
        json_schema_extra=rules(rule("self == oldSelf", "clusterRef cannot change")),
    )
    id: Annotated[str, StringConstraints(min_length=2, max_length=64, pattern=_LONG_ID)] | None = Field(
        None,
        description="Proxmox name: 2 to 64 letters, digits, - and _, a letter first. Immutable. Default: "
        "metadata.name where it is a valid id, else a short hash. Proxmox: controller.",
    )
    asn: Annotated[int, Field(ge=1, le=4294967295)] = Field(
        description="Autonomous system number, 1 to 4294967295. Proxmox: asn.",
        json_schema_extra={"format": "int64"},
    )
    underlay: Underlay = Field(description="How the nodes reach each other.")
    nodes: list[NodeName] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Nodes this controller runs on (Proxmox VE 9.2). Default: all. Proxmox: nodes.",
        json_schema_extra=SET,
    )
    bgp_mode: Literal["Auto", "External", "Internal"] | None = Field(
        None, description="Whether peers are iBGP or eBGP (9.2). Default: Auto. Proxmox: bgp-mode."
    )
    ebgp_multihop: Annotated[int, Field(ge=1, le=255)] | None = Field(
        None, description="Hops to eBGP peers (9.2). Proxmox: ebgp-multihop."
    )
    peer_group_name: ConfigId | None = Field(
        None, description="FRR peer group (9.2). Default: VTEP. Proxmox: peer-group-name."
    )
    route_map_in: ConfigId | None = Field(
        None, description="Route map for received routes (9.2). Proxmox: route-map-in."
    )
    route_map_out: ConfigId | None = Field(None, description="Route map for sent routes (9.2). Proxmox: route-map-out.")
    management_policy: ManagementPolicy | None = Field(None, description="ObserveOnly: never write. Default: Full.")
    deletion_policy: DeletionPolicy | None = Field(
        None,
        description="What deleting this object does to Proxmox' one. Default: Delete if created, Orphan if adopted.",
    )
    adoption_policy: AdoptionPolicy | None = Field(
        None, description="Whether an object that is already in Proxmox is taken over. Default: IfIdentical."
    )


class ControllerNode(ApiModel):
    """Sessions of one node."""

    name: str = Field(max_length=63, description="Node name.")
    established: int | None = Field(None, description="Established sessions; absent if unknown.")
    expected: int | None = Field(None, description="Sessions it should have.")
    problems: list[Annotated[str, StringConstraints(max_length=256)]] | None = Field(
        None, max_length=16, description="What is wrong, peer by peer.", json_schema_extra=ATOMIC
    )


class Sessions(ApiModel):
    """Totals over all nodes."""

    established: int = Field(description="Established sessions.")
    expected: int = Field(description="Sessions there should be.")


class EvpnControllerStatus(ApiModel):
    """What became of the controller and how its sessions are."""

    observed_generation: int | None = Field(None, description="metadata.generation this status is about.")
    last_handled_reconcile_at: str | None = Field(
        None, max_length=128, description="Echo of annotation pve-evpn.dev/reconcile-requested-at."
    )
    id: str | None = Field(None, max_length=64, description="The name in Proxmox.")
    origin: Literal["Created", "Adopted"] | None = Field(None, description="How it came under our care.")
    sessions: Sessions | None = Field(None, description="BGP sessions, established of expected; absent if unknown.")
    sessions_summary: str | None = Field(None, max_length=16, description="The same as text, e.g. 12/12.")
    nodes: list[ControllerNode] | None = Field(
        None, max_length=64, description="Per node.", json_schema_extra=keyed("name")
    )
    truncated: int | None = Field(None, description="How many more nodes there are.")
    source: str | None = Field(None, max_length=32, description="Where the observation came from.")
    conditions: list[Condition] | None = Field(
        None, max_length=24, description="Judgements.", json_schema_extra=keyed("type")
    )
