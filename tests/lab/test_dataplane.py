"""The choice of a data plane, and what the lab prints about it."""

from __future__ import annotations

import sys

import pytest

from pve_lab.__main__ import main
from pve_lab.client_examples import node_access
from pve_lab.dataplane.create import create
from pve_lab.frr import install
from pve_lab.lab import Lab


def test_the_model_is_the_default_and_says_what_it_is() -> None:
    lab = Lab(["pve1"])
    assert lab.dataplane.name == "model"
    assert "no FRR behind" in node_access(create(lab, "model"))


def test_real_frr_without_root_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["pve_lab", "--dataplane", "frr", "--port", "0"])
    assert main() == 1
    assert "need root" in capsys.readouterr().err


def test_what_is_not_installed_is_named_with_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.os, "geteuid", lambda: 0)
    monkeypatch.setattr(install.Path, "exists", lambda _: False)
    why = install.missing()
    assert why is not None
    assert "FRR" in why
    assert "apt-get install frr frr-pythontools openssh-server" in why
