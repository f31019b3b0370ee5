"""One sync as far as it has come: each stage takes this record and returns it with what it found or did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pve_evpn.api.cluster import LockStatus
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.nics.pins import PinState
from pve_evpn.domain.objects import Desired, GivenSecret, ObjectKey
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.plan.outcome import NodeResult, Result
from pve_evpn.domain.state import ClusterState
from pve_evpn.engine.journal import JournalEntry
from pve_evpn.pve.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Sync:
    """What is desired, what Proxmox has, what is planned from both; and what came of the stages so far.

    ``journal`` is what the plan goes by: during a transaction the entry as the transaction found it. ``held``: why the
    plan, or a part of it, is not carried out now. ``waiting``: the part that waits for a person or for its time.
    ``everything``: the plan without pauses and the like, where they leave something out.
    ``result``: of the transaction, if there was one. ``reloads``: of nodes, in this sync. ``lock``: ``status.lock``.
    ``addresses``: why addresses of NICs are not registered, or not released.
    ``failures``: objects that are left out, and why. ``observation``: the nodes' last poll, ``health`` what it means
    for each object. ``credential``: the Secret's key in use. ``secrets``: of Ipams
    and DnsServers. ``corrected``: drift of these that was written back, apart from the transaction.
    """

    gateway: Gateway
    desired: Desired
    state: ClusterState
    plan: Plan
    journal: JournalEntry = field(default_factory=JournalEntry)
    held: Problem | None = None
    waiting: Plan | None = None
    everything: Plan | None = None
    result: Result | None = None
    lock: LockStatus | None = None
    reloads: Mapping[str, NodeResult] = field(default_factory=dict)
    nics: NicPlan = field(default_factory=NicPlan)
    pins: Mapping[ObjectKey, PinState] = field(default_factory=dict)
    addresses: Mapping[ObjectKey, Problem] = field(default_factory=dict)
    failures: Mapping[ObjectKey, Problem] = field(default_factory=dict)
    observation: ClusterObservation | None = None
    health: Mapping[ObjectKey, Health] = field(default_factory=dict)
    credential: str = ""
    credentials_end: datetime | None = None
    secrets: Mapping[ObjectKey, GivenSecret] = field(default_factory=dict)
    corrected: Mapping[ObjectKey, tuple[str, ...]] = field(default_factory=dict)
