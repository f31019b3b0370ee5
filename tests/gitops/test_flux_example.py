"""The Flux example, accepted by Flux' own CRDs as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.gobuild import source
from tests.kube.controlplane import ControlPlane

pytestmark = pytest.mark.kube

EXAMPLE = Path(__file__).parents[2] / "examples/gitops/flux/kustomizations.yaml"
_FLUX = (
    (
        "github.com/fluxcd/source-controller",
        "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
        "source.toolkit.fluxcd.io_gitrepositories.yaml",
    ),
    (
        "github.com/fluxcd/kustomize-controller",
        "h1:XB+G3A0mky0j5uVHZWv4oSlS2RvZBoNIUhstIvY0JKE=",
        "kustomize.toolkit.fluxcd.io_kustomizations.yaml",
    ),
)
_VERSION = "v1.9.6"


def test_accepted(control_plane: ControlPlane) -> None:
    kubectl = control_plane.kubectl
    files = [source(path, _VERSION, checksum) / "config/crd/bases" / name for path, checksum, name in _FLUX]
    names = [yaml.safe_load(file.read_text())["metadata"]["name"] for file in files]
    try:
        for file in files:
            kubectl("apply", "--server-side", "-f", str(file))
        kubectl("wait", "--for=condition=Established", "crd", *names, "--timeout=30s")
        documents = list(yaml.safe_load_all(EXAMPLE.read_text()))
        assert {document["metadata"]["namespace"] for document in documents} == {"flux-system"}
        for document in documents:
            document["metadata"]["namespace"] = "default"  # Flux' own is not here
        apply = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
        said = kubectl(*apply, stdin=yaml.safe_dump_all(documents))
        assert said.count("serverside-applied (server dry run)") == len(documents)
    finally:
        kubectl("delete", "crd", *names, "--ignore-not-found")


def test_its_health_checks_name_the_seed() -> None:
    """Whoever copies both, the example and the seed, has them fit."""
    checks = [
        check
        for document in yaml.safe_load_all(EXAMPLE.read_text())
        for check in document["spec"].get("healthChecks", ())
    ]
    seed = [
        document
        for file in sorted((EXAMPLE.parents[2] / "seed").glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
    ]
    there = {(document["apiVersion"], document["kind"], document["metadata"]["name"]) for document in seed}
    assert {(check["apiVersion"], check["kind"], check["name"]) for check in checks} <= there
    assert len(checks) == 3
