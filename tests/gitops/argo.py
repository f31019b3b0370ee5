"""A running Argo CD: Redis, repo server, application and ApplicationSet controllers, on loopback and a real API server.

No UI and no API server of its own: Applications are written and read with kubectl, as a GitOps repository would. It
syncs from a git repository in a folder, to which :class:`Repository` commits.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from tests.gitops.programs import TOOLS
from tests.gobuild import built, source_of
from tests.kube.controlplane import ControlPlane
from tests.kube.ports import free_ports
from tests.waiting import await_

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "gitops" / "argocd"
NAMESPACE = "argocd"
#: What a user's ConfigMap holds before it is patched as the documentation says.
USERS_OWN = {
    "url": "https://argocd.example.com",
    "resource.customizations.health.ConfigMap": "return {status = 'Degraded', message = \"the user's own\"}",
}
_PART = {"app.kubernetes.io/part-of": "argocd"}


class Repository:
    """A git repository whose working tree is the truth; each change is one commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._git("init", "-q", "-b", "main")
        self._git("config", "user.email", "networks@example.com")
        self._git("config", "user.name", "networks")

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def commit(self, message: str, changes: dict[str, dict[str, Any] | None]) -> str:
        """Write (or, for None, remove) files; the new revision."""
        for name, document in changes.items():
            path = self.folder / name
            if document is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(yaml.safe_dump(document))
        return self._committed(message)

    def revert(self) -> str:
        """Take the last commit back, as `git revert` does."""
        self._git("revert", "--no-edit", "HEAD")
        return self._git("rev-parse", "HEAD").strip()

    def _committed(self, message: str) -> str:
        self._git("add", "-A")
        self._git("commit", "-q", "-m", message)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.folder), *arguments], capture_output=True, text=True, check=True
        ).stdout


class ArgoCD:
    """``with ArgoCD(plane, folder) as argo: argo.create(...)``."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._plane = plane
        self._folder = folder
        self._binary = built(TOOLS["argocd"])
        self._processes: list[subprocess.Popen[bytes]] = []
        self._metrics = 0

    def __enter__(self) -> ArgoCD:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._install()
        redis, repo, repo_metrics, self._metrics, sets, probe, hook = free_ports(7)
        self._run("redis-server", ["--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        cache = [f"--redis=127.0.0.1:{redis}"]
        self._run(
            "argocd-repo-server",
            [
                *cache, "--address=127.0.0.1", f"--port={repo}", "--metrics-address=127.0.0.1",
                f"--metrics-port={repo_metrics}", "--disable-tls", "--revision-cache-expiration=1s",
            ],
        )  # fmt: skip
        await_("the repo server listens", lambda: _listens(repo), 30)
        self._run(
            "argocd-application-controller",
            [
                *cache, f"--repo-server=127.0.0.1:{repo}", "--repo-server-plaintext", f"--metrics-port={self._metrics}",
                f"--namespace={NAMESPACE}", "--app-resync=3", "--app-resync-jitter=0", "--persist-resource-health",
                "--status-processors=4", "--operation-processors=2",
            ],
        )  # fmt: skip
        self._run(
            "argocd-applicationset-controller",
            [
                f"--argocd-repo-server=127.0.0.1:{repo}", "--repo-server-plaintext", f"--namespace={NAMESPACE}",
                f"--metrics-addr=127.0.0.1:{sets}", f"--probe-addr=127.0.0.1:{probe}",
                f"--webhook-addr=127.0.0.1:{hook}",
            ],
        )  # fmt: skip
        await_("the controller listens", lambda: _listens(self._metrics), 60)
        return self

    def __exit__(self, *_problem: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # --- what a test does ---------------------------------------------------------------------------------------

    def create(self, name: str, repository: Repository, **sync: Any) -> None:
        """Create an example with this repository; ``sync`` changes how its Applications sync."""
        for document in yaml.safe_load_all((EXAMPLES / name).read_text()):
            spec = document["spec"]
            text = json.dumps(document).replace("https://git.example.com/networks.git", repository.url)
            document = json.loads(text)
            spec = document["spec"]
            if document["kind"] == "ApplicationSet":
                spec["generators"][0]["git"]["requeueAfterSeconds"] = 3
                spec["template"]["spec"]["syncPolicy"]["automated"] |= sync
            self._plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(document))

    def application(self, name: str) -> dict[str, Any]:
        text = self._plane.kubectl("get", "application", name, "-n", NAMESPACE, "-o", "json", "--ignore-not-found")
        return dict(json.loads(text)) if text else {}

    def refresh(self, name: str) -> None:
        """Have it compared from scratch, and wait until it was."""
        key = "argocd.argoproj.io/refresh"
        self._plane.kubectl("annotate", "application", name, "-n", NAMESPACE, f"{key}=hard", "--overwrite")
        await_(f"{name} was compared", lambda: key not in self.application(name)["metadata"].get("annotations", {}))

    def await_state(self, name: str, revision: str, sync: str, health: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until Argo CD says this of that commit and its sync has ended; the Application."""

        def check() -> dict[str, Any] | None:
            application = self.application(name)
            status = application.get("status", {})
            said = (status.get("sync", {}).get("revision"), *_state(application))
            # A comparison may find all as it should be before the operation that made it so has ended and counts.
            syncing = "operation" in application or status.get("operationState", {}).get("phase") == "Running"
            return application if said == (revision, sync, health) and not syncing else None

        try:
            return await_(f"{name} is {sync} and {health} at {revision[:8]}", check, seconds) or {}
        except AssertionError as error:
            status = self.application(name).get("status", {})
            shown = {key: status.get(key) for key in ("sync", "health", "conditions", "operationState", "resources")}
            raise AssertionError(f"{error}\n{yaml.safe_dump(shown)}") from None

    def health_of(self, name: str) -> dict[str, tuple[str, str]]:
        """What Argo CD thinks of each object, by kind and name: status and message."""
        resources = self.application(name)["status"].get("resources", ())
        found = {f"{r['kind']}/{r['name']}": r.get("health") or {} for r in resources}
        return {key: (health.get("status", ""), health.get("message", "")) for key, health in found.items()}

    def syncs(self, name: str) -> float:
        """How many sync operations the controller has finished for this Application."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        mine = [line for line in lines if line.startswith("argocd_app_sync_total{") and f'name="{name}"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in mine)

    def logs(self) -> str:
        """The last words of each part, for a failed test."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self._folder.glob("*.log")))

    # --- how it is run ------------------------------------------------------------------------------------------

    def _install(self) -> None:
        """What Argo CD finds in a cluster: its CRDs, its settings (with our health checks), and a project."""
        kubectl = self._plane.kubectl
        crds = source_of(TOOLS["argocd"], "github.com/argoproj/argo-cd/v3") / "manifests" / "crds"
        for path in sorted(crds.glob("*-crd.yaml")):
            kubectl("apply", "--server-side", "-f", str(path))
        kubectl("wait", "--for=condition=Established", "crd", "applications.argoproj.io", "--timeout=30s")
        objects = [
            _object("Namespace", NAMESPACE),
            _object("ConfigMap", "argocd-gpg-keys-cm"),
            {**_object("Secret", "argocd-secret"), "stringData": {"server.secretkey": "throw-away"}},
            {**_object("ConfigMap", "argocd-cm"), "data": USERS_OWN},
        ]
        for item in objects:
            kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(item))
        kubectl("patch", "configmap", "argocd-cm", "-n", NAMESPACE, "--patch-file", str(EXAMPLES / "argocd-cm.yaml"))

    def _named(self, name: str) -> Path:
        """The binary acts by the name it is called by."""
        link = self._folder / "bin" / name
        link.parent.mkdir(exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(self._binary)
        return link

    def _environment(self) -> dict[str, str]:
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        own = {
            "HOME": str(home),
            "KUBECONFIG": str(self._plane.kubeconfig),
            "ARGOCD_FAKE_IN_CLUSTER": "true",  # https://kubernetes.default.svc is the cluster of KUBECONFIG
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(home / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(home / "ssh"),
            "TMPDIR": str(self._folder / "tmp"),
            "PATH": f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        for part in ("tls", "ssh", "../tmp"):
            (home / part).mkdir(exist_ok=True)
        return {**os.environ, **own}

    def _run(self, name: str, arguments: list[str]) -> None:
        program = shutil.which(name) if name == "redis-server" else str(self._named(name))
        assert program, f"{name} is not installed"
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [program, *arguments], env=self._environment(), stdout=log, stderr=log, cwd=self._folder
            )
        self._processes.append(process)


def _object(kind: str, name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": _PART}
    if kind != "Namespace":
        metadata["namespace"] = NAMESPACE
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _state(application: dict[str, Any]) -> Iterator[str]:
    status = application.get("status", {})
    yield status.get("sync", {}).get("status", "")
    yield status.get("health", {}).get("status", "")


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
