"""Two ProxmoxClusters that lead to one Proxmox: they would write against each other for ever. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pve_evpn.api.cluster import ProxmoxClusterSpec, ProxmoxClusterStatus
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.state import ClusterState

Cluster = Resource[ProxmoxClusterSpec, ProxmoxClusterStatus]


def duplicate(cluster: Cluster, others: Iterable[Cluster], state: ClusterState) -> Problem | None:
    """Why ``cluster`` is refused: an older ProxmoxCluster leads to the Proxmox that ``state`` was read from.

    The older ones are known by what their statuses say of them; one that was never reached is no duplicate.
    """
    for other in sorted(others, key=_age):
        if other.key == cluster.key or _age(other) > _age(cluster) or not other.status.nodes:
            continue
        if shared := _shared(state, other.status):
            name = f"cluster {state.cluster_name!r}" if state.cluster_name else f"node {next(iter(state.nodes))!r}"
            message = (
                f"it leads to the same Proxmox as the older ProxmoxCluster {other.key.name!r} ({name}, {shared}). Let "
                f"its objects refer to {other.key.name!r}, or delete one of the two"
            )
            return Problem(Reason.DUPLICATE_CLUSTER, message)
    return None


def _shared(state: ClusterState, other: ProxmoxClusterStatus) -> str:
    """What shows that both are one Proxmox, in words; empty if they are two.

    A node's name, address and certificate show it, because a node is in one cluster; so a node that was added since
    does not hide it. Where all certificates differ there are two, however alike their names and addresses are, as those
    of sites that were installed alike. Without certificates to compare, the cluster's name and the names and addresses
    of all nodes decide.
    """
    there = {node.name: node for node in other.nodes or ()}
    comparable = [
        (node, there[name].address == node.address and there[name].fingerprint == node.fingerprint)
        for name, node in state.nodes.items()
        if node.fingerprint and name in there and there[name].fingerprint
    ]
    if comparable:
        same = [node.name for node, equal in comparable if equal]
        return f"the name, address and certificate of {', '.join(same[:3])}" if same else ""
    here = (state.cluster_name, {(node.name, node.address) for node in state.nodes.values()})
    if here == (other.cluster_name or "", {(node.name, node.address or "") for node in there.values()}):
        return f"{len(state.nodes)} nodes with the same names and addresses"
    return ""


def _age(cluster: Cluster) -> tuple[datetime, str]:
    return (cluster.created, cluster.uid)
