"""From decisions and what was observed to the status of each object. Pure.

A status depends on the present state of things and on the status before (for times and for what must survive), never
on how often somebody looked: reporting the same state twice gives the same status, so that nothing has to be
written. Statuses are plain dictionaries in the API's spelling; ``None`` removes a field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.limits import fit
from pve_evpn.api.status import as_written
from pve_evpn.domain.conditions import ConditionValue, Problem, from_problem, merge, progress, ready
from pve_evpn.domain.health.record import Health, nodes_that_fit, unobserved
from pve_evpn.domain.nics.pins import PinState
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.domain.plan.ownership import known_refs
from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.state import ClusterState, NodeState

_DECISIVE = (ConditionType.ACCEPTED, ConditionType.PROGRAMMED, ConditionType.OPERATIONAL)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What holds for the whole cluster in this pass.

    ``held``: why nothing is being written at all (unreachable, locked, foreign edits, a window), or None.
    ``failures``: per object, what Proxmox said when it refused the object's step.
    ``waiting``: the plan, or the part of it, that waits for a person or for its time.
    ``credentials_end``: when they expire; None for never or unknown.
    """

    desired: Desired
    state: ClusterState
    plan: Plan
    now: datetime
    held: Problem | None = None
    failures: Mapping[ObjectKey, Problem] = field(default_factory=dict)
    health: Mapping[ObjectKey, Health] = field(default_factory=dict)
    waiting: Plan | None = None
    pins: Mapping[ObjectKey, PinState] = field(default_factory=dict)
    credentials_end: datetime | None = None


def sdn_status(resource: Resource[Any], decision: Decision, at: Circumstances) -> dict[str, Any]:
    """The status of a controller, zone or VNet."""
    health = at.health.get(resource.key) or unobserved()
    programmed, retryable = _programmed(resource, decision, at)
    verdicts = [
        _accepted(decision),
        programmed,
        health.verdict if programmed.status else not_yet(health.verdict),
        _drifted(decision),
        paused(resource, at.desired),
    ]
    # Written after the fact only: what was never made must not count as ours.
    confirmed = decision.origin and decision.refused is None and not decision.missing
    body = {
        "id": decision.id or None,
        "origin": str(decision.origin) if confirmed else resource.status.origin,
        "programmedHash": decision.fingerprint
        if decision.in_sync and decision.wanted
        else resource.status.programmed_hash,
        **_kind_fields(resource, decision, at),
        **health.status,
    }
    return finished(
        resource,
        verdicts,
        body,
        at.now,
        retryable=retryable and (decision.refused is None or decision.refused.retryable),
    )


def is_drifted(resource: Resource[Any]) -> bool:
    """Whether the last report said so."""
    return bool(resource.status.says(ConditionType.DRIFTED) == "True")


def node_status(node: Resource[Any], health: Health, now: datetime) -> dict[str, Any]:
    """The status of an EvpnNode: nothing is specified about it, so it is ready exactly when it is seen working."""
    verdict = health.verdict
    conditions = merge(
        node.status.conditions,
        [ConditionValue(ConditionType.READY, verdict.status, verdict.reason, verdict.message), verdict],
        node.generation,
        now,
    )
    return {"observedGeneration": node.generation, **health.status, "conditions": conditions}


def pending_status(resource: Resource[Any], now: datetime) -> dict[str, Any]:
    """What is written on first sight, before anything is known: every condition, Unknown."""
    types = (
        ConditionType.ACCEPTED,
        ConditionType.PROGRAMMED,
        ConditionType.OPERATIONAL,
        ConditionType.DRIFTED,
        ConditionType.PAUSED,
    )
    verdicts = [ConditionValue(type_, None, Reason.PENDING, "not looked at yet") for type_ in types]
    first = ConditionValue(ConditionType.READY, None, Reason.PENDING, "not looked at yet")
    going = ConditionValue(ConditionType.RECONCILING, True, Reason.PENDING, "not looked at yet")
    return {"conditions": merge(None, [first, *verdicts, going], resource.generation, now)}


def was_reported(resource: Resource[Any]) -> bool:
    """Whether something better than the first "not looked at yet" has been said of the present generation."""
    if resource.status.observed_generation != resource.generation:
        return False
    return bool(resource.status.reason(ConditionType.READY) != Reason.PENDING)


def unreachable_status(
    resource: Resource[Any], desired: Desired, problem: Problem, now: datetime, health: Health | None = None
) -> dict[str, Any]:
    """Nothing can be known: what depends on Proxmox is Unknown, what was accepted stays accepted.

    `health` is what the nodes themselves still show, where a source does not need Proxmox.
    """
    before = resource.status
    known = before.says(ConditionType.ACCEPTED) == "True" and before.observed_generation == resource.generation
    verdicts = [
        ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
        if known
        else from_problem(ConditionType.ACCEPTED, problem, None),
        _stuck(resource, problem) if resource.deleting else from_problem(ConditionType.PROGRAMMED, problem, None),
        health.verdict if health else from_problem(ConditionType.OPERATIONAL, problem, None),
        from_problem(ConditionType.DRIFTED, problem, None),
        paused(resource, desired),
    ]
    body = dict(health.status) if health else {}
    if health and health.rows:
        body["nodes"] = with_observed(map(as_written, resource.status.nodes or ()), health)
    return finished(resource, verdicts, body, now, retryable=True)


def _stuck(resource: Resource[Any], problem: Problem) -> ConditionValue:
    """A deletion that needs Proxmox, while there is no Proxmox."""
    message = (
        f"it cannot be removed from Proxmox: {problem.message}. To let it go and leave what it has there, annotate "
        f"{kinds.ANNOTATION_FORCE_ORPHAN}={resource.uid}"
    )
    return ConditionValue(ConditionType.PROGRAMMED, False, Reason.DELETION_BLOCKED, message)


def stray_status(resource: Resource[Any], problem: Problem, now: datetime) -> dict[str, Any]:
    """The status of an object whose cluster or zone does not exist."""
    verdicts = [
        from_problem(ConditionType.ACCEPTED, problem),
        from_problem(ConditionType.PROGRAMMED, problem),
        ConditionValue(ConditionType.OPERATIONAL, None, Reason.PENDING),
        ConditionValue(ConditionType.DRIFTED, None, Reason.PENDING),
        paused(resource, None),
    ]
    return finished(resource, verdicts, {}, now, retryable=problem.retryable)


def finished(
    resource: Resource[Any],
    verdicts: Iterable[ConditionValue],
    body: Mapping[str, Any],
    now: datetime,
    *,
    retryable: bool,
) -> dict[str, Any]:
    """A whole status: ``Ready`` first, the given conditions, kstatus' pair, and what every kind carries."""
    listed = list(verdicts)
    summary = ready(listed, _DECISIVE)
    conditions = merge(
        resource.status.conditions,
        [summary, *listed, *progress(summary, retryable=retryable)],
        resource.generation,
        now,
    )
    requested = resource.annotations.get("pve-evpn.dev/reconcile-requested-at")
    return {
        "observedGeneration": resource.generation,
        "lastHandledReconcileAt": requested,
        **body,
        "conditions": conditions,
    }


def patch_for(resource: Resource[Any], status: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be written so that the resource has this status, cut to what its kind has room for."""
    return changed_fields(as_written(resource.status), fit(resource.key.kind, status))


def changed_fields(previous: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch from one status to the other; empty where nothing has to be written.

    Lists are replaced whole, as merge patches do; nested mappings are compared field by field so that a field which
    disappears is removed.
    """
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        before = previous.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = changed_fields(before, {**dict.fromkeys(before), **value})
            if inner:
                patch[key] = inner
        elif value != before and not (value is None and key not in previous):
            patch[key] = value
    return patch


# --- conditions -------------------------------------------------------------------------------------------------


def _accepted(decision: Decision) -> ConditionValue:
    if decision.refused:
        return from_problem(ConditionType.ACCEPTED, decision.refused)
    return ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED)


def _programmed(resource: Resource[Any], decision: Decision, at: Circumstances) -> tuple[ConditionValue, bool]:
    """``Programmed`` and whether waiting helps. The order of the questions is the order of causes."""
    type_ = ConditionType.PROGRAMMED
    if decision.blocked:
        return from_problem(type_, decision.blocked), decision.blocked.retryable
    if decision.refused:
        return from_problem(type_, decision.refused), decision.refused.retryable
    if decision.waiting:
        return from_problem(type_, decision.waiting), decision.waiting.retryable
    if decision.in_sync:
        return _on_nodes(decision, at), True
    if failure := at.failures.get(resource.key):
        return from_problem(type_, failure), failure.retryable
    if not decision.managed and not is_paused(resource, at.desired):
        what = "it is not in Proxmox" if decision.missing else "Proxmox has different values"
        return ConditionValue(type_, False, Reason.FIELDS_DIFFER, f"observed only: {what}"), False
    if at.held:
        return from_problem(type_, at.held), at.held.retryable
    if decision.drift:
        reason = Reason.MISSING_EXTERNALLY if decision.missing else Reason.FIELDS_DIFFER
        if getattr(at.desired.cluster.spec, "drift", None) == "Report":
            told = f"{'; '.join(decision.drift)}; not corrected, because spec.drift of the ProxmoxCluster is Report"
            return ConditionValue(type_, False, reason, told), False
        return ConditionValue(type_, False, reason, "; ".join(decision.drift)), True
    if is_paused(resource, at.desired):
        return ConditionValue(type_, False, Reason.PENDING_APPLY, "paused, so the change is not applied"), True
    return ConditionValue(type_, False, Reason.PENDING_APPLY, "the change has not been applied yet"), True


def _on_nodes(decision: Decision, at: Circumstances) -> ConditionValue:
    """Whether every expected node says that it has it; a controller has no status of its own per node."""
    type_ = ConditionType.PROGRAMMED
    rows = node_rows(decision, at.state)
    unwell = [row for row in rows if row["state"] not in ("Available", "Unknown")]
    unknown = [row for row in rows if row["state"] == "Unknown"]
    if unwell:
        listed = "; ".join(f"{row['name']}: {row.get('message') or row['state'].lower()}" for row in unwell[:3])
        more = f" and {len(unwell) - 3} more" if len(unwell) > 3 else ""
        return ConditionValue(type_, False, Reason.PARTIALLY_APPLIED, listed + more)
    if rows and len(unknown) == len(rows):
        return ConditionValue(type_, None, Reason.SOURCE_UNAVAILABLE, "no node could be asked")
    count = f" on {len(rows) - len(unknown)} of {len(rows)} nodes" if rows else ""
    return ConditionValue(type_, True, Reason.PROGRAMMED, f"applied{count}")


def not_yet(state: ConditionValue) -> ConditionValue:
    """What is not programmed cannot be judged in operation."""
    return ConditionValue(state.type, None, Reason.PENDING, "not programmed yet")


def _drifted(decision: Decision) -> ConditionValue:
    if not decision.drift:
        return ConditionValue(ConditionType.DRIFTED, False, Reason.IN_SYNC)
    reason = Reason.MISSING_EXTERNALLY if decision.missing else Reason.FIELDS_DIFFER
    return ConditionValue(ConditionType.DRIFTED, True, reason, "; ".join(decision.drift))


def paused(resource: Resource[Any], desired: Desired | None) -> ConditionValue:
    """``Paused``: by the object's own annotation or by its cluster's."""
    if resource.paused:
        return ConditionValue(
            ConditionType.PAUSED, True, Reason.ANNOTATION_PAUSED, "nothing is written for this object"
        )
    if desired is not None and desired.paused:
        return ConditionValue(ConditionType.PAUSED, True, Reason.CLUSTER_PAUSED, "nothing is written for this cluster")
    return ConditionValue(ConditionType.PAUSED, False, Reason.NOT_PAUSED)


def is_paused(resource: Resource[Any], desired: Desired) -> bool:
    """Whether the object or its cluster asks for a pause."""
    return resource.paused or desired.paused


# --- kind-specific parts ----------------------------------------------------------------------------------------

_STATE = {"available": "Available", "pending": "Pending", "error": "Error"}


def node_rows(decision: Decision, state: ClusterState) -> list[dict[str, Any]]:
    """Per node what Proxmox says of the zone the object is, or is in; only nodes that are expected to have it."""
    ref = decision.ref
    if ref is None or ref.kind not in (SdnKind.ZONE, SdnKind.VNET):
        return []
    zone = ref.id if ref.kind is SdnKind.ZONE else str(decision.wanted[0].props.get("zone", ""))
    config = next((o for r, o in state.sdn.running.items() if r.kind is SdnKind.ZONE and r.id == zone), None)
    only = set(config.props.get("nodes") or ()) if config else set()
    expected = [node for name, node in sorted(state.nodes.items()) if not only or name in only]
    return [_node_row(node, zone, ref.id if ref.kind is SdnKind.VNET else None) for node in expected]


def with_observed(rows: Iterable[Mapping[str, Any]], health: Health | None) -> list[dict[str, Any]]:
    """The rows with what observation adds to them; what it no longer sees goes."""
    seen = health.rows if health else {}
    own = ({key: row[key] for key in ("name", "state", "message") if key in row} for row in rows)
    return [{**row, **seen.get(row["name"], {})} for row in own]


def _node_row(node: NodeState, zone: str, vnet: str | None) -> dict[str, Any]:
    if not node.online:
        return {"name": node.name, "state": "Unknown", "message": "the node is offline"}
    if node.zones is None:
        return {"name": node.name, "state": "Unknown", "message": "the node did not answer"}
    state = _STATE.get(node.zones.get(zone, ""), "Missing")
    messages = [text for name, text in sorted(node.vnet_messages.items()) if vnet in (None, name)]
    row = {"name": node.name, "state": state}
    if messages and state != "Available":
        row["message"] = messages[0]
    return row


def _kind_fields(resource: Resource[Any], decision: Decision, at: Circumstances) -> dict[str, Any]:
    if resource.key.kind == "EvpnZone":
        return {
            "vrfVni": decision.vni or resource.status.vrf_vni,
            **_rows(decision, at, resource.key),
        }
    if resource.key.kind == "VNet":
        zone = str(decision.wanted[0].props.get("zone")) if decision.wanted else resource.status.zone
        sdn = at.state.sdn
        there, recorded = sdn.edited.keys() | sdn.running.keys(), known_refs(resource)
        subnets = [
            {"id": ref.id, "origin": str(origin)}
            for ref, origin in sorted(decision.origins.items())
            if ref.kind is SdnKind.SUBNET and (ref in there or ref in recorded)
        ]
        return {
            "vni": decision.vni or resource.status.vni,
            "zone": zone,
            "subnets": subnets,
            **_rows(decision, at, resource.key),
        }
    return {}


def _rows(decision: Decision, at: Circumstances, key: ObjectKey) -> dict[str, Any]:
    rows = with_observed(node_rows(decision, at.state), at.health.get(key))
    return nodes_that_fit(rows, lambda row: row["state"] not in ("Available", "Unknown") or "missingVteps" in row)
