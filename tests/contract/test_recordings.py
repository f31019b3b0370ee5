"""The lab against recordings of real Proxmox, where they are there: a folder ``shared`` beside the repository.

The recordings come with a script that replays them against a server and compares. Without the folder this module is
skipped; the rest of this directory tests the same rules in small.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pve_lab.guests import read_guests
from pve_lab.lab import Lab
from pve_lab.server import LabServer
from tests.lab.clients import Clock

ROOT = Path(__file__).parents[2]
FOLDER = ROOT.parent / "shared" / "pve"
FILES = sorted(FOLDER.glob("transcripts*/*.jsonl"))
JUDGE = FOLDER / "replay.py"

pytestmark = pytest.mark.skipif(not FILES, reason=f"LEFT OUT: no recordings of real Proxmox in {FOLDER}")

# Which of several wrong parameters is named depends on the order of a hash in Perl.
FULLY = 0.99


def _judge() -> Any:
    spec = importlib.util.spec_from_file_location("replay", JUDGE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _replay(judge: Any, port: int) -> Any:
    """The judge's replay with two things matched that Proxmox makes up and the judge compares letter by letter.

    The order of the host interfaces is that of a Perl hash, another one with each answer. The digest of a guest whose
    MAC was invented is one of a file with that MAC.
    """

    class Replay(judge.Replay):  # type: ignore[misc]
        def settled(self, request: Any, want: Any) -> Any:
            status, body = super().settled(request, want)
            if request["path"].endswith("/network"):
                for answer in (body, want["body"]):
                    if isinstance(answer.get("data"), list):
                        answer["data"] = sorted(answer["data"], key=lambda row: str(row["iface"]))
            return status, body

        def same(self, want: Any, got: Any, key: Any = None) -> Any:
            if isinstance(want, dict) and isinstance(got, dict) and want.get("key") == got.get("key") == "digest":
                return self.same(want["value"], got["value"], "digest")
            return super().same(want, got, key)

    return Replay("127.0.0.1", port)


class JudgeClock(Clock):
    """Time passes only while the judge waits for a task to end: a recorded "running" is met on any machine."""

    def sleep(self, _: float) -> None:
        self.now += 1


@pytest.mark.parametrize("path", FILES or [Path()], ids=lambda path: path.stem)
def test_every_recorded_answer_is_given(path: Path) -> None:
    clock = JudgeClock()
    lab = Lab(["pve1", "pve2", "pve3"], version="9.1.4", task_seconds=1, clock=clock)
    lab.tokens["root@pam!tok"] = "secret"
    if (guests := path.with_suffix(".guests.json")).exists():
        lab.guests = read_guests(guests)
    for node in lab.nodes.values():
        node.strip()
    judge = _judge()
    judge.time = clock
    different, worded, asked = [], 0, 0
    with LabServer(lab, plain_http=True) as server:
        replay = _replay(judge, int(server.url.rsplit(":", 1)[1]))
        for line in map(json.loads, path.read_text().splitlines()):
            if "request" not in line or line["response"]["status"] in (595, 596, 599):
                continue
            substance, full, status, body = judge.check(replay, line)
            asked += 1
            worded += full
            if not substance:
                different.append((line["n"], line["request"], line["response"], status, body))
    assert different == []
    assert worded >= FULLY * asked


def test_the_command_line_gives_the_cluster_the_recordings_were_made_with() -> None:
    timeless = [path for path in FILES if "/tasks/" not in path.read_text() and path.stem not in ("guests", "network")]
    assert timeless
    start = (
        f"{sys.executable} -m pve_lab --port {{port}} --plain-http --empty --nodes pve1,pve2,pve3 "
        "--token root@pam!tok=secret {guests}"
    )
    done = subprocess.run(
        [sys.executable, str(JUDGE), "--start", start, *map(str, timeless)], capture_output=True, text=True, cwd=ROOT,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
