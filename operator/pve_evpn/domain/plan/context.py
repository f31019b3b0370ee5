"""What the planning of one cluster works with: what is given, and what was decided so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pve_evpn.api.types import ApiModel
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, ObjectKey, Resource, oldest_first
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.plan.ownership import claimed_refs
from pve_evpn.domain.plan.subnets import SubnetTable
from pve_evpn.domain.plan.vnis import VniTable
from pve_evpn.domain.sdn import SdnRef, SdnSnapshot
from pve_evpn.domain.state import ClusterState


@dataclass
class PlanContext:
    """The input of :func:`pve_evpn.domain.plan.plan`, and the claims, which grow while objects are decided about.

    Attributes:
        journal: Objects that an interrupted transaction was creating: if they are there, the operator made them.
        failures: Objects whose steps are left out for now, and why.
        recovering: A transaction was interrupted, so a difference is more likely the operator's own than drift.
        decisions: By object; an object comes after everything it may refer to.
        claims: Which desired object has which Proxmox object.
    """

    desired: Desired
    state: ClusterState
    journal: frozenset[SdnRef]
    failures: Mapping[ObjectKey, Problem]
    recovering: bool
    decisions: dict[ObjectKey, Decision] = field(default_factory=dict)
    claims: dict[SdnRef, ObjectKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.vnis = VniTable(self.sdn.edited, self.sdn.running)
        self.subnets = SubnetTable(self.sdn.edited)
        # What is being deleted keeps its name and its VNI until Proxmox no longer has it.
        for resource in oldest_first(r for r in self.desired if r.deleting):
            for ref in claimed_refs(resource, self.sdn, self.journal):
                self.claim(ref, self.claims.get(ref, resource.key))

    @property
    def sdn(self) -> SdnSnapshot:
        return self.state.sdn

    @cached_property
    def resources(self) -> Mapping[ObjectKey, Resource[ApiModel]]:
        """The desired objects by key."""
        return {resource.key: resource for resource in self.desired}

    def claim(self, ref: SdnRef, key: ObjectKey) -> None:
        self.claims[ref] = key
        self.subnets.add(ref)
