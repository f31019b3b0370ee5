"""Exit nodes in `why`, `status` and `doctor`."""

from __future__ import annotations

from typing import Any

from pve_evpn.cli.report.doctor import Check, Grade, object_checks
from pve_evpn.cli.report.status import status_report
from pve_evpn.cli.report.why import why_report
from tests.unit.cli.people import ready, snapshot
from tests.unit.plan.world import zone

LOST = "pve1 has no default route of its own, so packets that leave by it are dropped"
PEER = {"address": "192.0.2.5", "advertised": 1, "missing": ["10.50.2.0/24"], "missingCount": 1}
EXIT: dict[str, Any] = {
    "summary": "1/2",
    "nodes": [
        {"name": "pve1", "role": "Primary", "usable": False, "defaultRoute": {"state": "Absent"}},
        {
            "name": "pve2", "role": "Standby", "usable": True, "rpFilter": "Off", "peers": [PEER],
            "defaultRoute": {"state": "Present", "protocol": "bgp", "nextHops": ["192.0.2.5"]},
            "vrfDefaultRoute": {"state": "Unreachable"},
        },
    ],
    "problems": [LOST],
    "risks": ["the way back may be another"],
}  # fmt: skip


def doctor(leaves: dict[str, Any] | None) -> list[Check]:
    whole = snapshot(ready(zone(), exit=leaves) if leaves else ready(zone()))
    checks = object_checks(whole, next(iter(whole.of_kind("ProxmoxCluster"))))
    return [check for check in checks if check.name == "exit nodes of zone1"]


def test_why_has_a_row_per_exit_node_and_what_is_wrong() -> None:
    item = ready(zone(), exit=EXIT)
    data = why_report(snapshot(item), item.key).data()
    one, two = data["exit"]
    assert (one["role"], one["usable"], one["defaultRoute"], one["vrfDefaultRoute"]) == ("Primary", False, "none", None)
    assert (two["defaultRoute"], two["vrfDefaultRoute"]) == ("bgp via 192.0.2.5", "unreachable")
    assert two["outside"] == "192.0.2.5: 1 of 2 subnets"
    assert data["exitProblems"][0] == LOST
    assert data["exitRisks"] == EXIT["risks"]


def test_a_zone_without_exit_nodes_shows_nothing_of_them() -> None:
    item = ready(zone())
    assert not {"exit", "exitProblems", "exitRisks"} & why_report(snapshot(item), item.key).data().keys()
    assert doctor(None) == []


def test_status_has_a_column() -> None:
    [row] = status_report(snapshot(ready(zone(), exit=EXIT))).data()["zones"]
    assert row["exit"] == "1/2"
    [row] = status_report(snapshot(ready(zone()))).data()["zones"]
    assert row["exit"] is None


def test_doctor_tells_lost_from_risky_from_unknown() -> None:
    [lost] = doctor(EXIT)
    assert (lost.grade, lost.found) == (Grade.WARN, LOST)
    [risky] = doctor({**EXIT, "summary": "2/2", "problems": None})
    assert (risky.grade, risky.found) == (Grade.OK, "2/2 usable; risk: the way back may be another")
    [fine] = doctor({"summary": "2/2", "nodes": EXIT["nodes"]})
    assert (fine.grade, fine.found, fine.mend) == (Grade.OK, "2/2 usable", "")
    [unknown] = doctor({"nodes": [{"name": "pve1", "role": "Only"}]})
    assert unknown.grade is Grade.UNKNOWN
