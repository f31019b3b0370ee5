"""What several people in one cluster rely on: a namespace goes with its networks, and no credential is ever shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.stack import KINDS, NOWHERE, Stack

pytestmark = pytest.mark.kube
TENANT = "tenant-blue"


def moved(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


def test_a_deleted_namespace_takes_its_networks_along_and_nothing_else(stack: Stack) -> None:
    cluster, controller, zone, vnet, nic = stack.seed()
    everyone = {"namespaces": {}, "guests": cluster["spec"]["guestAccess"][0]["guests"]}
    cluster = {**cluster, "spec": {**cluster["spec"], "guestAccess": [everyone]}}
    zone = {**zone, "spec": {**zone["spec"], "allowedNamespaces": {"from": "All"}}}
    vnet, nic = moved(vnet, TENANT), moved(nic, TENANT)
    stack.plane.kubectl("create", "namespace", TENANT)
    stack.apply(cluster, controller, zone, vnet, nic)
    stack.await_ready(vnet, nic)
    before = stack.lab.guests[100].config["net0"]
    assert "bridge=EVPN1" in before

    stack.plane.kubectl("delete", "namespace", TENANT, "--timeout=50s")
    assert stack.lab.sdn.running["vnets"] == {}
    assert "bridge=vmbr0" in stack.lab.guests[100].config["net0"]
    assert list(stack.lab.sdn.running["zones"]) == ["EZone1"]
    stack.await_ready(controller, zone)


def test_credentials_are_shown_nowhere(stack: Stack) -> None:
    seed = stack.seed()
    stack.write_secret("guessed-and-wrong-7f3a")
    stack.apply(*seed)
    stack.await_condition(seed[0], "Ready", "AuthenticationFailed")
    stack.lab.tokens["root@pam!tok"] = "right-and-private-91bc"
    stack.write_secret("right-and-private-91bc")
    stack.await_ready(*seed)
    stack.apply({**seed[0], "spec": {**seed[0]["spec"], "endpoints": [NOWHERE]}})
    stack.await_condition(seed[0], "Ready", "ClusterUnreachable")

    shown = stack.log.read_text()
    shown += stack.plane.kubectl("get", ",".join(KINDS), "-A", "-o", "json")
    shown += stack.plane.kubectl("get", "events", "-A", "-o", "json")
    shown += stack.plane.kubectl("get", "configmaps,leases", "-A", "-o", "json")
    shown += stack.exposition()
    assert shown.count(seed[0]["metadata"]["name"]) > 3
    for secret in ("guessed-and-wrong-7f3a", "right-and-private-91bc"):
        assert secret not in shown
    stack.apply(seed[0])  # so that the objects can be deleted
    stack.await_ready(seed[0])
