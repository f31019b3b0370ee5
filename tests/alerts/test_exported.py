"""From what the observer exports to the alert: the real promtool on samples nobody has written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from pve_evpn import metrics
from tests.alerts.test_rules import RULES, Promtool, rule_test
from tests.engine.test_observer import Watched


def exported(name: str) -> dict[str, float]:
    """A metric's samples of cluster pve, as promtool spells series."""
    found = (sample for family in metrics.REGISTRY.collect() for sample in family.samples if sample.name == name)
    return {
        f"{name}{{{_labels(sample.labels)}}}": sample.value for sample in found if sample.labels["cluster"] == "pve"
    }


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{label}="{value}"' for label, value in labels.items())


async def test_a_node_whose_bgpd_was_killed_is_isolated_and_no_other(promtool: Promtool, tmp_path: Path) -> None:
    world = Watched()
    world.start()
    await world.seed()
    await world.poll()
    before = exported("pve_evpn_bgp_session_up")
    world.overlay.stopped = {"pve2"}
    await world.poll()
    after = exported("pve_evpn_bgp_session_up")
    series = [
        {"series": name, "values": f"{before.get(name, '_')} {after[name]}x9" if name in after else "1 stale"}
        for name in before | after
    ]
    node = {"severity": "critical", "cluster": "pve", "node": "pve2"}
    isolated = [{"eval_time": "4m", "alertname": "PveEvpnNodeIsolated", "exp_alerts": [{"exp_labels": node}]}]
    test = rule_test("bgpd was killed", series, isolated)
    alone = tmp_path / "rules.yaml"
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rule = next(r for group in groups for r in group["rules"] if r["alert"] == "PveEvpnNodeIsolated")
    rule["annotations"] = {}
    alone.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    file = tmp_path / "rules_test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(alone)], "evaluation_interval": "1m", "tests": [test]}))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
