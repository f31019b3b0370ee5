"""Checks of objects of several kinds, and the words for what is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic.alias_generators import to_camel

from pve_evpn.api.conditions import Reason
from pve_evpn.api.types import INTERFACE_NAMES
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, may_name
from pve_evpn.domain.plan.candidates import Candidate, VNetCandidate, ZoneCandidate
from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.state import first_with
from pve_evpn.text import meant

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
            return missing_reference(candidate, field, ObjectKey(kind, "", name))
    return None


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


def nodes_exist(candidate: Candidate[Any]) -> Problem | None:
    """Every node that the spec names is in the cluster."""
    members = candidate.context.state.nodes
    for field, names in candidate.nodes:
        if unknown := sorted(set(names or ()) - members.keys()):
            message = f"{field}: the Proxmox cluster has no node {in_words(unknown)} (it has: {in_words(members)})"
            return Problem(Reason.REF_NOT_FOUND, message, retryable=True)
    return None


def vni_is_free(candidate: Candidate[Any]) -> Problem | None:
    """No other object has the VNI, or the range has a free one."""
    return candidate.vni if isinstance(candidate.vni, Problem) else None


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
    own = f"id: {in_words(where)} has an interface {found[0]} of its own"
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


def not_found(field: str, kind: str, name: str, hint: str = "") -> Problem:
    """Not there, or not for this object: the words are the same, so that the names of other namespaces stay unknown."""
    message = f"{field}: there is no {kind} {name!r} that this object may use{hint}"
    return Problem(Reason.REF_NOT_FOUND, message, retryable=True)


def missing_reference(candidate: Candidate[Any], field: str, missing: ObjectKey) -> Problem:
    """A cluster-scoped object is not there. What administrators may know is not for VNets that repeat the message."""
    desired = candidate.context.desired
    problem = not_found(field, missing.kind, missing.name)
    if missing in desired.elsewhere:
        owner = desired.elsewhere[missing]
        where = f"belongs to ProxmoxCluster {owner}" if owner else "belongs to no ProxmoxCluster that exists"
        detail = f"{field}: {missing} {where}, and this object to {desired.cluster.key.name}"
        return replace(problem, detail=detail)
    known = [resource.key.name for resource in desired if resource.key.kind == missing.kind]
    hint = meant(missing.name, known)
    return replace(problem, detail=f"{problem.message}{hint}") if hint else problem


def in_words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
