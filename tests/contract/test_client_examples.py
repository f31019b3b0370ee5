"""The commands that a started lab prints work as they are."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxmoxer import ProxmoxAPI

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What is printed for each client: its heading's first word, and the lines below it."""
    ca_file = tmp_path_factory.mktemp("lab") / "ca.pem"
    command = [sys.executable, "-m", "pve_lab", "--port", "0", "--pve-version", "9.2", "--ca-file", str(ca_file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    parts: dict[str, str] = {}
    heading = ""
    for line in process.stdout:
        if not line.startswith(" "):
            heading = line.split()[0].strip(":")
        else:
            parts[heading] = parts.get(heading, "") + line.strip() + "\n"
        if "spec.endpoints" in line:
            break
    yield parts
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)


def test_curl(said: dict[str, str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("LEFT OUT: there is no curl to try the printed command with")
    done = subprocess.run(
        ["curl", "--silent", "--show-error", *shlex.split(said["curl"])[1:]], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"data": []}


def test_proxmoxer(said: dict[str, str]) -> None:
    assert eval(said["proxmoxer"], {"ProxmoxAPI": ProxmoxAPI}) == []


def test_the_operators_secret(said: dict[str, str]) -> None:
    create, label, annotate, endpoints = said["operator"].splitlines()
    *_, token_id, token, file = shlex.split(create)
    assert (token_id, token) == ("--from-literal=tokenId=root@pam!tok", "--from-literal=token=secret")
    assert label.endswith(" pve-evpn.dev/cluster=pve")
    assert endpoints == f"spec.endpoints: [{annotate.rpartition('=')[2]}]"
    authority = Path(file.removeprefix("--from-file=ca.crt="))
    assert authority.read_text().startswith("-----BEGIN CERTIFICATE-----")
