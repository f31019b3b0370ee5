"""One reconciler per ProxmoxCluster, each in a task of its own, and statuses of objects that belong to none.

A cluster that does not answer holds up its own task only. The supervisor starts and ends reconcilers as
ProxmoxClusters come and go, or go to another replica, and wakes the right one when an object changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, Resource, admits, matches
from pve_evpn.domain.plan.deletion import leaves_proxmox_alone
from pve_evpn.domain.status import without_proxmox
from pve_evpn.engine import lifecycle
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.clock import Clock, SystemClock
from pve_evpn.engine.confirm import NetworkView
from pve_evpn.engine.ports import Ports
from pve_evpn.engine.reconciler import Reconciler
from pve_evpn.engine.writer import ObjectWriter
from pve_evpn.text import meant

log = logging.getLogger(__name__)

#: Seconds without a change before objects of no cluster say so: their zone may be in the same `kubectl apply`.
UNOWNED_DEBOUNCE = 1.0

#: Seconds until the status of such an object is written again after a failure.
UNOWNED_RETRY = 10.0


#: In place of a cluster's name: the objects that belong to none.
UNOWNED = ""


def _every(_cluster: str) -> bool:
    return True


def _nothing() -> None:
    pass


class Supervisor:
    """Runs until stopped.

    Args:
        cache: Of every object.
        ports: For the objects of no cluster.
        make: Makes a cluster's reconciler.
        serves: Whether this replica is to work for a cluster, or for :data:`UNOWNED`; :meth:`match` asks again.
        changed: Called when a ProxmoxCluster came or went, and when the work for a cluster has ended.
    """

    def __init__(
        self,
        cache: Cache,
        ports: Ports,
        make: Callable[[str], Reconciler],
        clock: Clock | None = None,
        *,
        serves: Callable[[str], bool] = _every,
        changed: Callable[[], None] = _nothing,
    ) -> None:
        self._cache = cache
        self._writer = ObjectWriter(cache, ports)
        self._clock = clock or SystemClock()
        self._make = make
        self._serves = serves
        self._clusters_changed = changed
        self._reports_unowned = False
        self._reconcilers: dict[str, Reconciler] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        cache.changed = self.changed

    def changed(self, key: ObjectKey) -> None:
        """Something about ``key`` changed: wake the reconcilers it concerns.

        Where an object belongs to no cluster (any more), all are woken: clusters are few, and a sync without work costs
        a few reads.
        """
        for name, reconciler in self._reconcilers.items():
            resource = self._cache.get(key)
            owner = self._cache.cluster_of(resource) if resource else None
            if owner in (None, name) and key.kind != "EvpnNode":
                reconciler.wake()
        self._changed.set()
        if key.kind == "ProxmoxCluster":
            self._clusters_changed()

    def match(self) -> None:
        """Begin to work for clusters that are served by now, and end after its present sync what no longer is."""
        self._match()

    def works_for(self, cluster: str) -> bool:
        """Whether anything still runs for the cluster, or for :data:`UNOWNED`."""
        if cluster == UNOWNED:
            return self._reports_unowned
        return cluster in self._tasks and not self._tasks[cluster].done()

    def view(self, cluster: str) -> NetworkView | None:
        """The last poll of a cluster's nodes; None before the first one, and where nothing runs for the cluster."""
        reconciler = self._reconcilers.get(cluster)
        return reconciler.view() if reconciler else None

    @property
    def busy(self) -> bool:
        """Whether any reconciler is in the middle of a sync."""
        return any(reconciler.busy for reconciler in self._reconcilers.values())

    async def run(self) -> None:
        """Keep reconcilers and clusters in step until :meth:`stop`. Running syncs end first."""
        self._changed.set()
        try:
            while not self._stopping.is_set():
                await self._changed.wait()
                self._changed.clear()
                self._match()
                await asyncio.sleep(UNOWNED_DEBOUNCE)
                if not self._changed.is_set() and self._cache.complete:
                    await self.report_unowned()
        finally:
            self.stop()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def stop(self) -> None:
        """End every reconciler after its present sync, then return from :meth:`run`."""
        self._stopping.set()
        self._changed.set()
        for reconciler in self._reconcilers.values():
            reconciler.stop()

    def _match(self) -> None:
        clusters = {resource.key.name for resource in self._cache.of_kind("ProxmoxCluster")}
        for name in [name for name, task in self._tasks.items() if task.done()]:
            if (error := self._tasks[name].exception()) is not None:
                log.error("the reconciler of %s ended", name, exc_info=error)
            del self._tasks[name], self._reconcilers[name]
        if not self._cache.complete or self._stopping.is_set():
            return
        for name, reconciler in self._reconcilers.items():
            if not self._serves(name):
                reconciler.stop()
        for name in filter(self._serves, clusters - self._tasks.keys()):
            self._reconcilers[name] = self._make(name)
            self._reconcilers[name].wake()
            task = asyncio.create_task(self._reconcilers[name].run(), name=f"reconciler-{name}")
            task.add_done_callback(self._ended)
            self._tasks[name] = task

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self._changed.set()
        self._clusters_changed()

    async def report_unowned(self) -> None:
        """Write the status of every object of no cluster. One that fails holds up no other, and is tried again."""
        self._reports_unowned = True
        try:
            await self._report_unowned()
        finally:
            self._reports_unowned = False

    async def _report_unowned(self) -> None:
        for resource in self._cache.unowned():
            if not self._serves(UNOWNED):
                return
            try:
                await self._report_one_unowned(resource)
            except Exception as error:  # the API server may be away for any reason
                words = f"{type(error).__name__}: {error}"
                log.warning("%s belongs to no cluster, and its status could not be written: %s", resource.key, words)
                asyncio.get_running_loop().call_later(UNOWNED_RETRY, self._changed.set)

    async def _report_one_unowned(self, resource: Resource[Any]) -> None:
        """Say what is missing, or release what needs nothing from Proxmox."""
        if resource.deleting and (leaves_proxmox_alone(resource) or resource.origin is None):
            await self._writer.release(resource, lifecycle.left_behind(resource))
            return
        problem = _missing(self._cache, resource)
        status = without_proxmox.unowned_status(resource, problem, self._clock.now())
        await self._writer.write_status(resource, status)


def _may_know(cache: Cache, resource: Resource[Any], cluster: Resource[Any]) -> bool:
    """Whether the name of a ProxmoxCluster may be said: to administrators, and where it grants the namespace guests."""
    namespace = resource.key.namespace
    grants = (cluster.spec.guest_access or ()) if cluster.spec else ()
    return not namespace or any(matches(grant.namespaces, cache.labels_of(namespace)) for grant in grants)


def _missing(cache: Cache, resource: Resource[Any]) -> Problem:
    """What an object of no cluster lacks."""
    if resource.spec is None:
        return Problem(Reason.INVALID_SPEC, resource.invalid or "the specification could not be read")
    owner = cache.cluster_of(resource)
    if owner is None:
        name, labels = resource.spec.zone_ref.name, cache.labels_of(resource.key.namespace)
        zones = (zone for zone in cache.of_kind("EvpnZone") if zone.spec and admits(zone.spec, labels))
        hint = meant(name, (zone.key.name for zone in zones))
        message = f"zoneRef: there is no EvpnZone {name!r} that this object may use{hint}"
    else:
        clusters = cache.of_kind("ProxmoxCluster")
        known = [cluster.key.name for cluster in clusters if _may_know(cache, resource, cluster)]
        message = f"clusterRef: there is no ProxmoxCluster {owner!r}{meant(owner, known)}"
    if resource.deleting:
        hint = f"annotate {kinds.ANNOTATION_FORCE_ORPHAN}={resource.uid} to leave what it has in Proxmox"
        return Problem(Reason.DELETION_BLOCKED, f"{message}, so it cannot be removed there; {hint}", retryable=True)
    return Problem(Reason.REF_NOT_FOUND, message, retryable=True)
