"""`pve-evpn doctor` before anything is installed, against a lab over HTTPS: mistakes, and the line that mends each."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pve_evpn.cli import main
from pve_lab.access import User
from pve_lab.server import LabServer
from tests.e2e.stack import NOWHERE


def checks(server: LabServer, capsys: pytest.CaptureFixture[str], *more: str, endpoint: str = "") -> dict[str, Any]:
    status = main(["doctor", "--offline", "--endpoint", endpoint or server.url, *more, "-o", "json"])
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)["proxmox"]}
    assert (status == 3) is any(row["grade"] == "fail" for row in rows.values())
    assert {method for method, _, _ in server.lab.journal} <= {"GET"}
    return rows


def test_a_good_token_has_nothing_to_mend(
    server: LabServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = checks(server, capsys, "--ca-file", str(tmp_path / "ca.pem"))
    assert {row["grade"] for row in rows.values()} <= {"ok", "warn"}
    assert rows["privileges"]["grade"] == "ok"


@pytest.mark.parametrize(
    ("case", "check", "mend"),
    [
        ("no token", "API", "PVE_TOKEN_ID"),
        ("a wrong token", "API", "token"),
        ("a wrong fingerprint", "API", "spec.tls.fingerprint"),
        ("a wrong port", "endpoint", "curl -kv"),
        ("a token without rights", "privileges to change the SDN", "pveum acl modify /sdn"),
        ("a clock that is wrong", "clock", "NTP"),
    ],
)
def test_each_mistake_is_one_line_with_the_command_that_mends_it(
    case: str,
    check: str,
    mend: str,
    server: LabServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trusted, endpoint = ["--ca-file", str(tmp_path / "ca.pem")], ""
    match case:
        case "no token":
            monkeypatch.delenv("PVE_TOKEN_ID")
        case "a wrong token":
            monkeypatch.setenv("PVE_TOKEN", "wrong")
        case "a wrong fingerprint":
            trusted = ["--fingerprint", ":".join(["AB"] * 32)]
        case "a wrong port":
            endpoint = NOWHERE
        case "a token without rights":
            monkeypatch.setattr(server.lab, "access", copy.deepcopy(server.lab.access))
            server.lab.access.roles["Looks"] = frozenset({"SDN.Audit", "Sys.Audit", "VM.Audit"})
            server.lab.access.users["weak@pve"] = User()
            server.lab.access.grant("weak@pve", "/", "Looks")
            monkeypatch.setenv("PVE_TOKEN_ID", "weak@pve!x")
            monkeypatch.setenv("PVE_TOKEN", server.lab.access.new_token("weak@pve!x", privsep=False))
        case "a clock that is wrong":
            real = server.lab.now
            monkeypatch.setattr(server.lab, "now", lambda: real() + 90)
    row = checks(server, capsys, *trusted, endpoint=endpoint)[check]
    assert row["grade"] == "fail"
    assert mend in row["mend"] + row["found"]
