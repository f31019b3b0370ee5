"""A command that goes on until it is ended, with what it has printed so far."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.process import ROOT
from tests.e2e.stack import Stack
from tests.kube.controlplane.cluster import die_with_parent
from tests.waiting import await_


class Running:
    """The program with the plane's kubeconfig and these variables; it ends with the test."""

    def __init__(self, stack: Stack, folder: Path, *arguments: str, **environment: str) -> None:
        self._file = folder / f"{arguments[0]}.out"
        with self._file.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pve_evpn", *arguments], stdout=out, stderr=out, preexec_fn=die_with_parent,
                process_group=0,
                env={**os.environ, **stack.plane.environment, "PYTHONPATH": str(ROOT / "operator"), **environment},
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self._file.read_text()

    def await_words(self, words: str, *, after: str = "") -> None:
        """Wait until it has printed them, behind the last ``after``."""
        await_(f"it says {words!r}", lambda: words in (self.text.rpartition(after)[2] if after else self.text))

    def ended(self) -> tuple[int] | None:
        """Its exit status; None while it runs."""
        status = self._process.poll()
        return None if status is None else (status,)

    def end(self, number: int) -> int:
        """Send the signal; the exit status."""
        self._process.send_signal(number)
        return self._process.wait(30)
