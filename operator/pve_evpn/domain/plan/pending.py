"""What an apply would publish once the steps are staged: which of it is the operator's, and which is foreign.

An edit is the operator's if it brings about what is desired, not because it is made on an object of the operator's:
another client's staged change of our VNet, where drift is only reported, must not go live by our hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pve_evpn.domain.plan.context import PlanContext
from pve_evpn.domain.plan.model import Step, carried_out
from pve_evpn.domain.plan.ownership import deletable
from pve_evpn.domain.plan.step_class import StepClass, class_of
from pve_evpn.domain.sdn import PARENT, PendingChange, PendingState, SdnObject, SdnRef, SdnSnapshot, pending_changes


def split_pending(
    context: PlanContext, steps: Iterable[Step]
) -> tuple[tuple[PendingChange, ...], tuple[PendingChange, ...]]:
    """The pending changes after the steps: the operator's, and the foreign ones."""
    steps = tuple(steps)
    edited = carried_out(context.sdn.edited, steps)
    removing = {step.ref for step in steps if step.action == "delete"} | _removed_on_purpose(context)
    managed = [decision for decision in context.decisions.values() if decision.managed]
    desired = {obj.ref: obj for decision in managed for obj in decision.wanted}
    own, foreign = [], list(context.sdn.other_pending)
    for change in pending_changes(edited, context.sdn.running):
        if change.ref in removing and change.state is PendingState.DELETED:
            own.append(change)
        elif change.ref in desired and change.ref in edited:
            ours, others = _split(change, edited[change.ref], desired[change.ref])
            own += ours
            foreign += others
        elif change.ref in context.journal and change.state is PendingState.NEW:
            own.append(change)
        else:
            foreign.append(change)
    # On the operator's own objects another spelling of the same values is no edit to protect.
    foreign += [change for change in context.sdn.reworded if change.ref not in desired]
    return tuple(own), tuple(foreign)


def classes_of(
    sdn: SdnSnapshot, steps: Iterable[Step], own_pending: Iterable[PendingChange]
) -> Mapping[SdnRef, StepClass]:
    """The class of every object that the steps, and an apply after them, change.

    It follows from what runs, not from what is staged: taking a staged edit back publishes nothing. A deletion is
    destructive even where the object was never published.
    """
    by_ref = {step.ref: step for step in steps}
    found = {}
    for ref in {**by_ref, **dict.fromkeys(change.ref for change in own_pending)}:
        step = by_ref.get(ref)
        after = step.after if step else sdn.edited.get(ref)
        deletes = step is not None and step.action == "delete"
        found[ref] = StepClass.DESTRUCTIVE if deletes else class_of(sdn.running.get(ref), after)
    return found


def staged_classes(sdn: SdnSnapshot, own_pending: Iterable[PendingChange]) -> Mapping[SdnRef, StepClass]:
    """The class of what is staged already of the operator's: an apply of anything publishes it."""
    refs = {change.ref for change in own_pending}
    return {
        ref: class_of(sdn.running.get(ref), sdn.edited.get(ref))
        for ref in refs
        if sdn.running.get(ref) != sdn.edited.get(ref)
    }


def _removed_on_purpose(context: PlanContext) -> set[SdnRef]:
    """What is the operator's and to be gone: objects that may be deleted, and subnets their VNet no longer has."""
    refs: set[SdnRef] = set()
    for key, decision in context.decisions.items():
        resource = context.resources[key]
        if resource.deleting and decision.may_go:
            refs |= deletable(resource, decision.origins).keys()
        elif not resource.deleting and decision.managed:
            refs |= set(decision.leftovers)
    return refs


def _split(
    change: PendingChange, edited: SdnObject, desired: SdnObject
) -> tuple[list[PendingChange], list[PendingChange]]:
    """One edit of a desired object: the part of it that is as desired, and the part that is not."""
    wrong = {diff.key for diff in desired.differences(edited)}
    if change.state is not PendingState.CHANGED:
        return ([], [change]) if wrong else ([change], [])
    settled = (desired.props.keys() | desired.absent | ({PARENT} if desired.parent else set())) - wrong
    own = tuple(key for key in change.keys if key in settled)
    foreign = tuple(key for key in change.keys if key not in settled)
    return (
        [PendingChange(change.ref, change.state, own)] if own or not foreign else [],
        [PendingChange(change.ref, change.state, foreign)] if foreign else [],
    )
