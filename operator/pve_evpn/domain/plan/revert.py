"""Taking back: unstaging what no apply has published yet, and reverting an apply that made the nodes worse. Pure.

Proxmox can only roll back everything that everyone has staged, and nothing at all once it was applied. So taking back
means writing the earlier values, object by object, for exactly the objects that the operator changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pve_evpn.domain.plan.model import Step, in_order
from pve_evpn.domain.sdn import (
    PARENT,
    PendingChange,
    PendingState,
    SdnObject,
    SdnRef,
    SdnSnapshot,
    changes_between,
)
from pve_evpn.domain.state import ClusterState


def steps_towards(edited: Mapping[SdnRef, SdnObject], target: Mapping[SdnRef, SdnObject | None]) -> tuple[Step, ...]:
    """What to stage so that each object named in ``target`` is there as given, or is not there (None)."""
    steps = []
    for ref, goal in target.items():
        have = edited.get(ref)
        if (have is None) != (goal is None) or (have and goal and changes_between(have, goal)):
            steps.append(Step(ref, have, goal))
    return in_order(steps)


def unstage(sdn: SdnSnapshot, changes: Iterable[PendingChange]) -> tuple[Step, ...]:
    """The steps that take the operator's staged edits back and leave what others staged on the same objects."""
    target: dict[SdnRef, SdnObject | None] = {}
    for change in changes:
        live, staged = sdn.running.get(change.ref), sdn.edited.get(change.ref)
        if change.state is PendingState.CHANGED and live and staged:
            props = dict((target.get(change.ref) or staged).props)
            for key in change.keys:
                props.pop(key, None)
                if key in live.props:
                    props[key] = live.props[key]
            parent = live.parent if PARENT in change.keys else staged.parent
            target[change.ref] = SdnObject(change.ref, staged.type, props, parent)
        else:
            target[change.ref] = live
    return steps_towards(sdn.edited, target)


def taken_back(sdn: SdnSnapshot, steps: Iterable[Step]) -> tuple[PendingChange, ...]:
    """The staged edits that these steps take back: deletions of what runs, and values that are to be as they run."""
    found = []
    for step in steps:
        live = sdn.running.get(step.ref)
        if live and step.action == "create":
            found.append(PendingChange(step.ref, PendingState.DELETED))
        elif live and step.action == "update":
            runs = {**live.props, PARENT: live.parent}
            keys = tuple(diff.key for diff in step.diff if diff.want == runs.get(diff.key))
            found += [PendingChange(step.ref, PendingState.CHANGED, keys)] if keys else []
    return tuple(found)


def worsened(before: ClusterState, after: ClusterState) -> frozenset[str]:
    """What is wrong on the nodes now and was not before the apply, in words.

    A node that went offline, and a zone that a node does not have as it should. Unknown is not worse: neither a node
    that does not answer at this moment, nor one of which nothing was known before the apply.
    """
    bad = _complaints(before).keys()
    known = {node.name for node in before.nodes.values() if node.online and node.zones is not None}
    return frozenset(
        words for (node, zone), words in _complaints(after).items() if node in known and (node, zone) not in bad
    )


def _complaints(state: ClusterState) -> Mapping[tuple[str, str], str]:
    """By node and zone; the zone is "" where it is the node itself."""
    found = {}
    for node in state.nodes.values():
        if not node.online:
            found[node.name, ""] = f"{node.name} is offline"
        elif node.zones is not None:
            for zone, zone_state in state.unavailable_zones(node).items():
                found[node.name, zone] = f"{node.name}: zone {zone} is {zone_state}"
    return found
