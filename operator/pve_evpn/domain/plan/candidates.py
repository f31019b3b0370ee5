"""A controller, zone or VNet that is to stay, with what follows from its spec in this cluster.

A value is computed when it is first needed. :mod:`pve_evpn.domain.plan.checks` asks in an order in which everything
that a value depends on has been found good before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.api.types import ApiModel
from pve_evpn.api.vnet import VNetSpec
from pve_evpn.api.zone import EvpnZoneSpec
from pve_evpn.domain.conditions import Problem, all_of
from pve_evpn.domain.objects import ObjectKey, Origin, Resource, own_ref
from pve_evpn.domain.plan import render
from pve_evpn.domain.plan.context import PlanContext
from pve_evpn.domain.plan.ownership import known_refs, origin_of, remade
from pve_evpn.domain.plan.peers import UnderlayPeers, underlay_peers
from pve_evpn.domain.plan.vnis import annotated_vni, find_vni
from pve_evpn.domain.sdn import SdnObject, SdnRef

SpecT = TypeVar("SpecT", bound=ApiModel)


class Candidate(ABC, Generic[SpecT]):
    """What the three kinds have in common."""

    #: The fields that Proxmox VE has since 9.2.
    newer_fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, resource: Resource[SpecT], spec: SpecT, context: PlanContext) -> None:
        self.resource = resource
        self.spec = spec
        self.context = context
        self.ref = own_ref(resource)

    @property
    def nodes(self) -> Iterable[tuple[str, Iterable[str] | None]]:
        """The fields that name nodes, with their values."""
        return ()

    @property
    def parents(self) -> tuple[Resource[Any], ...]:
        """The desired objects that must be in Proxmox before this one."""
        return ()

    @property
    def vni(self) -> int | Problem | None:
        """Its VNI, or why it has none. None for a kind without VNIs."""
        return None

    @property
    @abstractmethod
    def objects(self) -> tuple[SdnObject, ...]:
        """The desired Proxmox objects: itself first, then its subnets."""

    @cached_property
    def origins(self) -> dict[SdnRef, Origin] | Problem:
        """The origin that each of its objects has or would get, or why one of them is not to be touched."""
        found: dict[SdnRef, Origin] = {}
        problems: list[Problem] = []
        adoption = self.context.adoption(self.resource)
        known, sdn = known_refs(self.resource), self.context.sdn
        for obj in self.objects:
            origin = known.get(obj.ref) or self.context.taken_over(obj.ref, self.resource)
            if origin and obj.ref not in self.context.journal and (how := remade(obj.ref, sdn, adoption.zone_id)):
                message = f"{obj.ref} exists in Proxmox {how}: another client has made it anew, and it is not ours"
                return Problem(Reason.FOREIGN_OBJECT, message)
            judged = origin or origin_of(obj, self.resource, sdn, self.context.journal, adoption)
            if isinstance(judged, Problem):
                problems.append(judged)
            else:
                found[obj.ref] = judged
        return all_of(problems) or found

    def _known_vni(self, specified: int | None, allocated: int | None) -> int | Problem | None:
        """By the spec, else as it was allocated before: by the status, or the annotation written ahead of it."""
        for known in (specified, allocated):
            if known is not None:
                return known
        annotated = self.resource.annotations.get(kinds.ANNOTATION_VNI)
        return None if annotated is None else annotated_vni(annotated)


class ControllerCandidate(Candidate[EvpnControllerSpec]):
    newer_fields = ("nodes", "bgp_mode", "ebgp_multihop", "peer_group_name", "route_map_in", "route_map_out")

    @property
    def nodes(self) -> Iterable[tuple[str, Iterable[str] | None]]:
        return (("nodes", self.spec.nodes),)

    @cached_property
    def peers(self) -> UnderlayPeers:
        running = self.context.sdn.running_peers(self.ref)
        return underlay_peers(self.spec, self.context.state.nodes, running)

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        return (render.controller(self.ref.id, self.spec, self.peers.addresses),)


class ZoneCandidate(Candidate[EvpnZoneSpec]):
    newer_fields = ("secondary_controller_refs",)

    @property
    def nodes(self) -> Iterable[tuple[str, Iterable[str] | None]]:
        exits = self.spec.exit_nodes
        return (("nodes", self.spec.nodes), ("exitNodes.nodes", exits.nodes if exits else None))

    @property
    def controller_refs(self) -> Iterable[tuple[str, str]]:
        """The fields that name controllers, with each name; the first controller comes first."""
        yield "controllerRef", self.spec.controller_ref.name
        for ref in self.spec.secondary_controller_refs or ():
            yield "secondaryControllerRefs", ref.name

    def controller(self, name: str) -> Resource[Any] | None:
        return self.context.resources.get(ObjectKey("EvpnController", "", name))

    @cached_property
    def parents(self) -> tuple[Resource[Any], ...]:
        found = (self.controller(name) for _, name in self.controller_refs)
        return tuple(controller for controller in found if controller is not None)

    @cached_property
    def vni(self) -> int | Problem | None:
        known = self._known_vni(self.spec.vrf_vni, self.resource.status.vrf_vni)
        return find_vni(self.context.vnis, self.ref, self.resource.key, known, self.spec.vni_range, "vrfVni")

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        assert isinstance(self.vni, int)
        first, *others = map(self.context.id_of, self.parents)
        secondary = tuple(others) if self.spec.secondary_controller_refs is not None else None
        return (render.zone(self.ref.id, self.spec, first, secondary, self.vni),)


class VNetCandidate(Candidate[VNetSpec]):
    @cached_property
    def zone(self) -> tuple[Resource[Any], EvpnZoneSpec] | None:
        """The zone and its spec; None where there is none that this VNet may use."""
        return self.context.zone_of(self.resource)

    @property
    def parents(self) -> tuple[Resource[Any], ...]:
        return self.zone[:1] if self.zone else ()

    @cached_property
    def zone_id(self) -> str:
        return self.context.id_of(self.parents[0])

    @cached_property
    def vni(self) -> int | Problem | None:
        assert self.zone
        known = self._known_vni(self.spec.vni, self.resource.status.vni)
        return find_vni(self.context.vnis, self.ref, self.resource.key, known, self.zone[1].vni_range, "vni")

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        assert isinstance(self.vni, int)
        itself = render.vnet(self.ref.id, self.spec, self.zone_id, self.vni)
        return (itself, *(render.subnet(subnet, self.zone_id, self.ref.id) for subnet in self.spec.subnets or ()))
