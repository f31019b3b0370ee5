"""Checks of Fabrics."""

from __future__ import annotations

import ipaddress

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.plan.candidates import FabricCandidate
from pve_evpn.domain.plan.checks.common import in_words
from pve_evpn.domain.sdn import SdnKind, SdnObject
from pve_evpn.domain.spelling import parts_of
from pve_evpn.domain.state import first_with


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
    return f"nodes[{name}].interfaces: {in_words(both)} is in fabric {elsewhere!r} already" if both else ""
