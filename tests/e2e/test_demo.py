"""``make demo`` itself, in the user's own cluster: it shows the tour, and leaves that cluster as it was."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

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
        assert "$ kubectl get pfl" not in result.stdout, "the seed has no prefix list"
        (nodes,) = (line for line in result.stdout.splitlines() if line.startswith("$ kubectl get vnet evpn1"))
        assert shlex.split(nodes)[-1].startswith("jsonpath={range .status.nodes[*]}{.name}: {.state}")
        assert plane.kubectl("get", "crd", "-o", "name") == ""
        assert "pve-evpn" not in plane.kubectl("get", "namespaces,clusterroles,clusterrolebindings", "-o", "name")
        assert plane.kubectl("get", "configmap", "mine", "-n", "default", "-o", "name")


def test_the_demo_that_is_kept_says_how_to_reach_each_part_and_ends_quietly(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "kubernetes") as plane:
        command = [sys.executable, "-m", "tests.demo", "--keep", "--cluster", "current"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, env=plane.environment, stdout=pipe, stderr=pipe, text=True) as kept:
            assert kept.stdout is not None
            printed = list(itertools.takewhile(lambda line: line != "Ctrl-C ends it.\n", kept.stdout))
            if not any(line.startswith("tail -f ") for line in printed):
                raise AssertionError("".join(printed) + kept.communicate(timeout=60)[1])
            (log,) = (Path(line.split()[-1]) for line in printed if line.startswith("tail -f "))
            (metrics,) = (line.split()[-1] for line in printed if line.startswith("curl http:"))
            (api,) = (line for line in printed if line.startswith("curl -k "))
            assert "pve-evpn-operator" in log.read_text()
            assert b"pve_evpn_leader" in urllib.request.urlopen(metrics, timeout=5).read()
            assert "EVPN1" in subprocess.run(api, shell=True, capture_output=True, text=True, check=True).stdout
            operator = operator_of(kept.pid)
            os.kill(operator, signal.SIGKILL)
            await_("the operator and all its threads are dead", lambda: is_dead(operator))
            kept.send_signal(signal.SIGINT)
            out, err = kept.communicate(timeout=60)
        assert kept.returncode == 1
        assert "the operator has ended with -9 by itself" in out
        assert err == ""
        assert plane.kubectl("get", "crd", "-o", "name") == ""


def is_dead(process: int) -> bool:
    """Whether its parent can learn of its end: the process and all its threads have ended."""
    status = Path(f"/proc/{process}/status").read_text()
    return "State:\tZ" in status and "Threads:\t1\n" in status


def operator_of(demo: int) -> int:
    """The process id of the operator that the demo started."""
    children = Path(f"/proc/{demo}/task/{demo}/children").read_text().split()
    (found,) = (int(pid) for pid in children if "pve_evpn" in Path(f"/proc/{pid}/cmdline").read_text())
    return found


def test_the_demo_stays_out_of_a_cluster_that_has_the_operator(cluster: ControlPlane) -> None:
    result = demo(cluster)
    assert result.returncode == 1
    assert "has the operator already" in result.stderr
    assert "proxmoxclusters.pve-evpn.dev" in result.stderr
