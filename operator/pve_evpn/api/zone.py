"""EvpnZone: one VRF with its L3 VNI, and which namespaces may put VNets into it."""

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
    LabelSelector,
    MacAddress,
    ManagementPolicy,
    NodeName,
    Vni,
    VniRange,
    keyed,
    rule,
    rules,
)
from pve_evpn.api.conditions import Condition

_SHORT_ID = r"^[a-zA-Z][a-zA-Z0-9]{0,6}[a-zA-Z0-9]$"
ShortId = Annotated[str, StringConstraints(min_length=2, max_length=8, pattern=_SHORT_ID)]
RouteTarget = Annotated[str, StringConstraints(max_length=21, pattern=r"^[0-9]{1,10}:[0-9]{1,10}$")]


class ExitNodes(ApiModel):
    """Nodes that connect the VRF with the rest of the world."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.primary) || self.primary in self.nodes",
                "exitNodes.primary must be one of exitNodes.nodes",
            )
        )
    )

    nodes: list[NodeName] = Field(
        min_length=1, max_length=64, description="The exit nodes. Proxmox: exitnodes.", json_schema_extra=SET
    )
    primary: NodeName | None = Field(
        None, description="The one that carries the traffic while it is up. Proxmox: exitnodes-primary."
    )
    local_routing: bool | None = Field(
        None,
        description="Let exit nodes themselves reach the VRF. Default: false. Proxmox: exitnodes-local-routing.",
    )


class Dns(ApiModel):
    """Registration of guests in a DNS server that Proxmox knows."""

    server: ShortId = Field(description="Id of the DNS server in Proxmox. Proxmox: dns.")
    zone: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = Field(
        None, description="DNS domain. Proxmox: dnszone."
    )
    reverse: ShortId | None = Field(None, description="Id of the server for reverse zones. Proxmox: reversedns.")


class AllowedNamespaces(ApiModel):
    """Which namespaces may have VNets in the zone. An explicit choice, because it is a permission."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(self.from == 'Selector') == has(self.selector)",
                "allowedNamespaces.selector is needed with from: Selector, and only then",
            )
        )
    )

    from_: Literal["All", "Selector", "None"] = Field(alias="from", description="All, Selector or None.")
    selector: LabelSelector | None = Field(None, description="Namespaces by label, with from: Selector.")


class EvpnZoneSpec(ApiModel):
    """An EVPN zone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)",
                "id cannot change",
            ),
            rule("has(self.vrfVni) || has(self.vniRange)", "set vrfVni, or vniRange to take it from"),
            rule(
                "!has(self.nodes) || !has(self.exitNodes) || self.exitNodes.nodes.all(n, n in self.nodes)",
                "exitNodes.nodes must all be in nodes",
            ),
        )
    )

    cluster_ref: ClusterScopedRef = Field(
        description="The ProxmoxCluster. Immutable.",
        json_schema_extra=rules(rule("self == oldSelf", "clusterRef cannot change")),
    )
    id: ShortId | None = Field(
        None,
        description="Proxmox name: 2 to 8 letters and digits, a letter first, case kept. Immutable. Default: "
        "metadata.name where it is a valid id, else a short hash. Proxmox: zone.",
    )
    controller_ref: ClusterScopedRef = Field(description="The EvpnController. Proxmox: controller.")
    secondary_controller_refs: list[ClusterScopedRef] | None = Field(
        None,
        max_length=16,
        description="Further controllers (9.2). Proxmox: secondary-controllers.",
        json_schema_extra=keyed("name"),
    )
    vrf_vni: Vni | None = Field(
        None,
        description="L3 VNI of the VRF, 1 to 16777215. Default: taken from vniRange. Proxmox: vrf-vxlan.",
    )
    vni_range: VniRange | None = Field(None, description="VNIs given to VNets, and to the zone itself, that name none.")
    nodes: list[NodeName] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Nodes the zone is on. Default: all. Proxmox: nodes.",
        json_schema_extra=SET,
    )
    exit_nodes: ExitNodes | None = Field(None, description="Nodes that connect the VRF with the outside.")
    advertise_subnets: bool | None = Field(
        None, description="Announce the subnets as type-5 routes. Default: false. Proxmox: advertise-subnets."
    )
    arp_nd_suppression: bool | None = Field(
        None,
        description="Answer ARP and ND locally from what EVPN knows; switch it off for floating addresses (VRRP, "
        "keepalived). Default: true. Proxmox: disable-arp-nd-suppression (the opposite).",
    )
    route_target_imports: list[RouteTarget] | None = Field(
        None,
        max_length=64,
        description="Additional route targets to import, asn:nn. Proxmox: rt-import.",
        json_schema_extra=SET,
    )
    anycast_mac: MacAddress | None = Field(
        None,
        description="MAC address of the gateways on all nodes. Default: Proxmox chooses one. Proxmox: mac.",
        json_schema_extra=rules(
            rule(
                "self.matches('^.[02468aceACE]')",
                "must be a unicast address (second digit 0, 2, 4, 6, 8, a, c or e)",
            )
        ),
    )
    mtu: Annotated[int, Field(ge=576, le=65520)] | None = Field(
        None,
        description="MTU of the VNets, 576 to 65520; VXLAN needs 50 bytes of the underlay's. Default: 1450 "
        "(Proxmox). Proxmox: mtu.",
    )
    vxlan_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="UDP port of VXLAN, 1 to 65535. Default: 4789 (Proxmox). Proxmox: vxlan-port."
    )
    bridge_mac_learning: bool | None = Field(
        None,
        description="false: the bridges do not learn, Proxmox pins each NIC's own MAC, so that silent hosts stay "
        "reachable and guests with several MACs do not. Default: true. Proxmox: bridge-disable-mac-learning (the "
        "opposite).",
    )
    ipam: Annotated[str, StringConstraints(min_length=2, max_length=8, pattern=_SHORT_ID)] | None = Field(
        None, description="Id of an IPAM in Proxmox, e.g. pve. Default: none. Proxmox: ipam."
    )
    dns: Dns | None = Field(None, description="Registration of guests in DNS.")
    allowed_namespaces: AllowedNamespaces = Field(description="Which namespaces may have VNets in this zone.")
    management_policy: ManagementPolicy | None = Field(None, description="ObserveOnly: never write. Default: Full.")
    deletion_policy: DeletionPolicy | None = Field(
        None,
        description="What deleting this object does to Proxmox' one. Default: Delete if created, Orphan if adopted.",
    )
    adoption_policy: AdoptionPolicy | None = Field(
        None, description="Whether an object that is already in Proxmox is taken over. Default: IfIdentical."
    )


class ZoneNode(ApiModel):
    """What one node says of the zone."""

    name: str = Field(max_length=63, description="Node name.")
    state: Literal["Available", "Pending", "Error", "Missing", "Unknown"] = Field(
        description="Proxmox' word; Missing: the node has never had it; Unknown: it could not be asked."
    )
    message: str | None = Field(None, max_length=1024, description="Proxmox' complaint.")


class IpVrf(ApiModel):
    """The zone's VRF as the nodes have it."""

    router_macs: list[Annotated[str, StringConstraints(max_length=32)]] | None = Field(
        None, max_length=64, description="Router MACs of the nodes.", json_schema_extra=ATOMIC
    )
    prefixes: int | None = Field(None, description="Most prefixes any node has installed.")


class EvpnZoneStatus(ApiModel):
    """What became of the zone and how the nodes have it."""

    observed_generation: int | None = Field(None, description="metadata.generation this status is about.")
    last_handled_reconcile_at: str | None = Field(
        None, max_length=128, description="Echo of annotation pve-evpn.dev/reconcile-requested-at."
    )
    id: str | None = Field(None, max_length=8, description="The name in Proxmox.")
    origin: Literal["Created", "Adopted"] | None = Field(None, description="How it came under our care.")
    vrf_vni: int | None = Field(None, description="The L3 VNI in use.")
    nodes: list[ZoneNode] | None = Field(None, max_length=64, description="Per node.", json_schema_extra=keyed("name"))
    truncated: int | None = Field(None, description="How many more nodes there are.")
    ip_vrf: IpVrf | None = Field(None, description="The VRF as the nodes have it.")
    source: str | None = Field(None, max_length=32, description="Where the observation came from.")
    conditions: list[Condition] | None = Field(
        None, max_length=24, description="Judgements.", json_schema_extra=keyed("type")
    )
