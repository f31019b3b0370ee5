"""Every alert, by the real promtool: it fires for what it names, not before its time, and not in a healthy world."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Counter, Gauge

from pve_evpn import metrics
from pve_evpn.engine import collector as status_metrics

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts/pve-evpn-operator/rules/pve-evpn.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}

#: Two replicas say the same; no alert may count them twice.
REPLICAS = ('instance="a"', 'instance="b"')
DAY = 86400


@dataclass(frozen=True)
class Fires:
    """``series`` (in promtool's notation, a sample a minute) make the alert fire at minute ``at``, not ``not_yet``."""

    alert: str
    series: dict[str, str]
    at: int
    not_yet: int
    labels: dict[str, str]
    summary: str
    replicas: tuple[str, ...] = field(default=REPLICAS)

    def input_series(self) -> list[dict[str, str]]:
        made = []
        for name, values in self.series.items():
            for replica in self.replicas:
                metric, _, labels = name.partition("{")
                inner = ",".join(part for part in (labels.rstrip("}"), replica) if part)
                made.append({"series": f"{metric}{{{inner}}}", "values": values})
        return made


CASES = [
    Fires(
        "PveEvpnOperatorDown",
        {'pve_evpn_build_info{version="0.1.0"}': "1x10 stale"},
        at=16,
        not_yet=14,
        labels={},
        summary="No pve-evpn-operator is being scraped.",
    ),
    Fires(
        "PveEvpnNoLeader",
        {"pve_evpn_leader": "1 0x20"},
        at=4,
        not_yet=2,
        labels={},
        summary="No replica of pve-evpn-operator holds the Lease.",
    ),
    Fires(
        "PveEvpnClusterWithoutLeader",
        {'pve_evpn_cluster_leader{cluster="pve"}': "1 0x20", 'pve_evpn_cluster_leader{cluster="other"}': "1x20"},
        at=4,
        not_yet=2,
        labels={"cluster": "pve"},
        summary="No replica of pve-evpn-operator leads for the Proxmox cluster pve.",
    ),
    Fires(
        "PveEvpnClusterUnreachable",
        {'pve_evpn_cluster_reachable{cluster="pve"}': "1 0x20", 'pve_evpn_cluster_reachable{cluster="other"}': "1x20"},
        at=7,
        not_yet=5,
        labels={"cluster": "pve"},
        summary="The Proxmox cluster pve cannot be used.",
    ),
    Fires(
        "PveEvpnTokenExpires",
        {'pve_evpn_token_expiry_timestamp_seconds{cluster="pve"}': f"{14 * DAY + 300}x20"},
        at=6,
        not_yet=5,
        labels={"cluster": "pve"},
        summary="The API token for pve expires in 13d 23h 59m 0s.",
    ),
    Fires(
        "PveEvpnApplyFailed",
        {
            'pve_evpn_transaction_failed{cluster="pve",outcome="StagingFailed"}': "1x3 0x20",
            'pve_evpn_transaction_failed{cluster="pve",outcome="ApplyFailed"}': "0x2 1x20",
        },
        at=8,
        not_yet=7,
        labels={"cluster": "pve", "outcome": "ApplyFailed"},
        summary="A transaction on pve ended with ApplyFailed, and its effect is still there.",
    ),
    Fires(
        "PveEvpnNodeNotProgrammed",
        {
            'pve_evpn_node_programmed{cluster="pve",node="pve1"}': "1x20",
            'pve_evpn_node_programmed{cluster="pve",node="pve2"}': "0x20",
        },
        at=10,
        not_yet=9,
        labels={"cluster": "pve", "node": "pve2"},
        summary="Node pve2 of pve did not load the last configuration.",
    ),
    Fires(
        "PveEvpnSdnLockHeld",
        {'pve_evpn_sdn_lock_held_seconds{cluster="pve"}': "0+60x20"},
        at=16,
        not_yet=15,
        labels={"cluster": "pve"},
        summary="Another client has held the SDN lock of pve for 16m 0s.",
    ),
    Fires(
        "PveEvpnForeignPending",
        {
            'pve_evpn_pending_objects{cluster="pve",owner="foreign"}': "2x90",
            'pve_evpn_pending_objects{cluster="pve",owner="self"}': "7x90",
            'pve_evpn_pending_objects{cluster="pve",owner="host-network"}': "0x90",
        },
        at=60,
        not_yet=59,
        labels={"cluster": "pve", "owner": "foreign"},
        summary="Staged edits of others (foreign: 2) have waited on pve for an hour.",
    ),
    Fires(
        "PveEvpnPlanWaits",
        {'pve_evpn_pending_plan_age_seconds{cluster="pve"}': f"{DAY - 300}+60x20"},
        at=6,
        not_yet=5,
        labels={"cluster": "pve"},
        summary="A plan for pve has been waiting for 1d 0h 1m 0s.",
    ),
    Fires(
        "PveEvpnObjectsStalled",
        {'pve_evpn_objects_stalled{cluster="pve",kind="VNet"}': "3x40"},
        at=30,
        not_yet=29,
        labels={"cluster": "pve", "kind": "VNet"},
        summary="3 objects of kind VNet (cluster pve) need a change by their user.",
    ),
    Fires(
        "PveEvpnDriftFight",
        {'pve_evpn_objects_in_drift_fight{cluster="pve",kind="VNet"}': "2x40"},
        at=15,
        not_yet=14,
        labels={"cluster": "pve", "kind": "VNet"},
        summary="Another client keeps changing 2 objects of kind VNet on pve.",
    ),
    Fires(
        "PveEvpnObjectsNotReady",
        {
            'pve_evpn_objects{cluster="pve",kind="VNet",ready="False"}': "3x40",
            'pve_evpn_objects_waiting{cluster="pve",kind="VNet"}': "2x40",
            'pve_evpn_objects{cluster="pve",kind="EvpnZone",ready="False"}': "2x40",
            'pve_evpn_objects_waiting{cluster="pve",kind="EvpnZone"}': "2x40",
            'pve_evpn_objects{cluster="pve",kind="VNet",ready="Unknown"}': "5x40",
            'pve_evpn_objects{cluster="pve",kind="EvpnNode",ready="False"}': "5x40",
        },
        at=30,
        not_yet=29,
        labels={"cluster": "pve", "kind": "VNet"},
        summary="1 objects of kind VNet (cluster pve) are not ready.",
    ),
    Fires(
        "PveEvpnObservationStale",
        {
            'pve_evpn_last_successful_observation_timestamp_seconds{cluster="pve",node="pve1"}': "0+60x20",
            'pve_evpn_last_successful_observation_timestamp_seconds{cluster="pve",node="pve2"}': "0x20",
        },
        at=6,
        not_yet=5,
        labels={"cluster": "pve", "node": "pve2"},
        summary="Node pve2 of pve was last observed 6m 0s ago.",
    ),
    Fires(
        "PveEvpnSessionDown",
        {
            'pve_evpn_bgp_session_up{cluster="pve",node="pve2",peer="192.168.16.1",vrf="default"}': "1 0x20",
            'pve_evpn_bgp_session_up{cluster="pve",node="pve2",peer="192.168.16.3",vrf="default"}': "1x20",
        },
        at=6,
        not_yet=5,
        labels={"cluster": "pve", "node": "pve2", "peer": "192.168.16.1", "vrf": "default"},
        summary="The BGP session of pve2 (pve) with 192.168.16.1 is down.",
    ),
    Fires(
        "PveEvpnNodeIsolated",
        {
            'pve_evpn_bgp_session_up{cluster="pve",node="pve2",peer="192.168.16.1",vrf="default"}': "1 0x20",
            'pve_evpn_bgp_session_up{cluster="pve",node="pve2",peer="192.168.16.3",vrf="default"}': "1 1 0x20",
        },
        at=4,
        not_yet=3,
        labels={"cluster": "pve", "node": "pve2"},
        summary="Node pve2 of pve has no BGP session left.",
    ),
    Fires(
        "PveEvpnVtepMissing",
        {
            'pve_evpn_vni_missing_vteps{cluster="pve",node="pve1",vni="5001"}': "2x20",
            'pve_evpn_vni_missing_vteps{cluster="pve",node="pve1",vni="5002"}': "0x20",
        },
        at=10,
        not_yet=9,
        labels={"cluster": "pve", "node": "pve1", "vni": "5001"},
        summary="Node pve1 of pve lacks 2 VTEPs in VNI 5001.",
    ),
    Fires(
        "PveEvpnExitNodeUnusable",
        {
            'pve_evpn_exit_node_usable{cluster="pve",zone="tenants",node="pve1"}': "1 0x20",
            'pve_evpn_exit_node_usable{cluster="pve",zone="tenants",node="pve2"}': "1x20",
        },
        at=6,
        not_yet=5,
        labels={"cluster": "pve", "zone": "tenants", "node": "pve1"},
        summary="Packets of zone tenants of pve cannot leave by exit node pve1.",
    ),
    *(
        Fires(
            alert,
            {
                f'pve_evpn_nics{{cluster="pve",vnet="EVPN1",verdict="{verdict}",pinned="false"}}': "2x30",
                f'pve_evpn_nics{{cluster="pve",vnet="EVPN1",verdict="{verdict}",pinned="true"}}': "1x30",
                'pve_evpn_nics{cluster="pve",vnet="EVPN2",verdict="Advertised",pinned="false"}': "9x30",
            },
            at=minutes,
            not_yet=minutes - 1,
            labels={"cluster": "pve", "vnet": "EVPN1"},
            summary=f"3 MAC addresses in VNet EVPN1 (pve) are advertised {how}.",
        )
        for alert, verdict, minutes, how in (
            ("PveEvpnMacDuplicate", "Duplicate", 2, "by several nodes"),
            ("PveEvpnMacZombie", "Zombie", 10, "though the NIC is gone"),
            ("PveEvpnMacWrongNode", "WrongNode", 10, "by another node than the guest is on"),
        )
    ),
    Fires(
        "PveEvpnSilentNotPinned",
        {
            'pve_evpn_nics{cluster="pve",vnet="EVPN1",verdict="Silent",pinned="false"}': "2x30",
            'pve_evpn_nics{cluster="pve",vnet="EVPN1",verdict="NeverSeen",pinned="false"}': "1x30",
            'pve_evpn_nics{cluster="pve",vnet="EVPN1",verdict="Silent",pinned="true"}': "5x30",
            'pve_evpn_nics{cluster="pve",vnet="EVPN2",verdict="Silent",pinned="true"}': "5x30",
        },
        at=15,
        not_yet=14,
        labels={"cluster": "pve", "vnet": "EVPN1"},
        summary="3 NICs in VNet EVPN1 (pve) are not advertised, and not pinned.",
    ),
]

CASES.append(
    Fires(
        "PveEvpnPausedForLong",
        {'pve_evpn_paused_since_timestamp_seconds{cluster="pve",kind="VNet"}': f"{300 - DAY}x20"},
        at=6,
        not_yet=5,
        labels={"cluster": "pve", "kind": "VNet"},
        summary="An object of kind VNet (pve) has been paused for 1d 0h 1m 0s.",
    )
)

CASES += [
    Fires(
        "PveEvpnPrivilegesMissing",
        {'pve_evpn_privileges_missing{cluster="pve"}': "0 2x40"},
        at=12,
        not_yet=10,
        labels={"cluster": "pve"},
        summary="The credentials for pve lack 2 privileges.",
    ),
    Fires(
        "PveEvpnReverted",
        {'pve_evpn_apply_total{cluster="pve",result="Reverted"}': "0x4 1x20"},
        at=6,
        not_yet=4,
        labels={"cluster": "pve"},
        summary="An apply on pve made the network worse and was reverted.",
    ),
    Fires(
        "PveEvpnDrifted",
        {'pve_evpn_objects_drifted{cluster="pve",kind="VNet"}': "2x90"},
        at=60,
        not_yet=59,
        labels={"cluster": "pve", "kind": "VNet"},
        summary="Another client changed 2 objects of kind VNet on pve an hour ago.",
    ),
]

#: Nothing here is worth anybody's sleep.
HEALTHY = {
    'pve_evpn_build_info{version="0.1.0"}': "1x120",
    "pve_evpn_leader": "1x120",
    'pve_evpn_cluster_leader{cluster="pve"}': "1x120",
    'pve_evpn_cluster_reachable{cluster="pve"}': "1x120",
    'pve_evpn_token_expiry_timestamp_seconds{cluster="pve"}': f"{60 * DAY}x120",
    'pve_evpn_last_transaction_timestamp_seconds{cluster="pve",outcome="StagingFailed"}': "1x120",
    'pve_evpn_transaction_failed{cluster="pve",outcome="StagingFailed"}': "1x3 0x120",
    'pve_evpn_node_programmed{cluster="pve",node="pve1"}': "1x120",
    'pve_evpn_exit_node_usable{cluster="pve",zone="tenants",node="pve1"}': "1x120",
    'pve_evpn_sdn_lock_held_seconds{cluster="pve"}': "0 60 120 0x120",
    'pve_evpn_pending_objects{cluster="pve",owner="foreign"}': "0 1x30 0x100",
    'pve_evpn_pending_objects{cluster="pve",owner="self"}': "5x120",
    'pve_evpn_pending_plan_age_seconds{cluster="pve"}': "0+60x120",
    'pve_evpn_objects_stalled{cluster="pve",kind="VNet"}': "0x120",
    'pve_evpn_objects_in_drift_fight{cluster="pve",kind="VNet"}': "0x120",
    'pve_evpn_objects_drifted{cluster="pve",kind="VNet"}': "0 1x30 0x100",
    'pve_evpn_privileges_missing{cluster="pve"}': "0 1x5 0x120",
    'pve_evpn_apply_total{cluster="pve",result="Applied"}': "0+1x120",
    'pve_evpn_paused_since_timestamp_seconds{cluster="pve",kind="VNet"}': "0x120",
    'pve_evpn_objects{cluster="pve",kind="VNet",ready="False"}': "0 3x10 0x120",
    'pve_evpn_objects{cluster="pve",kind="VNet",ready="True"}': "3x120",
    'pve_evpn_objects_waiting{cluster="pve",kind="VNet"}': "0x120",
    'pve_evpn_objects{cluster="pve",kind="EvpnZone",ready="False"}': "1x120",
    'pve_evpn_objects_waiting{cluster="pve",kind="EvpnZone"}': "1x120",
    'pve_evpn_last_successful_observation_timestamp_seconds{cluster="pve",node="pve1"}': "0+60x120",
    'pve_evpn_bgp_session_up{cluster="pve",node="pve1",peer="192.168.16.2",vrf="default"}': "1 0 0 1x120",
    'pve_evpn_vni_missing_vteps{cluster="pve",node="pve1",vni="5001"}': "0x120",
    'pve_evpn_nics{cluster="pve",vnet="EVPN1",verdict="Advertised",pinned="false"}': "5x120",
    'pve_evpn_nics{cluster="pve",vnet="EVPN1",verdict="Silent",pinned="true"}': "5x120",
    'pve_evpn_nics{cluster="pve",vnet="EVPN1",verdict="Unknown",pinned="false"}': "5x120",
}

Promtool = Callable[..., subprocess.CompletedProcess[str]]


def expected(case: Fires) -> dict[str, Any]:
    """What Alertmanager gets. Annotations without templates are the rule's own, so only summaries are said twice."""
    rule = ALERTS[case.alert]
    annotations = {key: text for key, text in rule["annotations"].items() if "{{" not in text}
    return {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {**annotations, "summary": case.summary},
    }


def rule_test(name: str, series: list[dict[str, str]], tests: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "interval": "1m", "input_series": series, "alert_rule_test": tests}


def test_the_rules_are_valid(promtool: Promtool) -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(ALERTS)} rules found" in checked.stdout


def test_every_alert_fires_when_it_should_and_not_before(promtool: Promtool, tmp_path: Path) -> None:
    tests = [
        rule_test(
            case.alert,
            case.input_series(),
            [
                {"eval_time": f"{case.not_yet}m", "alertname": case.alert, "exp_alerts": []},
                {"eval_time": f"{case.at}m", "alertname": case.alert, "exp_alerts": [expected(case)]},
            ],
        )
        for case in CASES
    ]
    healthy = Fires("", HEALTHY, 0, 0, {}, "").input_series()
    quiet = [
        {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []}
        for alert in ALERTS
        for minute in range(0, 120, 10)
    ]
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m"}
    file = tmp_path / "rules_test.yaml"
    file.write_text(yaml.safe_dump({**document, "tests": [*tests, rule_test("healthy", healthy, quiet)]}))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def declared() -> dict[str, set[str]]:
    """Every gauge and counter the operator can export, with the labels it is declared with."""
    gauges = [gauge for gauge in vars(metrics).values() if isinstance(gauge, Gauge)]
    counters = [counter for counter in vars(metrics).values() if isinstance(counter, Counter)]
    counted = {gauge._name: set(gauge._labelnames) for gauge in gauges}
    counted |= {f"{counter._name}_total": set(counter._labelnames) for counter in counters}
    told = {f"pve_evpn_{name}": set(labels) for name, (_, labels) in status_metrics._FAMILIES.items()}
    return counted | told


def test_the_cases_are_made_of_what_the_operator_exports() -> None:
    known = declared()
    for name in [*HEALTHY, *(name for case in CASES for name in case.series)]:
        metric, _, labels = name.partition("{")
        assert set(re.findall(r"(\w+)=", labels)) == known.get(metric), name


def test_every_alert_has_a_case_and_a_runbook() -> None:
    assert {case.alert for case in CASES} == set(ALERTS)
    pages = {path.stem: path.read_text() for path in RUNBOOKS.glob("*.md") if path.stem != "README"}
    assert set(pages) == set(ALERTS)
    index = (RUNBOOKS / "README.md").read_text()
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{alert}.md")
        assert rule["labels"]["severity"] in pages[alert].splitlines()[2], alert
        headings = re.findall(r"^## (.+)$", pages[alert], re.M)
        assert headings == ["What it means", "How to check", "What to do"], alert
        assert f"({alert}.md)" in index
