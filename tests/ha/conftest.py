"""Several operators on one lab and one control plane."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_lab.lab import Lab, seed
from tests.e2e.process import NAMESPACE, ROOT, Operator
from tests.e2e.stack import KINDS, Stack
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

#: Short enough to test many failures, long enough for a busy machine.
QUICK = {
    "PVE_EVPN_LEASE_DURATION": "6",
    "PVE_EVPN_LEASE_RENEW_DEADLINE": "4.5",
    "PVE_EVPN_LEASE_RETRY_PERIOD": "0.5",
}


class Replicas:
    """What a Deployment with several replicas would run."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.running: list[Operator] = []
        self._started = 0

    def start(self, environment: Mapping[str, str] = QUICK, server: str | None = None) -> Operator:
        """One more replica; ``server`` is where it finds the API server, if not directly."""
        self._started += 1
        name = f"replica-{self._started}"
        path = self.stack.plane.kubeconfig_for(NAMESPACE, "pve-evpn-operator")
        if server:
            config = yaml.safe_load(path.read_text())
            config["clusters"][0]["cluster"]["server"] = server
            path = path.with_name(f"{name}.kubeconfig")
            path.write_text(yaml.safe_dump(config))
        operator = Operator(path, self.stack.folder, name, environment)
        operator.start()
        self.running.append(operator)
        return operator

    def kill(self, operator: Operator, number: int) -> int | None:
        self.running.remove(operator)
        return operator.stop(number)

    def await_leader(self, *among: Operator, seconds: float = 40) -> Operator:
        """Wait until one of them leads."""

        def leader() -> Operator | None:
            return next((operator for operator in among or self.running if operator.leads), None)

        found = await_("one replica leads", leader, seconds)
        assert found is not None
        return found

    def lease(self, name: str = "pve-evpn-operator-cluster-pve") -> dict[str, Any]:
        """The spec of a Lease, of the seed's cluster where none is named."""
        return dict(json.loads(self.stack.plane.kubectl("get", "lease", name, "-n", NAMESPACE, "-o", "json"))["spec"])


@pytest.fixture
def replicas(cluster: ControlPlane, tmp_path: Path) -> Iterator[Replicas]:
    lab = Lab(["pve1", "pve2", "pve3", "pve4"], task_seconds=0.3)
    seed(lab)
    stack = Stack(cluster, lab, tmp_path)
    stack.prepare()
    made = Replicas(stack)
    yield made
    for operator in made.running:
        # pytest shows this for a failed test only
        print(f"--- {operator.name}\n" + "\n".join(operator.log.read_text().splitlines()[-40:]))
        operator.stop(9)
    clear(cluster)
    stack.close()


def clear(cluster: ControlPlane) -> None:
    """Everything out of Kubernetes; the lab ends too, so nobody has to look after Proxmox."""
    cluster.kubectl("delete", ",".join(KINDS), "--all", "-A", "--wait=false")
    environment = {**cluster.environment, "PYTHONPATH": str(ROOT / "operator")}
    command = [sys.executable, "-m", "pve_evpn", "release-finalizers", "--deleting", "--yes", "--even-if-running"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    cluster.kubectl("delete", "secret,lease", "-n", NAMESPACE, "--all")
