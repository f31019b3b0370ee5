"""The way back: steps that bring some objects to a state they had before. Pure.

Proxmox can only reset everything pending of everybody, and nothing at all once it was applied. So going back means
writing the earlier values, object by object, for exactly the objects we changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pve_evpn.domain.plan.model import Step, in_order
from pve_evpn.domain.sdn import PendingChange, PendingState, SdnObject, SdnRef, SdnSnapshot


def steps_towards(edited: Mapping[SdnRef, SdnObject], target: Mapping[SdnRef, SdnObject | None]) -> tuple[Step, ...]:
    """What to stage so that each object named in ``target`` is there as given, or is not there (None)."""
    steps = []
    for ref, goal in target.items():
        have = edited.get(ref)
        if (have is None) != (goal is None) or (have and goal and have.props != goal.props):
            steps.append(Step(ref, have, goal))
    return in_order(steps)


def withdrawal(sdn: SdnSnapshot, changes: Iterable[PendingChange]) -> tuple[Step, ...]:
    """The steps that take our own staged edits back, leaving what others staged on the same objects."""
    target: dict[SdnRef, SdnObject | None] = {}
    for change in changes:
        live, staged = sdn.running.get(change.ref), sdn.edited.get(change.ref)
        if change.state is PendingState.CHANGED and live and staged:
            props = dict((target.get(change.ref) or staged).props)
            for key in change.keys:
                props.pop(key, None)
                if key in live.props:
                    props[key] = live.props[key]
            target[change.ref] = SdnObject(change.ref, staged.type, props, staged.parent)
        else:
            target[change.ref] = live
    return steps_towards(sdn.edited, target)


def put_back(sdn: SdnSnapshot, steps: Iterable[Step]) -> tuple[PendingChange, ...]:
    """The staged edits that these steps take back: deletions of what runs, and values that are to be as they run."""
    found = []
    for step in steps:
        live = sdn.running.get(step.ref)
        if live and step.action == "create":
            found.append(PendingChange(step.ref, PendingState.DELETED))
        elif live and step.action == "update":
            keys = tuple(diff.key for diff in step.diff if diff.want == live.props.get(diff.key))
            found += [PendingChange(step.ref, PendingState.CHANGED, keys)] if keys else []
    return tuple(found)
