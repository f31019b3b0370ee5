"""``make release-check``: the release workflow from the tag to the release page, and what comes out of it, checked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import yaml

from tests.gobuild import built
from tests.helm.tools import ensure as helm_tools
from tests.image.build import Buildah, build
from tests.kube.ports import free_ports
from tests.release.tools import CRANE, SYFT
from tests.release.workflow import Workflow, say
from tests.workflows.tools import ACTIONLINT

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
REPOSITORY = "pve-evpn/pve-evpn-operator"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
#: What a runner has, or what this machine has in its place.
_SETS_UP = (
    "actions/setup-python", "docker/setup-qemu-action", "docker/setup-buildx-action", "docker/login-action",
    "azure/setup-helm", "sigstore/cosign-installer", "actions/checkout",
)  # fmt: skip
_LEFT_OUT = {
    **dict.fromkeys(_SETS_UP, ""),
    "actions/attest-build-provenance": "a signed statement of GitHub's on who built it",
}


class Release:
    """One dry run: its registry, its artifacts, what it would publish."""

    def __init__(self, folder: Path, registry: str) -> None:
        self.folder = folder
        self.registry = registry
        self.image = ""
        self.published = folder / "published"
        self._artifacts = folder / "artifacts"
        self._programs = folder / "bin"
        for made in (self.published, self._artifacts, self._programs):
            made.mkdir()
        self._crane = str(built(CRANE))
        self._syft = str(built(SYFT))
        self.helm = self._program(
            "helm", f'case "$1" in push) set -- "$@" --plain-http;; esac\nexec {helm_tools()["helm"]} "$@"'
        )
        self._program("python", f'exec {sys.executable} "$@"')
        self._program("docker", f"""printf '{{"digest": "sha256:{"0" * 64}"}}'""")
        # What is signed must be there; the signature itself needs GitHub's identity.
        self._program("cosign", f'for last; do :; done\nexec {self._crane} digest --insecure "$last" >/dev/null')
        self._program(
            "gh", f'while [ "$1" != --notes-file ]; do shift; done\ntest -s "$2"\nshift 2\ncp -- "$@" {self.published}'
        )

    def run(self) -> None:
        """Every job of the workflow. Raises RuntimeError naming the step that failed."""
        revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        github = {
            "repository": REPOSITORY,
            "repository_owner": REPOSITORY.partition("/")[0],
            "ref_name": f"v{VERSION}",
            "sha": revision or "unknown",
            "actor": "release-check",
        }
        contexts = {"github": github, "vars": {"REGISTRY": self.registry}, "secrets": {"GITHUB_TOKEN": "none"}}
        actions = {
            "docker/metadata-action": self._metadata,
            "docker/build-push-action": self._build_and_push,
            "anchore/sbom-action": self._sbom,
            "actions/upload-artifact": self._upload,
            "actions/download-artifact": self._download,
        }
        workflow = Workflow(ROOT / ".github/workflows/release.yaml", contexts, actions, _LEFT_OUT)
        workflow.run(self._checkout, self._programs)

    def _program(self, name: str, script: str) -> str:
        path = self._programs / name
        path.write_text(f"#!/bin/sh\nset -e\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def _checkout(self, job: str) -> Path:
        """The tree as the release's commit will be: the changelog's newest section has the version."""
        tree = self.folder / f"tree-{job}"
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).exists():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        changelog = tree / "CHANGELOG.md"
        text = changelog.read_text()
        if f"## {VERSION}" not in text:
            changelog.write_text(text.replace("## Unreleased\n", f"## {VERSION} - {date.today().isoformat()}\n", 1))
        return tree

    # --- what stands for actions ------------------------------------------------------------------------------------

    def _metadata(self, _tree: Path, given: dict[str, str]) -> dict[str, str]:
        return {"tags": f"{given['images']}:{VERSION}", "labels": "", "annotations": ""}

    def _build_and_push(self, tree: Path, given: dict[str, str]) -> dict[str, str]:
        """By buildah instead of buildx, on Debian where no image registry answers, for this machine's architecture."""
        arguments = dict(line.split("=", 1) for line in given["build-args"].splitlines())
        assert re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", arguments["BASE"]), arguments
        say(f"image: LEFT OUT, of {given['platforms']} all but this machine's; provenance and SBOM in the registry")
        buildah = Buildah(self.folder / "buildah")
        say(f"image: built on {build(buildah, 'localhost/release', arguments['VERSION'], arguments['REVISION'], tree)}")
        digest = self.folder / "digest"
        buildah(
            "push", "--tls-verify=false", f"--digestfile={digest}", "localhost/release", f"docker://{given['tags']}"
        )
        self.image = f"{given['tags'].rpartition(':')[0]}@{digest.read_text().strip()}"
        return {"digest": digest.read_text().strip()}

    def _sbom(self, tree: Path, given: dict[str, str]) -> dict[str, str]:
        command = [
            self._syft,
            "scan",
            f"registry:{given['image']}",
            "-q",
            "-o",
            f"{given['format']}={given['output-file']}",
        ]
        environment = {**os.environ, "SYFT_REGISTRY_INSECURE_USE_HTTP": "true", "SYFT_CHECK_FOR_APP_UPDATE": "false"}
        subprocess.run(command, cwd=tree, env=environment, check=True)
        return {}

    def _upload(self, tree: Path, given: dict[str, str]) -> dict[str, str]:
        for pattern in given["path"].split():
            found = sorted(tree.glob(pattern))
            if not found:
                raise RuntimeError(f"artifact {given['name']}: there is no {pattern}")
            for path in found:
                shutil.copy(path, self._artifacts)
        return {}

    def _download(self, tree: Path, given: dict[str, str]) -> dict[str, str]:
        shutil.copytree(self._artifacts, tree / given["path"])
        return {}


def check(release: Release) -> None:
    """What would be published is whole and belongs together. Raises AssertionError."""
    there = {path.name for path in release.published.iterdir()}
    expected = {f"pve-evpn-operator-{VERSION}.tgz", f"pve_evpn_operator-{VERSION}-py3-none-any.whl", "install.yaml",
                "crds.yaml", "seed.yaml", "pve-evpn-operator.spdx.json", "SHA256SUMS"}  # fmt: skip
    assert there == expected, there ^ expected
    sums = dict(
        reversed(line.split(maxsplit=1)) for line in (release.published / "SHA256SUMS").read_text().splitlines()
    )
    for name, digest in sums.items():
        assert hashlib.sha256((release.published / name).read_bytes()).hexdigest() == digest, name
    assert sums.keys() == there - {"SHA256SUMS"}
    manifests = list(yaml.safe_load_all((release.published / "install.yaml").read_text()))
    assert [_image(document) for document in manifests if document["kind"] == "Deployment"] == [release.image]
    chart = f"oci://{release.registry}/{REPOSITORY.partition('/')[0]}/charts/pve-evpn-operator"
    for helm in (helm_tools()["helm"], helm_tools()["helm3"]):
        command = [str(helm), "template", "x", chart, "--version", VERSION, "--plain-http"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        documents = [document for document in yaml.safe_load_all(text) if document]
        assert [_image(document) for document in documents if document["kind"] == "Deployment"] == [release.image]
    sbom = json.loads((release.published / "pve-evpn-operator.spdx.json").read_text())
    packages = {package["name"] for package in sbom["packages"]}
    assert {"kopf", "kubernetes", "proxmoxer", "pydantic", "libc6"} <= packages, sorted(packages)
    with zipfile.ZipFile(release.published / f"pve_evpn_operator-{VERSION}-py3-none-any.whl") as wheel:
        assert "pve_evpn/__main__.py" in wheel.namelist()
    say(f"checked: image {release.image}, chart (Helm 3 and 4), install.yaml, SBOM of {len(packages)} packages, wheel")


def _image(deployment: dict[str, dict[str, dict[str, dict[str, list[dict[str, str]]]]]]) -> str:
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


@contextmanager
def _registry() -> Iterator[str]:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as disk:
        command = [str(built(CRANE)), "registry", "serve", "--address", f"127.0.0.1:{port}", "--disk", disk]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def main() -> int:
    """Lint, run, check, and leave in dist/ what a release page would have."""
    missing = [tool for tool in ("buildah", "debootstrap", "git") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        sys.stderr.write(f"the image needs root and {', '.join(missing) or 'nothing else'}\n")
        return 1
    workflows = sorted(map(str, (ROOT / ".github/workflows").glob("*.yaml")))
    subprocess.run([str(built(ACTIONLINT)), "-no-color", *workflows], check=True)
    say(f"actionlint: {len(workflows)} workflows without a complaint")
    with tempfile.TemporaryDirectory() as folder, _registry() as registry:
        release = Release(Path(folder), registry)
        release.run()
        check(release)
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(release.published, DIST)
    say(f"dist/ has what the page of release {VERSION} would have (its image is in no registry any more)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
