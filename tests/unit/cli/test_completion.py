"""Completion in a real bash, and as zsh, fish and kubectl ask for it. No cluster is there unless a test says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pve_evpn.cli import complete
from tests.e2e.process import ROOT

NOTHING: dict[str, str] = {}


def run(program: str, *arguments: str, environment: dict[str, str] = NOTHING) -> str:
    """What the module's ``main`` prints on stdout; on stderr nothing may be."""
    code = f"import sys; from {program} import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": "/nonexistent", **environment},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def pressed_tab(line: str, folder: Path) -> list[str]:
    """The completions of a command line in bash, by the script of `pve-evpn completion bash`."""
    program = folder / "pve-evpn"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pve_evpn "$@"\n')
    program.chmod(0o755)
    script = run("pve_evpn.cli", "completion", "bash")
    words = line.split(" ")
    asked = (
        f"{script}\nCOMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}\n"
        f"_pve_evpn_completion {program}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": "/nonexistent"}
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pve-evpn w", ["why"]),
        ("pve-evpn status --wa", ["--watch"]),
        ("pve-evpn status -o ma", ["markdown"]),
        ("pve-evpn why ev", ["evpncontroller/", "evpnnode/", "evpnzone/"]),
        ("pve-evpn why vnet/", []),
        ("pve-evpn trace ", []),
    ],
)
def test_bash(line: str, offered: list[str], tmp_path: Path) -> None:
    assert pressed_tab(line, tmp_path) == offered


@pytest.mark.parametrize(("shell", "words"), [("zsh", "#compdef pve-evpn"), ("fish", "complete --command pve-evpn")])
def test_the_other_shells_have_a_script(shell: str, words: str) -> None:
    assert words in run("pve_evpn.cli", "completion", shell)


def test_zsh_gets_explanations() -> None:
    asked = {"_PVE_EVPN_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "pve-evpn stat"}
    assert '"status":"everything on one screen' in run("pve_evpn.cli", environment=asked)


def test_kubectl_is_answered_as_cobra_does() -> None:
    program = "pve_evpn.cli.kubectl_complete"
    assert "\nwhy\twhy an object is not Ready, and what to do\n" in run(program, "")
    assert run(program, "status", "-o", "j") == "json\n:4\n"
    assert run(program, "plan", "-f", "") == ":0\n"


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("evpnz", ["evpnzone/blue", "evpnzone/green"]),
        ("vn", ["vnet/blue", "vnet/green"]),
        ("nic/", ["nic/blue", "nic/green"]),
    ],
)
def test_names_come_from_the_cluster(text: str, offered: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def items(kind: str, namespace: str = "") -> list[Any]:
        asked.append((kind, namespace))
        return [{"metadata": {"name": name}} for name in ("green", "blue")]

    monkeypatch.setattr(complete, "_items", items)
    context: Any = type("Context", (), {"params": {"namespace": "team-a"}})()
    assert complete.objects(context, text) == offered
    assert asked[0][1] == "team-a"
