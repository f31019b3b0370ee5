"""The command line without a cluster: versions, settings that make no sense, files that are not clusters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pve_evpn import __version__, settings
from pve_evpn.cli import main
from pve_evpn.cli.objects import left_behind
from pve_evpn.cli.program import COMMANDS
from pve_evpn.settings import Settings
from tests.e2e.process import ROOT

NAMES = [name for commands in COMMANDS.values() for name in commands]


def test_both_ways_to_ask_for_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"pve-evpn-operator {__version__}\n"
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pve-evpn-operator {__version__}\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_each_command_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Example: " in text
    assert f"pve-evpn {name} " in f"{text.split('Example: ')[1]} "


def test_the_list_of_commands_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is in the help without being imported, and in the documentation."""
    assert main(["--help"]) == 0
    shown, page = capsys.readouterr().out, (ROOT / "docs" / "cli.md").read_text()
    assert [name for name in NAMES if f" {name} " not in shown] == []
    assert [name for name in NAMES if f"`{name}" not in page] == []


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ([], 2, "pve-evpn: Missing command. See pve-evpn --help"),
        (["stauts"], 2, "Did you mean 'status'?"),
        (
            ["status", "-o", "xml"],
            2,
            "pve-evpn status: Invalid value for '--output' / '-o': 'xml' is not one of 'text',",
        ),
        (["why"], 2, "Missing argument 'KIND/NAME'"),
        (["plan"], 1, "Missing option '--filename'"),
        (["plan", "--nonsense"], 1, "No such option: --nonsense. See pve-evpn plan --help"),
        (["run", "--nonsense"], 2, "No such option: --nonsense (Possible options: --instance). See pve-evpn run"),
    ],
    ids=str,
)
def test_a_wrong_command_line_gets_one_line(
    line: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 of `plan`: there 2 says that something would change."""
    assert main(line) == status
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_only_the_module_of_a_command_is_imported() -> None:
    program = (
        "import sys; from pve_evpn.cli import main\n"
        "main(['--help']); main(['peers', '--help'])\n"
        f"others = {{'pve_evpn.cli.' + name.replace('-', '_') for name in {NAMES}}} & set(sys.modules)\n"
        "assert others == {'pve_evpn.cli.peers'}, others"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, stdout=subprocess.DEVNULL)


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


def test_every_setting_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in Settings.model_fields if f"--{name.replace('_', '-')} VALUE" not in shown] == []


def test_flags_win_over_variables_and_variables_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PVE_EVPN_HTTP": "127.0.0.1:1", "PVE_EVPN_LOG": "debug", "POD_NAME": "me"}.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load({"http": "127.0.0.1:2", "log_level": None})
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
