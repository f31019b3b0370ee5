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

    Proxmox clusters are told apart by their name and by the names and addresses of their nodes. The older ones are
    known by what their statuses say of them; one that was never reached is no duplicate.
    """
    here = (state.cluster_name, frozenset((node.name, node.address) for node in state.nodes.values()))
    for other in sorted(others, key=_age):
        if other.key == cluster.key or _age(other) > _age(cluster) or not other.status.nodes:
            continue
        if here == (other.status.cluster_name or "", frozenset((n.name, n.address or "") for n in other.status.nodes)):
            name = f"cluster {state.cluster_name!r}" if state.cluster_name else f"node {next(iter(state.nodes))!r}"
            message = (
                f"it leads to the same Proxmox as the older ProxmoxCluster {other.key.name!r} ({name}, "
                f"{len(state.nodes)} nodes with the same names and addresses). Let its objects refer to "
                f"{other.key.name!r}, or delete one of the two"
            )
            return Problem(Reason.DUPLICATE_CLUSTER, message, retryable=True)
    return None


def _age(cluster: Cluster) -> tuple[datetime, str]:
    return (cluster.created, cluster.uid)
