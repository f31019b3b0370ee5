"""Checks of EvpnZones, and of VNets by what their zone and its other VNets allow."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, may_name, proxmox_id
from pve_evpn.domain.plan.candidates import VNetCandidate, ZoneCandidate
from pve_evpn.domain.plan.checks.common import missing_reference, not_found
from pve_evpn.domain.plan.firewall import SETS_OF_VNETS, names_in
from pve_evpn.domain.plan.ownership import known_refs
from pve_evpn.domain.plan.subnets import Network, network_of
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.domain.state import FirewallName
from pve_evpn.text import meant, some_of


def controllers_exist(candidate: ZoneCandidate) -> Problem | None:
    """The controllers that a zone names are desired in the same cluster."""
    for field, name in candidate.controller_refs:
        if candidate.controller(name) is None:
            return missing_reference(candidate, field, ObjectKey("EvpnController", "", name))
    return None


def zone_admits(candidate: VNetCandidate) -> Problem | None:
    """The zone is there and admits the VNet's namespace. One that does not reads like one that is not there."""
    if candidate.zone:
        return None
    name = candidate.spec.zone_ref.name
    return not_found("zoneRef", "EvpnZone", name, meant(name, candidate.context.zones_for(candidate.resource)))


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
