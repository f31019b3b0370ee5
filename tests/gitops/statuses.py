"""Every status our objects pass through, made by the code that writes them: what GitOps tools are asked to judge."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, Reason, ReportedStatus
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.schema import default_status
from pve_evpn.api.status import as_written, read_status
from pve_evpn.domain.conditions import ConditionValue, Problem
from pve_evpn.domain.health.object_health import Health, unobserved
from pve_evpn.domain.nics import NicDecision
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan.model import Decision, Plan, Step
from pve_evpn.domain.plan.outcome import NodeResult
from pve_evpn.domain.sdn import PendingChange, PendingState, SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import ClusterState, GuestKind, GuestState, NodeState
from pve_evpn.domain.status import cluster as cluster_status
from pve_evpn.domain.status import nic as nic_report
from pve_evpn.domain.status import sdn as report
from pve_evpn.domain.status import without_proxmox
from pve_evpn.domain.status.sync_result import SyncResult
from tests.unit.plan import world

NOW = datetime(2026, 11, 25, tzinfo=UTC)
#: What a tool should make of an object, in Flux' words.
CURRENT, IN_PROGRESS, FAILED, TERMINATING = "Current", "InProgress", "Failed", "Terminating"

HEALS = Problem(Reason.REF_NOT_FOUND, "waits for something", retryable=True)
FINAL = Problem(Reason.VNI_CONFLICT, "VNI 5001 belongs to default/net1")
PAUSE = {kinds.ANNOTATION_PAUSED: "true"}


@dataclass(frozen=True)
class Case:
    """One object in one situation, and what tools should say of it."""

    name: str
    resource: Resource[Any]
    status: ReportedStatus
    expected: str

    def manifest(self) -> dict[str, Any]:
        """The object as the API server hands it out."""
        item = self.resource
        metadata: dict[str, Any] = {"name": item.key.name, "generation": item.generation, "uid": item.uid}
        metadata["annotations"] = dict(item.annotations)
        if item.key.namespace:
            metadata["namespace"] = item.key.namespace
        if item.deleting:
            metadata |= {"deletionTimestamp": "2026-11-25T00:00:00Z", "finalizers": [kinds.FINALIZER]}
        return {
            "apiVersion": f"{kinds.GROUP}/{kinds.VERSION}",
            "kind": item.key.kind,
            "metadata": metadata,
            "spec": {},
            "status": as_written(self.status),
        }

    def conditions(self) -> dict[str, dict[str, Any]]:
        return {condition["type"]: condition for condition in as_written(self.status).get("conditions") or ()}


# --- what nodes and observation may say ---------------------------------------------------------------------------

AVAILABLE = {name: replace(node, zones={"zone1": "available"}) for name, node in world.NODES.items()}
ONE_IN_ERROR = {**AVAILABLE, "pve2": replace(AVAILABLE["pve2"], zones={"zone1": "error"})}
ALL_OFFLINE = {name: NodeState(name, online=False) for name in world.NODES}
NODES = {"nodes well": AVAILABLE, "a node in error": ONE_IN_ERROR, "nodes offline": ALL_OFFLINE}

OPERATIONAL = {
    "unseen": None,
    "seen working": Health(ConditionValue(ConditionType.OPERATIONAL, True, Reason.OPERATIONAL)),
    "session down": Health(
        ConditionValue(ConditionType.OPERATIONAL, False, Reason.SESSION_DOWN, "pve2 - pve1: Active")
    ),
    "source failed": Health(
        ConditionValue(ConditionType.OPERATIONAL, None, Reason.OBSERVATION_STALE, "not seen for 60 s")
    ),
}


SERVICE = {"clusterRef": {"name": "pve"}, "url": "https://192.0.2.10/api"}


def _sdn_objects() -> Iterator[tuple[Resource[Any], SdnObject]]:
    for item, kind, id_ in (
        (world.controller(), SdnKind.CONTROLLER, "evpn1"),
        (world.zone(), SdnKind.ZONE, "zone1"),
        (world.vnet(), SdnKind.VNET, "net1"),
    ):
        yield item, SdnObject(SdnRef(kind, id_), "evpn", {"zone": "zone1"})


def _routing_objects() -> Iterator[tuple[Resource[Any], SdnObject]]:
    """Of kinds whose statuses are made as a controller's is: they are not enumerated too."""
    for item, kind in (
        (world.prefix_list(), SdnKind.PREFIX_LIST),
        (world.route_map(), SdnKind.ROUTE_MAP),
        (world.fabric(), SdnKind.FABRIC),
        (world.bgp_controller(), SdnKind.CONTROLLER),
        (world.isis_controller(), SdnKind.CONTROLLER),
        (world.resource("Ipam", "nb1", {**SERVICE, "type": "netbox"}), SdnKind.IPAM),
        (world.resource("DnsServer", "ns1", SERVICE), SdnKind.DNS),
    ):
        yield item, SdnObject(SdnRef(kind, item.key.name), "any", {})


# --- the enumerations ---------------------------------------------------------------------------------------------


def sdn() -> Iterator[Case]:
    """Controllers, zones and VNets: every combination of what can be decided, seen and said about one object."""
    problems = {"": None, "heals": HEALS, "final": FINAL}
    switches = list(itertools.product((True, False), repeat=4))  # in sync, managed, drifted, paused
    for (item, wanted), nodes, (seen, health) in itertools.product(_sdn_objects(), NODES, OPERATIONAL.items()):
        made = world.desired(item)
        for refused, blocked, held, failed, waits in itertools.product(problems, problems, problems, problems, "-w"):
            if sum(map(bool, (refused, blocked, held, failed))) + (waits == "w") > 2:
                continue  # a third cause is never looked at
            for in_sync, managed, drifted, paused in switches:
                decision = Decision(
                    key=item.key,
                    id=wanted.ref.id,
                    wanted=(wanted,),
                    refused=problems[refused],
                    blocked=problems[blocked],
                    waiting=HEALS if waits == "w" else None,
                    in_sync=in_sync,
                    managed=managed,
                    drift=("vni: 5001 instead of 5002",) if drifted else (),
                )
                subject = replace(item, annotations=PAUSE if paused else {})
                at = SyncResult(
                    made,
                    ClusterState(world.observed().version, world.sdn(), NODES[nodes]),
                    Plan(decisions={item.key: decision}),
                    NOW,
                    problems[held],
                    {item.key: found} if (found := problems[failed]) else {},
                    {item.key: health} if health else {},
                )
                cause = _first_cause(decision, failed, held, paused)
                if cause is None:
                    on_nodes = nodes == "nodes well" or item.key.kind == "EvpnController"
                    expected = CURRENT if on_nodes and seen != "session down" else IN_PROGRESS
                else:
                    expected = FAILED if cause == "final" else IN_PROGRESS
                name = f"{item.key.kind}: {decision} {failed=} {held=} {paused=} {nodes}, {seen}"
                yield Case(name, subject, report.sdn_status(subject, decision, at), expected)


def without_effect() -> Iterator[Case]:
    """``Effective`` is False: the object is in use all the same."""
    for item, wanted in (*_sdn_objects(), *_routing_objects()):
        decision = Decision(key=item.key, id=wanted.ref.id, wanted=(wanted,), in_sync=True)
        sync = SyncResult(
            world.desired(item),
            ClusterState(world.observed().version, world.sdn(), AVAILABLE),
            Plan(decisions={item.key: decision}),
            NOW,
            ineffective={item.key: replace(FINAL, reason=Reason.NO_EXIT_NODES)},
        )
        status = report.sdn_status(item, decision, sync)
        assert status.says("Effective") == "False"
        yield Case(f"{item.key.kind}: a field has no effect", item, status, CURRENT)


def _first_cause(decision: Decision, failed: str, held: str, paused: bool) -> str | None:
    """What keeps an object from being programmed, if anything: whether it heals, or only the user can help."""
    for problem in (decision.blocked, decision.refused):
        if problem:
            return "heals" if problem.retryable and (not decision.refused or decision.refused.retryable) else "final"
    if decision.waiting:
        return "heals"
    if decision.in_sync:
        return None
    if failed:
        return failed
    if not decision.managed and not paused:
        return "final"
    return held or "heals"


def nics() -> Iterator[Case]:
    """NicAttachments, likewise."""
    spec = {"clusterRef": {"name": "pve"}, "guest": {"vmid": 100}, "device": "net0", "vnetRef": {"name": "net1"}}
    item = world.resource("NicAttachment", "nic", spec)
    made = world.desired(item)
    guest = GuestState(100, GuestKind.QEMU, "pve4")
    causes: dict[str, tuple[dict[str, Any], Problem | None, str | None]] = {
        "refused": ({"refused": FINAL}, None, FAILED),
        "refused for now": ({"refused": HEALS}, None, IN_PROGRESS),
        "deletion blocked": ({"blocked": HEALS}, None, IN_PROGRESS),
        "waits for its VNet": ({"waiting": HEALS}, None, IN_PROGRESS),
        "the write failed": ({}, replace(HEALS, reason=Reason.APPLY_FAILED), IN_PROGRESS),
        "the write failed for good": ({}, replace(FINAL, reason=Reason.APPLY_FAILED), FAILED),
        "waits for a restart": ({"restart": ("macAddress",)}, None, IN_PROGRESS),
        "connected where its VNet cannot be": ({"misplaced": FINAL, "in_sync": True}, None, FAILED),
        "drifted": ({"drift": ("bridge: vmbr0",)}, None, IN_PROGRESS),
        "not written yet": ({}, None, IN_PROGRESS),
        "observed only, differs": ({"managed": False}, None, FAILED),
        "connected": ({"in_sync": True, "vnet_id": "net1"}, None, None),
    }
    for (name, (changes, failure, expected)), (seen, health) in itertools.product(causes.items(), OPERATIONAL.items()):
        decision = NicDecision(item.key, guest, device="net0", **changes)
        failures = {item.key: failure} if failure else {}
        at = SyncResult(made, world.observed(), Plan(), NOW, None, failures, {item.key: health} if health else {})
        fallback = IN_PROGRESS if seen == "session down" else CURRENT
        status = nic_report.nic_status(item, decision, at)
        yield Case(f"NicAttachment: {name}, {seen}", item, status, expected or fallback)


def clusters() -> Iterator[Case]:
    """ProxmoxClusters: reached, held, half applied, and not reached for every reason there is."""
    item = world.cluster()
    made = world.desired(item)
    vnet = SdnObject(SdnRef(SdnKind.VNET, "net1"), "vnet", {})
    create = Step(vnet.ref, None, vnet)
    foreign = PendingChange(SdnRef(SdnKind.VNET, "theirs"), PendingState.NEW)

    def reached(at: SyncResult, reloads: Mapping[str, NodeResult] | None = None) -> ReportedStatus:
        return cluster_status.reachable(item, at, "https://pve1:8006", None, reloads or {}, None)

    at_rest = SyncResult(made, world.observed(), Plan(), NOW)
    yield Case("at rest", item, reached(at_rest), CURRENT)
    yield Case("work to do", item, reached(replace(at_rest, plan=Plan((create,)))), IN_PROGRESS)
    yield Case("foreign edits, nothing to do", item, reached(replace(at_rest, plan=Plan(foreign=(foreign,)))), CURRENT)
    yield Case("no quorum", item, reached(replace(at_rest, state=world.observed(quorate=False))), IN_PROGRESS)
    for reason in (
        Reason.SDN_LOCKED,
        Reason.FOREIGN_PENDING_CHANGES,
        Reason.NODE_NETWORK_PENDING,
        Reason.AWAITING_APPROVAL,
        Reason.OUTSIDE_WINDOW,
        Reason.APPLIES_SPACED,
        Reason.STAGING_FAILED,
        Reason.APPLY_FAILED,
    ):
        held = Problem(reason, "somebody has to wait", retryable=True)
        yield Case(f"held: {reason}", item, reached(replace(at_rest, held=held)), IN_PROGRESS)
    behind = {"pve2": NodeResult("pve2", ok=False, message="reload failed")}
    yield Case("half applied", item, reached(at_rest, behind), IN_PROGRESS)
    for reason in (
        Reason.CLUSTER_UNREACHABLE,
        Reason.TLS_REJECTED,
        Reason.CREDENTIALS_MISSING,
        Reason.AUTHENTICATION_FAILED,
        Reason.PRIVILEGES_MISSING,
        Reason.NO_QUORUM,
        Reason.OUTCOME_UNKNOWN,
        Reason.APPLY_FAILED,
    ):
        lost = cluster_status.unreachable(item, Problem(reason, "no", retryable=True), NOW)
        yield Case(f"not reached: {reason}", item, lost, IN_PROGRESS)
    for reason in (Reason.INVALID_SPEC, Reason.VERSION_UNSUPPORTED):
        lost = cluster_status.unreachable(item, Problem(reason, "never like this"), NOW)
        yield Case(f"not reached: {reason}", item, lost, FAILED)


def nodes() -> Iterator[Case]:
    """EvpnNodes: seen working, seen broken, not seen."""
    item = world.resource("EvpnNode", "pve-pve1", {"clusterRef": {"name": "pve"}, "node": "pve1"})
    expected = {"seen working": CURRENT}
    for seen, health in OPERATIONAL.items():
        status = report.node_status(item, health or unobserved(), NOW)
        yield Case(f"EvpnNode: {seen}", item, status, expected.get(seen, IN_PROGRESS))


def on_the_way() -> Iterator[Case]:
    """What the API server gives, what is written while nothing can be known, and for objects that belong nowhere."""
    routing = [item for item, _ in _routing_objects()]
    for item in (world.cluster(), world.controller(), world.zone(), world.vnet(), *routing):
        kind = item.key.kind
        first = read_status(kind, default_status(KINDS[kind]))
        yield Case(f"{kind}: not reported yet", item, first, IN_PROGRESS)
        if kind == "ProxmoxCluster":
            continue
        made = world.desired(item)
        lost = without_proxmox.unreachable_status(item, made, replace(HEALS, reason=Reason.CLUSTER_UNREACHABLE), NOW)
        yield Case(f"{kind}: Proxmox lost", item, lost, IN_PROGRESS)
        yield Case(f"{kind}: no such cluster", item, without_proxmox.unowned_status(item, HEALS, NOW), IN_PROGRESS)
        yield Case(f"{kind}: unreadable", item, without_proxmox.unowned_status(item, FINAL, NOW), FAILED)


def every() -> list[Case]:
    """All of them; those with equal conditions are judged once."""
    cases = [*on_the_way(), *clusters(), *nodes(), *nics(), *without_effect()]
    seen: dict[Any, Case] = {}
    for case in sdn():
        judged = tuple((type_, c["status"], c["reason"]) for type_, c in sorted(case.conditions().items()))
        seen.setdefault((case.resource.key.kind, judged, case.expected), case)
    return [*cases, *seen.values()]
