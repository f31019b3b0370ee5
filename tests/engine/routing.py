"""Makers of routing objects (policies, fabrics, BGP controllers) for tests of the engine."""

from __future__ import annotations

from typing import Any

from pve_lab.host_network import HostNetwork
from tests.engine.world import World, document

ON_PVE = {"clusterRef": {"name": "pve"}}


def prefix_list(name: str = "pl1", *prefixes: str, **spec: Any) -> dict[str, Any]:
    entries = [
        {"seq": 5 * place, "action": "Permit", "prefix": prefix}
        for place, prefix in enumerate(prefixes or ("10.0.0.0/8",), 1)
    ]
    return document("PrefixList", name, {**ON_PVE, "entries": entries, **spec})


def route_map(name: str = "rm1", *entries: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return document("RouteMap", name, {**ON_PVE, "entries": entries or [entry()], **spec})


def entry(order: int = 10, action: str = "Permit", **more: Any) -> dict[str, Any]:
    return {"order": order, "action": action, **more}


def matching(order: int, name: str, **more: Any) -> dict[str, Any]:
    """An entry that asks a prefix list."""
    return entry(order, match={"prefixListRef": {"name": name}}, **more)


def bgp(name: str = "bgp-pve1", node: str = "pve1", **spec: Any) -> dict[str, Any]:
    base = {**ON_PVE, "node": node, "asn": 65001, "peers": ["192.0.2.1"], "ebgp": True}
    return document("BgpController", name, {**base, **spec})


def isis(name: str = "isis-pve1", node: str = "pve1", **spec: Any) -> dict[str, Any]:
    base = {**ON_PVE, "node": node, "domain": "dc1", "interfaces": ["eno1"], "net": "49.0001.1921.6801.6001.00"}
    return document("IsisController", name, {**base, **spec})


def fabric(name: str = "under", protocol: str = "OpenFabric", **spec: Any) -> dict[str, Any]:
    """Over eno1 of all nodes, with allocated addresses, unless ``spec`` says otherwise."""
    base = {
        **ON_PVE,
        "protocol": protocol,
        "prefix": "10.255.0.0/24",
        "area": "7" if protocol == "OSPF" else None,
        "allNodes": {"interfaces": [{"name": "eno1"}]} if "nodes" not in spec else None,
    }
    return document("Fabric", name, {**base, **spec})


def bare(world: World) -> World:
    """Nodes as they are before anything of SDN was made, each with a second and a third NIC."""
    for file in (world.lab.fabrics.fabrics, world.lab.fabrics.nodes):
        file.edited.clear()
        file.commit()
    for node in world.lab.nodes.values():
        node.network = HostNetwork(node.address, ("eno1", "eno2", "eno3"))
    return world
