"""The cluster as a whole: version, membership, resources."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, route


@route("GET", "/version")
def version(lab: Lab, _call: Call) -> Any:
    return {"version": lab.version, "release": lab.version.rsplit(".", 1)[0], "repoid": "lab"}


@route("GET", "/cluster/status")
def cluster_status(lab: Lab, _call: Call) -> Any:
    nodes = list(lab.nodes.values())
    online = sum(node.online for node in nodes)
    head = {"type": "cluster", "id": "cluster", "name": "lab", "version": 1, "nodes": len(nodes)}
    rows: list[dict[str, Any]] = [{**head, "quorate": int(online * 2 > len(nodes))}]
    for number, node in enumerate(nodes, 1):
        row = {"type": "node", "id": f"node/{node.name}", "name": node.name, "ip": node.address, "nodeid": number}
        rows.append({**row, "online": int(node.online), "local": int(number == 1), "level": ""})
    return rows


@route("GET", "/cluster/resources")
def resources(lab: Lab, call: Call) -> Any:
    guests: list[dict[str, Any]] = [
        {
            "id": f"{g.kind}/{g.vmid}", "type": g.kind, "vmid": g.vmid, "name": g.name, "node": g.node,
            "status": "running" if g.running else "stopped", "template": 0,
        }
        for g in lab.guests.values()
    ]  # fmt: skip
    if call.params.get("type") == "vm":
        return guests
    return [{"id": f"node/{n}", "type": "node", "node": n, "status": "online"} for n in lab.nodes] + guests
