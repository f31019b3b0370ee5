"""What several people in one cluster rely on: a namespace goes with its networks, and no credential is ever shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.stack import KINDS, NOWHERE, Stack, await_

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


@pytest.mark.redteam
def test_a_namespace_that_another_clients_finalizer_holds_costs_nothing(stack: Stack) -> None:
    """Its VNet leaves Proxmox and is released; while the namespace stays, the operator writes nothing more."""
    seed = stack.seed()
    stack.apply(*seed[:3])
    stack.plane.kubectl("create", "namespace", "stuck")
    spec = {**seed[3]["spec"], "id": "stuck1", "vni": 7100}
    held = {"name": "net", "namespace": "stuck", "finalizers": ["example.com/hold"]}
    network = {**seed[3], "metadata": held, "spec": spec}
    stack.apply(network)
    stack.await_ready(network)
    stack.plane.kubectl("delete", "namespace", "stuck", "--wait=false")
    await_("the VNet is released", lambda: stack.get(network)["metadata"]["finalizers"] == ["example.com/hold"])
    assert "stuck1" not in stack.lab.sdn.running["vnets"]

    def written_in_two_syncs() -> tuple[float, float]:
        """How much to Proxmox, and how much to Kubernetes."""
        syncs = stack.metric("pve_evpn_reconciles_total")
        writes, patches = len(stack.writes()), stack.metric("pve_evpn_k8s_requests_total")
        await_("two more syncs", lambda: stack.metric("pve_evpn_reconciles_total") >= syncs + 2)
        return len(stack.writes()) - writes, stack.metric("pve_evpn_k8s_requests_total") - patches

    await_("statuses have followed the nodes, which are polled apart", lambda: written_in_two_syncs() == (0, 0))
    assert written_in_two_syncs() == (0, 0)
    stack.plane.kubectl("patch", "vnet", "net", "-n", "stuck", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    await_("the namespace is gone", lambda: not stack.plane.kubectl("get", "ns", "stuck", "-o", "name", check=False))


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
