"""A Kubernetes API server as its administrator: one kubeconfig, one kubectl. It starts and stops nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml


class Kubectl:
    """Runs kubectl against the cluster of ``kubeconfig``; ``folder`` takes the kubeconfigs made from it."""

    def __init__(self, program: Path, kubeconfig: Path, folder: Path) -> None:
        self.program = program
        self.kubeconfig = kubeconfig
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """For child processes that use this cluster; kubectl is on their PATH."""
        path = f"{self.program.parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 60) -> str:
        """Run kubectl as administrator; its output. Raises KubectlError with what it said if it fails."""
        result = subprocess.run(
            [str(self.program), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout,
        )
        if check and result.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig that is this service account, with a token of a day."""
        token = self.kubectl("create", "token", service_account, "-n", namespace, "--duration=24h").strip()
        config: dict[str, Any] = yaml.safe_load(self.kubeconfig.read_text())
        name = config["current-context"]
        context = next(entry["context"] for entry in config["contexts"] if entry["name"] == name)
        context["user"] = service_account
        config["users"] = [{"name": service_account, "user": {"token": token}}]
        path = self.folder / f"{namespace}-{service_account}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
        return path


class KubectlError(Exception):
    """kubectl said no; the text is its stderr."""
