"""The chaos machine, 200 seeded runs; ``make chaos N=1000`` for more. A failing batch names its seed."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.machine import Chaos

RUNS = int(os.environ.get("CHAOS_RUNS", "200"))
FIRST = int(os.environ.get("CHAOS_SEED", "1"))
BATCH = 10

SETTINGS = settings(
    max_examples=BATCH,
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink) if os.environ.get("CHAOS_SHRINK") else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    verbosity=Verbosity.normal,
)


@pytest.mark.parametrize("batch", range(FIRST, FIRST + max(1, RUNS // BATCH)))
def test_whatever_happens(batch: int) -> None:
    """To see one again: ``make chaos SEED=<batch> N=10``, with CHAOS_SHRINK=1 for the shortest way there."""
    machine = seed(batch)(type("Seeded", (Chaos,), {}))
    run_state_machine_as_test(machine, settings=SETTINGS)
