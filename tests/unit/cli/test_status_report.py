"""One screen: each cause once, however many objects wait for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from pve_evpn.cli import output
from pve_evpn.cli.report.status import ROWS, status_report
from tests.unit.cli.people import judged, nic, node, ready, snapshot
from tests.unit.plan.world import EPOCH, cluster, controller, isis_controller, vnet, zone


def test_a_healthy_cluster_has_no_causes() -> None:
    report = status_report(snapshot())
    assert report.good
    assert set(report.data()) == {"clusters", "controllers", "zones", "vnets", "nics", "summary"}
    assert report.data()["summary"] == ["All 5 objects are Ready."]


def test_a_cause_is_shown_once_and_counts_what_it_holds_up() -> None:
    vnets = [judged(vnet(f"net{n}"), "False", "SdnLocked", "locked") for n in range(40)]
    lock = {"holder": "Other", "since": EPOCH.isoformat()}
    report = status_report(snapshot(ready(cluster(), lock=lock), *vnets))
    assert not report.good
    [cause] = report.data()["causes"]
    assert (cause["object"], cause["reason"], cause["count"]) == ("ProxmoxCluster pve", "SdnLocked", 40)
    [waits] = report.data()["waits"]
    assert waits["what"] == "lock"


def test_what_no_source_sees_is_not_wrong() -> None:
    nodes = [node(f"pve{n}", ready="Unknown", reason="SourceUnavailable", message="no source") for n in range(1, 5)]
    report = status_report(snapshot(*nodes))
    assert report.good
    [cause] = report.data()["causes"]
    assert (cause["state"], cause["count"]) == ("unknown", 4)
    assert report.data()["summary"] == ["All 9 objects are Ready or unobserved."]


def test_sessions_are_a_matrix_and_their_loss_is_one_cause() -> None:
    def peers(own: str, lost: str = "") -> list[dict[str, str]]:
        others = [name for name in ("pve1", "pve2", "pve3") if name != own]
        states = {name: "Active" if lost in (name, own) else "Established" for name in others}
        return [{"address": f"10.0.0.{name[-1]}", "node": name, "state": state} for name, state in states.items()]

    nodes = [
        node(name, ready="False", reason="SessionDown", message=f"of {name}", peers=peers(name, "pve2"))
        for name in ("pve1", "pve2", "pve3")
    ]
    down = judged(controller(), "False", "SessionDown", "sessions with pve2 are down")
    lacks = judged(vnet(), "False", "VtepMissing", "pve1 lacks pve2")
    data = status_report(snapshot(down, lacks, *nodes)).data()
    assert data["mesh/pve"][0] == {"node": "pve1", "pve1": None, "pve2": "Active", "pve3": "Established"}
    [cause] = data["causes"]
    assert (cause["object"], cause["count"]) == ("EvpnController evpn1", 4)


def test_isis_controllers_have_their_table() -> None:
    down = judged(isis_controller(), "False", "AdjacencyDown", "pve1: interface eno1 has no neighbour")
    seen = ready(isis_controller("isis2"), id="isis2", node="pve2", neighboursSummary="2/2")
    report = status_report(snapshot(down, seen))
    one, two = report.data()["isis"]
    assert (one["neighbours"], one["ready"], one["reason"]) == (None, "False", "AdjacencyDown")
    assert (two["node"], two["domain"], two["neighbours"], two["ready"]) == ("pve2", "dc1", "2/2", "True")
    [cause] = report.data()["causes"]
    assert (cause["object"], cause["message"]) == ("IsisController isis1", "pve1: interface eno1 has no neighbour")


def test_long_tables_show_what_is_wrong_and_data_has_all() -> None:
    vnets = [ready(vnet(f"net{n:03}", vni=6000 + n)) for n in range(50)]
    vnets[49] = judged(vnets[49], "False", "VniConflict", "taken", stalled=True)
    report = status_report(snapshot(*vnets))
    text = output.rendered(report, "text")
    assert "net049" in text
    assert "net020" not in text
    assert f"and {51 - ROWS} more, 0 of them not Ready" in text
    assert len(json.loads(output.rendered(report, "json"))["vnets"]) == 51
    assert yaml.safe_load(output.rendered(report, "yaml")) == report.data()
    assert "net020" in output.rendered(status_report(snapshot(*vnets), everything=True), "text")


def test_text_of_others_cannot_steer_the_terminal_or_the_page() -> None:
    evil = judged(zone(), "False", "InvalidSpec", "\x1b[2J[bold]|<img src=x>")
    report = status_report(snapshot(evil, nic()))
    assert "\x1b" not in output.rendered(report, "text")
    assert "[bold]|<img" in output.rendered(report, "text")
    assert "\\|\\<img" in output.rendered(report, "markdown")
    assert "\x1b[" in output.rendered(report, "text", coloured=True)


@pytest.mark.parametrize(
    ("flags", "typer"), [([], False), (["--http", "nonsense"], True)], ids=["as in the pod", "flags"]
)
def test_the_operator_does_not_carry_the_libraries_for_people(flags: list[str], typer: bool) -> None:
    program = (
        f"import sys; sys.argv[1:] = ['run', *{flags}]; from pve_evpn.cli import main; assert main() == 2\n"
        "carried = {'rich.console', 'typer', 'pve_evpn.cli.report', 'pve_evpn.cli.output'} & set(sys.modules)\n"
        f"assert carried <= ({{'typer'}} if {typer} else set()), carried"
    )
    environment = {**os.environ, "PVE_EVPN_HTTP": "nonsense"}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)
