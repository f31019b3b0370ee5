"""What the API server says of an object before the operator does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config

from pve_evpn.api.kinds import GROUP, KINDS, VERSION, Kind
from pve_evpn.api.schema import default_status
from tests.kube.controlplane import ControlPlane
from tests.kube.test_crd_rules import BASES

pytestmark = pytest.mark.kube

NAME = "not-reported"


@pytest.fixture(params=KINDS.values(), ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest, cluster: ControlPlane) -> Iterator[Kind]:
    found: Kind = request.param
    yield found
    cluster.kubectl("delete", found.plural, NAME, "--ignore-not-found", *where(found))


def where(kind: Kind) -> tuple[str, ...]:
    return ("-n", "default") if kind.scope == "Namespaced" else ()


def stored(cluster: ControlPlane, kind: Kind) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("get", kind.plural, NAME, "-o", "json", *where(kind)))
    return found


def test_a_new_object_has_every_condition_of_its_kind(cluster: ControlPlane, kind: Kind) -> None:
    document = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind.name, "metadata": {"name": NAME}}
    cluster.kubectl("create", "-f", "-", *where(kind), stdin=json.dumps({**document, "spec": BASES[kind.name]}))
    assert stored(cluster, kind)["status"] == default_status(kind)
    found = {condition["type"] for condition in stored(cluster, kind)["status"]["conditions"]}
    assert set(kind.conditions) <= found
    ready = cluster.kubectl("get", kind.plural, NAME, "--no-headers", *where(kind))
    assert "Unknown" in ready
    assert "Pending" in ready

    api = client.CustomObjectsApi(config.new_client_from_config(str(cluster.kubeconfig)))
    group = (GROUP, VERSION)
    target = (kind.plural, NAME) if kind.scope == "Cluster" else ("default", kind.plural, NAME)
    scope = "cluster" if kind.scope == "Cluster" else "namespaced"
    patch = getattr(api, f"patch_{scope}_custom_object_status")
    patch(*group, *target, {"status": {"observedGeneration": -1, "conditions": None}})
    status = {"observedGeneration": -1, **default_status(kind)}
    assert stored(cluster, kind)["status"] == status, "as an earlier release stored it"
