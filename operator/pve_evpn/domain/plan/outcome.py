"""What a transaction and a node's reload came to. Values only; the engine makes them, statuses show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.sdn import SdnRef
from pve_evpn.domain.state import ClusterState


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one node's reload. ``known``: the node could be asked. ``started``: it began one."""

    name: str
    ok: bool
    message: str = ""
    known: bool = True
    offline: bool = False
    started: bool = True


class Outcome(StrEnum):
    """How a transaction ended. ``status.lastTransaction.outcome`` of a ProxmoxCluster shows these words."""

    APPLIED = "Applied"
    PARTIALLY_APPLIED = "PartiallyApplied"
    CORRECTED = "Corrected"
    NOTHING_TO_DO = "NothingToDo"
    LOCKED = "Locked"
    REFUSED = "Refused"
    STAGING_FAILED = "StagingFailed"
    APPLY_FAILED = "ApplyFailed"
    REVERTED = "Reverted"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome, with what a report needs.

    ``culprit`` is the object Proxmox refused, ``left`` what undoing left, ``plan`` what was carried out.
    ``before``: what was read under the lock, where it still holds but for the plan.
    ``next_apply_after``: until when the namespaces in ``plan`` wait for their next apply; None where they do not.
    """

    outcome: Outcome
    message: str = ""
    plan: Plan = field(default_factory=Plan)
    nodes: Mapping[str, NodeResult] = field(default_factory=dict)
    culprit: SdnRef | None = None
    objection: Problem | None = None
    left: tuple[str, ...] = ()
    before: ClusterState | None = None
    started: float = 0.0
    finished: float = 0.0
    id: str = ""
    next_apply_after: datetime | None = None

    @property
    def well_done(self) -> bool:
        """Whether everything was applied on every node."""
        return self.outcome is Outcome.APPLIED and all(node.ok for node in self.nodes.values())
