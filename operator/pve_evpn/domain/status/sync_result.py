"""What one sync found and did, as far as statuses show it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pve_evpn.api.zone import VNetProblem
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.nics.pins import PinState
from pve_evpn.domain.objects import Desired, GivenSecret, ObjectKey
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.plan.withheld import WaitingPlan
from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.state import ClusterState

#: As many as an EvpnZone's status holds.
_MOST_PROBLEMS = 32


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
