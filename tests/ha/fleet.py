"""Many labs, one per ProxmoxCluster, and a record of which process wrote what to which of them, and when."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from pve_evpn.engine.supervisor import UNOWNED
from pve_evpn.kube.ownership import ANNOTATION_CLUSTER
from pve_lab.lab import Lab, seed
from pve_lab.request import Answer
from pve_lab.server import LabServer
from tests.e2e.credentials import credentials_secret
from tests.e2e.process import NAMESPACE, Operator
from tests.e2e.stack import TOKEN
from tests.kube.controlplane import ControlPlane

STAGED = ("POST", "/cluster/sdn/vnets")


@dataclass(frozen=True)
class Write:
    """One request that was to change Proxmox: when it came, by the machine's clock, from which process."""

    at: float
    process: int
    method: str
    path: str
    status: int


@dataclass
class Member:
    """One ProxmoxCluster: its lab behind HTTPS, and the writes to it."""

    name: str
    lab: Lab
    server: LabServer
    writes: list[Write] = field(default_factory=list)

    def documents(self) -> list[dict[str, Any]]:
        """Its ProxmoxCluster with a controller and a zone."""
        secret = f"{self.name}-credentials"
        group = {"apiVersion": "pve-evpn.dev/v1alpha1"}
        reference = {"clusterRef": {"name": self.name}}
        spec = {
            "endpoints": [self.server.url],
            "credentialsSecretRef": {"name": secret},
            "tls": {"caBundle": self.server.ca_pem},
        }
        zone = {**reference, "id": "z1", "controllerRef": {"name": f"{self.name}-evpn"}, "vrfVni": 100001}
        return [
            credentials_secret(self.name, secret, {"tokenId": TOKEN[0], "token": TOKEN[1]}, self.server.url),
            {**group, "kind": "ProxmoxCluster", "metadata": {"name": self.name}, "spec": spec},
            {
                **group,
                "kind": "EvpnController",
                "metadata": {"name": f"{self.name}-evpn"},
                "spec": {**reference, "id": "evpn", "asn": 65001, "underlay": {"fabric": "Fabric1"}},
            },
            {
                **group,
                "kind": "EvpnZone",
                "metadata": {"name": f"{self.name}-zone"},
                "spec": {**zone, "allowedNamespaces": {"from": "All"}},
            },
        ]

    def vnets(self, first: int, count: int) -> list[dict[str, Any]]:
        """So many VNets in its zone."""
        return [
            {
                "apiVersion": "pve-evpn.dev/v1alpha1",
                "kind": "VNet",
                "metadata": {"name": f"{self.name}-n{number}", "namespace": "default"},
                "spec": {"zoneRef": {"name": f"{self.name}-zone"}, "id": f"n{number}", "vni": 6000 + number},
            }
            for number in range(first, first + count)
        ]

    @property
    def running(self) -> set[str]:
        """VNets in the running configuration."""
        return set(self.lab.sdn.running["vnets"])

    @property
    def is_tidy(self) -> bool:
        """No lock, nothing pending."""
        return self.lab.sdn.lock is None and self.lab.sdn.edited == self.lab.sdn.running


class Fleet:
    """The labs of several clusters. ``on_write`` is called before a write is answered, with the member and process."""

    def __init__(self, count: int) -> None:
        self.processes: dict[int, str] = {}
        self.on_write: Callable[[Member, str, tuple[str, str]], None] = lambda *_: None
        self.members = {name: self._member(name) for name in (f"pve{number}" for number in range(1, count + 1))}

    def _member(self, name: str) -> Member:
        lab = Lab([f"{name}a", f"{name}b"], task_seconds=0.3)
        seed(lab)
        lab.tokens[TOKEN[0]] = TOKEN[1]
        member = Member(name, lab, LabServer(lab))
        self._record(member)
        member.server.__enter__()
        return member

    def follow(self, operator: Operator) -> None:
        """Tell the process's writes from those of others."""
        assert operator.process is not None
        self.processes[operator.process.pid] = operator.name

    def close(self) -> None:
        for member in self.members.values():
            member.server.__exit__()

    def _record(self, member: Member) -> None:
        fleet, http = self, member.server._http
        plain: Any = http.RequestHandlerClass

        class Recording(plain):  # type: ignore[misc]
            process = 0

            def setup(self) -> None:
                # While the connection is being opened, the process that opens it lives.
                self.process = _process_of(self.client_address[1], http.server_port, fleet.processes)
                super().setup()

            def _answer(self, path: str, query: str, raw: bytes) -> Answer:
                began = time.time()
                answer: Answer = super()._answer(path, query, raw)
                if self.command != "GET":
                    member.writes.append(Write(began, self.process, self.command, path, answer.status))
                    fleet.on_write(member, fleet.processes.get(self.process, ""), (self.command, path))
                return answer

        http.RequestHandlerClass = Recording


def _process_of(port: int, server_port: int, among: Mapping[int, str]) -> int:
    """The process with the TCP connection between these ports on loopback; 0 where it is none of these.

    One port may have connections to several servers, of several processes.
    The kernel's table is no snapshot: while connections come and go, a read of it may leave one out.
    """
    ends = [f"0100007F:{port:04X}", f"0100007F:{server_port:04X}"]
    for _ in range(20):
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1:3] == ends and (found := [pid for pid in among if _has_socket(pid, fields[9])]):
                return found[0]
        time.sleep(0.01)
    return 0


def _has_socket(pid: int, inode: str) -> bool:
    try:
        return any(str(entry.readlink()) == f"socket:[{inode}]" for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has ended
        return False


@dataclass(frozen=True)
class Tenure:
    """From when on who may write for a cluster; ``holder`` is "" for none."""

    since: float
    holder: str


class LeaseHistory:
    """Every version of the clusters' Leases, by a watch of kubectl."""

    def __init__(self, plane: ControlPlane) -> None:
        command = [str(plane.program), "get", "lease", "-n", NAMESPACE, "-w", "-o", "json"]
        self._watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plane.environment)
        self._tenures: dict[str, list[Tenure]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        self._watch.kill()
        self._watch.wait()

    def _read(self) -> None:
        decoder, rest = json.JSONDecoder(), ""
        assert self._watch.stdout is not None
        for line in self._watch.stdout:
            rest += line
            if line.startswith("}"):
                self._take(decoder.decode(rest))
                rest = ""

    def _take(self, lease: dict[str, Any]) -> None:
        cluster = lease["metadata"].get("annotations", {}).get(ANNOTATION_CLUSTER)
        if cluster is None:
            return
        spec = lease["spec"]
        holder = (spec.get("holderIdentity") or "").partition("_")[0]
        since = datetime.fromisoformat(spec["acquireTime" if holder else "renewTime"]).timestamp()
        known = self._tenures.setdefault(cluster, [])
        if not known or known[-1] != Tenure(since, holder):
            known.append(Tenure(since, holder))

    def of(self, cluster: str) -> list[Tenure]:
        """Who held the cluster's Lease, oldest first."""
        return list(self._tenures.get(cluster, ()))

    def shares(self) -> dict[str, set[str]]:
        """The clusters of each replica now."""
        found: dict[str, set[str]] = {}
        for cluster, tenures in list(self._tenures.items()):
            if cluster != UNOWNED:
                found.setdefault(tenures[-1].holder, set()).add(cluster)
        return found

    def holder_at(self, cluster: str, moment: float) -> str:
        """Who held it then."""
        return next((tenure.holder for tenure in reversed(self.of(cluster)) if tenure.since <= moment), "")


def writers(member: Member, names: Mapping[int, str]) -> list[str]:
    """The processes that wrote, each once for as long as no other wrote between."""
    done = sorted((write for write in member.writes if write.status == 200), key=lambda write: write.at)
    return [names.get(process, "unknown") for process, _ in groupby(write.process for write in done)]
