"""What planning decided about each object, and the steps that carry it out. Values only; ``domain.plan`` makes them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, Origin
from pve_evpn.domain.plan.step_class import StepClass, highest
from pve_evpn.domain.sdn import (
    CREATION_ORDER,
    WRITTEN_AT_ONCE,
    PendingChange,
    PropertyDiff,
    SdnKind,
    SdnObject,
    SdnRef,
    changes_between,
    parents_of,
    show,
)

#: Said of a step that no apply publishes.
AT_ONCE = " (at once, without an apply)"


@dataclass(frozen=True, slots=True)
class Step:
    """One write to Proxmox' edited configuration: the object before it and after it.

    ``before`` is None where the object is to be created, ``after`` where it is to be deleted. ``before`` is also what
    the gateway compares Proxmox with when it writes, so that an edit made meanwhile is not overwritten.
    Raises ValueError if both are None.
    """

    ref: SdnRef
    before: SdnObject | None
    after: SdnObject | None

    def __post_init__(self) -> None:
        if self.before is None and self.after is None:
            raise ValueError(f"a step for {self.ref} needs an object before or after it")

    @property
    def action(self) -> Literal["create", "update", "delete"]:
        if self.before is None:
            return "create"
        return "update" if self.after else "delete"

    @property
    def object(self) -> SdnObject:
        """The object after the step, or the deleted one."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def diff(self) -> tuple[PropertyDiff, ...]:
        """The properties that an update changes; empty for the others."""
        if self.before is None or self.after is None:
            return ()
        return changes_between(self.before, self.after)

    def inverse(self) -> Step:
        """The step that takes this one back."""
        return Step(self.ref, self.after, self.before)

    def __str__(self) -> str:
        at_once = AT_ONCE if self.ref.kind in WRITTEN_AT_ONCE else ""
        if self.action == "update":
            changes = ", ".join(f"{d.key} {show(d.have)} -> {show(d.want)}" for d in self.diff)
            return f"update {self.ref}{at_once}: {changes}"
        below = f" in vnet {self.object.parent}" if self.action == "create" and self.object.parent else ""
        return f"{self.action} {self.ref}{below}{at_once}"


def carried_out(objects: Mapping[SdnRef, SdnObject], steps: Iterable[Step]) -> dict[SdnRef, SdnObject]:
    """The objects after the steps."""
    result = dict(objects)
    for step in steps:
        if step.after is None:
            result.pop(step.ref, None)
        else:
            result[step.ref] = step.after
    return result


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """An order Proxmox accepts.

    Children go before parents, which also frees their VNIs; then parents come before children. Controllers, fabrics and
    policies go last of all, after those that may have moved away from them.
    """
    ordered = tuple(steps)
    rank = {kind: index for index, kind in enumerate(CREATION_ORDER)}
    depth = call_depths(step.object for step in ordered)

    def key(step: Step) -> tuple[int, int, int, str]:
        level, calls = rank[step.ref.kind], depth.get(step.ref.id, 0) if step.ref.kind is SdnKind.ROUTE_MAP else 0
        if step.action != "delete":
            return (1, level, calls, step.ref.id)
        return (2 if step.ref.kind in LEFT_BEHIND else 0, -level, -calls, step.ref.id)

    return tuple(sorted(ordered, key=key))


#: Kinds that others may move away from in the same transaction.
LEFT_BEHIND = WRITTEN_AT_ONCE | frozenset({SdnKind.PREFIX_LIST, SdnKind.ROUTE_MAP, SdnKind.FABRIC, SdnKind.CONTROLLER})


def call_depths(objects: Iterable[SdnObject]) -> dict[str, int]:
    """How many calls follow one after another from each route map, as far as ``objects`` say."""
    calls = {
        obj.ref.id: [ref.id for ref in parents_of(obj) if ref.kind is SdnKind.ROUTE_MAP]
        for obj in objects
        if obj.ref.kind is SdnKind.ROUTE_MAP
    }
    depths = dict.fromkeys(calls, 0)
    for _ in calls:  # each round follows one call more; those of a circle have no end
        depths = {
            name: max((1 + depths.get(called, 0) for called in below), default=0) for name, below in calls.items()
        }
    return depths


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done for one Kubernetes object, and what is to be said about it.

    ``refused``: spec or references are not valid or not allowed; nothing is written for it.
    ``waiting``: fine in itself, but something it needs is not there yet.
    ``blocked``: it is being deleted and cannot be, yet.
    ``release``: its finalizer may go.
    ``in_sync``: both copies of Proxmox' configuration hold what the spec wants (or, deleting, hold nothing of it).
    ``leftovers``: subnets or fabric nodes that the operator created for it, that its spec no longer has and Proxmox
    still has; those that another VNet takes over are not among them.
    ``drift``: differences that another client made since it was last programmed.
    ``changes``: the steps that the object needs, in words, whether or not they are carried out now.
    ``fingerprint``: a digest of what is wanted; the status remembers the last one that was programmed.
    ``version``: which object of that name, and which of its specs, was decided about.
    """

    key: ObjectKey
    id: str = ""
    vni: int | None = None
    wanted: tuple[SdnObject, ...] = ()
    origin: Origin | None = None
    origins: Mapping[SdnRef, Origin] = field(default_factory=dict)
    leftovers: tuple[SdnRef, ...] = ()
    refused: Problem | None = None
    waiting: Problem | None = None
    blocked: Problem | None = None
    release: bool = False
    in_sync: bool = False
    managed: bool = True
    drift: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    missing: bool = False
    fingerprint: str = ""
    version: str = ""

    @property
    def ref(self) -> SdnRef | None:
        """The object's own reference, apart from its parts'."""
        return self.wanted[0].ref if self.wanted else None

    @property
    def may_go(self) -> bool:
        """Of an object being deleted: whether its deletion may go live. One that Proxmox refused a moment ago may."""
        refused = self.blocked is not None and self.blocked.reason is Reason.STAGING_FAILED
        return not self.release and (self.blocked is None or refused)


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction's worth of intent.

    ``steps`` are in an order Proxmox accepts. ``own_pending`` is what an apply would publish of ours once they are
    staged; ``foreign`` would be published too but is not ours. ``spent`` is the approval used last. ``classes`` has the
    class of every object in ``steps`` and ``own_pending``, ``staged`` that of what is staged of ours already: an apply
    of anything publishes it. ``services`` are the steps of IPAMs and DNS servers, which no apply publishes: they are
    written at once, outside of the transaction, and deleted when nothing in either copy uses them.
    """

    steps: tuple[Step, ...] = ()
    decisions: Mapping[ObjectKey, Decision] = field(default_factory=dict)
    own_pending: tuple[PendingChange, ...] = ()
    foreign: tuple[PendingChange, ...] = ()
    spent: str = ""
    classes: Mapping[SdnRef, StepClass] = field(default_factory=dict)
    staged: Mapping[SdnRef, StepClass] = field(default_factory=dict)
    services: tuple[Step, ...] = ()

    @property
    def needs_apply(self) -> bool:
        """Whether a transaction is due. Foreign edits alone are no reason for one."""
        return bool(self.steps or self.own_pending)

    @property
    def is_destructive(self) -> bool:
        """Whether carrying it out deletes something, in this run or in one that was interrupted."""
        return StepClass.DESTRUCTIVE in {*self.classes.values(), *self.staged.values()}

    @property
    def step_class(self) -> StepClass:
        """The highest class of anything in it."""
        return highest([*self.classes.values(), *self.staged.values()])

    @property
    def refs(self) -> frozenset[SdnRef]:
        """What it changes, or has staged already."""
        return frozenset({*(step.ref for step in self.steps), *(change.ref for change in self.own_pending)})

    def depending_on(self, refs: Iterable[SdnRef]) -> frozenset[SdnRef]:
        """The refs, and those whose steps Proxmox refuses until the steps of these are staged.

        An object is created after what it refers to, and deleted after what refers to it has let go of it.
        """
        held = set(refs)
        while True:
            waiting = [step for step in self.steps if step.ref in held]
            created = {step.ref for step in waiting if step.action == "create"}
            kept = {parent for step in waiting if step.before for parent in parents_of(step.before)}
            more = {
                step.ref
                for step in self.steps
                if step.ref not in held
                and (created.intersection(parents_of(step.after)) if step.after else step.ref in kept)
            }
            if not more:
                return frozenset(held)
            held |= more

    def divided(self, refs: Container[SdnRef]) -> tuple[Plan, Plan]:
        """The plan without the objects ``refs``, and the plan of these alone."""
        return self._only(lambda ref: ref not in refs), self._only(lambda ref: ref in refs)

    def _only(self, has: Callable[[SdnRef], bool]) -> Plan:
        return replace(
            self,
            steps=tuple(step for step in self.steps if has(step.ref)),
            own_pending=tuple(change for change in self.own_pending if has(change.ref)),
            classes={ref: step_class for ref, step_class in self.classes.items() if has(ref)},
        )

    def owners(self) -> Mapping[SdnRef, ObjectKey]:
        """The Kubernetes object of each Proxmox object."""
        return {
            ref: key
            for key, decision in self.decisions.items()
            for ref in (*decision.origins, *decision.leftovers, *(obj.ref for obj in decision.wanted))
        }

    def changing(self) -> frozenset[ObjectKey]:
        """The Kubernetes objects with steps that Proxmox has already."""
        owners = self.owners()
        keys = {owners[step.ref] for step in self.steps if step.ref in owners}
        return frozenset(key for key in keys if not self.decisions[key].missing)

    def refs_of(self, key: ObjectKey) -> frozenset[SdnRef]:
        """The Proxmox objects that belong to a Kubernetes object."""
        decision = self.decisions[key]
        return frozenset(decision.origins.keys() | {want.ref for want in decision.wanted})

    def keys_of(self, refs: Iterable[SdnRef]) -> tuple[ObjectKey, ...]:
        """The Kubernetes objects that these Proxmox objects belong to."""
        asked = frozenset(refs)
        return tuple(
            key
            for key, decision in self.decisions.items()
            if asked & (decision.origins.keys() | {want.ref for want in decision.wanted})
        )
