"""`pve-evpn plan` beside a running operator: it knows what Kubernetes has, and uses the ProxmoxCluster's Secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.test_orphan import command
from tests.e2e.stack import TOKEN, Stack

pytestmark = pytest.mark.kube


def plan(stack: Stack, documents: list[dict[str, Any]], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status, and the report as data."""
    file: Path = stack.folder / "networks.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    done = command(stack, "plan", "-f", str(file), "-o", "json", *arguments)
    assert done.returncode != 1 or done.stdout, done.stderr
    assert TOKEN[1] not in [word.strip('"') for word in done.stdout.split()]
    return done.returncode, json.loads(done.stdout)


def test_a_plan_knows_what_the_operator_manages(stack: Stack) -> None:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    writes = stack.writes()
    cluster, controller, zone, vnet, nic = seed

    status, said = plan(stack, seed)
    assert (status, said.keys()) == (0, {"summary", "notes"})

    status, said = plan(stack, [cluster, controller, {**zone, "spec": {**zone["spec"], "mtu": 1400}}, vnet, nic])
    assert status == 2
    assert [(row["class"], row["object"]) for row in said["changes"]] == [("disruptive", "EvpnZone ezone1")]

    status, said = plan(stack, [cluster, controller, zone], "--prune")
    assert status == 2
    assert {row["object"]: row["inProxmox"] for row in said["gone"]}.keys() == {
        "VNet default/evpn1",
        "NicAttachment default/vm1-net0",
    }
    assert "destructive" in {row["class"] for row in said["changes"]}

    refused = {**vnet, "metadata": {**vnet["metadata"], "name": "other"}, "spec": {**vnet["spec"], "id": "other"}}
    status, said = plan(stack, [refused])
    assert status == 1
    assert [row["reason"] for row in said["refused"]] == ["VniConflict"]
    assert stack.writes() == writes

    stack.apply({**cluster, "spec": {**cluster["spec"], "apply": {"policy": "Manual"}}})
    stack.apply({**vnet, "spec": {**vnet["spec"], "alias": "named by hand"}})
    stack.await_condition(vnet, "Ready", "AwaitingApproval")
    status, said = plan(stack, [{**zone, "spec": {**zone["spec"], "mtu": 1400}}])
    assert status == 2
    assert "waits for approval or a window" in said["changes"][0]["why"]
    assert "named by hand" in said["pendingPlan"][0]
    stack.apply(cluster)  # the deletions at the end need no approval
