"""``make demo`` itself, in the user's own cluster: it shows the tour, and leaves that cluster as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kube.controlplane import ControlPlane

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.kube


def demo(plane: ControlPlane) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.demo", "--cluster", "current"]
    return subprocess.run(command, cwd=ROOT, env=plane.environment, capture_output=True, text=True, timeout=200)


def test_the_demo_uses_the_current_cluster_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "kubernetes") as plane:
        plane.kubectl("create", "configmap", "mine", "-n", "default")
        result = demo(plane)
        assert result.returncode == 0, result.stdout + result.stderr
        for line in ("$ kubectl get nic -A", "with 1 apply", "left in Proxmox: nothing"):
            assert line in result.stdout
        assert "Advertised" in result.stdout
        assert plane.kubectl("get", "crd", "-o", "name") == ""
        assert "pve-evpn" not in plane.kubectl("get", "namespaces,clusterroles,clusterrolebindings", "-o", "name")
        assert plane.kubectl("get", "configmap", "mine", "-n", "default", "-o", "name")


def test_the_demo_stays_out_of_a_cluster_that_has_the_operator(cluster: ControlPlane) -> None:
    result = demo(cluster)
    assert result.returncode == 1
    assert "has the operator already" in result.stderr
    assert "proxmoxclusters.pve-evpn.dev" in result.stderr
