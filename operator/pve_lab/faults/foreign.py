"""What another client or a user does meanwhile: locks, edits, applies, edits of the host network.

They pass any lock, as from a root shell on a node.
"""

from __future__ import annotations

from dataclasses import dataclass

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import Fault, NodeFault
from pve_lab.faults.foreign_client import foreign_edit, foreign_request, lock_token


@dataclass(kw_only=True)
class ForeignLock(Fault):
    """Somebody else holds the SDN lock; whoever held it before holds it no longer."""

    name = "foreign-lock"
    token: str = "01936000-0000-7000-b000-00000000f0e1"

    def begin(self, cluster: Cluster) -> None:
        cluster.sdn.lock = self.token

    def end(self, cluster: Cluster) -> None:
        if cluster.sdn.lock == self.token:
            cluster.sdn.lock = None


@dataclass(kw_only=True)
class Edit(Fault):
    """An edit by somebody else through the API: ``object`` is a path below ``/cluster/sdn``, ``set`` its properties.

    An object that is there is changed, one that is not is created; ``delete`` removes it.
    """

    object: str = "zones/alien"
    set: str = "type=simple"
    delete: bool = False

    def begin(self, cluster: Cluster) -> None:
        props = dict(pair.split("=", 1) for pair in self.set.split(";") if pair)
        foreign_edit(cluster, self.object, props, self.delete)


@dataclass(kw_only=True)
class ForeignChange(Edit):
    """Somebody else's edit is pending. Taken back, the whole configuration is rolled back."""

    name = "foreign-change"

    def end(self, cluster: Cluster) -> None:
        foreign_request(cluster, "POST", "/cluster/sdn/rollback", **lock_token(cluster))


@dataclass(kw_only=True)
class OutOfBandEdit(Edit):
    """Somebody else edited and applied (which publishes whatever else was staged)."""

    name = "out-of-band-edit"

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        foreign_request(cluster, "PUT", "/cluster/sdn", **lock_token(cluster))


@dataclass(kw_only=True)
class HostEdit(NodeFault):
    """Somebody's edit of a node's own network waits for the next reload, whoever causes that."""

    name = "host-edit"
    iface: str = "vmbr7"

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        foreign_request(cluster, "POST", f"/nodes/{self.node}/network", iface=self.iface, type="bridge", autostart="1")

    def end(self, cluster: Cluster) -> None:
        foreign_request(cluster, "DELETE", f"/nodes/{self.node}/network")
