"""Progress on long work: on a terminal only, on stderr, and gone when the work is done."""

from __future__ import annotations

import io
import sys

import pytest

from pve_evpn.cli import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_what_is_being_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with output.working("reading Proxmox"):
        pass
    assert "reading Proxmox ..." in terminal.getvalue()
    with output.working("reading Proxmox") as now:
        now("reading logs of [bold]\x1b[2Jpod")
    shown = terminal.getvalue()
    assert "[bold]" in shown, "names from outside are no markup"
    assert "\x1b[2J" not in shown
    assert shown.endswith("\x1b[2K"), "the line is taken away again"
    assert capsys.readouterr().out == ""


def test_a_file_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with output.working("reading Proxmox") as now:
        now("reading more")
    assert stream.getvalue() == ""
