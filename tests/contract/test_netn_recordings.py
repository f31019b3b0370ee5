"""NIC strings against recordings of real Proxmox, where they are there: read, printed and refused by lab and operator.

The recordings are lines of ``input`` with ``printed`` or ``error``; without the folder ``shared`` beside the repository
this module is skipped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pve_evpn.domain.nics.netn import NetN
from pve_lab.nics import Nic

FOLDER = Path(__file__).parents[3] / "shared" / "pve"
ROWS = [json.loads(line) for path in sorted(FOLDER.glob("netn_*.jsonl")) for line in path.read_text().splitlines()]
#: The MAC that the recorded code was given wherever it invents one.
INVENTED = "BC:24:11:00:00:01"

pytestmark = pytest.mark.skipif(not ROWS, reason=f"LEFT OUT: no recordings of real NIC strings in {FOLDER}")


def test_the_lab_prints_and_refuses_each_as_recorded() -> None:
    assert [(row["input"], _recorded(row), given) for row in ROWS if (given := _lab(row)) != _recorded(row)] == []


def test_the_operator_prints_and_refuses_each_as_recorded() -> None:
    """A key that Proxmox 9.2 does not know counts as refused: the operator names it, in case a later release has it."""
    different = []
    for row in ROWS:
        read = NetN.parse(row["kind"], row["input"])
        refused = bool(read.refusal() or read.unknown_keys())
        if refused != ("error" in row):
            different.append((row["input"], row.get("error"), read.refusal(), read.unknown_keys()))
        elif not refused and _with_mac(read).printed() != row["printed"]:
            different.append((row["input"], row["printed"], _with_mac(read).printed()))
    assert different == []


def _recorded(row: dict[str, Any]) -> list[str]:
    """The lines of an error in any order: it is that of a Perl hash."""
    return sorted(row["error"].split("\n")) if "error" in row else [row["printed"]]


def _lab(row: dict[str, Any]) -> list[str]:
    try:
        return [Nic.parse(row["kind"], row["input"]).with_mac(lambda: INVENTED).text()]
    except ValueError as refusal:
        return sorted(str(refusal).split("\n"))


def _with_mac(read: NetN) -> NetN:
    return read if read.get("mac") else read.with_fields({"mac": INVENTED})
