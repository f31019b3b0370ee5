"""The cluster as a whole: version, membership, resources."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab, Node
from pve_lab.declared import declared
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
        case "sdn" | "storage":
            # Nodes of 9.1 and newer announce zones as type "network", which this filter passes over.
            return []
    zones = [row for row in _networks(lab) if _sees_zone(lab, call, row["network"])]
    return [*nodes, *guests, *zones]


def _sees_zone(lab: Lab, call: Call, zone: str) -> bool:
    return lab.access.allowed(call.user, f"/sdn/zones/{zone}", ("SDN.Audit", "SDN.Allocate"))


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
    """Zones as the nodes announce them."""
    return [
        {
            "id": f"network/{node.name}/zone/{row['zone']}", "type": "network", "network-type": "zone",
            "network": row["zone"], "node": node.name, "status": "ok" if row["status"] == "available" else "error",
            "zone-type": lab.sdn.running["zones"][row["zone"]]["type"],
        }
        for node in lab.nodes.values() if node.online
        for row in lab.zone_rows(node)
    ]  # fmt: skip


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
