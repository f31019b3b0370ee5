"""A server outside of the cluster (NetBox, phpIPAM, PowerDNS) does not answer Proxmox as it should."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import Fault
from pve_lab.faults.requests import Proceed, RequestFault
from pve_lab.request import Answer, Request


@dataclass(kw_only=True)
class ServerFails(Fault):
    """Requests of Proxmox to URLs that begin with ``url`` end with ``answer``, a status and a reason."""

    name = "server-fails"
    url: str = "http"
    answer: str = "500 Can't connect to the server (Connection refused)"

    def begin(self, cluster: Cluster) -> None:
        if not re.match(r"\d{3} ", self.answer):
            raise ValueError("answer: must begin with a status, such as 403 Forbidden")
        cluster.sdn.outside.failing[self.url] = self.answer

    def end(self, cluster: Cluster) -> None:
        cluster.sdn.outside.failing.pop(self.url, None)


@dataclass(kw_only=True)
class ServerHangs(RequestFault):
    """Servers with a ``url`` that begins so take the connection and do not answer.

    Proxmox waits for them longer than for its own answer, which comes after ``seconds``. It asks them when it writes
    an IPAM or a DNS server, a subnet of a zone that names one, or an address in such a zone (the plugins' hooks).
    """

    name = "server-hangs"
    method: str = "POST|PUT|DELETE"
    path: str = "/cluster/sdn/((ipams|dns)(/[^/]+)?|vnets/[^/]+/(subnets(/[^/]+)?|ips))"
    url: str = "http"
    seconds: float = 0.0

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        if not any(url.startswith(self.url) for url in _asked(cluster, request)):
            return proceed()
        cluster.sleep(self.seconds)
        return Answer(596, "Connection timed out", None)


def _asked(cluster: Cluster, request: Request) -> list[str]:
    """The URLs of the servers that Proxmox asks before it answers the request."""
    _, _, _, kind, *rest = request.path.split("/")
    sdn = cluster.sdn
    if kind == "vnets":
        return sdn.servers_of(rest[0], names=rest[1] == "subnets")
    if request.method == "DELETE":
        return []
    stored = sdn.services[kind].get(rest[0], {}) if rest else {}
    return [str(request.params.get("url") or stored.get("url") or "")]
