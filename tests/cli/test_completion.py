"""TAB behind `kubectl evpn`: kubectl itself asks the program, which reads names from the cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.process import ROOT
from tests.e2e.stack import Stack

pytestmark = pytest.mark.kube


def pressed_tab(stack: Stack, folder: Path, *line: str) -> list[str]:
    """What kubectl offers for the last word, without explanations."""
    for name, main in (("kubectl-evpn", "pve_evpn.cli"), ("kubectl_complete-evpn", "pve_evpn.cli.kubectl_complete")):
        program = folder / name
        program.write_text(f"#!{sys.executable}\nimport sys\nfrom {main} import main\nsys.exit(main())\n")
        program.chmod(0o755)
    environment = {**stack.plane.environment, "PYTHONPATH": str(ROOT / "operator")}
    environment["PATH"] = f"{folder}:{environment.get('PATH', os.environ['PATH'])}"
    asked = [str(stack.plane.program), "__complete", "evpn", *line]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    *offered, directive = done.stdout.splitlines()
    assert directive.startswith(":")
    return [each.partition("\t")[0] for each in offered]


def test_kubectl_completes_names_from_the_cluster(stack: Stack, tmp_path: Path) -> None:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    assert "why" in pressed_tab(stack, tmp_path, "")
    assert pressed_tab(stack, tmp_path, "why", "vnet/") == ["vnet/evpn1"]
    assert pressed_tab(stack, tmp_path, "why", "nic") == ["nicattachment/vm1-net0"]
    assert pressed_tab(stack, tmp_path, "routes", "") == ["evpn1"]
    assert pressed_tab(stack, tmp_path, "approve", "p") == ["pve"]
    assert pressed_tab(stack, tmp_path, "peers", "pve") == ["pve1", "pve2", "pve3", "pve4"]
    assert "kube-system" in pressed_tab(stack, tmp_path, "status", "-n", "kube")
    assert pressed_tab(stack, tmp_path, "pause", "-n", "kube-system", "vnet/") == []
