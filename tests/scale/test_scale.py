"""The counts of ``make scale`` in a small size. Times are for the machine that has nothing else to do."""

from __future__ import annotations

import pytest

from tests.kube.controlplane import ControlPlane
from tests.scale.objects import Size
from tests.scale.run import Measured, measure

pytestmark = pytest.mark.kube
SIZE = Size(vnets=40, guests=10, nics=2, nodes=4, task=0.2, rest=6, interval=3)


@pytest.fixture(scope="module")
def measured(cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure(SIZE, cluster, tmp_path_factory.mktemp("scale"), clean=True)


def test_what_is_created_together_is_applied_once(measured: Measured) -> None:
    assert measured.applies == 1
    assert measured.objects == SIZE.objects == 60


def test_calls(measured: Measured) -> None:
    # The lock twice, the apply, each VNet and subnet, each guest.
    assert measured.writes == 3 + 80 + 10
    assert measured.calls <= 2.8 * measured.writes


def test_patches(measured: Measured) -> None:
    """Metadata and a status for each object; where the NIC was; and what a poll in between shows."""
    assert measured.patches <= 3.1 * SIZE.objects + 10  # those of zone, controller, cluster, nodes


def test_at_rest(measured: Measured) -> None:
    assert measured.rest_patches == 0
    assert measured.rest_calls_per_min <= 300 * 15 / SIZE.interval


def test_one_more(measured: Measured) -> None:
    assert measured.one_more_calls <= 85


def test_a_restart_reads_everything_once_and_writes_nothing(measured: Measured) -> None:
    assert (measured.restart_writes, measured.restart_patches) == (0, 0)
    assert measured.restart_calls <= 150
