"""The stack of the end-to-end tests; and a lab over HTTPS for commands that read Proxmox and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pve_lab.lab import Lab, seed
from pve_lab.server import LabServer
from tests.brownfield import brownfield
from tests.e2e.conftest import stack

__all__ = ["stack"]

TOKEN = ("root@pam!export", "c2VjcmV0LXRva2Vu")


@pytest.fixture(scope="session")
def brown_lab() -> Lab:
    """The brownfield network. Tests may read it through ``server`` and put back what they change."""
    lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0)
    seed(lab)
    brownfield(lab)
    return lab


@pytest.fixture
def server(brown_lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LabServer]:
    """It serves with a CA in ``ca.pem``; the environment has a token, and no kubeconfig."""
    brown_lab.tokens.clear()
    brown_lab.tokens[TOKEN[0]] = TOKEN[1]
    brown_lab.journal.clear()
    monkeypatch.setenv("PVE_TOKEN_ID", TOKEN[0])
    monkeypatch.setenv("PVE_TOKEN", TOKEN[1])
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with LabServer(brown_lab) as server:
        (tmp_path / "ca.pem").write_text(server.ca_pem)
        yield server
