"""`pve-evpn lock` beside a running operator: whose lock it is, and that it is removed only where it should be."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.cli.test_orphan import command
from tests.e2e.stack import NAMESPACE, Stack
from tests.waiting import await_

pytestmark = pytest.mark.kube

ME = {"PVE_TOKEN_ID": "root@pam!me", "PVE_TOKEN": "mine"}


def lock(stack: Stack) -> dict[str, Any]:
    done = command(stack, "lock", "pve", "-o", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["lock"])


def test_the_lock_of_another_client_is_shown_and_removed_on_demand(stack: Stack) -> None:
    stack.lab.tokens[ME["PVE_TOKEN_ID"]] = ME["PVE_TOKEN"]
    cluster, controller, *_ = seed = stack.seed()
    stack.apply(cluster)
    stack.await_ready(cluster)
    assert lock(stack) == {"held": False, "holder": "no client"}

    token = stack.lab.sdn.take_lock(allow_pending=False)
    stack.apply(*seed)
    stack.await_condition(controller, "Ready", "SdnLocked")
    shown = lock(stack)
    assert shown["since"] == stack.get(cluster)["status"]["lock"]["since"]
    assert (shown["held"], shown["holder"]) == (True, "another client")

    writes = stack.writes()
    with_secret = command(stack, "lock", "pve", "--release", "--yes")
    assert (with_secret.returncode, "your own Proxmox credentials" in with_secret.stderr) == (1, True)
    dry = command(stack, "lock", "pve", "--release", **ME)
    assert (dry.returncode, "Nothing was changed" in dry.stderr) == (0, True)
    assert stack.lab.sdn.lock == token
    assert not [path for method, path, status in stack.writes()[len(writes) :] if method == "DELETE" and status == 200]

    done = command(stack, "lock", "pve", "--release", "--yes", **ME)
    assert (done.returncode, "Removed." in done.stderr) == (0, True), done.stderr
    stack.await_ready(*seed)
    again = command(stack, "lock", "pve", "--release", "--yes", **ME)
    assert (again.returncode, "There is no lock to remove" in again.stderr) == (0, True)


def test_the_operators_own_lock_is_left_alone(stack: Stack) -> None:
    """It was killed in a transaction. Its next start gives the lock back (2026-11-24-lock-after-a-crash.md)."""
    stack.lab.tokens[ME["PVE_TOKEN_ID"]] = ME["PVE_TOKEN"]
    cluster = stack.seed()[0]
    stack.apply(cluster)
    stack.await_ready(cluster)
    stack.stop_operator()
    token = stack.lab.sdn.take_lock(allow_pending=False)
    entry = base64.b64encode(json.dumps({"token": token}).encode()).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pve-evpn-journal-pve", "namespace": NAMESPACE},
    }
    labels = {"pve-evpn.dev/journal": "true"}
    secret = {**secret, "metadata": {**dict(secret["metadata"]), "labels": labels}, "data": {"entry": entry}}
    stack.plane.kubectl("apply", "-f", "-", stdin=json.dumps(secret))

    assert lock(stack)["holder"] == "the operator"
    refused = command(stack, "lock", "pve", "--release", "--yes", **ME)
    assert refused.returncode == 1
    assert "the operator holds the lock for a transaction of its own" in refused.stderr
    assert stack.lab.sdn.lock == token
    assert token not in refused.stdout + refused.stderr

    forced = command(stack, "lock", "pve", "--release", "--force", **ME)
    assert (forced.returncode, "WARNING: the operator holds the lock" in forced.stderr) == (0, True)
    assert stack.lab.sdn.lock == token

    stack.start_operator()
    await_("the operator gives its lock back", lambda: stack.lab.sdn.lock is None)
