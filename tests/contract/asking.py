"""Ask the lab in this process and get what a client would: a status and a body."""

from __future__ import annotations

from typing import Any

from pve_lab.lab import Lab
from pve_lab.request import Request
from tests.lab.deviations import check_answer

ROOT = "root@pam!tok"
SDN = "/cluster/sdn"


class Api:
    """An empty cluster of three; ``version`` is the release that was measured unless a test says otherwise."""

    def __init__(self, version: str = "9.1.4") -> None:
        self.now = 1_800_000_000.0
        self.lab = Lab(["pve1", "pve2", "pve3"], version=version, task_seconds=1.0, seed=5, clock=lambda: self.now)
        self.lab.faults.after.append(check_answer)

    def ask(self, method: str, path: str, params: dict[str, Any] | None = None, user: str = ROOT) -> tuple[int, Any]:
        given = self.lab.answer(Request(method, SDN + path, params or {}, user))
        return given.status, given.body

    def get(self, path: str, view: str = "", user: str = ROOT) -> Any:
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

    def network(self) -> Api:
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
