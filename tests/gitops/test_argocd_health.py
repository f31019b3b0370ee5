"""The health checks of examples/gitops/argocd, run by the real argocd on statuses our objects pass through."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_evpn.api.kinds import GROUP, KINDS
from pve_evpn.api.schema import default_status
from tests.gitops import statuses
from tests.gitops.programs import TOOLS
from tests.gitops.statuses import CURRENT, FAILED, IN_PROGRESS, Case
from tests.gobuild import built
from tests.kube.controlplane.binaries import ensure

EXAMPLES = Path(__file__).parents[2] / "examples" / "gitops" / "argocd"
MEANS = {CURRENT: "Healthy", FAILED: "Degraded", IN_PROGRESS: "Progressing"}
#: Settings of both shapes that a user may have already, one of them for our kinds as earlier documentation had it.
USERS_OWN = {
    "url": "https://argocd.example.com",
    "resource.customizations": yaml.safe_dump(
        {
            "example.com/Widget": {"health.lua": "return {status = 'Suspended', message = \"the user's own\"}"},
            f"{GROUP}/*": {"health.lua": "return {status = 'Missing', message = 'outdated'}"},
        }
    ),
    "resource.customizations.health.example.com_Gadget": "return {status = 'Degraded', message = \"the user's own, by "
    'key"}',
}
Judge = Callable[[list[dict[str, Any]]], list[tuple[str, str]]]


def is_paused(case: Case) -> bool:
    return case.conditions().get("Paused", {}).get("status") == "True"


def expected(case: Case) -> tuple[str, str]:
    """Argo CD's word for the situation, and the message that should stand beside it."""
    found = case.conditions()
    ready = found["Ready"]
    if case.status.observed_generation is None:  # the first status of all
        return "Progressing", "waits for the operator to process it"
    if is_paused(case) and case.expected is not FAILED:
        return "Suspended", found["Paused"]["message"]
    if case.resource.key.kind == "EvpnNode":
        word = {"True": "Healthy", "False": "Degraded", "Unknown": "Unknown"}[ready["status"]]
    else:
        word = MEANS[case.expected]
    return word, ready["message"] or ready["reason"]


def representatives() -> list[Case]:
    """One case of every kind for every thing that can be said of it."""
    chosen: dict[Any, Case] = {}
    for case in statuses.every():
        said = case.resource.key.kind, case.expected, is_paused(case), case.conditions()["Ready"]["status"]
        chosen.setdefault(said, case)
    return list(chosen.values())


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ConfigMap with entries of the user's own after the patch of the documentation, by kubectl without a cluster."""
    folder = tmp_path_factory.mktemp("settings")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": USERS_OWN}
    (folder / "theirs.yaml").write_text(yaml.safe_dump(theirs))
    patch = ("--patch-file", str(EXAMPLES / "argocd-cm.yaml"))
    command = [str(ensure("kubectl")["kubectl"]), "patch", "--local", "-f", str(folder / "theirs.yaml"), *patch]
    done = subprocess.run([*command, "-o", "yaml"], capture_output=True, text=True, check=True)
    (folder / "merged.yaml").write_text(done.stdout)
    return folder / "merged.yaml"


@pytest.fixture(scope="module")
def judge(merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    program, folder = built(TOOLS["argocd"]), tmp_path_factory.mktemp("health")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret"}, "data": {}}
    (folder / "secret.yaml").write_text(yaml.safe_dump(secret))

    def one(numbered: tuple[int, dict[str, Any]]) -> tuple[str, str]:
        number, manifest = numbered
        file = folder / f"{number}.yaml"
        file.write_text(yaml.safe_dump(manifest))
        done = subprocess.run(
            [
                str(program), "admin", "settings", "resource-overrides", "health", str(file),
                "--argocd-cm-path", str(merged),
                "--argocd-secret-path", str(folder / "secret.yaml"),
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        match = re.fullmatch(r"STATUS: (\w+)\nMESSAGE: (.*)\n", done.stdout)
        assert match, done.stdout + done.stderr
        return match[1], match[2]

    def run(manifests: list[dict[str, Any]]) -> list[tuple[str, str]]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, enumerate(manifests)))

    return run


def test_the_settings_hold_the_script_for_every_kind() -> None:
    settings = yaml.safe_load((EXAMPLES / "argocd-cm.yaml").read_text())["data"]
    script = (EXAMPLES / "health.lua").read_text()
    assert settings == {f"resource.customizations.health.{GROUP}_{kind}": script for kind in KINDS}


def test_the_patch_leaves_the_users_own_settings_as_they_are(merged: Path) -> None:
    settings = yaml.safe_load(merged.read_text())["data"]
    ours = yaml.safe_load((EXAMPLES / "argocd-cm.yaml").read_text())["data"]
    assert settings == {**USERS_OWN, **ours}


@pytest.mark.argocd
def test_argo_cd_still_uses_the_users_own_settings(judge: Judge) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x"}}
    gadget = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "x"}}
    assert judge([widget, gadget]) == [("Suspended", "the user's own"), ("Degraded", "the user's own, by key")]


@pytest.mark.argocd
def test_argo_cd_says_what_we_mean_in_our_words(judge: Judge) -> None:
    cases = representatives()
    assert {case.resource.key.kind for case in cases} == set(KINDS)
    answers = judge([case.manifest() for case in cases])
    said = {case.name: answer for case, answer in zip(cases, answers, strict=True)}
    assert said == {case.name: expected(case) for case in cases}
    assert {status for status, _ in answers} == {"Healthy", "Degraded", "Progressing", "Suspended", "Unknown"}


@pytest.mark.argocd
def test_what_the_operator_has_not_seen_yet_is_in_progress(judge: Judge) -> None:
    ready = next(case for case in representatives() if expected(case)[0] == "Healthy")
    newer = replace(ready, resource=replace(ready.resource, generation=2)).manifest()
    fresh = {**newer, "status": default_status(KINDS[newer["kind"]])}
    bare = {key: value for key, value in newer.items() if key != "status"}
    going = replace(ready, resource=replace(ready.resource, deleting=True)).manifest()
    assert {status for status, _ in judge([newer, fresh, bare, going])} == {"Progressing"}
