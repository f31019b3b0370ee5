"""What one node says of itself: host network, zones, VNets, and what EVPN has taught it."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster as Lab
from pve_lab.dry_run import dry_run
from pve_lab.errors import died, refused
from pve_lab.releases import V92
from pve_lab.request import Call
from pve_lab.request import Envelope as Whole
from pve_lab.routes.cluster import REPOSITORY
from pve_lab.routes.declared import declared, node_of

_NETWORK = "/nodes/{node}/network"


@declared("GET", _NETWORK)
def network(lab: Lab, call: Call) -> Any:
    """Edits that wait are told of beside the data."""
    own = node_of(lab, call).network
    body: dict[str, Any] = {"data": own.rows(str(call.params.get("type", "")))}
    return Whole({**body, "changes": own.changes} if own.changes else body)


@declared("POST", _NETWORK)
def create_interface(lab: Lab, call: Call) -> Any:
    props = {key: value for key, value in call.params.items() if key != "iface"}
    node_of(lab, call).network.create(str(call.params["iface"]), props)


@declared("PUT", _NETWORK)
def reload(lab: Lab, call: Call) -> Any:
    return lab.reload(node_of(lab, call), call.user)


@declared("DELETE", _NETWORK)
def revert(lab: Lab, call: Call) -> Any:
    node_of(lab, call).network.revert()


@declared("GET", _NETWORK + "/{iface}")
def interface(lab: Lab, call: Call) -> Any:
    return node_of(lab, call).network.one(call.path["iface"])


@declared("PUT", _NETWORK + "/{iface}")
def update_interface(lab: Lab, call: Call) -> Any:
    params = dict(call.params)
    delete = [key for key in str(params.pop("delete", "")).split(",") if key]
    node_of(lab, call).network.update(call.path["iface"], params, delete)


@declared("DELETE", _NETWORK + "/{iface}")
def delete_interface(lab: Lab, call: Call) -> Any:
    node_of(lab, call).network.delete(call.path["iface"])


@declared("GET", "/nodes/{node}/version")
def version(lab: Lab, call: Call) -> Any:
    node_of(lab, call)
    return {"version": lab.version, "release": lab.version.rsplit(".", 1)[0], "repoid": REPOSITORY}


@declared("GET", "/cluster/sdn/dry-run")
def preview(lab: Lab, call: Call) -> Any:
    """What an apply would change in the files of one node, as they are there."""
    node = node_of(lab, Call({"node": str(call.params["node"])}, {}, call.user))
    versions = (node.applied_version, lab.sdn.version)
    return dry_run(node.name, node.address, node.loaded, lab.staged(), versions)


@declared("GET", "/nodes/{node}/sdn/zones")
def node_zones(lab: Lab, call: Call) -> Any:
    rows = lab.zone_rows(node_of(lab, call))
    return [row for row in rows if lab.access.allowed(call.user, f"/sdn/zones/{row['zone']}", ("SDN.Audit",))]


@declared("GET", "/nodes/{node}/sdn/zones/{zone}/content")
def content(lab: Lab, call: Call) -> Any:
    node = node_of(lab, call)
    rows = []
    for vnet, props in sorted(lab.sdn.running["vnets"].items()):
        if props.get("zone") != call.path["zone"]:
            continue
        if problem := lab.dataplane.missing(node.name, vnet) if node.applied_version == lab.sdn.version else "":
            rows.append({"vnet": vnet, "status": "error", "statusmsg": problem})
        elif node.applied_version == lab.sdn.version:
            rows.append({"vnet": vnet, "status": "available"})
        else:
            text = "local sdn network configuration is too old, please reload"
            rows.append({"vnet": vnet, "status": "pending", "statusmsg": text})
    return rows


@declared("GET", "/nodes/{node}/sdn/vnets/{vnet}/mac-vrf")
def mac_vrf(lab: Lab, call: Call) -> Any:
    node, vnet = node_of(lab, call), call.path["vnet"]
    zone = lab.sdn.running["vnets"].get(vnet, {}).get("zone", "")
    lab.access.demand(call.user, f"/sdn/zones/{zone}/{vnet}", "SDN.Audit")
    _trip_over_nodes(lab, zone, "Vnet.pm", 141)
    return lab.dataplane.mac_vrf(node.name, vnet)


@declared("GET", "/nodes/{node}/sdn/zones/{zone}/ip-vrf")
def ip_vrf(lab: Lab, call: Call) -> Any:
    node = node_of(lab, call)
    _trip_over_nodes(lab, call.path["zone"], "Zone.pm", 379)
    return lab.dataplane.ip_vrf(node.name, call.path["zone"])


@declared("GET", "/nodes/{node}/sdn/zones/{zone}/bridges")
def bridges(lab: Lab, call: Call) -> Any:
    return lab.dataplane.bridges(node_of(lab, call).name, call.path["zone"])


@declared("GET", "/nodes/{node}/sdn/fabrics/{fabric}/neighbors")
def neighbours(lab: Lab, call: Call) -> Any:
    return lab.dataplane.neighbours(node_of(lab, call).name, call.path["fabric"])


@declared("GET", "/nodes/{node}/sdn/fabrics/{fabric}/routes")
def fabric_routes(lab: Lab, call: Call) -> Any:
    return lab.dataplane.fabric_routes(node_of(lab, call).name, call.path["fabric"])


@declared("GET", "/nodes/{node}/sdn/fabrics/{fabric}/interfaces")
def fabric_interfaces(lab: Lab, call: Call) -> Any:
    return lab.dataplane.fabric_interfaces(node_of(lab, call).name, call.path["fabric"])


def _trip_over_nodes(lab: Lab, zone: str, module: str, line: int) -> None:
    """Before 9.2 Proxmox takes the node list of a zone for a list, which it is not, and dies."""
    if lab.sdn.pve < V92 and lab.sdn.running["zones"].get(zone, {}).get("nodes"):
        raise refused(died("Not an ARRAY reference", f"API2/Network/SDN/Nodes/{module}", line))
