"""VNet: one layer-2 network (VNI) of a zone, with its subnets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pve_evpn.api.base import (
    ATOMIC,
    AdoptionPolicy,
    ApiModel,
    ClusterScopedRef,
    DeletionPolicy,
    ManagementPolicy,
    Vni,
    keyed,
    rule,
    rules,
)
from pve_evpn.api.conditions import Condition
from pve_evpn.api.zone import ShortId, ZoneNode

#: What Proxmox stores faithfully. Other letters are accepted by its API and then dropped on every read.
Alias = Annotated[
    str, StringConstraints(min_length=1, max_length=256, pattern=r"^[a-zA-Z0-9 ()*+,./:;<=>?@\[\]^_\\-]+$")
]
Cidr = Annotated[str, StringConstraints(min_length=4, max_length=49)]
Ip = Annotated[str, StringConstraints(min_length=2, max_length=45)]
_IS_IP = rules(rule("isIP(self)", "must be an IP address"))


class DhcpRange(ApiModel):
    """Addresses handed out; both ends belong to it."""

    start: Ip = Field(description="First address.", json_schema_extra=_IS_IP)
    end: Ip = Field(description="Last address.", json_schema_extra=_IS_IP)


class Subnet(ApiModel):
    """One IP network on the VNet."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!isCIDR(self.cidr) || !has(self.gateway) || !isIP(self.gateway) || "
                "cidr(self.cidr).containsIP(ip(self.gateway))",
                "gateway must be inside the subnet",
            ),
            rule("!(has(self.snat) && self.snat) || has(self.gateway)", "snat needs a gateway"),
            rule(
                "!isCIDR(self.cidr) || !has(self.dhcpRanges) || self.dhcpRanges.all(r, !isIP(r.start) || "
                "!isIP(r.end) || (cidr(self.cidr).containsIP(ip(r.start)) && cidr(self.cidr).containsIP(ip(r.end))))",
                "dhcpRanges must be inside the subnet",
            ),
        )
    )

    cidr: Cidr = Field(
        description="The network in canonical form, e.g. 10.1.0.0/24. Proxmox: subnet.",
        json_schema_extra=rules(
            rule("isCIDR(self)", "must be a network such as 10.1.0.0/24 or 2001:db8::/64"),
            rule(
                "!isCIDR(self) || (cidr(self) == cidr(self).masked() && string(cidr(self)) == self)",
                "must be the network itself in canonical form: no host bits, lower case, shortest IPv6 notation",
            ),
            rule("!isCIDR(self) || cidr(self).prefixLength() >= 1", "a prefix length of 0 is not a subnet"),
        ),
    )
    gateway: Ip | None = Field(
        None,
        description="Anycast gateway on every node, inside the network. Proxmox: gateway.",
        json_schema_extra=_IS_IP,
    )
    snat: bool | None = Field(None, description="Translate addresses on the exit nodes. Default: false. Proxmox: snat.")
    dhcp_ranges: list[DhcpRange] | None = Field(
        None,
        max_length=16,
        description="Ranges for DHCP and IPAM. Proxmox: dhcp-range.",
        json_schema_extra=ATOMIC,
    )
    dhcp_dns_server: Ip | None = Field(
        None,
        description="DNS server that DHCP announces. Proxmox: dhcp-dns-server.",
        json_schema_extra=_IS_IP,
    )
    dns_zone_prefix: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="Label put before the zone's DNS domain. Proxmox: dnszoneprefix."
    )


class FirewallRule(ApiModel):
    """One rule for forwarded traffic; order matters."""

    action: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="ACCEPT, DROP, REJECT or a security group. Proxmox: action."
    )
    source: Annotated[str, StringConstraints(max_length=512)] | None = Field(None, description="Proxmox: source.")
    dest: Annotated[str, StringConstraints(max_length=512)] | None = Field(None, description="Proxmox: dest.")
    proto: Annotated[str, StringConstraints(max_length=32)] | None = Field(None, description="Proxmox: proto.")
    sport: Annotated[str, StringConstraints(max_length=128)] | None = Field(None, description="Proxmox: sport.")
    dport: Annotated[str, StringConstraints(max_length=128)] | None = Field(None, description="Proxmox: dport.")
    comment: Annotated[str, StringConstraints(max_length=256)] | None = Field(None, description="Proxmox: comment.")
    enabled: bool | None = Field(None, description="Default: true. Proxmox: enable.")


class Firewall(ApiModel):
    """The VNet's firewall. It takes effect at once, outside the SDN transaction."""

    enabled: bool | None = Field(None, description="Default: false. Proxmox: enable.")
    policy_forward: Literal["ACCEPT", "DROP"] | None = Field(
        None, description="Default: ACCEPT. Proxmox: policy_forward."
    )
    rules: list[FirewallRule] | None = Field(
        None, max_length=64, description="Ordered rules.", json_schema_extra=ATOMIC
    )


class VNetSpec(ApiModel):
    """A VNet of an EVPN zone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)",
                "id cannot change",
            ),
            rule(
                "!has(oldSelf.vni) || (has(self.vni) && self.vni == oldSelf.vni)",
                "vni cannot change once set: make a new VNet",
            ),
        )
    )

    zone_ref: ClusterScopedRef = Field(
        description="The EvpnZone. Immutable. Proxmox: zone.",
        json_schema_extra=rules(rule("self == oldSelf", "zoneRef cannot change")),
    )
    id: ShortId | None = Field(
        None,
        description="Proxmox name: 2 to 8 letters and digits, a letter first, case kept; also the name of the bridge "
        "on every node. Immutable. Default: metadata.name where it is a valid id, else a short hash. Proxmox: vnet.",
    )
    vni: Vni | None = Field(
        None,
        description="L2 VNI, 1 to 16777215, unique among all zones' and VNets' VNIs. Default: the lowest free one of "
        "the zone's vniRange, chosen once. Immutable once set. Proxmox: tag.",
    )
    alias: Alias | None = Field(
        None,
        description="Text for people, ASCII letters, digits, spaces, ()*+,-./:;<=>?@[\\]^_. Proxmox: alias.",
        json_schema_extra=rules(
            rule("self.trim() == self", "must not begin or end with a space (Proxmox would drop it)")
        ),
    )
    isolate_ports: bool | None = Field(
        None,
        description="Guests on one node cannot reach each other. Default: false. Proxmox: isolate-ports.",
    )
    subnets: list[Subnet] | None = Field(
        None, max_length=32, description="IP networks of the VNet.", json_schema_extra=keyed("cidr")
    )
    firewall: Firewall | None = Field(None, description="Firewall of the VNet.")
    management_policy: ManagementPolicy | None = Field(None, description="ObserveOnly: never write. Default: Full.")
    deletion_policy: DeletionPolicy | None = Field(
        None,
        description="What deleting this object does to Proxmox' one. Default: Delete if created, Orphan if adopted.",
    )
    adoption_policy: AdoptionPolicy | None = Field(
        None, description="Whether an object that is already in Proxmox is taken over. Default: IfIdentical."
    )


class SubnetStatus(ApiModel):
    """One subnet in Proxmox."""

    id: str = Field(max_length=64, description="Proxmox id, zone-network-length.")
    origin: Literal["Created", "Adopted"] = Field(description="How it came under our care.")


class VNetNode(ZoneNode):
    """What one node says of the VNet and its VNI."""

    macs: int | None = Field(None, description="MAC addresses known in the VNI; absent if unknown.")
    arp_nd: int | None = Field(None, description="ARP and ND entries.")
    remote_vteps: int | None = Field(None, description="VTEPs in the flood list.")
    missing_vteps: list[Annotated[str, StringConstraints(max_length=64)]] | None = Field(
        None,
        max_length=64,
        description="VTEPs that should be in the flood list and are not.",
        json_schema_extra=ATOMIC,
    )


class Routes(ApiModel):
    """EVPN routes of the VNI, as the node that sees most has them."""

    type2: int | None = Field(None, description="MAC and MAC/IP routes.")
    type3: int | None = Field(None, description="Inclusive multicast routes, one per VTEP.")


class VNetStatus(ApiModel):
    """What became of the VNet and how the nodes have it."""

    observed_generation: int | None = Field(None, description="metadata.generation this status is about.")
    last_handled_reconcile_at: str | None = Field(
        None, max_length=128, description="Echo of annotation pve-evpn.dev/reconcile-requested-at."
    )
    id: str | None = Field(None, max_length=8, description="The name in Proxmox, and of the bridge.")
    origin: Literal["Created", "Adopted"] | None = Field(None, description="How it came under our care.")
    zone: str | None = Field(None, max_length=8, description="The zone's name in Proxmox.")
    vni: int | None = Field(None, description="The L2 VNI in use.")
    subnets: list[SubnetStatus] | None = Field(
        None, max_length=64, description="Subnets in Proxmox.", json_schema_extra=keyed("id")
    )
    nodes: list[VNetNode] | None = Field(None, max_length=64, description="Per node.", json_schema_extra=keyed("name"))
    truncated: int | None = Field(None, description="How many more nodes there are.")
    routes: Routes | None = Field(None, description="EVPN routes by type; absent if unknown.")
    source: str | None = Field(None, max_length=32, description="Where the observation came from.")
    conditions: list[Condition] | None = Field(
        None, max_length=24, description="Judgements.", json_schema_extra=keyed("type")
    )
