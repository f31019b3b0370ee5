"""TAB in real shells, by the scripts of ``pve-evpn completion``: zsh behind a terminal, and fish."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import ROOT
from tests.unit.cli.test_completion import run

_SECONDS = 60.0


def needed(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"LEFT OUT, TAB in {shell}: it is not installed (Debian: apt-get install {shell})")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the program on the PATH, and a manifest."""
    program = tmp_path / "bin" / "pve-evpn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pve_evpn "$@"\n')
    program.chmod(0o755)
    (tmp_path / "networks.yaml").touch()
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "operator"),
        "KUBECONFIG": "/nonexistent",
        "TERM": "dumb",
    }


# --- fish ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def fish(home: Path) -> Path:
    needed("fish")
    script = home / ".config" / "fish" / "completions" / "pve-evpn.fish"
    script.parent.mkdir(parents=True)
    script.write_text(run("pve_evpn.cli", "completion", "fish"))
    return home


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pve-evpn tr", ["trace"]),
        ("pve-evpn status --wa", ["--watch"]),
        ("pve-evpn why ev", ["evpncontroller/", "evpnnode/", "evpnzone/"]),
        ("pve-evpn plan -f netw", ["networks.yaml"]),
        ("pve-evpn trace ", []),
    ],
)
def test_fish(line: str, offered: list[str], fish: Path) -> None:
    asked = ["fish", "-c", f"complete -C {line!r}"]
    done = subprocess.run(
        asked, capture_output=True, text=True, timeout=_SECONDS, env=environment(fish), cwd=fish, check=True
    )
    assert done.stderr == ""
    found = [row.partition("\t")[0] for row in done.stdout.splitlines()]
    files = {"networks.yaml", "bin/"} if not offered else set[str]()
    assert [each for each in found if each not in files] == offered


# --- zsh ----------------------------------------------------------------------------------------------------------

#: Ctrl-O prints the line as it is, so that the test knows what TAB made of it.
_SHOWS = """PS1='ready> '; show() { print -r -- "LINE<$BUFFER>" }; zle -N show; bindkey '^O' show"""


class Zsh:
    """An interactive zsh behind a terminal, without anyone's own settings."""

    def __init__(self, home: Path, setup: str) -> None:
        self._seen = b""
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(home)
            os.execvpe("zsh", ["zsh", "-f", "-i"], environment(home))
        self._send(f"{_SHOWS}; {setup}; print -r -- SET''UP\n")
        self._await(rb"SETUP\r\n.*ready> ")

    def press(self, line: str) -> str:
        """The line after typing it, TAB with it."""
        before = len(self._seen)
        self._send(line)
        self._send("\x0f")
        found = self._await(rb"LINE<([^>\r]*)>", before)
        self._send("\x15")
        return found.group(1).decode()

    def _send(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def _await(self, pattern: bytes, since: int = 0) -> re.Match[bytes]:
        deadline = time.monotonic() + _SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if found := re.compile(pattern, re.S).search(self._seen, since):
                return found
            if select.select([self._terminal], [], [], left)[0]:
                self._seen += os.read(self._terminal, 65536)
        raise AssertionError(f"no {pattern!r} in {self._seen!r}")

    def close(self) -> None:
        os.kill(self._process, 9)
        os.waitpid(self._process, 0)
        os.close(self._terminal)


@pytest.fixture(params=["from fpath", "sourced"])
def zsh(request: pytest.FixtureRequest, home: Path) -> Iterator[Zsh]:
    needed("zsh")
    script = home / ".zfunc" / "_pve-evpn"
    script.parent.mkdir()
    script.write_text(run("pve_evpn.cli", "completion", "zsh"))
    loaded = "autoload -Uz compinit; compinit -u -d ~/.dump"
    from_fpath = request.param == "from fpath"
    made = Zsh(home, f"fpath=(~/.zfunc $fpath); {loaded}" if from_fpath else f"{loaded}; source {script}")
    yield made
    made.close()


def test_zsh(zsh: Zsh) -> None:
    assert zsh.press("pve-evpn tr\t") == "pve-evpn trace ", "with the first TAB"
    assert zsh.press("pve-evpn status --wa\t") == "pve-evpn status --watch "
    assert zsh.press("pve-evpn status -o ma\t") == "pve-evpn status -o markdown "
    assert zsh.press("pve-evpn plan -f netw\t") == "pve-evpn plan -f networks.yaml "
    assert zsh.press("pve-evpn trace \t") == "pve-evpn trace "
