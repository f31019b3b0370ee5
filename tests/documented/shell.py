"""A terminal for the commands of the documentation: bash, with a folder of programs first on its PATH.

``kubectl``, ``helm``, ``pve-evpn``, ``jq`` and so on are the real ones. ``pvesh`` and ``pveum`` act on the lab;
``ssh-keyscan`` and ``dot`` stand for what a build machine need not have. Names that every reader replaces by
their own (``NAME``, ``https://pve1.example.com:8006``) are replaced here too.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from pve_lab.access import Access
from tests.documented.lines import ROOT, Line
from tests.e2e.pveum import carry_out

#: Names of the seed by kind, for NAME and for names of a story that a page tells.
NAMES = {
    "pvec": "pve", "proxmoxcluster": "pve", "evpnn": "pve-pve1", "evpnc": "evpn1", "evpnz": "ezone1",
    "evpnzone": "ezone1", "vnet": "evpn1", "nic": "vm1-net0",
}  # fmt: skip
_PLACE = re.compile(rf"\b({'|'.join(NAMES)})([ /])(NAME|CLUSTER-NODE|prod|zone1|meter-net0)\b")
#: Exit statuses that say something else than an error.
_SAYS = {"pve-evpn plan": (2,)}
_MAY_FIND_NOTHING = ("grep",)
#: Beginnings of an output that shows a refusal.
_REFUSALS = ("The ", "error", "Error")

_PROGRAMS = {
    "pve-evpn": f'exec {sys.executable} -m pve_evpn "$@"',
    "pvesh": f'exec {sys.executable} -m tests.documented.pvesh "$@"',
    "ssh-keyscan": 'while [ "${1#-}" != "$1" ]; do shift 2; done\nfor host; do echo "$host $HOST_KEY"; done',
    # A folder stands for the place of a release's downloads.
    "curl": 'for word; do case "$word" in /*) word="file://$word";; esac; set -- "$@" "$word"; shift; done\n'
    f'exec {shutil.which("curl")} "$@"',
    "dot": 'grep -q "^\\(di\\)\\?graph " && echo %PDF',
}


class Shell:
    """One folder, one PATH; what a page exports holds until its end."""

    def __init__(self, folder: Path, environment: Mapping[str, str], access: Access) -> None:
        self.folder = folder
        #: Text of the pages -> text that is true here.
        self.replaced: dict[str, str] = {}
        self._access = access
        self._programs = folder.parent / f"{folder.name}-bin"
        self._environment = {
            **environment,
            "HOME": str(folder.parent / f"{folder.name}-home"),
            "PATH": f"{self._programs}:{environment['PATH']}",
            "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}",
            "HOST_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExkqNnNYKBXHSJvMC9jmDfQvTTGHNFbXqcFmMzvPwxq",
        }
        self._exports = folder.parent / f"{folder.name}-exports"
        self._page = ""
        folder.mkdir()
        Path(self._environment["HOME"]).mkdir()
        self._programs.mkdir()
        for name, script in _PROGRAMS.items():
            self.program(name, script)
        if shutil.which("jq") is None:
            warnings.warn("LEFT OUT: what jq makes of an answer, it is not installed", stacklevel=2)
            self.program("jq", "cat")

    def program(self, name: str, script: str) -> None:
        """Put a program first on the PATH."""
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def export(self, name: str, value: str) -> None:
        """What a reader of the present page has exported by himself."""
        with self._exports.open("a") as exports:
            exports.write(f"export {name}={shlex.quote(value)}\n")

    def turn_to(self, page: str) -> None:
        """What the page before exported is no longer known."""
        if page != self._page:
            self._page = page
            self._exports.write_text("")

    def run(self, line: Line) -> str:
        """Carry it out; what it printed.

        Raises AssertionError with the page's line where it fails, where it does not fail and the page says so, or
        where a table has other columns than the page's.
        """
        self.turn_to(line.page)
        text = self._true_here(line.text)
        if text.startswith("pveum "):
            return self._pveum(shlex.split(text)[1:])
        output, errors, states = self._bash(text)
        problem = self._problem(line, text, output + errors, states)
        assert problem is None, f"{line.place}: {text}\n{problem}\n{output}{errors}"
        return output

    @property
    def _place(self) -> Path:
        return self.folder / "examples" if self._page == "examples/README.md" else self.folder

    def _true_here(self, text: str) -> str:
        for there, here in self.replaced.items():
            text = re.sub(there, lambda _match, here=here: here, text)  # type: ignore[misc]
        text = _PLACE.sub(lambda match: f"{match[1]}{match[2]}{NAMES[match[1]]}", text)
        return re.sub(r"(--cluster|pve-evpn lock) NAME\b", r"\1 pve", text).replace("NAMESPACE", "default")

    def _bash(self, text: str) -> tuple[str, str, list[int]]:
        """Output, errors, and the exit status of every command of the (last) pipe."""
        states = self.folder.parent / f"{self.folder.name}-states"
        script = f'. "$0"\n{text}\necho "${{PIPESTATUS[@]}}" >"$1"\ndeclare -px >"$0"'
        states.write_text("1")
        done = subprocess.run(
            ["bash", "-c", script, str(self._exports), str(states)],
            cwd=self._place,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=150,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout, done.stderr, [int(word) for word in states.read_text().split()]

    def _problem(self, line: Line, text: str, said: str, states: list[int]) -> str | None:
        if line.output and line.output[0].startswith(_REFUSALS):
            if states == [0]:
                return "the page says that this is refused"
            return None if line.output[0] in said else f"the page says: {line.output[0]}"
        for state, words in zip(states, pipe(text), strict=False):
            allowed = next((more for start, more in _SAYS.items() if " ".join(words).startswith(start)), ())
            if state not in (0, *allowed) and not (state == 1 and words[0] in _MAY_FIND_NOTHING):
                return f"exit status {state} of {words[0]}"
        if line.output and line.text.startswith("kubectl get") and re.fullmatch(r"[A-Z0-9 ]+", line.output[0]):
            columns = said.partition("\n")[0].split()
            if columns != line.output[0].split():
                return f"columns are {columns}"
        return None

    def _pveum(self, words: list[str]) -> str:
        """On the lab; a new token has the secret that every file of these pages holds."""
        said = carry_out(words, self._access)
        if words[:3] == ["user", "token", "add"]:
            self._access.secrets[f"{words[3]}!{words[4]}"] = (self.folder / "token").read_text()
        return said


def pipe(text: str) -> list[list[str]]:
    """The words of each command of the last pipe, without variables before them."""
    lexer = shlex.shlex(text.rpartition("&& ")[2], posix=True, punctuation_chars="|")
    lexer.whitespace_split, lexer.commenters = True, ""
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", word):
            commands[-1].append(word)
    return commands
