"""The Grafana dashboards, written from the few lines that matter: a title, a query, a unit.

    python charts/dashboards.py FOLDER            write them anew
    python charts/dashboards.py --check FOLDER    exit 1 if one is not what would be written

Replicas say the same things about the networks, so every gauge is aggregated over them with max; what each replica
does by itself (requests, passes) is summed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_GREEN, _AMBER, _RED = "green", "orange", "red"
_WIDTH = 24


@dataclass(frozen=True)
class Panel:
    """One panel. ``kind`` is Grafana's; ``series`` are queries by their legend; ``bad``: from here on it is red."""

    title: str
    series: dict[str, str]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 7
    bad: float | None = None
    good_above: bool = False
    about: str = ""

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        thresholds: list[dict[str, Any]] = [{"color": _RED if self.good_above else _GREEN, "value": None}]
        if self.bad is not None:
            thresholds.append({"color": _GREEN if self.good_above else _RED, "value": self.bad})
        defaults: dict[str, Any] = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": thresholds}}
        if self.kind == "timeseries":
            defaults |= {"min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": _SOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _OPTIONS.get(self.kind, {}),
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": _SOURCE,
                    "expr": query,
                    "legendFormat": legend,
                    "instant": self.kind in ("stat", "table"),
                    "range": self.kind not in ("stat", "table"),
                    "format": "table" if self.kind == "table" else "time_series",
                }
                for index, (legend, query) in enumerate(self.series.items())
            ],
            "transformations": [{"id": "merge", "options": {}}, _NO_TIME] if self.kind == "table" else [],
        }


_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "table": {"showHeader": True},
}
_NO_TIME = {"id": "organize", "options": {"excludeByName": {"Time": True}}}


def _stat(title: str, query: str, **options: Any) -> Panel:
    return Panel(title, {"": query}, kind="stat", **{"width": 4, "height": 4, **options})


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


_CLUSTER = _variable("cluster", "Cluster", "label_values(pve_evpn_cluster_reachable, cluster)")
_IN_CLUSTER = 'cluster="$cluster"'
_IN_VNET = 'cluster="$cluster",vnet="$vnet"'
_IN_TROUBLE = 'verdict=~"Duplicate|Zombie|WrongNode"'
_IN_VNI = 'cluster="$cluster",vni="$vni"'

FLEET = [
    _stat("Clusters", "count(max by (cluster) (pve_evpn_cluster_reachable))"),
    _stat("Out of reach", "count(max by (cluster) (pve_evpn_cluster_reachable) == 0) or vector(0)", bad=1),
    _stat("Objects not ready", 'sum(max by (cluster, kind) (pve_evpn_objects{ready="False"}))', bad=1),
    _stat("Waiting for their author", "sum(max by (cluster, kind) (pve_evpn_objects_stalled))", bad=1),
    _stat(
        "BGP sessions down",
        "count(max by (cluster, node, peer, vrf) (pve_evpn_bgp_session_up) == 0) or vector(0)",
        bad=1,
    ),
    _stat("Replicas leading", "sum(pve_evpn_leader)", bad=1, good_above=True),
    Panel(
        "Clusters",
        {
            "ready": 'sum by (cluster) (max by (cluster, kind) (pve_evpn_objects{ready="True"}))',
            "not ready": 'sum by (cluster) (max by (cluster, kind) (pve_evpn_objects{ready="False"}))',
            "unknown": 'sum by (cluster) (max by (cluster, kind) (pve_evpn_objects{ready="Unknown"}))',
            "reachable": "max by (cluster) (pve_evpn_cluster_reachable)",
            "nodes online": "sum by (cluster) (max by (cluster, node) (pve_evpn_node_online))",
            "sessions up": "sum by (cluster) (max by (cluster, node, peer, vrf) (pve_evpn_bgp_session_up))",
        },
        kind="table",
        width=_WIDTH,
        about="Values in the order ready, not ready, unknown, reachable, nodes online, sessions up.",
    ),
    Panel(
        "Applies per hour", {"{{cluster}} {{result}}": "sum by (cluster, result) (increase(pve_evpn_apply_total[1h]))"}
    ),
    Panel(
        "Drift found per hour",
        {"{{cluster}} {{kind}}": "sum by (cluster, kind) (increase(pve_evpn_drift_detected_total[1h]))"},
    ),
    Panel("Objects drifted", {"{{cluster}}": "sum by (cluster) (max by (cluster, kind) (pve_evpn_objects_drifted))"}),
    Panel(
        "Requests to Proxmox",
        {"{{cluster}} {{code}}": "sum by (cluster, code) (rate(pve_evpn_api_requests_total[5m]))"},
        unit="reqps",
    ),
    Panel(
        "Proxmox' time to answer (95 %)",
        {
            "{{cluster}} {{method}}": "histogram_quantile(0.95, sum by (le, cluster, method) "
            "(rate(pve_evpn_api_request_duration_seconds_bucket[5m])))"
        },
        unit="s",
    ),
    Panel(
        "Writes to Kubernetes",
        {"{{verb}} {{code}}": "sum by (verb, code) (rate(pve_evpn_k8s_requests_total[5m]))"},
        unit="reqps",
    ),
    Panel(
        "Watch events",
        {"{{kind}} {{type}}": "sum by (kind, type) (rate(pve_evpn_watch_events_total[5m]))"},
        unit="ops",
    ),
    Panel(
        "Credentials end in",
        {"{{cluster}}": "max by (cluster) (pve_evpn_token_expiry_timestamp_seconds) - time()"},
        unit="s",
    ),
    Panel("Versions", {"{{version}}": "count by (version) (pve_evpn_build_info)"}),
]

CLUSTER = [
    _stat("Reachable", f"max(pve_evpn_cluster_reachable{{{_IN_CLUSTER}}})", bad=1, good_above=True),
    _stat("Nodes offline", f"count(max by (node) (pve_evpn_node_online{{{_IN_CLUSTER}}}) == 0) or vector(0)", bad=1),
    _stat(
        "Nodes behind",
        f"count(max by (node) (pve_evpn_node_programmed{{{_IN_CLUSTER}}}) == 0) or vector(0)",
        bad=1,
        about="Their last reload failed.",
    ),
    _stat(
        "Sessions down",
        f"count(max by (node, peer, vrf) (pve_evpn_bgp_session_up{{{_IN_CLUSTER}}}) == 0) or vector(0)",
        bad=1,
    ),
    _stat("SDN lock of others", f"max(pve_evpn_sdn_lock_held_seconds{{{_IN_CLUSTER}}})", unit="s", bad=60),
    _stat("Plan waits", f"max(pve_evpn_pending_plan_age_seconds{{{_IN_CLUSTER}}})", unit="s", bad=86400),
    Panel(
        "BGP sessions",
        {"{{node}} - {{peer}}": f"max by (node, peer) (pve_evpn_bgp_session_up{{{_IN_CLUSTER}}})"},
        about="1 while established.",
    ),
    Panel(
        "Sessions established since",
        {"": f"max by (node, peer) (pve_evpn_bgp_session_established_timestamp_seconds{{{_IN_CLUSTER}}}) * 1000"},
        kind="table",
        unit="dateTimeFromNow",
    ),
    Panel(
        "Prefixes received",
        {"{{node}} - {{peer}}": f'max by (node, peer) (pve_evpn_bgp_prefixes{{{_IN_CLUSTER},direction="received"}})'},
    ),
    Panel(
        "VTEPs missing from flood lists",
        {"{{node}} {{vni}}": f"max by (node, vni) (pve_evpn_vni_missing_vteps{{{_IN_CLUSTER}}}) > 0"},
    ),
    Panel(
        "Age of the last observation",
        {
            "{{node}}": "time() - max by (node) "
            f"(pve_evpn_last_successful_observation_timestamp_seconds{{{_IN_CLUSTER}}})"
        },
        unit="s",
    ),
    Panel(
        "Objects by what Ready says",
        {"{{kind}} {{ready}}": f"max by (kind, ready) (pve_evpn_objects{{{_IN_CLUSTER}}}) > 0"},
    ),
    Panel("Staged and not applied", {"{{owner}}": f"max by (owner) (pve_evpn_pending_objects{{{_IN_CLUSTER}}})"}),
    Panel(
        "Steps staged per hour",
        {"{{verb}} {{kind}}": f"sum by (kind, verb) (increase(pve_evpn_planned_changes_total{{{_IN_CLUSTER}}}[1h]))"},
    ),
    Panel(
        "How long an apply takes (95 %)",
        {
            "until all nodes reloaded": "histogram_quantile(0.95, sum by (le) "
            f"(rate(pve_evpn_apply_duration_seconds_bucket{{{_IN_CLUSTER}}}[1h])))"
        },
        unit="s",
    ),
    Panel(
        "Passes",
        {"{{result}}": f"sum by (result) (rate(pve_evpn_reconciles_total{{{_IN_CLUSTER}}}[5m]))"},
        unit="ops",
    ),
    Panel(
        "How long a sync takes (95 %)",
        {
            "pass": "histogram_quantile(0.95, sum by (le) "
            f"(rate(pve_evpn_reconcile_duration_seconds_bucket{{{_IN_CLUSTER}}}[5m])))"
        },
        unit="s",
    ),
    Panel(
        "The last transaction",
        {"": f"max by (outcome) (pve_evpn_last_transaction_timestamp_seconds{{{_IN_CLUSTER}}}) * 1000"},
        kind="table",
        unit="dateTimeFromNow",
    ),
    Panel(
        "Changes of NICs per hour",
        {"{{change}}": f"sum by (change) (increase(pve_evpn_nic_changes_total{{{_IN_CLUSTER}}}[1h]))"},
    ),
]

VNET = [
    Panel("VNI and zone", {"": f"max by (vni, zone) (pve_evpn_vnet_info{{{_IN_VNET}}})"}, "table", width=4, height=4),
    _stat("Nodes that have it", f'max(pve_evpn_vnet_nodes{{{_IN_VNET},state="Available"}})'),
    _stat(
        "Nodes that should",
        f'sum(max by (state) (pve_evpn_vnet_nodes{{{_IN_VNET},state!="Available"}})) or vector(0)',
        bad=1,
    ),
    _stat("NICs", f"sum(max by (verdict, pinned) (pve_evpn_nics{{{_IN_VNET}}}))"),
    _stat(
        "NICs in trouble",
        f"sum(max by (verdict, pinned) (pve_evpn_nics{{{_IN_VNET},{_IN_TROUBLE}}})) or vector(0)",
        bad=1,
    ),
    _stat("VTEPs missing", f"sum(max by (node) (pve_evpn_vni_missing_vteps{{{_IN_VNI}}}))", bad=1),
    Panel(
        "NICs by what EVPN says of their MAC",
        {
            "{{verdict}}, pinned: {{pinned}}": f"max by (verdict, pinned) (pve_evpn_nics{{{_IN_VNET}}})",
        },
        width=12,
    ),
    Panel("Nodes by state", {"{{state}}": f"max by (state) (pve_evpn_vnet_nodes{{{_IN_VNET}}})"}, width=12),
    Panel("MAC addresses known", {"{{node}}": f"max by (node) (pve_evpn_vni_macs{{{_IN_VNI}}})"}),
    Panel("ARP and ND entries", {"{{node}}": f"max by (node) (pve_evpn_vni_arp_nd{{{_IN_VNI}}})"}),
    Panel("VTEPs in the flood list", {"{{node}}": f"max by (node) (pve_evpn_vni_remote_vteps{{{_IN_VNI}}})"}),
    Panel(
        "VTEPs missing from the flood list",
        {"{{node}}": f"max by (node) (pve_evpn_vni_missing_vteps{{{_IN_VNI}}})"},
        width=_WIDTH,
    ),
]

DASHBOARDS: dict[str, tuple[str, list[Panel], list[dict[str, Any]]]] = {
    "fleet": ("EVPN on Proxmox: fleet", FLEET, []),
    "cluster": ("EVPN on Proxmox: one cluster", CLUSTER, [_CLUSTER]),
    "vnet": (
        "EVPN on Proxmox: one VNet",
        VNET,
        [
            _CLUSTER,
            _variable("vnet", "VNet", f"label_values(pve_evpn_vnet_info{{{_IN_CLUSTER}}}, vnet)"),
            _variable("vni", "VNI", f"label_values(pve_evpn_vnet_info{{{_IN_VNET}}}, vni)"),
        ],
    ),
}


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard, as Grafana imports it."""
    title, panels, variables = DASHBOARDS[name]
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return {
        "uid": f"pve-evpn-{name}",
        "title": title,
        "tags": ["pve-evpn"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{"type": "dashboards", "title": "EVPN on Proxmox", "tags": ["pve-evpn"], "keepTime": True}],
        "templating": {"list": [source, *variables]},
        "panels": _placed(panels),
    }


def _placed(panels: list[Panel]) -> list[dict[str, Any]]:
    """Left to right, and a new row where one is full."""
    placed, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _WIDTH:
            x, y, tallest = 0, y + tallest, 0
        placed.append(panel.json(number, x, y))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return placed


def render(name: str) -> str:
    return json.dumps(dashboard(name), indent=2) + "\n"


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python charts/dashboards.py", description="Write the Grafana dashboards.")
    parser.add_argument("--check", action="store_true", help="only say which files are not current")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args(argv)
    stale = 0
    for name in DASHBOARDS:
        file = args.folder / f"{name}.json"
        if file.exists() and file.read_text() == render(name):
            continue
        stale = 1
        sys.stdout.write(f"{'stale' if args.check else 'writing'} {file}\n")
        if not args.check:
            file.write_text(render(name))
    return stale if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
