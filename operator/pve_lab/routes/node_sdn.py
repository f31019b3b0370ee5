"""The SDN of one node: zones, VNets, the dry run of an apply, and the routes and neighbours it has learned."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.dry_run import dry_run
from pve_lab.errors import died, refused
from pve_lab.json_schema import Prop, Schema
from pve_lab.releases import V91, V92
from pve_lab.request import Call
from pve_lab.sdn.parameters import SHORT_ID

_NODE = Prop(optional=False, format="pve-node")

# Parameters of the methods, for the table of routes.
INDEX: Schema = {"node": _NODE}
ZONE_INDEX: Schema = {"node": _NODE, "zone": SHORT_ID}
VNET_INDEX: Schema = {"node": _NODE, "vnet": SHORT_ID}


def index(cluster: Cluster, call: Call) -> Any:
    cluster.reachable_node(call.path["node"])
    names = ["zones"] if cluster.sdn.pve < V91 else ["fabrics", "vnets", "zones"]
    return [{"name": name} for name in names]


def zone_index(cluster: Cluster, call: Call) -> Any:
    """Proxmox lists it for zones that do not exist, too."""
    cluster.reachable_node(call.path["node"])
    names = ["content"] if cluster.sdn.pve < V91 else ["content", "bridges", "ip-vrf"]
    return [{"subdir": name} for name in names]


def vnet_index(cluster: Cluster, call: Call) -> Any:
    cluster.reachable_node(call.path["node"])
    cluster.access.demand(
        call.user, f"/sdn/zones/{cluster.sdn.zone_of_vnet(call.path['vnet'])}/{call.path['vnet']}", "SDN.Audit"
    )
    return [{"subdir": "mac-vrf"}]


def node_dry_run(cluster: Cluster, call: Call) -> Any:
    """What an apply would change in the files of one node, as they are there."""
    node = cluster.reachable_node(str(call.params["node"]))
    versions = (node.applied_version, cluster.sdn.version)
    return dry_run(node.name, node.address, node.loaded, cluster.staged(), versions)


def zones(cluster: Cluster, call: Call) -> Any:
    rows = cluster.zone_rows(cluster.reachable_node(call.path["node"]))
    return [row for row in rows if cluster.access.allowed(call.user, f"/sdn/zones/{row['zone']}", ("SDN.Audit",))]


def content(cluster: Cluster, call: Call) -> Any:
    node = cluster.reachable_node(call.path["node"])
    rows = []
    for vnet, props in sorted(cluster.sdn.running["vnets"].items()):
        if props.get("zone") != call.path["zone"]:
            continue
        if problem := cluster.dataplane.missing(node.name, vnet) if node.applied_version == cluster.sdn.version else "":
            rows.append({"vnet": vnet, "status": "error", "statusmsg": problem})
        elif node.applied_version == cluster.sdn.version:
            rows.append({"vnet": vnet, "status": "available"})
        else:
            text = "local sdn network configuration is too old, please reload"
            rows.append({"vnet": vnet, "status": "pending", "statusmsg": text})
    return rows


def mac_vrf(cluster: Cluster, call: Call) -> Any:
    node, vnet = cluster.reachable_node(call.path["node"]), call.path["vnet"]
    zone = cluster.sdn.running["vnets"].get(vnet, {}).get("zone", "")
    cluster.access.demand(call.user, f"/sdn/zones/{zone}/{vnet}", "SDN.Audit")
    _fail_on_nodes(cluster, zone, "Vnet.pm", 141)
    return cluster.dataplane.mac_vrf(node.name, vnet)


def ip_vrf(cluster: Cluster, call: Call) -> Any:
    node = cluster.reachable_node(call.path["node"])
    _fail_on_nodes(cluster, call.path["zone"], "Zone.pm", 379)
    return cluster.dataplane.ip_vrf(node.name, call.path["zone"])


def bridges(cluster: Cluster, call: Call) -> Any:
    return cluster.dataplane.bridges(cluster.reachable_node(call.path["node"]).name, call.path["zone"])


def neighbours(cluster: Cluster, call: Call) -> Any:
    return cluster.dataplane.neighbours(cluster.reachable_node(call.path["node"]).name, call.path["fabric"])


def fabric_routes(cluster: Cluster, call: Call) -> Any:
    return cluster.dataplane.fabric_routes(cluster.reachable_node(call.path["node"]).name, call.path["fabric"])


def fabric_interfaces(cluster: Cluster, call: Call) -> Any:
    return cluster.dataplane.fabric_interfaces(cluster.reachable_node(call.path["node"]).name, call.path["fabric"])


def _fail_on_nodes(cluster: Cluster, zone: str, module: str, line: int) -> None:
    """Before 9.2 Proxmox takes the node list of a zone for a list, which it is not, and dies."""
    if cluster.sdn.pve < V92 and cluster.sdn.running["zones"].get(zone, {}).get("nodes"):
        raise refused(died("Not an ARRAY reference", f"API2/Network/SDN/Nodes/{module}", line))
