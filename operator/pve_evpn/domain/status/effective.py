"""What Proxmox accepts and what cannot work all the same: the condition ``Effective``. Pure.

Each check looks for one such combination of several objects. What one object shows by itself is said earlier, by the
API server (`api.admission`). Nothing is refused for it: the fields were accepted before, and the rest of the object
works. The facts about Proxmox were read in its SDN code (`pve-network`, `pve-container`).
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.api.vnet import VNetSpec
from pve_evpn.api.zone import EvpnZoneSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.plan.firewall import SETS_OF_VNETS, NameUse, names_in
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.spelling import parts_of
from pve_evpn.domain.state import ClusterState, FirewallName
from pve_evpn.text import from_outside, meant, some_of

log = logging.getLogger(__name__)

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What VXLAN adds to a frame: Ethernet, IP, UDP, VXLAN.
_VXLAN, _VXLAN_IPV6 = 50, 70
#: MTU of a zone that names none.
_DEFAULT_MTU = 1450
#: Proxmox connects an exit node with the VRF by a pair of interfaces that has these addresses in every such zone.
_LOCAL_ROUTING = ipaddress.ip_network("10.255.255.0/30")


class Ineffective(NamedTuple):
    """Which object has something that cannot work, and why."""

    key: ObjectKey
    problem: Problem


@dataclass(frozen=True, slots=True)
class _Zone:
    """A zone that was accepted. ``id`` is its name in Proxmox."""

    key: ObjectKey
    id: str
    spec: EvpnZoneSpec

    @property
    def exits(self) -> frozenset[str]:
        return frozenset(self.spec.exit_nodes.nodes if self.spec.exit_nodes else ())

    @property
    def has_ipam(self) -> bool:
        return self.spec.ipam is not None or self.spec.ipam_ref is not None

    @property
    def routes_locally(self) -> bool:
        return bool(self.spec.exit_nodes and self.spec.exit_nodes.local_routing)


@dataclass(frozen=True, slots=True)
class _VNet:
    key: ObjectKey
    spec: VNetSpec
    zone: _Zone


@dataclass(frozen=True, slots=True)
class _Accepted:
    """The objects that were accepted, with those they refer to."""

    state: ClusterState
    plan: Plan
    zones: tuple[_Zone, ...]
    vnets: tuple[_VNet, ...]
    nics: tuple[tuple[ObjectKey, NicAttachmentSpec, _VNet], ...]


def ineffective(desired: Desired, state: ClusterState, plan: Plan) -> Mapping[ObjectKey, Problem]:
    """Why objects, or fields of theirs, cannot take effect; the first of several problems counts."""
    accepted = _accepted(desired, state, plan)
    found: dict[ObjectKey, Problem] = {}
    for check in CHECKS:
        try:
            for key, problem in check(accepted):
                found.setdefault(key, problem)
        except Exception:  # a hint only: what cannot be checked has none
            log.exception("%s cannot be checked", check.__name__)
    for resource in (desired.cluster, *desired):
        if unknown := unknown_annotations(resource):
            found.setdefault(resource.key, unknown)
    return found


def unknown_annotations(resource: Resource[Any]) -> Problem | None:
    """Every annotation with the operator's prefix is one that it knows; a mistyped ``paused`` pauses nothing."""
    unknown = sorted(resource.annotations.keys() - kinds.ANNOTATIONS.keys())
    if not unknown:
        return None
    listed = some_of(f"{from_outside(name, longest=80)}{meant(name, kinds.ANNOTATIONS)}" for name in unknown)
    message = f"metadata.annotations: the operator does not know {listed}"
    return Problem(Reason.UNKNOWN_ANNOTATION, message)


def _accepted(desired: Desired, state: ClusterState, plan: Plan) -> _Accepted:
    decisions = {key: d for key, d in plan.decisions.items() if d.wanted and not d.refused}
    zones = {
        zone.key.name: _Zone(zone.key, decisions[zone.key].id, zone.spec)
        for zone in desired.zones
        if zone.spec is not None and zone.key in decisions
    }
    vnets = {
        vnet.key: _VNet(vnet.key, vnet.spec, zones[vnet.spec.zone_ref.name])
        for vnet in desired.vnets
        if vnet.spec is not None and vnet.key in decisions and vnet.spec.zone_ref.name in zones
    }
    nics = []
    for nic in desired.nics:
        vnet = vnets.get(ObjectKey("VNet", nic.key.namespace, nic.spec.vnet_ref.name)) if nic.spec else None
        if nic.spec is not None and vnet is not None:
            nics.append((nic.key, nic.spec, vnet))
    return _Accepted(state, plan, tuple(zones.values()), tuple(vnets.values()), tuple(nics))


def snat_has_exit_nodes(accepted: _Accepted) -> Iterator[Ineffective]:
    """Source addresses are translated on the exit nodes of a VNet's zone, so there must be some."""
    for vnet in accepted.vnets:
        for number, subnet in enumerate(vnet.spec.subnets or ()):
            if subnet.snat and not vnet.zone.exits:
                message = (
                    f"subnets[{number}].snat: source addresses are translated on exit nodes, and EvpnZone "
                    f"{vnet.zone.key.name} has none; set exitNodes there, or remove snat"
                )
                yield Ineffective(vnet.key, Problem(Reason.NO_EXIT_NODES, message))
                break


def mtu_fits_into_underlay(accepted: _Accepted) -> Iterator[Ineffective]:
    """Frames that do not fit into the underlay's are lost without a word, and only the long ones are."""
    for zone in accepted.zones:
        mtu = zone.spec.mtu or _DEFAULT_MTU
        tight = [
            (has - overhead, node, address, has)
            for node, address, has in _underlay(accepted, zone)
            if mtu > has - (overhead := _VXLAN_IPV6 if ":" in address else _VXLAN)
        ]
        if tight:
            fits, node, address, has = min(tight)
            message = (
                f"mtu: {mtu} does not fit into the underlay, where {node} has {has} at {address}; "
                f"at most {fits} fits beside VXLAN's own headers"
            )
            yield Ineffective(zone.key, Problem(Reason.MTU_TOO_BIG, message))


def _underlay(accepted: _Accepted, zone: _Zone) -> Iterator[tuple[str, str, int]]:
    """Node, address and MTU where the zone's nodes carry the overlay, as far as it is known."""
    sdn = accepted.state.sdn
    key = ObjectKey("EvpnController", "", zone.spec.controller_ref.name)
    decision = accepted.plan.decisions.get(key)
    if decision is None or not decision.wanted:
        return
    props = decision.wanted[0].props
    in_fabric = sdn.fabric_addresses.get(str(props.get("fabric") or ""), {})
    peers = {*(str(peer) for peer in props.get("peers") or ()), *in_fabric.values()}
    for name, node in accepted.state.nodes.items():
        if zone.spec.nodes is not None and name not in zone.spec.nodes:
            continue
        yield from ((name, address, mtu) for address, mtu in node.mtus.items() if address in peers)


def networks_leave_by_one_zone(accepted: _Accepted) -> Iterator[Ineffective]:
    """An exit node has the networks of all its zones in one routing table, where each network has one way."""
    networks = sorted(
        ((network, vnet, number) for vnet in accepted.vnets if vnet.zone.exits for number, network in _networks(vnet)),
        key=lambda entry: (entry[0].version, int(entry[0].network_address), entry[0].prefixlen),
    )
    around: list[tuple[IpNetwork, _VNet, int]] = []
    for network, vnet, number in networks:
        around = [entry for entry in around if network.version == entry[0].version and network.overlaps(entry[0])]
        for other, owner, place in around:
            shared = vnet.zone.exits & owner.zone.exits
            if owner.zone.id != vnet.zone.id and shared:
                yield _twice(vnet, number, network, owner.zone, other, min(shared))
                yield _twice(owner, place, other, vnet.zone, network, min(shared))
        around.append((network, vnet, number))


def _twice(vnet: _VNet, number: int, network: IpNetwork, zone: _Zone, other: IpNetwork, node: str) -> Ineffective:
    message = (
        f"subnets[{number}].cidr: {network} overlaps {other} in EvpnZone {zone.key.name}, and both zones leave by exit "
        f"node {node}, whose routing table has one way for each network"
    )
    return Ineffective(vnet.key, Problem(Reason.SUBNET_OVERLAP, message))


def local_routing_is_free(accepted: _Accepted) -> Iterator[Ineffective]:
    """``localRouting`` takes 10.255.255.0/30 on every exit node: for one zone, and for no subnet."""
    locally = [zone for zone in accepted.zones if zone.routes_locally]
    for zone in locally:
        others = [other for other in locally if other.id != zone.id and other.exits & zone.exits]
        if others:
            node = min(others[0].exits & zone.exits)
            message = (
                f"exitNodes.localRouting: EvpnZone {others[0].key.name} has it too on {node}, and Proxmox gives "
                f"{_LOCAL_ROUTING} to each of them"
            )
            yield Ineffective(zone.key, Problem(Reason.LOCAL_ROUTING_CONFLICT, message))
    taken = frozenset(node for zone in locally for node in zone.exits)
    for vnet in accepted.vnets:
        for number, network in _networks(vnet):
            if network.version == 4 and network.overlaps(_LOCAL_ROUTING) and (vnet.zone.exits & taken):
                message = (
                    f"subnets[{number}].cidr: {network} overlaps {_LOCAL_ROUTING}, which Proxmox takes for "
                    f"localRouting on exit node {min(vnet.zone.exits & taken)}"
                )
                yield Ineffective(vnet.key, Problem(Reason.LOCAL_ROUTING_CONFLICT, message))


def addresses_are_in_subnets(accepted: _Accepted) -> Iterator[Ineffective]:
    """An address of a guest is in a subnet of its VNet, where the VNet has subnets of that family."""
    for key, spec, vnet in accepted.nics:
        static = [(field, text) for field, text in (("ip", spec.ip), ("ip6", spec.ip6)) if text and "/" in text]
        for field, text in (*static, *(("addresses", address) for address in spec.addresses or ())):
            address = ipaddress.ip_interface(text).ip
            networks = [
                n for s in vnet.spec.subnets or () if (n := ipaddress.ip_network(s.cidr)).version == address.version
            ]
            if networks and not any(address in network for network in networks):
                listed = ", ".join(map(str, networks[:3])) + (" ..." if len(networks) > 3 else "")
                message = f"{field}: {address} is in no subnet of its VNet, which has {listed}"
                yield Ineffective(key, Problem(Reason.ADDRESS_OUTSIDE_SUBNETS, message))
                break


def names_have_an_ipam(accepted: _Accepted) -> Iterator[Ineffective]:
    """Proxmox registers names only together with addresses, and these in the zone's IPAM."""
    for zone in accepted.zones:
        if zone.spec.dns and not zone.has_ipam:
            message = "dns: Proxmox registers a name with its address in an IPAM, and the zone has none; set ipam"
            yield Ineffective(zone.key, Problem(Reason.NO_IPAM, message))


def addresses_have_an_ipam(accepted: _Accepted) -> Iterator[Ineffective]:
    """The addresses of a guest are registered in the IPAM of its VNet's zone."""
    for key, spec, vnet in accepted.nics:
        if spec.addresses and not vnet.zone.has_ipam:
            message = (
                f"addresses: EvpnZone {vnet.zone.key.name} has no IPAM to register them in; set ipam there, or remove "
                "addresses"
            )
            yield Ineffective(key, Problem(Reason.NO_IPAM, message))


def firewall_names_exist(accepted: _Accepted) -> Iterator[Ineffective]:
    """Rules name macros, security groups, IP sets and aliases that Proxmox has, as far as it lists them.

    Proxmox refuses most rules with a wrong name, and takes one with a security group that does not exist: it filters
    nothing.
    """
    vnets = {vnet.key: accepted.plan.decisions[vnet.key].id for vnet in accepted.vnets}
    sets_of = frozenset(vnets.values()) | {ref.id for ref in accepted.state.sdn.running if ref.kind is SdnKind.VNET}
    for vnet in accepted.vnets:
        uses = names_in(vnet.spec.firewall) if vnet.spec.firewall else ()
        missing = next((use for use in uses if not _exists(use, accepted.state, sets_of)), None)
        if missing is not None:
            yield Ineffective(vnet.key, Problem(Reason.REF_NOT_FOUND, _no_such(missing)))


def _exists(use: NameUse, state: ClusterState, vnets: frozenset[str]) -> bool:
    """Whether the name is there; so it is taken to be where Proxmox does not list its kind."""
    if use.made:
        vnet, _, part = use.name.partition("-")
        return part not in SETS_OF_VNETS or vnet in vnets
    there = state.firewall_names.get(use.kind)
    return there is None or use.kind.form(use.name) in there


def _no_such(use: NameUse) -> str:
    if use.made:
        return f"{use.field}: Proxmox has no IP set {use.name!r}, for it has no such VNet; correct the name"
    if use.kind is FirewallName.MACRO:
        return f"{use.field}: Proxmox has no macro {use.name!r}; correct the name"
    effect = ", so the rule filters nothing" if use.kind is FirewallName.GROUP else ""
    return (
        f"{use.field}: Proxmox has no {use.kind} {use.name!r}{effect}; correct the name, or have it created "
        "(Datacenter > Firewall)"
    )


def interfaces_are_there(accepted: _Accepted) -> Iterator[Ineffective]:
    """The interfaces that a Fabric names are on the nodes; those of WireGuard are made by Proxmox."""
    for key, decision in accepted.plan.decisions.items():
        if key.kind != "Fabric" or decision.refused or not decision.wanted or decision.wanted[0].type == "wireguard":
            continue
        for obj in decision.wanted[1:]:
            node = accepted.state.nodes.get(obj.ref.id.partition("/")[2])
            named = [parts_of(text).get("name", "") for text in obj.props.get("interfaces", ())]
            if node is None or node.interfaces is None or not (missing := sorted(set(named) - node.interfaces)):
                continue
            has = ", ".join(sorted(node.interfaces)[:8])
            message = f"nodes[{node.name}].interfaces: {node.name} has no interface {missing[0]} (it has: {has})"
            yield Ineffective(key, Problem(Reason.REF_NOT_FOUND, message, retryable=True))


def _networks(vnet: _VNet) -> Iterable[tuple[int, IpNetwork]]:
    return ((number, ipaddress.ip_network(subnet.cidr)) for number, subnet in enumerate(vnet.spec.subnets or ()))


CHECKS: tuple[Callable[[_Accepted], Iterator[Ineffective]], ...] = (
    snat_has_exit_nodes,
    mtu_fits_into_underlay,
    networks_leave_by_one_zone,
    local_routing_is_free,
    names_have_an_ipam,
    addresses_have_an_ipam,
    addresses_are_in_subnets,
    interfaces_are_there,
    firewall_names_exist,
)
