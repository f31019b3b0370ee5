"""A person with helm, kubectl, a lab and nothing else, on a control plane that has never seen the operator."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from pve_lab.lab import Lab, seed
from tests.e2e.process import NAMESPACE, ROOT
from tests.e2e.stack import TOKEN, Stack
from tests.helm.kubelet import Kubelet
from tests.helm.tools import CHART, Helm
from tests.kube.controlplane import ControlPlane

RELEASE = "pve-evpn-operator"
#: What the chart of a release names by itself.
IMAGE = ("--set", "image.repository=registry.example.com/pve-evpn-operator")
#: The values file of the README, which a new user fills in.
EXAMPLE = (ROOT / "README.md").read_text().partition("```yaml\nclusters:")[2].partition("```")[0]


class User:
    """A person with helm, kubectl, a lab and nothing else."""

    def __init__(self, plane: ControlPlane, helm: Helm, folder: Path) -> None:
        self.plane = plane
        self.kubelet = Kubelet(plane, NAMESPACE, folder)
        self.lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0.2)
        seed(self.lab)
        self.lab.tokens[TOKEN[0]] = TOKEN[1]
        self.stack = Stack(plane, self.lab, folder)
        self.stack.server.__enter__()
        self.run_helm = helm
        self.values = folder / "values.yaml"
        server = urlsplit(self.stack.server.url)
        pem = ssl.get_server_certificate((server.hostname or "", server.port or 0))
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
        fingerprint = ":".join(digest[at : at + 2] for at in range(0, 64, 2))
        values = yaml.safe_load(f"clusters:{EXAMPLE}")
        (cluster,) = values["clusters"]
        cluster["credentials"].update(tokenId=TOKEN[0], token=TOKEN[1])
        cluster["spec"].update(endpoints=[self.stack.server.url], tls={"fingerprint": fingerprint})
        cluster["spec"]["observe"] = {"intervalSeconds": 2}  # for tests that do not want to wait
        self.values.write_text(yaml.safe_dump(values))

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        with self.kubelet.running_jobs():
            return self.run_helm(*arguments, "-n", NAMESPACE, plane=self.plane, check=check)

    def install(self, chart: Path = CHART, *more: str) -> str:
        """Install it, and run what the Deployment asks for; Helm's words."""
        text = self.helm(
            "install", RELEASE, str(chart), "--create-namespace", "-f", str(self.values), *IMAGE, *more
        ).stdout
        self.kubelet.start_replicas(RELEASE)
        return text

    def networks(self) -> list[dict[str, Any]]:
        """The seed topology without its ProxmoxCluster, which comes from the values."""
        return self.stack.seed()[1:]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``pve-evpn`` as the administrator of Kubernetes."""
        environment = {**self.plane.environment, "PYTHONPATH": str(ROOT / "operator")}
        return subprocess.run(
            [sys.executable, "-m", "pve_evpn", *arguments], capture_output=True, text=True, env=environment, timeout=120
        )

    def close(self) -> None:
        self.kubelet.close()
        self.stack.server.__exit__()


def ready(user: User, kind: str, name: str) -> bool:
    text = user.plane.kubectl("get", kind, name, "-o", "json", check=False)
    conditions = json.loads(text).get("status", {}).get("conditions", []) if text else []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
