"""EvpnZone: one VRF with its L3 VNI, and which namespaces may put VNets into it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.limits import Cut
from pve_evpn.api.rules import ATOMIC, SET, Matching, Rule, keyed, only_one_of, rules
from pve_evpn.api.types import (
    Adoption,
    ApiModel,
    ClusterScopedRef,
    ClusterScopedSpec,
    DnsName,
    LabelSelector,
    MacAddress,
    Network,
    NodeName,
    PluginId,
    Port,
    ShortId,
    Vni,
    VniRange,
    id_in_proxmox,
    id_or_ref,
)


def _in_range(target: str) -> str:
    if any(int(number) > 4294967295 for number in target.split(":")):
        raise ValueError("neither half of a route target may be above 4294967295")
    return target


_TARGET = Matching(r"[0-9]{1,10}:[0-9]{1,10}", "must be a route target such as 65001:100001")
RouteTarget = Annotated[
    str,
    Length(max_length=21),
    _TARGET,
    AfterValidator(_in_range),
    Rule(
        f"!{_TARGET.as_cel()} || self.split(':').all(n, int(n) <= 4294967295)",
        "neither half of a route target may be above 4294967295",
    ),
]


class ExitNodes(ApiModel):
    """Nodes that connect the VRF with networks outside."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("!has(self.primary) || self.primary in self.nodes", "primary must be one of exitNodes.nodes")
        )
    )

    nodes: list[NodeName] = Field(
        min_length=1, max_length=64, description="The exit nodes. Proxmox: exitnodes.", json_schema_extra=SET
    )
    primary: NodeName | None = Field(
        None,
        description="The one that carries the traffic while it is up. Default: all share it. "
        "Proxmox: exitnodes-primary.",
    )
    local_routing: bool | None = Field(
        None,
        description="Let the exit nodes themselves reach the VRF. Default: false. Proxmox: exitnodes-local-routing.",
    )


class Dns(ApiModel):
    """Names in a DNS server that Proxmox knows."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(only_one_of("server", "serverRef"), "set exactly one of server and serverRef"),
            id_or_ref("reverse"),
        )
    )

    server: PluginId | None = Field(None, description="Id of a DNS server that exists in Proxmox. Proxmox: dns.")
    server_ref: ClusterScopedRef | None = Field(None, description="DnsServer, instead of server. Proxmox: dns.")
    zone: DnsName | None = Field(None, description="DNS domain of the names. Proxmox: dnszone.")
    reverse: PluginId | None = Field(
        None, description="Id of the DNS server for reverse entries. Default: none. Proxmox: reversedns."
    )
    reverse_ref: ClusterScopedRef | None = Field(
        None, description="DnsServer for reverse entries, instead of reverse. Proxmox: reversedns."
    )


class Limits(ApiModel):
    """How much each namespace may have in the zone. The oldest objects count first; those above a limit are refused."""

    vnets: Annotated[int, Field(ge=0, le=100000)] | None = Field(
        None, description="VNets per namespace. Default: no limit."
    )
    subnets: Annotated[int, Field(ge=0, le=100000)] | None = Field(
        None, description="Subnets of all VNets of a namespace. Default: no limit."
    )
    nics: Annotated[int, Field(ge=0, le=100000)] | None = Field(
        None, description="NicAttachments per namespace. Default: no limit."
    )


class AllowedNamespaces(ApiModel):
    """Which namespaces may have VNets in the zone. An explicit choice, because it is a permission."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(self.from == 'Selector') == has(self.selector)",
                "selector is needed with from: Selector, and only then",
            )
        )
    )

    from_: Literal["All", "Selector", "None"] = Field(
        alias="from", description="All namespaces, those of selector, or None."
    )
    selector: LabelSelector | None = Field(None, description="Namespaces by label, with from: Selector.")
    limits: Limits | None = Field(None, description="How much each namespace may have in the zone. Default: no limits.")


_FirewallName = Annotated[
    str,
    Length(min_length=2, max_length=64),
    Matching(r"[A-Za-z][A-Za-z0-9_-]+", "must be a name as Datacenter > Firewall has it, without dc/ and +"),
]
_IpSetName = Annotated[
    str,
    Length(min_length=2, max_length=68),
    Matching(r"(sdn/)?[A-Za-z][A-Za-z0-9_-]+", "must be a name without dc/ and +; sdn/ before one that Proxmox makes"),
]


class FirewallNames(ApiModel):
    """Names of the datacenter's firewall. What is not listed is not allowed."""

    aliases: list[_FirewallName] | None = Field(
        None, max_length=64, description="Aliases. Default: none.", json_schema_extra=SET
    )
    ip_sets: list[_IpSetName] | None = Field(
        None,
        max_length=64,
        description="IP sets, sdn/... for those that Proxmox makes of VNets and guests; the ones of VNets of the same "
        "namespace are always allowed. Default: none.",
        json_schema_extra=SET,
    )
    security_groups: list[_FirewallName] | None = Field(
        None, max_length=64, description="Security groups. Default: none.", json_schema_extra=SET
    )


class EvpnZoneSpec(ClusterScopedSpec):
    """An EVPN zone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("has(self.vrfVni) || has(self.vniRange)", "set vrfVni, or vniRange to take one from"),
            Rule(
                "!has(self.nodes) || !has(self.exitNodes) || self.exitNodes.nodes.all(n, n in self.nodes)",
                "exitNodes.nodes must all be in nodes",
            ),
            Rule(
                "!has(self.secondaryControllerRefs) || "
                "self.secondaryControllerRefs.all(r, r.name != self.controllerRef.name)",
                "secondaryControllerRefs must not repeat controllerRef",
            ),
            id_or_ref("ipam"),
        )
    )

    id: ShortId | None = Field(
        None, description=id_in_proxmox(": 2 to 8 letters and digits, a letter first, case kept", "zone")
    )
    controller_ref: ClusterScopedRef = Field(
        description="The EvpnController, of the same cluster. Proxmox: controller."
    )
    secondary_controller_refs: list[ClusterScopedRef] | None = Field(
        None,
        max_length=16,
        description="Further EvpnControllers (Proxmox VE 9.2). Proxmox: secondary-controllers.",
        json_schema_extra=keyed("name"),
    )
    vrf_vni: Vni | None = Field(
        None,
        description="L3 VNI of the VRF, 1 to 16777215, unique among the VNIs of all zones and VNets. Default: the "
        "lowest free one of vniRange, chosen once. Proxmox: vrf-vxlan.",
    )
    vni_range: VniRange | None = Field(
        None, description="VNIs for VNets of this zone, and for the zone itself, that name none."
    )
    nodes: list[NodeName] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Nodes the zone is on. Default: all. Proxmox: nodes.",
        json_schema_extra=SET,
    )
    exit_nodes: ExitNodes | None = Field(
        None, description="Nodes that connect the VRF with the outside. Default: none; the VRF is closed."
    )
    advertise_subnets: bool | None = Field(
        None,
        description="Advertise the subnets as type-5 routes. Default: false. Proxmox: advertise-subnets.",
    )
    arp_nd_suppression: bool | None = Field(
        None,
        description="Answer ARP and ND locally from what EVPN knows; switch it off where addresses float between "
        "guests (VRRP, keepalived). Default: true. Proxmox: disable-arp-nd-suppression (the opposite).",
    )
    route_target_imports: list[RouteTarget] | None = Field(
        None,
        max_length=64,
        description="Route targets imported into the VRF besides its own, asn:nn. Proxmox: rt-import.",
        json_schema_extra=SET,
    )
    anycast_mac: MacAddress | None = Field(
        None, description="MAC address of the gateways on all nodes. Default: Proxmox chooses one. Proxmox: mac."
    )
    mtu: Annotated[int, Field(ge=576, le=65520)] | None = Field(
        None,
        description="MTU of the VNets in bytes, 576 to 65520, at most the underlay's minus 50. Default: 1450 "
        "(Proxmox). Proxmox: mtu.",
    )
    vxlan_port: Port | None = Field(
        None, description="UDP port of VXLAN, 1 to 65535. Default: 4789 (Proxmox). Proxmox: vxlan-port."
    )
    bridge_mac_learning: bool | None = Field(
        None,
        description="false: the bridges do not learn and Proxmox pins each NIC's own MAC, so that silent hosts stay "
        "reachable, and guests that use further MACs do not. Default: true. Proxmox: bridge-disable-mac-learning "
        "(the opposite).",
    )
    ipam: PluginId | None = Field(
        None,
        description="Id of an IPAM that exists in Proxmox, e.g. pve, the built-in one. Addresses of NicAttachments are "
        "registered there. Default: none. Proxmox: ipam.",
    )
    ipam_ref: ClusterScopedRef | None = Field(None, description="Ipam, instead of ipam. Proxmox: ipam.")
    dns: Dns | None = Field(
        None,
        description="DNS server for names. In an EVPN zone Proxmox registers those of gateways alone (VNET-gw), and "
        "needs an IPAM for it. Default: none.",
    )
    allowed_namespaces: AllowedNamespaces = Field(
        description="Which namespaces may have VNets in this zone. Checked on every change, not only at creation."
    )
    allowed_subnets: list[Network] | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="Networks that the subnets of the zone's VNets must be inside of. Default: any. Addresses of the "
        "nodes are never allowed.",
        json_schema_extra=SET,
    )
    allowed_firewall_names: FirewallNames | None = Field(
        None,
        description="Aliases, IP sets and security groups of the datacenter's firewall that rules of the zone's VNets "
        "may name; {} allows none. Default: any.",
    )
    adoption: Adoption | None = Field(
        None,
        description="Which namespaces may adopt VNets that Proxmox has in this zone already, as their adoptionPolicy "
        "says; needed too for VNets restored from a backup without their status. Default: none but those that adoption "
        "of the ProxmoxCluster names.",
    )


class ZoneNode(ApiModel):
    """What one node says of the zone."""

    name: Annotated[str, Cut(63)] = Field(description="Node name.")
    state: Literal["Available", "Pending", "Error", "Missing", "Unknown"] = Field(
        description="Proxmox' state. Missing: the node has never had it. Unknown: it could not be read."
    )
    message: Annotated[str, Cut(1024)] | None = Field(None, description="Proxmox' message.")


class NodeVrf(ApiModel):
    """The VRF on one node."""

    name: Annotated[str, Cut(63)] = Field(description="Node name.")
    router_mac: Annotated[str, Cut(17)] | None = Field(None, description="Router MAC the node puts into its routes.")
    prefixes: int | None = Field(None, description="Prefixes installed in the VRF.")


class IpVrf(ApiModel):
    """The zone's VRF as the nodes have it."""

    router_macs: Annotated[list[Annotated[str, Cut(32)]], Cut(64)] | None = Field(
        None, description="Router MACs of all nodes.", json_schema_extra=ATOMIC
    )
    prefixes: int | None = Field(None, description="Most prefixes any node has installed.")
    nodes: Annotated[list[NodeVrf], Cut(64)] | None = Field(
        None, description="Per node.", json_schema_extra=keyed("name")
    )


class DefaultRoute(ApiModel):
    """An IPv4 default route, or that there is none."""

    state: Literal["Present", "Absent", "Unreachable"] = Field(
        description="Unreachable: it discards what it matches, as the one does that Proxmox gives the VRFs of nodes "
        "that are no exit nodes."
    )
    protocol: Annotated[str, Cut(32)] | None = Field(None, description="Where it comes from: bgp, static, kernel ...")
    next_hops: Annotated[list[Annotated[str, Cut(64)]], Cut(8)] | None = Field(
        None, description="Its next hops, addresses or interfaces.", json_schema_extra=ATOMIC
    )


class ExitPeer(ApiModel):
    """A router outside, and which of the zone's subnets an exit node advertises to it by BGP."""

    address: Annotated[str, Cut(64)] = Field(description="The router's address.")
    advertised: int = Field(description="Subnets that are advertised to it.")
    missing: Annotated[list[Annotated[str, Cut(64)]], Cut(8)] | None = Field(
        None, description="Subnets that are not; at most 8.", json_schema_extra=ATOMIC
    )
    missing_count: int | None = Field(None, description="How many are not; absent where all are advertised.")


class ExitNode(ApiModel):
    """One exit node. What no source shows is absent, which does not mean that it is missing on the node."""

    name: Annotated[str, Cut(63)] = Field(description="Node name.")
    role: Literal["Only", "Primary", "Standby", "Shared"] = Field(
        description="Standby: used while the primary is down. Shared: one of several without a primary."
    )
    usable: bool | None = Field(
        None, description="Whether packets that the zone sends to it have a default route to leave by."
    )
    originates: bool | None = Field(
        None, description="Whether other nodes have its default route of the zone by EVPN (type 5)."
    )
    vrf_default_route: DefaultRoute | None = Field(
        None,
        description="In the zone's VRF. Absent is right on an exit node that the zone leaves by: what the VRF does not "
        "know is looked up in the node's own table.",
    )
    default_route: DefaultRoute | None = Field(None, description="In the node's own table.")
    rp_filter: Literal["Off", "Strict", "Loose"] | None = Field(
        None,
        description="Reverse path filter of the zone's VRF: the larger of the settings for all and for vrfbr_<zone>.",
    )
    untranslated: Annotated[list[Annotated[str, Cut(64)]], Cut(8)] | None = Field(
        None,
        description="Subnets with snat that Proxmox' configuration of the node does not translate; at most 8.",
        json_schema_extra=ATOMIC,
    )
    peers: Annotated[list[ExitPeer], Cut(16)] | None = Field(
        None, description="Routers outside that it has BGP sessions with.", json_schema_extra=keyed("address")
    )


class Exit(ApiModel):
    """How the zone reaches the outside, IPv4."""

    summary: Annotated[str, Cut(32)] | None = Field(
        None, description="Usable exit nodes of all, e.g. 2/2; absent where no source shows one."
    )
    nodes: Annotated[list[ExitNode], Cut(64)] | None = Field(
        None, description="Per exit node.", json_schema_extra=keyed("name")
    )
    without_default_route: Annotated[list[Annotated[str, Cut(63)]], Cut(64)] | None = Field(
        None,
        description="Other nodes whose VRF has no default route; absent where no source shows one.",
        json_schema_extra=ATOMIC,
    )
    problems: Annotated[list[Annotated[str, Cut(512)]], Cut(16)] | None = Field(
        None, description="What loses packets, and what to do; also condition Effective.", json_schema_extra=ATOMIC
    )
    risks: Annotated[list[Annotated[str, Cut(512)]], Cut(16)] | None = Field(
        None,
        description="What makes the way back another than the way out, or stops a failover.",
        json_schema_extra=ATOMIC,
    )


class VNetProblem(ApiModel):
    """What is wrong with a VNet, with the names that its own status leaves out."""

    namespace: Annotated[str, Cut(63)] = Field(description="Namespace of the VNet.")
    name: Annotated[str, Cut(253)] = Field(description="Name of the VNet.")
    reason: Annotated[str, Cut(128)] = Field(description="The reason in its status.")
    message: Annotated[str, Cut(1024)] = Field(description="Why, with names of other namespaces, guests and zones.")


class EvpnZoneStatus(ManagedStatus):
    """The state of the zone in Proxmox and on the nodes."""

    id: Annotated[str, Cut(8)] | None = Field(None, description="The name in Proxmox.")
    vrf_vni: int | None = Field(None, description="The L3 VNI in use.")
    vnets: int | None = Field(None, description="VNets in it that were accepted.")
    nodes: Annotated[list[ZoneNode], Cut(64)] | None = Field(
        None, description="Per node.", json_schema_extra=keyed("name")
    )
    truncated: int | None = Field(None, description="How many more nodes there are.")
    vnet_problems: Annotated[list[VNetProblem], Cut(32)] | None = Field(
        None,
        description="VNets whose own status must not name what is in their way, because their namespace may not see "
        "it; at most 32.",
        json_schema_extra=keyed("namespace", "name"),
    )
    ip_vrf: IpVrf | None = Field(None, description="The VRF as the nodes have it; absent if unknown.")
    exit: Exit | None = Field(None, description="The way to the outside; absent without exitNodes.")
