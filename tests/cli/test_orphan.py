"""`pve-evpn orphan` against a running operator whose Proxmox is gone for good."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.process import ROOT
from tests.e2e.stack import Stack
from tests.waiting import await_

pytestmark = pytest.mark.kube


def command(stack: Stack, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program with the plane's kubeconfig and these variables."""
    environment = {**stack.plane.environment, "PYTHONPATH": str(ROOT / "operator"), **environment}
    return subprocess.run(
        [sys.executable, "-m", "pve_evpn", *arguments], capture_output=True, text=True, env=environment, timeout=60
    )


def test_an_orphaned_object_goes_and_its_network_stays(stack: Stack) -> None:
    seed = stack.seed()
    stack.apply(*seed[:4])
    stack.await_ready(*seed[:4])
    vnet, writes = seed[3], stack.writes()
    stack.lab.tokens.clear()  # nobody can ever log in again
    stack.delete(vnet, wait=False)
    stack.await_condition(seed[0], "Ready", "AuthenticationFailed")
    assert stack.get(vnet)

    told = command(stack, "orphan", "vnet/evpn1")
    assert told.returncode == 0, told.stderr
    assert "VNet default/evpn1: EVPN1 stays in Proxmox" in told.stdout
    assert "Nothing was changed" in told.stdout
    assert "pve-evpn.dev/force-orphan" not in stack.get(vnet)["metadata"]["annotations"]

    assert command(stack, "orphan", "vnet/evpn1", "--yes").returncode == 0
    await_("the VNet is gone", lambda: not stack.get(vnet))
    assert "EVPN1" in stack.lab.sdn.running["vnets"]
    assert stack.writes() == writes

    # What held it can only be left behind too; then everything goes, though nobody can log in.
    assert command(stack, "orphan", "evpnzone/ezone1", "evpncontroller/evpn1", "--yes").returncode == 0
    stack.delete_all()
    assert stack.writes() == writes


def test_what_cannot_be_done_is_said_in_one_line(stack: Stack) -> None:
    for arguments, words in (
        (("orphan",), "name at least one object"),
        (("orphan", "pod/x"), "'pod' is none of proxmoxcluster"),
        (("orphan", "vnet/none", "-n", "nowhere"), "there is no VNet nowhere/none"),
        (("release-finalizers",), "use --deleting or --all"),
        (("release-finalizers", "--all", "--yes"), "the operator is running"),
    ):
        done = command(stack, *arguments)
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
