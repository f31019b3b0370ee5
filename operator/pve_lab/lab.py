"""A whole lab: the cluster, the faults, and the data plane behind the nodes."""

from __future__ import annotations

import time
from collections.abc import Callable

from pve_lab.cluster import Cluster
from pve_lab.dataplane.model import Model
from pve_lab.dispatch import answer_without_faults
from pve_lab.faults.active import ActiveFaults
from pve_lab.guests import Guest
from pve_lab.host_network import HostNetwork
from pve_lab.releases import V90
from pve_lab.request import Answer, Request


class Lab(Cluster):
    """A cluster that faults can be put on. Its data plane is the model until another one is set."""

    def __init__(
        self,
        nodes: list[str],
        *,
        version: str = "9.2.3",
        task_seconds: float = 0.3,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        clock_offset: float = 0.0,
    ) -> None:
        super().__init__(
            nodes, version=version, task_seconds=task_seconds, seed=seed, clock=clock, clock_offset=clock_offset
        )
        self.faults = ActiveFaults(self, seed)
        self.interference = self.faults
        self.dataplane = Model(self)

    def answer(self, request: Request) -> Answer:
        """Answer one request; every active fault that meets it takes effect."""
        return self.faults.intercept(request, lambda: answer_without_faults(self, request))


def seed(lab: Lab) -> None:
    """Add what a cluster has before the operator is installed: a fabric, and guests on a plain bridge."""
    if lab.sdn.pve >= V90:
        lab.fabrics.create({"id": "Fabric1", "protocol": "ospf", "area": "0", "ip_prefix": "192.168.16.0/24"})
        for node in lab.nodes.values():
            row = {"fabric_id": "Fabric1", "node_id": node.name, "protocol": "ospf", "ip": node.address}
            lab.fabrics.create_node({**row, "interfaces": []})
        lab.fabrics.commit()
    add_guests(lab)


def bare(lab: Lab) -> None:
    """Nodes with two NICs beside that of vmbr0, ``eno2`` and ``eno3``, no fabric, and the seed's guests."""
    for node in lab.nodes.values():
        node.network = HostNetwork(node.address, ("eno1", "eno2", "eno3"))
    add_guests(lab)


def add_guests(lab: Lab) -> None:
    """A VM and a container on vmbr0, on two nodes."""
    names = list(lab.nodes)
    lab.guests[100] = Guest(
        100, "qemu", names[-1], "vm1", {"net0": "virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1"}, ip="10.50.1.11"
    )
    lab.guests[200] = Guest(
        200, "lxc", names[min(1, len(names) - 1)], "ct1",
        {"net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:22:22:22,ip=dhcp,type=veth"}, ip="10.50.1.22",
    )  # fmt: skip
