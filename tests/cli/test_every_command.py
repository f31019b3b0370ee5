"""Every command on a real API server, beside a running operator and the lab's model."""

from __future__ import annotations

from pathlib import Path

import pytest

from pve_evpn.cli.program import COMMANDS
from tests.cli.every_command import LEFT_OUT, Tour
from tests.e2e.full_tables import FullTables
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.kube, pytest.mark.cli]


def test_every_command_does_what_it_says(stack: Stack, tmp_path: Path) -> None:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    with FullTables(stack) as full:
        tour = Tour(stack, full, full.user("everyday", "cluster-admin"), tmp_path)
        tour.whole()
    assert tour.used == {name for commands in COMMANDS.values() for name in commands} - LEFT_OUT
