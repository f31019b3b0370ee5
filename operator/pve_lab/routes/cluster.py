"""The cluster as a whole: version, membership, resources."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster, Node
from pve_lab.errors import bad_parameters
from pve_lab.guests import Guest
from pve_lab.releases import V91
from pve_lab.request import Call

#: Stands for the commit that a version was built from.
REPOSITORY = "0123456789abcdef"


def version(cluster: Cluster, _call: Call) -> Any:
    return {"version": cluster.version, "release": cluster.version.rsplit(".", 1)[0], "repoid": REPOSITORY}


def cluster_status(cluster: Cluster, _call: Call) -> Any:
    nodes = list(cluster.nodes.values())
    head = {"type": "cluster", "id": "cluster", "name": "lab", "version": 1, "nodes": len(nodes)}
    rows: list[dict[str, Any]] = [{**head, "quorate": int(cluster.quorate)}]
    for number, node in enumerate(nodes, 1):
        row = {"type": "node", "id": f"node/{node.name}", "name": node.name, "ip": node.address, "nodeid": number}
        rows.append({**row, "online": int(node.online), "local": int(number == 1), "level": ""})
    return rows


def resources(cluster: Cluster, call: Call) -> Any:
    nodes = [_node_row(node) for node in cluster.nodes.values()]
    guests = [
        _guest_row(cluster, guest)
        for guest in cluster.guests.values()
        if cluster.access.allowed(call.user, f"/vms/{guest.vmid}", ("VM.Audit",))
    ]
    match call.params.get("type"):
        case "vm":
            return guests
        case "node":
            return nodes
        case "sdn":
            # Nodes of 9.1 and newer report zones as type "network", which this filter leaves out.
            return _visible_networks(cluster, call) if cluster.sdn.pve < V91 else []
        case "storage":
            return []
    return [*nodes, *guests, *_visible_networks(cluster, call)]


def _visible_networks(cluster: Cluster, call: Call) -> list[dict[str, Any]]:
    return [row for row in _networks(cluster) if _sees_network(cluster, call, row)]


def _sees_network(cluster: Cluster, call: Call, row: dict[str, Any]) -> bool:
    name = row.get("network") or row.get("sdn")
    branch = "fabrics" if row.get("network-type") == "fabric" else "zones"
    return cluster.access.allowed(call.user, f"/sdn/{branch}/{name}", ("SDN.Audit", "SDN.Allocate"))


def _node_row(node: Node) -> dict[str, Any]:
    status = "online" if node.online else "offline"
    return {"id": f"node/{node.name}", "type": "node", "node": node.name, "status": status, "level": ""}


def _guest_row(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    """A guest on a node that is offline is listed with status unknown."""
    state = "running" if guest.running else "stopped"
    row: dict[str, Any] = {
        "id": f"{guest.kind}/{guest.vmid}", "type": guest.kind, "vmid": guest.vmid, "name": guest.name,
        "node": guest.node, "status": state if cluster.nodes[guest.node].online else "unknown",
        "template": int(guest.template),
    }  # fmt: skip
    for key, value in (("pool", guest.pool), ("lock", guest.lock), ("tags", guest.config.get("tags", ""))):
        if value:
            row[key] = value
    return row


def _networks(cluster: Cluster) -> list[dict[str, Any]]:
    """Zones and fabrics as the nodes report them: as type "sdn" up to 9.0, as "network" from 9.1 on."""
    rows = []
    for node in cluster.nodes.values():
        if not node.online:
            continue
        for zone, state in cluster.zone_states(node).items():
            status = "ok" if state == "available" else "error"
            row: dict[str, Any] = {"node": node.name, "status": status}
            if cluster.sdn.pve < V91:
                rows.append({**row, "id": f"sdn/{node.name}/{zone}", "type": "sdn", "sdn": zone})
                continue
            type_ = cluster.sdn.running["zones"][zone]["type"]
            rows.append({**row, **_network(node, "zone", zone), "zone-type": type_})
        for fabric, props in cluster.fabrics.fabrics.running.items() if cluster.sdn.pve >= V91 else ():
            status = "ok" if cluster.dataplane.fabric_routes(node.name, fabric) else "not ok"
            row = {"node": node.name, "status": status, "protocol": props["protocol"]}
            rows.append({**row, **_network(node, "fabric", fabric)})
    return rows


def _network(node: Node, type_: str, name: str) -> dict[str, Any]:
    id_ = f"network/{node.name}/{type_}/{name}"
    return {"id": id_, "type": "network", "network-type": type_, "network": name}


def nodes(cluster: Cluster, _call: Call) -> Any:
    return [
        {"node": node.name, "status": "online" if node.online else "offline", "ssl_fingerprint": node.fingerprint}
        for node in cluster.nodes.values()
    ]


def next_id(cluster: Cluster, call: Call) -> Any:
    if asked := call.params.get("vmid"):
        if int(asked) in cluster.guests:
            raise bad_parameters(vmid=f"VM {asked} already exists")
        return int(asked)
    return next(vmid for vmid in range(100, 1000000) if vmid not in cluster.guests)
