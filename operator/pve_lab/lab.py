"""A whole lab: the cluster, the faults, and the data plane behind the nodes."""

from __future__ import annotations

import time
from collections.abc import Callable

from pve_lab.cluster import Cluster
from pve_lab.dataplane.model import Model
from pve_lab.dispatch import answer_without_faults
from pve_lab.faults.active import ActiveFaults
from pve_lab.guests import Guest
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
    names = list(lab.nodes)
    lab.guests[100] = Guest(
        100, "qemu", names[-1], "vm1", {"net0": "virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1"}, ip="10.50.1.11"
    )
    lab.guests[200] = Guest(
        200, "lxc", names[min(1, len(names) - 1)], "ct1",
        {"net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:22:22:22,ip=dhcp,type=veth"}, ip="10.50.1.22",
    )  # fmt: skip
