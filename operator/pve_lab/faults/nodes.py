"""Faults of whole nodes: away, silent, or rebooting."""

from __future__ import annotations

from dataclasses import dataclass

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import NodeFault
from pve_lab.request import Request


@dataclass(kw_only=True)
class NodeOffline(NodeFault):
    """A node is not reachable: 595 for requests to it, offline in the status, left out by an apply."""

    name = "node-offline"

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        cluster.nodes[self.node].online = False

    def end(self, cluster: Cluster) -> None:
        cluster.nodes[self.node].online = True


@dataclass(kw_only=True)
class NodeHangs(NodeFault):
    """A node is online, but its requests get no answer in time (596) and are not executed."""

    name = "node-hangs"

    def meets(self, request: Request) -> bool:
        return request.path.startswith(f"/nodes/{self.node}/")


@dataclass(kw_only=True)
class NoIfupdown2(NodeFault):
    """A node without ifupdown2: it refuses to reload, an apply passes over it, the status of its zones is an error."""

    name = "no-ifupdown2"

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        cluster.nodes[self.node].ifupdown2 = False

    def end(self, cluster: Cluster) -> None:
        cluster.nodes[self.node].ifupdown2 = True


@dataclass(kw_only=True)
class NodeReboot(NodeFault):
    """A node goes down, is back after ``seconds``, and at boot commits whatever is staged, without the lock.

    Its pending host-network edits come into force too.
    """

    name = "node-reboot"
    seconds: float = 0.0

    def begin(self, cluster: Cluster) -> None:
        super().begin(cluster)
        cluster.reboot(cluster.nodes[self.node], self.seconds)
