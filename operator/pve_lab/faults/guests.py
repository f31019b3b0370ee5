"""Faults of guests: locked, edited, moved, or without hotplug."""

from __future__ import annotations

from dataclasses import dataclass

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import GuestFault
from pve_lab.faults.foreign_client import foreign_request


@dataclass(kw_only=True)
class GuestLocked(GuestFault):
    """A backup, a snapshot or a migration has the guest's configuration locked."""

    name = "guest-locked"
    lock: str = "backup"

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        cluster.guests[self.vmid].config["lock"] = self.lock

    def end(self, cluster: Cluster) -> None:
        cluster.guests[self.vmid].config.pop("lock", None)


@dataclass(kw_only=True)
class GuestEdited(GuestFault):
    """A foreign write of the guest's configuration; ``set`` is like ``description=text;net0=virtio,bridge=vmbr0``."""

    name = "guest-edited"
    set: str = "description=edited by another client"

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        guest = cluster.guests[self.vmid]
        params = dict(pair.split("=", 1) for pair in self.set.split(";") if pair)
        foreign_request(cluster, "PUT", f"/nodes/{guest.node}/{guest.kind}/{guest.vmid}/config", **params)


@dataclass(kw_only=True)
class GuestMoves(GuestFault):
    """The guest migrates to another node (at once: what takes its time is ``POST .../migrate``)."""

    name = "guest-moves"
    target: str

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        if self.target not in cluster.nodes:
            raise ValueError(f"target: there is no {self.target!r}; there are {', '.join(cluster.nodes)}")
        cluster.move(cluster.guests[self.vmid], self.target)


@dataclass(kw_only=True)
class HotplugFails(GuestFault):
    """A running guest's NIC cannot be plugged."""

    name = "hotplug-fails"
    text: str = "error on hot-unplugging device 'net0' - still busy in guest?"
