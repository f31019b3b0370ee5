"""A brownfield cluster comes under management in one `kubectl apply`, and Proxmox is not written to."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from tests.brownfield import brownfield
from tests.e2e.process import ROOT
from tests.e2e.stack import TOKEN, Stack

pytestmark = pytest.mark.kube


def export(stack: Stack, *arguments: str) -> str:
    environment = {
        **stack.plane.environment,
        "PYTHONPATH": str(ROOT / "operator"),
        "PVE_TOKEN_ID": TOKEN[0],
        "PVE_TOKEN": TOKEN[1],
    }
    program = [sys.executable, "-m", "pve_evpn", "export", *arguments]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert f"{TOKEN[0]}={TOKEN[1]}" not in done.stdout
    return done.stdout


def test_an_export_is_applied_without_a_write(stack: Stack) -> None:
    brownfield(stack.lab)
    (stack.folder / "ca.pem").write_text(stack.server.ca_pem)
    where = ("--endpoint", stack.server.url, "--ca-file", str(stack.folder / "ca.pem"))
    first = export(stack, *where, "--name", "pve", "--nics", "--observe-only")
    stack.plane.kubectl("apply", "-f", "-", stdin=first, timeout=120)
    documents = [document for document in yaml.safe_load_all(first) if document]
    assert len(documents) == 1 + 1 + 3 + 5 + 40 + 50  # cluster, fabric, controllers, zones, VNets, NICs
    stack.await_ready(*documents, seconds=120)

    managed = export(stack, *where, "--name", "pve", "--nics", "--strict")
    stack.plane.kubectl("apply", "-f", "-", stdin=managed, timeout=120)
    documents = [document for document in yaml.safe_load_all(managed) if document]
    stack.await_ready(*documents, seconds=120)
    assert {stack.get(document)["status"]["origin"] for document in documents[1:10]} == {"Adopted"}
    assert stack.writes() == []

    # Everything has an object now, so that nothing is left to export.
    left = export(stack, "--cluster", "pve", "--nics")
    assert [document for document in yaml.safe_load_all(left) if document] == []
