"""Checks of EvpnControllers, BgpControllers and IsisControllers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.plan.candidates import (
    BgpControllerCandidate,
    Candidate,
    ControllerCandidate,
    IsisControllerCandidate,
)
from pve_evpn.domain.plan.checks.common import in_words
from pve_evpn.domain.sdn import Props, SdnKind, SdnObject

#: The peer group Proxmox takes where none is named.
_DEFAULT_PEER_GROUP = "VTEP"


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
    message = f"underlay.fabric: Proxmox has no fabric {fabric!r} (it has: {in_words(there)})"
    return Problem(Reason.REF_NOT_FOUND, message, retryable=True)


def peers_have_addresses(candidate: ControllerCandidate) -> Problem | None:
    """Every node of an overlay between the cluster's nodes has an address in the network given for it."""
    underlay, without = candidate.spec.underlay.cluster_nodes, candidate.peers.without
    if underlay is None or not without:
        return None
    where = f" in {underlay.cidr}" if underlay.cidr else ""
    message = f"underlay.clusterNodes: no address{where} on {in_words(without)}"
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
                f"asn: controller {name} has AS {there.get('asn')} on {in_words(both)}; "
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
