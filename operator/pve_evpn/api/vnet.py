"""VNet: one layer-2 network (VNI) of a zone, with its subnets."""

from __future__ import annotations

import ipaddress
from itertools import pairwise
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.firewall import Firewall
from pve_evpn.api.limits import Cut
from pve_evpn.api.rules import ATOMIC, Matching, Rule, keyed, rules
from pve_evpn.api.shared import SHARED
from pve_evpn.api.types import (
    INTERFACE_NAMES,
    ApiModel,
    ClusterScopedRef,
    DnsName,
    IpAddress,
    ManagedSpec,
    Network,
    Origin,
    ShortId,
    Vni,
)
from pve_evpn.api.zone import ZoneNode

#: What Proxmox stores faithfully. It accepts other letters too, but then drops the alias on every read, and it trims.
Alias = Annotated[
    str,
    Length(min_length=1, max_length=256),
    Matching(
        r"[a-zA-Z0-9 ()*+,./:;<=>?@\[\]\\^_-]*",
        r"may hold ASCII letters, digits, spaces and ()*+,-./:;<=>?@[\]^_ only (Proxmox would drop others)",
    ),
    Rule("self.trim() == self", "must not begin or end with a space (Proxmox would drop it)"),
]


def _number(ipv4: str) -> str:
    """CEL: a dotted IPv4 address as a number. CEL cannot order addresses by itself."""
    weights = (16777216, 65536, 256, 1)
    return " + ".join(f"int({ipv4}.split('.')[{i}]) * {weight}" for i, weight in enumerate(weights))


class DhcpRange(ApiModel):
    """Addresses handed out; both ends belong to it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!isIP(self.start) || !isIP(self.end) || ip(self.start).family() == ip(self.end).family()",
                "start and end must both be IPv4 or both IPv6",
            ),
            Rule(
                "!isIP(self.start) || !isIP(self.end) || ip(self.start).family() != 4 || ip(self.end).family() != 4 "
                f"|| {_number('self.start')} <= {_number('self.end')}",
                "start must not be above end",
            ),
        )
    )

    start: IpAddress = Field(description="First address.")
    end: IpAddress = Field(description="Last address.")

    @model_validator(mode="after")
    def _ordered(self) -> DhcpRange:
        first, last = ipaddress.ip_address(self.start), ipaddress.ip_address(self.end)
        if first.version != last.version or int(first) > int(last):
            raise ValueError(f"start {first} is above end {last}, or of another family")
        return self


class Subnet(ApiModel):
    """One IP network on the VNet."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!isCIDR(self.cidr) || !has(self.gateway) || !isIP(self.gateway) || "
                "cidr(self.cidr).containsIP(ip(self.gateway)) || "
                "(cidr(self.cidr).ip().family() == 4 && cidr(self.cidr).prefixLength() == 32)",
                "gateway must be inside the subnet",
            ),
            Rule(
                "!isCIDR(self.cidr) || !has(self.gateway) || cidr(self.cidr).ip().family() != 4 || "
                "cidr(self.cidr).prefixLength() > 30 || !self.cidr.startsWith(self.gateway + '/')",
                "gateway must not be the address of the network itself",
            ),
            Rule("!(has(self.snat) && self.snat) || has(self.gateway)", "snat needs a gateway"),
            Rule(
                "!isCIDR(self.cidr) || !has(self.dhcpRanges) || self.dhcpRanges.all(r, !isIP(r.start) || "
                "!isIP(r.end) || (cidr(self.cidr).containsIP(ip(r.start)) && cidr(self.cidr).containsIP(ip(r.end))))",
                "dhcpRanges must be inside the subnet",
            ),
            # Of IPv6 the operator checks it; CEL has no numbers of 128 bits.
            Rule(
                "!has(self.dhcpRanges) || !self.dhcpRanges.all(r, isIP(r.start) && isIP(r.end) && "
                "ip(r.start).family() == 4 && ip(r.end).family() == 4) || "
                "self.dhcpRanges.all(a, self.dhcpRanges.exists_one(b, "
                f"{_number('b.start')} <= {_number('a.end')} && {_number('a.start')} <= {_number('b.end')}))",
                "dhcpRanges must not overlap",
            ),
        )
    )

    cidr: Annotated[
        Network,
        Rule(
            "!isCIDR(self) || cidr(self).prefixLength() >= 8",
            "the prefix length must be at least 8: Proxmox refuses larger networks",
        ),
    ] = Field(description="The network without host bits, e.g. 10.1.0.0/24. Proxmox: subnet.")
    gateway: IpAddress | None = Field(
        None, description="Anycast gateway on every node, inside the network. Default: none. Proxmox: gateway."
    )
    snat: bool | None = Field(
        None,
        description="Translate source addresses on the exit nodes; needs a gateway. Default: false. Proxmox: snat.",
    )
    dhcp_ranges: list[DhcpRange] | None = Field(
        None,
        max_length=8,
        description="Ranges for IPAM and DHCP, which Proxmox serves in Simple zones only. Ranges of IPv6 that overlap "
        "are InvalidSpec instead of refused: the API server cannot order IPv6 addresses. Proxmox: dhcp-range.",
        json_schema_extra=ATOMIC,
    )
    dhcp_dns_server: IpAddress | None = Field(
        None, description="DNS server that DHCP hands out. Proxmox: dhcp-dns-server."
    )
    dns_zone_prefix: DnsName | None = Field(
        None, description="Put before the zone's DNS domain, adm for host.adm.example.com. Proxmox: dnszoneprefix."
    )

    @model_validator(mode="after")
    def _ranges_apart(self) -> Subnet:
        spans = sorted(
            (int(ipaddress.ip_address(r.start)), int(ipaddress.ip_address(r.end))) for r in self.dhcp_ranges or ()
        )
        if any(later[0] <= earlier[1] for earlier, later in pairwise(spans)):
            raise ValueError("dhcpRanges must not overlap")
        return self


class VNetSpec(ManagedSpec):
    """A VNet of an EVPN zone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "!has(self.subnets) || self.subnets.all(a, !isCIDR(a.cidr) || "
                "self.subnets.exists_one(b, isCIDR(b.cidr) && cidr(a.cidr).containsCIDR(cidr(b.cidr))))",
                "subnets must not overlap each other",
            ),
        )
    )

    zone_ref: Annotated[ClusterScopedRef, SHARED] = Field(
        description="The EvpnZone, which must allow this namespace. Immutable once programmed. Proxmox: zone."
    )
    id: Annotated[ShortId, INTERFACE_NAMES] | None = Field(
        None,
        description="Name in Proxmox: 2 to 8 letters and digits, a letter first, case kept; also the name of the "
        "bridge on every node, so no name of an interface (vmbr0, eth0, bond0, ...). Immutable "
        "once programmed. Default: metadata.name where that is a valid id, else its letters and digits where these are "
        "one that is free (lab-a: laba), else a short hash of namespace and name. Proxmox: vnet.",
    )
    vni: Vni | None = Field(
        None,
        description="L2 VNI, 1 to 16777215, unique among the VNIs of all zones and VNets. Default: the lowest free "
        "one of the zone's vniRange, chosen once. Immutable once programmed. Proxmox: tag.",
    )
    alias: Alias | None = Field(
        None,
        description=r"Text for people: ASCII letters, digits, spaces and ()*+,-./:;<=>?@[\]^_. Default: "
        "namespace/name, written when the operator creates the VNet or changes something else of it. Proxmox: alias.",
    )
    isolate_ports: bool | None = Field(
        None,
        description="Guests on one node cannot reach each other. Default: false. Proxmox: isolate-ports.",
    )
    subnets: list[Subnet] | None = Field(
        None, max_length=32, description="IP networks of the VNet.", json_schema_extra=keyed("cidr")
    )
    firewall: Firewall | None = Field(
        None, description="Firewall of the VNet. Default: whatever it is in Proxmox, untouched."
    )


class SubnetStatus(ApiModel):
    """One subnet in Proxmox."""

    id: Annotated[str, Cut(64)] = Field(description="Id in Proxmox, zone-network-length.")
    origin: Origin = Field(description="Created by the operator, or Adopted.")


class VniOnNode(ApiModel):
    """What one node says of a VNI."""

    macs: int | None = Field(None, description="MAC addresses known in the VNI; absent if unknown.")
    arp_nd: int | None = Field(None, description="ARP and ND entries; absent if unknown.")
    remote_vteps: int | None = Field(None, description="VTEPs in the flood list; absent if unknown.")
    missing_vteps: Annotated[list[Annotated[str, Cut(64)]], Cut(64)] | None = Field(
        None,
        description="Nodes whose VTEP should be in the flood list and is not.",
        json_schema_extra=ATOMIC,
    )


class VNetNode(VniOnNode, ZoneNode):
    """What one node says of the VNet and its VNI."""


class Routes(ApiModel):
    """EVPN routes of the VNI, as the node that sees most of them has them."""

    type2: int | None = Field(None, description="MAC and MAC/IP routes.")
    type3: int | None = Field(None, description="Inclusive multicast routes, one per VTEP.")
    type5: int | None = Field(None, description="IP prefix routes of its subnets.")


class VNetStatus(ManagedStatus):
    """The state of the VNet in Proxmox and on the nodes."""

    id: Annotated[str, Cut(8)] | None = Field(None, description="The name in Proxmox, and of the bridge.")
    zone: Annotated[str, Cut(8)] | None = Field(None, description="The zone's name in Proxmox.")
    vni: int | None = Field(None, description="The L2 VNI in use.")
    nics: int | None = Field(None, description="NicAttachments that are connected to it.")
    subnets: Annotated[list[SubnetStatus], Cut(64)] | None = Field(
        None, description="Subnets in Proxmox.", json_schema_extra=keyed("id")
    )
    nodes: Annotated[list[Annotated[VNetNode, SHARED]], Cut(64)] | None = Field(
        None, description="Per node.", json_schema_extra=keyed("name")
    )
    truncated: int | None = Field(None, description="How many more nodes there are.")
    routes: Routes | None = Field(None, description="EVPN routes by type; absent if unknown.")
