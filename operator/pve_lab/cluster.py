"""The lab's state: nodes, tasks, guests, the SDN configuration, and what the fabric has learned.

One lock guards it all; every request runs alone, as quick as it is. Tasks end after a settable time, so that clients
have something to follow.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pve_lab.sdn import Config, SdnConfig

if TYPE_CHECKING:
    from pve_lab.dispatch import Answer, Request

AGEING_SECONDS = 300.0


@dataclass
class Task:
    """One task; it is running until ``ends`` (Unix seconds)."""

    upid: str
    node: str
    type: str
    user: str
    starts: int
    ends: float
    exitstatus: str = "OK"
    log: list[str] = field(default_factory=list)
    id: str = ""

    def row(self, now: float) -> dict[str, Any]:
        done = now >= self.ends
        row = {
            "upid": self.upid, "node": self.node, "pid": 1, "pstart": 1, "starttime": self.starts, "type": self.type,
            "id": self.id, "user": self.user, "status": "stopped" if done else "running",
        }  # fmt: skip
        return {**row, "exitstatus": self.exitstatus} if done else row


@dataclass
class Guest:
    """One VM or container."""

    vmid: int
    kind: str
    node: str
    name: str
    config: dict[str, str] = field(default_factory=dict)
    running: bool = True
    speaks: bool = True
    last_spoke: float = 0.0
    ip: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha1(json.dumps(self.config, sort_keys=True).encode()).hexdigest()  # noqa: S324


@dataclass
class Node:
    """One member. ``applied`` is the SDN configuration it has loaded, with its version."""

    name: str
    address: str
    online: bool = True
    applied: Config | None = None
    applied_version: int = 0
    network_changes: str = ""
    fail_reload: str = ""


class Lab:
    """Everything there is."""

    def __init__(self, nodes: list[str], *, version: str = "9.2.3", task_seconds: float = 0.3, seed: int = 0) -> None:
        self.version = version
        self.mutex = threading.RLock()
        self.sdn = SdnConfig(seed)
        self.nodes = {name: Node(name, f"192.168.16.{i}") for i, name in enumerate(nodes, 1)}
        self.guests: dict[int, Guest] = {}
        self.tasks: dict[str, Task] = {}
        self.task_seconds = task_seconds
        self.tokens: dict[str, str] = {}
        self.journal: list[tuple[str, str, int]] = []
        self.applies = 0
        # Faults: a function around every request, `(request, proceed) -> answer`; see pve_lab.dispatch.answer.
        self.intercept: Callable[[Request, Callable[[], Answer]], Answer] | None = None
        self._counter = 0

    def start_task(
        self, node: str, type_: str, user: str, seconds: float, exitstatus: str = "OK", id_: str = ""
    ) -> Task:
        now = time.time()
        self._counter += 1
        upid = f"UPID:{node}:{self._counter:08X}:{self._counter:08X}:{int(now):08X}:{type_}:{id_}:{user}:"
        task = Task(upid, node, type_, user, int(now), now + seconds, exitstatus, id=id_)
        self.tasks[upid] = task
        return task

    def apply(self, user: str) -> str:
        """Commit at once, then reload node after node; the cluster's task ends well whatever they do."""
        self.applies += 1
        self.sdn.commit()
        reached = [node for node in self.nodes.values() if node.online]
        for node in reached:
            self.reload(node)
        first = next(iter(self.nodes))
        task = self.start_task(first, "reloadnetworkall", user, self.task_seconds)
        task.log = [f"{node.name}: reloading network config" for node in self.nodes.values()]
        return task.upid

    def rollback(self) -> None:
        """Throw away what was staged, whoever did it."""
        self.sdn.rollback()

    def reload(self, node: Node, user: str = "root@pam") -> str:
        """One node's reload: host-network edits go live too."""
        if node.fail_reload:
            return self.start_task(node.name, "srvreload", user, self.task_seconds, node.fail_reload, "networking").upid
        node.network_changes = ""
        node.applied = copy.deepcopy(self.sdn.running)
        node.applied_version = self.sdn.version
        return self.start_task(node.name, "srvreload", user, self.task_seconds, id_="networking").upid

    # --- what the nodes say -------------------------------------------------------------------------------------

    def zone_rows(self, node: Node) -> list[dict[str, str]]:
        """``/nodes/N/sdn/zones``: available only where the node has loaded the newest version."""
        rows = []
        for zone, props in sorted(self.sdn.running["zones"].items()):
            if (only := props.get("nodes")) and node.name not in only.split(","):
                continue
            current = node.applied_version == self.sdn.version
            rows.append({"zone": zone, "status": "available" if current else "pending"})
        return rows

    def mac_vrf(self, vnet: str) -> list[dict[str, str]]:
        """MAC/IP routes of a VNet as any node sees them: guests that spoke within the ageing time."""
        now = time.time()
        rows = []
        for guest in sorted(self.guests.values(), key=lambda g: g.vmid):
            if guest.running and guest.speaks:
                guest.last_spoke = now
            node = self.nodes[guest.node]
            loaded = node.applied is not None and vnet in node.applied["vnets"]
            if not loaded or now - guest.last_spoke > AGEING_SECONDS or not guest.ip:
                continue
            for key, text in guest.config.items():
                parts = dict(part.partition("=")[::2] for part in text.split(","))
                if key.startswith("net") and parts.get("bridge") == vnet:
                    mac = parts.get("hwaddr") or next(value for value in parts.values() if value.count(":") == 5)
                    rows.append({"mac": mac.lower(), "ip": guest.ip, "nexthop": node.address})
        return rows


def seed(lab: Lab) -> None:
    """What is there before an operator comes: a fabric, and guests on a plain bridge."""
    lab.sdn.fabrics["Fabric1"] = {"id": "Fabric1", "protocol": "ospf", "area": "0", "ip_prefix": "192.168.16.0/24"}
    lab.sdn.fabric_nodes = [
        {"fabric_id": "Fabric1", "node_id": node.name, "protocol": "ospf", "ip": node.address, "interfaces": []}
        for node in lab.nodes.values()
    ]
    names = list(lab.nodes)
    lab.guests[100] = Guest(
        100, "qemu", names[-1], "vm1", {"net0": "virtio=BC:24:11:11:11:11,bridge=vmbr0,firewall=1"}, ip="10.50.1.11"
    )
    lab.guests[200] = Guest(
        200, "lxc", names[min(1, len(names) - 1)], "ct1",
        {"net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:22:22:22,ip=dhcp,type=veth"}, ip="10.50.1.22",
    )  # fmt: skip
