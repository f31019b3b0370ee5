"""The runner of `make release-check` by itself: what it carries out, and that it ends where it understands nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.release.__main__ import _LEFT_OUT
from tests.release.workflow import Workflow

Run = Callable[..., Workflow]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run jobs; each gets an empty tree."""

    def checkout(job: str) -> Path:
        tree = tmp_path / job
        tree.mkdir()
        return tree

    def _run(jobs: dict[str, Any], **more: Any) -> Workflow:
        file = tmp_path / "workflow.yaml"
        file.write_text(yaml.safe_dump({"env": {"REGISTRY": "${{ vars.REGISTRY || 'ghcr.io' }}"}, "jobs": jobs}))
        contexts = {"github": {"ref_name": "v1"}, "vars": {}, "secrets": {}}
        made = Workflow(file, contexts, more.get("actions", {}), more.get("left_out", {}))
        made.run(checkout, tmp_path)
        return made

    return _run


def test_jobs_run_in_the_order_of_their_needs_and_pass_outputs_on(run: Run, tmp_path: Path) -> None:
    first = {
        "outputs": {"version": "${{ steps.x.outputs.version }}"},
        "steps": [{"id": "x", "run": 'echo "version=${GITHUB_REF_NAME#v}" >> "$GITHUB_OUTPUT"'}],
    }
    script = {"run": 'echo "$REGISTRY $VERSION" > said', "env": {"VERSION": "${{ needs.first.outputs.version }}"}}
    run({"second": {"needs": "first", "steps": [script]}, "first": first})
    assert (tmp_path / "second/said").read_text() == "ghcr.io 1\n"


def test_a_script_that_fails_ends_it_with_its_words(run: Run) -> None:
    with pytest.raises(RuntimeError, match=r"a: Try failed:\nno way"):
        run({"a": {"steps": [{"name": "Try", "run": "echo no way | cat; false; true"}]}})


def test_an_action_that_nothing_stands_for_ends_it(run: Run) -> None:
    with pytest.raises(RuntimeError, match="nothing here stands for actions/new"):
        run({"a": {"steps": [{"uses": "actions/new@v1.0.0"}]}})


def test_an_action_gets_its_inputs_and_gives_outputs(run: Run, tmp_path: Path) -> None:
    steps = [
        {"id": "build", "uses": "some/build@v1.0.0", "with": {"push": True, "registry": "${{ env.REGISTRY }}"}},
        {"run": "echo ${{ steps.build.outputs.digest }} > said"},
    ]
    run({"a": {"steps": steps}}, actions={"some/build": lambda _tree, given: {"digest": "/".join(given.values())}})
    assert (tmp_path / "a/said").read_text() == "true/ghcr.io\n"


@pytest.mark.parametrize("step", [{"run": "true", "if": "always()"}, {"run": "echo ${{ hashFiles('x') }}"}])
def test_what_is_not_understood_ends_it(step: dict[str, Any], run: Run) -> None:
    with pytest.raises(AssertionError, match="not understood"):
        run({"a": {"steps": [step]}})


def test_what_the_release_leaves_out_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run({"a": {"steps": [{"uses": "actions/attest-build-provenance@v1.0.0"}]}}, left_out=_LEFT_OUT)
    assert "LEFT OUT, actions/attest-build-provenance: " in capsys.readouterr().out
