"""Foreign deeds: another client locks, edits, applies, or edits the host network.

No lock keeps it out, as a root shell on a node would not be kept out.
"""

from __future__ import annotations

from dataclasses import dataclass

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import Fault, NodeFault
from pve_lab.faults.foreign_client import foreign_edit, foreign_request, lock_token


@dataclass(kw_only=True)
class ForeignLock(Fault):
    """Another client holds the SDN lock; its holder so far has lost it."""

    name = "foreign-lock"
    token: str = "01936000-0000-7000-b000-00000000f0e1"

    def begin(self, cluster: Cluster) -> None:
        cluster.sdn.lock = self.token

    def end(self, cluster: Cluster) -> None:
        if cluster.sdn.lock == self.token:
            cluster.sdn.lock = None


@dataclass(kw_only=True)
class Edit(Fault):
    """A foreign edit: ``object`` is a path below ``/cluster/sdn``, ``set`` its properties.

    Changes an object that exists, creates one that does not; with ``delete`` it removes it.
    """

    object: str = "zones/alien"
    set: str = "type=simple"
    delete: bool = False

    def begin(self, cluster: Cluster) -> None:
        props = dict(pair.split("=", 1) for pair in self.set.split(";") if pair)
        foreign_edit(cluster, self.object, props, self.delete)


@dataclass(kw_only=True)
class ForeignChange(Edit):
    """A foreign edit is pending. Its end rolls the whole configuration back."""

    name = "foreign-change"

    def end(self, cluster: Cluster) -> None:
        foreign_request(cluster, "POST", "/cluster/sdn/rollback", **lock_token(cluster))


@dataclass(kw_only=True)
class OutOfBandEdit(Edit):
    """Another client edited and applied (which publishes everything else that was staged)."""

    name = "out-of-band-edit"

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        foreign_request(cluster, "PUT", "/cluster/sdn", **lock_token(cluster))


@dataclass(kw_only=True)
class HostEdit(NodeFault):
    """A foreign edit of a node's host network is pending until the next reload, an apply's included."""

    name = "host-edit"
    iface: str = "vmbr7"

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        foreign_request(cluster, "POST", f"/nodes/{self.node}/network", iface=self.iface, type="bridge", autostart="1")

    def end(self, cluster: Cluster) -> None:
        foreign_request(cluster, "DELETE", f"/nodes/{self.node}/network")
