"""A node's host network and version."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.request import Call, Envelope
from pve_lab.routes.cluster import REPOSITORY

#: Versions that Proxmox VE 9 ships.
FRR, IFUPDOWN2 = "10.4.1-1+pve1", "3.3.0-1+pmx11"


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


def package_versions(cluster: Cluster, call: Call) -> Any:
    """What an SDN node needs of Debian, as ``apt`` shows it: OldVersion is what is installed."""
    node = cluster.reachable_node(call.path["node"])
    packages = {"pve-manager": cluster.version, "frr-pythontools": FRR, "ifupdown2": IFUPDOWN2}
    return [
        {"Package": name, "OldVersion": version, "Version": version, "CurrentState": "Installed"}
        for name, version in packages.items()
        if name != "ifupdown2" or node.ifupdown2
    ]
