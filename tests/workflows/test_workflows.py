"""The workflows as files: valid for actionlint, pinned, modest in what they may do, and true about this tree."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gobuild import built
from tests.workflows.tools import ACTIONLINT

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
#: For repositories of networks; people copy it.
EXAMPLE = ROOT / "examples/ci/github-workflow.yml"
release = runpy.run_path(str(ROOT / ".github/release.py"))


def loaded(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def test_actionlint_finds_nothing() -> None:
    command = [str(built(ACTIONLINT)), "-no-color", *map(str, [*WORKFLOWS, EXAMPLE])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.redteam
@pytest.mark.parametrize("path", [*WORKFLOWS, EXAMPLE], ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit_and_name_its_version(path: Path) -> None:
    """A tag can be moved to other code; Dependabot reads the version behind the commit."""
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    loose = [
        use for use in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) and not use.startswith("./")
    ]
    assert loose == []


@pytest.mark.redteam
@pytest.mark.parametrize("name", ["Makefile", "Dockerfile", *(str(path.relative_to(ROOT)) for path in WORKFLOWS)])
def test_nothing_is_installed_or_built_without_a_hash(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    commands = [part.strip() for line in text.splitlines() for part in re.split(r"&&|\|\||[;{}]", line)]
    installs = [command for command in commands if re.search(r"\bpip\b.* install\b", command)]
    loose = [one for one in installs if "--require-hashes" not in one and "--no-deps" not in one]
    assert loose == []
    builds = [one for one in commands if re.search(r"\bpip\b.* wheel |\buv build\b|--editable|/wheels/", one)]
    isolated = [one for one in builds if "--no-build-isolation" not in one and not one.endswith(".whl")]
    assert isolated == []


@pytest.mark.redteam
@pytest.mark.parametrize(
    "lock",
    sorted([*ROOT.glob("operator/*.lock"), *ROOT.glob("tests/*.lock")]),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_locked_package_has_a_version_and_hashes(lock: Path) -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", lock.read_text().strip()) if not entry.startswith("#")]
    assert entries
    assert [
        entry for entry in entries if not re.match(r"[\w.\[\]-]+==\S+.*\\\n +--hash=sha256:[0-9a-f]{64}", entry)
    ] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_unless_a_job_says_otherwise(path: Path) -> None:
    assert loaded(path)["permissions"] == {"contents": "read"}


def test_one_action_has_one_version() -> None:
    used = {use for path in WORKFLOWS for use in re.findall(r"uses: ([^\s.]\S+@.+)", path.read_text())}
    names = [use.partition("@")[0] for use in used]
    assert len(names) == len(set(names))


def test_targets_that_are_run_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    run = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", text)) | set(re.findall(r"- target: (\S+)", text))
    assert run
    assert run <= targets


def test_what_make_test_leaves_out_is_in_test_all_and_runs_every_night() -> None:
    """The folders that `make test` ignores, and the targets that pytest's markers name."""
    make = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^test-all: (.*?) ##", make, re.M)
    whole = set(line.split()) - {"test"}
    recipes = dict(re.findall(r"^([a-z0-9-]+):.*\n((?:\t.*\n)+)", make, re.M))
    (apart,) = re.findall(r"^APART = (.*)", make, re.M)
    for folder in re.findall(r"--ignore=(\S+)", apart):
        assert [target for target in whole if re.search(rf"pytest {folder}\b", recipes[target])], folder
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    named = {marker.rpartition(": make ")[2].split()[0] for marker in options["markers"] if ": make " in marker}
    assert named - {"e2e-cli", "redteam"} <= whole, "these two are parts of `make test` and `make e2e-frr`"
    nightly = loaded(ROOT / ".github/workflows/nightly.yaml")["jobs"].values()
    # The CI workflow is not root, and leaves out of `make test` what needs that.
    assert whole | {"test"} <= {row["target"] for job in nightly for row in job["strategy"]["matrix"]["include"]}


def test_package_and_chart_are_of_one_version() -> None:
    versions = release["versions"]()
    versions.pop("CHANGELOG.md (newest)")
    assert len(set(versions.values())) == 1, versions


def test_a_release_of_another_version_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert release["main"](["check", "99.0.0"]) == 1
    said = capsys.readouterr().err
    for where in (
        "pyproject.toml",
        "Chart.yaml version",
        "Chart.yaml appVersion",
        "README.md",
        "CHANGELOG.md (newest)",
    ):
        assert f"{where} names " in said
    assert release["main"](["notes", "99.0.0"]) == 1


@pytest.mark.parametrize(
    ("answer", "digest"),
    [
        (f'{{"digest": "sha256:{"0123456789abcdef" * 4}"}}', f"sha256:{'0123456789abcdef' * 4}"),
        ('{"digest": ""}', None),
        ("{}", None),
        ("", None),
    ],
    ids=["digest", "empty", "none", "no-answer"],
)
def test_no_release_without_the_digest_of_its_base(answer: str, digest: str | None, tmp_path: Path) -> None:
    """The very step, with a docker that answers for the registry."""
    docker, output = tmp_path / "docker", tmp_path / "output"
    docker.write_text(f"#!/bin/sh\nprintf '%s' '{answer}'\n")
    docker.chmod(0o755)
    output.touch()
    steps = loaded(ROOT / ".github/workflows/release.yaml")["jobs"]["image"]["steps"]
    (script,) = [step["run"] for step in steps if step.get("id") == "base"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output)}
    done = subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    (base,) = re.findall(r"^ARG BASE=(.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    if digest:
        assert done.returncode == 0, done.stderr
        assert output.read_text() == f"image={base}@{digest}\n"
    else:
        assert done.returncode == 1
        assert f"no digest of {base}" in done.stderr
        assert output.read_text() == ""


def test_the_chart_of_a_release_names_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chart = Path("charts/pve-evpn-operator")
    (tmp_path / chart).mkdir(parents=True)
    for name in ("values.yaml", "Chart.yaml"):
        shutil.copy(ROOT / chart / name, tmp_path / chart)
    before = (ROOT / chart / "values.yaml").read_text()
    monkeypatch.setitem(release["main"].__globals__, "ROOT", tmp_path)
    digest = f"sha256:{'0123456789abcdef' * 4}"
    assert release["main"](["image", "registry.example.com/networks/it", digest]) == 0
    after = (tmp_path / chart / "values.yaml").read_text()
    wanted = {"registry": "registry.example.com", "repository": "networks/it", "digest": digest}
    image = yaml.safe_load(before)["image"] | wanted
    assert yaml.safe_load(after) == {**yaml.safe_load(before), "image": image}
    assert len(after.splitlines()) == len(before.splitlines())
    annotations = yaml.safe_load((tmp_path / chart / "Chart.yaml").read_text())["annotations"]
    (listed,) = yaml.safe_load(annotations["artifacthub.io/images"])
    assert listed["image"] == f"registry.example.com/networks/it@{digest}"
    assert release["main"](["image", "registry.example.com/networks/it", "latest"]) == 2


def test_the_kinds_of_a_release_are_all_in_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert release["main"](["crds"]) == 0
    kinds = [document["metadata"]["name"] for document in yaml.safe_load_all(capsys.readouterr().out)]
    assert sorted(f"{kind.partition('.')[0]}.yaml" for kind in kinds) == sorted(
        path.name.rpartition("_")[2] for path in (ROOT / "crds").glob("*.yaml")
    )


def test_notes_are_a_section_of_the_changelog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# Changelog\n\n## Unreleased\n\n- c\n\n## 1.1.0 - 2026-12-01\n\n### Added\n\n- b\n\n## [1.0.0]\n\n- a\n"
    (tmp_path / "CHANGELOG.md").write_text(text)
    sections = release["sections"]
    monkeypatch.setitem(sections.__globals__, "ROOT", tmp_path)
    assert sections() == {"1.1.0": "### Added\n\n- b", "1.0.0": "- a"}
