"""The cluster as a whole: version, membership, resources."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab, Node
from pve_lab.declared import V91, declared
from pve_lab.dispatch import Call
from pve_lab.errors import bad_parameters
from pve_lab.guests import Guest

#: The version's commit; the lab has none.
REPOSITORY = "0123456789abcdef"


@declared("GET", "/version")
def version(lab: Lab, _call: Call) -> Any:
    return {"version": lab.version, "release": lab.version.rsplit(".", 1)[0], "repoid": REPOSITORY}


@declared("GET", "/cluster/status")
def cluster_status(lab: Lab, _call: Call) -> Any:
    nodes = list(lab.nodes.values())
    head = {"type": "cluster", "id": "cluster", "name": "lab", "version": 1, "nodes": len(nodes)}
    rows: list[dict[str, Any]] = [{**head, "quorate": int(lab.quorate)}]
    for number, node in enumerate(nodes, 1):
        row = {"type": "node", "id": f"node/{node.name}", "name": node.name, "ip": node.address, "nodeid": number}
        rows.append({**row, "online": int(node.online), "local": int(number == 1), "level": ""})
    return rows


@declared("GET", "/cluster/resources")
def resources(lab: Lab, call: Call) -> Any:
    nodes = [_node_row(node) for node in lab.nodes.values()]
    mine = [
        guest for guest in lab.guests.values() if lab.access.allowed(call.user, f"/vms/{guest.vmid}", ("VM.Audit",))
    ]
    guests = [_guest_row(lab, guest) for guest in mine]
    match call.params.get("type"):
        case "vm":
            return guests
        case "node":
            return nodes
        case "sdn":
            # Nodes of 9.1 and newer announce zones as type "network", which this filter passes over.
            return _visible_networks(lab, call) if lab.sdn.pve < V91 else []
        case "storage":
            return []
    return [*nodes, *guests, *_visible_networks(lab, call)]


def _visible_networks(lab: Lab, call: Call) -> list[dict[str, Any]]:
    return [row for row in _networks(lab) if _sees_network(lab, call, row)]


def _sees_network(lab: Lab, call: Call, row: dict[str, Any]) -> bool:
    name = row.get("network") or row.get("sdn")
    branch = "fabrics" if row.get("network-type") == "fabric" else "zones"
    return lab.access.allowed(call.user, f"/sdn/{branch}/{name}", ("SDN.Audit", "SDN.Allocate"))


def _node_row(node: Node) -> dict[str, Any]:
    status = "online" if node.online else "offline"
    return {"id": f"node/{node.name}", "type": "node", "node": node.name, "status": status, "level": ""}


def _guest_row(lab: Lab, guest: Guest) -> dict[str, Any]:
    """A guest on a node that is away is there, in a state nobody knows."""
    state = "running" if guest.running else "stopped"
    row: dict[str, Any] = {
        "id": f"{guest.kind}/{guest.vmid}", "type": guest.kind, "vmid": guest.vmid, "name": guest.name,
        "node": guest.node, "status": state if lab.nodes[guest.node].online else "unknown",
        "template": int(guest.template),
    }  # fmt: skip
    for key, value in (("pool", guest.pool), ("lock", guest.lock), ("tags", guest.config.get("tags", ""))):
        if value:
            row[key] = value
    return row


def _networks(lab: Lab) -> list[dict[str, Any]]:
    """Zones and fabrics as the nodes announce them: as type "sdn" up to 9.0, as "network" from 9.1 on."""
    rows = []
    for node in lab.nodes.values():
        if not node.online:
            continue
        for zone, state in lab.zone_states(node).items():
            status = "ok" if state == "available" else "error"
            row: dict[str, Any] = {"node": node.name, "status": status}
            if lab.sdn.pve < V91:
                rows.append({**row, "id": f"sdn/{node.name}/{zone}", "type": "sdn", "sdn": zone})
                continue
            type_ = lab.sdn.running["zones"][zone]["type"]
            rows.append({**row, **_network(node, "zone", zone), "zone-type": type_})
        for fabric, props in lab.fabrics.fabrics.running.items() if lab.sdn.pve >= V91 else ():
            status = "ok" if lab.dataplane.fabric_routes(node.name, fabric) else "not ok"
            row = {"node": node.name, "status": status, "protocol": props["protocol"]}
            rows.append({**row, **_network(node, "fabric", fabric)})
    return rows


def _network(node: Node, type_: str, name: str) -> dict[str, Any]:
    id_ = f"network/{node.name}/{type_}/{name}"
    return {"id": id_, "type": "network", "network-type": type_, "network": name}


@declared("GET", "/nodes")
def nodes(lab: Lab, _call: Call) -> Any:
    return [{"node": node.name, "status": "online" if node.online else "offline"} for node in lab.nodes.values()]


@declared("GET", "/cluster/nextid")
def next_id(lab: Lab, call: Call) -> Any:
    if asked := call.params.get("vmid"):
        if int(asked) in lab.guests:
            raise bad_parameters(vmid=f"VM {asked} already exists")
        return int(asked)
    return next(vmid for vmid in range(100, 1000000) if vmid not in lab.guests)
