"""What every part of one cluster's engine needs: made once per ProxmoxCluster, and handed to each constructor."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.clock import Clock, Pace, SystemClock
from pve_evpn.engine.ports import Ports
from pve_evpn.engine.writer import ObjectWriter
from pve_evpn.leadership import IsLeader


def _always() -> bool:
    return True


@dataclass(frozen=True)
class ClusterContext:
    """One ProxmoxCluster (``cluster`` is its name) and what the engine reaches on its behalf.

    ``is_leader`` says whether this replica may write for the cluster: every writer asks before each request.
    """

    cluster: str
    cache: Cache
    ports: Ports
    clock: Clock = field(default_factory=SystemClock)
    pace: Pace = field(default_factory=Pace)
    is_leader: IsLeader = _always

    @cached_property
    def writer(self) -> ObjectWriter:
        """Writes to the Kubernetes objects of this cluster."""
        return ObjectWriter(self.cache, self.ports)

    @property
    def key(self) -> ObjectKey:
        """The ProxmoxCluster's key."""
        return ObjectKey("ProxmoxCluster", "", self.cluster)

    @property
    def resource(self) -> Resource[Any] | None:
        """The ProxmoxCluster as it is now; None if it is gone."""
        return self.cache.get(self.key)

    @property
    def desired(self) -> Desired | None:
        """Everything that belongs to the cluster as it is now; None if the ProxmoxCluster is gone."""
        return self.cache.desired(self.cluster)
