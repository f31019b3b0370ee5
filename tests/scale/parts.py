"""The real parts of a run, each a process of its own: the control plane, the lab, the operator; and what they count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.e2e.credentials import credentials_secret
from tests.e2e.process import NAMESPACE, ROOT, Operator
from tests.kube.controlplane import ControlPlane
from tests.kube.controlplane.cluster import die_with_parent
from tests.kube.ports import free_ports
from tests.scale.objects import Size, write_guests
from tests.waiting import await_

TOKEN = ("root@pam!tok", "secret")
_TICKS = os.sysconf("SC_CLK_TCK")


class LabProcess:
    """``with LabProcess(size, folder) as lab``: an embedded Proxmox cluster, asked and counted over its ports."""

    def __init__(self, size: Size, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_guests(size, folder / "guests.json")
        port, admin = free_ports(2)
        self.url, self._admin = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{admin}"
        self.ca = folder / "ca.pem"
        self._log = (folder / "lab.log").open("wb")
        self._command = [
            sys.executable, "-m", "pve_lab", "--port", str(port), "--admin-port", str(admin), "--pve-version", "9.2",
            "--nodes", ",".join(size.node_names), "--guests", str(folder / "guests.json"), "--ca-file", str(self.ca),
            "--token", "=".join(TOKEN), "--task-seconds", str(size.task),
        ]  # fmt: skip
        self._http = requests.Session()

    def __enter__(self) -> LabProcess:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
        self._process = subprocess.Popen(
            self._command,
            env=environment,
            stdout=self._log,
            stderr=self._log,
            process_group=0,
            preexec_fn=die_with_parent,
        )
        await_("the lab answers", self._answers, 30)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        self._log.close()

    def _answers(self) -> bool:
        try:
            return bool(self._ask("/state"))
        except requests.ConnectionError:
            return False

    def _ask(self, path: str, method: str = "GET") -> Any:
        answer = self._http.request(method, self._admin + path, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Every request so far."""
        return list(self._ask("/journal"))

    @property
    def applies(self) -> int:
        return int(self._ask("/state")["applies"])

    def forget_requests(self) -> None:
        self._ask("/journal", "DELETE")


@dataclass(frozen=True, slots=True)
class Calls:
    """Requests to Proxmox, and the writes among them that it did not refuse."""

    calls: int
    writes: int


class Parts:
    """One control plane, one lab, one operator, and their counts since :meth:`begin`."""

    def __init__(self, plane: ControlPlane, lab: LabProcess, folder: Path) -> None:
        self.plane = plane
        self.lab = lab
        self._folder = folder
        self._holds = folder / "holds.txt"
        self._operator: Operator | None = None
        self._applies = 0
        self._patched = 0

    def prepare(self) -> None:
        """CRDs, namespace, RBAC and credentials."""
        kubectl = self.plane.kubectl
        kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        if not kubectl("get", "namespace", NAMESPACE, "-o", "name", "--ignore-not-found"):
            kubectl("create", "namespace", NAMESPACE)
        kubectl("apply", "-f", str(ROOT / "charts" / "rbac.yaml"))
        data = {"tokenId": TOKEN[0], "token": TOKEN[1], "ca.crt": self.lab.ca.read_text()}
        secret = credentials_secret("pve", "pve-credentials", data, self.lab.url)
        kubectl("apply", "-f", "-", stdin=json.dumps(secret))

    # --- the operator -------------------------------------------------------------------------------------------

    def start_operator(self) -> None:
        """Start it; returns when it leads and has listed everything."""
        config = self.plane.kubeconfig_for(NAMESPACE, "pve-evpn-operator")
        self._operator = Operator(config, self._folder, environment={"SCALE_HOLDS": str(self._holds)})
        self._operator.program = [sys.executable, str(Path(__file__).with_name("holding.py"))]
        self._operator.start()
        await_("the operator leads", lambda: self.operator.leads, 120)

    @property
    def operator(self) -> Operator:
        assert self._operator is not None
        return self._operator

    def stop_operator(self) -> None:
        if self._operator:
            self._operator.stop()
        self._operator = None

    @property
    def syncs(self) -> int:
        """Syncs that the operator has ended."""
        return int(self.operator.metric("pve_evpn_reconcile_duration_seconds_count"))

    @property
    def cpu(self) -> float:
        """Seconds that the operator has computed since it started."""
        fields = Path(f"/proc/{self.operator.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def rss(self) -> float:
        """MiB that the operator has resident now."""
        status = Path(f"/proc/{self.operator.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024

    def longest_hold(self, since: float) -> tuple[float, str]:
        """The longest hold of the event loop that ended after ``since`` (monotonic): milliseconds, and a line of it.

        What the callback computed: how long it waited for a core says more about the machine.
        """
        lines = self._holds.read_text().splitlines() if self._holds.exists() else []
        rows = [(float(cpu), line) for line in lines for at, _, cpu in [line.split()[:3]] if float(at) >= since]
        return max(rows, default=(0.0, "none"))

    def remove(self) -> None:
        """Delete every object while the operator runs, and wait until it has let them go; then end it."""
        kinds = "nic,vnet,evpnz,evpnc,pvec"
        self.plane.kubectl("delete", kinds, "--all", "-A", "--wait=false")
        self.plane.kubectl("wait", "--for=delete", kinds, "--all", "-A", "--timeout=50s")
        self.stop_operator()

    # --- counting -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Count from now on."""
        self.lab.forget_requests()
        self._applies = self.lab.applies
        self._patched = self._all_patches()

    @property
    def calls(self) -> Calls:
        rows = self.lab.requests
        writes = [row for row in rows if row["method"] != "GET" and row["status"] < 400]
        return Calls(len(rows), len(writes))

    @property
    def applies(self) -> int:
        return self.lab.applies - self._applies

    @property
    def patches(self) -> int:
        """PATCHes of objects of this API, statuses included. Nobody but the operator sends any."""
        return self._all_patches() - self._patched

    def _all_patches(self) -> int:
        """As the API server counts them."""
        lines = self.plane.kubectl("get", "--raw", "/metrics").splitlines()
        ours = (
            line
            for line in lines
            if line.startswith("apiserver_request_total{") and 'group="pve-evpn.dev"' in line and 'verb="PATCH"' in line
        )
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in ours)

    def await_quiet(self, seconds: float) -> None:
        """Until no request has reached Proxmox for so long."""
        last, since = -1, time.monotonic()

        def quiet() -> bool:
            nonlocal last, since
            count = len(self.lab.requests)
            if count != last:
                last, since = count, time.monotonic()
            return time.monotonic() - since >= seconds

        await_("Proxmox is asked nothing for a while", quiet, 300)
