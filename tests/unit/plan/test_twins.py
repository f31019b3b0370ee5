"""Two ProxmoxClusters that lead to one Proxmox, and two that only look so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan.twins import duplicate
from pve_evpn.domain.state import ClusterState, NodeState
from tests.unit.plan.world import cluster, observed, with_status

CERTIFICATES = {name: f"{number}A:BB" for number, name in enumerate(("pve1", "pve2", "pve3"), 1)}
OTHERS = {name: f"{number}C:DD" for number, name in enumerate(("pve1", "pve2", "pve3"), 1)}


def state(certificates: Mapping[str, str], *, name: str = "lab", subnet: str = "10.0.0") -> ClusterState:
    nodes = {
        node: NodeState(node, True, f"{subnet}.{number}", fingerprint=certificates.get(node, ""))
        for number, node in enumerate(("pve1", "pve2", "pve3"), 1)
    }
    return replace(observed(), nodes=nodes, cluster_name=name)


def refusal(older: ClusterState, younger: ClusterState) -> str:
    """Why the younger ProxmoxCluster is refused, the older one's status being what it saw; empty if it is not."""
    rows: list[dict[str, Any]] = [
        {"name": node.name, "address": node.address, **({"fingerprint": node.fingerprint} if node.fingerprint else {})}
        for node in older.nodes.values()
    ]
    first = with_status(cluster(), {"clusterName": older.cluster_name, "nodes": rows})
    second = replace(cluster(), key=ObjectKey("ProxmoxCluster", "", "second"), uid="uid-zz")
    problem = duplicate(second, [first, second], younger)
    return problem.message if problem else ""


@pytest.mark.parametrize("certificates", [CERTIFICATES, {}], ids=["certificates", "none"])
def test_one_proxmox_is_recognised(certificates: Mapping[str, str]) -> None:
    assert "the older ProxmoxCluster 'pve'" in refusal(state(certificates), state(certificates))


def test_a_node_that_was_added_since_does_not_hide_it() -> None:
    older = state(CERTIFICATES)
    before = replace(older, nodes={name: node for name, node in older.nodes.items() if name != "pve3"})
    assert "the name, address and certificate of pve1, pve2" in refusal(before, older)


def test_a_certificate_that_was_renewed_on_one_node_does_not_hide_it() -> None:
    assert refusal(state(CERTIFICATES), state({**CERTIFICATES, "pve1": "99:99"}))


def test_sites_that_were_installed_alike_are_two() -> None:
    """The same names and addresses, and certificates of their own."""
    assert refusal(state(CERTIFICATES), state(OTHERS)) == ""


def test_one_certificate_for_several_clusters_proves_nothing() -> None:
    wildcard = dict.fromkeys(CERTIFICATES, "EE:FF")
    assert refusal(state(wildcard), state(wildcard, subnet="10.0.1")) == ""


def test_without_certificates_names_and_addresses_decide() -> None:
    assert refusal(state({}), state(CERTIFICATES))
    assert refusal(state({}), state({}, subnet="10.0.1")) == ""
    assert refusal(state({}), state({}, name="other")) == ""
