"""EvpnNode objects: one per node of a Proxmox cluster, created, reported and removed by the operator.

An EvpnNode that another client made gets a status too; the operator never deletes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.domain.health.object_health import NO_BGP_SOURCE, Health, unobserved
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.status.sdn import node_status
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.tasks import together


def node_key(cluster: str, node: str) -> ObjectKey:
    """The object of one node. Proxmox node names may have capitals, Kubernetes names may not."""
    return ObjectKey("EvpnNode", "", f"{cluster}-{node}".lower())


async def sync(context: ClusterContext, members: Iterable[str]) -> None:
    """Make the objects those of the cluster's present members."""
    wanted = {node_key(context.cluster, name): name for name in members}
    there = {node.key for node in _of_cluster(context)}
    for key in sorted(wanted.keys() - there):
        spec = {"clusterRef": {"name": context.cluster}, "node": wanted[key]}
        await context.writer.create("EvpnNode", key.name, spec, context.key)
    for node in _made_by_operator(context):
        if node.key not in wanted:
            await context.writer.delete(node.key)


async def report(context: ClusterContext, health: Mapping[ObjectKey, Health], now: datetime) -> None:
    """Write what was observed of each node."""
    await together(_report(context, node, health, now) for node in _of_cluster(context))


async def remove(context: ClusterContext) -> None:
    """Delete all EvpnNodes the operator made for the cluster."""
    for node in _made_by_operator(context):
        await context.writer.delete(node.key)


def _of_cluster(context: ClusterContext) -> list[Resource[Any]]:
    cache = context.cache
    return [node for node in cache.of_kind("EvpnNode") if cache.cluster_of(node) == context.cluster]


def _made_by_operator(context: ClusterContext) -> list[Resource[Any]]:
    nodes = sorted(_of_cluster(context), key=lambda node: node.key)
    return [node for node in nodes if node.labels.get(kinds.LABEL_CLUSTER) == context.cluster]


async def _report(
    context: ClusterContext, node: Resource[Any], health: Mapping[ObjectKey, Health], now: datetime
) -> None:
    status = node_status(node, health.get(node.key) or unobserved(NO_BGP_SOURCE), now)
    await context.writer.write_status(node, status)
