"""`pve-evpn plan` against a lab over HTTPS and without Kubernetes: exit statuses, forms, and what is never shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_evpn.cli import main
from pve_lab.server import LabServer
from tests.cli.conftest import TOKEN

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def where(server: LabServer, tmp_path: Path) -> list[str]:
    return ["--endpoint", server.url, "--ca-file", str(tmp_path / "ca.pem")]


@pytest.fixture
def folder(where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The brownfield network as manifests."""
    found = tmp_path / "networks"
    assert main(["export", *where, "--name", "pve", "--nics", "-d", str(found)]) == 0
    capsys.readouterr()
    return found


def edit(path: Path, name: str, **spec: Any) -> None:
    """Change fields of one manifest in a file; None removes one."""
    documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
    [chosen] = [document for document in documents if document["metadata"]["name"] == name]
    chosen["spec"] = {key: value for key, value in {**chosen["spec"], **spec}.items() if value is not None}
    path.write_text(yaml.safe_dump_all(documents))


def test_an_export_plans_to_nothing(where: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", str(folder), *where]) == 0
    out = capsys.readouterr().out
    assert "No changes. Proxmox has what these manifests say." in out
    assert "left aside: 1 object of other APIs" in out  # the Kustomization


def test_changes_exit_with_2_in_every_form(
    server: LabServer, where: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder / "zone-z4.yaml", "z4", mtu=1400)
    edit(folder / "zone-prod.yaml", "vn5", alias="Customers")
    edit(folder / "zone-prod.yaml", "vn10", id="vnnew", vni=7777, subnets=None, firewall=None)
    assert main(["plan", "-f", str(folder), *where, "-o", "json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["summary"] == [
        "3 steps in one apply (disruptive: 1, reload: 1, none: 1), 1 NIC write, 95 objects unchanged."
    ]
    assert [(row["class"], row["object"], row["why"]) for row in said["changes"][:3]] == [
        ("disruptive", "EvpnZone z4", "mtu"),
        ("none", "VNet default/vn5", "alias"),
        ("reload", "VNet default/vn10", "it is new"),
    ]
    assert main(["plan", "-f", str(folder), *where, "-o", "markdown"]) == 2
    shown = capsys.readouterr().out
    assert "| disruptive | update zone z4: mtu unset -\\> 1400 | EvpnZone z4 | mtu |" in shown
    assert main(["plan", "-f", str(folder), *where]) == 2
    assert TOKEN[1] not in shown + capsys.readouterr().out
    assert {method for method, _, _ in server.lab.journal} == {"GET"}


def test_markdown_cannot_be_broken_out_of(where: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder / "zone-prod.yaml", "vn5", alias="<img src=x> [a](http://x) @admins")
    edit(folder / "zone-prod.yaml", "vn10", **{"id": "vnnew", "vni": 7777, "| a <b>\x1b[31m\n": 1})
    assert main(["plan", "-f", str(folder), *where, "-o", "markdown"]) == 1
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if "vn5" in line or "unknown field" in line]
    assert r"\<img src=x\> \[a\](http://x) &#64;admins" in rows[0]
    assert r"unknown field: spec.\| a \<b\> \[31m" in rows[1]
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"vni": 5005}, "VNI 5005 is already used by"),
        ({"colour": "red"}, "unknown field: spec.colour"),
        ({"alias": "a\tb"}, "InvalidSpec"),
        ({"zoneRef": {"name": "nowhere"}}, "it refers to no object of this ProxmoxCluster"),
    ],
    ids=str,
)
def test_what_would_be_refused_exits_with_1(
    spec: dict[str, Any], words: str, where: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder / "zone-prod.yaml", "vn10", **{"id": "vnnew", "vni": 7777, "subnets": None, **spec})
    assert main(["plan", "-f", str(folder), *where]) == 1
    out = capsys.readouterr().out
    assert words in out
    assert "VNet default/vn10" in out


def test_stdin_lists_and_other_apis(
    where: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = [doc for path in folder.glob("*.yaml") for doc in yaml.safe_load_all(path.read_text()) if doc]
    whole = {"apiVersion": "v1", "kind": "List", "items": [*documents, {"apiVersion": "v1", "kind": "ConfigMap"}]}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(whole)))
    assert main(["plan", "-f", "-", *where, "-o", "yaml"]) == 0
    assert "left aside: 2 objects of other APIs" in capsys.readouterr().out


def test_a_manifest_does_not_choose_who_gets_the_token(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", str(folder)]) == 1
    assert "the endpoints of a manifest are not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "line 1: this is no YAML"),
        ("just text", "a manifest is a mapping"),
        ("apiVersion: pve-evpn.dev/v1alpha1\nkind: Net\nmetadata: {name: x}", "needs a kind of it"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}", "no ProxmoxCluster: name one with --cluster"),
    ],
    ids=str,
)
def test_files_that_are_no_manifests_are_named(
    content: str, words: str, where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.yaml").write_text(content)
    assert main(["plan", "-f", str(tmp_path / "x.yaml"), *where]) == 1
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "-f", "x", "--colour", "red"]], ids=str)
def test_a_wrong_command_line_is_not_taken_for_changes(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert "See pve-evpn plan --help" in capsys.readouterr().err
