"""Metrics that say what the statuses say, read from the stored objects at the moment somebody scrapes.

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

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.engine.cache import WATCHED, Cache

_WORDS = ("True", "False", "Unknown")
#: How a transaction fails as a whole. Objects carry the same words while they suffer from it.
_FAILED = (Reason.STAGING_FAILED, Reason.APPLY_FAILED, Reason.REVERTED)
#: Waiting that somebody decided on.
_PLANNED = (Reason.AWAITING_APPROVAL, Reason.OUTSIDE_WINDOW)
#: Name without the prefix: what it says, and its labels.
_FAMILIES = {
    "objects": ("Objects by what their condition Ready says.", ("cluster", "kind", "ready")),
    "objects_waiting": (
        "Those that are not ready because a change waits for approval or a window.",
        ("cluster", "kind"),
    ),
    "objects_stalled": ("Objects that wait for the user: condition Stalled.", ("cluster", "kind")),
    "objects_drifted": ("Objects somebody else changed in Proxmox: condition Drifted.", ("cluster", "kind")),
    "nics": ("NicAttachments by what EVPN says of their MAC.", ("cluster", "vnet", "verdict", "pinned")),
    "vnet_info": ("Always 1; which VNI and zone a VNet has in Proxmox.", ("cluster", "vnet", "vni", "zone")),
    "vnet_nodes": ("Nodes by what Proxmox says of the VNet there.", ("cluster", "vnet", "state")),
    "node_online": ("1 while the Proxmox cluster sees the node.", ("cluster", "node")),
    "node_programmed": ("1 if the node's last reload of the configuration succeeded.", ("cluster", "node")),
    "pending_objects": (
        "What the next apply would publish, by whose it is; host-network: nodes with staged network edits.",
        ("cluster", "owner"),
    ),
    "sdn_lock_held_seconds": ("How long somebody else's SDN lock has been in the way.", ("cluster",)),
    "pending_plan_age_seconds": ("How long a plan has been waiting for approval or a window.", ("cluster",)),
    "last_transaction_timestamp_seconds": ("When the last transaction ended.", ("cluster", "outcome")),
    "transaction_failed": (
        "1 while a transaction that ended so has left something: an object that says so, or staged edits of ours.",
        ("cluster", "outcome"),
    ),
    "token_expiry_timestamp_seconds": ("When the API token expires; absent if never or unknown.", ("cluster",)),
}


class StatusCollector(Collector):
    """A collector for the registry. Must be scraped in the cache's event loop."""

    def __init__(self, cache: Cache, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._cache = cache
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """The families without samples; nobody has to read the cache to register them."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        families = _families()
        self._count(families)
        now, suffered = self._clock(), self._suffered()
        for cluster in self._cache.of_kind("ProxmoxCluster"):
            if _condition(cluster, "Reachable") == "True":  # else its status tells of the past
                for name, labels, value in _cluster_samples(cluster, now):
                    families[name].add_metric([cluster.key.name, *labels], value)
                for outcome in _FAILED:
                    failed = (cluster.key.name, outcome) in suffered or _left_staged(cluster, outcome)
                    families["transaction_failed"].add_metric([cluster.key.name, outcome], failed)
        return families.values()

    def _suffered(self) -> set[tuple[str, str]]:
        """Why objects are not programmed, by cluster. NICs are not asked: no transaction writes them."""
        return {
            (self._cache.cluster_of(resource) or "", _reason(resource, "Programmed"))
            for resource in self._cache
            if resource.key.kind != "NicAttachment"
        }

    def _waits(self, resource: Resource[Any]) -> bool:
        """Whether it is as planned that it is not ready: its own change waits, or that of the NIC's VNet."""
        if _condition(resource, "Ready") != "False":
            return False
        reason = _reason(resource, "Ready")
        if reason != Reason.WAITING_FOR_DEPENDENCIES or resource.key.kind != "NicAttachment" or not resource.spec:
            return reason in _PLANNED
        vnet = self._cache.get(ObjectKey("VNet", resource.key.namespace, resource.spec.vnet_ref.name))
        return vnet is not None and self._waits(vnet)

    def _count(self, families: Mapping[str, GaugeMetricFamily]) -> None:
        ready: Counter[tuple[str, str, str]] = Counter()
        waiting: Counter[tuple[str, str]] = Counter()
        stalled: Counter[tuple[str, str]] = Counter()
        drifted: Counter[tuple[str, str]] = Counter()
        nics: Counter[tuple[str, str, str, str]] = Counter()
        for cluster in self._cache.of_kind("ProxmoxCluster"):
            for kind in WATCHED:
                ready.update(dict.fromkeys(((cluster.key.name, kind, word) for word in _WORDS), 0))
                for counter in (waiting, stalled, drifted):
                    counter[cluster.key.name, kind] = 0
        for resource in self._cache:
            owner = self._cache.cluster_of(resource) or ""
            ready[owner, resource.key.kind, _condition(resource, "Ready")] += 1
            waiting[owner, resource.key.kind] += self._waits(resource)
            stalled[owner, resource.key.kind] += _condition(resource, "Stalled") == "True"
            drifted[owner, resource.key.kind] += _condition(resource, "Drifted") == "True"
            if resource.key.kind == "VNet" and resource.status.get("id"):
                _describe(owner, resource.status, families)
            if resource.key.kind == "NicAttachment":
                verdict = _verdict(resource)
                pinned = str(bool(resource.status.get("pinned"))).lower()
                nics[owner, resource.status.get("vnet") or "", verdict, pinned] += 1
        counted: dict[str, Counter[Any]] = {
            "objects": ready, "objects_waiting": waiting, "objects_stalled": stalled, "objects_drifted": drifted,
            "nics": nics,
        }  # fmt: skip
        for name, counts in counted.items():
            for labels, count in counts.items():
                families[name].add_metric(list(labels), count)


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(f"pve_evpn_{name}", text, labels=labels) for name, (text, labels) in _FAMILIES.items()
    }


def _describe(cluster: str, vnet: Mapping[str, Any], families: Mapping[str, GaugeMetricFamily]) -> None:
    families["vnet_info"].add_metric([cluster, vnet["id"], str(vnet.get("vni") or ""), vnet.get("zone") or ""], 1)
    for state, count in Counter(row["state"] for row in vnet.get("nodes") or ()).items():
        families["vnet_nodes"].add_metric([cluster, vnet["id"], state], count)


def _cluster_samples(cluster: Resource[Any], now: datetime) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Family, labels after ``cluster``, and value."""
    status = cluster.status
    for row in status.get("nodes") or ():
        yield "node_online", (row["name"],), bool(row.get("online"))
        if "programmed" in row:
            yield "node_programmed", (row["name"],), bool(row["programmed"])
    pending = status.get("pending") or {}
    yield "pending_objects", ("self",), pending.get("own") or 0
    yield "pending_objects", ("foreign",), len(pending.get("foreign") or ()) + (pending.get("truncated") or 0)
    yield "pending_objects", ("host-network",), len(pending.get("hostNetwork") or ())
    lock = status.get("lock") or {}
    yield "sdn_lock_held_seconds", (), _age(now, lock.get("since") if lock.get("holder") == "Other" else None)
    yield "pending_plan_age_seconds", (), _age(now, (status.get("pendingPlan") or {}).get("since"))
    last = status.get("lastTransaction") or {}
    if ended := last.get("finishedAt"):
        yield "last_transaction_timestamp_seconds", (last["outcome"],), _moment(ended).timestamp()
    if expires := status.get("tokenExpiresAt"):
        yield "token_expiry_timestamp_seconds", (), _moment(expires).timestamp()


def _left_staged(cluster: Resource[Any], outcome: str) -> bool:
    """Whether the last transaction ended so and could not take everything back."""
    last, pending = cluster.status.get("lastTransaction") or {}, cluster.status.get("pending") or {}
    return last.get("outcome") == outcome and bool(pending.get("own"))


def _verdict(nic: Resource[Any]) -> str:
    """What EVPN says of its MAC; a NIC that has nothing to announce is not silent."""
    if _reason(nic, "Operational") == Reason.NOTHING_TO_ANNOUNCE:
        return str(Reason.NOTHING_TO_ANNOUNCE)
    return str((nic.status.get("evpn") or {}).get("verdict") or "Unknown")


def _condition(resource: Resource[Any], type_: str) -> str:
    """Its status; Unknown where nothing was said, which for Stalled and Drifted is as good as False."""
    found = (c["status"] for c in resource.status.get("conditions") or () if c["type"] == type_)
    return next(found, "Unknown")


def _reason(resource: Resource[Any], type_: str) -> str:
    """Why a condition is what it is; empty where nothing was said."""
    found = (c.get("reason", "") for c in resource.status.get("conditions") or () if c["type"] == type_)
    return next(found, "")


def _age(now: datetime, since: str | None) -> float:
    return max(0.0, (now - _moment(since)).total_seconds()) if since else 0.0


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
