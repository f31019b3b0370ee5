"""Everything running together: real control plane, the lab behind HTTPS, and the operator as a process of its own.

The operator runs as its service account with exactly the shipped RBAC. The lab runs in this process, so that a test
can look into it.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pve_lab import apidoc
from pve_lab.lab import Lab
from pve_lab.request import Request
from pve_lab.server import LabServer
from tests.e2e.credentials import credentials_secret
from tests.e2e.process import NAMESPACE, ROOT, Operator
from tests.kube.controlplane import Kubectl
from tests.waiting import await_

__all__ = ["KINDS", "NAMESPACE", "ROOT", "TOKEN", "Stack", "await_"]

TOKEN = ("root@pam!tok", "secret")
#: An endpoint where nothing listens.
NOWHERE = "https://127.0.0.1:1"
KINDS = ("pvec", "pfl", "rmap", "fab", "evpnc", "bgpc", "isisc", "evpnz", "vnet", "nic", "evpnn")
_PLACES = "custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name"
_NO_FINALIZERS = '{"metadata":{"finalizers":null}}'


class Stack:
    """One control plane, one lab, at most one operator."""

    def __init__(self, plane: Kubectl, lab: Lab, folder: Path) -> None:
        self.plane = plane
        self.lab = lab
        self.folder = folder
        self.server = LabServer(lab)
        self.log = folder / "operator.log"
        #: How the seed's cluster is observed.
        self.observe: dict[str, Any] = {"intervalSeconds": 2, "graceSeconds": 0}
        #: What the operator asked that Proxmox does not declare; stays empty.
        self.undeclared: list[str] = []
        lab.faults.before.append(self._hold_to_schema)
        self._operator: Operator | None = None

    def _hold_to_schema(self, request: Request) -> None:
        # The table holds no user management; of it the operator asks when its credentials end.
        if not request.path.startswith("/access/users"):
            wrong = apidoc.wrong_request(request.method, request.path, request.params)
            self.undeclared += [f"{request.method} {request.path}: {text}" for text in wrong]

    def prepare(self) -> None:
        """Namespace, RBAC, CRDs and credentials; the lab begins to serve."""
        self.lab.tokens[TOKEN[0]] = TOKEN[1]
        self.server.__enter__()
        kubectl = self.plane.kubectl
        if "pve-evpn.dev" not in kubectl("get", "crd", "-o", "name"):
            kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
            kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        if not kubectl("get", "namespace", NAMESPACE, "-o", "name", "--ignore-not-found"):
            kubectl("create", "namespace", NAMESPACE)
            kubectl("apply", "-f", str(ROOT / "charts" / "rbac.yaml"))
        self.write_secret(TOKEN[1])

    def write_secret(self, token: str, token_id: str = TOKEN[0]) -> None:
        data = {"tokenId": token_id, "token": token, "ca.crt": self.server.ca_pem}
        secret = credentials_secret("pve", "pve-credentials", data, self.server.url, NOWHERE)
        self.plane.kubectl("apply", "-f", "-", stdin=json.dumps(secret))

    def close(self) -> None:
        self.stop_operator()
        self.server.__exit__()

    def remove(self) -> None:
        """Take everything out of Kubernetes again that :meth:`prepare` and the tests put there.

        The lab ends too, so a finalizer of what is left would wait for a Proxmox that no longer exists.
        """
        self.drop_finalizers()
        kubectl = self.plane.kubectl
        kubectl("delete", "-f", str(ROOT / "crds"), "--ignore-not-found", "--timeout=50s")
        kubectl("delete", "-f", str(ROOT / "charts" / "rbac.yaml"), "--ignore-not-found", "--timeout=50s")
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=50s")

    def drop_finalizers(self) -> list[str]:
        """Take the finalizers off everything that is left: where it is being deleted, it then goes. What that was."""
        found, kubectl = [], self.plane.kubectl
        for kind in KINDS:
            rows = kubectl("get", kind, "-A", "--no-headers", "-o", _PLACES, "--ignore-not-found", check=False)
            for namespace, name in (row.split() for row in rows.splitlines()):
                where = () if namespace == "<none>" else ("-n", namespace)
                kubectl("patch", kind, name, *where, "--type=merge", "-p", _NO_FINALIZERS, check=False)
                found.append(f"{kind} {name}")
        return found

    # --- the operator -------------------------------------------------------------------------------------------

    def start_operator(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it leads and has listed everything."""
        config = self.plane.kubeconfig_for(NAMESPACE, "pve-evpn-operator")
        self._operator = operator = Operator(config, self.folder, environment=environment)
        operator.start()
        await_("the operator leads", lambda: operator.leads, 30)

    @property
    def operator(self) -> Operator:
        """The running operator."""
        assert self._operator is not None
        return self._operator

    def exposition(self) -> str:
        """Everything the operator tells Prometheus."""
        return self.operator.get("/metrics")

    def metric(self, name: str) -> float:
        """The sum of one metric over its labels."""
        return self.operator.metric(name)

    def stop_operator(self, number: int = signal.SIGTERM) -> None:
        """End it. One that was killed leaves its Lease behind, and nobody here waits until that expires."""
        if self._operator:
            self._operator.stop(number)
            if number == signal.SIGKILL:
                self.plane.kubectl("delete", "lease", "-n", NAMESPACE, "--all")
        self._operator = None

    # --- objects ------------------------------------------------------------------------------------------------

    def seed(self) -> list[dict[str, Any]]:
        """The seed topology with this lab's endpoint."""
        return self.example("seed")

    def example(self, folder: str) -> list[dict[str, Any]]:
        """A folder of ``examples/`` with this lab's endpoint."""
        found = []
        for path in sorted((ROOT / "examples" / folder).glob("*.yaml")):
            for document in filter(None, yaml.safe_load_all(path.read_text())):
                if document["kind"] == "ProxmoxCluster":
                    document["spec"]["endpoints"] = [self.server.url]
                    document["spec"]["observe"] = self.observe
                found.append(document)
        return found

    def apply(self, *documents: dict[str, Any]) -> None:
        self.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def delete(self, *documents: dict[str, Any], wait: bool = True) -> None:
        self.plane.kubectl(
            "delete", "-f", "-", f"--wait={str(wait).lower()}", "--timeout=50s", "--ignore-not-found",
            stdin=yaml.safe_dump_all(documents),
        )  # fmt: skip

    def delete_all(self) -> None:
        """Every object of every kind, and wait until they are gone."""
        kinds = ",".join(KINDS[:-1])  # EvpnNodes are the operator's own, and go with their cluster
        self.plane.kubectl("delete", kinds, "--all", "-A", "--wait=false")
        self.plane.kubectl("wait", "--for=delete", kinds, "--all", "-A", "--timeout=50s")

    def get(self, document: dict[str, Any]) -> dict[str, Any]:
        """The object as it is now; empty if there is none."""
        meta = document["metadata"]
        text = self.plane.kubectl(
            "get", f"{document['kind'].lower()}.pve-evpn.dev", meta["name"], "-n", meta.get("namespace", "default"),
            "-o", "json", "--ignore-not-found",
        )  # fmt: skip
        return dict(json.loads(text)) if text else {}

    def condition(self, document: dict[str, Any], type_: str) -> dict[str, Any]:
        conditions = self.get(document).get("status", {}).get("conditions") or []
        return next((c for c in conditions if c["type"] == type_), {})

    def await_ready(self, *documents: dict[str, Any], seconds: float = 60) -> None:
        for document in documents:
            name = f"{document['kind']} {document['metadata']['name']}"
            await_(f"{name} is Ready", lambda d=document: self.is_ready(d), seconds)

    def is_ready(self, document: dict[str, Any]) -> bool:
        """Whether it says so of its present spec."""
        whole = self.get(document)
        ready = next((c for c in whole.get("status", {}).get("conditions") or [] if c["type"] == "Ready"), {})
        return ready.get("status") == "True" and ready.get("observedGeneration") == whole["metadata"]["generation"]

    def await_condition(self, document: dict[str, Any], type_: str, reason: str, seconds: float = 30) -> str:
        """Wait for a reason; its message."""
        name = f"{document['kind']} {document['metadata']['name']}"

        def check() -> dict[str, Any] | None:
            condition = self.condition(document, type_)
            return condition if condition.get("reason") == reason else None

        try:
            return str(await_(f"{name} has {type_} with reason {reason}", check, seconds)["message"])
        except AssertionError as error:
            raise AssertionError(f"{error}; it has {self.condition(document, type_)}") from None

    def writes(self) -> list[tuple[str, str, int]]:
        """What was written to Proxmox so far."""
        return [entry for entry in self.lab.journal if entry[0] != "GET"]
