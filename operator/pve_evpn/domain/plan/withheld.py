"""What would be changed and is not, and why: the rest of the plan that is carried out now. Pure.

A step is not carried out because the whole plan waits (an approval, a window, the lock, foreign edits), or because its
object is left out: it is paused, only observed, its drift only reported, or Proxmox refused it a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, Resource
from pve_evpn.domain.plan.apply_policy import lines
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.domain.plan.step_class import StepClass, highest
from pve_evpn.domain.sdn import SdnRef

#: Why a plan waits, where nothing else is known.
_DUE = Problem(Reason.PENDING_APPLY, "changes wait to be applied", retryable=True)


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """One step in words, its object and its class, and why it is not carried out."""

    words: str
    step_class: StepClass
    problem: Problem
    ref: SdnRef


@dataclass(frozen=True, slots=True)
class WaitingPlan:
    """Everything that would be changed and is not.

    ``plan`` is what an approval refers to: the part that a person or a moment may release, else all of it. Its steps
    come first in ``steps``.
    """

    plan: Plan
    steps: tuple[WaitingStep, ...]

    @property
    def problem(self) -> Problem:
        """Why the first of the steps waits."""
        return self.steps[0].problem

    @property
    def step_class(self) -> StepClass:
        """The highest class of a step."""
        return highest([*(step.step_class for step in self.steps), *self.plan.staged.values()])


def leaves_out(plan: Plan) -> bool:
    """Whether anything that the objects ask for may be missing in the plan."""
    return any(
        not decision.in_sync
        and not decision.release
        and (not decision.managed or decision.waiting or decision.blocked or decision.drift)
        for decision in plan.decisions.values()
    )


def waiting_plan(
    desired: Desired, plan: Plan, waiting: Plan | None, held: Problem | None, everything: Plan | None
) -> WaitingPlan | None:
    """What waits; None where everything is as desired.

    Args:
        plan: What is still to be done after this sync.
        waiting: The part of it that waits for a person or for its time.
        held: Why the plan, or that part of it, is not carried out.
        everything: The plan without pauses and the like; None where nothing is left out.
    """
    due = waiting or (plan if plan.needs_apply else None)
    also, _ = plan.divided(due.refs) if due else (None, None)
    found = [
        WaitingStep(words, step_class, held or _DUE, ref)
        for part in (due, also)
        if part
        for words, ref, step_class in lines(part)
    ]
    rest = _rest(everything, plan, due) if everything else None
    if rest:
        owners, resources = rest.owners(), {resource.key: resource for resource in desired}
        for words, ref, step_class in lines(rest):
            key = owners.get(ref)
            why = _why(resources[key], plan.decisions[key], desired) if key else _DUE
            found.append(WaitingStep(words, step_class, why, ref))
    if not found:
        return None
    shown = due or rest
    assert shown is not None
    return WaitingPlan(shown, tuple(found))


def _rest(everything: Plan, *plans: Plan | None) -> Plan | None:
    """The steps that are in none of the plans."""
    planned = {ref for plan in plans if plan for ref in plan.refs}
    _, rest = everything.divided(everything.refs - planned)
    return rest if rest.needs_apply else None


def _why(resource: Resource[Any], decision: Decision, desired: Desired) -> Problem:
    """Why an object's steps are not in the plan that is carried out."""
    key, cluster = resource.key, desired.cluster.key
    if resource.paused:
        return Problem(Reason.ANNOTATION_PAUSED, f"{key} is paused")
    if desired.paused:
        return Problem(Reason.CLUSTER_PAUSED, f"{cluster} is paused")
    for spec, owner in ((resource.spec, key), (desired.cluster.spec, cluster)):
        if getattr(spec, "management_policy", None) == "ObserveOnly":
            return Problem(Reason.FIELDS_DIFFER, f"managementPolicy of {owner} is ObserveOnly")
    if problem := decision.waiting or decision.blocked or decision.refused:
        return problem
    if decision.drift:
        return Problem(Reason.FIELDS_DIFFER, f"another client changed it, and spec.drift of {cluster} is Report")
    return _DUE
