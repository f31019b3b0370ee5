"""The API server accepts whatever is exported: its rules are CEL, which only it evaluates."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings

from tests.brownfield import RECIPES, cook
from tests.engine.test_export import exported
from tests.engine.world import World
from tests.kube.controlplane import ControlPlane

pytestmark = pytest.mark.kube


def test_the_rules_of_the_api_server_hold_for_exports_of_whatever_proxmox_holds(
    cluster: ControlPlane, namespace: str
) -> None:
    documents: list[dict[str, Any]] = []

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(RECIPES)
    def collect(recipe: dict[str, Any]) -> None:
        world = World(3)
        cook(world.lab, recipe)
        documents.extend(manifest.document() for manifest in asyncio.run(exported(world, nics=True)).manifests)

    collect()
    different = {yaml.safe_dump(document): document for document in documents}
    assert len(different) > 100
    for number, document in enumerate(different.values()):
        document["metadata"]["name"] += f"-{number}"  # no two of one call may be the same object
        if "namespace" in document["metadata"]:
            document["metadata"]["namespace"] = namespace
    said = cluster.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-f", "-",
        stdin=yaml.safe_dump_all(different.values()), timeout=240,
    )  # fmt: skip
    assert said.count("created (server dry run)") == len(different)
