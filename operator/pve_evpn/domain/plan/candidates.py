"""An object that is to stay and stands for one in Proxmox, with what follows from its spec in this cluster.

A value is computed when it is first needed. :mod:`pve_evpn.domain.plan.checks` asks in an order in which everything
that a value depends on has been found good before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.api.fabric import FabricNode, FabricSpec
from pve_evpn.api.policy import PrefixListSpec, RouteMapSpec
from pve_evpn.api.router import BgpControllerSpec, IsisControllerSpec
from pve_evpn.api.service import DnsServerSpec, IpamSpec
from pve_evpn.api.types import ApiModel
from pve_evpn.api.vnet import VNetSpec
from pve_evpn.api.zone import EvpnZoneSpec
from pve_evpn.domain.conditions import Problem, all_of
from pve_evpn.domain.objects import GivenSecret, ObjectKey, Origin, Resource, own_ref
from pve_evpn.domain.plan import fabrics, policies, render
from pve_evpn.domain.plan.context import PlanContext
from pve_evpn.domain.plan.ownership import known_refs, origin_of, remade, sdn_type
from pve_evpn.domain.plan.peers import UnderlayPeers, underlay_peers
from pve_evpn.domain.plan.references import references
from pve_evpn.domain.plan.vnis import annotated_vni, find_vni
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef

SpecT = TypeVar("SpecT", bound=ApiModel)


#: The properties in Proxmox of fields that refer to other objects beside a field that has their id.
_PROPERTIES = {
    "routeMapInRef": "route-map-in",
    "routeMapOutRef": "route-map-out",
    "underlay.fabricRef": "fabric",
    "ipamRef": "ipam",
    "dns.serverRef": "dns",
    "dns.reverseRef": "reversedns",
}


class Candidate(ABC, Generic[SpecT]):
    """What all kinds have in common."""

    #: The capability of a release without which Proxmox has no such object; empty if all have it.
    needs: ClassVar[str] = ""
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
    def references(self) -> Iterable[tuple[str, str, str]]:
        """Field, kind and name of the objects that the spec names (:mod:`~pve_evpn.domain.plan.references`)."""
        return references(self.spec)

    @property
    def parents(self) -> tuple[Resource[Any], ...]:
        """The desired objects that must be in Proxmox before this one."""
        found = (self.referenced(kind, name) for _, kind, name in self.references)
        return tuple({resource.key: resource for resource in found if resource is not None}.values())

    def referenced(self, kind: str, name: str) -> Resource[Any] | None:
        """A cluster-scoped object of the same ProxmoxCluster."""
        return self.context.resources.get(ObjectKey(kind, "", name))

    def name_of(self, kind: str, name: str) -> str:
        """The Proxmox name of a referenced object, which is known to be there."""
        resource = self.referenced(kind, name)
        assert resource is not None
        return self.context.id_of(resource)

    def named(self) -> dict[str, str]:
        """Properties that name other objects by reference, with the names of these in Proxmox."""
        named = {_PROPERTIES[field]: (kind, name) for field, kind, name in self.references if field in _PROPERTIES}
        return {key: self.name_of(kind, name) for key, (kind, name) in named.items()}

    @property
    def vni(self) -> int | Problem | None:
        """Its VNI, or why it has none. None for a kind without VNIs."""
        return None

    @property
    @abstractmethod
    def objects(self) -> tuple[SdnObject, ...]:
        """The desired Proxmox objects: itself first, then its parts."""

    @cached_property
    def origins(self) -> dict[SdnRef, Origin] | Problem:
        """The origin that each of its objects has or would get, or why one of them is not to be touched."""
        found: dict[SdnRef, Origin] = {}
        problems: list[Problem] = []
        adoption = self.context.adoption(self.resource)
        known, sdn = known_refs(self.resource), self.context.sdn
        for obj in self.objects:
            origin = known.get(obj.ref) or self.context.taken_over(obj.ref, self.resource)
            if origin and obj.ref not in self.context.journal and (how := self._remade(obj.ref, adoption.zone_id)):
                message = f"{obj.ref} exists in Proxmox {how}: another client has made it anew, and it is not ours"
                return Problem(Reason.FOREIGN_OBJECT, message)
            judged = origin or origin_of(obj, self.resource, sdn, self.context.journal, adoption)
            if isinstance(judged, Problem):
                problems.append(judged)
            else:
                found[obj.ref] = judged
        return all_of(problems) or found

    def _remade(self, ref: SdnRef, zone_id: str) -> str:
        return remade(ref, self.context.sdn, sdn_type(self.resource), zone_id)

    def _known_vni(self, specified: int | None, allocated: int | None) -> int | Problem | None:
        """By the spec, else as it was allocated before: by the status, or the annotation written ahead of it."""
        for known in (specified, allocated):
            if known is not None:
                return known
        annotated = self.resource.annotations.get(kinds.ANNOTATION_VNI)
        return None if annotated is None else annotated_vni(annotated)


#: Where Secrets are not read (a preview): it is taken to be what Proxmox has.
_ASSUMED = GivenSecret(sent=True)


class ServiceCandidate(Candidate[IpamSpec | DnsServerSpec]):
    """An IPAM or DNS server."""

    @property
    def secret_field(self) -> str:
        """The field that names its Secret."""
        return "tokenSecretRef" if isinstance(self.spec, IpamSpec) else "keySecretRef"

    @property
    def given(self) -> GivenSecret | None:
        """Its secret; None where the spec names none."""
        named = self.spec.token_secret_ref if isinstance(self.spec, IpamSpec) else self.spec.key_secret_ref
        if named is None:
            return None
        return self.context.secrets.get(self.resource.key, _ASSUMED)

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        secret = self.given.value if self.given else None
        resend = self.given is not None and not self.given.sent
        return (replace(render.service(self.ref, self.spec), secret=secret, resend=resend),)


class FabricCandidate(Candidate[FabricSpec]):
    @property
    def nodes(self) -> Iterable[tuple[str, Iterable[str] | None]]:
        return (("nodes", [node.name for node in self.spec.nodes or () if not node.external]),)

    @cached_property
    def members(self) -> tuple[FabricNode, ...]:
        return fabrics.members(self.spec, self.context.state.nodes)

    @cached_property
    def addresses(self) -> Mapping[str, fabrics.Allocation]:
        """The nodes' addresses by family, ``ip`` and ``ip6``."""
        annotated = fabrics.remembered(self.resource.annotations.get(kinds.ANNOTATION_ADDRESSES))
        families = {"ip": (self.spec.prefix, 4), "ip6": (self.spec.prefix6, 6)}
        return {
            field: fabrics.allocate(
                self.ref,
                self.members,
                prefix,
                field,
                self.context.sdn,
                self.resource.status,
                annotated,
                self.context.node_addresses[version],
            )
            for field, (prefix, version) in families.items()
        }

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        listed = self.spec.route_filter_ref
        route_filter = self.name_of("PrefixList", listed.name) if listed else None
        itself = render.fabric(self.ref.id, self.spec, route_filter, self.name_of)
        return (itself, *map(self._node, self.members))

    def _node(self, node: FabricNode) -> SdnObject:
        ref = SdnRef(SdnKind.FABRIC_NODE, f"{self.ref.id}/{node.name}")
        external = frozenset(other.name for other in self.members if other.external)
        given = {
            "interfaces": fabrics.interfaces(node.interfaces, fabrics.server_keys(self.context.sdn.edited.get(ref))),
            "peers": fabrics.peers(node.peers, external),
        }
        addresses = {field: allocation.by_node.get(node.name) for field, allocation in self.addresses.items()}
        return render.fabric_node(self.ref.id, self.spec.protocol, node, addresses, given)


class PrefixListCandidate(Candidate[PrefixListSpec]):
    needs = "policies"

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        return (render.prefix_list(self.ref.id, self.spec),)


class RouteMapCandidate(Candidate[RouteMapSpec]):
    needs = "policies"

    @cached_property
    def circle(self) -> tuple[str, ...]:
        """The way by which the map calls itself; empty if it does not."""
        return policies.circle(self.resource.key.name, lambda name: policies.calls(self._spec_of(name)))

    def _spec_of(self, name: str) -> object:
        resource = self.referenced("RouteMap", name)
        return resource.spec if resource else None

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        return (policies.route_map(self.ref.id, self.spec, self.name_of),)


class ControllerCandidate(Candidate[EvpnControllerSpec]):
    newer_fields = (
        *("nodes", "bgp_mode", "ebgp_multihop", "peer_group_name"),
        *("route_map_in", "route_map_out", "route_map_in_ref", "route_map_out_ref"),
    )

    @property
    def nodes(self) -> Iterable[tuple[str, Iterable[str] | None]]:
        return (("nodes", self.spec.nodes),)

    @cached_property
    def peers(self) -> UnderlayPeers:
        running = self.context.sdn.running_peers(self.ref)
        return underlay_peers(self.spec, self.context.state.nodes, running)

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        return (render.controller(self.ref.id, self.spec, self.peers.addresses, self.named()),)


class BgpControllerCandidate(Candidate[BgpControllerSpec]):
    newer_fields = ("route_map_in", "route_map_out", "route_map_in_ref", "route_map_out_ref")

    @property
    def nodes(self) -> Iterable[tuple[str, Iterable[str] | None]]:
        return (("node", (self.spec.node,)),)

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        return (render.bgp_controller(self.ref.id, self.spec, self.named()),)


class IsisControllerCandidate(Candidate[IsisControllerSpec]):
    @property
    def nodes(self) -> Iterable[tuple[str, Iterable[str] | None]]:
        return (("node", (self.spec.node,)),)

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        return (render.isis_controller(self.ref.id, self.spec),)


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
        return (*self.controllers, *super().parents)

    @cached_property
    def controllers(self) -> tuple[Resource[Any], ...]:
        """What :attr:`controller_refs` name."""
        found = (self.controller(name) for _, name in self.controller_refs)
        return tuple(controller for controller in found if controller is not None)

    @cached_property
    def vni(self) -> int | Problem | None:
        known = self._known_vni(self.spec.vrf_vni, self.resource.status.vrf_vni)
        return find_vni(self.context.vnis, self.ref, self.resource.key, known, self.spec.vni_range, "vrfVni")

    @cached_property
    def objects(self) -> tuple[SdnObject, ...]:
        assert isinstance(self.vni, int)
        first, *others = map(self.context.id_of, self.controllers)
        secondary = tuple(others) if self.spec.secondary_controller_refs is not None else None
        return (render.zone(self.ref.id, self.spec, first, secondary, self.vni, self.named()),)


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
        _, namespace, name = self.resource.key
        itself = render.vnet(self.ref.id, self.spec, self.zone_id, self.vni, f"{namespace}/{name}")
        return (itself, *(render.subnet(subnet, self.zone_id, self.ref.id) for subnet in self.spec.subnets or ()))
