"""The commands for people against a real API server and a running operator."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_orphan import command
from tests.e2e.stack import TOKEN, Stack

pytestmark = pytest.mark.kube


def test_the_commands_answer_from_what_the_operator_wrote(stack: Stack) -> None:
    cluster, _, _, vnet, _ = seed = stack.seed()
    lost = {**vnet, "metadata": {"name": "lost", "namespace": "default"}}
    lost["spec"] = {**vnet["spec"], "id": "lost", "vni": 7, "zoneRef": {"name": "ezone2"}}
    stack.apply(*seed, lost)
    stack.await_ready(*seed)
    stack.await_condition(lost, "Ready", "RefNotFound")

    status = command(stack, "status", "-o", "json")
    assert status.returncode == 3, status.stderr
    assert json.loads(status.stdout)["causes"][0]["object"] == "EvpnZone ezone2"
    why = command(stack, "why", "vnet/lost")
    assert why.returncode == 3, why.stderr
    assert "is EvpnZone ezone1 meant?" in why.stdout
    trace = command(stack, "trace", "BC-24-11-11-11-11")
    assert "Attached" in trace.stdout, trace.stderr
    for name in ("peers", "vni"):
        assert command(stack, name).returncode == 0

    doctor = command(stack, "doctor", "-o", "json")
    checked = json.loads(doctor.stdout)
    assert {row["check"]: row["grade"] for row in checked["cluster/pve"]}["Authenticated"] == "ok", doctor.stderr
    proxmox = {row["check"]: row for row in checked["proxmox/pve"]}
    assert proxmox["privileges"]["grade"] == "ok"
    assert proxmox["pve1"]["found"].startswith("frr-pythontools ")
    routes = command(stack, "routes", "evpn1", "-o", "json")
    assert json.loads(routes.stdout)["routes"][0]["prefix"] == "[2]:[0]:[48]:[bc:24:11:11:11:11]", routes.stderr

    assert command(stack, "pause", "vnet/evpn1", "--yes").returncode == 0
    stack.await_condition(vnet, "Paused", "AnnotationPaused")
    assert command(stack, "resume", "vnet/evpn1").returncode == 0
    assert stack.condition(vnet, "Paused")["status"] == "True"
    assert command(stack, "resume", "vnet/evpn1", "--yes").returncode == 0
    stack.await_condition(vnet, "Paused", "NotPaused")
    assert command(stack, "reconcile", "pvec/pve", "--yes").returncode == 0

    stack.apply({**cluster, "spec": {**cluster["spec"], "apply": {"policy": "Manual"}}})
    waiting = {**vnet, "spec": {**vnet["spec"], "alias": "named by hand"}}
    stack.apply(waiting)
    stack.await_condition(vnet, "Ready", "AwaitingApproval")
    shown = command(stack, "approve", "pve")
    assert "Nothing was changed" in shown.stdout, shown.stderr
    assert command(stack, "approve", "pve", "--hash", "other", "--yes").returncode == 1
    assert command(stack, "approve", "pve", "--yes").returncode == 0
    stack.await_ready(waiting)
    stack.apply(cluster)  # the deletions at the end need no approval
    assert all(TOKEN[1] not in each.stdout for each in (status, why, trace, doctor, routes, shown))
