"""The operator beside real FRR: told how to reach the lab's nodes by ssh, and compared with what vtysh says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from pve_evpn.api.kinds import LABEL_CLUSTER
from pve_lab.frr.topology import Topology
from tests.e2e.stack import NAMESPACE, Stack
from tests.frr.world import NODES, VM1, VNI

_SECRET = "pve-node-ssh"


def observe_by_ssh(stack: Stack, frr: Topology) -> None:
    """Give the operator the key to the nodes; to be called before the seed is applied."""
    data = {"ssh-privatekey": frr.ssh.private_key, "known_hosts": frr.ssh.known_hosts}
    meta = {"name": _SECRET, "namespace": NAMESPACE, "labels": {LABEL_CLUSTER: "pve"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
    stack.plane.kubectl("apply", "-f", "-", stdin=json.dumps(secret))
    stack.observe = {
        "intervalSeconds": 2,
        "graceSeconds": 4,
        "sources": ["ssh", "api"],
        "ssh": {
            "user": frr.ssh.user,
            "port": frr.ssh.port,
            "addresses": frr.ssh.addresses,
            "keySecretRef": {"name": _SECRET},
            "knownHostsSecretRef": {"name": _SECRET},
        },
    }


def evpn_node(stack: Stack, node: str) -> dict[str, Any]:
    """The status of a node's EvpnNode."""
    for item in json.loads(stack.plane.kubectl("get", "evpnn", "-o", "json"))["items"]:
        if item["spec"]["node"] == node:
            return dict(item.get("status", {}))
    return {}


def differences(stack: Stack, frr: Topology, nic: dict[str, Any], vnet: dict[str, Any]) -> list[str]:
    """Where the operator's statuses say something else than FRR; empty if they agree."""
    found = [text for node in NODES for text in _node_differs(evpn_node(stack, node), frr, node)]
    found += _routes_differ(stack.get(vnet)["status"], frr)
    found += _nic_differs(stack.get(nic)["status"].get("evpn") or {}, frr)
    return found


def await_agreement(stack: Stack, frr: Topology, nic: dict[str, Any], vnet: dict[str, Any]) -> None:
    """Wait until nothing differs: a status is as old as the last poll, so a change of the network shows a little later.

    Raises AssertionError with what still differs.
    """
    deadline = time.monotonic() + 20
    while found := differences(stack, frr, nic, vnet):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def _node_differs(status: dict[str, Any], frr: Topology, node: str) -> Iterator[str]:
    tables = frr.tables(node)
    told = {peer["address"]: peer["state"] for peer in status.get("peers") or ()}
    if told != (seen := tables.sessions()):
        yield f"{node}: sessions are {told} in the status, {seen} in vtysh"
    told_vnis = {str(row["vni"]): (row.get("macs"), row.get("remoteVteps")) for row in status.get("vnis") or ()}
    vnis = {
        vni: (row["numMacs"], None if row["type"] == "L3" else row["numRemoteVteps"])
        for vni, row in tables.json("show evpn vni").items()
    }
    if told_vnis != vnis:
        yield f"{node}: VNIs (MACs, VTEPs) are {told_vnis} in the status, {vnis} in vtysh"
    router_id = tables.json("show bgp l2vpn evpn summary").get("routerId")
    if status.get("routerId") != router_id:
        yield f"{node}: the router id is {status.get('routerId')} in the status, {router_id} in vtysh"


def _routes_differ(status: dict[str, Any], frr: Topology) -> Iterator[str]:
    told = status.get("routes") or {}
    seen = {"type2": len(frr.tables("pve1").mac_routes(VNI)), "type3": len(frr.tables("pve1").vteps())}
    if (told.get("type2", 0), told.get("type3")) != tuple(seen.values()):
        yield f"VNet: routes are {told} in the status, {seen} on pve1 in vtysh"


def _nic_differs(evpn: dict[str, Any], frr: Topology) -> Iterator[str]:
    route = frr.tables("pve1").mac_route(VM1)
    names = {address: name for name, address in NODES.items()}
    seen = (names[route.nexthop], route.moves) if route else (None, 0)
    told = (evpn.get("announcedBy"), evpn.get("mobilitySequence", 0))
    if told != seen:
        yield f"NIC: announced by, moves are {told} in the status, {seen} on pve1 in vtysh"
