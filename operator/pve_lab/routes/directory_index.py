"""Directories of the API: what is below a path. Clients seldom ask, explorers do."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.json_schema import Prop, Schema
from pve_lab.releases import V91
from pve_lab.request import Call
from pve_lab.sdn.parameters import SHORT_ID

_NODE = Prop(optional=False, format="pve-node")

# Parameters of the methods, for the table of routes.
NODE: Schema = {"node": _NODE}
NODE_ZONE: Schema = {"node": _NODE, "zone": SHORT_ID}
NODE_VNET: Schema = {"node": _NODE, "vnet": SHORT_ID}


def node_sdn(cluster: Cluster, call: Call) -> Any:
    cluster.reachable_node(call.path["node"])
    names = ["zones"] if cluster.sdn.pve < V91 else ["fabrics", "vnets", "zones"]
    return [{"name": name} for name in names]


def node_zone(cluster: Cluster, call: Call) -> Any:
    """Of any zone, whether it is there or not."""
    cluster.reachable_node(call.path["node"])
    names = ["content"] if cluster.sdn.pve < V91 else ["content", "bridges", "ip-vrf"]
    return [{"subdir": name} for name in names]


def node_vnet(cluster: Cluster, call: Call) -> Any:
    cluster.reachable_node(call.path["node"])
    cluster.access.demand(
        call.user, f"/sdn/zones/{cluster.sdn.zone_of_vnet(call.path['vnet'])}/{call.path['vnet']}", "SDN.Audit"
    )
    return [{"subdir": "mac-vrf"}]
