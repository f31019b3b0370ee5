"""A fresh lab and a running operator per test, on the session's control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pve_lab.cluster import Lab, seed
from tests.e2e.stack import KINDS, Stack
from tests.kube.controlplane import ControlPlane


@pytest.fixture
def stack(cluster: ControlPlane, tmp_path: Path) -> Iterator[Stack]:
    lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0.2)
    seed(lab)
    made = Stack(cluster, lab, tmp_path)
    made.prepare()
    made.start_operator()
    yield made
    # pytest shows this for a failed test only
    print(cluster.kubectl("get", ",".join(KINDS), "-A", "-o", "wide", check=False))
    print("\n".join(made.log.read_text().splitlines()[-40:]))
    for kind in KINDS[::-1]:
        cluster.kubectl("delete", kind, "--all", "-A", "--wait=false", check=False)
    for kind in KINDS:
        cluster.kubectl("wait", "--for=delete", kind, "--all", "-A", "--timeout=30s", check=False)
    made.close()
    cluster.kubectl("delete", "secret", "-n", "pve-evpn-system", "--all", check=False)
