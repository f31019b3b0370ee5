"""Every example is accepted by the API server as it stands, strictly: a misspelt field is an error."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pve_evpn.api.kinds import GROUP
from tests.kube.controlplane import ControlPlane

pytestmark = pytest.mark.kube

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
def test_accepted(cluster: ControlPlane, namespace: str, name: str) -> None:
    documents = [document for document in yaml.safe_load_all((EXAMPLES / name).read_text()) if document]
    ours = [
        d for d in documents if str(d.get("apiVersion")).startswith(GROUP) or d.get("kind") in ("Secret", "Namespace")
    ]
    if not ours:
        pytest.skip("the file holds objects of other APIs only, whose CRDs are not installed here")
    for document in ours:
        # A dry run cannot put anything into a namespace that the same file would make.
        if "namespace" in document["metadata"]:
            document["metadata"]["namespace"] = namespace
    said = cluster.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(ours)
    )
    assert said.count("serverside-applied (server dry run)") == len(ours)
