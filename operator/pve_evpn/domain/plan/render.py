"""What a specification means in Proxmox' own properties.

One function per kind: spec in, desired :class:`SdnObject` out. No decisions: whether the object may exist is
``domain.plan``'s matter. Names on the left are Proxmox' (see the official API schema), names on the right those of our
API.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.api.vnet import Subnet, VNetSpec
from pve_evpn.api.zone import EvpnZoneSpec
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, canonical

#: Every property our API can say something about, per kind. On an object we created, one of these that the spec does
#: not set is removed; properties beyond them (a newer Proxmox, another tool) are never touched.
MANAGED: Mapping[SdnKind, frozenset[str]] = {
    SdnKind.CONTROLLER: frozenset(
        [
            "asn",
            "peers",
            "fabric",
            "nodes",
            "bgp-mode",
            "ebgp-multihop",
            "peer-group-name",
            "route-map-in",
            "route-map-out",
        ]
    ),
    SdnKind.ZONE: frozenset(
        [
            "controller",
            "secondary-controllers",
            "vrf-vxlan",
            "nodes",
            "exitnodes",
            "exitnodes-primary",
            "exitnodes-local-routing",
            "advertise-subnets",
            "disable-arp-nd-suppression",
            "rt-import",
            "mac",
            "mtu",
            "vxlan-port",
            "bridge-disable-mac-learning",
            "ipam",
            "dns",
            "reversedns",
            "dnszone",
        ]
    ),
    SdnKind.VNET: frozenset(["zone", "tag", "alias", "isolate-ports"]),
    SdnKind.SUBNET: frozenset(["gateway", "snat", "dhcp-range", "dhcp-dns-server", "dnszoneprefix"]),
}

#: Proxmox refuses to remove these; they can only change their value.
REQUIRED: Mapping[SdnKind, frozenset[str]] = {
    SdnKind.CONTROLLER: frozenset({"asn"}),
    SdnKind.ZONE: frozenset({"controller", "vrf-vxlan"}),
    SdnKind.VNET: frozenset({"zone", "tag"}),
    SdnKind.SUBNET: frozenset(),
}


def _desired(ref: SdnRef, type_: str, values: Mapping[str, Any], parent: str = "") -> SdnObject:
    """None is unsaid; whatever else has no canonical form (false, an empty list) is said to be absent."""
    said = {key: value for key, value in values.items() if value is not None}
    props = {key: form for key, value in said.items() if (form := canonical(key, value)) is not None}
    return SdnObject(ref, type_, props, parent, absent=frozenset(said.keys() - props.keys()))


def fingerprint(objects: Iterable[SdnObject], more: str = "") -> str:
    """A short digest of desired objects, kept in the status: it tells an edited spec from an edited Proxmox."""
    parts = [[str(o.ref), o.type, o.parent, sorted(o.props.items()), sorted(o.absent)] for o in objects]
    return hashlib.sha256((json.dumps(sorted(parts)) + more).encode()).hexdigest()[:12]


def controller(id_: str, spec: EvpnControllerSpec, peers: tuple[str, ...] | None) -> SdnObject:
    """``peers`` are the addresses resolved from the underlay, None where the underlay is a fabric.

    Proxmox takes exactly one of the two, so that the one is always the absence of the other.
    """
    return _desired(
        SdnRef(SdnKind.CONTROLLER, id_),
        "evpn",
        {
            "asn": spec.asn,
            "peers": peers or (),
            "fabric": spec.underlay.fabric or "",
            "nodes": spec.nodes,
            "bgp-mode": spec.bgp_mode.lower() if spec.bgp_mode else None,
            "ebgp-multihop": spec.ebgp_multihop,
            "peer-group-name": spec.peer_group_name,
            "route-map-in": spec.route_map_in,
            "route-map-out": spec.route_map_out,
        },
    )


def zone(
    id_: str, spec: EvpnZoneSpec, controller_id: str, secondary_ids: tuple[str, ...] | None, vrf_vni: int
) -> SdnObject:
    """``vrf_vni`` is given apart because it may be allocated from the spec's range."""
    exits, dns = spec.exit_nodes, spec.dns
    return _desired(
        SdnRef(SdnKind.ZONE, id_),
        "evpn",
        {
            "controller": controller_id,
            "secondary-controllers": secondary_ids,
            "vrf-vxlan": vrf_vni,
            "nodes": spec.nodes,
            "exitnodes": exits.nodes if exits else None,
            "exitnodes-primary": exits.primary if exits else None,
            "exitnodes-local-routing": exits.local_routing if exits else None,
            "advertise-subnets": spec.advertise_subnets,
            "disable-arp-nd-suppression": _inverted(spec.arp_nd_suppression),
            "rt-import": spec.route_target_imports,
            "mac": spec.anycast_mac,
            "mtu": spec.mtu,
            "vxlan-port": spec.vxlan_port,
            "bridge-disable-mac-learning": _inverted(spec.bridge_mac_learning),
            "ipam": spec.ipam,
            "dns": dns.server if dns else None,
            "reversedns": dns.reverse if dns else None,
            "dnszone": dns.zone if dns else None,
        },
    )


def vnet(id_: str, spec: VNetSpec, zone_id: str, vni: int) -> SdnObject:
    """The VNet itself; its subnets are objects of their own (:func:`subnet`)."""
    return _desired(
        SdnRef(SdnKind.VNET, id_),
        "vnet",
        {"zone": zone_id, "tag": vni, "alias": spec.alias, "isolate-ports": spec.isolate_ports},
    )


def subnet(spec: Subnet, zone_id: str, vnet_id: str) -> SdnObject:
    """A subnet's id embeds its network as it was written when it was created, so it is made canonical first."""
    network = ipaddress.ip_network(spec.cidr)
    ref = SdnRef(SdnKind.SUBNET, f"{zone_id}-{network.network_address}-{network.prefixlen}")
    return _desired(
        ref,
        "subnet",
        {
            "gateway": spec.gateway,
            "snat": spec.snat,
            "dhcp-range": [f"start-address={r.start},end-address={r.end}" for r in spec.dhcp_ranges]
            if spec.dhcp_ranges is not None
            else None,
            "dhcp-dns-server": spec.dhcp_dns_server,
            "dnszoneprefix": spec.dns_zone_prefix,
        },
        parent=vnet_id,
    )


def subnet_cidr(ref: SdnRef) -> str:
    """``10.1.0.0/24`` from ``<zone>-10.1.0.0-24``."""
    _, network, length = ref.id.split("-", 2)
    return f"{network}/{length}"


def _inverted(value: bool | None) -> bool | None:
    return None if value is None else not value
