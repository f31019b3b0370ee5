"""The status of a ProxmoxCluster: what was seen of it, what waits, and what the last transaction did. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.cluster import (
    ClusterNodeStatus,
    LastTransaction,
    LockStatus,
    Pending,
    PendingPlan,
    Privileges,
    ProxmoxClusterSpec,
    ProxmoxClusterStatus,
    TransactionNode,
    Unmanaged,
)
from pve_evpn.api.conditions import ConditionType, Reason, ReportedStatus
from pve_evpn.api.status import updated
from pve_evpn.domain.conditions import ConditionValue, Problem, from_problem
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan.apply_policy import impossible_window, is_read_only, plan_hash, summary, summary_classes
from pve_evpn.domain.plan.outcome import NodeResult, Outcome, Result
from pve_evpn.domain.plan.ownership import BUILT_IN
from pve_evpn.domain.plan.step_class import StepClass
from pve_evpn.domain.privileges import Feature, Need, lack_in_words, missing
from pve_evpn.domain.sdn import SdnKind, SdnObject
from pve_evpn.domain.state import release_in_words
from pve_evpn.domain.status.reported import effective, paused, reported
from pve_evpn.domain.status.sync_result import SyncResult
from pve_evpn.text import from_outside, some_of

Cluster = Resource[ProxmoxClusterSpec, ProxmoxClusterStatus]

_DECISIVE = (
    ConditionType.ACCEPTED,
    ConditionType.REACHABLE,
    ConditionType.AUTHENTICATED,
    ConditionType.VERSION_SUPPORTED,
    ConditionType.QUORATE,
    ConditionType.PROGRAMMED,
)
#: What ``status.unmanaged`` counts. Nodes of a fabric and subnets of a VNet are parts of these.
_COUNTED = (
    SdnKind.IPAM, SdnKind.DNS, SdnKind.FABRIC, SdnKind.ROUTE_MAP, SdnKind.PREFIX_LIST, SdnKind.CONTROLLER,
    SdnKind.ZONE, SdnKind.VNET,
)  # fmt: skip
#: As many as a pendingPlan shows.
_MOST_STEPS = 64
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
    cluster: Cluster,
    sync: SyncResult,
    endpoint: str,
    result: Result | None,
    reloads: Mapping[str, NodeResult],
    lock: LockStatus | None,
) -> ProxmoxClusterStatus:
    """After a sync that reached Proxmox. ``reloads`` are those of this sync, by node."""
    state, plan = sync.state, sync.plan
    online = sum(node.online for node in state.nodes.values())
    release = state.release
    quorum = (
        ConditionValue(ConditionType.QUORATE, True, Reason.QUORATE)
        if state.quorate
        else ConditionValue(ConditionType.QUORATE, False, Reason.NO_QUORUM, "the Proxmox cluster has no quorum")
    )
    nodes = _nodes(cluster, sync, reloads)
    lacking = _lacking(sync)
    refusal = impossible_window(cluster)
    values = [
        from_problem(ConditionType.ACCEPTED, refusal)
        if refusal
        else ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED),
        ConditionValue(ConditionType.REACHABLE, True, Reason.REACHABLE, f"via {endpoint}"),
        _authenticated(sync, lacking),
        ConditionValue(
            ConditionType.VERSION_SUPPORTED, True, Reason.VERSION_SUPPORTED, release_in_words(state.version, release)
        ),
        quorum,
        _deleting(sync) if cluster.deleting else _programmed(sync, nodes),
        paused(cluster, None),
        *effective(cluster, sync),
    ]
    part = ProxmoxClusterStatus(
        version=release,
        cluster_name=state.cluster_name or None,
        active_endpoint=endpoint,
        active_credential=sync.credential or None,
        token_expires_at=sync.credentials_end,
        quorate=state.quorate,
        nodes_online=f"{online}/{len(state.nodes)}",
        nodes=nodes,
        truncated=None,
        privileges=Privileges(missing=[f"{need.path}: {need.privilege}" for need in lacking]) if lacking else None,
        pending=Pending(
            own=len(plan.own_pending) or None,
            foreign=[str(change) for change in plan.foreign] or None,
            host_network=sorted(n.name for n in state.nodes.values() if n.network_pending) or None,
        ),
        pending_plan=_pending_plan(cluster, sync),
        lock=lock,
        unmanaged=_unmanaged(sync),
        last_handled_approval=approval_of(cluster),
    )
    summary_ = _reported(cluster, values, sync.now, retryable=refusal is None)
    return updated(cluster.status, part, _transaction(result), summary_)


def approval_of(cluster: Resource[Any]) -> str | None:
    """The annotation that approves a plan, as ``status.lastHandledApproval`` repeats it."""
    given = cluster.annotations.get(kinds.ANNOTATION_APPROVED_PLAN)
    return None if given is None else from_outside(given, longest=64)


def wrong_approval(cluster: Cluster, now: ProxmoxClusterStatus, used: Container[str]) -> str:
    """What to say of a new approval that is of no plan that waits; empty where there is nothing to say.

    Args:
        cluster: With the status before ``now``.
        used: Approvals that an apply has used, or uses now.
    """
    given = approval_of(cluster)
    if given is None or given in used or given == cluster.status.last_handled_approval:
        return ""
    plan = now.pending_plan
    if plan and plan.hash == given:
        return ""
    waits = f"the plan that waits has the hash {plan.hash} (status.pendingPlan)" if plan else "no plan waits"
    return f"the annotation {kinds.ANNOTATION_APPROVED_PLAN} is {given}, which approves nothing: {waits}"


def _lacking(sync: SyncResult) -> tuple[Need, ...]:
    """The privileges that the credentials lack for what the objects of this cluster ask for."""
    rights, desired = sync.state.rights, sync.desired
    if rights is None:
        return ()
    writes = not is_read_only(desired.cluster)
    used = {
        Feature.READ: True,
        Feature.WRITE: writes,
        Feature.NICS: writes and bool(desired.nics),
        Feature.FABRICS: writes and bool(desired.fabrics),
        Feature.RELOAD: writes,
    }
    return missing(rights.held, [feature for feature, uses in used.items() if uses])


def _authenticated(sync: SyncResult, lacking: Iterable[Need]) -> ConditionValue:
    """False where something that is asked for cannot be done; reloading a single node is a convenience."""
    needed = [need for need in lacking if need.feature is not Feature.RELOAD]
    if not needed or sync.state.rights is None:
        return ConditionValue(ConditionType.AUTHENTICATED, True, Reason.AUTHENTICATED)
    message = lack_in_words(needed, sync.state.rights.user)
    return ConditionValue(ConditionType.AUTHENTICATED, False, Reason.PRIVILEGES_MISSING, message)


def unreachable(cluster: Cluster, problem: Problem, now: datetime) -> ProxmoxClusterStatus:
    """After a sync that did not: which step failed is False, what comes after it is Unknown."""
    values = []
    refusal = impossible_window(cluster)
    invalid = problem.reason in (Reason.INVALID_SPEC, Reason.DUPLICATE_CLUSTER)
    values.append(
        from_problem(ConditionType.ACCEPTED, problem)
        if invalid
        else from_problem(ConditionType.ACCEPTED, refusal)
        if refusal
        else ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
    )
    failed = invalid
    for type_, good, culprits in _ORDER:
        if failed:
            values.append(ConditionValue(type_, None, Reason.PENDING, "not known at present"))
        elif problem.reason in culprits:
            values.append(from_problem(type_, problem))
            failed = True
        else:
            values.append(ConditionValue(type_, True, good))
    if not failed:
        values.append(from_problem(ConditionType.PROGRAMMED, problem))
    else:
        values.append(ConditionValue(ConditionType.PROGRAMMED, None, Reason.PENDING, "not known at present"))
    values.append(paused(cluster, None))
    return updated(cluster.status, _reported(cluster, values, now, retryable=problem.retryable and not refusal))


def _reported(
    cluster: Cluster, values: Sequence[ConditionValue], now: datetime, *, retryable: bool = True
) -> ReportedStatus:
    tls = cluster.spec.tls if cluster.spec else None
    if tls is not None and tls.insecure_skip_verify:
        message = "insecureSkipVerify: anybody between here and Proxmox can read the token"
        values = [*values, ConditionValue(ConditionType.INSECURE, True, Reason.CERTIFICATE_NOT_VERIFIED, message)]
    return reported(cluster, values, now, retryable=retryable, decisive=_DECISIVE)


def _deleting(sync: SyncResult) -> ConditionValue:
    """A ProxmoxCluster stays while anything needs its credentials."""
    left = [str(resource.key) for resource in sync.desired]
    message = f"it goes when what refers to it is gone: {some_of(left)}" if left else "it is being removed"
    return ConditionValue(ConditionType.PROGRAMMED, False, Reason.DELETING, message)


def _programmed(sync: SyncResult, nodes: Iterable[ClusterNodeStatus]) -> ConditionValue:
    type_ = ConditionType.PROGRAMMED
    if sync.held:
        return from_problem(type_, sync.held, full=True)
    for problem in sync.failures.values():
        if problem.reason is Reason.REVERTED:
            return from_problem(type_, problem, full=True)
    if behind := [row for row in nodes if row.programmed is False]:
        listed = "; ".join(f"{row.name}: {row.message or 'behind'}" for row in behind)
        return ConditionValue(type_, False, Reason.PARTIALLY_APPLIED, listed)
    if sync.plan.needs_apply:
        return ConditionValue(type_, False, Reason.PENDING_APPLY, "changes wait to be applied")
    return ConditionValue(type_, True, Reason.PROGRAMMED)


def _nodes(cluster: Cluster, sync: SyncResult, reloads: Mapping[str, NodeResult]) -> list[ClusterNodeStatus]:
    """Members; how their last reload ended is remembered from the status until a newer one is known."""
    before = {row.name: row for row in cluster.status.nodes or ()}
    rows = []
    for name, node in sorted(sync.state.nodes.items()):
        old = before.get(name)
        programmed, message = (old.programmed, old.message) if old else (None, None)
        if reload := reloads.get(name):
            programmed, message = reload.ok if reload.known else None, reload.message or None
        rows.append(
            ClusterNodeStatus(
                name=name,
                online=node.online,
                address=node.address or None,
                fingerprint=node.fingerprint or (old.fingerprint if old else None),
                programmed=programmed,
                message=message,
            )
        )
    return rows


def _pending_plan(cluster: Cluster, sync: SyncResult) -> PendingPlan | None:
    """What would be changed and is not. Nothing of it changes while the plan and its reasons stay."""
    waiting = sync.waiting
    if waiting is None:
        return None
    hash_, steps, first = plan_hash(waiting.plan), waiting.steps, waiting.problem
    before = cluster.status.pending_plan
    since = before.since if before and before.hash == hash_ else sync.now
    return PendingPlan(
        hash=hash_,
        summary=[step.words for step in steps],
        classes=[step.step_class.value for step in steps[:_MOST_STEPS]],
        reasons=[step.problem.reason.value for step in steps[:_MOST_STEPS]],
        reason=first.reason.value,
        message=first.full,
        class_=waiting.step_class.value,
        destructive=waiting.step_class is StepClass.DESTRUCTIVE,
        since=since,
    )


def _unmanaged(sync: SyncResult) -> Unmanaged | None:
    """What Proxmox has in either copy and no object stands for. An object that is refused stands for nothing."""
    sdn = sync.state.sdn
    there = {**sdn.running, **sdn.edited}
    ours = sync.plan.owners().keys() | {BUILT_IN}
    left = [there[ref] for ref in sorted(there.keys() - ours) if ref.kind in _COUNTED]
    if not left:
        return None
    counts = Counter(obj.ref.kind for obj in left)
    return Unmanaged(
        count=len(left),
        ipams=counts[SdnKind.IPAM],
        dns_servers=counts[SdnKind.DNS],
        fabrics=counts[SdnKind.FABRIC],
        route_maps=counts[SdnKind.ROUTE_MAP],
        prefix_lists=counts[SdnKind.PREFIX_LIST],
        controllers=counts[SdnKind.CONTROLLER],
        zones=counts[SdnKind.ZONE],
        vnets=counts[SdnKind.VNET],
        names=[_with_type(obj) for obj in left],
    )


def _with_type(obj: SdnObject) -> str:
    typed = obj.ref.kind in (SdnKind.IPAM, SdnKind.CONTROLLER, SdnKind.ZONE) and obj.type != "evpn"
    return f"{obj.ref} ({obj.type})" if typed else str(obj.ref)


def _transaction(result: Result | None) -> ProxmoxClusterStatus:
    """Only a transaction that staged or applied something is worth remembering."""
    if result is None or result.outcome in (Outcome.NOTHING_TO_DO, Outcome.LOCKED, Outcome.REFUSED):
        return ProxmoxClusterStatus()
    last = LastTransaction(
        id=result.id,
        outcome=result.outcome.value,
        message="; ".join([result.message, *result.left]).strip("; ") or None,
        changes=len(result.plan.steps),
        steps=summary(result.plan) or None,
        classes=[step_class.value for step_class in summary_classes(result.plan)] or None,
        started_at=datetime.fromtimestamp(result.started, UTC),
        finished_at=datetime.fromtimestamp(result.finished, UTC),
        next_apply_after=result.next_apply_after,
        duration_seconds=math.ceil(result.finished - result.started),
        nodes=[_transaction_node(node) for _, node in sorted(result.nodes.items())] or None,
    )
    return ProxmoxClusterStatus(last_transaction=last)


def _transaction_node(node: NodeResult) -> TransactionNode:
    return TransactionNode(
        name=node.name,
        result="Reloaded" if node.ok else "Failed" if node.known else "Unknown",
        message=node.message or None,
    )
