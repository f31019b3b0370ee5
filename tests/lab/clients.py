"""Clients of a lab: in this process with a clock that the test moves, and over HTTP."""

from __future__ import annotations

import gzip
import http.client
import json
from typing import Any

from pve_lab.lab import Lab, seed
from pve_lab.request import Answer, Request
from pve_lab.server import LabServer
from tests.lab.deviations import check_answer

CONTROLLER = {"controller": "c1", "type": "evpn", "asn": "65001", "peers": "192.168.16.1,192.168.16.2"}
ZONE = {"zone": "z1", "type": "evpn", "controller": "c1", "vrf-vxlan": "100001"}
VNET = {"vnet": "v1", "zone": "z1", "tag": "5001"}
TOKEN = "root@pam!tok"
AUTHORIZATION = f"PVEAPIToken={TOKEN}=secret"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
_DASHED = (
    "lock_token", "release_lock", "allow_pending", "vrf_vxlan", "regenerate_frr", "dhcp_range", "route_map_id",
)  # fmt: skip


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def stopped_lab(nodes: int, version: str, clock: Clock) -> Lab:
    """Every task takes a second, an apply one in all; every answer is held against the API schema."""
    names = [f"pve{number}" for number in range(1, nodes + 1)]
    lab = Lab(names, version=version, task_seconds=1.0, seed=7, clock=clock)
    lab.faults.after.append(check_answer)
    return lab


class LabClient:
    """Four nodes with VM 100 on pve4 and container 200 on pve2."""

    def __init__(self, version: str = "9.2.3") -> None:
        self._clock = Clock()
        self.slept = 0.0
        self.lab = stopped_lab(4, version, self._clock)
        self.lab.sleep = self._sleep
        seed(self.lab)

    @property
    def time(self) -> float:
        return self._clock.now

    @time.setter
    def time(self, seconds: float) -> None:
        self._clock.now = seconds

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.time += seconds

    def ask(self, method: str, path: str, user: str = TOKEN, **params: Any) -> Answer:
        named = {
            key.replace("_", "-") if key in _DASHED else key: value if isinstance(value, list) else str(value)
            for key, value in params.items()
        }
        return self.lab.answer(Request(method, path, named, user))

    def get(self, path: str, **params: Any) -> Any:
        return self.data(self.ask("GET", path, **params))

    def post(self, path: str, **params: Any) -> Any:
        return self.data(self.ask("POST", path, **params))

    def put(self, path: str, **params: Any) -> Any:
        return self.data(self.ask("PUT", path, **params))

    def delete(self, path: str, **params: Any) -> Any:
        return self.data(self.ask("DELETE", path, **params))

    @staticmethod
    def data(given: Answer) -> Any:
        assert given.status == 200, (given.status, given.reason, given.body)
        assert given.body is not None
        return given.body["data"]

    def message(self, method: str, path: str, **params: Any) -> str:
        """The text of a refusal with status 500."""
        given = self.ask(method, path, **params)
        assert given.status == 500, given
        assert given.body is not None
        return str(given.body["message"])

    def errors(self, method: str, path: str, **params: Any) -> dict[str, str]:
        """The parameters a refusal with status 400 names."""
        given = self.ask(method, path, **params)
        assert given.status == 400, given
        assert given.body is not None
        return dict(given.body["errors"])

    def wait(self, seconds: float = 1.0) -> None:
        self.time += seconds
        self.lab.settle()

    def exit_of(self, upid: str) -> str | None:
        """How a task ended; None while it runs."""
        row = self.get(f"/nodes/{upid.split(':')[1]}/tasks/{upid}/status")
        assert (row["status"] == "stopped") == ("exitstatus" in row)
        return row.get("exitstatus")

    def log_of(self, upid: str) -> list[str]:
        return [row["t"] for row in self.get(f"/nodes/{upid.split(':')[1]}/tasks/{upid}/log")]

    def reloads(self, node: str) -> list[dict[str, Any]]:
        """The node's reload tasks, newest first."""
        return list(self.get(f"/nodes/{node}/tasks", typefilter="srvreload", source="all"))

    def overlay(self) -> None:
        """Controller, zone and VNet, applied on every node."""
        self.post("/cluster/sdn/controllers", **CONTROLLER)
        self.post("/cluster/sdn/zones", **ZONE)
        self.post("/cluster/sdn/vnets", **VNET)
        self.put("/cluster/sdn")
        self.wait()


class SdnClient:
    """Asks for paths below ``/cluster/sdn`` of an empty cluster of three; 9.1 is the release that was measured."""

    def __init__(self, version: str = "9.1.4") -> None:
        self._clock = Clock()
        self.lab = stopped_lab(3, version, self._clock)

    @property
    def now(self) -> float:
        return self._clock.now

    @now.setter
    def now(self, seconds: float) -> None:
        self._clock.now = seconds

    def ask(self, method: str, path: str, params: dict[str, Any] | None = None, user: str = TOKEN) -> tuple[int, Any]:
        given = self.lab.answer(Request(method, "/cluster/sdn" + path, params or {}, user))
        return given.status, given.body

    def get(self, path: str, view: str = "", user: str = TOKEN) -> Any:
        status, body = self.ask("GET", path, {view: 1} if view else {}, user)
        assert status == 200, body
        return body["data"]

    def do(self, method: str, path: str, **params: Any) -> Any:
        """A write that has to work; ``_`` in names stands for ``-``."""
        status, body = self.ask(method, path, dashed(params))
        assert status == 200, body
        return body["data"]

    def refusal(self, method: str, path: str, **params: Any) -> str:
        """The message of a write that Proxmox refuses with 500."""
        status, body = self.ask(method, path, dashed(params))
        assert status == 500, body
        assert "errors" not in body
        return str(body["message"])

    def wrong(self, method: str, path: str, **params: Any) -> dict[str, str]:
        """The parameters of a request that its schema refuses with 400."""
        status, body = self.ask(method, path, dashed(params))
        assert status == 400, body
        assert body["message"] == "Parameter verification failed.\n"
        return dict(body["errors"])

    def network(self) -> SdnClient:
        """Controller c1, zones z1 and z2, VNet v1 (VNI 501) in z1."""
        self.do("POST", "/controllers", controller="c1", type="evpn", asn=65010, peers="192.0.2.1,192.0.2.2")
        self.do("POST", "/zones", zone="z1", type="evpn", controller="c1", vrf_vxlan=9001)
        self.do("POST", "/zones", zone="z2", type="evpn", controller="c1", vrf_vxlan=9002)
        self.do("POST", "/vnets", vnet="v1", zone="z1", tag=501)
        return self

    def apply(self) -> None:
        self.do("PUT", "")


def dashed(params: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "-"): value for key, value in params.items()}


class Wire:
    """HTTP to a lab, one request per connection; ``authorization`` is sent with each unless it is empty."""

    def __init__(self, server: LabServer, authorization: str = AUTHORIZATION) -> None:
        self.port = int(server.url.rsplit(":", 1)[1])
        self._always = {"Authorization": authorization} if authorization else {}

    def send(
        self, method: str, path: str, body: str | None = None, kind: str = "", **headers: str
    ) -> tuple[http.client.HTTPResponse, Any]:
        sent = {**self._always, **({"Content-Type": kind} if kind else {})}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        if answer.getheader("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        return answer, json.loads(raw) if raw else None
