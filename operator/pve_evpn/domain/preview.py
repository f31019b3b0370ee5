"""What desired objects would change in Proxmox, all stages of a sync one after the other. Pure.

The SDN plan is the operator's (``domain.plan``); the firewalls and the guests' NICs are planned for the state that it
leads to, in which every node has loaded its zones.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pve_evpn.api.conditions import APPROVABLE, Reason
from pve_evpn.api.fabric import FabricMember, FabricStatus
from pve_evpn.api.firewall import Firewall
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.vnet import SubnetStatus, VNetStatus
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics import NicDecision, NicPlan, plan_nics
from pve_evpn.domain.nics.fields import differences
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import Desired, ObjectKey, Origin, Resource, own_ref, sdn_kind_of
from pve_evpn.domain.plan import firewall, plan
from pve_evpn.domain.plan.apply_policy import lines, permit
from pve_evpn.domain.plan.firewall import FirewallState
from pve_evpn.domain.plan.model import Decision, Plan, carried_out
from pve_evpn.domain.plan.render import subnet_cidr
from pve_evpn.domain.plan.step_class import StepClass, decisive
from pve_evpn.domain.plan.withheld import WaitingStep, waiting_plan
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot
from pve_evpn.domain.state import ClusterState

#: Further applies that are previewed; more would follow from a circle of objects that give way to each other.
_MOST_APPLIES = 3


class Stage(StrEnum):
    """When a change is made: with the one apply, or at once and apart from it."""

    SERVICE = "service"
    APPLY = "apply"
    FIREWALL = "firewall"
    NIC = "nic"


@dataclass(frozen=True, slots=True)
class Change:
    """One change in words. ``step_class`` is that of an apply's steps; ``why`` says how it comes about.

    ``held``: why the operator would not make it now; None where it would. ``apply``: with which apply, counted from 1.
    """

    words: str
    stage: Stage
    key: ObjectKey | None
    step_class: StepClass | None = None
    why: str = ""
    held: Problem | None = None
    apply: int = 1


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that would come of desired objects.

    ``refused`` and ``waiting`` are by object, with the words for administrators. ``held``: why the whole apply would
    wait (foreign edits, a window), or None. ``foreign``: what others have staged.
    """

    changes: tuple[Change, ...]
    refused: Mapping[ObjectKey, Problem]
    waiting: Mapping[ObjectKey, Problem]
    held: Problem | None
    foreign: tuple[str, ...]
    unchanged: int

    @property
    def due(self) -> tuple[Change, ...]:
        """The changes that are made, at once or when the operator may."""
        return tuple(change for change in self.changes if change.held is None or change.held.reason in APPROVABLE)


def preview(
    desired: Desired, state: ClusterState, firewalls: Mapping[str, FirewallState | None], now: datetime
) -> Preview:
    """Plan everything.

    Args:
        state: As Proxmox is, with its guests if there are NICs. Its rights are those of who asks and do not count.
        firewalls: Of running VNets, by their names in Proxmox; None for one that cannot be read.
    """
    state, detached = _detached(desired, replace(state, rights=None))
    made, everything = plan(desired, state), plan(desired, state, everything=True)
    permission = permit(desired.cluster, state, made, now)
    waiting = permission.waiting
    held = permission.problem if waiting is None else None
    consent = permission.problem if waiting is not None else None
    changes = [
        *_service_changes(made),
        *_nic_changes(detached),
        *_sdn_changes(desired, state, made, everything, waiting, consent),
    ]
    settled, nics, later = _after(desired, state, made)
    changes += [change for number, each in enumerate(later, 2) for change in _later_changes(each, number)]
    changes += _firewall_changes(desired, settled, firewalls)
    changes += _nic_changes(nics.decisions.values())
    decisions: dict[ObjectKey, Decision | NicDecision] = {**settled.decisions, **nics.decisions}
    refused = {key: decision.refused for key, decision in decisions.items() if decision.refused}
    waits = {
        key: problem
        for key, decision in decisions.items()
        if not decision.refused and (problem := decision.blocked or decision.waiting)
    }
    touched = {change.key for change in changes}
    return Preview(
        changes=tuple(changes),
        refused=refused,
        waiting=waits,
        held=held,
        foreign=tuple(map(str, made.foreign)),
        unchanged=sum(key not in touched and key not in refused and key not in waits for key in decisions),
    )


def as_managed(desired: Desired, sdn: SdnSnapshot) -> Desired:
    """The objects with the statuses they would have, if what Proxmox has under their names were adopted by them.

    For planning without Kubernetes, which alone knows what is whose.
    """

    def managed(resource: Resource[Any]) -> Resource[Any]:
        if sdn_kind_of(resource.key) is None or own_ref(resource) not in {*sdn.edited, *sdn.running}:
            return resource
        ref, adopted = own_ref(resource), Origin.ADOPTED.value
        known: dict[str, Any] = {"id": ref.id, "origin": adopted}
        if isinstance(resource.status, VNetStatus):
            specified = {subnet.cidr for subnet in resource.spec.subnets or ()} if resource.spec else set()
            parts = [part for part in sdn.parts_of(ref) if subnet_cidr(part) in specified]
            known["subnets"] = [SubnetStatus(id=part.id, origin=adopted) for part in parts]
        if isinstance(resource.status, FabricStatus):
            names = [part.id.partition("/")[2] for part in sdn.parts_of(ref)]
            known["nodes"] = [FabricMember(name=name, origin=adopted) for name in names]
        return replace(resource, status=resource.status.model_copy(update=known))

    parts = {kind.desired_as for kind in KINDS.values() if kind.desired_as}
    changed: dict[str, Any] = {str(part): tuple(map(managed, getattr(desired, part))) for part in parts}
    return replace(desired, **changed)


# --- SDN ------------------------------------------------------------------------------------------------------------


def _sdn_changes(
    desired: Desired, state: ClusterState, made: Plan, everything: Plan, waiting: Plan | None, consent: Problem | None
) -> Iterator[Change]:
    held_refs: Container[SdnRef] = waiting.refs if waiting else ()
    owners, after = {**everything.owners(), **made.owners()}, {step.ref: step.after for step in everything.steps}
    running = state.sdn.running

    def change(words: str, ref: SdnRef, step_class: StepClass, held: Problem | None) -> Change:
        why = _why(running.get(ref), after.get(ref))
        return Change(words, Stage.APPLY, owners.get(ref), step_class, why, held)

    for words, ref, step_class in lines(made):
        yield change(words, ref, step_class, consent if ref in held_refs else None)
    for step in _left_out(desired, made, everything):
        yield change(step.words, step.ref, step.step_class, step.problem)


def _service_changes(made: Plan) -> Iterator[Change]:
    """IPAMs and DNS servers. The operator deletes one after the apply by which the last zone lets go of it."""
    owners = made.owners()
    for step in made.services:
        yield Change(str(step), Stage.SERVICE, owners.get(step.ref), why=_why(step.before, step.after))


def _later_changes(made: Plan, apply: int) -> Iterator[Change]:
    owners, why = made.owners(), "in another apply, once the first one is done"
    for words, ref, step_class in lines(made):
        yield Change(words, Stage.APPLY, owners.get(ref), step_class, why, apply=apply)


def _left_out(desired: Desired, made: Plan, everything: Plan) -> tuple[WaitingStep, ...]:
    """What would be done without pauses and ObserveOnly, and is not."""
    rest = waiting_plan(desired, made, None, None, everything)
    return tuple(step for step in rest.steps if step.ref not in made.refs) if rest else ()


def _why(before: SdnObject | None, after: SdnObject | None) -> str:
    if after is None:
        return "it is deleted"
    if before is None:
        return "it is new"
    keys = decisive(before, after)
    return ", ".join(keys) if keys else "it is made anew"


# --- firewalls ------------------------------------------------------------------------------------------------------


def _firewall_changes(
    desired: Desired, settled: Plan, firewalls: Mapping[str, FirewallState | None]
) -> Iterator[Change]:
    """The operator writes the firewall of a VNet that is programmed; one that is new has an empty firewall."""
    for vnet in desired.vnets:
        decision = settled.decisions.get(vnet.key)
        spec = vnet.spec.firewall if vnet.spec else None
        if vnet.deleting or decision is None or not decision.in_sync or spec is None:
            continue
        actual = firewalls.get(decision.id, FirewallState())
        held = None if decision.managed else Problem(Reason.FIELDS_DIFFER, "it is paused or only observed")
        if actual is None:
            held = Problem(Reason.PENDING, "you may not read it")
            yield Change(f"firewall of {decision.id}: unknown", Stage.FIREWALL, vnet.key, held=held)
            continue
        for words in _firewall_words(actual, spec):
            yield Change(f"firewall of {decision.id}: {words}", Stage.FIREWALL, vnet.key, held=held)


def _firewall_words(actual: FirewallState, spec: Firewall) -> list[str]:
    """Every write but those that only carry a new rule to its place and switch it on."""
    writes = list(firewall.plan_writes(actual, firewall.desired_firewall(spec)))
    inserted = any(isinstance(write, firewall.InsertRule) for write in writes)
    steps = (firewall.MoveRule, firewall.SwitchRule)
    return [str(write) for write in writes if not (inserted and isinstance(write, steps))]


# --- NICs -----------------------------------------------------------------------------------------------------------


def _after(desired: Desired, state: ClusterState, made: Plan) -> tuple[Plan, NicPlan, list[Plan]]:
    """The decisions once the SDN plan is carried out, the plan for the NICs, and further applies that follow.

    An object that was refused for what another one gives up has its turn in the next apply. One that is deleted is gone
    by then.
    """
    there, created, later = state, frozenset[SdnRef](), list[Plan]()
    settled, gone = made, dict[ObjectKey, Decision]()
    if made.services:
        copies = (carried_out(copy, made.services) for copy in (state.sdn.edited, state.sdn.running))
        edited, running = copies
        there = replace(state, sdn=replace(state.sdn, edited=edited, running=running))
        created = frozenset(step.ref for step in made.services if step.before is None)
        settled = plan(desired, there, journal=created)
    while settled.needs_apply and len(later) <= _MOST_APPLIES:
        there = _applied(there, settled)
        created |= {step.ref for step in settled.steps if step.before is None}
        settled = plan(desired, there, journal=created)
        deleting = {resource.key for resource in desired if resource.deleting}
        if released := {key: each for key, each in settled.decisions.items() if each.release and key in deleting}:
            gone |= released
            desired = desired.without(released.keys())
            settled = plan(desired, there, journal=created)
        later.append(settled)
    settled = replace(settled, decisions={**gone, **settled.decisions})
    return settled, plan_nics(desired, there, settled.decisions), [each for each in later if each.needs_apply]


def _applied(state: ClusterState, made: Plan) -> ClusterState:
    """The state once the plan is applied, and every node that is on has loaded its zones."""
    objects = carried_out(state.sdn.edited, made.steps)
    gone = {step.ref for step in made.steps if step.after is None}
    running = {ref: obj for ref, obj in {**state.sdn.running, **objects}.items() if ref not in gone}
    loaded = {ref.id: "available" for ref in running if ref.kind is SdnKind.ZONE}
    nodes = {
        name: replace(node, zones={**loaded, **(node.zones or {})}) if node.online else node
        for name, node in state.nodes.items()
    }
    return replace(state, sdn=replace(state.sdn, edited=objects, running=running), nodes=nodes)


def _detached(desired: Desired, state: ClusterState) -> tuple[ClusterState, list[NicDecision]]:
    """The state once the NICs of deleted objects are off their VNets, and these; it comes before the apply."""
    going = {nic.key for nic in desired.nics if nic.deleting}
    if not going or state.guests is None:
        return state, []
    planned = plan_nics(desired, state, plan(desired, state).decisions)
    found = [decision for key, decision in planned.decisions.items() if key in going and decision.write]
    guests = dict(state.guests)
    for decision in found:
        assert decision.guest is not None
        assert decision.write is not None
        guest, text = guests[decision.guest.vmid], decision.write.text
        left = {device: nic for device, nic in (guest.nics or {}).items() if device != decision.device}
        guests[guest.vmid] = replace(guest, nics={**left, **({decision.device: text} if text is not None else {})})
    return replace(state, guests=guests), found


def _nic_changes(decisions: Iterable[NicDecision]) -> Iterator[Change]:
    for decision in decisions:
        if decision.write is None or decision.guest is None:
            continue
        where, text = f"{decision.device} of {decision.guest.label}", decision.write.text
        if text is None:
            words = f"remove {where}"
        elif decision.config is None:
            words = f"add {where} on {decision.vnet_id}"
        else:
            changed = differences(decision.config, NetN.parse(decision.guest.kind, text), "becomes")
            words = f"change {where}: {', '.join(changed)}"
        yield Change(words, Stage.NIC, decision.key)
