"""The statuses of what stands for an SDN object in Proxmox, and what all statuses share. Pure.

A status depends on what a sync found and on the status before (for times, and for what must survive a restart), never
on how many syncs there were: the same state gives the same status, and nothing has to be written. Each builder lays
what it knows over the status before; what it does not know stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, ManagedStatus, Reason, ReportedStatus
from pve_evpn.api.fabric import FabricMember, FabricStatus
from pve_evpn.api.node import EvpnNodeSpec, EvpnNodeStatus
from pve_evpn.api.policy import PolicyStatus
from pve_evpn.api.router import BgpControllerStatus, IsisControllerStatus
from pve_evpn.api.service import ServiceStatus
from pve_evpn.api.status import updated
from pve_evpn.api.types import ApiModel
from pve_evpn.api.vnet import SubnetStatus, VNetNode, VNetStatus, VniOnNode
from pve_evpn.api.zone import EvpnZoneStatus, VNetProblem, ZoneNode
from pve_evpn.domain.conditions import ConditionValue, Problem, from_condition, from_problem, merge, progress, ready
from pve_evpn.domain.health.record import Health, nodes_that_fit, unobserved
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.nics.pins import PinState
from pve_evpn.domain.objects import Desired, GivenSecret, ObjectKey, Resource
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.domain.plan.ownership import known_refs
from pve_evpn.domain.plan.withheld import WaitingPlan
from pve_evpn.domain.sdn import WRITTEN_AT_ONCE, SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState, NodeState
from pve_evpn.text import some_of

ReportedStatusT = TypeVar("ReportedStatusT", bound=ReportedStatus)
ManagedStatusT = TypeVar("ManagedStatusT", bound=ManagedStatus)

#: As many as an EvpnZone's status holds.
_MOST_PROBLEMS = 32
NOT_CORRECTED = "not corrected, because spec.drift of the ProxmoxCluster is Report"
_DECISIVE = (ConditionType.ACCEPTED, ConditionType.PROGRAMMED, ConditionType.OPERATIONAL)


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What one sync found and did, as far as statuses show it.

    ``held``: why nothing is written at all (unreachable, locked, foreign edits, a window), or None.
    ``failures``: per object, what Proxmox said when it refused the object's step.
    ``waiting``: what would be changed and is not.
    ``credential``: the Secret's key in use. ``credentials_end``: when it expires; None for never or unknown.
    ``ineffective``: objects that cannot take effect as they are specified, and why.
    ``vnet_problems``: by EvpnZone, see :func:`vnet_problems`.
    ``secrets``: of Ipams and DnsServers. ``addresses``: why addresses of NICs are not registered, or not released.
    ``vnet_count``: VNets that were accepted, by zone in Proxmox. ``nic_count``: NICs that are connected, by VNet.
    """

    desired: Desired
    state: ClusterState
    plan: Plan
    now: datetime
    held: Problem | None = None
    failures: Mapping[ObjectKey, Problem] = field(default_factory=dict)
    health: Mapping[ObjectKey, Health] = field(default_factory=dict)
    waiting: WaitingPlan | None = None
    pins: Mapping[ObjectKey, PinState] = field(default_factory=dict)
    credential: str = ""
    credentials_end: datetime | None = None
    ineffective: Mapping[ObjectKey, Problem] = field(default_factory=dict)
    vnet_count: Mapping[str, int] = field(default_factory=dict)
    nic_count: Mapping[str, int] = field(default_factory=dict)
    vnet_problems: Mapping[str, list[VNetProblem]] = field(default_factory=dict)
    secrets: Mapping[ObjectKey, GivenSecret] = field(default_factory=dict)
    addresses: Mapping[ObjectKey, Problem] = field(default_factory=dict)


def count_vnets(plan: Plan) -> Mapping[str, int]:
    """VNets that were accepted, by their zone's name in Proxmox."""
    accepted = (d.wanted[0] for d in plan.decisions.values() if d.wanted and not d.refused)
    return Counter(str(vnet.props.get("zone")) for vnet in accepted if vnet.ref.kind is SdnKind.VNET)


def vnet_problems(desired: Desired, plan: Plan) -> Mapping[str, list[VNetProblem]]:
    """Problems of VNets whose own status leaves out names, with the names, by the name of their EvpnZone."""
    found: dict[str, list[VNetProblem]] = {}
    for vnet in desired.vnets:
        decision = plan.decisions.get(vnet.key)
        if decision is None or vnet.spec is None:
            continue
        for problem in (decision.refused, decision.blocked, decision.waiting):
            if problem and problem.full != problem.message:
                _, namespace, name = vnet.key
                row = VNetProblem(namespace=namespace, name=name, reason=problem.reason.value, message=problem.full)
                found.setdefault(vnet.spec.zone_ref.name, []).append(row)
                break
    for rows in found.values():
        rows.sort(key=lambda row: (row.namespace, row.name))
    return {zone: rows[:_MOST_PROBLEMS] for zone, rows in found.items()}


def count_nics(nics: NicPlan) -> Mapping[str, int]:
    """NICs that are connected, by their VNet's name in Proxmox."""
    return Counter(decision.vnet_id for decision in nics.decisions.values() if decision.in_sync)


def sdn_status(resource: Resource[ApiModel, ManagedStatusT], decision: Decision, sync: SyncResult) -> ManagedStatusT:
    """The status of an object that stands for one in Proxmox."""
    health = sync.health.get(resource.key) or unobserved()
    rows = node_rows(decision, sync.state)
    programmed, retryable = _programmed(resource, decision, sync, rows)
    values = [
        _accepted(resource, decision),
        programmed,
        health.operational if programmed.status else not_yet(health.operational),
        _drifted(resource, decision),
        paused(resource, sync.desired),
        *effective(resource, sync, health),
    ]
    # Written after the fact only: what was never made must not count as ours.
    confirmed = decision.origin and decision.refused is None and not decision.missing
    programmed_hash = decision.fingerprint if decision.in_sync and decision.wanted else resource.status.programmed_hash
    identity = ManagedStatus(
        id=decision.id or None,
        origin=decision.origin.value if decision.origin and confirmed else resource.status.origin,
        programmed_hash=programmed_hash,
    )
    retryable = retryable and (decision.refused is None or decision.refused.retryable)
    return updated(
        resource.status,
        identity,
        _kind_part(resource, decision, sync, rows),
        health.status,
        reported(resource, values, sync.now, retryable=retryable),
    )


def is_drifted(resource: Resource[Any]) -> bool:
    """Whether the last report said so."""
    return bool(resource.status.says(ConditionType.DRIFTED) == "True")


def node_status(node: Resource[EvpnNodeSpec, EvpnNodeStatus], health: Health, now: datetime) -> EvpnNodeStatus:
    """The status of an EvpnNode: nothing is specified about it, so it is ready exactly when it is seen working."""
    value = health.operational
    conditions = merge(
        node.status.conditions,
        [ConditionValue(ConditionType.READY, value.status, value.reason, value.message), value],
        node.generation,
        now,
    )
    summary = ReportedStatus(observed_generation=node.generation, conditions=conditions)
    return updated(node.status, health.status, summary)


def was_reported(resource: Resource[Any]) -> bool:
    """Whether more than ``Pending`` has been reported of the present generation."""
    if resource.status.observed_generation != resource.generation:
        return False
    return bool(resource.status.reason(ConditionType.READY) != Reason.PENDING)


def unreachable_status(
    resource: Resource[ApiModel, ReportedStatusT],
    desired: Desired,
    problem: Problem,
    now: datetime,
    health: Health | None = None,
) -> ReportedStatusT:
    """Nothing can be known: what depends on Proxmox is Unknown, what was accepted stays accepted.

    `health` is what the nodes themselves still show, where a source does not need Proxmox.
    """
    before = resource.status
    known = before.says(ConditionType.ACCEPTED) == "True" and before.observed_generation == resource.generation
    values = [
        ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
        if known
        else from_problem(ConditionType.ACCEPTED, problem, None),
        _stuck(resource, problem) if resource.deleting else from_problem(ConditionType.PROGRAMMED, problem, None),
        health.operational if health else from_problem(ConditionType.OPERATIONAL, problem, None),
        from_problem(ConditionType.DRIFTED, problem, None),
        paused(resource, desired),
        *_as_before(before, ConditionType.EFFECTIVE),
    ]
    parts = [health.status] if health else []
    if health and health.rows and isinstance(before, VNetStatus):
        parts.append(VNetStatus(nodes=with_observed(before.nodes or (), health)))
    return updated(resource.status, *parts, reported(resource, values, now, retryable=True))


def _as_before(status: ReportedStatus, type_: ConditionType) -> list[ConditionValue]:
    condition = status.condition(type_)
    return [from_condition(type_, condition)] if condition else []


def _stuck(resource: Resource[Any], problem: Problem) -> ConditionValue:
    """A deletion that needs Proxmox, while there is no Proxmox."""
    message = (
        f"it cannot be removed from Proxmox: {problem.message}. To let it go and leave what it has there, annotate "
        f"{kinds.ANNOTATION_FORCE_ORPHAN}={resource.uid}"
    )
    return ConditionValue(ConditionType.PROGRAMMED, False, Reason.DELETION_BLOCKED, message)


def unowned_status(resource: Resource[ApiModel, ReportedStatusT], problem: Problem, now: datetime) -> ReportedStatusT:
    """The status of an object whose cluster or zone does not exist."""
    values = [
        from_problem(ConditionType.ACCEPTED, problem),
        from_problem(ConditionType.PROGRAMMED, problem),
        ConditionValue(ConditionType.OPERATIONAL, None, Reason.PENDING),
        ConditionValue(ConditionType.DRIFTED, None, Reason.PENDING),
        paused(resource, None),
    ]
    return updated(resource.status, reported(resource, values, now, retryable=problem.retryable))


def reported(
    resource: Resource[Any],
    values: Sequence[ConditionValue],
    now: datetime,
    *,
    retryable: bool,
    decisive: Sequence[ConditionType] = _DECISIVE,
) -> ReportedStatus:
    """What every kind reports: ``Ready`` first, the given conditions, kstatus' pair, and which request it is about."""
    summary = ready(values, decisive)
    conditions = merge(
        resource.status.conditions,
        [summary, *values, *progress(summary, retryable=retryable)],
        resource.generation,
        now,
    )
    return ReportedStatus(
        observed_generation=resource.generation,
        last_handled_reconcile_at=resource.annotations.get(kinds.ANNOTATION_RECONCILE),
        conditions=conditions,
    )


# --- conditions -------------------------------------------------------------------------------------------------


def _accepted(resource: Resource[Any], decision: Decision) -> ConditionValue:
    if decision.refused:
        return from_problem(ConditionType.ACCEPTED, decision.refused, full=not resource.key.namespace)
    return ConditionValue(ConditionType.ACCEPTED, True, Reason.ACCEPTED)


def _programmed(
    resource: Resource[Any], decision: Decision, sync: SyncResult, rows: Sequence[ZoneNode]
) -> tuple[ConditionValue, bool]:
    """``Programmed`` and whether waiting helps. The order of the questions is the order of causes."""
    type_, full = ConditionType.PROGRAMMED, not resource.key.namespace
    if decision.blocked:
        return from_problem(type_, decision.blocked, full=full), decision.blocked.retryable
    if decision.refused:
        return from_problem(type_, decision.refused, full=full), decision.refused.retryable
    if decision.waiting:
        return from_problem(type_, decision.waiting, full=full), decision.waiting.retryable
    at_once = decision.ref is not None and decision.ref.kind in WRITTEN_AT_ONCE
    if decision.in_sync and at_once:
        return ConditionValue(type_, True, Reason.PROGRAMMED, "written, which takes effect without an apply"), True
    if decision.in_sync:
        return _on_nodes(rows), True
    if failure := sync.failures.get(resource.key):
        return from_problem(type_, failure, full=full), failure.retryable
    if not decision.managed and not is_paused(resource, sync.desired):
        return ConditionValue(type_, False, Reason.FIELDS_DIFFER, f"observed only: {_differences(decision)}"), False
    if sync.held and not at_once:
        return from_problem(type_, sync.held, full=full), sync.held.retryable
    if decision.drift:
        reason = Reason.MISSING_EXTERNALLY if decision.missing else Reason.FIELDS_DIFFER
        if getattr(sync.desired.cluster.spec, "drift", None) == "Report":
            message = f"{'; '.join(decision.drift)}; {NOT_CORRECTED}"
            return ConditionValue(type_, False, reason, message), False
        return ConditionValue(type_, False, reason, "; ".join(decision.drift)), True
    if is_paused(resource, sync.desired):
        message = f"paused, so this is not applied: {_differences(decision)}"
        return ConditionValue(type_, False, Reason.PENDING_APPLY, message), True
    message = f"not {'written' if at_once else 'applied'} yet: {_differences(decision)}"
    return ConditionValue(type_, False, Reason.PENDING_APPLY, message), True


def _differences(decision: Decision) -> str:
    """All that differs from Proxmox, or is not published there yet."""
    return "; ".join(decision.changes) or "what is staged in Proxmox"


def _on_nodes(rows: Sequence[ZoneNode]) -> ConditionValue:
    """Whether every expected node says that it has it; a controller has no status of its own per node."""
    type_ = ConditionType.PROGRAMMED
    unwell = [row for row in rows if row.state not in ("Available", "Unknown")]
    unknown = [row for row in rows if row.state == "Unknown"]
    if unwell:
        listed = some_of((f"{row.name}: {row.message or row.state.lower()}" for row in unwell), 3, "; ")
        return ConditionValue(type_, False, Reason.PARTIALLY_APPLIED, listed)
    if rows and len(unknown) == len(rows):
        return ConditionValue(type_, None, Reason.SOURCE_UNAVAILABLE, "no node answered")
    count = f" on {len(rows) - len(unknown)} of {len(rows)} nodes" if rows else ""
    return ConditionValue(type_, True, Reason.PROGRAMMED, f"applied{count}")


def not_yet(state: ConditionValue) -> ConditionValue:
    """What is not programmed cannot be judged in operation."""
    return ConditionValue(state.type, None, Reason.PENDING, "not programmed yet")


def _drifted(resource: Resource[Any], decision: Decision) -> ConditionValue:
    if not decision.drift:
        return ConditionValue(ConditionType.DRIFTED, False, Reason.IN_SYNC)
    if decision.waiting and decision.waiting.reason is Reason.DRIFT_FIGHT:
        return from_problem(ConditionType.DRIFTED, decision.waiting, status=True, full=not resource.key.namespace)
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


def effective(resource: Resource[Any], sync: SyncResult, health: Health | None = None) -> list[ConditionValue]:
    """``Effective``, where it is False. What the objects show comes before what the nodes do."""
    problem = sync.ineffective.get(resource.key) or _exit_problem(resource, health)
    return [from_problem(ConditionType.EFFECTIVE, problem)] if problem and not resource.deleting else []


def _exit_problem(resource: Resource[Any], health: Health | None) -> Problem | None:
    """What the exit nodes lose, by this observation; by the one before where this one shows nothing new of them."""
    seen = health.status if health else None
    status = seen if isinstance(seen, EvpnZoneStatus) and "exit" in seen.model_fields_set else resource.status
    if not isinstance(status, EvpnZoneStatus) or status.exit is None or not status.exit.problems:
        return None
    return Problem(Reason.EXIT_IMPAIRED, f"exitNodes: {some_of(status.exit.problems, 3, '; ')}")


def is_paused(resource: Resource[Any], desired: Desired) -> bool:
    """Whether the object or its cluster asks for a pause."""
    return resource.paused or desired.paused


# --- kind-specific parts ----------------------------------------------------------------------------------------

_STATE: Mapping[str, Literal["Available", "Pending", "Error"]] = {
    "available": "Available",
    "pending": "Pending",
    "error": "Error",
}


def node_rows(decision: Decision, state: ClusterState) -> list[ZoneNode]:
    """Per node what Proxmox says of the zone the object is, or is in; only nodes that are expected to have it."""
    ref = decision.ref
    if ref is None or ref.kind not in (SdnKind.ZONE, SdnKind.VNET):
        return []
    zone = ref.id if ref.kind is SdnKind.ZONE else str(decision.wanted[0].props.get("zone", ""))
    config = state.sdn.running.get(SdnRef(SdnKind.ZONE, zone))
    only = set(config.props.get("nodes") or ()) if config else set()
    expected = [node for name, node in sorted(state.nodes.items()) if not only or name in only]
    return [_node_row(node, zone, ref.id if ref.kind is SdnKind.VNET else None) for node in expected]


_NOT_SEEN = VniOnNode()


def with_observed(rows: Iterable[ZoneNode], health: Health | None) -> list[VNetNode]:
    """The rows with what observation adds to them; what it no longer sees goes."""
    seen = health.rows if health else {}
    return [_with_vni(row, seen.get(row.name, _NOT_SEEN)) for row in rows]


def _with_vni(row: ZoneNode, seen: VniOnNode) -> VNetNode:
    return VNetNode(
        name=row.name,
        state=row.state,
        message=row.message,
        macs=seen.macs,
        arp_nd=seen.arp_nd,
        remote_vteps=seen.remote_vteps,
        missing_vteps=seen.missing_vteps,
    )


def _node_row(node: NodeState, zone: str, vnet: str | None) -> ZoneNode:
    if not node.online:
        return ZoneNode(name=node.name, state="Unknown", message="the node is offline")
    if node.zones is None:
        return ZoneNode(name=node.name, state="Unknown", message=node.why_unread("zones"))
    state = _STATE.get(node.zones.get(zone, ""), "Missing")
    messages = [text for name, text in sorted(node.vnet_messages.items()) if vnet in (None, name)]
    return ZoneNode(name=node.name, state=state, message=messages[0] if messages and state != "Available" else None)


def _kind_part(
    resource: Resource[ApiModel, ManagedStatus], decision: Decision, sync: SyncResult, rows: list[ZoneNode]
) -> ManagedStatus:
    """What only this kind reports."""
    if isinstance(resource.status, EvpnZoneStatus):
        nodes, more = nodes_that_fit(rows, _unwell)
        return EvpnZoneStatus(
            vrf_vni=decision.vni or resource.status.vrf_vni,
            vnets=sync.vnet_count.get(decision.id, 0),
            vnet_problems=sync.vnet_problems.get(resource.key.name) or None,
            nodes=nodes,
            truncated=more,
        )
    if isinstance(resource.status, VNetStatus):
        observed = with_observed(rows, sync.health.get(resource.key))
        shown, more = nodes_that_fit(observed, lambda row: _unwell(row) or row.missing_vteps is not None)
        return VNetStatus(
            vni=decision.vni or resource.status.vni,
            zone=str(decision.wanted[0].props.get("zone")) if decision.wanted else resource.status.zone,
            nics=sync.nic_count.get(decision.id, 0),
            subnets=_subnets(resource, decision, sync),
            nodes=shown,
            truncated=more,
        )
    if isinstance(resource.status, FabricStatus):
        return FabricStatus(nodes=_fabric_members(resource, decision, sync))
    if isinstance(resource.status, BgpControllerStatus | IsisControllerStatus):
        return type(resource.status)(node=getattr(resource.spec, "node", None) or resource.status.node)
    if isinstance(resource.status, PolicyStatus):
        return _policy_part(decision, sync)
    if isinstance(resource.status, ServiceStatus):
        given = sync.secrets.get(resource.key)
        revision = given.revision if given and given.sent and decision.in_sync else resource.status.secret_revision
        return type(resource.status)(used_by=_users(decision, sync), secret_revision=revision)
    return ManagedStatus()


def _fabric_members(resource: Resource[Any], decision: Decision, sync: SyncResult) -> list[FabricMember]:
    """The nodes that are in Proxmox, or were by the status before; each keeps its address."""
    sdn, before = sync.state.sdn, {row.name: row for row in resource.status.nodes or ()}
    rows = []
    for ref, origin in sorted(decision.origins.items()):
        name = ref.id.partition("/")[2]
        there = sdn.running.get(ref) or sdn.edited.get(ref)
        if ref.kind is not SdnKind.FABRIC_NODE or not (there or name in before):
            continue
        old = before.get(name)
        ip, ip6 = (
            str(there.props[key]) if there and key in there.props else getattr(old, key, None) for key in ("ip", "ip6")
        )
        rows.append(FabricMember(name=name, origin=origin.value, ip=ip, ip6=ip6))
    return rows


def _policy_part(decision: Decision, sync: SyncResult) -> PolicyStatus:
    """What a prefix list or route map reports: its entries, and what names it."""
    sdn, ref = sync.state.sdn, decision.ref
    there = sdn.running.get(ref) if ref else None
    count = None
    if there is not None:
        count = len(there.props if there.ref.kind is SdnKind.ROUTE_MAP else there.props.get("entries") or ())
    return PolicyStatus(entries=count, used_by=_users(decision, sync))


def _users(decision: Decision, sync: SyncResult) -> list[str] | None:
    """What names the object in either copy."""
    sdn, ref = sync.state.sdn, decision.ref
    users = {*sdn.children_of(ref), *sdn.children_of(ref, running=True)} if ref else ()
    return [str(user) for user in sorted(users)] or None


def _unwell(row: ZoneNode) -> bool:
    return row.state not in ("Available", "Unknown")


def _subnets(resource: Resource[Any], decision: Decision, sync: SyncResult) -> list[SubnetStatus]:
    """The subnets that are in Proxmox, or were by the status before."""
    sdn, before = sync.state.sdn, known_refs(resource)
    return [
        SubnetStatus(id=ref.id, origin=origin.value)
        for ref, origin in sorted(decision.origins.items())
        if ref.kind is SdnKind.SUBNET and (ref in sdn.edited or ref in sdn.running or ref in before)
    ]
