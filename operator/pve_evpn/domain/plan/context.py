"""What the planning of one cluster works with: what is given, and what was decided so far."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pve_evpn.api.types import ApiModel, VniRange
from pve_evpn.api.vnet import VNetSpec
from pve_evpn.api.zone import EvpnZoneSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import (
    Desired,
    GivenSecret,
    ObjectKey,
    Origin,
    Resource,
    admits,
    matches,
    oldest_first,
    own_ref,
    proxmox_id,
    sdn_kind_of,
)
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.plan.ownership import Adoption, known_refs
from pve_evpn.domain.plan.subnets import SubnetTable, network_of
from pve_evpn.domain.plan.vnis import VniTable
from pve_evpn.domain.sdn import PART_OF, SdnKind, SdnRef, SdnSnapshot
from pve_evpn.domain.state import ClusterState


@dataclass
class PlanContext:
    """The input of :func:`pve_evpn.domain.plan.plan`, and the claims, which grow while objects are decided about.

    Attributes:
        journal: Objects that an interrupted transaction was creating: if they are there, the operator made them.
        failures: Objects whose steps are left out for now, and why.
        recovering: A transaction was interrupted, so a difference is more likely the operator's own than drift.
        secrets: By Ipam and DnsServer.
        everything: Plan also what is paused, only observed or only reported.
        decisions: By object; an object comes after everything it may refer to.
        claims: Which desired object has which Proxmox object.
        usage: How many VNets and subnets were accepted, by zone in Proxmox and namespace.
    """

    desired: Desired
    state: ClusterState
    journal: frozenset[SdnRef]
    failures: Mapping[ObjectKey, Problem]
    recovering: bool
    everything: bool = False
    secrets: Mapping[ObjectKey, GivenSecret] = field(default_factory=dict)
    decisions: dict[ObjectKey, Decision] = field(default_factory=dict)
    claims: dict[SdnRef, ObjectKey] = field(default_factory=dict)
    usage: Counter[tuple[str, str, SdnKind]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.vnis = VniTable(self.sdn.edited, self.sdn.running)
        self.subnets = SubnetTable(self.sdn.edited)
        # What a status says is granted first: to objects that stay before those being deleted, and to the oldest first.
        # What is being deleted keeps its subnets too, until Proxmox no longer has them.
        for resource in oldest_first(r for r in self.desired if not r.deleting):
            for ref in known_refs(resource):
                if ref.kind not in PART_OF:
                    self.claim(ref, self.claims.get(ref, resource.key))
        for resource in oldest_first(r for r in self.desired if r.deleting):
            for ref in known_refs(resource):
                if not self._succeeded(resource, ref):
                    self.claim(ref, self.claims.get(ref, resource.key))

        self._keep_allocated_vnis()

    def _keep_allocated_vnis(self) -> None:
        """A VNI that was allocated stays with its object, also if an older object takes a number only now."""
        zones = ((zone, zone.status.vrf_vni) for zone in self.desired.zones if zone.spec and not zone.spec.vrf_vni)
        vnets = ((vnet, vnet.status.vni) for vnet in self.desired.vnets if vnet.spec and not vnet.spec.vni)
        allocated = {resource.key: vni for resource, vni in (*zones, *vnets) if vni and not resource.deleting}
        for resource in oldest_first(self.resources[key] for key in allocated):
            vni, ref = allocated[resource.key], own_ref(resource)
            if self.vnis.holder(vni, besides=ref) is None:
                self.vnis.claim(vni, ref, resource.key)

    @property
    def sdn(self) -> SdnSnapshot:
        return self.state.sdn

    @cached_property
    def resources(self) -> Mapping[ObjectKey, Resource[ApiModel]]:
        """The desired objects by key."""
        return {resource.key: resource for resource in self.desired}

    @cached_property
    def desired_refs(self) -> frozenset[tuple[str, SdnRef]]:
        """What the objects that stay stand for, accepted or not, with their kinds."""
        return frozenset((r.key.kind, own_ref(r)) for r in self.desired if not r.deleting and sdn_kind_of(r.key))

    def taken_over(self, ref: SdnRef, resource: Resource[Any]) -> Origin | None:
        """The origin of a Proxmox object that another desired object gives up in favour of ``resource``.

        A subnet that a VNet's spec has no more moves to the VNet whose spec has it now. A cluster-scoped object that is
        being deleted leaves its Proxmox object to a new one of its kind with the same id: those who write them are
        administrators.
        """
        if ref.kind is SdnKind.SUBNET:
            giver = self._given_up.get(ref)
            return Origin.CREATED if giver is not None and giver != resource.key else None
        alike = (other for other in self.desired if not other.key.namespace and other.key.kind == resource.key.kind)
        going = (known_refs(other) for other in alike if other.deleting)
        return next((known[ref] for known in going if ref in known), None)

    def _succeeded(self, resource: Resource[Any], ref: SdnRef) -> bool:
        """Whether a new object of its kind stands for what ``resource``, which is being deleted, stood for.

        ``ref`` is that, or a part of it.
        """
        itself = SdnRef(PART_OF[ref.kind], ref.id.partition("/")[0]) if ref.kind in PART_OF else ref
        return not resource.key.namespace and (resource.key.kind, itself) in self.desired_refs

    @cached_property
    def _given_up(self) -> Mapping[SdnRef, ObjectKey]:
        """The subnets that the operator created for a VNet that stays, and that its spec no longer has."""
        found = {}
        for vnet in self.desired.vnets:
            if vnet.deleting or vnet.paused or vnet.spec is None or vnet.spec.management_policy == "ObserveOnly":
                continue
            kept = {ipaddress.ip_network(subnet.cidr) for subnet in vnet.spec.subnets or ()}
            for ref, origin in known_refs(vnet).items():
                if ref.kind is SdnKind.SUBNET and origin is Origin.CREATED and network_of(ref) not in kept:
                    found[ref] = vnet.key
        return found

    @cached_property
    def enforced_ranges(self) -> Mapping[ObjectKey, VniRange]:
        """The ranges that bind explicit VNIs too, by zone."""
        specs = {zone.key: zone.spec for zone in self.desired.zones if zone.spec}
        return {key: spec.vni_range for key, spec in specs.items() if spec.vni_range and spec.vni_range.enforced}

    @cached_property
    def node_addresses(self) -> Mapping[int, list[int]]:
        """The nodes' addresses as sorted numbers, by IP version."""
        texts = {text for node in self.state.nodes.values() for text in (node.address, *(node.addresses or ())) if text}
        found: dict[int, list[int]] = {4: [], 6: []}
        for text in texts:
            with suppress(ValueError):  # a cluster may know a node by a name
                address = ipaddress.ip_interface(text).ip
                found[address.version].append(int(address))
        return {version: sorted(numbers) for version, numbers in found.items()}

    def zone_of(self, vnet: Resource[Any]) -> tuple[Resource[Any], EvpnZoneSpec] | None:
        """The zone of a VNet and its spec; None where there is none that the VNet may use."""
        if not isinstance(vnet.spec, VNetSpec):
            return None
        zone = self.resources.get(ObjectKey("EvpnZone", "", vnet.spec.zone_ref.name))
        if zone is None or not isinstance(zone.spec, EvpnZoneSpec):
            return None
        return (zone, zone.spec) if admits(zone.spec, self._labels(vnet)) else None

    def zones_for(self, vnet: Resource[Any]) -> list[str]:
        """The names of the zones that the VNet may use."""
        labels = self._labels(vnet)
        return [zone.key.name for zone in self.desired.zones if zone.spec and admits(zone.spec, labels)]

    def adoption(self, resource: Resource[Any]) -> Adoption:
        """What the object may take over that Proxmox has already."""
        if resource.key.kind != "VNet":
            return Adoption()
        zone = self.zone_of(resource)
        if zone is None:
            return Adoption(allowed=False)
        policies = (zone[1].adoption, getattr(self.desired.cluster.spec, "adoption", None))
        labels = self._labels(resource)
        allowed = any(policy is not None and matches(policy.namespaces, labels) for policy in policies)
        return Adoption(allowed, self.id_of(zone[0]))

    def id_of(self, resource: Resource[Any]) -> str:
        """The Proxmox name of a controller, zone or VNet, as it was decided."""
        decision = self.decisions.get(resource.key)
        return decision.id if decision and decision.id else proxmox_id(resource)

    def _labels(self, resource: Resource[Any]) -> Mapping[str, str]:
        return self.desired.namespaces.get(resource.key.namespace, {})

    def claim(self, ref: SdnRef, key: ObjectKey) -> None:
        self.claims[ref] = key
        self.subnets.add(ref)
