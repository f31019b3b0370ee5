"""The checks of an object that is to stay: each says why the object is refused, or None.

The lists at the end give their order; the first problem counts, and a check may rely on those before it. A refused
object is left out of the plan and blocks nothing else; what it has in Proxmox already stays as it is.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic.alias_generators import to_camel

from pve_evpn.api.conditions import Reason
from pve_evpn.api.types import INTERFACE_NAMES
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, may_name, proxmox_id
from pve_evpn.domain.plan.candidates import (
    BgpControllerCandidate,
    Candidate,
    ControllerCandidate,
    FabricCandidate,
    IsisControllerCandidate,
    PrefixListCandidate,
    RouteMapCandidate,
    ServiceCandidate,
    VNetCandidate,
    ZoneCandidate,
)
from pve_evpn.domain.plan.firewall import SETS_OF_VNETS, names_in
from pve_evpn.domain.plan.ownership import BUILT_IN, known_refs
from pve_evpn.domain.plan.subnets import Network, network_of
from pve_evpn.domain.sdn import Props, SdnKind, SdnObject, SdnRef
from pve_evpn.domain.spelling import parts_of
from pve_evpn.domain.state import FirewallName, first_with
from pve_evpn.text import meant, some_of

#: The peer group Proxmox takes where none is named.
_DEFAULT_PEER_GROUP = "VTEP"

#: What Proxmox puts before an id to name the devices it makes for it (pve-network, the zone plugins evpn and vxlan).
#: With the 8 characters of an id all are within the 15 that Linux allows.
_DEVICES: Mapping[SdnKind, tuple[str, ...]] = {
    SdnKind.ZONE: ("vrf_", "vrfbr_", "vrfvx_", "xvrf_", "xvrfp_"),
    SdnKind.VNET: ("", "vxlan_"),
}


def release_has_kind(candidate: Candidate[Any]) -> Problem | None:
    """This release of Proxmox has such objects."""
    state, kind = candidate.context.state, candidate.resource.key.kind
    if not candidate.needs or getattr(state.capabilities, candidate.needs):
        return None
    message = f"{kind}: needs Proxmox VE {first_with(candidate.needs)} or newer, and it is {state.version}"
    return Problem(Reason.VERSION_UNSUPPORTED, message)


def references_exist(candidate: Candidate[Any]) -> Problem | None:
    """What the spec names is desired in the same cluster."""
    for field, kind, name in candidate.references:
        if candidate.referenced(kind, name) is None:
            return _missing_reference(candidate, field, ObjectKey(kind, "", name))
    return None


def built_in_stays_built_in(candidate: ServiceCandidate) -> Problem | None:
    """The id of the IPAM that every Proxmox has is of no other one."""
    if candidate.ref != BUILT_IN or getattr(candidate.spec, "type", "") == BUILT_IN.id:
        return None
    message = "id: pve is the built-in IPAM; create this object again with another spec.id, or with type: pve"
    return Problem(Reason.ID_CONFLICT, message)


def secret_is_usable(candidate: ServiceCandidate) -> Problem | None:
    """The Secret that the spec names is there, and bound to the cluster and to the server's address."""
    given = candidate.given
    if given is None or not given.unusable:
        return None
    return Problem(Reason.CREDENTIALS_MISSING, f"{candidate.secret_field}: {given.unusable}", retryable=True)


def secret_goes_with_url(candidate: ServiceCandidate) -> Problem | None:
    """Proxmox makes no such service without a secret, and the one it has is sent to no other address than before.

    Who may write the object need not be allowed to read the secret: only the Secret says where that may be sent.
    """
    if candidate.given is not None or getattr(candidate.spec, "type", "") == BUILT_IN.id:
        return None
    there = candidate.context.sdn.edited.get(candidate.ref)
    if there is None:
        message = f"{candidate.secret_field}: needed, because {candidate.ref} does not exist in Proxmox yet"
        return Problem(Reason.CREDENTIALS_MISSING, message)
    for key in ("url", "fingerprint"):
        (itself,) = candidate.objects
        if itself.props.get(key) != there.props.get(key) and (key in itself.props or key in there.props):
            message = (
                f"{candidate.secret_field}: needed to change {key}, because Proxmox would send the secret it has to "
                "another server"
            )
            return Problem(Reason.CREDENTIALS_MISSING, message)
    return None


def calls_end(candidate: RouteMapCandidate) -> Problem | None:
    """The route map does not call itself, nor a map that leads back to it."""
    if not candidate.circle:
        return None
    message = f"callRef: the calls lead back to this map: {' -> '.join(candidate.circle)}; remove one of them"
    return Problem(Reason.INVALID_SPEC, message)


def lists_have_the_family(candidate: RouteMapCandidate) -> Problem | None:
    """A prefix list that is compared with addresses of one family has entries of it.

    FRR keeps the entries of the two families in two lists, and an empty list permits everything.
    """
    for field, kind, name in candidate.references:
        resource = candidate.referenced(kind, name)
        if kind != "PrefixList" or resource is None or resource.spec is None:
            continue
        version = 6 if field.endswith("6Ref") else 4
        if all(ipaddress.ip_network(entry.prefix).version != version for entry in resource.spec.entries):
            message = f"{field}: PrefixList {name!r} has no IPv{version} network, so it would permit every route"
            return Problem(Reason.INVALID_SPEC, message)
    return None


def release_has_fabric(candidate: FabricCandidate) -> Problem | None:
    """This release of Proxmox has fabrics of that protocol, and what the fabric names."""
    state, spec = candidate.context.state, candidate.spec
    if state.capabilities.policies:
        return None
    newer = {
        f"protocol: {spec.protocol}": spec.protocol in ("BGP", "WireGuard"),
        "routeFilterRef": spec.route_filter_ref,
        "redistribute": spec.redistribute,
    }
    if not (used := [field for field, there in newer.items() if there]):
        return None
    message = f"{used[0]}: needs Proxmox VE {first_with('policies')} or newer, and it is {state.version}"
    return Problem(Reason.VERSION_UNSUPPORTED, message, retryable=True)


def nodes_have_addresses(candidate: FabricCandidate) -> Problem | None:
    """Every node has an address in each prefix, its own one."""
    return next((found.problem for found in candidate.addresses.values() if found.problem), None)


def fabrics_agree(candidate: FabricCandidate) -> Problem | None:
    """Proxmox takes the fabric beside the others: areas and interfaces are of one fabric each, prefixes are apart."""
    context = candidate.context
    others = {ref: obj for ref, obj in context.sdn.edited.items() if ref.kind in (SdnKind.FABRIC, SdnKind.FABRIC_NODE)}
    for decision in context.decisions.values():
        others |= {obj.ref: obj for obj in decision.wanted if obj.ref.kind in (SdnKind.FABRIC, SdnKind.FABRIC_NODE)}
    here = candidate.ref.id
    strange = [obj for ref, obj in sorted(others.items()) if ref != candidate.ref and obj.parent != here]
    itself, *nodes = candidate.objects
    messages = [_fabric_disagreement(itself, other) for other in strange if other.ref.kind is SdnKind.FABRIC]
    messages += [
        _interface_disagreement(node, other)
        for node in nodes
        for other in strange
        if other.ref.kind is SdnKind.FABRIC_NODE
    ]
    message = next(filter(None, messages), "")
    return Problem(Reason.FABRIC_CONFLICT, message, retryable=True) if message else None


def _fabric_disagreement(itself: SdnObject, other: SdnObject) -> str:
    own, there = itself.props, other.props
    if itself.type == other.type == "ospf" and own.get("area") == there.get("area"):
        return f"area: {own.get('area')} is that of fabric {other.ref.id!r}; each fabric needs one of its own"
    for key, field in (("ip_prefix", "prefix"), ("ip6_prefix", "prefix6")):
        if key in own and key in there:
            one, two = (ipaddress.ip_network(str(props[key]), strict=False) for props in (own, there))
            if one.overlaps(two):
                return f"{field}: {one} overlaps {two} of fabric {other.ref.id!r}"
    return ""


def _interface_disagreement(node: SdnObject, other: SdnObject) -> str:
    (fabric, _, name), (elsewhere, _, its_name) = node.ref.id.partition("/"), other.ref.id.partition("/")
    if name != its_name or fabric == elsewhere:
        return ""
    own, there = ({parts_of(text).get("name", "") for text in o.props.get("interfaces", ())} for o in (node, other))
    both = own & there
    return f"nodes[{name}].interfaces: {_names(both)} is in fabric {elsewhere!r} already" if both else ""


def release_has_fields(candidate: Candidate[Any]) -> Problem | None:
    """A field that this release of Proxmox does not have is not set."""
    state = candidate.context.state
    if state.capabilities.several_controllers:
        return None
    used = [to_camel(name) for name in candidate.newer_fields if getattr(candidate.spec, name) is not None]
    if not used:
        return None
    message = f"{used[0]}: needs Proxmox VE {first_with('several_controllers')} or newer, and it is {state.version}"
    return Problem(Reason.VERSION_UNSUPPORTED, message)


def release_has_room(candidate: ControllerCandidate) -> Problem | None:
    """Before 9.2 a cluster has one EVPN controller."""
    context = candidate.context
    if context.state.capabilities.several_controllers:
        return None
    there = [ref for ref, obj in context.sdn.edited.items() if ref.kind is SdnKind.CONTROLLER and obj.type == "evpn"]
    claimed = [ref for ref, key in context.claims.items() if key.kind == "EvpnController"]
    others = [ref.id for ref in (*sorted(there), *claimed) if ref != candidate.ref]
    if not others:
        return None
    message = (
        f"Proxmox VE {context.state.version} allows one EVPN controller per cluster, and {others[0]!r} is there. To "
        f"put this object in its place, set spec.id: {others[0]} and delete the other EvpnController, if there is one"
    )
    return Problem(Reason.CONTROLLER_CONFLICT, message)


def fabric_exists(candidate: ControllerCandidate) -> Problem | None:
    """The fabric of the underlay is in Proxmox."""
    fabric, there = candidate.spec.underlay.fabric, candidate.context.sdn.fabrics
    if not fabric or there is None or fabric in there:
        return None
    message = f"underlay.fabric: Proxmox has no fabric {fabric!r} (it has: {_names(there)})"
    return Problem(Reason.REF_NOT_FOUND, message, retryable=True)


def nodes_exist(candidate: Candidate[Any]) -> Problem | None:
    """Every node that the spec names is in the cluster."""
    members = candidate.context.state.nodes
    for field, names in candidate.nodes:
        if unknown := sorted(set(names or ()) - members.keys()):
            message = f"{field}: the Proxmox cluster has no node {_names(unknown)} (it has: {_names(members)})"
            return Problem(Reason.REF_NOT_FOUND, message, retryable=True)
    return None


def peers_have_addresses(candidate: ControllerCandidate) -> Problem | None:
    """Every node of an overlay between the cluster's nodes has an address in the network given for it."""
    underlay, without = candidate.spec.underlay.cluster_nodes, candidate.peers.without
    if underlay is None or not without:
        return None
    where = f" in {underlay.cidr}" if underlay.cidr else ""
    message = f"underlay.clusterNodes: no address{where} on {_names(without)}"
    return Problem(Reason.REF_NOT_FOUND, message, retryable=True)


def controllers_agree(candidate: ControllerCandidate | BgpControllerCandidate) -> Problem | None:
    """Proxmox takes the controller beside the others, as they will be where that is decided.

    Since 9.2 a cluster may have several EVPN controllers. Their peer groups need names of their own, all that run on
    a node need one ASN, and so do a node's sessions within an AS, those of a BGP controller included. Proxmox refuses
    what breaks these rules in the middle of a transaction, and does not name the other controller.
    """
    context = candidate.context
    if not context.state.capabilities.several_controllers:
        return None
    (itself,) = candidate.objects
    pairs = (_disagreement(itself, other, context.state.nodes) for other in _other_controllers(candidate))
    message = next(filter(None, pairs), "")
    return Problem(Reason.CONTROLLER_CONFLICT, message) if message else None


def _other_controllers(candidate: Candidate[Any]) -> list[SdnObject]:
    """All controllers of the cluster but this one, as they will be where that is decided."""
    context = candidate.context
    controllers = {ref: obj for ref, obj in context.sdn.edited.items() if ref.kind is SdnKind.CONTROLLER}
    for decision in context.decisions.values():
        controllers |= {obj.ref: obj for obj in decision.wanted if obj.ref.kind is SdnKind.CONTROLLER}
    return sorted((obj for ref, obj in controllers.items() if ref != candidate.ref), key=lambda obj: obj.ref)


def node_has_no_other(candidate: BgpControllerCandidate | IsisControllerCandidate) -> Problem | None:
    """A node has one BGP and one IS-IS controller. Proxmox accepts a second one and then takes either."""
    (itself,) = candidate.objects
    node = candidate.spec.node
    for other in _other_controllers(candidate):
        if other.type == itself.type and other.props.get("node") == node:
            message = f"node: {node} has the {itself.type} controller {other.ref.id!r} already, and Proxmox uses one"
            return Problem(Reason.CONTROLLER_CONFLICT, message)
    return None


def _disagreement(itself: SdnObject, other: SdnObject, members: Iterable[str]) -> str:
    """Why the two cannot be beside each other; empty if they can."""
    if itself.type == "bgp":
        return _disagreement_of_bgp(itself, other, members)
    own, there, name = itself.props, other.props, repr(other.ref.id)
    nodes, same_asn = _nodes_of(own, members), there.get("asn") == own.get("asn")
    if other.type == "evpn":
        if _peer_group(own) == _peer_group(there):
            return f"peerGroupName: {_peer_group(own)!r} is that of controller {name}; it needs another one"
        if not same_asn and (both := nodes & _nodes_of(there, members)):
            return (
                f"asn: controller {name} has AS {there.get('asn')} on {_names(both)}; "
                "all EVPN controllers of a node have the same"
            )
    internal = own.get("bgp-mode") != "external" and not there.get("ebgp")
    if other.type == "bgp" and internal and not same_asn and there.get("node") in nodes:
        return (
            f"asn: BGP controller {name} has sessions within AS {there.get('asn')} on {there.get('node')}; "
            "a node has one AS for these (or bgpMode: External)"
        )
    return ""


def _disagreement_of_bgp(itself: SdnObject, other: SdnObject, members: Iterable[str]) -> str:
    """Why the BGP controller cannot be beside an EVPN controller; empty if it can."""
    own, there = itself.props, other.props
    internal = there.get("bgp-mode") != "external" and not own.get("ebgp")
    if other.type != "evpn" or not internal or own.get("asn") == there.get("asn"):
        return ""
    if own.get("node") not in _nodes_of(there, members):
        return ""
    return (
        f"asn: EVPN controller {other.ref.id!r} has sessions within AS {there.get('asn')} on {own.get('node')}; "
        "a node has one AS for these (or ebgp: true)"
    )


def _peer_group(props: Props) -> str:
    return str(props.get("peer-group-name", _DEFAULT_PEER_GROUP))


def _nodes_of(props: Props, members: Iterable[str]) -> frozenset[str]:
    return frozenset(props.get("nodes") or members)


def controllers_exist(candidate: ZoneCandidate) -> Problem | None:
    """The controllers that a zone names are desired in the same cluster."""
    for field, name in candidate.controller_refs:
        if candidate.controller(name) is None:
            return _missing_reference(candidate, field, ObjectKey("EvpnController", "", name))
    return None


def zone_admits(candidate: VNetCandidate) -> Problem | None:
    """The zone is there and admits the VNet's namespace. One that does not reads like one that is not there."""
    if candidate.zone:
        return None
    name = candidate.spec.zone_ref.name
    return _not_found("zoneRef", "EvpnZone", name, meant(name, candidate.context.zones_for(candidate.resource)))


def vni_is_free(candidate: Candidate[Any]) -> Problem | None:
    """No other object has the VNI, or the range has a free one."""
    return candidate.vni if isinstance(candidate.vni, Problem) else None


def zone_allows_vni(candidate: VNetCandidate) -> Problem | None:
    """Where a zone's range is enforced, its VNets have VNIs of it, and VNets of other zones have none of it."""
    vni, context = candidate.vni, candidate.context
    assert candidate.zone
    assert isinstance(vni, int)
    zone, spec = candidate.zone
    own = spec.vni_range
    if own is not None and own.first <= vni <= own.last:
        return None
    if own is not None and own.enforced:
        message = f"vni: {vni} is not in the zone's vniRange ({own.first} to {own.last})"
        return Problem(Reason.NOT_ALLOWED, message)
    for key, range_ in context.enforced_ranges.items():
        if key != zone.key and range_.first <= vni <= range_.last:
            detail = f"vni: {vni} is in the vniRange of {key}, which is enforced"
            return Problem(Reason.NOT_ALLOWED, f"vni: {vni} is reserved; choose another one", detail=detail)
    return None


def zone_allows_subnets(candidate: VNetCandidate) -> Problem | None:
    """Every subnet is inside the zone's ``allowedSubnets``, and none has an address of a node."""
    assert candidate.zone
    allowed = candidate.zone[1].allowed_subnets
    allowed_networks = None if allowed is None else [ipaddress.ip_network(text) for text in allowed]
    for subnet in candidate.spec.subnets or ():
        network = ipaddress.ip_network(subnet.cidr)
        if allowed_networks is not None and not any(_within(network, other) for other in allowed_networks):
            message = f"subnets: {network} is not inside the zone's allowedSubnets ({', '.join(allowed or ())})"
            return Problem(Reason.NOT_ALLOWED, message)
        addresses = candidate.context.node_addresses[network.version]
        position = bisect_left(addresses, int(network.network_address))
        if position < len(addresses) and addresses[position] <= int(network.broadcast_address):
            message = f"subnets: {network} has addresses of the Proxmox nodes themselves; choose another network"
            return Problem(Reason.NOT_ALLOWED, message)
    return None


def _within(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)


def zone_allows_firewall_names(candidate: VNetCandidate) -> Problem | None:
    """The rules name only what the zone's ``allowedFirewallNames`` has, and sets of VNets of the same namespace."""
    assert candidate.zone
    allowed, spec = candidate.zone[1].allowed_firewall_names, candidate.spec.firewall
    if allowed is None or spec is None:
        return None
    lists = {
        FirewallName.ALIAS: allowed.aliases,
        FirewallName.IPSET: allowed.ip_sets,
        FirewallName.GROUP: allowed.security_groups,
    }
    for use in names_in(spec):
        if use.kind not in lists or (use.made and _is_set_of_own_vnet(use.name, candidate)):
            continue
        listed = lists[use.kind] or ()
        name = f"sdn/{use.name}" if use.made else use.name
        if use.kind.form(name) not in {use.kind.form(text) for text in listed}:
            names = some_of(listed) or "none"
            message = f"{use.field}: the zone's allowedFirewallNames does not have {use.kind} {name!r} (it has {names})"
            return Problem(Reason.NOT_ALLOWED, message)
    return None


def _is_set_of_own_vnet(name: str, candidate: VNetCandidate) -> bool:
    """Whether it is an IP set that Proxmox makes of a VNet (``net1-all``), and that VNet is of the same namespace."""
    vnet, _, part = name.partition("-")
    if part not in SETS_OF_VNETS:
        return False
    namespace = candidate.resource.key.namespace
    others = candidate.context.desired.vnets
    return any(other.key.namespace == namespace and proxmox_id(other) == vnet for other in others)


def limits_hold(candidate: VNetCandidate) -> Problem | None:
    """The namespace has not more VNets and subnets in the zone than the zone says; older VNets count first."""
    assert candidate.zone
    limits, namespace = candidate.zone[1].allowed_namespaces.limits, candidate.resource.key.namespace
    if limits is None:
        return None
    needed = {
        SdnKind.VNET: (limits.vnets, 1, "VNets"),
        SdnKind.SUBNET: (limits.subnets, len(candidate.spec.subnets or ()), "subnets"),
    }
    for kind, (limit, count, words) in needed.items():
        used = candidate.context.usage[candidate.zone_id, namespace, kind]
        if limit is not None and count and used + count > limit:
            message = f"namespace {namespace} may have {limit} {words} in this zone; older VNets have {used} of them"
            return Problem(Reason.LIMIT_EXCEEDED, message)
    return None


def subnets_are_apart(candidate: VNetCandidate) -> Problem | None:
    """No subnet overlaps one of another VNet of the zone."""
    context, vnet_id = candidate.context, candidate.ref.id
    for subnet in candidate.spec.subnets or ():
        network = ipaddress.ip_network(subnet.cidr)
        for ref in context.subnets.overlapping(candidate.zone_id, network):
            there, claim = context.sdn.edited.get(ref), context.claims.get(ref)
            same = network_of(ref) == network
            if claim == candidate.resource.key or (same and claim is None and _is_to_move_here(candidate, ref)):
                continue
            holder = there.parent if there and there.parent != vnet_id else claim.name if claim else None
            if holder is not None:
                detail = f"subnets: {network} overlaps {network_of(ref)} of VNet {holder} in the same zone"
                hidden = f"subnets: {network} overlaps a subnet of another VNet in the zone; choose another network"
                message = detail if may_name(candidate.resource.key, claim) else hidden
                return Problem(Reason.SUBNET_OVERLAP, message, detail=detail)
    return None


def _is_to_move_here(candidate: VNetCandidate, ref: SdnRef) -> bool:
    """Whether a subnet below another VNet is this VNet's: another client moved it, or the other VNet gives it up."""
    known = known_refs(candidate.resource)
    return ref in known or candidate.context.taken_over(ref, candidate.resource) is not None


def names_no_interface(candidate: ZoneCandidate | VNetCandidate) -> Problem | None:
    """No node has an interface of its own with a name that Proxmox would give to one of the object's devices.

    ifupdown2 would redefine that interface: a VNet called ``vmbr0`` takes over the management bridge.
    """
    if isinstance(candidate, VNetCandidate) and INTERFACE_NAMES.matches(candidate.ref.id):
        message = f"id: {candidate.ref.id} {INTERFACE_NAMES.message}; create this object again with another spec.id"
        return Problem(Reason.ID_CONFLICT, message)
    devices = frozenset(prefix + candidate.ref.id for prefix in _DEVICES[candidate.ref.kind])
    nodes = candidate.context.state.nodes
    taken = {name: devices & (node.interfaces or frozenset()) for name, node in nodes.items()}
    found = sorted(frozenset[str]().union(*taken.values()))
    if not found:
        return None
    where = [name for name, devices_there in taken.items() if found[0] in devices_there]
    own = f"id: {_names(where)} has an interface {found[0]} of its own"
    message = f"{own}; create this object again with another spec.id"
    return Problem(Reason.ID_CONFLICT, message)


def id_is_free(candidate: Candidate[Any]) -> Problem | None:
    """No older object has the same Proxmox id."""
    for obj in candidate.objects:
        holder = candidate.context.claims.get(obj.ref)
        if holder is not None and holder != candidate.resource.key:
            detail = f"id: {obj.ref} already belongs to {holder}; create this object again with a free spec.id"
            hidden = f"id: {obj.ref} already belongs to another object; create this object again with a free spec.id"
            message = detail if may_name(candidate.resource.key, holder) else hidden
            return Problem(Reason.ID_CONFLICT, message, detail=detail)
    return None


def may_be_owned(candidate: Candidate[Any]) -> Problem | None:
    """What is in Proxmox under its names already is the operator's, or may be adopted."""
    return candidate.origins if isinstance(candidate.origins, Problem) else None


SERVICE: Sequence[Callable[[ServiceCandidate], Problem | None]] = (
    built_in_stays_built_in,
    secret_is_usable,
    secret_goes_with_url,
    id_is_free,
    may_be_owned,
)
PREFIX_LIST: Sequence[Callable[[PrefixListCandidate], Problem | None]] = (
    release_has_kind,
    id_is_free,
    may_be_owned,
)
ROUTE_MAP: Sequence[Callable[[RouteMapCandidate], Problem | None]] = (
    release_has_kind,
    references_exist,
    calls_end,
    lists_have_the_family,
    id_is_free,
    may_be_owned,
)
FABRIC: Sequence[Callable[[FabricCandidate], Problem | None]] = (
    release_has_fabric,
    references_exist,
    nodes_exist,
    nodes_have_addresses,
    fabrics_agree,
    id_is_free,
    may_be_owned,
)
CONTROLLER: Sequence[Callable[[ControllerCandidate], Problem | None]] = (
    release_has_fields,
    references_exist,
    release_has_room,
    fabric_exists,
    nodes_exist,
    peers_have_addresses,
    controllers_agree,
    id_is_free,
    may_be_owned,
)
BGP_CONTROLLER: Sequence[Callable[[BgpControllerCandidate], Problem | None]] = (
    release_has_fields,
    references_exist,
    nodes_exist,
    node_has_no_other,
    controllers_agree,
    id_is_free,
    may_be_owned,
)
ISIS_CONTROLLER: Sequence[Callable[[IsisControllerCandidate], Problem | None]] = (
    nodes_exist,
    node_has_no_other,
    id_is_free,
    may_be_owned,
)
ZONE: Sequence[Callable[[ZoneCandidate], Problem | None]] = (
    release_has_fields,
    controllers_exist,
    references_exist,
    nodes_exist,
    vni_is_free,
    names_no_interface,
    id_is_free,
    may_be_owned,
)
VNET: Sequence[Callable[[VNetCandidate], Problem | None]] = (
    zone_admits,
    vni_is_free,
    zone_allows_vni,
    zone_allows_subnets,
    zone_allows_firewall_names,
    subnets_are_apart,
    names_no_interface,
    id_is_free,
    may_be_owned,
    limits_hold,
)


def _not_found(field: str, kind: str, name: str, hint: str = "") -> Problem:
    """Not there, or not for this object: the words are the same, so that the names of other namespaces stay unknown."""
    message = f"{field}: there is no {kind} {name!r} that this object may use{hint}"
    return Problem(Reason.REF_NOT_FOUND, message, retryable=True)


def _missing_reference(candidate: Candidate[Any], field: str, missing: ObjectKey) -> Problem:
    """A cluster-scoped object is not there. What administrators may know is not for VNets that repeat the message."""
    desired = candidate.context.desired
    problem = _not_found(field, missing.kind, missing.name)
    if missing in desired.elsewhere:
        owner = desired.elsewhere[missing]
        where = f"belongs to ProxmoxCluster {owner}" if owner else "belongs to no ProxmoxCluster that exists"
        detail = f"{field}: {missing} {where}, and this object to {desired.cluster.key.name}"
        return replace(problem, detail=detail)
    known = [resource.key.name for resource in desired if resource.key.kind == missing.kind]
    hint = meant(missing.name, known)
    return replace(problem, detail=f"{problem.message}{hint}") if hint else problem


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
