"""EvpnNode objects: one per node of a Proxmox cluster, created, reported and removed by the operator.

One that somebody else made is reported too, and left alone otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.domain.health.record import NO_BGP_SOURCE, Health, unobserved
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.status.sdn import node_status
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.ports import Objects
from pve_evpn.engine.writer import write_status


def node_key(cluster: str, node: str) -> ObjectKey:
    """The object of one node. Proxmox node names may have capitals, Kubernetes names may not."""
    return ObjectKey("EvpnNode", "", f"{cluster}-{node}".lower())


async def sync(cluster: str, cache: Cache, objects: Objects, members: Iterable[str]) -> None:
    """Make the objects those of the cluster's present members."""
    wanted = {node_key(cluster, name): name for name in members}
    there = {node.key for node in cache.of_kind("EvpnNode") if cache.cluster_of(node) == cluster}
    for key in sorted(wanted.keys() - there):
        spec = {"clusterRef": {"name": cluster}, "node": wanted[key]}
        if raw := await objects.create("EvpnNode", key.name, spec, ObjectKey("ProxmoxCluster", "", cluster)):
            cache.upsert(raw)
    for node in _made_by_us(cluster, cache):
        if node.key not in wanted:
            await objects.delete(node.key)


async def report(
    cluster: str, cache: Cache, objects: Objects, health: Mapping[ObjectKey, Health], now: datetime
) -> None:
    """Write what was observed of each node."""
    there = [node for node in cache.of_kind("EvpnNode") if cache.cluster_of(node) == cluster]
    await asyncio.gather(*(_report(cache, objects, node, health, now) for node in there))


async def remove(cluster: str, cache: Cache, objects: Objects) -> None:
    """Delete all EvpnNodes that were made for a cluster."""
    for node in _made_by_us(cluster, cache):
        await objects.delete(node.key)


def _made_by_us(cluster: str, cache: Cache) -> list[Resource[Any]]:
    nodes = sorted(cache.of_kind("EvpnNode"), key=lambda node: node.key)
    return [node for node in nodes if node.labels.get(kinds.LABEL_CLUSTER) == cluster == cache.cluster_of(node)]


async def _report(
    cache: Cache, objects: Objects, node: Resource[Any], health: Mapping[ObjectKey, Health], now: datetime
) -> None:
    status = node_status(node, health.get(node.key) or unobserved(NO_BGP_SOURCE), now)
    await write_status(node, status, cache, objects)
