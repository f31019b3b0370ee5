"""Every reading kubectl line of README, docs/ and the runbooks works as it is printed, on the seed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack

pytestmark = pytest.mark.kube

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/runbooks").glob("*.md"))]
#: Kinds of other operators; and what a test of its own creates.
NOT_HERE = ("servicemonitor", "argocd")
NAMES = {"pvec": "pve", "evpnn": "pve-pve1", "evpnc": "evpn1", "evpnz": "ezone1", "vnet": "evpn1", "nic": "vm1-net0"}


def reading_lines() -> Iterator[str]:
    for page in PAGES:
        for block in re.findall(r"```(?:console|sh)?\n(.*?)```", page.read_text(), re.S):
            for line in block.splitlines():
                if re.match(r"(\$ )?kubectl (get|describe) ", line) and not any(word in line for word in NOT_HERE):
                    yield line.removeprefix("$ ")


def arguments(line: str) -> list[str]:
    """The words after kubectl, without comment and pipe, with names of the seed for the placeholders."""
    words = shlex.split(line, comments=True)
    words = words[1 : words.index("|") if "|" in words else None]
    name = NAMES.get(words[1], "")
    places = {"NAME": name, "CLUSTER-NODE": name, "NAMESPACE": "default"}
    return [places.get(word, word) for word in words]


def test_documented_commands_work(stack: Stack) -> None:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    lines = sorted(set(reading_lines()))
    assert len(lines) > 20
    for line in lines:
        stack.plane.kubectl(*arguments(line))  # raises where kubectl refuses it
