"""Flux judges objects by its library kstatus. Here that library judges every status our objects pass through."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pve_evpn.api.kinds import KINDS
from pve_evpn.api.schema import default_status
from tests.gitops import statuses
from tests.gitops.programs import TOOLS
from tests.gitops.statuses import CURRENT, FAILED, IN_PROGRESS, TERMINATING, Case
from tests.gobuild import built
from tests.kube.controlplane import ControlPlane

Judge = Callable[[list[dict[str, Any]]], list[tuple[str, str]]]


@pytest.fixture(scope="module")
def judge() -> Judge:
    program: Path = built(TOOLS["kstatus"])

    def run(objects: list[dict[str, Any]]) -> list[tuple[str, str]]:
        lines = "".join(json.dumps(o) + "\n" for o in objects)
        done = subprocess.run([str(program)], input=lines, capture_output=True, text=True, check=True)
        answers = [tuple(line.split("\t", 1)) for line in done.stdout.splitlines()]
        assert len(answers) == len(objects)
        return [(status, message) for status, message in answers]

    return run


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return statuses.every()


def test_flux_says_what_we_mean(judge: Judge, cases: list[Case]) -> None:
    answers = judge([case.manifest() for case in cases])
    wrong = [
        f"{case.name}: {status} instead of {case.expected} ({message})"
        for case, (status, message) in zip(cases, answers, strict=True)
        if status != case.expected
    ]
    assert not wrong, "\n".join(wrong[:5]) + f"\n{len(wrong)} in all"
    assert {status for status, _ in answers} == {CURRENT, IN_PROGRESS, FAILED}
    assert {case.resource.key.kind for case in cases} == set(KINDS)


def test_flux_shows_our_words_where_something_is_wrong(judge: Judge, cases: list[Case]) -> None:
    troubled = [case for case in cases if case.expected is not CURRENT and "EvpnNode" not in case.name]
    for case, (_, message) in zip(troubled, judge([case.manifest() for case in troubled]), strict=True):
        ready = case.conditions()["Ready"]
        assert message == ready["message"], case.name
        assert message, case.name


def test_stalled_and_reconciling_exist_only_while_true_and_never_both(cases: list[Case]) -> None:
    for case in cases:
        found = case.conditions()
        assert len(found) == len(case.status.conditions or ()), case.name
        for type_ in ("Reconciling", "Stalled"):
            assert found.get(type_, {"status": "True"})["status"] == "True", case.name
        if case.resource.key.kind != "EvpnNode":
            pair = ("Reconciling" in found) + ("Stalled" in found)
            assert pair == (found["Ready"]["status"] != "True"), case.name


def test_a_newer_spec_is_in_progress_whatever_the_status_says(judge: Judge, cases: list[Case]) -> None:
    newer = [replace(case, resource=replace(case.resource, generation=2)).manifest() for case in cases]
    assert {status for status, _ in judge(newer)} == {IN_PROGRESS}


def test_an_object_being_deleted_is_terminating(judge: Judge, cases: list[Case]) -> None:
    going = [replace(case, resource=replace(case.resource, deleting=True)).manifest() for case in cases]
    assert {status for status, _ in judge(going)} == {TERMINATING}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_object_nobody_has_looked_at_yet_is_in_progress(judge: Judge, kind: str) -> None:
    """Without a status kstatus calls an object current; so the CRD gives it one that says otherwise."""
    status = default_status(KINDS[kind])
    fresh = {"apiVersion": "pve-evpn.dev/v1alpha1", "kind": kind, "metadata": {"name": "x", "generation": 1}}
    assert judge([{**fresh, "status": status}])[0][0] == IN_PROGRESS


@pytest.mark.kube
def test_the_api_server_gives_new_objects_that_status(cluster: ControlPlane, namespace: str, judge: Judge) -> None:
    vnet = {
        "apiVersion": "pve-evpn.dev/v1alpha1",
        "kind": "VNet",
        "metadata": {"name": "fresh", "namespace": namespace},
        "spec": {"zoneRef": {"name": "nowhere"}, "vni": 5001},
    }
    stored = json.loads(cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(vnet)))
    assert stored["spec"] == vnet["spec"]
    assert stored["status"] == default_status(KINDS["VNet"])
    assert judge([stored])[0][0] == IN_PROGRESS
