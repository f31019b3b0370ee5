"""The user's own cluster: that of the current kubectl context, for trying the operator where one already is.

It must not have the operator yet: the demo brings CRDs, a namespace and roles, and takes them away again.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType

import yaml

from tests.kube.controlplane.kubectl import Kubectl, KubectlError


class CurrentCluster(Kubectl):
    """``with CurrentCluster(folder) as cluster: cluster.kubectl("get", "ns")``."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("kubectl")
        if found is None:
            raise RuntimeError("the current cluster is used through kubectl, and there is none on PATH")
        super().__init__(Path(found), folder / "current.kubeconfig", folder)
        self.url = ""

    def __enter__(self) -> CurrentCluster:
        """Freeze the current context into a file of our own. Raises RuntimeError where the demo would be in the way."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = _read_config(self)
        self.kubeconfig.write_text(config)
        self.kubeconfig.chmod(0o600)
        self.url = yaml.safe_load(config)["clusters"][0]["cluster"]["server"]
        there = self.kubectl("get", "crd", "proxmoxclusters.pve-evpn.dev", "-o", "name", "--ignore-not-found")
        there += self.kubectl("get", "namespace", "pve-evpn-system", "-o", "name", "--ignore-not-found")
        if there:
            raise RuntimeError(f"the current cluster has the operator already ({' '.join(there.split())})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was started."""


def _read_config(cluster: CurrentCluster) -> str:
    """The current context with its credentials, whatever files ``$KUBECONFIG`` names."""
    result = subprocess.run(
        [str(cluster.program), "config", "view", "--minify", "--flatten", "--raw"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    if result.returncode:
        raise KubectlError(f"kubectl has no current context: {result.stderr.strip()}")
    return result.stdout
