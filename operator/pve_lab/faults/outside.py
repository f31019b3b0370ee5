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
    """The server takes the connection and does not answer: Proxmox waits for it longer than for its own answer."""

    name = "server-hangs"
    method: str = "POST|PUT"
    path: str = "/cluster/sdn/(ipams|dns)(/[^/]+)?"

    def around(self, _cluster: Cluster, _request: Request, _proceed: Proceed) -> Answer:
        return Answer(596, "Connection timed out", None)
