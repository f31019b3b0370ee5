"""Ask the lab as a client would, without HTTP and without waiting: time passes when the test says so."""

from __future__ import annotations

from typing import Any

from pve_lab.lab import Lab, seed
from pve_lab.request import Answer, Request
from tests.lab.deviations import check_answer

CONTROLLER = {"controller": "c1", "type": "evpn", "asn": "65001", "peers": "192.168.16.1,192.168.16.2"}
ZONE = {"zone": "z1", "type": "evpn", "controller": "c1", "vrf-vxlan": "100001"}
VNET = {"vnet": "v1", "zone": "z1", "tag": "5001"}
_DASHED = (
    "lock_token", "release_lock", "allow_pending", "vrf_vxlan", "regenerate_frr", "dhcp_range", "route_map_id",
)  # fmt: skip


class Asking:
    """Four nodes, VM 100 on pve4, container 200 on pve2; every task takes a second, an apply one in all."""

    def __init__(self, version: str = "9.2.3") -> None:
        self.time = 1_800_000_000.0
        self.slept = 0.0
        self.lab = Lab(
            ["pve1", "pve2", "pve3", "pve4"], version=version, task_seconds=1.0, seed=7, clock=lambda: self.time
        )
        self.lab.sleep = self._sleep
        self.lab.faults.after.append(check_answer)
        seed(self.lab)

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.time += seconds

    def ask(self, method: str, path: str, user: str = "root@pam!tok", **params: Any) -> Answer:
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
