"""The cluster file system (pmxcfs) refuses writes: its lock is held, or the cluster has no quorum."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import Fault
from pve_lab.faults.requests import Proceed, RequestFault
from pve_lab.request import Answer, Request

_VERB = {"POST": "create", "PUT": "update", "DELETE": "delete"}


@dataclass(kw_only=True)
class CfsLockBusy(RequestFault):
    """Another writer holds the cluster file system's lock longer than the ten seconds Proxmox waits for it."""

    name = "cfs-lock-busy"
    method: str = "POST|PUT|DELETE"
    path: str = "/cluster/sdn.*"

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        text = "cfs-lock 'domain-sdn' error: got lock request timeout\n"
        return _refused(f"{_prefix(request)}: {text}")


@dataclass(kw_only=True)
class NoQuorum(Fault):
    """The cluster file system is read-only; the nodes themselves answer."""

    name = "no-quorum"

    def begin(self, cluster: Cluster) -> None:
        cluster.quorum_lost = True

    def end(self, cluster: Cluster) -> None:
        cluster.quorum_lost = False


def _prefix(request: Request) -> str:
    """What Proxmox puts before an error inside of its configuration lock."""
    whole = {
        ("PUT", "/cluster/sdn"): "could not commit SDN config",
        ("POST", "/cluster/sdn/lock"): "could not acquire lock for SDN config",
        ("DELETE", "/cluster/sdn/lock"): "could not release lock",
        ("POST", "/cluster/sdn/rollback"): "could not rollback SDN configuration",
    }
    if text := whole.get((request.method, request.path)):
        return text
    kind = "subnet" if "/subnets" in request.path else request.path.split("/")[3].removesuffix("s")
    return f"{_VERB[request.method]} sdn {kind} object failed"


def refused_without_quorum(request: Request) -> Answer | None:
    """The refusal of a write into the read-only cluster file system; None for what does not write there."""
    if request.path.startswith("/cluster/sdn"):
        creates = request.method == "POST" and request.path not in ("/cluster/sdn/lock", "/cluster/sdn/rollback")
        if creates:
            return _refused("cluster not ready - no quorum?\n")
        return _refused(f"{_prefix(request)}: cfs-lock 'domain-sdn' error: no quorum!\n")
    if match := re.fullmatch(r"/nodes/([^/]+)/(qemu|lxc)/(\d+)/(config|migrate)", request.path):
        node, kind, vmid, _ = match.groups()
        folder = "qemu-server" if kind == "qemu" else "lxc"
        path = f"/etc/pve/nodes/{node}/{folder}/{vmid}.conf.tmp.{1000 + int(vmid)}"
        return _refused(f"unable to open file '{path}' - Permission denied\n")
    return None


def _refused(text: str) -> Answer:
    return Answer(500, text.split("\n")[0], {"data": None, "message": text})
