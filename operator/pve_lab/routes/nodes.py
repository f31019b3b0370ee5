"""A node's host network and version."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.request import Call, Envelope
from pve_lab.routes.cluster import REPOSITORY


def network(cluster: Cluster, call: Call) -> Any:
    """Pending edits are beside the data, in ``changes``."""
    own = cluster.reachable_node(call.path["node"]).network
    body: dict[str, Any] = {"data": own.rows(str(call.params.get("type", "")))}
    return Envelope({**body, "changes": own.changes} if own.changes else body)


def create_interface(cluster: Cluster, call: Call) -> Any:
    props = {key: value for key, value in call.params.items() if key != "iface"}
    cluster.reachable_node(call.path["node"]).network.create(str(call.params["iface"]), props)


def reload(cluster: Cluster, call: Call) -> Any:
    return cluster.reload(cluster.reachable_node(call.path["node"]), call.user)


def revert(cluster: Cluster, call: Call) -> Any:
    cluster.reachable_node(call.path["node"]).network.revert()


def interface(cluster: Cluster, call: Call) -> Any:
    return cluster.reachable_node(call.path["node"]).network.one(call.path["iface"])


def update_interface(cluster: Cluster, call: Call) -> Any:
    params = dict(call.params)
    delete = [key for key in str(params.pop("delete", "")).split(",") if key]
    cluster.reachable_node(call.path["node"]).network.update(call.path["iface"], params, delete)


def delete_interface(cluster: Cluster, call: Call) -> Any:
    cluster.reachable_node(call.path["node"]).network.delete(call.path["iface"])


def version(cluster: Cluster, call: Call) -> Any:
    cluster.reachable_node(call.path["node"])
    return {"version": cluster.version, "release": cluster.version.rsplit(".", 1)[0], "repoid": REPOSITORY}
