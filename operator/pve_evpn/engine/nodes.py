"""EvpnNode objects: one per node of a Proxmox cluster, created, reported and removed by the operator.

One that somebody else made is reported too, and left alone otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.domain.report import NO_BGP_SOURCE, Health, node_status, unobserved
from pve_evpn.domain.resources import ObjectKey, Resource
from pve_evpn.engine.ports import Objects
from pve_evpn.engine.statuses import write_status
from pve_evpn.engine.store import Store


def node_key(cluster: str, node: str) -> ObjectKey:
    """The object of one node. Proxmox node names may have capitals, Kubernetes names may not."""
    return ObjectKey("EvpnNode", "", f"{cluster}-{node}".lower())


async def sync(cluster: str, store: Store, objects: Objects, members: Iterable[str]) -> None:
    """Make the objects those of the cluster's present members."""
    wanted = {node_key(cluster, name): name for name in members}
    there = {node.key for node in store.of_kind("EvpnNode") if store.cluster_of(node) == cluster}
    for key in sorted(wanted.keys() - there):
        spec = {"clusterRef": {"name": cluster}, "node": wanted[key]}
        if raw := await objects.create("EvpnNode", key.name, spec, ObjectKey("ProxmoxCluster", "", cluster)):
            store.upsert(raw)
    for node in _made_by_us(cluster, store):
        if node.key not in wanted:
            await objects.delete(node.key)


async def report(
    cluster: str, store: Store, objects: Objects, health: Mapping[ObjectKey, Health], now: datetime
) -> None:
    """Write what was observed of each node."""
    there = [node for node in store.of_kind("EvpnNode") if store.cluster_of(node) == cluster]
    await asyncio.gather(*(_report(store, objects, node, health, now) for node in there))


async def remove(cluster: str, store: Store, objects: Objects) -> None:
    """Delete all EvpnNodes that were made for a cluster."""
    for node in _made_by_us(cluster, store):
        await objects.delete(node.key)


def _made_by_us(cluster: str, store: Store) -> list[Resource[Any]]:
    nodes = sorted(store.of_kind("EvpnNode"), key=lambda node: node.key)
    return [node for node in nodes if node.labels.get(kinds.LABEL_CLUSTER) == cluster == store.cluster_of(node)]


async def _report(
    store: Store, objects: Objects, node: Resource[Any], health: Mapping[ObjectKey, Health], now: datetime
) -> None:
    status = node_status(node, health.get(node.key) or unobserved(NO_BGP_SOURCE), now)
    await write_status(node, status, store, objects)
