"""EvpnNode objects: one per node of a Proxmox cluster, created, reported and removed by the operator alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from pve_evpn.domain import report
from pve_evpn.domain.observed import Observed
from pve_evpn.domain.report import Health
from pve_evpn.domain.resources import ObjectKey
from pve_evpn.engine.ports import Objects
from pve_evpn.engine.store import Store


def node_key(cluster: str, node: str) -> ObjectKey:
    """The object of one node. Proxmox node names may have capitals, Kubernetes names may not."""
    return ObjectKey("EvpnNode", "", f"{cluster}-{node}".lower())


async def sync(
    cluster: str,
    store: Store,
    objects: Objects,
    observed: Observed,
    health: Mapping[ObjectKey, Health],
    now: datetime,
) -> None:
    """Make the objects those of the cluster's present members, each with what was observed of it."""
    wanted = {node_key(cluster, name): name for name in observed.nodes}
    there = {node.key for node in store.of_kind("EvpnNode") if store.cluster_of(node) == cluster}
    for key in sorted(wanted.keys() - there):
        spec = {"clusterRef": {"name": cluster}, "node": wanted[key]}
        if raw := await objects.create("EvpnNode", key.name, spec, ObjectKey("ProxmoxCluster", "", cluster)):
            store.upsert(raw)
    for key in sorted(there - wanted.keys()):
        await objects.delete(key)
    await asyncio.gather(*(_report(store, objects, key, health, now) for key in sorted(wanted)))


async def remove(cluster: str, store: Store, objects: Objects) -> None:
    """Delete all of a cluster's EvpnNodes."""
    for node in list(store.of_kind("EvpnNode")):
        if store.cluster_of(node) == cluster:
            await objects.delete(node.key)


async def _report(
    store: Store, objects: Objects, key: ObjectKey, health: Mapping[ObjectKey, Health], now: datetime
) -> None:
    node = store.get(key)
    if node is None:
        return
    status = report.node_status(node, health.get(key) or report.unobserved(report.NO_BGP_SOURCE), now)
    if patch := report.changed_fields(node.status, status):
        raw = await objects.patch_status(key, patch)
        if raw:
            store.upsert(raw)
