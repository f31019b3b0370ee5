"""Every query of a dashboard or an alert asks for what the running operator really exports, by the right labels."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from charts import dashboards
from pve_evpn import metrics
from pve_evpn.engine import collector
from pve_lab.faults import foreign_edit
from pve_lab.lab import Lab, seed
from tests.alerts.queries import asked
from tests.alerts.test_rules import ALERTS
from tests.e2e.stack import Stack
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "charts/pve-evpn-operator/dashboards"
#: Not among the samples of this stack, whose source of BGP cannot tell: their labels are those they are declared with.
DECLARED: dict[str, Any] = {
    "pve_evpn_vni_missing_vteps": metrics.VNI_MISSING_VTEPS,
    "pve_evpn_exit_node_usable": collector._families()["exit_node_usable"],
}
SINCE_SOMETHING_ONLY = {
    "pve_evpn_nic_changes_total", "pve_evpn_token_expiry_timestamp_seconds", "pve_evpn_paused_since_timestamp_seconds",
}  # fmt: skip

#: What frr_exporter says on a node with one neighbour and both VNIs.
FRR = """\
frr_collector_up{collector="bgpl2vpn"} 1
frr_bgp_peer_state{afi="l2vpn",local_as="65001",peer="127.0.0.12",peer_as="65001",safi="evpn",vrf="default"} 1
frr_bgp_peer_uptime_seconds{afi="l2vpn",local_as="65001",peer="127.0.0.12",peer_as="65001",safi="evpn"} 90
frr_bgp_peer_prefixes_received_count_total{afi="l2vpn",peer="127.0.0.12",safi="evpn"} 3
frr_bgp_l2vpn_evpn_mac_count_total{tenantVrf="default",type="L2",vni="5001",vxlanIf="vxlan_EVPN1"} 2
frr_bgp_l2vpn_evpn_arp_nd_count_total{tenantVrf="default",type="L2",vni="5001",vxlanIf="vxlan_EVPN1"} 2
frr_bgp_l2vpn_evpn_remote_vtep_count_total{tenantVrf="default",type="L2",vni="5001",vxlanIf="vxlan_EVPN1"} 1
"""


def queries() -> list[tuple[str, str]]:
    """Where a query stands, and the query."""
    found = [(f"alert {name}", rule["expr"]) for name, rule in ALERTS.items()]
    for name in dashboards.DASHBOARDS:
        board = json.loads((FOLDER / f"{name}.json").read_text())
        for panel in board["panels"]:
            found += [(f"{name}: {panel['title']}", target["expr"]) for target in panel.get("targets", [])]
        found += [(f"{name}: annotation {each['name']}", each["expr"]) for each in board["annotations"]["list"]]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                found.append((f"{name}: ${variable['name']}", variable["query"]["query"]))
    return found


class Exported(dict[str, set[str]]):
    """Metric names, as queries spell them, and the labels their samples have."""

    def __init__(self, exposition: str) -> None:
        super().__init__()
        for family in text_string_to_metric_families(exposition):
            spelled = f"{family.name}_total" if family.type == "counter" else family.name
            self.setdefault(spelled, set())
            for sample in family.samples:
                self.setdefault(sample.name, set()).update(sample.labels)


@pytest.fixture
def frr_exporter() -> Iterator[int]:
    """One server for all nodes' exporters: the lab's nodes get addresses on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(FRR.encode())

        def log_message(self, *_: Any) -> None:
            """The test's output is not the place."""

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()


@pytest.fixture
def exported(cluster: ControlPlane, tmp_path: Path, frr_exporter: int) -> Iterator[Exported]:
    """What an operator exports that has had something to do: an apply, a drift, a NIC, a stranger's edit."""
    lab = Lab(["pve1", "pve2"], task_seconds=0.2)
    seed(lab)
    for number, node in enumerate(lab.nodes.values(), 11):
        node.address = f"127.0.0.{number}"
    lab.guests[100].node = "pve1"
    stack = Stack(cluster, lab, tmp_path)
    stack.prepare()
    stack.observe = {
        "intervalSeconds": 2, "sources": ["frrExporter", "api"], "frrExporter": {"port": frr_exporter},
        "allowedNetworks": ["127.0.0.0/8"],
    }  # fmt: skip
    stack.start_operator()
    try:
        documents = stack.seed()
        stack.apply(*documents)
        stack.await_condition(documents[3], "Programmed", "Programmed", 60)
        stack.await_condition(documents[4], "Programmed", "Programmed", 60)
        foreign_edit(lab, "vnets/EVPN1", {"tag": "5999"})
        await_("the drift is counted", lambda: stack.metric("pve_evpn_drift_detected_total"))
        await_("sessions are seen", lambda: stack.metric("pve_evpn_bgp_session_up"))
        yield Exported(stack.exposition().partition("\r\n\r\n")[2])
    finally:
        print("\n".join(stack.log.read_text().splitlines()[-40:]))
        stack.delete_all()
        stack.close()


def test_the_dashboards_are_those_that_would_be_written() -> None:
    assert dashboards.main(["--check", str(FOLDER)]) == 0
    assert {path.stem for path in FOLDER.glob("*.json")} == set(dashboards.DASHBOARDS)


def test_every_panel_says_what_it_counts_and_what_an_empty_answer_means() -> None:
    for name in dashboards.DASHBOARDS:
        board = dashboards.dashboard(name)
        for panel in board["panels"]:
            place = f"{name}: {panel['title']}"
            assert len(panel["description"]) > 15, place
            if panel["type"] == "alertlist":
                continue
            assert panel["fieldConfig"]["defaults"]["noValue"], place
            assert all(target["legendFormat"] or panel["type"] in ("stat", "table") for target in panel["targets"]), (
                place
            )
            if panel["type"] == "table":  # no column has the name that Prometheus gave it
                organized = panel["transformations"][1]["options"]
                labels = re.findall(r"by \(([^)]*)\)", panel["targets"][0]["expr"])[0].split(", ")
                assert set(labels) <= set(organized["renameByName"]), place
            if panel["type"] == "state-timeline":
                assert panel["fieldConfig"]["defaults"]["mappings"], place
        places = [panel["gridPos"] for panel in board["panels"]]
        taken = [
            (x, y)
            for at in places
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]
        assert len(set(taken)) == len(taken), f"{name}: panels overlap"
        assert max(at["x"] + at["w"] for at in places) <= 24


def test_what_a_query_asks_for() -> None:
    query = 'sum by (cluster, node) (max by (node) (pve_evpn_a{x="1",y!~"z"})) / on (node) pve_evpn_b_total'
    assert list(asked(query)) == [
        ("pve_evpn_a", {"cluster", "node", "x", "y"}),
        ("pve_evpn_b_total", {"cluster", "node"}),
    ]
    assert list(asked('label_values(pve_evpn_a{x="1"}, vnet)')) == [("pve_evpn_a", {"x", "vnet"})]


def test_every_query_is_promql(promtool: Any, tmp_path: Path) -> None:
    rules = [
        {"record": f"q{number}", "expr": expr.replace("$cluster", "c").replace("$vnet", "v").replace("$vni", "1")}
        for number, (_, expr) in enumerate(queries())
        if not expr.startswith("label_values")
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    checked = promtool("check", "rules", "--lint=none", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.kube
def test_every_query_finds_what_it_asks_for(exported: Exported) -> None:
    missing, blind = [], set()
    for where, query in queries():
        for name, labels in asked(query):
            if name not in exported:
                missing.append(f"{where}: there is no {name}")
                continue
            has = exported[name] or set(DECLARED[name]._labelnames) if name in DECLARED else exported[name]
            if not has and labels:
                blind.add(name)
            elif lacking := labels - has - {"le"}:
                missing.append(f"{where}: {name} has no label {', '.join(sorted(lacking))}")
    assert missing == []
    assert blind <= SINCE_SOMETHING_ONLY, "no sample was seen of these, so their labels were not checked"


@pytest.mark.kube
def test_nothing_is_exported_that_no_page_explains(exported: Exported) -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    told = {name for name in exported if not name.endswith(("_bucket", "_sum", "_count", "_created"))}
    assert {name for name in told if f"`{name}`" not in page} == set()
