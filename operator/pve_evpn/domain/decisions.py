"""What planning decided about each object, and the steps that carry it out. Values only; ``domain.plan`` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.render import Wanted
from pve_evpn.domain.resources import ObjectKey, Origin
from pve_evpn.domain.sdn import PendingChange, PropertyDiff, Props, SdnRef


@dataclass(frozen=True, slots=True)
class Finding:
    """Why something is not so: a reason for programs, a sentence for people.

    ``heals`` is true where waiting helps (a reference that may still appear); false asks the user to act.
    """

    reason: Reason
    message: str
    heals: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """POST of an object that is in neither copy, or only in the running one."""

    ref: SdnRef
    type: str
    props: Props
    parent: str = ""

    def __str__(self) -> str:
        return f"create {self.ref}"


@dataclass(frozen=True, slots=True)
class Update:
    """PUT of the properties that differ; ``before`` is what the plan saw, for the check on writing and for undo."""

    ref: SdnRef
    diff: tuple[PropertyDiff, ...]
    before: Props
    parent: str = ""

    def __str__(self) -> str:
        return f"update {self.ref} ({', '.join(d.key for d in self.diff)})"


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
    """

    key: ObjectKey
    id: str = ""
    vni: int | None = None
    wanted: tuple[Wanted, ...] = ()
    origin: Origin | None = None
    origins: Mapping[SdnRef, Origin] = field(default_factory=dict)
    refused: Finding | None = None
    waiting: Finding | None = None
    blocked: Finding | None = None
    release: bool = False
    in_sync: bool = False
    managed: bool = True
    drift: tuple[str, ...] = ()
    missing: bool = False

    @property
    def ref(self) -> SdnRef | None:
        """The object's own reference, apart from its subnets'."""
        return self.wanted[0].ref if self.wanted else None


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction's worth of intent.

    ``steps`` are in an order Proxmox accepts. ``own_pending`` would be published by us and was staged by us (or is
    superseded by our steps); ``foreign`` would be published too but is not ours.
    """

    steps: tuple[Step, ...] = ()
    decisions: Mapping[ObjectKey, Decision] = field(default_factory=dict)
    own_pending: tuple[PendingChange, ...] = ()
    foreign: tuple[PendingChange, ...] = ()

    @property
    def needs_apply(self) -> bool:
        """Whether a transaction is due. Foreign edits alone are no reason for one."""
        return bool(self.steps or self.own_pending)

    @property
    def is_destructive(self) -> bool:
        return any(isinstance(step, Delete) for step in self.steps)
