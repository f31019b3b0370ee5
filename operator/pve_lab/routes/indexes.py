"""Directories of the API: what is below a path. Clients seldom ask, explorers do."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, Needs, node_of, route
from pve_lab.schema import Prop
from pve_lab.sdn.parameters import SHORT_ID

_NODE = Prop(optional=False, format="pve-node")
V91 = (9, 1)


@route("GET", "/nodes/{node}/sdn", parameters={"node": _NODE})
def node_sdn(lab: Lab, call: Call) -> Any:
    node_of(lab, call)
    names = ["zones"] if lab.sdn.pve < V91 else ["fabrics", "vnets", "zones"]
    return [{"name": name} for name in names]


@route(
    "GET", "/nodes/{node}/sdn/zones/{zone}", parameters={"node": _NODE, "zone": SHORT_ID},
    needs=Needs("/sdn/zones/{zone}", ("SDN.Audit",)),
)  # fmt: skip
def node_zone(lab: Lab, call: Call) -> Any:
    """Of any zone, whether it is there or not."""
    node_of(lab, call)
    names = ["content"] if lab.sdn.pve < V91 else ["content", "bridges", "ip-vrf"]
    return [{"subdir": name} for name in names]


@route("GET", "/nodes/{node}/sdn/vnets/{vnet}", parameters={"node": _NODE, "vnet": SHORT_ID}, since=V91)
def node_vnet(lab: Lab, call: Call) -> Any:
    node_of(lab, call)
    lab.access.demand(
        call.user, f"/sdn/zones/{lab.sdn.zone_of_vnet(call.path['vnet'])}/{call.path['vnet']}", "SDN.Audit"
    )
    return [{"subdir": "mac-vrf"}]
