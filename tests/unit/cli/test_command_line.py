"""The command line without a cluster: versions, settings that make no sense, files that are not clusters."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pve_evpn import __version__, settings
from pve_evpn.cli import main
from pve_evpn.cli.objects import left_behind
from pve_evpn.settings import Settings


def test_both_ways_to_ask_for_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"pve-evpn-operator {__version__}\n"
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"pve-evpn-operator {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--http", "8080"], "--http"),
        (["--log-level", "loud"], "--log-level"),
        (["--lease-duration", "ten"], "--lease-duration (PVE_EVPN_LEASE_DURATION): 'ten'"),
        (["--lease-duration", "10"], "longer than the renew deadline"),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_named(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_flags_win_over_variables_and_variables_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PVE_EVPN_HTTP": "127.0.0.1:1", "PVE_EVPN_LOG": "debug", "POD_NAME": "me"}.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load(argparse.Namespace(http="127.0.0.1:2"))
    assert (loaded.http_port, loaded.log_level, loaded.lease_name) == (2, "DEBUG", "pve-evpn-operator")
    assert loaded.instance == "me"


@pytest.mark.parametrize(
    ("text", "host"),
    [(":8080", ""), ("[::]:8080", "::"), ("[2001:db8::1]:8080", "2001:db8::1"), ("127.0.0.1:8080", "127.0.0.1")],
)
def test_the_address_of_metrics_may_be_of_either_family(text: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVE_EVPN_HTTP", text)
    loaded = settings.load()
    assert (loaded.http_host, loaded.http_port) == (host, 8080)


def test_every_setting_has_its_own_variable() -> None:
    fields = Settings.model_fields
    assert len({field.validation_alias for field in fields.values()}) == len(fields)


def test_only_clusters_are_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "clusters.yaml"
    file.write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n")
    assert main(["apply-clusters", str(file)]) == 1
    assert "only ProxmoxCluster objects" in capsys.readouterr().err
    assert main(["apply-clusters", str(tmp_path / "none")]) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "no object in Proxmox is known of it"),
        ({"id": "blue", "origin": "Created"}, "blue stays in Proxmox"),
        (
            {"id": "blue", "origin": "Adopted", "subnets": [{"id": "z-10.0.0.0-24"}]},
            "blue and its subnets z-10.0.0.0-24 stays in Proxmox",
        ),
        ({"vmid": 100, "device": "net0", "vnet": "blue"}, "net0 of guest 100 stays on blue"),
    ],
    ids=str,
)
def test_what_stays_behind_is_said(status: dict[str, object], words: str) -> None:
    assert left_behind({"metadata": {"name": "x"}, "status": status}) == words
