"""The operator's Prometheus metrics: what exists, with which labels. Each is counted where its event happens.

What a status says already is not counted again but read from the stored objects when Prometheus asks
(``engine.status_metrics``). Never labelled by Kubernetes object name where the number of objects is the user's (NICs),
gauges never end in ``_total``, and label sets of things that are gone are removed (see :func:`forget_cluster`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from pve_evpn import __version__

# Prometheus has the moment a counter began from its first sample; a second series for each would say it again.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client does not annotate it
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

BUILD = Gauge("pve_evpn_build_info", "Always 1; the version is the label.", ["version"], registry=REGISTRY)
BUILD.labels(__version__).set(1)

LEADER = Gauge("pve_evpn_leader", "1 while this replica leads for any cluster.", registry=REGISTRY)
API_REQUESTS = Counter(
    "pve_evpn_api_requests",
    "Requests to Proxmox by outcome.",
    ["cluster", "method", "code"],
    registry=REGISTRY,
)
API_SECONDS = Histogram(
    "pve_evpn_api_request_duration_seconds",
    "How long Proxmox took to answer.",
    ["cluster", "method"],
    registry=REGISTRY,
)
APPLIES = Counter("pve_evpn_apply", "SDN applies by result.", ["cluster", "result"], registry=REGISTRY)
APPLY_SECONDS = Histogram(
    "pve_evpn_apply_duration_seconds",
    "From the apply request until every node had reloaded or was given up.",
    ["cluster"],
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300),
    registry=REGISTRY,
)
PLANNED = Counter(
    "pve_evpn_planned_changes",
    "Steps staged, by kind and verb.",
    ["cluster", "kind", "verb"],
    registry=REGISTRY,
)
NIC_CHANGES = Counter(
    "pve_evpn_nic_changes",
    "Changes of NICs, by the reason of their Event in lower case: attached, pinned, macwithdrawn and so on.",
    ["cluster", "change"],
    registry=REGISTRY,
)
DRIFT = Counter("pve_evpn_drift_detected", "Drifts found.", ["cluster", "kind"], registry=REGISTRY)
REACHABLE = Gauge("pve_evpn_cluster_reachable", "1 while Proxmox answers.", ["cluster"], registry=REGISTRY)
K8S_REQUESTS = Counter("pve_evpn_k8s_requests", "Writes to Kubernetes by outcome.", ["verb", "code"], registry=REGISTRY)
TABLES_REQUESTS = Counter(
    "pve_evpn_tables_requests", "Requests to the endpoint for full tables by HTTP status.", ["code"], registry=REGISTRY
)
WATCH_EVENTS = Counter("pve_evpn_watch_events", "Watch events by kind and type.", ["kind", "type"], registry=REGISTRY)
RECONCILES = Counter("pve_evpn_reconciles", "Syncs by result.", ["cluster", "result"], registry=REGISTRY)
RECONCILE_SECONDS = Histogram("pve_evpn_reconcile_duration_seconds", "One sync.", ["cluster"], registry=REGISTRY)
LAST_OBSERVATION = Gauge(
    "pve_evpn_last_successful_observation_timestamp_seconds",
    "When the node's preferred source last saw it, or first tried to.",
    ["cluster", "node"],
    registry=REGISTRY,
)


# --- BGP and the VNIs, as observed; named by Proxmox' words, absent where no source sees them
SESSION_UP = Gauge(
    "pve_evpn_bgp_session_up",
    "1 while a BGP session (address family l2vpn evpn) is established, else 0.",
    ["cluster", "node", "peer", "vrf"],
    registry=REGISTRY,
)
SESSION_SINCE = Gauge(
    "pve_evpn_bgp_session_established_timestamp_seconds",
    "Since when an established session has been so.",
    ["cluster", "node", "peer", "vrf"],
    registry=REGISTRY,
)
PREFIXES = Gauge(
    "pve_evpn_bgp_prefixes",
    "Prefixes of a session; direction is received or sent.",
    ["cluster", "node", "peer", "vrf", "direction"],
    registry=REGISTRY,
)
VNI_MACS = Gauge(
    "pve_evpn_vni_macs",
    "MAC addresses a node knows in a VNI (L3: router MACs).",
    ["cluster", "node", "vni", "type"],
    registry=REGISTRY,
)
VNI_ARP_ND = Gauge(
    "pve_evpn_vni_arp_nd",
    "ARP and ND entries a node knows in a VNI (L3: next hops).",
    ["cluster", "node", "vni", "type"],
    registry=REGISTRY,
)
VNI_REMOTE_VTEPS = Gauge(
    "pve_evpn_vni_remote_vteps",
    "VTEPs in a node's flood list of a VNI.",
    ["cluster", "node", "vni", "type"],
    registry=REGISTRY,
)
VNI_MISSING_VTEPS = Gauge(
    "pve_evpn_vni_missing_vteps",
    "VTEPs that should be in a node's flood list of a VNI and are not.",
    ["cluster", "node", "vni"],
    registry=REGISTRY,
)

_PER_CLUSTER = (
    REACHABLE,
    LAST_OBSERVATION,
    SESSION_UP,
    SESSION_SINCE,
    PREFIXES,
    VNI_MACS,
    VNI_ARP_ND,
    VNI_REMOTE_VTEPS,
    VNI_MISSING_VTEPS,
)

_COUNTED_PER_CLUSTER = (
    API_REQUESTS,
    API_SECONDS,
    APPLIES,
    APPLY_SECONDS,
    PLANNED,
    NIC_CHANGES,
    DRIFT,
    RECONCILES,
    RECONCILE_SECONDS,
)


def replace(gauge: Gauge, cluster: str, series: Mapping[tuple[str, ...], float]) -> None:
    """Make these, by the labels after ``cluster``, all series a gauge has of a cluster."""
    for labels, value in series.items():
        gauge.labels(cluster, *labels).set(value)
    keep_only(gauge, cluster, series.keys())


def begin(gauge: Gauge, value: float, *labels: str) -> None:
    """Make a series that is not there yet."""
    if labels not in gauge._metrics:
        gauge.labels(*labels).set(value)


def keep_only(metric: Gauge | Counter | Histogram, cluster: str, kept: Collection[tuple[str, ...]]) -> None:
    """Drop a metric's other series of a cluster."""
    for labels in list(metric._metrics):
        if labels and labels[0] == cluster and labels[1:] not in kept:
            metric.remove(*labels)


def forget_cluster(cluster: str, *, is_gone: bool = False) -> None:
    """Drop the gauges of a cluster that this replica no longer serves, so that no alert fires for it.

    ``is_gone``: the ProxmoxCluster was deleted, so what was counted of it goes too.
    """
    for metric in (*_PER_CLUSTER, *(_COUNTED_PER_CLUSTER if is_gone else ())):
        keep_only(metric, cluster, ())
