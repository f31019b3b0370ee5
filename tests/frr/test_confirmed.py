"""Commit confirmed on real FRR, the whole operator: what leaves the network worse is reverted, with the evidence.

Each fault is one that Proxmox takes and applies, and that every node's reload reports as done.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from pve_lab.request import Request
from tests.e2e.stack import TOKEN
from tests.frr.conftest import Observing
from tests.frr.world import NODES, VNI, await_full_mesh
from tests.waiting import await_

pytestmark = [pytest.mark.frr_long, pytest.mark.timeout(600)]
#: Seconds until a fault is reverted: sessions have 45, flood lists and routes 60, then two polls agree.
REVERTS = 200


@pytest.fixture(autouse=True)
def confirming(observing: Observing) -> Iterator[None]:
    """The seed topology under ``onFailure: Revert``, Ready, before and after a test."""
    cluster = observing.document("ProxmoxCluster")
    observing.stack.apply({**cluster, "spec": {**cluster["spec"], "apply": {"onFailure": "Revert"}}})
    observing.stack.await_ready(*observing.documents)
    observing.agree()
    yield
    observing.stack.apply(*observing.documents)
    observing.stack.await_ready(*observing.documents)
    await_full_mesh(observing.frr)


def by_hand(observing: Observing, method: str, path: str, **params: Any) -> None:
    """What an administrator does in Proxmox itself."""
    named = {key.replace("_", "-"): str(value) for key, value in params.items()}
    given = observing.lab.answer(Request(method, path, named, TOKEN[0]))
    assert given.status == 200, given


def apply_by_hand(observing: Observing, addresses: Mapping[str, str] = MappingProxyType(NODES)) -> None:
    """Publish what is staged, and wait until all nodes have loaded it; ``addresses``: their VTEPs."""
    lab = observing.lab
    by_hand(observing, "PUT", "/cluster/sdn")
    await_("all nodes have loaded it", lambda: all(n.applied_version == lab.sdn.version for n in lab.nodes.values()))
    await_full_mesh(observing.frr, addresses)


def changed(observing: Observing, kind: str, **spec: Any) -> dict[str, Any]:
    document = observing.document(kind)
    return {**document, "spec": {**document["spec"], **spec}}


def reverted(observing: Observing, document: dict[str, Any]) -> str:
    """Wait until the change of the object is reverted and the network is whole again; the evidence."""
    message = observing.stack.await_condition(document, "Programmed", "Reverted", REVERTS)
    await_full_mesh(observing.frr)
    last = observing.status("ProxmoxCluster")["lastTransaction"]
    assert last["outcome"] == "Reverted"
    events = observing.stack.plane.kubectl("get", "events.events.k8s.io", "-A", "-o", "jsonpath={.items[*].note}")
    assert message.partition(";")[0] in events
    return message


def controller(observing: Observing) -> dict[str, Any]:
    """As Proxmox runs it."""
    return dict(observing.lab.sdn.running["controllers"]["evpn1"])


def test_an_asn_that_a_node_does_not_share_is_reverted(observing: Observing) -> None:
    """pve2 has a BGP controller of its own, which fixes its AS: the other three leave it behind."""
    by_hand(
        observing, "POST", "/cluster/sdn/controllers", controller="bgp2", type="bgp", node="pve2", asn=65001,
        peers="192.0.2.1", ebgp=1,
    )  # fmt: skip
    apply_by_hand(observing)
    observing.agree()
    wrong = changed(observing, "EvpnController", asn=65002)
    observing.stack.apply(wrong)
    message = reverted(observing, wrong)
    assert "lost its session with" in message
    assert "pve2" in message
    assert str(controller(observing)["asn"]) == "65001"

    by_hand(observing, "DELETE", "/cluster/sdn/controllers/bgp2")
    apply_by_hand(observing)


def test_a_peer_list_without_a_node_is_reverted(observing: Observing) -> None:
    peers = {"peers": [address for name, address in NODES.items() if name != "pve2"]}
    wrong = changed(observing, "EvpnController", underlay=peers)
    observing.stack.apply(wrong)
    message = reverted(observing, wrong)
    assert "lost its session with pve2" in message
    assert controller(observing)["fabric"] == "Fabric1"
    assert "peers" not in controller(observing)


def test_a_route_map_that_drops_everything_is_reverted_also_after_a_crash(observing: Observing) -> None:
    by_hand(observing, "POST", "/cluster/sdn/route-maps/entries", route_map_id="NOTHING", order=10, action="deny")
    apply_by_hand(observing)
    wrong = changed(observing, "EvpnController", routeMapOut="NOTHING")
    observing.stack.apply(wrong)
    await_("pve1 floods to no node", lambda: not observing.frr.tables("pve1").flood_list(VNI), 60)
    observing.stack.stop_operator(signal.SIGKILL)
    observing.stack.start_operator()
    message = reverted(observing, wrong)
    assert "no longer in the flood list of" in message
    assert "route-map-out" not in controller(observing)

    by_hand(observing, "DELETE", "/cluster/sdn/route-maps/entries/NOTHING/entry/10")
    apply_by_hand(observing)


def test_an_mtu_that_kills_sessions_is_named_and_the_apply_reverted(observing: Observing) -> None:
    """An administrator staged jumbo frames on one node; the apply of another change brings them into force.

    OSPF does not become neighbours with a node of another MTU (RFC 2328, 10.6), and the VTEPs are reached through it.
    """
    loopbacks = {name: address.replace("192.168.16.", "10.9.0.") for name, address in NODES.items()}
    move_fabric(observing, "10.9.0.0/24", loopbacks)
    including = {"onFailure": "Revert", "foreignPending": "Include"}
    observing.stack.apply(changed(observing, "ProxmoxCluster", apply=including))
    by_hand(observing, "PUT", "/nodes/pve2/network/vmbr0", type="bridge", mtu=9000)
    more = observing.document("VNet")
    spec = {"zoneRef": more["spec"]["zoneRef"], "vni": VNI + 1}
    more = {**more, "metadata": {**more["metadata"], "name": "more"}, "spec": spec}
    observing.stack.apply(more)
    message = observing.stack.await_condition(more, "Programmed", "Reverted", REVERTS)
    assert "the administrators of ProxmoxCluster pve see what and where" in message
    evidence = observing.stack.condition(observing.document("ProxmoxCluster"), "Ready")["message"]
    assert "lost its session with pve2" in evidence or "pve2 has lost its session" in evidence
    assert "the host-network edits of pve2, which went live with it, stay" in evidence
    assert len(observing.lab.sdn.running["vnets"]) == 1

    by_hand(observing, "PUT", "/nodes/pve2/network/vmbr0", type="bridge", delete="mtu")
    by_hand(observing, "PUT", "/nodes/pve2/network")
    await_full_mesh(observing.frr, loopbacks)
    observing.stack.delete(more)
    move_fabric(observing, "192.168.16.0/24", NODES)


def move_fabric(observing: Observing, prefix: str, addresses: Mapping[str, str]) -> None:
    """Give the fabric's nodes other addresses, so that these are the VTEPs."""
    fabrics = observing.lab.fabrics
    with observing.lab.mutex:
        fabrics.fabrics.edited["Fabric1"]["ip_prefix"] = prefix
        for row in fabrics.nodes.edited.values():
            row["ip"] = addresses[row["node_id"]]
    apply_by_hand(observing, addresses)
