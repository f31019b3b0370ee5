"""The plan: everything wanted and everything there in, the steps of one transaction and a decision per object out.

Pure: no clock, no network, no Kubernetes. Same input, same output, on every replica. It is computed from the WHOLE
desired and observed state each time, so that nothing depends on which event came first.

How an object is judged, first answer wins:

====================================  ==========================================================
its spec cannot be read               refused InvalidSpec
what it refers to is not there        refused RefNotFound (heals when it appears)
it may not be where it wants to be    refused RefNotFound: what one may not use is not there
another object has its id or VNI      refused IdConflict / VniConflict (oldest wins)
Proxmox has it, not from us           adopted, or refused ForeignObject, by adoptionPolicy
what it refers to is not programmed   waiting
otherwise                             create / update / nothing
====================================  ==========================================================

A refused object is left out with its reason and blocks nothing else. What it has in Proxmox already stays as it is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic.alias_generators import to_camel

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.api.types import ApiModel
from pve_evpn.api.vnet import VNetSpec
from pve_evpn.api.zone import EvpnZoneSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, ObjectKey, Origin, Resource, matches, oldest_first, own_ref, proxmox_id
from pve_evpn.domain.plan import firewall, render
from pve_evpn.domain.plan.controllers import conflict
from pve_evpn.domain.plan.deletion import decide_deletion
from pve_evpn.domain.plan.model import Decision, Plan, Step, carried_out, in_order
from pve_evpn.domain.plan.ownership import Ownership, claimed_refs, known_refs
from pve_evpn.domain.plan.peers import cluster_peers
from pve_evpn.domain.sdn import (
    SERVER_FILLED,
    PendingChange,
    PendingState,
    SdnKind,
    SdnObject,
    SdnRef,
    pending_changes,
    show,
)
from pve_evpn.domain.state import ClusterState, first_with

SpecT = TypeVar("SpecT", bound=ApiModel)


def plan(
    desired: Desired,
    state: ClusterState,
    *,
    journal: frozenset[SdnRef] = frozenset(),
    failures: Mapping[ObjectKey, Problem] = MappingProxyType({}),
    recovering: bool = False,
    spent: str = "",
) -> Plan:
    """Decide everything for one cluster.

    ``journal`` names the objects that an interrupted transaction of ours was creating: if they are there now, we
    made them, even though no status says so yet. ``failures`` names objects whose steps are left out for now because
    Proxmox refused them, or because what they did had to be taken back; what needs them waits with them.
    ``recovering``: a transaction of ours was interrupted, so a difference is more likely our own half of it than drift.
    ``spent``: the approval that was used last; it makes the next equal plan another one.
    """
    return replace(_Planner(desired, state, journal, failures, recovering).run(), spent=spent)


#: A controller's fields that Proxmox VE has since 9.2.
_SINCE_9_2 = ("nodes", "bgp_mode", "ebgp_multihop", "peer_group_name", "route_map_in", "route_map_out")

#: Types of zones whose VNets' tags are VNIs.
_WITH_VNIS = frozenset(["evpn", "vxlan"])


class _Planner:
    """One run of :func:`plan`. Claims grow while objects are judged oldest first; nothing else is mutable."""

    def __init__(
        self,
        desired: Desired,
        state: ClusterState,
        journal: frozenset[SdnRef],
        failures: Mapping[ObjectKey, Problem],
        recovering: bool,
    ) -> None:
        self.failures = failures
        self.recovering = recovering
        self.desired = desired
        self.state = state
        self.sdn = state.sdn
        self.journal = journal
        self.decisions: dict[ObjectKey, Decision] = {}
        self.claimed: dict[SdnRef, ObjectKey] = {}
        self.vnis = _VniTable(self.sdn.edited, self.sdn.running)
        self.deleting = tuple(oldest_first(r for r in desired if r.deleting))

    # --- the run ------------------------------------------------------------------------------------------------

    def run(self) -> Plan:
        # What is being deleted keeps its name and its VNI until Proxmox no longer has it.
        for resource in self.deleting:
            for ref in claimed_refs(resource, self.sdn, self.journal):
                self.claimed.setdefault(ref, resource.key)
        self._each(self.desired.controllers, self._controller)
        self._each(self.desired.zones, self._zone)
        self._each(self.desired.vnets, self._vnet)
        deletions = decide_deletion(
            self.desired, self.state, self.decisions, self.journal, self.failures, self.recovering
        )
        self.decisions.update(deletions.decisions)
        steps = in_order([*self._changes(), *deletions.steps])
        own, foreign = self._pending_after(steps)
        return Plan(steps, self.decisions, own, foreign)

    def _each(self, resources: Iterable[Resource[SpecT]], decide: Callable[[Resource[SpecT], SpecT], Decision]) -> None:
        for resource in oldest_first(r for r in resources if not r.deleting):
            if resource.spec is None:
                message = resource.invalid or "the specification could not be read"
                decision = Decision(resource.key, refused=Problem(Reason.INVALID_SPEC, message))
            else:
                decision = decide(resource, resource.spec)
            self.decisions[resource.key] = decision

    # --- one kind each ------------------------------------------------------------------------------------------

    def _controller(self, resource: Resource[EvpnControllerSpec], spec: EvpnControllerSpec) -> Decision:
        id_ = proxmox_id(resource)
        if problem := self._controller_refusal(id_, spec):
            return self._refuse(resource, id_, problem)
        peers, problem = self._peers(SdnRef(SdnKind.CONTROLLER, id_), spec)
        if problem:
            return self._refuse(resource, id_, problem)
        wanted = render.controller(id_, spec, peers)
        if message := conflict(wanted, self._other_controllers(wanted.ref), self.state.nodes):
            return self._refuse(resource, id_, Problem(Reason.CONTROLLER_CONFLICT, message, retryable=True))
        return self._claim(resource, id_, (wanted,))

    def _other_controllers(self, ref: SdnRef) -> list[SdnObject]:
        """Those in Proxmox, as they will be where that is decided; before 9.2 there is one anyway."""
        if not self.state.capabilities.several_controllers:
            return []
        there: dict[SdnRef, SdnObject] = {
            key: obj for key, obj in self.sdn.edited.items() if key.kind is SdnKind.CONTROLLER
        }
        there |= {want.ref: want for made in self.decisions.values() for want in made.wanted}
        return [controller for key, controller in there.items() if key != ref]

    def _controller_refusal(self, id_: str, spec: EvpnControllerSpec) -> Problem | None:
        if problem := self._too_new(spec, _SINCE_9_2):
            return problem
        if not self.state.capabilities.several_controllers:
            others = [
                ref.id
                for ref, obj in sorted(self.sdn.edited.items())
                if ref.kind is SdnKind.CONTROLLER and obj.type == "evpn" and ref.id != id_
            ]
            claimed = [r.id for r in self.claimed if r.kind is SdnKind.CONTROLLER and r.id != id_]
            if others or claimed:
                name = (others or claimed)[0]
                return Problem(
                    Reason.CONTROLLER_CONFLICT,
                    f"Proxmox VE {self.state.version} allows one EVPN controller per cluster, and {name!r} is there",
                )
        fabric = spec.underlay.fabric
        if fabric and self.sdn.fabrics is not None and fabric not in self.sdn.fabrics:
            return Problem(
                Reason.REF_NOT_FOUND,
                f"underlay.fabric: Proxmox has no fabric {fabric!r} (it has: {_names(self.sdn.fabrics)})",
                retryable=True,
            )
        return self._unknown_nodes("nodes", spec.nodes)

    def _too_new(self, spec: ApiModel, fields: Iterable[str]) -> Problem | None:
        """The first of the fields of Proxmox VE 9.2 that is set, where the node that answers is older."""
        if self.state.capabilities.several_controllers:
            return None
        said = [to_camel(name) for name in fields if getattr(spec, name) is not None]
        message = f"needs Proxmox VE {first_with('several_controllers')} or newer, and it is {self.state.version}"
        return Problem(Reason.VERSION_UNSUPPORTED, f"{said[0]}: {message}", retryable=True) if said else None

    def _peers(self, ref: SdnRef, spec: EvpnControllerSpec) -> tuple[tuple[str, ...] | None, Problem | None]:
        """The peer addresses of the underlay; None with a fabric, which brings its own."""
        underlay = spec.underlay
        if underlay.peers is not None:
            return tuple(str(ipaddress.ip_address(peer)) for peer in underlay.peers), None
        if underlay.cluster_nodes is None:
            return None, None
        cidr, nodes = underlay.cluster_nodes.cidr, self.state.nodes
        members = [node for name, node in sorted(nodes.items()) if spec.nodes is None or name in spec.nodes]
        running = self.sdn.running_peers(ref)
        found = cluster_peers(members, nodes.values(), cidr, running)
        peers = [*found.own.values(), *found.kept]
        without = list(found.without)
        for name in found.unread if len(found.unread) > len(found.kept) else ():
            # To begin with, the address the cluster knows is the best there is. A peer that runs is not guessed at.
            guess = None if running else nodes[name].address_in(cidr)
            if guess is not None:
                peers.append(guess)
            elif nodes[name].online:
                without.append(name)  # one that is switched off and never was a peer can wait
        if without:
            where = f" in {cidr}" if cidr else ""
            return None, Problem(
                Reason.REF_NOT_FOUND,
                f"underlay.clusterNodes: no address{where} on {_names(without)}",
                retryable=True,
            )
        return tuple(peers), None

    def _zone(self, resource: Resource[EvpnZoneSpec], spec: EvpnZoneSpec) -> Decision:
        id_ = proxmox_id(resource)
        if problem := self._too_new(spec, ["secondary_controller_refs"]):
            return self._refuse(resource, id_, problem)
        refs = [("controllerRef", spec.controller_ref.name)]
        refs += [("secondaryControllerRefs", ref.name) for ref in spec.secondary_controller_refs or ()]
        controllers = []
        for where, name in refs:
            controller = self._same_cluster(ObjectKey("EvpnController", "", name), self.desired.controllers)
            if controller is None:
                return self._refuse(resource, id_, _not_found(where, "EvpnController", name))
            controllers.append(controller)
        exits = spec.exit_nodes
        for where, names in (("nodes", spec.nodes), ("exitNodes.nodes", exits.nodes if exits else None)):
            if unknown := self._unknown_nodes(where, names):
                return self._refuse(resource, id_, unknown)
        ref = SdnRef(SdnKind.ZONE, id_)
        vni, problem = self._vni(resource, ref, spec.vrf_vni, spec.vni_range, "vrfVni")
        if problem or vni is None:
            return self._refuse(resource, id_, problem)
        ids = [self.decisions[c.key].id if c.key in self.decisions else proxmox_id(c) for c in controllers]
        secondary = tuple(ids[1:]) if spec.secondary_controller_refs is not None else None
        decision = self._claim(resource, id_, (render.zone(id_, spec, ids[0], secondary, vni),), vni)
        return self._wait_for(decision, controllers)

    def _vnet(self, resource: Resource[VNetSpec], spec: VNetSpec) -> Decision:
        id_ = proxmox_id(resource)
        zone = self._same_cluster(ObjectKey("EvpnZone", "", spec.zone_ref.name), self.desired.zones)
        # A zone that does not admit this namespace looks to it like one that does not exist.
        if zone is None or zone.spec is None or not self._admits(zone.spec, resource.key.namespace):
            return self._refuse(resource, id_, _not_found("zoneRef", "EvpnZone", spec.zone_ref.name))
        zone_id = self.decisions[zone.key].id if zone.key in self.decisions else proxmox_id(zone)
        ref = SdnRef(SdnKind.VNET, id_)
        vni, problem = self._vni(resource, ref, spec.vni, zone.spec.vni_range, "vni")
        problem = problem or self._overlap(resource, spec, zone_id, id_)
        if problem or vni is None:
            return self._refuse(resource, id_, problem)
        subnets = [render.subnet(subnet, zone_id, id_) for subnet in spec.subnets or ()]
        decision = self._claim(resource, id_, (render.vnet(id_, spec, zone_id, vni), *subnets), vni)
        return self._wait_for(decision, [zone])

    # --- checks the kinds share ---------------------------------------------------------------------------------

    def _same_cluster(self, key: ObjectKey, candidates: Iterable[Resource[SpecT]]) -> Resource[SpecT] | None:
        return next((candidate for candidate in candidates if candidate.key == key), None)

    def _admits(self, spec: EvpnZoneSpec, namespace: str) -> bool:
        allowed = spec.allowed_namespaces
        if allowed.from_ == "Selector":
            return matches(allowed.selector, self.desired.namespaces.get(namespace, {}))
        return allowed.from_ == "All"

    def _unknown_nodes(self, where: str, names: Iterable[str] | None) -> Problem | None:
        unknown = sorted(set(names or ()) - self.state.nodes.keys())
        if not unknown:
            return None
        return Problem(
            Reason.REF_NOT_FOUND,
            f"{where}: the Proxmox cluster has no node {_names(unknown)} (it has: {_names(self.state.nodes)})",
            retryable=True,
        )

    def _vni(
        self, resource: Resource[Any], ref: SdnRef, explicit: int | None, range_: Any, where: str
    ) -> tuple[int | None, Problem | None]:
        """The object's VNI: as written, as allocated before, or the lowest free one of the range."""
        if explicit is None:
            explicit = resource.status.vni if where == "vni" else resource.status.vrf_vni
        if explicit is None and (announced := resource.annotations.get(kinds.ANNOTATION_VNI, "")).isdecimal():
            explicit = int(announced)
        if explicit is not None:
            if holder := self.vnis.holder(explicit, besides=ref):
                message = f"{where}: VNI {explicit} is already used by {holder}"
                return None, Problem(Reason.VNI_CONFLICT, message)
            return explicit, None
        if range_ is None:
            return None, Problem(Reason.INVALID_SPEC, f"{where}: not set, and the zone has no vniRange to take it from")
        for candidate in range(range_.first, range_.last + 1):
            if self.vnis.holder(candidate, besides=ref) is None:
                return candidate, None
        message = f"{where}: every VNI from {range_.first} to {range_.last} is in use"
        return None, Problem(Reason.VNI_CONFLICT, message)

    def _overlap(self, resource: Resource[Any], spec: VNetSpec, zone_id: str, vnet_id: str) -> Problem | None:
        """Subnets of one zone share a VRF, so an overlap would make one of them unreachable. Proxmox accepts it."""
        taken: dict[SdnRef, str] = {
            ref: obj.parent
            for ref, obj in self.sdn.edited.items()
            if ref.kind is SdnKind.SUBNET and obj.parent != vnet_id
        }
        for ref in self.claimed:
            if ref.kind is SdnKind.SUBNET:
                taken.setdefault(ref, self.claimed[ref].name)
        for subnet in spec.subnets or ():
            mine = ipaddress.ip_network(subnet.cidr)
            for ref, holder in sorted(taken.items()):
                if self.claimed.get(ref) == resource.key or ref.id.split("-", 1)[0] != zone_id:
                    continue
                other = ipaddress.ip_network(render.subnet_cidr(ref), strict=False)
                if mine.version == other.version and mine.overlaps(other):
                    message = f"subnets: {mine} overlaps {other} of VNet {holder} in the same zone"
                    return Problem(Reason.SUBNET_OVERLAP, message)
        return None

    def _wait_for(self, decision: Decision, needed: Iterable[Resource[Any]]) -> Decision:
        """Hold an object back while something it needs is neither in Proxmox nor about to be."""
        if decision.refused:
            return decision
        for resource in needed:
            parent = self.decisions.get(resource.key)
            if parent is None:  # being deleted
                ref = own_ref(resource)
                there, why = ref in self.sdn.edited, "it is being deleted"
            elif parent.ref is None:
                there, why = False, parent.refused.message if parent.refused else "it is not accepted"
            else:
                will_be = parent.waiting is None and parent.managed
                there, why = will_be or parent.ref in self.sdn.edited, "it is not in Proxmox yet"
                if parent.waiting:
                    why = parent.waiting.message
            if not there:
                problem = Problem(Reason.WAITING_FOR_DEPENDENCIES, f"waits for {resource.key}: {why}", retryable=True)
                return replace(decision, waiting=problem)
        return decision

    # --- claiming names in Proxmox ------------------------------------------------------------------------------

    def _refuse(self, resource: Resource[Any], id_: str, problem: Problem | None) -> Decision:
        assert problem is not None
        return Decision(resource.key, id=id_, refused=problem, origin=resource.origin, origins=known_refs(resource))

    def _claim(
        self, resource: Resource[Any], id_: str, wanted: tuple[SdnObject, ...], vni: int | None = None
    ) -> Decision:
        for want in wanted:
            holder = self.claimed.get(want.ref)
            if holder is not None and holder != resource.key:
                message = f"id: {want.ref} already belongs to {holder}; make this object anew with a free spec.id"
                return self._refuse(resource, id_, Problem(Reason.ID_CONFLICT, message))
        ownership = Ownership(resource, self.sdn, self.journal)
        origins: dict[SdnRef, Origin] = {}
        for want in wanted:
            origin, problem = ownership.of(want)
            if problem:
                return self._refuse(resource, id_, problem)
            origins[want.ref] = origin
        for want in wanted:
            self.claimed[want.ref] = resource.key
        if vni is not None:
            self.vnis.claim(vni, wanted[0].ref, resource.key)
        digest = render.fingerprint(wanted, firewall.fingerprint(getattr(resource.spec, "firewall", None)))
        wanted = tuple(_whole(want, origins[want.ref]) for want in wanted)
        policies = [getattr(spec, "management_policy", None) for spec in (resource.spec, self.desired.cluster.spec)]
        observe_only = "ObserveOnly" in policies
        decision = Decision(
            resource.key,
            id=id_,
            vni=vni,
            wanted=wanted,
            origin=origins[wanted[0].ref],
            origins=origins,
            managed=not (observe_only or resource.paused or self.desired.paused),
            missing=wanted[0].ref not in self.sdn.edited,
            version=resource.version,
            fingerprint=digest,
        )
        # A subnet the spec no longer has stays ours, and in the status, until Proxmox has it no more.
        leftovers = [
            ref for ref in self._surplus(decision, resource) if ref in self.sdn.edited or ref in self.sdn.running
        ]
        decision = replace(decision, origins={**origins, **dict.fromkeys(leftovers, Origin.CREATED)})
        decision = replace(decision, in_sync=self._in_sync(decision, resource))
        if not decision.in_sync and (failure := self.failures.get(resource.key)):
            decision = replace(decision, waiting=failure)
        return replace(decision, drift=self._drift(decision, resource))

    def _surplus(self, decision: Decision, resource: Resource[Any]) -> tuple[SdnRef, ...]:
        """Subnets that we made for this VNet and that its spec no longer has."""
        kept = {want.ref for want in decision.wanted}
        return tuple(
            ref
            for ref, origin in sorted(claimed_refs(resource, self.sdn, self.journal).items())
            if ref.kind is SdnKind.SUBNET and ref not in kept and origin is Origin.CREATED
        )

    def _in_sync(self, decision: Decision, resource: Resource[Any]) -> bool:
        for want in decision.wanted:
            for copy in (self.sdn.edited, self.sdn.running):
                have = copy.get(want.ref)
                if have is None or want.differences(have):
                    return False
        gone = self._surplus(decision, resource)
        return not any(ref in self.sdn.edited or ref in self.sdn.running for ref in gone)

    def _drift(self, decision: Decision, resource: Resource[Any]) -> tuple[str, ...]:
        """Differences on an object whose present spec had been programmed: somebody else made them."""
        if self.recovering or resource.status.programmed_hash != decision.fingerprint:
            return ()
        found = []
        for want in decision.wanted:
            have = self.sdn.edited.get(want.ref)
            if have is None:
                found.append(f"{want.ref} is missing")
                continue
            prefix = "" if want.ref.kind is not SdnKind.SUBNET else f"{want.ref} "
            found += [f"{prefix}{d.key} is {show(d.have)}, specified {show(d.want)}" for d in want.differences(have)]
        return tuple(found)

    # --- steps --------------------------------------------------------------------------------------------------

    def _changes(self) -> list[Step]:
        by_key = {resource.key: resource for resource in self.desired}
        report_only = getattr(self.desired.cluster.spec, "drift", "Correct") == "Report"
        steps: list[Step] = []
        for decision in self.decisions.values():
            if not decision.managed or decision.refused or decision.waiting or by_key[decision.key].deleting:
                continue
            if decision.drift and report_only:
                continue
            for want in decision.wanted:
                have = self.sdn.edited.get(want.ref)
                if have is None:
                    steps.append(self._creation(want))
                elif want.differences(have):
                    steps.append(Step(want.ref, have, want.over(have)))
            for ref in self._surplus(decision, by_key[decision.key]):
                if (have := self.sdn.edited.get(ref)) and self.desired.complete and self.sdn.complete:
                    steps.append(Step(ref, have, None))
        return steps

    def _creation(self, want: SdnObject) -> Step:
        """Whole, but for an object that still runs: there, what nobody asked to change is written as it runs.

        So an anycast MAC that Proxmox chose survives somebody's staged deletion.
        """
        live = self.sdn.running.get(want.ref)
        return Step(want.ref, None, want.over(live if live and live.type == want.type else None))

    def _pending_after(self, steps: Iterable[Step]) -> tuple[tuple[PendingChange, ...], tuple[PendingChange, ...]]:
        """What an apply would publish once the steps are staged, split into ours and everybody else's.

        Ours is an edit that brings about what we want, not any edit of an object of ours: somebody's staged change
        of our VNet that we are told to only report must not go live by our hand.
        """
        steps = tuple(steps)
        edited = carried_out(self.sdn.edited, steps)
        removing = {step.ref for step in steps if step.action == "delete"} | self._removed_on_purpose()
        wanted = {want.ref: want for made in self.decisions.values() if made.managed for want in made.wanted}
        own, foreign = [], list(self.sdn.other_pending)
        for change in pending_changes(edited, self.sdn.running):
            if change.ref in removing and change.state is PendingState.DELETED:
                own.append(change)
            elif change.ref in wanted and change.ref in edited:
                ours, others = _split(change, edited[change.ref], wanted[change.ref])
                own += ours
                foreign += others
            elif change.ref in self.journal and change.state is PendingState.NEW:
                own.append(change)
            else:
                foreign.append(change)
        # On our own objects another spelling of the same values is nobody's edit to protect.
        foreign += [change for change in self.sdn.reworded if change.ref not in wanted]
        return tuple(own), tuple(foreign)

    def _removed_on_purpose(self) -> set[SdnRef]:
        """What is ours and to be gone: objects that may be deleted now, and subnets their VNet no longer has."""
        by_key = {resource.key: resource for resource in self.desired}
        refs: set[SdnRef] = set()
        for key, decision in self.decisions.items():
            deleting = by_key[key].deleting
            if deleting and decision.may_go:
                refs |= {ref for ref, origin in decision.origins.items() if origin is Origin.CREATED}
                refs |= {own_ref(by_key[key])} & decision.origins.keys()
            elif not deleting and decision.managed and decision.wanted:
                refs |= set(self._surplus(decision, by_key[key]))
        return refs


# --- pieces without state ---------------------------------------------------------------------------------------


class _VniTable:
    """Who uses which VNI. L2 and L3 VNIs share one number space on the wire; Proxmox checks each kind apart only.

    The tag of a VNet in a VLAN or QinQ zone is a VLAN, and may well be somebody's VNI too.
    """

    def __init__(self, *copies: Mapping[SdnRef, SdnObject]) -> None:
        self._holders: dict[int, dict[SdnRef, str]] = {}
        for copy in copies:
            for obj in copy.values():
                key = {SdnKind.ZONE: "vrf-vxlan", SdnKind.VNET: "tag"}.get(obj.ref.kind, "")
                zone = copy.get(SdnRef(SdnKind.ZONE, str(obj.props.get("zone") or "")))
                if obj.ref.kind is SdnKind.VNET and zone is not None and zone.type not in _WITH_VNIS:
                    continue
                if number := obj.props.get(key):
                    self._holders.setdefault(int(str(number)), {})[obj.ref] = f"Proxmox {obj.ref}"

    def claim(self, vni: int, ref: SdnRef, key: ObjectKey) -> None:
        self._holders.setdefault(vni, {})[ref] = str(key)

    def holder(self, vni: int, *, besides: SdnRef) -> str | None:
        """Somebody else who uses ``vni``, in words, or None."""
        return next((who for ref, who in self._holders.get(vni, {}).items() if ref != besides), None)


def _split(
    change: PendingChange, edited: SdnObject, want: SdnObject
) -> tuple[list[PendingChange], list[PendingChange]]:
    """One edit of an object that we want to exist: which part of it is as we want it, and which is not."""
    wrong = {diff.key for diff in want.differences(edited)}
    if change.state is not PendingState.CHANGED:
        return ([], [change]) if wrong else ([change], [])
    settled = (want.props.keys() | want.absent) - wrong
    mine = tuple(key for key in change.keys if key in settled)
    alien = tuple(key for key in change.keys if key not in settled)
    return (
        [PendingChange(change.ref, change.state, mine)] if mine or not alien else [],
        [PendingChange(change.ref, change.state, alien)] if alien else [],
    )


def _whole(want: SdnObject, origin: Origin) -> SdnObject:
    """On an object that we created, whatever the spec does not say must be absent too."""
    if origin is not Origin.CREATED:
        return want
    kind = want.ref.kind
    unsaid = render.MANAGED[kind] - SERVER_FILLED.get(kind, frozenset()) - render.REQUIRED[kind]
    return replace(want, absent=(want.absent | unsaid) - want.props.keys())


def _not_found(where: str, kind: str, name: str) -> Problem:
    """Not there, or not for this object: the words are the same, so that nobody learns others' names."""
    return Problem(
        Reason.REF_NOT_FOUND, f"{where}: there is no {kind} {name!r} that this object may use", retryable=True
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
