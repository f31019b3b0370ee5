"""Fabrics, and the lists and maps that routing policies are made of."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Lab
from pve_lab.dispatch import Call, route


@route("GET", "/cluster/sdn/fabrics/all")
def fabrics(lab: Lab, _call: Call) -> Any:
    return {"fabrics": list(lab.sdn.fabrics.values()), "nodes": lab.sdn.fabric_nodes}


@route("GET", "/cluster/sdn/route-maps/entries")
def route_maps(_lab: Lab, _call: Call) -> Any:
    return []


@route("GET", "/cluster/sdn/prefix-lists")
def prefix_lists(_lab: Lab, _call: Call) -> Any:
    return []
