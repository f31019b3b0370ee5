"""What one node says of itself: host network, zones, VNets, and what EVPN has taught it."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, Whole, node_of, route


@route("GET", "/nodes/{node}/network")
def network(lab: Lab, call: Call) -> Any:
    node = node_of(lab, call)
    bridge = {"iface": "vmbr0", "type": "bridge", "method": "static", "cidr": f"{node.address}/24", "active": 1}
    body: dict[str, Any] = {"data": [bridge]}
    return Whole({**body, "changes": node.network_changes} if node.network_changes else body)


@route("PUT", "/nodes/{node}/network")
def reload(lab: Lab, call: Call) -> Any:
    return lab.reload(node_of(lab, call), call.user)


@route("GET", "/nodes/{node}/sdn/zones")
def node_zones(lab: Lab, call: Call) -> Any:
    return lab.zone_rows(node_of(lab, call))


@route("GET", "/nodes/{node}/sdn/zones/{zone}/content")
def content(lab: Lab, call: Call) -> Any:
    node = node_of(lab, call)
    rows = []
    for vnet, props in sorted(lab.sdn.running["vnets"].items()):
        if props.get("zone") != call.path["zone"]:
            continue
        if node.applied_version == lab.sdn.version:
            rows.append({"vnet": vnet, "status": "available"})
        else:
            text = "local sdn network configuration is too old, please reload"
            rows.append({"vnet": vnet, "status": "pending", "statusmsg": text})
    return rows


@route("GET", "/nodes/{node}/sdn/vnets/{vnet}/mac-vrf")
def mac_vrf(lab: Lab, call: Call) -> Any:
    node_of(lab, call)
    return lab.mac_vrf(call.path["vnet"])
