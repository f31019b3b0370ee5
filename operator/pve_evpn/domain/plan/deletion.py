"""What becomes of objects that are being deleted in Kubernetes.

The order of the questions matters: whether Proxmox has to be touched at all is asked before anything that could be
missing (credentials, a reachable cluster, complete lists), so that an object which needs no work in Proxmox never
hangs. A finalizer is released only when Proxmox no longer has the object in either copy, or policy leaves it there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.guard import alone
from pve_evpn.domain.objects import ObjectKey, Origin, Resource, oldest_first, own_ref, proxmox_id, sdn_kind_of
from pve_evpn.domain.plan.context import PlanContext
from pve_evpn.domain.plan.grants import Grants
from pve_evpn.domain.plan.model import LEFT_BEHIND, Decision, Step, call_depths
from pve_evpn.domain.plan.ownership import (
    BUILT_IN,
    annotated_origin,
    claimed_refs,
    deletable,
    known_refs,
    remade,
    sdn_type,
)
from pve_evpn.domain.sdn import (
    CREATION_ORDER,
    PART_OF,
    SdnKind,
    SdnObject,
    SdnRef,
    SdnSnapshot,
    changes_between,
    parents_of,
)
from pve_evpn.domain.state import ClusterState, GuestState
from pve_evpn.text import some_of

_BRIDGE = re.compile(r"(?:^|,)bridge=([^,]+)")


@dataclass(frozen=True, slots=True)
class Deletions:
    """Decisions for the objects being deleted, and the steps for those that can go now."""

    decisions: Mapping[ObjectKey, Decision]
    steps: tuple[Step, ...]


class GuestUse(NamedTuple):
    """A guest that may use a VNet: its NIC, "" where that is not known, and both in words."""

    guest: GuestState
    device: str
    words: str


def leaves_proxmox_alone(resource: Resource[Any]) -> bool:
    """Whether the object can go without a word to Proxmox: never created, orphaned, observed only, or forced."""
    if _left_on_purpose(resource) or _is_built_in(resource):
        return True
    if resource.origin is None and not known_refs(resource):
        return True
    return getattr(resource.spec, "deletion_policy", None) is None and resource.origin is Origin.ADOPTED


def _is_built_in(resource: Resource[Any]) -> bool:
    return sdn_kind_of(resource.key) is BUILT_IN.kind and own_ref(resource) == BUILT_IN


def _left_on_purpose(resource: Resource[Any]) -> bool:
    """Whether the user asked for it, by annotation or policy."""
    policies = (getattr(resource.spec, "management_policy", None), getattr(resource.spec, "deletion_policy", None))
    return resource.force_orphan or policies[0] == "ObserveOnly" or policies[1] == "Orphan"


def why_left(resource: Resource[Any]) -> str:
    """Why an object that :func:`leaves_proxmox_alone`, or a NicAttachment, goes without a change in Proxmox."""
    spec = resource.spec
    if resource.force_orphan:
        return "it was released by force"
    if getattr(spec, "management_policy", None) == "ObserveOnly":
        return "managementPolicy is ObserveOnly"
    if getattr(spec, "deletion_policy", None) == "Orphan":
        return "deletionPolicy is Orphan"
    if _is_built_in(resource):
        return "the built-in IPAM cannot be deleted"
    return "it was adopted" if resource.origin is Origin.ADOPTED else "its cluster is only observed"


def decide_deletion(context: PlanContext) -> Deletions:
    """Decide about every object that is being deleted and stands for one in Proxmox; children before parents.

    ``context.decisions`` are those about objects that stay.
    """
    return _Decider(context).run()


class _Decider:
    """One run of :func:`decide_deletion`. ``going`` and ``staying`` grow from children to parents."""

    def __init__(self, context: PlanContext) -> None:
        self.context = context
        self.desired = context.desired
        self.state = context.state
        self.sdn = context.sdn
        self.grants = Grants(context.desired)
        self.going: set[SdnRef] = set()
        self.staying = {obj.ref for decision in context.decisions.values() for obj in decision.wanted}

    def run(self) -> Deletions:
        for resource in oldest_first(r for r in self.desired if r.deleting):
            for ref in self._claimed_alone(resource):
                self.context.claims.setdefault(ref, resource.key)
        decided: dict[ObjectKey, Decision] = {}
        steps: list[Step] = []
        for kind in reversed(CREATION_ORDER):
            for resource in self._users_first(kind):
                decision, own_steps = self._decide_alone(resource, kind)
                decided[resource.key] = decision
                steps += own_steps
                self.going |= {step.ref for step in own_steps if step.action == "delete"}
                if decision.release or decision.blocked:
                    self.staying |= decision.origins.keys()
        return Deletions(decided, tuple(steps))

    def _users_first(self, kind: SdnKind) -> list[Resource[Any]]:
        """The objects of a kind that are being deleted; a route map comes after those that call it."""
        going = [r for r in self.desired if r.deleting and sdn_kind_of(r.key) is kind]
        if kind is not SdnKind.ROUTE_MAP:
            return going
        depth = call_depths(self.sdn.edited.values())
        return sorted(going, key=lambda r: -depth.get(proxmox_id(r), 0))

    def _decide_alone(self, resource: Resource[Any], kind: SdnKind) -> tuple[Decision, list[Step]]:
        """Decide about one object; where that fails, the object stays, and what it has in Proxmox too."""
        return alone(
            resource.key,
            lambda: self._decide(resource, kind),
            lambda problem: (Decision(resource.key, blocked=problem, origins=known_refs(resource)), []),
        )

    def _claimed_alone(self, resource: Resource[Any]) -> Mapping[SdnRef, Origin]:
        return alone(resource.key, lambda: self._claimed(resource), lambda _: known_refs(resource))

    def _decide(self, resource: Resource[Any], kind: SdnKind) -> tuple[Decision, list[Step]]:
        ref = SdnRef(kind, proxmox_id(resource))
        holders = self.context.claims
        origins = {r: o for r, o in self._claimed(resource).items() if holders.get(r) == resource.key}
        decision = Decision(resource.key, id=ref.id, origin=origins.get(ref), origins=origins, version=resource.version)
        ours = deletable(resource, origins)
        # What an interrupted transaction was creating has no origin yet, and still is ours to remove.
        unrecorded = ref in origins and resource.origin is None and not _left_on_purpose(resource)
        if getattr(self.desired.cluster.spec, "management_policy", None) == "ObserveOnly":
            return replace(decision, release=True), []
        if leaves_proxmox_alone(resource) and not unrecorded:
            return replace(decision, release=True), self._unstaged(resource, ours) if self.context.recovering else []
        left = [r for r in ours if r in self.sdn.edited or r in self.sdn.running]
        if not left and self.sdn.complete:
            return replace(decision, release=True, in_sync=True), []
        if problem := self._why_it_stays(resource, ref, set(ours)) or self.context.failures.get(resource.key):
            blocked = replace(decision, blocked=problem)
            undecided = blocked.may_go or problem.reason is Reason.PENDING
            return blocked, [] if undecided else self._unstaged(resource, ours)
        steps = [Step(r, self.sdn.edited[r], None) for r in left if r in self.sdn.edited]
        return decision, sorted(steps, key=lambda s: s.ref.kind not in PART_OF)

    def _claimed(self, resource: Resource[Any]) -> dict[SdnRef, Origin]:
        """What is the object's, unless another one has it. No annotation counts beside an object that stays."""
        annotated = annotated_origin(resource, self.sdn, self.context.adoption(resource))
        kind = sdn_kind_of(resource.key)
        if annotated and kind and (resource.key.kind, SdnRef(kind, proxmox_id(resource))) in self.context.desired_refs:
            annotated = None
        claimed = claimed_refs(resource, self.sdn, self.context.journal, annotated)
        zone_id = getattr(resource.status, "zone", None) or self.context.adoption(resource).zone_id
        return {
            ref: origin
            for ref, origin in claimed.items()
            if ref in self.context.journal or not remade(ref, self.sdn, sdn_type(resource), zone_id)
        }

    def _unstaged(self, resource: Resource[Any], origins: Mapping[SdnRef, Origin]) -> list[Step]:
        """The steps that unstage deletions and changes of what stays, by another client or by an interrupted run.

        The objects are staged as they run, so that nothing is left to publish. With ``drift: Report`` this is done for
        the operator's own half alone.
        """
        report_only = getattr(self.desired.cluster.spec, "drift", None) == "Report" and not self.context.recovering
        if report_only or resource.paused or self.desired.paused or not self.sdn.complete:
            return []
        steps: list[Step] = []
        for ref, origin in origins.items():
            have, live = self.sdn.edited.get(ref), self.sdn.running.get(ref)
            if live and have is None:
                steps.append(Step(ref, None, live))
            elif live and have and origin is Origin.CREATED and changes_between(have, live):
                steps.append(Step(ref, have, replace(live, type=have.type)))
        return steps

    def _why_it_stays(self, resource: Resource[Any], ref: SdnRef, own: set[SdnRef]) -> Problem | None:
        """Why the object cannot be taken out of Proxmox now, or None. ``own`` goes with it."""
        state = self.state
        if not self.context.everything and (resource.paused or self.desired.paused):
            message = f"paused: remove the annotation, or set deletionPolicy: Orphan to leave {ref} in Proxmox"
            return Problem(Reason.DELETION_BLOCKED, message)
        if not self.desired.complete:
            return Problem(Reason.PENDING, "waits until everything has been listed", retryable=True)
        if not self.sdn.complete:
            message = (
                "the credentials may not see everything below /sdn (SDN.Audit), so it is not certain what is there"
            )
            return Problem(Reason.DELETION_BLOCKED, message, retryable=True)
        if children := self._children(ref, own):
            message = f"{ref} is still used by {some_of(map(str, children))}"
            detail = f"{ref} is still used by {some_of(map(self._with_object, children))}"
            return Problem(Reason.DELETION_BLOCKED, message, retryable=True, detail=detail)
        if ref.kind is SdnKind.VNET and state.guests is None:
            return Problem(Reason.PENDING, "waits until the guests have been read", retryable=True)
        if ref.kind is SdnKind.VNET and (users := guests_on(state, ref.id)):
            text = f"{ref} is still used by {{}}; connect them to another bridge first"
            return self._blocked_by(users, text, resource.key)
        if ref.kind is SdnKind.VNET and (unread := guests_unread(state)):
            text = f"cannot tell whether {ref} is still used by {{}}: the configuration could not be read"
            return self._blocked_by(unread, text, resource.key)
        return None

    def _with_object(self, ref: SdnRef) -> str:
        """What is in Proxmox, with the Kubernetes object that stands for it."""
        key = self.context.claims.get(ref)
        return f"{key} ({ref})" if key else f"{ref} (no object)"

    @cached_property
    def _attachments(self) -> Mapping[tuple[int, str], ObjectKey]:
        """The NicAttachments by the NIC that they have connected."""
        nics = [(nic.key, nic.status) for nic in self.desired.nics if nic.origin_confirmed]
        return {(status.vmid, status.device): key for key, status in nics if status.vmid and status.device}

    def _blocked_by(self, uses: list[GuestUse], text: str, key: ObjectKey) -> Problem:
        """The problem with the guests that the namespace may use by name, and the number of all others.

        NicAttachments are named too: to delete one takes the guest off the VNet.
        """
        known: list[str] = []
        everything: list[str] = []
        others: set[int] = set()
        for use in uses:
            nic = self._attachments.get((use.guest.vmid, use.device))
            words = f"{nic} ({use.words})" if nic else use.words
            everything.append(words)
            if nic and nic.namespace == key.namespace:
                known.append(words)
            elif self.grants.permits(key.namespace, use.guest):
                known.append(use.words)
            else:
                others.add(use.guest.vmid)
        if others:
            known.insert(0, f"{len(others)} guest{'s' if len(others) > 1 else ''} that this namespace may not use")
        detail, message = text.format(some_of(everything)), text.format(some_of(known))
        return Problem(Reason.DELETION_BLOCKED, message, retryable=True, detail=detail)

    def _children(self, ref: SdnRef, own: set[SdnRef]) -> list[SdnRef]:
        """What keeps ``ref``: what refers to it, and what is to stay though its deletion is staged."""
        edited, running = self.sdn.children_of(ref), self.sdn.children_of(ref, running=True)
        gone = [child for child in running if child in self.staying and child not in self.sdn.edited]
        return [
            child
            for child in (*edited, *gone)
            if child not in self.going and child not in own and not self._lets_go(child, ref)
        ]

    def _lets_go(self, child: SdnRef, ref: SdnRef) -> bool:
        """Whether the same transaction makes ``child`` refer to something else, before ``ref`` is deleted."""
        after = self._changed.get(child) if ref.kind in LEFT_BEHIND else None
        return after is not None and ref not in parents_of(after)

    @cached_property
    def _changed(self) -> Mapping[SdnRef, SdnObject]:
        """What stays, as the transaction leaves it."""
        report_only = getattr(self.desired.cluster.spec, "drift", None) == "Report"
        decisions = (d for d in self.context.decisions.values() if d.managed and not d.refused and not d.waiting)
        written = (decision for decision in decisions if not (decision.drift and report_only))
        return {obj.ref: obj.over(self.sdn.edited.get(obj.ref)) for d in written for obj in d.wanted}


def guests_on(state: ClusterState, bridge: str) -> list[GuestUse]:
    """The guests with NICs connected to ``bridge``, each NIC in words: ``VM 100 (web) net0 on pve4``."""
    uses = []
    for guest in sorted((state.guests or {}).values(), key=lambda g: g.vmid):
        # What is to change at the next start is still plugged in until then.
        live = ((device, text) for device, text in guest.pending.items() if text)
        for device, config in sorted({*(guest.nics or {}).items(), *live}):
            match = _BRIDGE.search(config)
            if match and match.group(1) == bridge:
                uses.append(GuestUse(guest, device, f"{guest.label} {device} on {guest.node}"))
    return uses


def guests_unread(state: ClusterState) -> list[GuestUse]:
    """Guests whose NICs are not known; their node may be offline, but they come back with it."""
    unread = [g for g in (state.guests or {}).values() if g.nics is None and not g.template]
    return [GuestUse(guest, "", f"{guest.label} on {guest.node}") for guest in sorted(unread, key=lambda g: g.vmid)]


#: How Proxmox refuses to delete a subnet whose IPAM has addresses in it (``PVEPlugin.pm``, del_subnet).
_NOT_EMPTY = re.compile(r"cannot delete subnet '(?P<cidr>[^']+)', not empty")


def way_out(refusal: str, ref: SdnRef, sdn: SdnSnapshot) -> str:
    """What Proxmox said of a step it refused, with what the user can do where its words do not tell.

    Proxmox keeps a subnet while its IPAM has addresses in it, and its API lists those of no EVPN zone. So the message
    names the subnet, the file that has the addresses, and the call that frees one.
    """
    match = _NOT_EMPTY.search(refusal)
    subnet = sdn.edited.get(ref) or sdn.running.get(ref)
    if match is None or subnet is None or ref.kind is not SdnKind.SUBNET:
        return refusal
    zone = ref.id.split("-", 1)[0]
    return (
        f"{refusal}: Proxmox' IPAM has addresses in {match['cidr']}, and its API lists none of an EVPN zone. Find them "
        f"below {zone!r} in /etc/pve/sdn/pve-ipam-state.json on a node, and free each that no guest uses with: "
        f"pvesh delete /cluster/sdn/vnets/{subnet.parent}/ips --zone {zone} --ip ADDRESS"
    )
