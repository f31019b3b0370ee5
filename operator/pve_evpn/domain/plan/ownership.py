"""Whose is it? Whether a Proxmox object may be written on behalf of a Kubernetes object.

Proxmox' SDN objects have no field for an owner, so ownership lives in Kubernetes: in ``status.origin`` (written after
the fact), in the annotation ``pve-evpn.dev/origin`` (written ahead of the first write, and kept by backups that lose
the status), and in the journal of an interrupted transaction. Without one of them an object is foreign, however much
it looks like ours.
"""

from __future__ import annotations

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
    for ref, obj in {**sdn.running, **sdn.edited}.items():
        if ref.kind is not SdnKind.SUBNET or kind is not SdnKind.VNET or obj.parent != own.id:
            continue
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


class Ownership:
    """Judges the objects one resource wants, against what is there."""

    def __init__(self, resource: Resource[Any], sdn: SdnSnapshot, journal: frozenset[SdnRef]) -> None:
        self._resource = resource
        self._sdn = sdn
        self._journal = journal
        self._known = known_refs(resource)

    def of(self, want: SdnObject) -> tuple[Origin, Problem | None]:
        """The origin the object has or would get, or why it must be left alone."""
        if origin := self._known.get(want.ref):
            return origin, None
        if want.ref in self._journal:
            return Origin.CREATED, None
        there = self._sdn.edited.get(want.ref) or self._sdn.running.get(want.ref)
        if there is None:
            return Origin.CREATED, None
        return self._adopt(want, there)

    def _adopt(self, want: SdnObject, there: SdnObject) -> tuple[Origin, Problem | None]:
        policy = getattr(self._resource.spec, "adoption_policy", None) or "IfIdentical"
        if there.type != want.type:
            message = f"{want.ref} exists in Proxmox as type {there.type!r} and is not ours"
            return Origin.ADOPTED, Problem(Reason.FOREIGN_OBJECT, message)
        if want.parent and there.parent != want.parent:
            message = f"{want.ref} exists in Proxmox below VNet {there.parent} and is not ours"
            return Origin.ADOPTED, Problem(Reason.FOREIGN_OBJECT, message)
        differences = want.differences(there)
        if policy == "Always" or (policy == "IfIdentical" and not differences):
            return self._adopted_origin(want), None
        if policy == "Never":
            message = f"{want.ref} exists in Proxmox already, and adoptionPolicy is Never"
        else:
            listed = "; ".join(map(str, differences[:5])) + (" ..." if len(differences) > 5 else "")
            message = (
                f"{want.ref} exists in Proxmox already and differs from this spec ({listed}). Make them equal, or set "
                "adoptionPolicy: Always to overwrite it"
            )
        return Origin.ADOPTED, Problem(Reason.FOREIGN_OBJECT, message)

    def _adopted_origin(self, want: SdnObject) -> Origin:
        """An identical object announced as ours by the annotation was created by us before the status was lost.

        A subnet has no annotation of its own. It shares its VNet's fate while no status says more.
        """
        announced, own = self._resource.origin, sdn_kind_of(self._resource.key)
        if announced and (want.ref.kind is own or not self._resource.origin_confirmed):
            return announced
        return Origin.ADOPTED
