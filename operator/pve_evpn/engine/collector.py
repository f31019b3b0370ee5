"""Metrics made from the statuses, at the moment of a scrape.

So they cannot disagree with what ``kubectl get`` shows, vanish with their object, and need no counting anywhere else.
Objects are counted, not named: only clusters and Proxmox' own nodes and VNets become labels. A value that is not
known is absent, except for counts, which begin at zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pve_evpn.api.cluster import Pending, ProxmoxClusterStatus
from pve_evpn.api.conditions import APPROVABLE, Reason
from pve_evpn.api.nic import NicAttachmentStatus
from pve_evpn.api.vnet import VNetStatus
from pve_evpn.api.zone import EvpnZoneStatus
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.engine.cache import WATCHED, Cache

_WORDS = ("True", "False", "Unknown")
#: How a transaction fails as a whole. Objects carry the same words while they suffer from it.
_FAILED = (Reason.STAGING_FAILED, Reason.APPLY_FAILED, Reason.REVERTED)
#: Name without the prefix: what it says, and its labels.
_FAMILIES = {
    "cluster_leader": ("1 while this replica leads for the cluster, else 0.", ("cluster",)),
    "objects": ("Objects by their condition Ready.", ("cluster", "kind", "ready")),
    "objects_waiting": (
        "Objects that are not ready because a change waits for approval or a window.",
        ("cluster", "kind"),
    ),
    "objects_stalled": ("Objects that wait for the user: condition Stalled.", ("cluster", "kind")),
    "objects_drifted": ("Objects another client changed in Proxmox: condition Drifted.", ("cluster", "kind")),
    "objects_in_drift_fight": (
        "Objects that another client changes again and again: condition Drifted with reason DriftFight.",
        ("cluster", "kind"),
    ),
    "objects_paused": ("Objects that their own annotation pauses.", ("cluster", "kind")),
    "paused_since_timestamp_seconds": (
        "Since when the object is paused that has been so longest, by its own annotation; absent where none is.",
        ("cluster", "kind"),
    ),
    "nics": ("NicAttachments by their MAC state.", ("cluster", "vnet", "verdict", "pinned")),
    "vnet_info": ("Always 1; which VNI and zone a VNet has in Proxmox.", ("cluster", "vnet", "vni", "zone")),
    "vnet_nodes": ("Nodes by what Proxmox says of the VNet there.", ("cluster", "vnet", "state")),
    "exit_node_usable": (
        "1 if packets of the zone have a default route to leave by at its exit node, else 0; absent if unknown.",
        ("cluster", "zone", "node"),
    ),
    "node_online": ("1 while the Proxmox cluster sees the node.", ("cluster", "node")),
    "node_programmed": ("1 if the node's last reload of the configuration succeeded.", ("cluster", "node")),
    "pending_objects": (
        "What the next apply would publish, by owner; host-network: nodes with staged network edits.",
        ("cluster", "owner"),
    ),
    "sdn_lock_held_seconds": ("How long another client's SDN lock has been held.", ("cluster",)),
    "pending_plan_age_seconds": ("How long a plan has been waiting for approval or a window.", ("cluster",)),
    "last_transaction_timestamp_seconds": ("When the last transaction ended.", ("cluster", "outcome")),
    "transaction_failed": (
        "1 while the effect of a transaction that ended so is still there: an object or staged edits of the operator.",
        ("cluster", "outcome"),
    ),
    "privileges_missing": ("Privileges that the credentials lack for what is configured.", ("cluster",)),
    "token_expiry_timestamp_seconds": ("When the API token expires; absent if never or unknown.", ("cluster",)),
}


class StatusCollector(Collector):
    """A collector for the registry. It reads copies, so it may be scraped in another thread than the cache's.

    ``holds`` says whether this replica writes for a cluster: of the others it exports only that it does not. What
    belongs to no ProxmoxCluster is the cluster "".
    """

    def __init__(
        self,
        cache: Cache,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        holds: Callable[[str], bool] = lambda _cluster: True,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._holds = holds

    def describe(self) -> Iterable[Metric]:
        """The families without samples: registering them does not need the cache."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        families = _families()
        self._count(families)
        now, suffered = self._clock(), self._suffered()
        for cluster in self._cache.of_kind("ProxmoxCluster"):
            families["cluster_leader"].add_metric([cluster.key.name], self._holds(cluster.key.name))
        for cluster in self._held_clusters():
            if cluster.status.says("Reachable") == "True":  # else its status is of the past
                for name, labels, value in _cluster_samples(cluster.status, now):
                    families[name].add_metric([cluster.key.name, *labels], value)
                for outcome in _FAILED:
                    failed = (cluster.key.name, outcome) in suffered or _left_staged(cluster.status, outcome)
                    families["transaction_failed"].add_metric([cluster.key.name, outcome], failed)
        return families.values()

    def _held_clusters(self) -> Iterator[Resource[Any]]:
        return (cluster for cluster in self._cache.of_kind("ProxmoxCluster") if self._holds(cluster.key.name))

    def _suffered(self) -> set[tuple[str, str]]:
        """Why objects are not programmed, by cluster. NICs are not asked: no transaction writes them."""
        return {
            (self._cache.cluster_of(resource) or "", resource.status.reason("Programmed"))
            for resource in self._cache
            if resource.key.kind != "NicAttachment"
        }

    def _waits(self, resource: Resource[Any]) -> bool:
        """Whether it is as planned that it is not ready: its own change waits, or that of the NIC's VNet."""
        if resource.status.says("Ready") != "False":
            return False
        reason = resource.status.reason("Ready")
        if reason != Reason.WAITING_FOR_DEPENDENCIES or resource.key.kind != "NicAttachment" or not resource.spec:
            return reason in APPROVABLE
        vnet = self._cache.get(ObjectKey("VNet", resource.key.namespace, resource.spec.vnet_ref.name))
        return vnet is not None and self._waits(vnet)

    def _count(self, families: Mapping[str, GaugeMetricFamily]) -> None:
        ready: Counter[tuple[str, str, str]] = Counter()
        waiting: Counter[tuple[str, str]] = Counter()
        stalled: Counter[tuple[str, str]] = Counter()
        drifted: Counter[tuple[str, str]] = Counter()
        fights: Counter[tuple[str, str]] = Counter()
        paused: Counter[tuple[str, str]] = Counter()
        since: dict[tuple[str, str], float] = {}
        nics: Counter[tuple[str, str, str, str]] = Counter()
        names = {cluster.key.name for cluster in self._cache.of_kind("ProxmoxCluster")}
        held = {name: self._holds(name) for name in (*names, "")}
        for cluster in self._held_clusters():
            for kind in WATCHED:
                ready.update(dict.fromkeys(((cluster.key.name, kind, word) for word in _WORDS), 0))
                for counter in (waiting, stalled, drifted, fights, paused):
                    counter[cluster.key.name, kind] = 0
        for resource in self._cache:
            owner = self._cache.cluster_of(resource) or ""
            if not held[owner if owner in names else ""]:
                continue
            ready[owner, resource.key.kind, resource.status.says("Ready")] += 1
            waiting[owner, resource.key.kind] += self._waits(resource)
            stalled[owner, resource.key.kind] += resource.status.says("Stalled") == "True"
            drifted[owner, resource.key.kind] += resource.status.says("Drifted") == "True"
            fights[owner, resource.key.kind] += resource.status.reason("Drifted") == Reason.DRIFT_FIGHT
            status = resource.status
            pause = status.condition("Paused")
            if pause and pause.reason == Reason.ANNOTATION_PAUSED:
                paused[owner, resource.key.kind] += 1
                began = pause.last_transition_time.timestamp()
                since[owner, resource.key.kind] = min(began, since.get((owner, resource.key.kind), began))
            if isinstance(status, VNetStatus) and status.id:
                _describe(owner, status.id, status, families)
            if isinstance(status, EvpnZoneStatus) and status.id:
                _describe_exit(owner, status.id, status, families)
            if isinstance(status, NicAttachmentStatus):
                nics[owner, status.vnet or "", _mac_state(status), str(bool(status.pinned)).lower()] += 1
        counted: dict[str, Counter[Any]] = {
            "objects": ready, "objects_waiting": waiting, "objects_stalled": stalled, "objects_drifted": drifted,
            "objects_in_drift_fight": fights, "objects_paused": paused, "nics": nics,
        }  # fmt: skip
        for place, moment in since.items():
            families["paused_since_timestamp_seconds"].add_metric(list(place), moment)
        for name, counts in counted.items():
            for labels, count in counts.items():
                families[name].add_metric(list(labels), count)


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(f"pve_evpn_{name}", text, labels=labels) for name, (text, labels) in _FAMILIES.items()
    }


def _describe(cluster: str, vnet: str, status: VNetStatus, families: Mapping[str, GaugeMetricFamily]) -> None:
    families["vnet_info"].add_metric([cluster, vnet, str(status.vni or ""), status.zone or ""], 1)
    for state, count in Counter(row.state for row in status.nodes or ()).items():
        families["vnet_nodes"].add_metric([cluster, vnet, state], count)


def _describe_exit(cluster: str, zone: str, status: EvpnZoneStatus, families: Mapping[str, GaugeMetricFamily]) -> None:
    for node in (status.exit.nodes if status.exit else None) or ():
        if node.usable is not None:
            families["exit_node_usable"].add_metric([cluster, zone, node.name], node.usable)


def _cluster_samples(status: ProxmoxClusterStatus, now: datetime) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Family, labels after ``cluster``, and value."""
    for row in status.nodes or ():
        yield "node_online", (row.name,), bool(row.online)
        if row.programmed is not None:
            yield "node_programmed", (row.name,), row.programmed
    pending, lock, last = status.pending or Pending(), status.lock, status.last_transaction
    yield "pending_objects", ("self",), pending.own or 0
    yield "pending_objects", ("foreign",), len(pending.foreign or ()) + (pending.truncated or 0)
    yield "pending_objects", ("host-network",), len(pending.host_network or ())
    yield "sdn_lock_held_seconds", (), _age(now, lock.since if lock and lock.holder == "Other" else None)
    plan = status.pending_plan
    yield "pending_plan_age_seconds", (), _age(now, plan.since if plan and plan.reason in APPROVABLE else None)
    if last and last.finished_at:
        yield "last_transaction_timestamp_seconds", (last.outcome,), last.finished_at.timestamp()
    yield "privileges_missing", (), len(status.privileges.missing or ()) if status.privileges else 0
    if status.token_expires_at:
        yield "token_expiry_timestamp_seconds", (), status.token_expires_at.timestamp()


def _left_staged(status: ProxmoxClusterStatus, outcome: str) -> bool:
    """Whether the last transaction ended so and could not take everything back."""
    last, pending = status.last_transaction, status.pending
    return bool(last and last.outcome == outcome and pending and pending.own)


def _mac_state(nic: NicAttachmentStatus) -> str:
    """What EVPN says of its MAC; a NIC that has nothing to advertise is not silent."""
    if nic.reason("Operational") == Reason.NOTHING_TO_ANNOUNCE:
        return str(Reason.NOTHING_TO_ANNOUNCE)
    return nic.evpn.verdict if nic.evpn else "Unknown"


def _age(now: datetime, since: datetime | None) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
