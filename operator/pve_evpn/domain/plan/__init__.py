"""The plan: desired objects and actual state in, the steps of one transaction and a decision about each object out.

Pure: no clock, no network, no Kubernetes. Same input, same output, on every replica. It is computed from the WHOLE
desired and actual state each time, so that nothing depends on which event came first.

====================================  ==========================================================
The spec cannot be read               refused InvalidSpec
A check has a problem                 refused with the check's reason (:mod:`~pve_evpn.domain.plan.checks`)
What it refers to is not programmed   waiting
Otherwise                             create / update / nothing
====================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.guard import alone
from pve_evpn.domain.objects import Desired, GivenSecret, ObjectKey, Origin, Resource, oldest_first, own_ref
from pve_evpn.domain.plan import checks, firewall, render
from pve_evpn.domain.plan.candidates import (
    BgpControllerCandidate,
    Candidate,
    ControllerCandidate,
    FabricCandidate,
    IsisControllerCandidate,
    PrefixListCandidate,
    RouteMapCandidate,
    ServiceCandidate,
    VNetCandidate,
    ZoneCandidate,
)
from pve_evpn.domain.plan.context import PlanContext
from pve_evpn.domain.plan.deletion import decide_deletion
from pve_evpn.domain.plan.model import Decision, Plan, Step, in_order
from pve_evpn.domain.plan.ownership import known_refs, leftover_parts
from pve_evpn.domain.plan.pending import classes_of, split_pending, staged_classes
from pve_evpn.domain.plan.policies import calls
from pve_evpn.domain.sdn import (
    SECRET_KEYS,
    SERVER_FILLED,
    WRITTEN_AT_ONCE,
    SdnKind,
    SdnObject,
    SdnRef,
    SdnSnapshot,
    show,
)
from pve_evpn.domain.state import ClusterState

CandidateT = TypeVar("CandidateT", bound=Candidate[Any])


def plan(
    desired: Desired,
    state: ClusterState,
    *,
    journal: frozenset[SdnRef] = frozenset(),
    failures: Mapping[ObjectKey, Problem] = MappingProxyType({}),
    recovering: bool = False,
    spent: str = "",
    everything: bool = False,
    secrets: Mapping[ObjectKey, GivenSecret] = MappingProxyType({}),
) -> Plan:
    """Decide everything for one cluster.

    Args:
        journal: Objects that an interrupted transaction was creating. If they are there, the operator made them,
            even though no status says so yet.
        failures: Objects whose steps are left out for now, because Proxmox refused them or because their apply was
            reverted. What needs them waits with them.
        recovering: A transaction was interrupted, so a difference is more likely the operator's own than drift.
        spent: The approval that was used last; it makes the next equal plan another one.
        everything: Plan also what is paused, only observed or only reported: what would be done without that. Such a
            plan is shown, never carried out.
        secrets: What Ipams and DnsServers name, where it was read. What was not read is taken to be as in Proxmox.
    """
    context = PlanContext(desired, state, journal, failures, recovering, everything, secrets)
    for decision in _decisions(context):
        context.decisions[decision.key] = decision
    deletions = decide_deletion(context)
    context.decisions.update(deletions.decisions)
    ordered = in_order([*_changes(context), *deletions.steps])
    steps = tuple(step for step in ordered if step.ref.kind not in WRITTEN_AT_ONCE)
    own, foreign = split_pending(context, steps)
    return Plan(
        steps,
        context.decisions,
        own,
        foreign,
        spent,
        classes=classes_of(state.sdn, steps, own),
        staged=staged_classes(state.sdn, own),
        services=tuple(step for step in ordered if step.ref.kind in WRITTEN_AT_ONCE),
    )


def _decisions(context: PlanContext) -> Iterator[Decision]:
    """About the objects that stay: parents first, and the oldest first, which wins every conflict."""
    desired = context.desired
    for service in (*_staying(desired.ipams), *_staying(desired.dns_servers)):
        yield _compared_alone(_decide_alone(service, context, ServiceCandidate, checks.SERVICE), context)
    for prefix_list in _staying(desired.prefix_lists):
        yield _compared_alone(_decide_alone(prefix_list, context, PrefixListCandidate, checks.PREFIX_LIST), context)
    for route_map in _called_first(_staying(desired.route_maps)):
        yield _compared_alone(_decide_alone(route_map, context, RouteMapCandidate, checks.ROUTE_MAP), context)
    for fabric in _staying(desired.fabrics):
        yield _compared_alone(_decide_alone(fabric, context, FabricCandidate, checks.FABRIC), context)
    for controller in _staying(desired.controllers):
        yield _compared_alone(_decide_alone(controller, context, ControllerCandidate, checks.CONTROLLER), context)
    for bgp in _staying(desired.bgp_controllers):
        yield _compared_alone(_decide_alone(bgp, context, BgpControllerCandidate, checks.BGP_CONTROLLER), context)
    for isis in _staying(desired.isis_controllers):
        yield _compared_alone(_decide_alone(isis, context, IsisControllerCandidate, checks.ISIS_CONTROLLER), context)
    for zone in _staying(desired.zones):
        yield _compared_alone(_decide_alone(zone, context, ZoneCandidate, checks.ZONE), context)
    vnets = [_decide_alone(vnet, context, VNetCandidate, checks.VNET) for vnet in _staying(desired.vnets)]
    # Which subnets of a VNet are left over is known once every VNet has claimed its own.
    for decision in vnets:
        yield _compared_alone(decision, context)


def _staying(resources: Sequence[Resource[Any]]) -> list[Resource[Any]]:
    return oldest_first(resource for resource in resources if not resource.deleting)


def _called_first(route_maps: list[Resource[Any]]) -> list[Resource[Any]]:
    """The same order, but for maps that others call: they come before these."""
    by_name = {route_map.key.name: route_map for route_map in route_maps}
    found: dict[str, Resource[Any]] = {}

    def add(name: str, inside: frozenset[str]) -> None:
        if name in by_name and name not in found and name not in inside:
            for called in calls(by_name[name].spec):
                add(called, inside | {name})
            found[name] = by_name[name]

    for name in by_name:
        add(name, frozenset())
    return list(found.values())


def _decide_alone(
    resource: Resource[Any],
    context: PlanContext,
    kind: Callable[[Resource[Any], Any, PlanContext], CandidateT],
    list_of_checks: Sequence[Callable[[CandidateT], Problem | None]],
) -> Decision:
    """Decide about one object. Its values must not end the planning of all others, whatever they are."""
    return alone(
        resource.key,
        lambda: _decide(resource, context, kind, list_of_checks),
        lambda problem: Decision(resource.key, refused=problem, origins=known_refs(resource)),
    )


def _decide(
    resource: Resource[Any],
    context: PlanContext,
    kind: Callable[[Resource[Any], Any, PlanContext], CandidateT],
    list_of_checks: Sequence[Callable[[CandidateT], Problem | None]],
) -> Decision:
    if resource.spec is None:
        message = resource.invalid or "the specification could not be read"
        return Decision(resource.key, refused=Problem(Reason.INVALID_SPEC, message))
    candidate = kind(resource, resource.spec, context)
    for check in list_of_checks:
        if problem := check(candidate):
            return Decision(
                resource.key,
                id=candidate.ref.id,
                refused=problem,
                origin=resource.origin,
                origins=known_refs(resource),
            )
    return _waiting(_accept(candidate), candidate)


def _accept(candidate: Candidate[Any]) -> Decision:
    """Claim the object's names and VNI."""
    resource, context, sdn = candidate.resource, candidate.context, candidate.context.sdn
    origins = candidate.origins
    assert not isinstance(origins, Problem)
    for obj in candidate.objects:
        context.claim(obj.ref, resource.key)
    if isinstance(candidate, VNetCandidate):
        for obj in candidate.objects:
            context.usage[candidate.zone_id, resource.key.namespace, obj.ref.kind] += 1
    vni = candidate.vni if isinstance(candidate.vni, int) else None
    if vni is not None:
        context.vnis.claim(vni, candidate.ref, resource.key)
    policies = [getattr(spec, "management_policy", None) for spec in (resource.spec, context.desired.cluster.spec)]
    return Decision(
        resource.key,
        id=candidate.ref.id,
        vni=vni,
        wanted=tuple(_whole(obj, origins[obj.ref], sdn) for obj in candidate.objects),
        origin=origins[candidate.ref],
        origins=origins,
        managed=context.everything or not ("ObserveOnly" in policies or resource.paused or context.desired.paused),
        missing=candidate.ref not in sdn.edited,
        version=resource.version,
        fingerprint=render.fingerprint(
            candidate.objects, firewall.fingerprint(getattr(resource.spec, "firewall", None))
        ),
    )


def _compared_alone(decision: Decision, context: PlanContext) -> Decision:
    key = decision.key
    return alone(
        key,
        lambda: _compared(decision, context),
        lambda problem: Decision(key, id=decision.id, refused=problem, origins=known_refs(context.resources[key])),
    )


def _compared(decision: Decision, context: PlanContext) -> Decision:
    """An accepted object's decision, with what differs from Proxmox."""
    if decision.refused:
        return decision
    resource, sdn = context.resources[decision.key], context.sdn
    surplus = leftover_parts(resource, sdn, context.journal, keep=decision.origins)
    leftovers = tuple(ref for ref in surplus if context.claims.get(ref, decision.key) == decision.key)
    # A part that the spec no longer has stays in the status until Proxmox has it no more, or below another VNet.
    itself = decision.ref
    staying = [ref for ref in surplus if ref in leftovers or (itself and ref in sdn.parts_of(itself))]
    decision = replace(
        decision, leftovers=leftovers, origins={**decision.origins, **dict.fromkeys(staying, Origin.CREATED)}
    )
    in_sync = not leftovers and all(_holds(obj, sdn) for obj in decision.wanted)
    waiting = decision.waiting or (None if in_sync else context.failures.get(decision.key))
    changes = () if in_sync else tuple(map(str, in_order(_steps(decision, context))))
    drift = _drift(decision, resource, context)
    return replace(decision, in_sync=in_sync, waiting=waiting, drift=drift, changes=changes)


def _whole(obj: SdnObject, origin: Origin, sdn: SdnSnapshot) -> SdnObject:
    """On an object that the operator created, whatever the spec does not say must be absent too."""
    if origin is not Origin.CREATED:
        return obj
    form = render.form_of(obj)
    unsaid = form.keys - SERVER_FILLED.get(form.kind, frozenset()) - form.required
    if form.kind is SdnKind.ROUTE_MAP:
        copies = (sdn.edited.get(obj.ref), sdn.running.get(obj.ref))
        unsaid = frozenset(order for there in copies if there for order in there.props)
    return replace(obj, absent=(obj.absent | unsaid) - obj.props.keys())


def _holds(obj: SdnObject, sdn: SdnSnapshot) -> bool:
    """Whether both copies have the desired object as it is desired."""
    copies = (sdn.edited.get(obj.ref), sdn.running.get(obj.ref))
    return all(have is not None and not obj.differences(have) for have in copies)


def _drift(decision: Decision, resource: Resource[Any], context: PlanContext) -> tuple[str, ...]:
    """Differences on an object whose present spec had been programmed: another client made them."""
    if context.recovering or resource.status.programmed_hash != decision.fingerprint:
        return ()
    found = []
    for obj in decision.wanted:
        have = context.sdn.edited.get(obj.ref)
        if have is None:
            found.append(f"{obj.ref} is missing")
            continue
        prefix = "" if obj.ref == decision.ref else f"{obj.ref} "
        # A Secret that changed since Proxmox got it is no edit of another client.
        ours = SECRET_KEYS.get(obj.ref.kind) if obj.resend else None
        differing = [diff for diff in obj.differences(have) if diff.key != ours]
        found += [f"{prefix}{diff.key} is {show(diff.have)}, specified {show(diff.want)}" for diff in differing]
    return tuple(found)


def _waiting(decision: Decision, candidate: Candidate[Any]) -> Decision:
    """Hold the object back while something it needs is neither in Proxmox nor about to be."""
    context, edited = candidate.context, candidate.context.sdn.edited
    for needed in candidate.parents:
        parent = context.decisions.get(needed.key)
        if parent is None:
            there, why = own_ref(needed) in edited, "it is being deleted"
        elif parent.ref is None:
            there, why = False, parent.refused.message if parent.refused else "it is not accepted"
        else:
            there = (parent.managed and not parent.waiting) or parent.ref in edited
            why = parent.waiting.message if parent.waiting else "it is not in Proxmox yet"
        if not there:
            message = f"waits for {needed.key}: {why}"
            return replace(decision, waiting=Problem(Reason.WAITING_FOR_DEPENDENCIES, message, retryable=True))
    return decision


def _changes(context: PlanContext) -> Iterator[Step]:
    """The steps that make the objects that stay as they are desired."""
    report_only = getattr(context.desired.cluster.spec, "drift", "Correct") == "Report" and not context.everything
    for key, decision in context.decisions.items():
        if not decision.managed or decision.refused or decision.waiting or context.resources[key].deleting:
            continue
        if decision.drift and report_only:
            continue
        yield from _steps(decision, context)


def _steps(decision: Decision, context: PlanContext) -> Iterator[Step]:
    """The steps that make one object as it is desired."""
    edited = context.sdn.edited
    for obj in decision.wanted:
        have = edited.get(obj.ref)
        if have is None:
            yield _creation(obj, context.sdn)
        elif obj.differences(have):
            yield Step(obj.ref, have, obj.back_to(context.sdn.running.get(obj.ref), have))
    for ref in decision.leftovers:
        if ref in edited and context.desired.complete and context.sdn.complete:
            yield Step(ref, edited[ref], None)


def _creation(obj: SdnObject, sdn: SdnSnapshot) -> Step:
    """Create the object. Where it still runs, what the spec does not say is written as it runs.

    So an anycast MAC that Proxmox chose survives another client's staged deletion.
    """
    live = sdn.running.get(obj.ref)
    return Step(obj.ref, None, obj.over(live if live and live.type == obj.type else None))
