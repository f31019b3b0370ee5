"""Whose is it? Whether a Proxmox object may be written on behalf of a Kubernetes object.

Proxmox' SDN objects have no field for an owner, so ownership lives in Kubernetes: in ``status.origin`` (written after
the fact), in the annotation ``pve-evpn.dev/origin`` (written ahead of the first write, and kept by backups that lose
the status), and in the journal of an interrupted transaction. Without one of them an object is foreign, however much
it looks like ours.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ManagedStatus, Reason
from pve_evpn.api.vnet import VNetStatus
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Origin, Resource, proxmox_id, sdn_kind_of
from pve_evpn.domain.plan.render import subnet_cidr
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot


def known_refs(resource: Resource[Any]) -> dict[SdnRef, Origin]:
    """Every Proxmox object the status says belongs to ``resource``: itself, and a VNet's subnets."""
    status, kind, origin = resource.status, sdn_kind_of(resource.key), resource.origin
    refs: dict[SdnRef, Origin] = {}
    if kind and isinstance(status, ManagedStatus) and status.id and origin and resource.origin_confirmed:
        refs[SdnRef(kind, status.id)] = origin
    if isinstance(status, VNetStatus):
        refs.update((SdnRef(SdnKind.SUBNET, row.id), Origin(row.origin)) for row in status.subnets or ())
    return refs


def claimed_refs(resource: Resource[Any], sdn: SdnSnapshot, journal: frozenset[SdnRef]) -> dict[SdnRef, Origin]:
    """:func:`known_refs`, and what is ours though no status says so (yet, or after a restored backup).

    That is what an interrupted transaction was creating, and for an object that the annotation announces as created
    by us, itself and the subnets that its spec lists.
    """
    known = known_refs(resource)
    kind = sdn_kind_of(resource.key)
    if kind is None:
        return known
    own = SdnRef(kind, proxmox_id(resource))
    found: dict[SdnRef, Origin] = {}
    announced = None if resource.origin_confirmed else resource.origin
    there = sdn.edited.get(own) or sdn.running.get(own)
    if announced is Origin.CREATED and there is not None and not _is_what_we_announced(resource, there):
        announced = None
    if announced or own in journal:
        found[own] = announced or Origin.CREATED
    specified = {subnet.cidr for subnet in getattr(resource.spec, "subnets", None) or ()}
    for ref in sdn.subnets_of(own.id) if kind is SdnKind.VNET else ():
        if ref in journal or (announced is Origin.CREATED and subnet_cidr(ref) in specified):
            found[ref] = Origin.CREATED
    return {**found, **known}


def _is_what_we_announced(resource: Resource[Any], there: SdnObject) -> bool:
    """Whether an object has the number that cannot change over its life.

    The announcement is written before the object, so it may have stayed although the object was never created; a
    stranger's object of the same name must not be deleted for it.
    """
    spec, allocated = resource.spec, resource.annotations.get(kinds.ANNOTATION_VNI)
    number = {
        SdnKind.CONTROLLER: ("asn", getattr(spec, "asn", None)),
        SdnKind.ZONE: ("vrf-vxlan", getattr(spec, "vrf_vni", None) or allocated),
        SdnKind.VNET: ("tag", getattr(spec, "vni", None) or allocated),
    }
    key, ours = number[there.ref.kind]
    return there.type in ("evpn", "vnet") and str(there.props.get(key)) == str(ours)


def leftover_subnets(
    resource: Resource[Any], sdn: SdnSnapshot, journal: frozenset[SdnRef], *, keep: Container[SdnRef]
) -> tuple[SdnRef, ...]:
    """Subnets in Proxmox that the operator created for this VNet and that are not among those to keep."""
    return tuple(
        ref
        for ref, origin in sorted(claimed_refs(resource, sdn, journal).items())
        if ref.kind is SdnKind.SUBNET
        and origin is Origin.CREATED
        and ref not in keep
        and (ref in sdn.edited or ref in sdn.running)
    )


def origin_of(
    obj: SdnObject, resource: Resource[Any], sdn: SdnSnapshot, journal: frozenset[SdnRef]
) -> Origin | Problem:
    """The origin that a desired object of ``resource`` has or would get, or why it must be left alone."""
    if origin := known_refs(resource).get(obj.ref):
        return origin
    there = sdn.edited.get(obj.ref) or sdn.running.get(obj.ref)
    if there is None or obj.ref in journal:
        return Origin.CREATED
    return _adopt(obj, there, resource)


def _adopt(obj: SdnObject, there: SdnObject, resource: Resource[Any]) -> Origin | Problem:
    policy = getattr(resource.spec, "adoption_policy", None) or "IfIdentical"
    if there.type != obj.type:
        message = f"{obj.ref} exists in Proxmox as type {there.type!r} and is not ours"
        return Problem(Reason.FOREIGN_OBJECT, message)
    if obj.parent and there.parent != obj.parent:
        message = f"{obj.ref} exists in Proxmox below VNet {there.parent} and is not ours"
        return Problem(Reason.FOREIGN_OBJECT, message)
    differences = obj.differences(there)
    if policy == "Always" or (policy == "IfIdentical" and not differences):
        return _adopted_origin(obj, resource)
    if policy == "Never":
        return Problem(Reason.FOREIGN_OBJECT, f"{obj.ref} exists in Proxmox already, and adoptionPolicy is Never")
    listed = "; ".join(map(str, differences[:5])) + (" ..." if len(differences) > 5 else "")
    message = (
        f"{obj.ref} exists in Proxmox already and differs from this spec ({listed}). Make them equal, or set "
        "adoptionPolicy: Always to overwrite it"
    )
    return Problem(Reason.FOREIGN_OBJECT, message)


def _adopted_origin(obj: SdnObject, resource: Resource[Any]) -> Origin:
    """An identical object that the annotation announces was created by the operator before the status was lost.

    A subnet has no annotation of its own. It shares its VNet's fate while no status says more.
    """
    announced, own = resource.origin, sdn_kind_of(resource.key)
    if announced and (obj.ref.kind is own or not resource.origin_confirmed):
        return announced
    return Origin.ADOPTED
