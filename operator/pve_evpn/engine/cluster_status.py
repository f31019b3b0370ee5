"""The status of a ProxmoxCluster: what was seen of it, what waits, and what the last transaction did. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.domain.conditions import ConditionValue, Problem, from_problem, merge, progress, ready, timestamp
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan.apply_policy import plan_hash, summary
from pve_evpn.domain.plan.outcome import NodeResult, Outcome, Result
from pve_evpn.domain.state import release_in_words
from pve_evpn.domain.status.sdn import Circumstances, paused

_LIST = 32
_NODES = 64
_DECISIVE = (
    ConditionType.ACCEPTED,
    ConditionType.REACHABLE,
    ConditionType.AUTHENTICATED,
    ConditionType.VERSION_SUPPORTED,
    ConditionType.QUORATE,
    ConditionType.PROGRAMMED,
)
#: What stops all of these says nothing about those that come after it.
_ORDER = (
    (ConditionType.REACHABLE, Reason.REACHABLE, {Reason.CLUSTER_UNREACHABLE, Reason.TLS_REJECTED}),
    (
        ConditionType.AUTHENTICATED,
        Reason.AUTHENTICATED,
        {Reason.AUTHENTICATION_FAILED, Reason.CREDENTIALS_MISSING, Reason.PRIVILEGES_MISSING},
    ),
    (ConditionType.VERSION_SUPPORTED, Reason.VERSION_SUPPORTED, {Reason.VERSION_UNSUPPORTED}),
    (ConditionType.QUORATE, Reason.QUORATE, {Reason.NO_QUORUM}),
)


def reachable(
    cluster: Resource[Any],
    at: Circumstances,
    endpoint: str,
    result: Result | None,
    reloads: Mapping[str, NodeResult],
    lock: Mapping[str, str] | None,
) -> dict[str, Any]:
    """After a pass that could talk to Proxmox. ``reloads`` are those of this pass, by node."""
    state, plan = at.state, at.plan
    online = sum(node.online for node in state.nodes.values())
    release = state.release
    quorum = (
        ConditionValue(ConditionType.QUORATE, True, Reason.QUORATE)
        if state.quorate
        else ConditionValue(ConditionType.QUORATE, False, Reason.NO_QUORUM, "the Proxmox cluster has no quorum")
    )
    nodes = _nodes(cluster, at, reloads)
    verdicts = [
        ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED),
        ConditionValue(ConditionType.REACHABLE, True, Reason.REACHABLE, f"via {endpoint}"),
        ConditionValue(ConditionType.AUTHENTICATED, True, Reason.AUTHENTICATED),
        ConditionValue(
            ConditionType.VERSION_SUPPORTED, True, Reason.VERSION_SUPPORTED, release_in_words(state.version, release)
        ),
        quorum,
        _going(at) if cluster.deleting else _programmed(at, nodes),
        paused(cluster, None),
    ]
    body = {
        "version": release,
        "clusterName": state.cluster_name or None,
        "activeEndpoint": endpoint,
        "tokenExpiresAt": timestamp(at.credentials_end) if at.credentials_end else None,
        "quorate": state.quorate,
        "nodesOnline": f"{online}/{len(state.nodes)}",
        "nodes": nodes,
        "privileges": None if state.sdn.complete else {"missing": ["/sdn: SDN.Audit"]},
        "pending": {
            "own": len(plan.own_pending) or None,
            "foreign": [str(change) for change in plan.foreign[:_LIST]] or None,
            "hostNetwork": sorted(n.name for n in state.nodes.values() if n.network_pending)[:_NODES] or None,
            "truncated": max(0, len(plan.foreign) - _LIST) or None,
        },
        "pendingPlan": _pending_plan(cluster, at),
        "lock": dict(lock) if lock else None,
        **_transaction(result),
    }
    return _finished(cluster, verdicts, body, at.now)


def unreachable(cluster: Resource[Any], problem: Problem, now: datetime) -> dict[str, Any]:
    """After a pass that could not: which step failed is False, what comes after it is Unknown."""
    verdicts = []
    invalid = problem.reason is Reason.INVALID_SPEC
    verdicts.append(
        from_problem(ConditionType.ACCEPTED, problem)
        if invalid
        else ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
    )
    failed = invalid
    for type_, good, culprits in _ORDER:
        if failed:
            verdicts.append(ConditionValue(type_, None, Reason.PENDING, "not known at present"))
        elif problem.reason in culprits:
            verdicts.append(from_problem(type_, problem))
            failed = True
        else:
            verdicts.append(ConditionValue(type_, True, good))
    if not failed:
        verdicts.append(from_problem(ConditionType.PROGRAMMED, problem))
    else:
        verdicts.append(ConditionValue(ConditionType.PROGRAMMED, None, Reason.PENDING, "not known at present"))
    verdicts.append(paused(cluster, None))
    return _finished(cluster, verdicts, {}, now, retryable=problem.retryable)


def _finished(
    cluster: Resource[Any],
    verdicts: list[ConditionValue],
    body: Mapping[str, Any],
    now: datetime,
    *,
    retryable: bool = True,
) -> dict[str, Any]:
    tls = cluster.spec.tls if cluster.spec else None
    if tls is not None and tls.insecure_skip_verify:
        message = "insecureSkipVerify: anybody between here and Proxmox can read the token"
        verdicts.append(ConditionValue(ConditionType.INSECURE, True, Reason.CERTIFICATE_NOT_VERIFIED, message))
    summary = ready(verdicts, _DECISIVE)
    conditions = merge(
        cluster.status.conditions,
        [summary, *verdicts, *progress(summary, retryable=retryable)],
        cluster.generation,
        now,
    )
    return {
        "observedGeneration": cluster.generation,
        "lastHandledReconcileAt": cluster.annotations.get("pve-evpn.dev/reconcile-requested-at"),
        **body,
        "conditions": conditions,
    }


def _going(at: Circumstances) -> ConditionValue:
    """A ProxmoxCluster stays while anything needs its credentials."""
    left = [str(resource.key) for resource in at.desired]
    more = f" and {len(left) - 5} more" if len(left) > 5 else ""
    message = f"it goes when what refers to it is gone: {', '.join(left[:5])}{more}" if left else "it is being removed"
    return ConditionValue(ConditionType.PROGRAMMED, False, Reason.DELETING, message)


def _programmed(at: Circumstances, nodes: Iterable[Mapping[str, Any]]) -> ConditionValue:
    type_ = ConditionType.PROGRAMMED
    if at.held:
        return from_problem(type_, at.held)
    for problem in at.failures.values():
        if problem.reason is Reason.REVERTED:
            return from_problem(type_, problem)
    if behind := [row for row in nodes if row.get("programmed") is False]:
        listed = "; ".join(f"{row['name']}: {row.get('message', 'behind')}" for row in behind)
        return ConditionValue(type_, False, Reason.PARTIALLY_APPLIED, listed)
    if at.plan.needs_apply:
        return ConditionValue(type_, False, Reason.PENDING_APPLY, "changes wait to be applied")
    return ConditionValue(type_, True, Reason.PROGRAMMED)


def _nodes(cluster: Resource[Any], at: Circumstances, reloads: Mapping[str, NodeResult]) -> list[dict[str, Any]]:
    """Members; how their last reload ended is remembered from the status until a newer one is known."""
    before = {row.name: row for row in cluster.status.nodes or ()}
    rows = []
    for name, node in sorted(at.state.nodes.items())[:_NODES]:
        row: dict[str, Any] = {"name": name, "online": node.online}
        if node.address:
            row["address"] = node.address
        if reload := reloads.get(name):
            if reload.known:
                row["programmed"] = reload.ok
            if reload.message:
                row["message"] = reload.message[:1024]
        elif old := before.get(name):
            kept = {"programmed": old.programmed, "message": old.message}
            row |= {key: value for key, value in kept.items() if value is not None}
        rows.append(row)
    return rows


def _pending_plan(cluster: Resource[Any], at: Circumstances) -> dict[str, Any] | None:
    if at.waiting is None:
        return None
    hash_, steps = plan_hash(at.waiting), summary(at.waiting)
    before = cluster.status.pending_plan
    since = timestamp(before.since if before and before.hash == hash_ else at.now)
    return {
        "hash": hash_,
        "summary": [step[:256] for step in steps[: 2 * _LIST]],
        "truncated": max(0, len(steps) - 2 * _LIST) or None,
        "destructive": at.waiting.is_destructive,
        "since": since,
    }


def _transaction(result: Result | None) -> dict[str, Any]:
    """Only a transaction that staged or applied something is worth remembering."""
    if result is None or result.outcome in (Outcome.NOTHING_TO_DO, Outcome.LOCKED, Outcome.REFUSED):
        return {}
    return {
        "lastTransaction": {
            "id": result.id,
            "outcome": str(result.outcome),
            "message": "; ".join([result.message, *result.left]).strip("; ")[:1024] or None,
            "changes": len(result.plan.steps),
            "startedAt": timestamp(datetime.fromtimestamp(result.started, UTC)),
            "finishedAt": timestamp(datetime.fromtimestamp(result.finished, UTC)),
            "nodes": list(_transaction_nodes(result.nodes.values())) or None,
        }
    }


def _transaction_nodes(nodes: Iterable[NodeResult]) -> Iterable[dict[str, Any]]:
    for node in sorted(nodes, key=lambda n: n.name):
        row = {"name": node.name, "result": "Reloaded" if node.ok else "Failed" if node.known else "Unknown"}
        yield {**row, "message": node.message} if node.message else row
