"""examples/from-bare-nodes on real parts: one kubectl apply, one apply in Proxmox, and nothing left afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pve_lab.host_network import HostNetwork
from tests.e2e.stack import ROOT, Stack
from tests.waiting import await_

pytestmark = pytest.mark.kube


def documents(stack: Stack) -> list[dict[str, Any]]:
    """The example with this lab's endpoint."""
    folder = ROOT / "examples" / "from-bare-nodes"
    found = [d for path in sorted(folder.glob("*.yaml")) for d in yaml.safe_load_all(path.read_text())]
    found[0]["spec"] |= {"endpoints": [stack.server.url], "observe": {"intervalSeconds": 2, "graceSeconds": 0}}
    return found


def ways_out(status: dict[str, Any]) -> list[tuple[str, str | None]]:
    """By exit node the state of the default route in the VRF. Proxmox' API shows no more than that."""
    nodes = status.get("exit", {}).get("nodes", ())
    return [(node["name"], node.get("vrfDefaultRoute", {}).get("state")) for node in nodes]


def test_from_bare_nodes_to_guests_and_back(stack: Stack) -> None:
    lab = stack.lab
    for file in (lab.fabrics.fabrics, lab.fabrics.nodes):
        file.edited.clear()
        file.commit()
    for node in lab.nodes.values():
        node.network = HostNetwork(node.address, ("eno1", "eno2", "eno3"))
    whole = documents(stack)
    stack.apply(*whole)
    stack.await_ready(*whole)
    assert lab.applies == 1
    under = next(document for document in whole if document["kind"] == "Fabric")
    await_("all nodes of the fabric are seen", lambda: stack.get(under)["status"].get("adjacenciesSummary") == "4/4")
    assert [row["ip"] for row in stack.get(under)["status"]["nodes"]] == [f"10.255.0.{n}" for n in (1, 2, 3, 4)]
    assert "4/4" in stack.plane.kubectl("get", "fab")
    assert "bridge=web" in lab.guests[100].config["net0"]
    zone = next(document for document in whole if document["kind"] == "EvpnZone")
    await_(
        "the way out is seen", lambda: ways_out(stack.get(zone)["status"]) == [("pve1", "Absent"), ("pve2", "Present")]
    )
    leaves = stack.get(zone)["status"]["exit"]
    assert (leaves["withoutDefaultRoute"], leaves.get("problems"), leaves["summary"]) == ([], None, "1/2, 1 unknown")

    stack.delete(*whole[::-1])
    assert lab.has_pending is False
    assert not any(lab.sdn.running.values())
    assert (lab.fabrics.fabrics.running, lab.fabrics.nodes.running) == ({}, {})
    assert (lab.route_maps.entries.running, lab.prefix_lists.lists.running) == ({}, {})
    # Proxmox takes the lock's token with these, and its schema does not say so.
    stack.undeclared = [text for text in stack.undeclared if "/sdn/fabrics/" not in text or "lock-token" not in text]
