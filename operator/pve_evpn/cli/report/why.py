"""``pve-evpn why``: from the object to its cause, what else holds it up, and what to do."""

from __future__ import annotations

from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.zone import EvpnZoneStatus
from pve_evpn.cli.report.causes import Cause, cause_of, is_good, missing_reference, state_of
from pve_evpn.cli.report.exits import exit_blocks
from pve_evpn.cli.report.model import Block, Cell, Column, Facts, Lines, Report, Table, Tone, age, columns
from pve_evpn.cli.report.remedies import PAGES, remedy_for
from pve_evpn.cli.report.snapshot import Snapshot, alike, references
from pve_evpn.cli.report.status import waits_of
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.text import some_of

EVENTS = 12
#: The value of each condition that is nothing to speak of.
_GOOD = {ConditionType.DRIFTED: "False", ConditionType.PAUSED: "False", ConditionType.INSECURE: "False"}
_SUMS = {ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED}


def why_report(snapshot: Snapshot, key: ObjectKey) -> Report:
    """The chain of one object. ``key`` must be in the snapshot."""
    resource = snapshot.objects[key]
    cause = cause_of(snapshot, key)
    cluster = snapshot.cluster_of(key)
    blocks: list[Block] = [
        _head(snapshot, resource, cause),
        _chain(snapshot, resource),
        _conditions(snapshot, resource),
        *(exit_blocks(resource.status.exit) if isinstance(resource.status, EvpnZoneStatus) else ()),
        *_circumstances(snapshot, resource, cluster),
        *_transaction(snapshot, cluster),
        _events(snapshot, resource, cause),
        _remedy(snapshot, resource, cause),
    ]
    kept = tuple(block for block in blocks if not isinstance(block, Table) or block.rows)
    return Report(kept, is_good(resource))


def _head(snapshot: Snapshot, resource: Resource[Any], cause: Cause | None) -> Facts:
    status, reason, message = state_of(resource)
    tone = Tone.GOOD if cause is None else Tone.BAD if status == "False" else Tone.WAITING
    at_fault = cause or Cause(resource.key, reason, message)
    rows = [
        (Column("object", "object"), Cell(str(resource.key))),
        (Column("ready", "ready"), Cell(status, tone)),
        (Column("reason", "reason"), Cell(reason)),
        (Column("message", "message"), Cell(message)),
        (Column("age", "age"), age(resource.created, snapshot.now)),
        (Column("causeObject", "cause at"), Cell(str(at_fault.key) if cause else None)),
        (Column("cause", "cause"), Cell(at_fault.reason if cause else None, tone)),
        (Column("causeMessage", "it says"), Cell(at_fault.message if cause and cause.key != resource.key else None)),
    ]
    return Facts("object", "", tuple(row for row in rows if row[1].value not in (None, "")))


def _chain(snapshot: Snapshot, resource: Resource[Any]) -> Table:
    rows = []
    for reference in snapshot.needs(resource.key):
        needed = snapshot.objects.get(reference.target)
        if needed:
            status, reason, message = state_of(needed)
            tone = Tone.GOOD if is_good(needed) else Tone.BAD if status == "False" else Tone.WAITING
        elif why := snapshot.unread.get(reference.target.kind):
            status, reason, message, tone = "Unknown", "NotRead", why, Tone.WAITING
        else:
            status, reason, message, tone = (
                "False",
                "Missing",
                f"does not exist{alike(snapshot, reference.target)}",
                (Tone.BAD),
            )
        shown = message if tone != Tone.GOOD else ""
        rows.append(
            (Cell(reference.field), Cell(str(reference.target)), Cell(status, tone), Cell(reason, tone), Cell(shown))
        )
    titles = columns(
        ("field", "FIELD"), ("object", "OBJECT"), ("ready", "READY"), ("reason", "REASON"), ("message", "MESSAGE"),
        wraps=("message",),
    )  # fmt: skip
    return Table("needs", "WHAT IT NEEDS", titles, tuple(rows))


def _conditions(snapshot: Snapshot, resource: Resource[Any]) -> Table:
    rows = []
    for condition in resource.status.conditions or ():
        if condition.type in _SUMS:
            continue
        good = condition.status == _GOOD.get(condition.type, "True")
        tone = Tone.GOOD if good else Tone.WAITING if condition.status == "Unknown" else Tone.BAD
        rows.append(
            (
                Cell(condition.type),
                Cell(condition.status, tone),
                Cell(condition.reason, Tone.PLAIN if good else tone),
                age(condition.last_transition_time, snapshot.now),
                Cell(condition.message),
            )
        )
    titles = columns(
        ("type", "CONDITION"), ("status", "STATUS"), ("reason", "REASON"), ("since", "FOR"), ("message", "MESSAGE"),
        wraps=("message",),
    )  # fmt: skip
    return Table("conditions", "CONDITIONS", titles, tuple(rows))


def _circumstances(snapshot: Snapshot, resource: Resource[Any], cluster: Resource[Any] | None) -> list[Block]:
    """What no condition says, or not of this object: pause, policies, deletion, and what holds the cluster up."""
    lines = []
    if resource.invalid:
        lines.append(f"the spec cannot be read: {resource.invalid}")
    if resource.paused and resource is not cluster:
        lines.append(f"paused: nothing is written for it; pve-evpn resume {short(resource.key)}")
    for each in dict.fromkeys((resource.key, cluster.key if cluster else resource.key)):
        found = snapshot.objects[each]
        if getattr(found.spec, "management_policy", None) == "ObserveOnly":
            lines.append(f"managementPolicy of {each} is ObserveOnly: nothing is written, the status is kept")
    if resource.deleting:
        held = "; its finalizers are " + ", ".join(resource.finalizers) if resource.finalizers else ""
        lines.append(f"it is being deleted{held}")
    for what, since, text, todo in waits_of(cluster) if cluster else ():
        long = f" for {age(since, snapshot.now)}" if since else ""
        lines.append(f"{what}{long}: {text}; {todo}")
    return [Lines("circumstances", "WHAT HOLDS IT UP", tuple(lines), Tone.WAITING)] if lines else []


def _transaction(snapshot: Snapshot, cluster: Resource[Any] | None) -> list[Block]:
    last = cluster.status.last_transaction if cluster else None
    if last is None:
        return []
    failed = [
        f"{node.name} {node.result}: {node.message or ''}" for node in last.nodes or () if node.result != "Reloaded"
    ]
    rows = [
        (Column("outcome", "outcome"), Cell(last.outcome, Tone.GOOD if last.outcome == "Applied" else Tone.BAD)),
        (Column("at", "ago"), age(last.finished_at or last.started_at, snapshot.now)),
        (Column("changes", "steps"), Cell(last.changes)),
        (Column("message", "message"), Cell(last.message)),
        (Column("nodes", "nodes"), Cell(some_of(failed) or None)),
    ]
    return [Facts("lastTransaction", "LAST TRANSACTION", tuple(row for row in rows if row[1].value not in (None, "")))]


def _events(snapshot: Snapshot, resource: Resource[Any], cause: Cause | None) -> Table:
    about = {resource.key} | ({cause.key} if cause else set())
    events = [event for event in snapshot.events if event.about in about]
    rows = tuple(
        (
            age(event.at, snapshot.now),
            Cell(str(event.about)),
            Cell(event.reason, Tone.WAITING if event.warning else Tone.PLAIN),
            Cell(event.message),
        )
        for event in events
    )
    titles = columns(
        ("at", "AGO"), ("object", "OBJECT"), ("reason", "REASON"), ("message", "MESSAGE"), wraps=("message",)
    )
    shown = tuple(range(max(0, len(rows) - EVENTS), len(rows)))
    return Table("events", "EVENTS", titles, rows, shown)


def _remedy(snapshot: Snapshot, resource: Resource[Any], cause: Cause | None) -> Block:
    if cause is None:
        return Lines("remedy", "", (f"{resource.key} is Ready.",), Tone.GOOD)
    remedy = remedy_for(cause.reason)
    lines = [_particular(snapshot, resource, cause) or remedy.text, f"More: {PAGES}{remedy.page}"]
    if not cause.needs_you and not cause.unknown and cause.reason != Reason.PENDING:
        lines.insert(1, "The operator tries again by itself.")
    return Lines("remedy", "WHAT TO DO", tuple(lines))


def _particular(snapshot: Snapshot, resource: Resource[Any], cause: Cause) -> str:
    """The remedy with the names of this case, where they are known."""
    name, namespace = cause.key.name, resource.key.namespace
    if cause.key not in snapshot.objects:
        owner = next(
            (each for each in (resource.key, *(r.target for r in snapshot.needs(resource.key)))
             if each in snapshot.objects and (found := missing_reference(snapshot, snapshot.objects[each]))
             and found.target == cause.key),
            resource.key,
        )  # fmt: skip
        return f"Create {cause.key}, or correct the reference in {owner}{alike(snapshot, cause.key)}."
    targets = {found.field: found.target for found in references(snapshot.objects[cause.key])}
    match cause.reason:
        case Reason.REF_NOT_FOUND if cause.key.kind == "VNet" and "zoneRef" in targets:
            return (
                f"{targets['zoneRef']} exists and does not let this VNet use it: add namespace {namespace} to its "
                "allowedNamespaces."
            )
        case Reason.REF_NOT_FOUND if cause.key.kind == "NicAttachment" and "clusterRef" in targets:
            return (
                f"See whether the guest exists in Proxmox. If it does, grant it to namespace {namespace}: "
                f"spec.guestAccess of {targets['clusterRef']}."
            )
        case Reason.AWAITING_APPROVAL:
            return f"Read the plan and approve it: pve-evpn approve {name}"
        case Reason.OUTSIDE_WINDOW:
            return f"Wait for the maintenance window, or approve the plan now: pve-evpn approve {name}"
        case Reason.CLUSTER_PAUSED | Reason.ANNOTATION_PAUSED:
            return f"Resume it: pve-evpn resume {short(cause.key)}"
    return ""


def short(key: ObjectKey) -> str:
    """The object as commands take it."""
    place = f" -n {key.namespace}" if key.namespace else ""
    return f"{key.kind.lower()}/{key.name}{place}"
