"""Whose is it? Whether a Proxmox object may be written on behalf of a Kubernetes object.

Proxmox' SDN objects have no field for an owner, so ownership lives in Kubernetes: in ``status.origin`` (written after
the fact), in the annotation ``pve-evpn.dev/origin`` (written ahead of the first write, and kept by backups that lose
the status), and in the journal of an interrupted transaction. Without one of them an object is foreign, however much
it looks like ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.decisions import Finding
from pve_evpn.domain.render import Wanted
from pve_evpn.domain.resources import Origin, Resource
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot, compare

_OWN_KIND: Mapping[str, SdnKind] = {
    "EvpnController": SdnKind.CONTROLLER,
    "EvpnZone": SdnKind.ZONE,
    "VNet": SdnKind.VNET,
}


def known_refs(resource: Resource[Any]) -> dict[SdnRef, Origin]:
    """Every Proxmox object the status says belongs to ``resource``: itself, and a VNet's subnets."""
    kind, id_, origin = _OWN_KIND.get(resource.key.kind), resource.status.get("id"), resource.origin
    refs: dict[SdnRef, Origin] = {}
    if kind and id_ and origin and resource.origin_confirmed:
        refs[SdnRef(kind, str(id_))] = origin
    for row in resource.status.get("subnets") or ():
        refs[SdnRef(SdnKind.SUBNET, str(row["id"]))] = Origin(row["origin"])
    return refs


class Ownership:
    """Judges the objects one resource wants, against what is there."""

    def __init__(self, resource: Resource[Any], sdn: SdnSnapshot, journal: frozenset[SdnRef]) -> None:
        self._resource = resource
        self._sdn = sdn
        self._journal = journal
        self._known = known_refs(resource)

    def of(self, want: Wanted) -> tuple[Origin, Finding | None]:
        """The origin the object has or would get, or why it must be left alone."""
        if origin := self._known.get(want.ref):
            return origin, None
        if want.ref in self._journal:
            return Origin.CREATED, None
        there = self._sdn.edited.get(want.ref) or self._sdn.running.get(want.ref)
        if there is None:
            return Origin.CREATED, None
        return self._adopt(want, there)

    def _adopt(self, want: Wanted, there: SdnObject) -> tuple[Origin, Finding | None]:
        policy = getattr(self._resource.spec, "adoption_policy", None) or "IfIdentical"
        if there.type != want.type:
            message = f"{want.ref} exists in Proxmox as type {there.type!r} and is not ours"
            return Origin.ADOPTED, Finding(Reason.FOREIGN_OBJECT, message)
        if want.parent and there.parent != want.parent:
            message = f"{want.ref} exists in Proxmox below VNet {there.parent} and is not ours"
            return Origin.ADOPTED, Finding(Reason.FOREIGN_OBJECT, message)
        differences = compare(there.props, want.props, must_be_absent=want.off)
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
        return Origin.ADOPTED, Finding(Reason.FOREIGN_OBJECT, message)

    def _adopted_origin(self, want: Wanted) -> Origin:
        """An identical object announced as ours by the annotation was created by us before the status was lost."""
        announced = self._resource.origin
        own = _OWN_KIND.get(self._resource.key.kind)
        return announced if announced and want.ref.kind is own else Origin.ADOPTED
