"""One running control plane on free loopback ports, with TLS, RBAC and service accounts on.

Its processes die with the process that started them, however that ends. What it writes lives in one folder.
"""

from __future__ import annotations

import ctypes
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

import yaml

from tests.kube.controlplane.binaries import ensure
from tests.kube.controlplane.certificates import Authority, signing_key
from tests.kube.controlplane.kubectl import Kubectl
from tests.kube.ports import free_ports

_START_SECONDS = 90
_PR_SET_PDEATHSIG = 1


class ControlPlane(Kubectl):
    """``with ControlPlane(folder) as plane: plane.kubectl("get", "ns")``."""

    def __init__(self, folder: Path, *, audit: bool = False) -> None:
        """``audit``: every request with its user and verb goes to ``audit_log``, one JSON object a line."""
        self.binaries = ensure()
        self.audit_log = folder / "audit.log" if audit else None
        super().__init__(self.binaries["kubectl"], folder / "admin.kubeconfig", folder)
        self.url = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str]] = {}

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until the API server is ready. Raises RuntimeError with its log otherwise."""
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = Authority(self.folder)
        authority.issue("server", server=True)
        authority.issue("admin", organisation="system:masters")
        signing_key(self.folder / "sa.key")
        client, peer, secure = free_ports(3)
        self.url = f"https://127.0.0.1:{secure}"
        self._write_kubeconfig()
        self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{client}",
            "--bind-address=127.0.0.1",
            f"--secure-port={secure}",
            f"--tls-cert-file={self.folder / 'server.crt'}",
            f"--tls-private-key-file={self.folder / 'server.key'}",
            f"--client-ca-file={self.folder / 'ca.crt'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-key-file={self.folder / 'sa.key'}",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--endpoint-reconciler-type=none",
            *self._audit_flags(),
        )
        self._await_ready()
        self._run(
            "kube-controller-manager",
            # As administrator: the controllers act on every kind, and here one identity serves them all.
            f"--kubeconfig={self.kubeconfig}",
            "--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller",
            f"--service-account-private-key-file={self.folder / 'sa.key'}",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def stop(self) -> None:
        """Kill the processes: their data is not needed, and an API server that is asked to end takes 10 s longer."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def _audit_flags(self) -> tuple[str, ...]:
        if self.audit_log is None:
            return ()
        policy = self.folder / "audit-policy.yaml"
        rule = {"level": "Metadata", "omitStages": ["RequestReceived"]}
        policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule]}))
        return (f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}")

    def _write_kubeconfig(self) -> None:
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "ca.crt")}
        user = {"client-certificate": str(self.folder / "admin.crt"), "client-key": str(self.folder / "admin.key")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))
        self.kubeconfig.chmod(0o600)

    def pid(self, name: str) -> int:
        """The process of ``etcd``, ``kube-apiserver`` or ``kube-controller-manager``."""
        return self._processes[name].pid

    def restart_api_server(self) -> None:
        """Kill it and start it again; returns once it answers."""
        process = self._processes["kube-apiserver"]
        process.kill()
        process.wait()
        self._start("kube-apiserver")
        self._await_ready()

    def _run(self, name: str, *arguments: str) -> None:
        self._commands[name] = [str(self.binaries[name]), *arguments]
        self._start(name)

    def _start(self, name: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self._processes[name] = subprocess.Popen(
            self._commands[name],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for the test, which then ends it in order
            preexec_fn=die_with_parent,
        )

    def _await_ready(self) -> None:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            for process in self._processes.values():
                if process.poll() is not None:
                    break
            else:
                try:
                    with urllib.request.urlopen(f"{self.url}/readyz", context=context, timeout=5) as answer:
                        if answer.status == 200:
                            return
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)
                continue
            break
        tail = (self.folder / "kube-apiserver.log").read_text()[-3000:]
        self.stop()
        raise RuntimeError(f"the control plane did not start:\n{tail}")


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent goes, so that kill -9 of a test run leaves nothing behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
