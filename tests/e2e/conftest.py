"""A fresh lab and a running operator per test, on the session's control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pve_lab.lab import Lab, seed
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
    kinds = ",".join(KINDS)
    cluster.kubectl("delete", kinds, "--all", "-A", "--wait=false", check=False)
    cluster.kubectl("wait", "--for=delete", kinds, "--all", "-A", "--timeout=60s", check=False, timeout=90)
    made.close()
    left = made.drop_finalizers()  # the next test begins without them
    cluster.kubectl("delete", "secret", "-n", "pve-evpn-system", "--all", check=False)
    assert left == [], "the operator did not delete these"
    assert made.undeclared == []
