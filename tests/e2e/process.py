"""One operator process as its service account, started, asked and ended by the tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.kube.controlplane.cluster import die_with_parent
from tests.kube.ports import free_port

ROOT = Path(__file__).parents[2]
NAMESPACE = "pve-evpn-system"


class Operator:
    """``python -m pve_evpn run`` with its log in ``folder``; ``name`` is what a pod's name would be."""

    def __init__(
        self, kubeconfig: Path, folder: Path, name: str = "operator", environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._environment = {
            **os.environ,
            "POD_NAME": name,
            "PVE_EVPN_NAMESPACE": NAMESPACE,
            **(environment or {}),
            "KUBECONFIG": str(kubeconfig),
            "PVE_EVPN_HTTP": f"127.0.0.1:{free_port()}",  # several on one machine
            "PYTHONPATH": str(ROOT / "operator"),
        }
        self.program = [sys.executable, "-m", "pve_evpn"]
        self.http = int(self._environment["PVE_EVPN_HTTP"].rpartition(":")[2])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        command = [*self.program, "run", *arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                process_group=0,  # Ctrl-C is for the test, which then ends it in order
                preexec_fn=die_with_parent,
            )

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process, None before it was started."""
        return self._process

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        """End it if it runs; its exit status."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(60)

    @property
    def ended(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def peak_memory(self) -> int:
        """The most it ever had resident, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024

    # --- what it says of itself ---------------------------------------------------------------------------------

    @property
    def readiness(self) -> str:
        """What /readyz says: ``200 leading for 1 of 2 clusters``, ``200 standby; ...``, ``503 ...``.

        "" where nothing answers.

        Raises AssertionError with the end of its log if it ended by itself.
        """
        if self.ended is not None:
            raise AssertionError(f"{self.name} ended with {self.ended}:\n{self.log.read_text()[-3000:]}")
        head, _, body = self.get("/readyz").partition("\r\n\r\n")
        return f"{head.split(' ')[1]} {body.strip()}" if head else ""

    @property
    def leads(self) -> bool:
        """Whether it writes for any cluster and has listed everything."""
        return self.readiness.startswith("200 leading")

    def get(self, path: str) -> str:
        """The whole answer to a GET; "" where nothing answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.http), 2) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                parts = []
                while data := connection.recv(65536):
                    parts.append(data)
                return b"".join(parts).decode()
        except OSError:
            return ""

    def metric(self, name: str) -> float:
        """The sum of one metric over its labels."""
        lines = self.get("/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " ")))
