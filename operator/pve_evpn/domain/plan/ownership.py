"""Whose is it? Whether a Proxmox object may be written on behalf of a Kubernetes object.

Proxmox' SDN objects have no field for an owner, so ownership lives in Kubernetes: in ``status.origin`` (written after
the fact) and in the journal of an interrupted transaction, which users cannot write. The annotation
``pve-evpn.dev/origin`` (written ahead of the first write, and kept by backups that lose the status) counts only where
an administrator lets the object adopt. Without one of them an object is foreign, also with the same name and
values.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ManagedStatus, Reason
from pve_evpn.api.fabric import FabricStatus
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.router import IsisControllerSpec
from pve_evpn.api.service import BUILT_IN_IPAM
from pve_evpn.api.vnet import VNetStatus
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Origin, Resource, own_ref, proxmox_id, sdn_kind_of
from pve_evpn.domain.plan.render import subnet_cidr
from pve_evpn.domain.sdn import PART_OF, PropertyDiff, SdnKind, SdnObject, SdnRef, SdnSnapshot, show

#: It is in no file: Proxmox has it always, and deleting it changes nothing.
BUILT_IN = SdnRef(SdnKind.IPAM, BUILT_IN_IPAM)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What an object may take over that Proxmox has and no status says is ours.

    ``allowed``: whether an administrator lets it adopt at all. Those who write cluster-scoped kinds are administrators.
    ``zone_id``: for a VNet, the zone in Proxmox that it belongs to; nothing in another zone is ever adopted.
    """

    allowed: bool = True
    zone_id: str = ""


def known_refs(resource: Resource[Any]) -> dict[SdnRef, Origin]:
    """Every Proxmox object the status says belongs to ``resource``: itself, a VNet's subnets, a fabric's nodes."""
    status, kind, origin = resource.status, sdn_kind_of(resource.key), resource.origin
    refs: dict[SdnRef, Origin] = {}
    if kind and isinstance(status, ManagedStatus) and status.id and origin and resource.origin_confirmed:
        refs[SdnRef(kind, status.id)] = origin
    if isinstance(status, VNetStatus):
        refs.update((SdnRef(SdnKind.SUBNET, row.id), Origin(row.origin)) for row in status.subnets or ())
    if isinstance(status, FabricStatus) and status.id:
        rows = ((f"{status.id}/{row.name}", row.origin) for row in status.nodes or ())
        refs.update((SdnRef(SdnKind.FABRIC_NODE, id_), Origin(origin)) for id_, origin in rows)
    return refs


def known_in_words(resource: Resource[Any]) -> str:
    """:func:`known_refs` for people: ``vnet web, subnet zone1-10.1.0.0-24``."""
    return ", ".join(map(str, sorted(known_refs(resource), key=lambda ref: ref.kind in PART_OF)))


def sdn_type(resource: Resource[Any]) -> str:
    """Proxmox' type of the object that ``resource`` stands for; empty where the spec, which says it, cannot be read."""
    spec = resource.spec
    return KINDS[resource.key.kind].sdn_type or str(getattr(spec, "protocol", getattr(spec, "type", ""))).lower()


def remade(ref: SdnRef, sdn: SdnSnapshot, type_: str, zone_id: str) -> str:
    """How an object that was the operator's is another one of the same name now, in words; empty if it is the same.

    Another client deleted it and made one of another type than ``type_``, or a VNet in another zone. A zone that is
    only staged for a VNet is an edit like any other. A part has no type that could change.
    """
    copies = [obj for obj in (sdn.running.get(ref), sdn.edited.get(ref)) if obj is not None]
    for there in copies:
        if type_ and ref.kind not in PART_OF and there.type != type_:
            return f"as type {there.type!r}"
    if ref.kind is SdnKind.VNET and zone_id and copies and copies[0].props.get("zone") != zone_id:
        return "in another zone"
    return ""


def deletable(resource: Resource[Any], origins: Mapping[SdnRef, Origin]) -> dict[SdnRef, Origin]:
    """What goes with a deleted object: itself, what the operator created, and with ``Delete`` its adopted subnets."""
    own, everything = own_ref(resource), getattr(resource.spec, "deletion_policy", None) == "Delete"
    return {ref: o for ref, o in origins.items() if everything or o is Origin.CREATED or ref == own}


def claimed_refs(
    resource: Resource[Any], sdn: SdnSnapshot, journal: frozenset[SdnRef], annotated: Origin | None = None
) -> dict[SdnRef, Origin]:
    """:func:`known_refs`, and what is ours though no status says so (yet, or after a restored backup).

    That is what an interrupted transaction was creating, and for an object whose annotation counts (``annotated``, see
    :func:`annotated_origin`) itself and the parts (subnets, fabric nodes) that its spec lists.
    """
    known = known_refs(resource)
    kind = sdn_kind_of(resource.key)
    if kind is None:
        return known
    own = SdnRef(kind, proxmox_id(resource))
    found: dict[SdnRef, Origin] = {}
    if annotated or own in journal:
        found[own] = annotated or Origin.CREATED
    for ref in sdn.parts_of(own):
        if ref in journal or (annotated is Origin.CREATED and _specifies(resource, ref)):
            found[ref] = Origin.CREATED
    return {**found, **known}


def _specifies(resource: Resource[Any], part: SdnRef) -> bool:
    """Whether the spec lists the subnet, or the fabric's node."""
    if part.kind is SdnKind.FABRIC_NODE:
        names = {node.name for node in getattr(resource.spec, "nodes", None) or ()}
        return part.id.partition("/")[2] in names or getattr(resource.spec, "all_nodes", None) is not None
    listed = getattr(resource.spec, "subnets", None) or ()
    return part.kind is SdnKind.SUBNET and subnet_cidr(part) in {subnet.cidr for subnet in listed}


def annotated_origin(resource: Resource[Any], sdn: SdnSnapshot, adoption: Adoption) -> Origin | None:
    """The origin that the annotation of an object without a status gives, where it may be believed.

    The users of a namespace can write annotations, so the annotation of a VNet counts only where its zone lets the
    namespace adopt. It is written before the object, so it may also have stayed although the object was never created:
    another client's object of the same name must not be deleted for it.
    """
    kind = sdn_kind_of(resource.key)
    if kind is None or resource.origin_confirmed or not adoption.allowed:
        return None
    ref = SdnRef(kind, proxmox_id(resource))
    there = sdn.edited.get(ref) or sdn.running.get(ref)
    return resource.origin if there is None or _is_what_was_annotated(resource, there, adoption) else None


def _is_what_was_annotated(resource: Resource[Any], there: SdnObject, adoption: Adoption) -> bool:
    """Whether an object has the number, and a VNet the zone, that cannot change over its life.

    A kind without such a number is not believed: it is adopted like any other client's object, or not at all.
    """
    spec, allocated = resource.spec, resource.annotations.get(kinds.ANNOTATION_VNI)
    number = {
        SdnKind.CONTROLLER: ("isis-net", spec.net)
        if isinstance(spec, IsisControllerSpec)
        else ("asn", getattr(spec, "asn", None)),
        SdnKind.ZONE: ("vrf-vxlan", getattr(spec, "vrf_vni", None) or allocated),
        SdnKind.VNET: ("tag", getattr(spec, "vni", None) or allocated),
    }
    if isinstance(spec, IsisControllerSpec):
        number = {SdnKind.CONTROLLER: ("isis-net", spec.net)}
    key, ours = number.get(there.ref.kind, ("", None))
    same = bool(key) and there.type == sdn_type(resource) and str(there.props.get(key)) == str(ours)
    return same and (there.ref.kind is not SdnKind.VNET or there.props.get("zone") == adoption.zone_id)


def _prefix6(spec: Any) -> str | None:
    return getattr(spec, "prefix6", None)


def leftover_parts(
    resource: Resource[Any], sdn: SdnSnapshot, journal: frozenset[SdnRef], *, keep: Container[SdnRef]
) -> tuple[SdnRef, ...]:
    """Subnets or fabric nodes in Proxmox that the operator created for this object and that are not among ``keep``."""
    return tuple(
        ref
        for ref, origin in sorted(claimed_refs(resource, sdn, journal).items())
        if ref.kind in PART_OF
        and origin is Origin.CREATED
        and ref not in keep
        and (ref in sdn.edited or ref in sdn.running)
    )


def origin_of(
    obj: SdnObject, resource: Resource[Any], sdn: SdnSnapshot, journal: frozenset[SdnRef], adoption: Adoption
) -> Origin | Problem:
    """The origin that a desired object which no status knows would get, or why it must be left alone."""
    there = sdn.edited.get(obj.ref) or sdn.running.get(obj.ref)
    if there is None or obj.ref in journal:
        return Origin.CREATED
    if problem := _cannot_adopt(obj, there, resource, adoption):
        return problem
    return _adopted_origin(obj, resource, annotated_origin(resource, sdn, adoption))


def _cannot_adopt(obj: SdnObject, there: SdnObject, resource: Resource[Any], adoption: Adoption) -> Problem | None:
    """Why the object that Proxmox has must be left alone, whatever its adoptionPolicy says; then what that says."""
    policy = getattr(resource.spec, "adoption_policy", None) or "IfIdentical"
    differences = obj.differences(there)
    whole = "; ".join(map(str, differences))
    listed = "; ".join(str(diff) if diff.key != "alias" else _alias_differs(diff, resource) for diff in differences)
    message = detail = ""
    if there.type != obj.type:
        message = f"{obj.ref} exists in Proxmox as type {there.type!r} and is not managed by this object"
    elif obj.parent and there.parent != obj.parent:
        message = f"{obj.ref} exists in Proxmox below another VNet"
        detail = f"{obj.ref} exists in Proxmox below VNet {there.parent} and is not managed by this object"
    elif obj.ref.kind is SdnKind.VNET and not adoption.allowed:
        message = (
            f"{obj.ref} exists in Proxmox already, and namespace {resource.key.namespace} may not take over VNets. "
            "Create this object again with a free spec.id; or an administrator names the namespace in spec.adoption of "
            "the EvpnZone or the ProxmoxCluster"
        )
    elif obj.ref.kind is SdnKind.VNET and there.props.get("zone") != adoption.zone_id:
        message = f"{obj.ref} exists in Proxmox in another zone; create this object again with a free spec.id"
        detail = f"{obj.ref} exists in Proxmox in zone {there.props.get('zone')}, not in {adoption.zone_id}"
    elif policy == "Never":
        message = f"{obj.ref} exists in Proxmox already, and adoptionPolicy is Never"
    elif policy == "IfIdentical" and differences:
        text = "{} exists in Proxmox already and differs from this spec ({}). Make them equal, or set adoptionPolicy: "
        text += "Always to overwrite it"
        message, detail = text.format(obj.ref, listed), text.format(obj.ref, whole)
    return Problem(Reason.FOREIGN_OBJECT, message, detail=detail) if message else None


def _alias_differs(diff: PropertyDiff, resource: Resource[Any]) -> str:
    """The difference without the name of another namespace, which an alias may have."""
    namespace = str(diff.have or "").partition("/")[0]
    own = namespace in (diff.have or "", resource.key.namespace)
    return str(diff) if own else f"alias: another text instead of {show(diff.want)}"


def _adopted_origin(obj: SdnObject, resource: Resource[Any], annotated: Origin | None) -> Origin:
    """An object whose annotation counts was created by the operator before the status was lost.

    A part has no annotation of its own. It shares the fate of what it is part of while no status says more.
    """
    if obj.ref.kind in PART_OF and resource.origin_confirmed:
        return Origin.ADOPTED
    return annotated or Origin.ADOPTED
