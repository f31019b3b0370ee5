"""The jobs of examples/ci: their shell parts run against a lab, with stand-ins for what GitHub and GitLab bring."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_evpn.cli import main
from pve_lab.server import LabServer
from tests.cli.conftest import TOKEN
from tests.cli.test_plan import edit

ROOT = Path(__file__).parents[2]
CI = ROOT / "examples/ci"
#: Records how it was called, and what came in.
_STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$RECORD"
for word; do case "$word" in *plan.md) cat plan.md >> "$RECORD";; @-) cat >> "$RECORD"; echo >> "$RECORD";; esac; done
"""


@pytest.fixture
def checkout(server: LabServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A repository with the brownfield network, and commands that stand in for the outside."""
    where = ["--endpoint", server.url, "--ca-file", str(tmp_path / "ca.pem")]
    assert main(["export", *where, "--name", "pve", "-d", str(tmp_path / "repository/networks")]) == 0
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pve-evpn").write_text(f'#!/bin/sh\nexec {sys.executable} -m pve_evpn "$@"\n')
    for name in ("gh", "curl", "pipx", "pip", "apt-get"):
        (programs / name).write_text(_STAND_IN)
    for program in programs.iterdir():
        program.chmod(0o755)
    capsys.readouterr()
    return tmp_path / "repository"


def fingerprint(server: LabServer) -> str:
    host, port = server.url.removeprefix("https://").split(":")
    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))).hexdigest()
    return ":".join(pin[at : at + 2].upper() for at in range(0, 64, 2))


def known(server: LabServer) -> dict[str, str]:
    """What people configure, by the names the examples ask for."""
    return {
        "PVE_TOKEN_ID": TOKEN[0],
        "PVE_TOKEN": TOKEN[1],
        "PVE_ENDPOINT": server.url,
        "PVE_FINGERPRINT": fingerprint(server),
    }


def run(script: str, checkout: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    record = checkout.parent / "record"
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    whole = {
        **kept,
        "PYTHONPATH": str(ROOT / "operator"),
        **environment,
        "PATH": f"{checkout.parent / 'bin'}:{kept['PATH']}",
        "RECORD": str(record),
    }
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=checkout,
        env=whole,
        capture_output=True,
        text=True,
        timeout=120,
    )


def recorded(checkout: Path) -> str:
    return (checkout.parent / "record").read_text()


def steps() -> list[dict[str, Any]]:
    workflow = yaml.safe_load((CI / "github-workflow.yml").read_text())
    return [step for step in workflow["jobs"]["plan"]["steps"] if "run" in step]


def github(server: LabServer, checkout: Path) -> tuple[bool, str]:
    """Whether the job succeeds, and everything it shows."""
    values = {
        f"${{{{ {place}.{name} }}}}": value for name, value in known(server).items() for place in ("vars", "secrets")
    }
    values |= {"${{ github.token }}": "gh-token", "${{ github.event.pull_request.number }}": "7"}
    files = {name: str(checkout.parent / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        Path(path).touch()
    shown = ""
    for step in steps():
        outputs = dict(line.split("=", 1) for line in Path(files["GITHUB_OUTPUT"]).read_text().splitlines())
        if "if" in step:
            assert step["if"] == "steps.plan.outputs.status == '1'"
            if outputs["status"] != "1":
                continue
        environment = {name: values.get(str(value), str(value)) for name, value in step.get("env", {}).items()}
        assert not any("${{" in value for value in environment.values()), environment
        done = run(step["run"], checkout, {**files, "GITHUB_REPOSITORY": "me/networks", **environment})
        shown += done.stdout + done.stderr
        if done.returncode:
            return False, shown
    return True, shown + Path(files["GITHUB_STEP_SUMMARY"]).read_text()


def gitlab(server: LabServer, checkout: Path) -> tuple[bool, str]:
    job = yaml.safe_load((CI / "gitlab-ci.yml").read_text())["plan-networks"]
    environment = {
        **known(server),
        **job["variables"],
        "GITLAB_TOKEN": "gl-token",
        "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "7",
    }
    done = run("\n".join([*job["before_script"], *job["script"]]), checkout, environment)
    return done.returncode == 0, done.stdout + done.stderr + (checkout / "plan.md").read_text()


@pytest.mark.parametrize("job", [github, gitlab])
def test_a_change_is_commented_and_the_job_succeeds(job: Any, server: LabServer, checkout: Path) -> None:
    edit(checkout / "networks/zone-z4.yaml", "z4", mtu=1400)
    succeeded, shown = job(server, checkout)
    assert succeeded, shown
    comment = recorded(checkout)
    assert "| disruptive | update zone z4: mtu unset -\\> 1400 | EvpnZone z4 | mtu |" in comment
    assert ("gh pr comment 7 --repo me/networks" in comment) or ("merge_requests/7/notes" in comment)
    assert TOKEN[1] not in shown + comment
    assert "g" + "l-token" not in comment.replace("PRIVATE-TOKEN: gl-token\n", "")
    assert {method for method, _, _ in server.lab.journal} == {"GET"}


@pytest.mark.parametrize("job", [github, gitlab])
def test_a_refusal_is_commented_and_the_job_fails(job: Any, server: LabServer, checkout: Path) -> None:
    edit(checkout / "networks/zone-prod.yaml", "vn10", id="vnnew", vni=5005, subnets=None)
    succeeded, _ = job(server, checkout)
    assert not succeeded
    assert "VniConflict" in recorded(checkout)


@pytest.mark.parametrize("job", [github, gitlab])
def test_a_plan_that_cannot_be_made_says_so(job: Any, server: LabServer, checkout: Path) -> None:
    server.lab.tokens.clear()
    succeeded, shown = job(server, checkout)
    assert not succeeded
    assert "The plan could not be made" in recorded(checkout)
    assert "Proxmox does not accept the credentials" in shown
