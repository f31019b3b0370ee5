"""Route maps and their entries."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import wrong_parameters
from pve_lab.request import Call
from pve_lab.routes.config_file import digested, locked, sees, settings, to_delete, value_of
from pve_lab.sdn.section_config import Props


def _entry_rows(cluster: Cluster, call: Call, map_: str = "") -> list[Props]:
    entries = cluster.route_maps.entries
    rows = [
        row
        for row in entries.rows(call.view)
        if map_ in ("", name := value_of(row, "route-map-id")) and sees(cluster, call, f"/sdn/route-maps/{name}")
    ]
    return digested(call, rows, entries.digest)


def route_maps(cluster: Cluster, call: Call) -> Any:
    names = {row["route-map-id"] for row in cluster.route_maps.entries.rows(call.view)}
    return [{"id": name} for name in sorted(names) if sees(cluster, call, f"/sdn/route-maps/{name}")]


def all_entries(cluster: Cluster, call: Call) -> Any:
    return _entry_rows(cluster, call)


def create_entry(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "creating route map entry failed"):
        cluster.route_maps.entries.check_digest(call.text("digest"))
        cluster.route_maps.create(settings(call))


def entries(cluster: Cluster, call: Call) -> Any:
    return _entry_rows(cluster, call, call.path["route-map-id"])


def entry(cluster: Cluster, call: Call) -> Any:
    map_, order = call.path["route-map-id"], call.path["order"]
    found = cluster.route_maps.entries.edited.get(f"{map_}/{order}")
    if found is None:
        raise wrong_parameters({"route-map-id": f"{map_}_{order} doesn't exist"})
    return found


def update_entry(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "updating route map entry failed"):
        cluster.route_maps.entries.check_digest(call.text("digest"))
        cluster.route_maps.update(call.path["route-map-id"], call.path["order"], settings(call), to_delete(call))


def delete_entry(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "deleting route map entry failed"):
        cluster.route_maps.delete(call.path["route-map-id"], call.path["order"])
