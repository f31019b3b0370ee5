"""The Grafana dashboards, written from the few lines that matter: a title, a query, a unit.

    python charts/dashboards.py FOLDER            write them anew
    python charts/dashboards.py --check FOLDER    exit 1 if one is not what would be written

Replicas say the same things about the networks, so every gauge is aggregated over them with max; what each replica
does by itself (requests, syncs) is summed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_GREEN, _AMBER, _RED = "green", "orange", "red"
_WIDTH = 24


@dataclass(frozen=True)
class Panel:
    """One panel.

    ``series``: queries by their legend. ``about``: what is counted, for the panel's description. ``kind`` is Grafana's.
    ``bad``: from here on it is red, or with ``good_above`` green. ``columns``: a table's columns by the names that
    Prometheus gives them. ``words``: what a value is called, and its colour. ``absent``: what an empty answer shows.
    """

    title: str
    series: dict[str, str]
    about: str
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 7
    bad: float | None = None
    good_above: bool = False
    columns: dict[str, str] = field(default_factory=dict)
    words: dict[str, tuple[str, str]] = field(default_factory=dict)
    absent: str = "0"

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        place = {"h": self.height, "w": self.width, "x": x, "y": y}
        head = {"id": number, "type": self.kind, "title": self.title, "description": self.about, "gridPos": place}
        if self.kind == "alertlist":
            return {**head, "options": _OPTIONS[self.kind]}
        thresholds: list[dict[str, Any]] = [{"color": _RED if self.good_above else _GREEN, "value": None}]
        if self.bad is not None:
            thresholds.append({"color": _GREEN if self.good_above else _RED, "value": self.bad})
        defaults: dict[str, Any] = {
            "unit": self.unit,
            "noValue": self.absent,
            "thresholds": {"mode": "absolute", "steps": thresholds},
            "mappings": self._mappings(),
        }
        if self.kind == "timeseries":
            defaults |= {"min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
        instant = self.kind in ("stat", "table")
        return {
            **head,
            "datasource": _SOURCE,
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _OPTIONS.get(self.kind, {}),
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": _SOURCE,
                    "expr": query,
                    "legendFormat": legend,
                    "instant": instant,
                    "range": not instant,
                    "format": "table" if self.kind == "table" else "time_series",
                }
                for index, (legend, query) in enumerate(self.series.items())
            ],
            "transformations": self._transformations(),
        }

    def _mappings(self) -> list[dict[str, Any]]:
        if not self.words:
            return []
        options = {
            value: {"text": text, "color": colour, "index": index}
            for index, (value, (text, colour)) in enumerate(self.words.items())
        }
        return [{"type": "value", "options": options}]

    def _transformations(self) -> list[dict[str, Any]]:
        if self.kind != "table":
            return []
        names = [*self.columns, *(f"Value #{chr(ord('A') + index)}" for index in range(len(self.series)))]
        shown = [*self.columns.values(), *self.series]
        if len(self.series) == 1:  # Grafana numbers values only where there are several queries
            names[-1] = "Value"
        renamed = dict(zip(names, shown, strict=True))
        organized = {"excludeByName": {"Time": True}, "renameByName": renamed, "indexByName": _places(names)}
        return [{"id": "merge", "options": {}}, {"id": "organize", "options": organized}]


def _places(names: list[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "state-timeline": {"mergeValues": True, "showValue": "never", "rowHeight": 0.8, "legend": {"showLegend": False}},
    "table": {"showHeader": True},
    "alertlist": {
        "viewMode": "list", "groupMode": "default", "maxItems": 20, "sortOrder": 3, "alertName": "PveEvpn",
        "stateFilter": {"firing": True, "pending": True, "error": True, "noData": False, "normal": False},
    },
}  # fmt: skip
_UP_DOWN = {"1": ("established", _GREEN), "0": ("down", _RED)}
_YES_NO = {"1": ("yes", _GREEN), "0": ("no", _RED)}


def _stat(title: str, query: str, about: str, **options: Any) -> Panel:
    return Panel(title, {"": query}, about, kind="stat", **{"width": 4, "height": 4, **options})


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
    _stat("ProxmoxClusters", "count(max by (cluster) (pve_evpn_cluster_reachable))", "ProxmoxClusters in Kubernetes."),
    _stat(
        "Clusters not reachable",
        "count(max by (cluster) (pve_evpn_cluster_reachable) == 0) or vector(0)",
        "Clusters whose Proxmox does not answer, or refuses certificate or credentials.",
        bad=1,
    ),
    _stat(
        "Objects not Ready",
        'sum(max by (cluster, kind) (pve_evpn_objects{ready="False"})) or vector(0)',
        "Objects of all kinds whose condition Ready is False. Unknown is not counted.",
        bad=1,
    ),
    _stat(
        "Objects that wait for their user",
        "sum(max by (cluster, kind) (pve_evpn_objects_stalled)) or vector(0)",
        "Objects whose condition Stalled is True: only a change of their spec helps.",
        bad=1,
    ),
    _stat(
        "BGP sessions down",
        "count(max by (cluster, node, peer, vrf) (pve_evpn_bgp_session_up) == 0) or vector(0)",
        "Sessions of address family l2vpn evpn that are not established, counted at each end.",
        bad=1,
    ),
    _stat(
        "Replicas that lead",
        "sum(pve_evpn_leader) or vector(0)",
        "Replicas of the operator that lead for at least one cluster.",
        bad=1,
        good_above=True,
    ),
    Panel(
        "Alerts that fire",
        {},
        "Alerts of the operator's PrometheusRule that fire or are pending; each has a runbook.",
        kind="alertlist",
        height=8,
    ),
    Panel(
        "Clusters: objects, nodes, sessions",
        {
            "Ready": 'sum by (cluster) (max by (cluster, kind) (pve_evpn_objects{ready="True"}))',
            "Not Ready": 'sum by (cluster) (max by (cluster, kind) (pve_evpn_objects{ready="False"}))',
            "Unknown": 'sum by (cluster) (max by (cluster, kind) (pve_evpn_objects{ready="Unknown"}))',
            "Nodes online": "sum by (cluster) (max by (cluster, node) (pve_evpn_node_online))",
            "Sessions up": "sum by (cluster) (max by (cluster, node, peer, vrf) (pve_evpn_bgp_session_up))",
        },
        "Objects by their condition Ready, nodes that the Proxmox cluster sees, and established BGP sessions.",
        kind="table",
        width=16,
        height=8,
        columns={"cluster": "Cluster"},
    ),
    Panel(
        "Proxmox reachable",
        {"{{cluster}}": "max by (cluster) (pve_evpn_cluster_reachable)"},
        "Whether Proxmox answers and accepts the credentials, over time.",
        kind="state-timeline",
        words=_YES_NO,
        absent="unknown",
    ),
    Panel(
        "Applies per hour",
        {"{{cluster}} {{result}}": "sum by (cluster, result) (increase(pve_evpn_apply_total[1h]))"},
        "SDN applies of the operator by how they ended.",
    ),
    Panel(
        "Drifts found per hour",
        {"{{cluster}} {{kind}}": "sum by (cluster, kind) (increase(pve_evpn_drift_detected_total[1h]))"},
        "Changes by other clients of what the operator keeps.",
    ),
    Panel(
        "Objects drifted now",
        {"{{cluster}}": "sum by (cluster) (max by (cluster, kind) (pve_evpn_objects_drifted))"},
        "Objects whose condition Drifted is True.",
    ),
    Panel(
        "Objects paused",
        {"{{cluster}} {{kind}}": "max by (cluster, kind) (pve_evpn_objects_paused) > 0"},
        "Objects that their own annotation pauses.",
    ),
    Panel(
        "Requests to Proxmox per second",
        {"{{cluster}} {{code}}": "sum by (cluster, code) (rate(pve_evpn_api_requests_total[5m]))"},
        "HTTP requests to the Proxmox API by status code.",
        unit="reqps",
    ),
    Panel(
        "Proxmox' time to answer (95 %)",
        {
            "{{cluster}} {{method}}": "histogram_quantile(0.95, sum by (le, cluster, method) "
            "(rate(pve_evpn_api_request_duration_seconds_bucket[5m])))"
        },
        "95 of 100 requests were answered in less.",
        unit="s",
    ),
    Panel(
        "Writes to Kubernetes per second",
        {"{{verb}} {{code}}": "sum by (verb, code) (rate(pve_evpn_k8s_requests_total[5m]))"},
        "PATCHes and other writes to the Kubernetes API by status code.",
        unit="reqps",
    ),
    Panel(
        "Watch events per second",
        {"{{kind}} {{type}}": "sum by (kind, type) (rate(pve_evpn_watch_events_total[5m]))"},
        "Changes of objects that the Kubernetes API reported.",
        unit="ops",
    ),
    Panel(
        "Credentials end in",
        {"{{cluster}}": "max by (cluster) (pve_evpn_token_expiry_timestamp_seconds) - time()"},
        "Time until the API token or its user expires; empty where it never does.",
        unit="s",
        absent="never",
    ),
    Panel(
        "Memory of the replicas",
        {"{{instance}}": 'process_resident_memory_bytes{job=~".*pve-evpn.*"}'},
        "Resident memory of each process.",
        unit="bytes",
    ),
    Panel(
        "Replicas by version",
        {"{{version}}": "count by (version) (pve_evpn_build_info)"},
        "Running processes by the release of the operator; two versions during an upgrade.",
    ),
]

CLUSTER = [
    _stat(
        "Proxmox reachable",
        f"max(pve_evpn_cluster_reachable{{{_IN_CLUSTER}}})",
        "Whether Proxmox answers and accepts the credentials.",
        bad=1,
        good_above=True,
        words=_YES_NO,
        absent="unknown",
    ),
    _stat(
        "Nodes offline",
        f"count(max by (node) (pve_evpn_node_online{{{_IN_CLUSTER}}}) == 0) or vector(0)",
        "Nodes that the Proxmox cluster does not see.",
        bad=1,
    ),
    _stat(
        "Nodes not programmed",
        f"count(max by (node) (pve_evpn_node_programmed{{{_IN_CLUSTER}}}) == 0) or vector(0)",
        "Nodes whose last reload failed: they run an older configuration.",
        bad=1,
    ),
    _stat(
        "BGP sessions down",
        f"count(max by (node, peer, vrf) (pve_evpn_bgp_session_up{{{_IN_CLUSTER}}}) == 0) or vector(0)",
        "Sessions of address family l2vpn evpn that are not established, counted at each end.",
        bad=1,
    ),
    _stat(
        "SDN lock of another client",
        f"max(pve_evpn_sdn_lock_held_seconds{{{_IN_CLUSTER}}})",
        "How long another client has held Proxmox' SDN lock; 0 while it is free or the operator's.",
        unit="s",
        bad=60,
    ),
    _stat(
        "Plan waits for",
        f"max(pve_evpn_pending_plan_age_seconds{{{_IN_CLUSTER}}})",
        "How long a plan has been waiting for approval or a window; 0 where none does.",
        unit="s",
        bad=86400,
    ),
    Panel(
        "BGP sessions",
        {"{{node}} - {{peer}}": f"max by (node, peer) (pve_evpn_bgp_session_up{{{_IN_CLUSTER}}})"},
        "Each session as each of its ends has it, over time.",
        kind="state-timeline",
        width=16,
        height=9,
        words=_UP_DOWN,
        absent="unknown",
    ),
    Panel(
        "Sessions established since",
        {"Since": f"max by (node, peer) (pve_evpn_bgp_session_established_timestamp_seconds{{{_IN_CLUSTER}}}) * 1000"},
        "When each session that is up came up.",
        kind="table",
        height=9,
        unit="dateTimeFromNow",
        columns={"node": "Node", "peer": "Peer"},
    ),
    Panel(
        "Prefixes received per session",
        {"{{node}} - {{peer}}": f'max by (node, peer) (pve_evpn_bgp_prefixes{{{_IN_CLUSTER},direction="received"}})'},
        "EVPN routes that a node has from a peer.",
    ),
    Panel(
        "VTEPs missing from flood lists",
        {"{{node}} {{vni}}": f"max by (node, vni) (pve_evpn_vni_missing_vteps{{{_IN_CLUSTER}}}) > 0"},
        "Nodes whose VTEP should be in a node's flood list of a VNI and is not; only those above zero are drawn.",
    ),
    Panel(
        "Age of the last observation",
        {
            "{{node}}": "time() - max by (node) "
            f"(pve_evpn_last_successful_observation_timestamp_seconds{{{_IN_CLUSTER}}})"
        },
        "Since when the preferred source has not seen the node.",
        unit="s",
    ),
    Panel(
        "Objects by kind and Ready",
        {"{{kind}} {{ready}}": f"max by (kind, ready) (pve_evpn_objects{{{_IN_CLUSTER}}}) > 0"},
        "Objects by their condition Ready.",
    ),
    Panel(
        "Edits staged and not applied",
        {"{{owner}}": f"max by (owner) (pve_evpn_pending_objects{{{_IN_CLUSTER}}})"},
        "What the next apply would publish: of the operator, of other clients, and nodes with staged network edits.",
    ),
    Panel(
        "Steps staged per hour",
        {"{{verb}} {{kind}}": f"sum by (kind, verb) (increase(pve_evpn_planned_changes_total{{{_IN_CLUSTER}}}[1h]))"},
        "Objects that the operator created, updated and deleted in Proxmox' SDN.",
    ),
    Panel(
        "How long an apply takes (95 %)",
        {
            "until all nodes reloaded": "histogram_quantile(0.95, sum by (le) "
            f"(rate(pve_evpn_apply_duration_seconds_bucket{{{_IN_CLUSTER}}}[1h])))"
        },
        "From the request until every node has reloaded; 95 of 100 applies took less.",
        unit="s",
    ),
    Panel(
        "Syncs per second",
        {"{{result}}": f"sum by (result) (rate(pve_evpn_reconciles_total{{{_IN_CLUSTER}}}[5m]))"},
        "Syncs of this cluster by how they ended.",
        unit="ops",
    ),
    Panel(
        "How long a sync takes (95 %)",
        {
            "sync": "histogram_quantile(0.95, sum by (le) "
            f"(rate(pve_evpn_reconcile_duration_seconds_bucket{{{_IN_CLUSTER}}}[5m])))"
        },
        "95 of 100 syncs took less.",
        unit="s",
    ),
    Panel(
        "Last transaction",
        {"Ended": f"max by (outcome) (pve_evpn_last_transaction_timestamp_seconds{{{_IN_CLUSTER}}}) * 1000"},
        "How the last transaction that staged or applied something ended, and when.",
        kind="table",
        unit="dateTimeFromNow",
        columns={"outcome": "Outcome"},
    ),
    Panel(
        "Changes of NICs per hour",
        {"{{change}}": f"sum by (change) (increase(pve_evpn_nic_changes_total{{{_IN_CLUSTER}}}[1h]))"},
        "NICs that the operator attached, updated, detached and pinned.",
    ),
]

VNET = [
    Panel(
        "VNI and zone",
        {"": f"max by (vni, zone) (pve_evpn_vnet_info{{{_IN_VNET}}})"},
        "The VNet's L2 VNI and its zone in Proxmox.",
        "table",
        width=4,
        height=4,
        columns={"vni": "VNI", "zone": "Zone"},
    ),
    _stat(
        "Nodes that have it",
        f'max(pve_evpn_vnet_nodes{{{_IN_VNET},state="Available"}})',
        "Nodes that report the VNet as available.",
    ),
    _stat(
        "Nodes that lack it",
        f'sum(max by (state) (pve_evpn_vnet_nodes{{{_IN_VNET},state!="Available"}})) or vector(0)',
        "Nodes that should have the VNet and report another state.",
        bad=1,
    ),
    _stat(
        "NicAttachments",
        f"sum(max by (verdict, pinned) (pve_evpn_nics{{{_IN_VNET}}})) or vector(0)",
        "NicAttachments on the VNet.",
    ),
    _stat(
        "NICs duplicate, zombie or on the wrong node",
        f"sum(max by (verdict, pinned) (pve_evpn_nics{{{_IN_VNET},{_IN_TROUBLE}}})) or vector(0)",
        "NICs whose MAC address is advertised by several nodes, by a node without it, or by another node.",
        bad=1,
    ),
    _stat(
        "VTEPs missing from flood lists",
        f"sum(max by (node) (pve_evpn_vni_missing_vteps{{{_IN_VNI}}})) or vector(0)",
        "Over all nodes of the VNI.",
        bad=1,
    ),
    Panel(
        "NICs by the state of their MAC",
        {
            "{{verdict}}, pinned: {{pinned}}": f"max by (verdict, pinned) (pve_evpn_nics{{{_IN_VNET}}})",
        },
        "What EVPN says of the MAC address of each NicAttachment.",
        width=12,
    ),
    Panel(
        "Nodes by the VNet's state",
        {"{{state}}": f"max by (state) (pve_evpn_vnet_nodes{{{_IN_VNET}}})"},
        "What Proxmox says of the VNet on its nodes.",
        width=12,
    ),
    Panel(
        "MAC addresses per node",
        {"{{node}}": f"max by (node) (pve_evpn_vni_macs{{{_IN_VNI}}})"},
        "MAC addresses that a node knows in the VNI, local and remote.",
    ),
    Panel(
        "ARP and ND entries per node",
        {"{{node}}": f"max by (node) (pve_evpn_vni_arp_nd{{{_IN_VNI}}})"},
        "Neighbours that a node knows in the VNI.",
    ),
    Panel(
        "VTEPs in the flood list",
        {"{{node}}": f"max by (node) (pve_evpn_vni_remote_vteps{{{_IN_VNI}}})"},
        "Other nodes to which a node sends broadcasts of the VNI.",
    ),
    Panel(
        "VTEPs missing from the flood list",
        {"{{node}}": f"max by (node) (pve_evpn_vni_missing_vteps{{{_IN_VNI}}})"},
        "Nodes that should be in a node's flood list and are not: broadcasts do not reach their guests.",
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
        "annotations": {"list": [_applies(_CLUSTER in variables)]},
        "panels": _placed(panels),
    }


def _applies(of_one: bool) -> dict[str, Any]:
    """A line in every graph where an apply ended; the hint names its result."""
    where = f"{{{_IN_CLUSTER}}}" if of_one else ""
    return {
        "name": "Applies",
        "enable": True,
        "iconColor": "blue",
        "datasource": _SOURCE,
        "expr": f"sum by (cluster, result) (increase(pve_evpn_apply_total{where}[1m])) > 0",
        "step": "1m",
        "titleFormat": "Apply on {{cluster}}: {{result}}",
        "useValueForTime": False,
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
