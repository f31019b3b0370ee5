"""What planning decided about each object, and the steps that carry it out. Values only; ``domain.plan`` makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, Origin
from pve_evpn.domain.plan.render import Wanted
from pve_evpn.domain.sdn import PendingChange, PendingState, PropertyDiff, Props, SdnRef, show


@dataclass(frozen=True, slots=True)
class Create:
    """POST of an object that is in neither copy, or only in the running one."""

    ref: SdnRef
    type: str
    props: Props
    parent: str = ""

    def __str__(self) -> str:
        return f"create {self.ref}" + (f" in vnet {self.parent}" if self.parent else "")


@dataclass(frozen=True, slots=True)
class Update:
    """PUT of the properties that differ; ``before`` is what the plan saw, for the check on writing and for undo."""

    ref: SdnRef
    diff: tuple[PropertyDiff, ...]
    before: Props
    parent: str = ""

    def __str__(self) -> str:
        changes = ", ".join(f"{d.key} {show(d.have)} -> {show(d.want)}" for d in self.diff)
        return f"update {self.ref}: {changes}"


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE; ``before`` and ``type`` allow putting it back."""

    ref: SdnRef
    type: str
    before: Props
    parent: str = ""

    def __str__(self) -> str:
        return f"delete {self.ref}"


Step: TypeAlias = Create | Update | Delete


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done for one Kubernetes object, and what is to be said about it.

    ``refused``: spec or references are not valid or not allowed; nothing is written for it.
    ``waiting``: fine in itself, but something it needs is not there yet.
    ``blocked``: it is being deleted and cannot be, yet.
    ``release``: its finalizer may go.
    ``in_sync``: both copies of Proxmox' configuration hold what the spec wants (or, deleting, hold nothing of it).
    ``drift``: differences somebody else made since it was last programmed.
    ``fingerprint``: a digest of what is wanted; the status remembers the last one that was programmed.
    ``version``: which object of that name, and which of its specs, was decided about.
    """

    key: ObjectKey
    id: str = ""
    vni: int | None = None
    wanted: tuple[Wanted, ...] = ()
    origin: Origin | None = None
    origins: Mapping[SdnRef, Origin] = field(default_factory=dict)
    refused: Problem | None = None
    waiting: Problem | None = None
    blocked: Problem | None = None
    release: bool = False
    in_sync: bool = False
    managed: bool = True
    drift: tuple[str, ...] = ()
    missing: bool = False
    fingerprint: str = ""
    version: str = ""

    @property
    def ref(self) -> SdnRef | None:
        """The object's own reference, apart from its subnets'."""
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
    staged; ``foreign`` would be published too but is not ours. ``spent`` is the approval used last.
    """

    steps: tuple[Step, ...] = ()
    decisions: Mapping[ObjectKey, Decision] = field(default_factory=dict)
    own_pending: tuple[PendingChange, ...] = ()
    foreign: tuple[PendingChange, ...] = ()
    spent: str = ""

    @property
    def needs_apply(self) -> bool:
        """Whether a transaction is due. Foreign edits alone are no reason for one."""
        return bool(self.steps or self.own_pending)

    @property
    def is_destructive(self) -> bool:
        """Whether carrying it out deletes something, in this run or in one that was interrupted."""
        return self.deletions_staged or any(isinstance(step, Delete) for step in self.steps)

    def parted(self) -> tuple[Plan, Plan]:
        """What deletes nothing, and what deletes. Nothing created or changed ever needs a deletion to come first:
        names and VNIs are free only once Proxmox no longer has their holder."""
        gone = {step.ref for step in self.steps if isinstance(step, Delete)}
        harmless = replace(
            self,
            steps=tuple(step for step in self.steps if step.ref not in gone),
            own_pending=tuple(change for change in self.own_pending if change.ref not in gone),
        )
        destructive = replace(
            self,
            steps=tuple(step for step in self.steps if step.ref in gone),
            own_pending=tuple(change for change in self.own_pending if change.ref in gone),
        )
        return harmless, destructive

    @property
    def deletions_staged(self) -> bool:
        """Whether an interrupted run staged deletions: an apply of anything would publish them."""
        gone = {step.ref for step in self.steps if isinstance(step, Delete)}
        return any(c.state is PendingState.DELETED and c.ref not in gone for c in self.own_pending)

    def keys_of(self, refs: Iterable[SdnRef]) -> tuple[ObjectKey, ...]:
        """The Kubernetes objects that these Proxmox objects belong to."""
        asked = frozenset(refs)
        return tuple(
            key
            for key, decision in self.decisions.items()
            if asked & (decision.origins.keys() | {want.ref for want in decision.wanted})
        )
