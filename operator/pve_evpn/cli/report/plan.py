"""The report of `pve-evpn plan`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pve_evpn.api.conditions import Reason
from pve_evpn.cli.report.model import Block, Cell, Lines, Report, Table, Tone, columns
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, ObjectKey
from pve_evpn.domain.plan.deletion import why_left
from pve_evpn.domain.plan.step_class import StepClass, in_words
from pve_evpn.domain.preview import Change, Preview, Stage
from pve_evpn.text import some_of

_CHANGES = columns(("class", "CLASS"), ("change", "CHANGE"), ("object", "OBJECT"), ("why", "WHY"), wraps=("change",))
_HELD = columns(
    ("class", "CLASS"), ("change", "CHANGE"), ("object", "OBJECT"), ("reason", "NOT NOW BECAUSE"), wraps=("change",)
)
_REFUSED = columns(("object", "OBJECT"), ("reason", "REASON"), ("message", "MESSAGE"), wraps=("message",))
_GONE = columns(("object", "OBJECT"), ("inProxmox", "IN PROXMOX"))
_TONES = {StepClass.DISRUPTIVE: Tone.WAITING, StepClass.DESTRUCTIVE: Tone.BAD}


@dataclass(frozen=True, slots=True)
class Changes:
    """What was planned, and for what.

    Attributes:
        before: The same without the manifests; None where Kubernetes has nothing of the cluster, or was not asked.
        manifests: The objects that have one.
        unknown: By object, fields that its kind does not have.
        elsewhere: Objects of the manifests that belong to another ProxmoxCluster, or to none, and why.
        others: How many objects of other APIs the manifests hold.
        gone: Objects without a manifest, with ``--prune``.
        unread: Kinds that the caller may not list.
        partly: Kinds that the caller may list in ``namespaces`` only.
    """

    cluster: str
    preview: Preview
    before: Preview | None
    desired: Desired
    manifests: frozenset[ObjectKey]
    unknown: Mapping[ObjectKey, str]
    elsewhere: Mapping[ObjectKey, Problem]
    others: int
    gone: tuple[ObjectKey, ...]
    kubernetes: bool
    unread: tuple[str, ...]
    partly: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    @property
    def refused(self) -> Mapping[ObjectKey, Problem]:
        """What the manifests bring about: refusals of their own objects, and of others that were fine before."""
        known = self.before.refused if self.before else {}
        found = {
            key: problem for key, problem in self.preview.refused.items() if key in self.manifests or key not in known
        }
        extra = {key: Problem(Reason.INVALID_SPEC, f"unknown field: {fields}") for key, fields in self.unknown.items()}
        return {**self.elsewhere, **found, **extra}


def plan_report(changes: Changes) -> Report:
    """Changes, refusals, what waits, and how sure all of that is; good if nothing is refused."""
    preview = changes.preview
    due, held = preview.due, tuple(change for change in preview.changes if change not in preview.due)
    blocks: list[Block] = [Lines("summary", f"Plan for {changes.cluster}", (_sentence(changes),))]
    if due:
        blocks.append(Table("changes", "CHANGES", _CHANGES, tuple(map(_row, due))))
    if changes.refused:
        blocks.append(Table("refused", "REFUSED", _REFUSED, _problems(changes.refused)))
    if preview.waiting:
        blocks.append(Table("waiting", "WAITING", _REFUSED, _problems(preview.waiting)))
    if held:
        blocks.append(Table("notNow", "WOULD CHANGE, BUT NOT NOW", _HELD, tuple(map(_held_row, held))))
    if changes.gone:
        blocks.append(
            Table("gone", "DELETED BY --PRUNE", _GONE, tuple(_gone_row(changes, key) for key in changes.gone))
        )
    if pending := _pending(changes):
        blocks.append(pending)
    if notes := _notes(changes):
        blocks.append(Lines("notes", "NOTES", notes))
    return Report(tuple(blocks), not changes.refused)


#: What is written at once, apart from the apply.
_AT_ONCE = (
    (Stage.SERVICE, "service write"),
    (Stage.FIREWALL, "firewall write"),
    (Stage.NIC, "NIC write"),
)


def _sentence(changes: Changes) -> str:
    preview = changes.preview
    if not preview.due:
        refused = f"{counted(len(changes.refused), 'object')} would be refused. " if changes.refused else ""
        same = "" if changes.refused else " Proxmox has what these manifests say."
        return f"{refused}No changes.{same}"
    steps = [change.step_class for change in preview.due if change.step_class is not None]
    most = max((change.apply for change in preview.due), default=1)
    applies = "one apply" if most == 1 else f"{most} applies"
    parts = [f"{counted(len(steps), 'step')} in {applies} ({in_words(steps)})"] if steps else []
    for stage, words in _AT_ONCE:
        if count := sum(change.stage is stage for change in preview.due):
            parts.append(counted(count, words))
    parts.append(f"{counted(preview.unchanged, 'object')} unchanged")
    if changes.refused:
        parts.append(f"{counted(len(changes.refused), 'object')} refused")
    return ", ".join(parts) + "."


def counted(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _class_of(change: Change) -> Cell:
    step_class = change.step_class
    if step_class is None:
        return Cell(str(change.stage))
    return Cell(step_class.value, _TONES.get(step_class, Tone.PLAIN))


def _row(change: Change) -> tuple[Cell, ...]:
    why = f"{change.why}; waits for approval or a window" if change.held else change.why
    return (_class_of(change), Cell(change.words), Cell(str(change.key or "")), Cell(why.removeprefix("; ")))


def _held_row(change: Change) -> tuple[Cell, ...]:
    reason = change.held.full if change.held else ""
    return (_class_of(change), Cell(change.words), Cell(str(change.key or "")), Cell(reason, Tone.WAITING))


def _problems(found: Mapping[ObjectKey, Problem]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (Cell(str(key)), Cell(problem.reason.value, Tone.BAD), Cell(problem.full)) for key, problem in found.items()
    )


def _gone_row(changes: Changes, key: ObjectKey) -> tuple[Cell, ...]:
    resource = next(resource for resource in changes.desired if resource.key == key)
    if any(change.key == key for change in changes.preview.changes):
        return (Cell(str(key)), Cell("deleted or detached", Tone.BAD))
    if key in changes.preview.waiting:
        return (Cell(str(key)), Cell("it waits, see above", Tone.WAITING))
    return (Cell(str(key)), Cell(f"stays: {why_left(resource)}"))


def _pending(changes: Changes) -> Block | None:
    """The plan that the operator shows now, without the manifests."""
    plan = changes.desired.cluster.status.pending_plan
    if plan is None:
        return None
    classes = plan.classes or []
    steps = [
        f"{step} ({classes[number]})" if number < len(classes) else step for number, step in enumerate(plan.summary)
    ]
    more = (f"and {plan.truncated} more",) if plan.truncated else ()
    title = f"ALREADY WAITING IN THE OPERATOR (status.pendingPlan {plan.hash}, {plan.reason or 'waits'})"
    return Lines("pendingPlan", title, (*steps, *more))


def _notes(changes: Changes) -> tuple[str, ...]:
    preview, found = changes.preview, []
    if preview.held:
        found.append(f"the operator would not apply now: {preview.held.reason}: {preview.held.full}")
    if preview.foreign and not preview.held:
        found.append(f"others have staged edits in Proxmox: {some_of(preview.foreign)}")
    if not changes.kubernetes:
        found.append(
            "Kubernetes was not asked: what Proxmox has under these names counts as managed; fields and subnets that "
            "were removed, and VNIs that were allocated, are not known"
        )
    if changes.unread:
        found.append(
            f"you may not list {', '.join(changes.unread)}, so these count as not there: what refers to them is "
            "refused here, and conflicts with them are not seen"
        )
    if changes.partly:
        found.append(
            f"you may list {', '.join(changes.partly)} in {', '.join(changes.namespaces)} only: what other namespaces "
            "ask for is not seen, and what they have in Proxmox counts as another client's"
        )
    if changes.others:
        found.append(f"left aside: {counted(changes.others, 'object')} of other APIs")
    found.append("rules that only the API server checks: kubectl apply --dry-run=server")
    return tuple(found)
