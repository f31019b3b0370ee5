"""`pve-evpn export` against a lab over HTTPS: where it reads from, what it writes, what it never shows."""

from __future__ import annotations

import hashlib
import json
import ssl
from pathlib import Path

import pytest
import yaml

from pve_evpn.cli import main
from pve_lab.server import LabServer
from tests.cli.conftest import TOKEN
from tests.e2e.process import ROOT
from tests.e2e.pveum import carry_out, commands

PAGE = ROOT / "docs/import.md"


def reads_only(server: LabServer) -> bool:
    return {method for method, _, _ in server.lab.journal} == {"GET"}


def test_a_folder_is_a_kustomization_with_a_file_per_zone(
    server: LabServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "networks"
    where = ["--endpoint", server.url, "--ca-file", str(tmp_path / "ca.pem")]
    assert main(["export", *where, "--name", "pve", "-n", "net", "--vmid", "1000-1009", "-d", str(folder)]) == 0
    named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert named[:4] == ["cluster.yaml", "fabrics.yaml", "controllers.yaml", "zone-prod.yaml"]
    assert {path.name for path in folder.iterdir()} == {"kustomization.yaml", *named}
    documents = [doc for name in named for doc in yaml.safe_load_all((folder / name).read_text())]
    assert [doc["kind"] for doc in documents[:2]] == ["Namespace", "ProxmoxCluster"]
    assert sum(doc["kind"] == "NicAttachment" for doc in documents) == 10
    cluster = documents[1]["spec"]
    assert cluster["guestAccess"][0]["guests"] == {"vmids": [{"from": 1000, "to": 1009}]}
    zones = {doc["metadata"]["name"]: doc["spec"]["id"] for doc in documents if doc["kind"] == "EvpnZone"}
    assert zones == {"prod": "Prod", "prod-2": "prod", "z3": "z3", "z4": "z4", "z5": "z5"}
    assert TOKEN[1] not in "".join(path.read_text() for path in folder.iterdir()) + "".join(capsys.readouterr())
    assert reads_only(server)


def test_a_fingerprint_is_enough_and_what_cannot_be_said_is_at_the_top(
    server: LabServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for copy in (server.lab.sdn.edited, server.lab.sdn.running):
        monkeypatch.setitem(copy["zones"], "z5", {**copy["zones"]["z5"], "mtu": 100})
    host, port = server.url.removeprefix("https://").split(":")
    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))).hexdigest()
    fingerprint = ":".join(pin[at : at + 2].upper() for at in range(0, 64, 2))
    where = ["--endpoint", server.url, "--fingerprint", fingerprint]
    assert main(["export", *where, "--observe-only"]) == 0
    out = capsys.readouterr().out
    assert "&id" not in out  # no anchors
    first, *documents = out.split("---\n")
    assert "#   zone z5 mtu: '100': Input should be greater than or equal to 576\n" in first
    assert "#   zone vl: its type is 'vlan', and this API has no kind for it\n" in first
    specs = [yaml.safe_load(text)["spec"] for text in documents]
    assert specs[0]["tls"] == {"fingerprint": fingerprint}
    assert {spec["managementPolicy"] for spec in specs} == {"ObserveOnly"}
    assert main(["export", *where, "--strict", "-o", "json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["kind"] == "List"
    assert "not exported: zone z5 mtu" in err
    assert main(["export", *where, "-o", "markdown"]) == 0
    assert "| EvpnZone |  | prod-2 | prod |" in capsys.readouterr().out


def test_the_token_that_the_page_makes_is_enough(
    server: LabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [secret] = filter(None, [carry_out(command, server.lab.access) for command in commands(PAGE)])
    monkeypatch.setenv("PVE_TOKEN_ID", "pve-evpn-read@pve!export")
    monkeypatch.delenv("PVE_TOKEN")
    (tmp_path / "token").write_text(f"{secret}\n")
    where = ["--endpoint", server.url, "--ca-file", str(tmp_path / "ca.pem"), "--token-file", str(tmp_path / "token")]
    assert main(["export", *where, "--nics", "--strict"]) == 0
    out, err = capsys.readouterr()
    assert (out.count("kind: NicAttachment"), out.count("policyForward: DROP"), err) == (50, 10, "")
    assert secret not in out


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ([], {}, "say where Proxmox is"),
        (["--endpoint", "http://pve"], {}, "endpoints.0"),
        (["--endpoint", "https://127.0.0.1:1"], {}, "Proxmox cannot be reached"),
        (["--endpoint", "https://127.0.0.1:1"], {"PVE_TOKEN_ID": ""}, "no credentials for Proxmox"),
        (["--endpoint", "https://127.0.0.1:1"], {"PVE_TOKEN": "a b"}, "must be one word on one line"),
        (["--endpoint", "https://127.0.0.1:1", "--token-file", "none"], {}, "none: No such file"),
        (["--endpoint", "https://127.0.0.1:1", "--vmid", "x"], {}, "--vmid x"),
        (["--cluster", "pve"], {}, "kubeconfig"),
    ],
    ids=str,
)
def test_what_is_missing_is_said_in_one_line(
    server: LabServer,
    arguments: list[str],
    environment: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["export", *arguments]) == 1
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1
