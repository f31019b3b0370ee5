"""Faults between the operator and a real API server, from a seed; ``make chaos KUBE=1 N=1000`` for more.

To see run 17 again: ``make chaos KUBE=1 SEED=17 N=1``. What the replicas did in runs before it is not repeated.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.chaos.kube import arena
from tests.kube.controlplane import ControlPlane

RUNS = int(os.environ.get("CHAOS_KUBE_RUNS", "5"))
FIRST = int(os.environ.get("CHAOS_SEED", "1"))
#: Runs that one pair of replicas lives through.
BATCH = 50

pytestmark = [pytest.mark.kube, pytest.mark.timeout(3600)]


@pytest.mark.redteam
@pytest.mark.parametrize("first", range(FIRST, FIRST + RUNS, BATCH))
def test_faults_of_kubernetes_lose_nothing_and_touch_nothing_foreign(
    first: int, cluster: ControlPlane, tmp_path: Path
) -> None:
    began = time.monotonic()
    with arena(cluster, tmp_path) as made:
        for number in range(first, min(first + BATCH, FIRST + RUNS)):
            made.run(number)
            print(f"{time.monotonic() - began:6.1f} s, run {number}: {'; '.join(made.deeds)}", flush=True)
    print(f"faults: {dict(made.seen)}; requests that met one: {made.proxy.met}; exits: {dict(made.ends)}")
