"""Fabrics and their nodes."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import refused
from pve_lab.request import Call
from pve_lab.routes.config_file import digested, locked, sees, settings, to_delete, value_of
from pve_lab.sdn.section_config import Props

_SEE_NODE = ("Sys.Audit", "Sys.Modify")


def _fabric_rows(cluster: Cluster, call: Call) -> list[Props]:
    rows = [
        row
        for row in cluster.fabrics.fabrics.rows(call.view)
        if sees(cluster, call, f"/sdn/fabrics/{value_of(row, 'id')}")
    ]
    return digested(call, rows, cluster.fabrics.digest)


def _node_rows(cluster: Cluster, call: Call, fabric: str = "") -> list[Props]:
    rows = [
        row
        for row in cluster.fabrics.nodes.rows(call.view)
        if fabric in ("", value_of(row, "fabric_id"))
        and sees(cluster, call, f"/sdn/fabrics/{value_of(row, 'fabric_id')}")
        and sees(cluster, call, f"/nodes/{value_of(row, 'node_id')}", _SEE_NODE)
    ]
    return digested(call, rows, cluster.fabrics.digest)


def fabrics_index(cluster: Cluster, _call: Call) -> Any:
    return [{"subdir": name} for name in ("fabric", "node", "all")]


def everything(cluster: Cluster, call: Call) -> Any:
    return {"fabrics": _fabric_rows(cluster, call), "nodes": _node_rows(cluster, call)}


def fabrics(cluster: Cluster, call: Call) -> Any:
    return _fabric_rows(cluster, call)


def create_fabric(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "adding fabric failed"):
        _unmodified(cluster, call)
        cluster.fabrics.create(settings(call))


def fabric(cluster: Cluster, call: Call) -> Any:
    return {**cluster.fabrics.fabric(call.path["id"]), "digest": cluster.fabrics.digest}


def update_fabric(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "updating fabric failed"):
        _unmodified(cluster, call)
        cluster.fabrics.update(call.path["id"], settings(call), to_delete(call))


def delete_fabric(cluster: Cluster, call: Call) -> Any:
    """The lock token is not declared, but taken, and wanted while the lock is held."""
    with locked(cluster, call, "deleting fabric failed"):
        for row in cluster.fabrics.nodes.edited.values():
            if row["fabric_id"] == call.path["id"] and not sees(
                cluster, call, f"/nodes/{row['node_id']}", ("Sys.Modify",)
            ):
                raise refused(f"permission check failed: missing 'Sys.Modify' on node {row['node_id']}\n")
        cluster.fabrics.delete(call.path["id"])


def all_nodes(cluster: Cluster, call: Call) -> Any:
    return _node_rows(cluster, call)


def nodes(cluster: Cluster, call: Call) -> Any:
    return _node_rows(cluster, call, call.path["fabric_id"])


def create_node(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "adding node failed"):
        _unmodified(cluster, call)
        cluster.fabrics.create_node(settings(call))


def node(cluster: Cluster, call: Call) -> Any:
    return {**cluster.fabrics.node(call.path["fabric_id"], call.path["node_id"]), "digest": cluster.fabrics.digest}


def update_node(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "updating node failed"):
        _unmodified(cluster, call)
        cluster.fabrics.update_node(call.path["fabric_id"], call.path["node_id"], settings(call), to_delete(call))


def delete_node(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "deleting node failed"):
        cluster.fabrics.delete_node(call.path["fabric_id"], call.path["node_id"])


def _unmodified(cluster: Cluster, call: Call) -> None:
    given = call.text("digest")
    if given and given != cluster.fabrics.digest:
        raise refused("detected modified configuration - file changed by other user? Try again.\n")
