"""What a specification means in Proxmox' own properties, and what Proxmox' properties are as a specification.

One :class:`Form` per kind with one :class:`Field` per property. A field has both directions side by side: planning
reads the forms from the API to Proxmox, exporting back. No decisions: whether the object may exist is
``domain.plan``'s matter. ``key`` is Proxmox' name (see the official API schema), ``path`` that of our API.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.api.fabric import FabricNode, FabricSpec
from pve_evpn.api.policy import PrefixListSpec
from pve_evpn.api.router import BgpControllerSpec, IsisControllerSpec
from pve_evpn.api.service import DnsServerSpec, IpamSpec
from pve_evpn.api.types import ApiModel
from pve_evpn.api.vnet import Subnet, VNetSpec
from pve_evpn.api.zone import EvpnZoneSpec
from pve_evpn.domain.plan import fabrics, policies
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, canonical


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Field:
    """One property of Proxmox and the field of the specification that says it.

    Attributes:
        key: Proxmox' property.
        path: Attributes from the spec's model on, joined by dots.
        there: From the spec's value to Proxmox'; it gets None for a field that is not set.
        back: From a canonical value to the one a manifest has. It may raise ValueError or KeyError.
        required: Proxmox refuses to remove the property; it can only change its value.
        refers: The property names objects of this kind, the field references to their Kubernetes objects. Its value in
            Proxmox is given to the function that renders the kind.
        given: The value in Proxmox does not follow from the spec alone and is given too.
    """

    key: str
    path: str
    there: Callable[[Any], Any] = _same
    back: Callable[[Any], Any] = _same
    required: bool = False
    refers: SdnKind | None = None
    given: bool = False

    def of(self, spec: ApiModel) -> Any:
        """The value in Proxmox for this spec; None where the spec does not say it."""
        value: Any = spec
        for attribute in self.path.split("."):
            value = None if value is None else getattr(value, attribute)
        return self.there(value)


@dataclass(frozen=True)
class Form:
    """An object of one kind in Proxmox: its collection, its plugin type, its properties."""

    kind: SdnKind
    type: str
    fields: tuple[Field, ...]

    @cached_property
    def keys(self) -> frozenset[str]:
        """Every property our API can say something about. On an object the operator created, one of these that the
        spec does not set is removed; properties beyond them (a newer Proxmox, another tool) are never touched."""
        return frozenset(field.key for field in self.fields)

    @cached_property
    def required(self) -> frozenset[str]:
        return frozenset(field.key for field in self.fields if field.required)

    def values(self, spec: ApiModel) -> dict[str, Any]:
        """The properties that follow from the spec alone."""
        return {field.key: field.of(spec) for field in self.fields if not (field.given or field.refers)}


def _inverted(value: bool | None) -> bool | None:
    return None if value is None else not value


def _lower(value: str | None) -> str | None:
    return value.lower() if value else None


def _is_true(value: str) -> bool:
    return value == "1"


def _is_false(value: str) -> bool:
    return value != "1"


def _ranges(ranges: list[Any] | None) -> list[str] | None:
    return None if ranges is None else [f"start-address={r.start},end-address={r.end}" for r in ranges]


def _ranges_back(entries: tuple[str, ...]) -> list[dict[str, str]]:
    """Raises ValueError or KeyError for an entry that is no range."""
    found = [dict(part.split("=", 1) for part in entry.split(",")) for entry in entries]
    return [{"start": entry["start-address"], "end": entry["end-address"]} for entry in found]


#: Of the services zones use. Their secrets are no properties.
_URL, _FINGERPRINT = Field("url", "url", required=True), Field("fingerprint", "fingerprint")
IPAMS = (
    Form(SdnKind.IPAM, "pve", ()),
    Form(SdnKind.IPAM, "netbox", (_URL, _FINGERPRINT)),
    Form(SdnKind.IPAM, "phpipam", (_URL, Field("section", "section", back=int, required=True), _FINGERPRINT)),
)
DNS = Form(
    SdnKind.DNS,
    "powerdns",
    (
        _URL,
        Field("ttl", "ttl_seconds", back=int),
        Field("reversemaskv6", "reverse_mask6", back=int),
        _FINGERPRINT,
    ),
)

CONTROLLER = Form(
    SdnKind.CONTROLLER,
    "evpn",
    (
        Field("asn", "asn", back=int, required=True),
        Field("peers", "underlay.peers", back=list, given=True),
        # Proxmox takes exactly one of the two, so that the one is always the absence of the other.
        Field("fabric", "underlay.fabric", lambda fabric: fabric or ""),
        Field("nodes", "nodes", back=list),
        Field("bgp-mode", "bgp_mode", _lower, str.capitalize),
        Field("ebgp-multihop", "ebgp_multihop", back=int),
        Field("peer-group-name", "peer_group_name"),
        Field("route-map-in", "route_map_in"),
        Field("route-map-out", "route_map_out"),
    ),
)


def _fabric(protocol: str, *fields: Field) -> Form:
    prefixes = (Field("ip_prefix", "prefix", required=True), Field("ip6_prefix", "prefix6", required=True))
    return Form(SdnKind.FABRIC, protocol, (*prefixes, *fields))


def _fabric_node(protocol: str, *fields: Field) -> Form:
    alike = (
        Field("ip", "ip", given=True),
        Field("ip6", "ip6", given=True),
        Field("interfaces", "interfaces", back=fabrics.interfaces_back, given=True),
    )
    return Form(SdnKind.FABRIC_NODE, protocol, (*alike, *fields))


_ROUTE_FILTER = Field("route_filter", "route_filter_ref", refers=SdnKind.PREFIX_LIST)
#: :func:`pve_evpn.domain.plan.fabrics.redistribution_back` is its way back, which needs the names of RouteMaps.
_REDISTRIBUTE = Field("redistribute", "redistribute", given=True)
FABRICS = (
    _fabric(
        "openfabric",
        Field("hello_interval", "hello_interval_seconds", back=int),
        Field("csnp_interval", "csnp_interval_seconds", back=int),
        _ROUTE_FILTER,
    ),
    _fabric("ospf", Field("area", "area", required=True), _REDISTRIBUTE, _ROUTE_FILTER),
    _fabric("bgp", _REDISTRIBUTE, _ROUTE_FILTER),
    _fabric("wireguard", Field("persistent_keepalive", "persistent_keepalive_seconds", back=int)),
)
FABRIC_NODES = (
    _fabric_node("openfabric"),
    _fabric_node("ospf"),
    _fabric_node("bgp"),
    _fabric_node(
        "wireguard",
        Field("role", "external", lambda external: "external" if external else "internal", "external".__eq__, True),
        Field("public_key", "public_key"),
        Field("endpoint", "endpoint"),
        Field("allowed_ips", "allowed_ips", back=list),
        Field("peers", "peers", back=fabrics.peers_back, given=True),
    ),
)

BGP_CONTROLLER = Form(
    SdnKind.CONTROLLER,
    "bgp",
    (
        Field("node", "node", required=True),
        Field("asn", "asn", back=int, required=True),
        Field("peers", "peers", back=list, required=True),
        Field("ebgp", "ebgp", back=_is_true),
        Field("ebgp-multihop", "ebgp_multihop", back=int),
        Field("loopback", "loopback"),
        Field("bgp-multipath-as-path-relax", "multipath_as_path_relax", back=_is_true),
        Field("route-map-in", "route_map_in"),
        Field("route-map-out", "route_map_out"),
    ),
)

ISIS_CONTROLLER = Form(
    SdnKind.CONTROLLER,
    "isis",
    (
        Field("node", "node", required=True),
        Field("isis-domain", "domain", required=True),
        Field("isis-ifaces", "interfaces", back=list, required=True),
        Field("isis-net", "net", required=True),
        Field("loopback", "loopback"),
    ),
)

ZONE = Form(
    SdnKind.ZONE,
    "evpn",
    (
        Field("controller", "controller_ref", required=True, refers=SdnKind.CONTROLLER),
        Field("secondary-controllers", "secondary_controller_refs", refers=SdnKind.CONTROLLER),
        Field("vrf-vxlan", "vrf_vni", back=int, required=True, given=True),
        Field("nodes", "nodes", back=list),
        Field("exitnodes", "exit_nodes.nodes", back=list),
        Field("exitnodes-primary", "exit_nodes.primary"),
        Field("exitnodes-local-routing", "exit_nodes.local_routing", back=_is_true),
        Field("advertise-subnets", "advertise_subnets", back=_is_true),
        Field("disable-arp-nd-suppression", "arp_nd_suppression", _inverted, _is_false),
        Field("rt-import", "route_target_imports", back=list),
        Field("mac", "anycast_mac"),
        Field("mtu", "mtu", back=int),
        Field("vxlan-port", "vxlan_port", back=int),
        Field("bridge-disable-mac-learning", "bridge_mac_learning", _inverted, _is_false),
        Field("ipam", "ipam"),
        Field("dns", "dns.server"),
        Field("reversedns", "dns.reverse"),
        Field("dnszone", "dns.zone"),
    ),
)

VNET = Form(
    SdnKind.VNET,
    "vnet",
    (
        Field("zone", "zone_ref", required=True, refers=SdnKind.ZONE),
        Field("tag", "vni", back=int, required=True, given=True),
        Field("alias", "alias"),
        Field("isolate-ports", "isolate_ports", back=_is_true),
    ),
)

SUBNET = Form(
    SdnKind.SUBNET,
    "subnet",
    (
        Field("gateway", "gateway"),
        Field("snat", "snat", back=_is_true),
        Field("dhcp-range", "dhcp_ranges", _ranges, _ranges_back),
        Field("dhcp-dns-server", "dhcp_dns_server"),
        Field("dnszoneprefix", "dns_zone_prefix"),
    ),
)

PREFIX_LIST = Form(
    SdnKind.PREFIX_LIST,
    "prefix-list",
    (Field("entries", "entries", policies.list_entries, policies.list_entries_back),),
)
#: Its properties are its entries, named by their order (:mod:`~pve_evpn.domain.plan.policies`).
ROUTE_MAP = Form(SdnKind.ROUTE_MAP, "route-map", ())

_CONTROLLERS = (CONTROLLER, BGP_CONTROLLER, ISIS_CONTROLLER)
FORMS: Mapping[tuple[SdnKind, str], Form] = {
    (form.kind, form.type): form
    for form in (*IPAMS, DNS, PREFIX_LIST, ROUTE_MAP, *FABRICS, *FABRIC_NODES, *_CONTROLLERS, ZONE, VNET, SUBNET)
}


def form_of(obj: SdnObject) -> Form:
    """The form of an object that the operator makes. Raises KeyError for one of another type."""
    return FORMS[obj.ref.kind, obj.type]


def desired_object(form: Form, id_: str, values: Mapping[str, Any], parent: str = "") -> SdnObject:
    """None is unsaid; whatever else has no canonical form (false, an empty list) is said to be absent."""
    said = {key: value for key, value in values.items() if value is not None}
    props = {key: value for key, said_value in said.items() if (value := canonical(key, said_value)) is not None}
    return SdnObject(SdnRef(form.kind, id_), form.type, props, parent, absent=frozenset(said.keys() - props.keys()))


def fingerprint(objects: Iterable[SdnObject], more: str = "") -> str:
    """A short digest of desired objects, kept in the status: it tells an edited spec from an edited Proxmox."""
    parts = [[str(o.ref), o.type, o.parent, sorted(o.props.items()), sorted(o.absent)] for o in objects]
    return hashlib.sha256((json.dumps(sorted(parts)) + more).encode()).hexdigest()[:12]


def service(ref: SdnRef, spec: IpamSpec | DnsServerSpec) -> SdnObject:
    """The IPAM or DNS server without its secret."""
    form = FORMS[ref.kind, spec.type] if isinstance(spec, IpamSpec) else DNS
    return desired_object(form, ref.id, form.values(spec))


def prefix_list(id_: str, spec: PrefixListSpec) -> SdnObject:
    """The list with its entries in their order."""
    return desired_object(PREFIX_LIST, id_, PREFIX_LIST.values(spec))


def fabric(id_: str, spec: FabricSpec, route_filter: str | None, name_of: policies.NameOf) -> SdnObject:
    """The fabric itself; its nodes are objects of their own (:func:`fabric_node`)."""
    form = FORMS[SdnKind.FABRIC, spec.protocol.lower()]
    given = {
        "route_filter": route_filter,
        "redistribute": fabrics.redistribution(spec.redistribute, name_of),
    }
    values = {**form.values(spec), **{key: value for key, value in given.items() if key in form.keys}}
    return desired_object(form, id_, values)


def fabric_node(
    fabric_id: str, protocol: str, node: FabricNode, addresses: Mapping[str, str | None], given: Mapping[str, Any]
) -> SdnObject:
    """``addresses``: ``ip`` and ``ip6``, which may be allocated. ``given``: ``interfaces`` and ``peers``."""
    form = FORMS[SdnKind.FABRIC_NODE, protocol.lower()]
    values = {**form.values(node), **addresses, **{key: value for key, value in given.items() if key in form.keys}}
    return desired_object(form, f"{fabric_id}/{node.name}", values, parent=fabric_id)


def controller(
    id_: str, spec: EvpnControllerSpec, peers: tuple[str, ...] | None, named: Mapping[str, str]
) -> SdnObject:
    """``peers`` are the addresses resolved from the underlay, None where the underlay is a fabric.

    ``named``: properties that name other objects by reference, with the names of these in Proxmox.
    """
    return desired_object(CONTROLLER, id_, {**CONTROLLER.values(spec), "peers": peers or (), **named})


def bgp_controller(id_: str, spec: BgpControllerSpec, named: Mapping[str, str]) -> SdnObject:
    """``named`` as in :func:`controller`."""
    return desired_object(BGP_CONTROLLER, id_, {**BGP_CONTROLLER.values(spec), **named})


def isis_controller(id_: str, spec: IsisControllerSpec) -> SdnObject:
    """One node's IS-IS."""
    return desired_object(ISIS_CONTROLLER, id_, ISIS_CONTROLLER.values(spec))


def zone(
    id_: str,
    spec: EvpnZoneSpec,
    controller_id: str,
    secondary_ids: tuple[str, ...] | None,
    vrf_vni: int,
    named: Mapping[str, str],
) -> SdnObject:
    """``vrf_vni`` is given apart because it may be allocated from the spec's range.

    ``named`` as in :func:`controller`.
    """
    given = {"controller": controller_id, "secondary-controllers": secondary_ids, "vrf-vxlan": vrf_vni}
    return desired_object(ZONE, id_, {**ZONE.values(spec), **given, **named})


def vnet(id_: str, spec: VNetSpec, zone_id: str, vni: int, name: str = "") -> SdnObject:
    """The VNet itself; its subnets are objects of their own (:func:`subnet`).

    ``name`` (namespace and name of the object) is the alias of one that the operator creates and that has none of its
    own, so that people who look at Proxmox find the object.
    """
    made = desired_object(VNET, id_, {**VNET.values(spec), "zone": zone_id, "tag": vni})
    return replace(made, filled={"alias": name[:_LONGEST_ALIAS]}) if name and spec.alias is None else made


#: Of Proxmox' API.
_LONGEST_ALIAS = 256


def subnet(spec: Subnet, zone_id: str, vnet_id: str) -> SdnObject:
    """A subnet's id embeds its network as it was written when it was created, so it is made canonical first."""
    return desired_object(SUBNET, subnet_id(zone_id, spec.cidr), SUBNET.values(spec), parent=vnet_id)


def subnet_id(zone_id: str, cidr: str) -> str:
    """``<zone>-10.1.0.0-24`` of a network."""
    network = ipaddress.ip_network(cidr)
    return f"{zone_id}-{network.network_address}-{network.prefixlen}"


def subnet_cidr(ref: SdnRef) -> str:
    """``10.1.0.0/24`` from ``<zone>-10.1.0.0-24``."""
    _, network, length = ref.id.split("-", 2)
    return f"{network}/{length}"
