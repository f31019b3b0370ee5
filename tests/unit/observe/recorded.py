"""What real FRR printed, as observations: tests/fixtures/frr, made by tests/fixtures/record_frr.py."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from pathlib import Path

from pve_evpn.domain.observation import ClusterObservation, NodeObservation
from pve_evpn.observe.frr import observation

FOLDER = Path(__file__).parents[2] / "fixtures" / "frr"
VERSIONS = ("8.4.4", "10.3")
AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
VM1 = "bc:24:11:11:11:11"

#: What the helper of the recordings printed beside what `read` prints now. Each can still be asked for alone.
FORMER = ("show evpn arp-cache vni all json", "show evpn rmac vni all json", "show evpn next-hops vni all json")

NO_GUEST = "1-no-guest"
SPEAKS = "2-vm1-speaks"
SILENT = "3-vm1-silent"
MOVED = "4-vm1-moved-to-pve3"
L3_VNI = "5-l3-vni"
DOWN = "6-pve2-bgpd-killed-pve4-shut"
OPENFABRIC = "7-openfabric"
ISIS = "8-isis"


def answer(version: str, state: str, node: str) -> str:
    """The helper's answer as it was recorded."""
    return (FOLDER / version / state / f"{node}.txt").read_text()


@functools.cache
def seen(version: str, state: str, node: str) -> NodeObservation:
    """One node in one state."""
    return observation(node, AT, answer(version, state, node))


def cluster(version: str, state: str) -> ClusterObservation:
    """Every node that was recorded in that state."""
    names = sorted(path.stem for path in (FOLDER / version / state).glob("*.txt"))
    return ClusterObservation(AT, {name: seen(version, state, name) for name in names})


def documents() -> list[str]:
    """All recordings."""
    return [path.read_text() for path in sorted(FOLDER.rglob("*.txt"))]
