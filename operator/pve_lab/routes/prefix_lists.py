"""Prefix lists and their entries."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import wrong_parameters
from pve_lab.request import Call
from pve_lab.routes.config_file import digested, locked, sees, settings_of_body, to_delete, value_of


def prefix_lists(cluster: Cluster, call: Call) -> Any:
    """Without ``verbose`` the ids alone; with what waits, whether it does, but not what."""
    lists = cluster.prefix_lists.lists
    rows = [row for row in lists.rows(call.view) if sees(cluster, call, f"/sdn/prefix-lists/{value_of(row, 'id')}")]
    if call.flag("verbose"):
        return digested(call, rows, lists.digest)
    return [{"id": value_of(row, "id")} | ({"state": row["state"]} if "state" in row else {}) for row in rows]


def create_list(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "creating prefix list failed"):
        cluster.prefix_lists.lists.check_digest(call.text("digest"))
        cluster.prefix_lists.create(str(call.params["id"]), call.params.get("entries") or [])


def prefix_list(cluster: Cluster, call: Call) -> Any:
    found = cluster.prefix_lists.lists.edited.get(call.path["id"])
    if found is None:
        raise wrong_parameters({"id": f"{call.path['id']} doesn't exist"})
    return found


def update_list(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "updating prefix list failed"):
        cluster.prefix_lists.lists.check_digest(call.text("digest"))
        cluster.prefix_lists.update(call.path["id"], call.params.get("entries"), to_delete(call))


def delete_list(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "deleting prefix list failed"):
        cluster.prefix_lists.delete(call.path["id"])


def list_entries(cluster: Cluster, call: Call) -> Any:
    return cluster.prefix_lists.entries(call.path["id"])


def add_list_entry(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "creating prefix list entry failed"):
        cluster.prefix_lists.add_entry(call.path["id"], settings_of_body(call))


def list_entry(cluster: Cluster, call: Call) -> Any:
    return cluster.prefix_lists.entry(call.path["id"], call.path["url_seq"])


def update_list_entry(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "updating prefix list entry failed"):
        id_, seq = call.path["id"], call.path["url_seq"]
        cluster.prefix_lists.change_entry(id_, seq, settings_of_body(call), to_delete(call))


def delete_list_entry(cluster: Cluster, call: Call) -> Any:
    with locked(cluster, call, "deleting prefix list entry failed"):
        cluster.prefix_lists.drop_entry(call.path["id"], call.path["url_seq"])
