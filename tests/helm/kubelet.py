"""What runs pods where there is no kubelet: containers of rendered Deployments and Jobs as processes of this machine.

Their arguments and environment are taken from the objects in the API server; the program is this tree's instead of
the image's, and a kubeconfig with the ServiceAccount's token stands for the mounted token.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.process import ROOT, Operator
from tests.kube.controlplane import ControlPlane

NODE = "node-of-the-tests"
_NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
#: What a container's program is started as to learn how much memory it took; nothing here enforces limits.
_PEAK = "peak resident KiB: "
#: VmHWM, because ru_maxrss also counts what the process that started it had.
_MEASURED = f"""
import pathlib, sys
from pve_evpn.cli import main
status = main(sys.argv[1:])
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
print({_PEAK!r} + next(line for line in lines if line.startswith("VmHWM:")).split()[1])
sys.exit(status)
"""


class Memory(NamedTuple):
    """What a container took at most, and what it may take, in bytes."""

    name: str
    peak: int
    limit: int


class Kubelet:
    """Runs what one namespace asks for."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path) -> None:
        self.plane = plane
        self.namespace = namespace
        self.folder = folder
        self.pods: list[Operator] = []
        self.job_output = ""
        self.memory: list[Memory] = []
        self._limit = 0
        self._logs: Logs | None = None
        self._jobs_run: set[str] = set()

    def start_replicas(self, deployment: str) -> list[Operator]:
        """As many processes as the Deployment has replicas."""
        found = self._get("deployment", deployment)
        pod = found["spec"]["template"]["spec"]
        for _ in range(found["spec"]["replicas"]):
            name = f"{deployment}-{len(self.pods)}"
            container = pod["containers"][0]
            self._limit = _bytes(container["resources"]["limits"]["memory"])
            environment = _environment(container, name, self.namespace)
            config = self.plane.kubeconfig_for(self.namespace, pod["serviceAccountName"])
            made = Operator(config, self.folder, name, environment)
            made.start(*container["args"][1:])
            assert container["args"][0] == "run"
            self.pods.append(made)
        return self.pods

    def publish(self, deployment: str) -> None:
        """Say in Kubernetes that these replicas run: pods with their logs, and the Deployment's status."""
        found = self._get("deployment", deployment)
        template = found["spec"]["template"]
        for pod in self.pods:
            meta = {"name": pod.name, "labels": template["metadata"]["labels"]}
            self._put_pod(meta, template["spec"], pod.log)
            ready = {"type": "Ready", "status": "True"}
            self._patch_status("pod", pod.name, {"phase": "Running", "conditions": [ready]})
        count = len(self.pods)
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
        self._patch_status("deployment", deployment, {"observedGeneration": found["metadata"]["generation"], **counts})

    def withdraw(self) -> None:
        """The pods of :meth:`publish` go, with what runs in them."""
        self.stop()
        self.plane.kubectl("delete", "pods", "--all", "-n", self.namespace, "--force", "--grace-period=0")

    def stop(self) -> None:
        for pod in self.pods:
            if pod.ended is None:
                self.memory.append(Memory(pod.name, pod.peak_memory, self._limit))
            pod.stop()
        self.pods.clear()

    def close(self) -> None:
        """Stop, and serve no logs any more."""
        self.stop()
        if self._logs:
            self._logs.close()
            self.plane.kubectl("delete", "node", NODE, "--ignore-not-found")

    @contextlib.contextmanager
    def running_jobs(self) -> Iterator[None]:
        """Run each Job that appears meanwhile, once, and tell Kubernetes how it ended."""
        over = threading.Event()
        thread = threading.Thread(target=self._jobs, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)

    def _jobs(self, over: threading.Event) -> None:
        while not over.wait(0.2):
            text = self.plane.kubectl("get", "jobs", "-n", self.namespace, "-o", "json", check=False)
            for job in json.loads(text or '{"items": []}')["items"]:
                if job["metadata"]["uid"] not in self._jobs_run:
                    self._jobs_run.add(job["metadata"]["uid"])
                    self._run_job(job)

    def _run_job(self, job: dict[str, Any]) -> None:
        pod = job["spec"]["template"]["spec"]
        container = pod["containers"][0]
        arguments = [self._outside(argument, container, pod) for argument in container["args"]]
        config = self.plane.kubeconfig_for(self.namespace, pod["serviceAccountName"])
        environment = {**os.environ, "KUBECONFIG": str(config), "PYTHONPATH": str(ROOT / "operator")}
        began = datetime.now(UTC)
        command = [sys.executable, "-c", _MEASURED, *arguments]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        output, _, peak = result.stdout.rpartition(_PEAK)
        self.job_output += output + result.stderr
        self.memory.append(
            Memory(job["metadata"]["name"], int(peak) * 1024, _bytes(container["resources"]["limits"]["memory"]))
        )
        if result.returncode:
            self._leave_pod(job, pod, output + result.stderr)
        kinds = ("SuccessCriteriaMet", "Complete") if result.returncode == 0 else ("FailureTarget", "Failed")
        status: dict[str, Any] = {
            "startTime": _time(began),
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": _time(began), "lastTransitionTime": _time(began)}
                for kind in kinds
            ],
        }
        if result.returncode == 0:
            status |= {"succeeded": 1, "completionTime": _time(datetime.now(UTC))}
        self._patch_status("job", job["metadata"]["name"], status)

    def _leave_pod(self, job: dict[str, Any], spec: dict[str, Any], log: str) -> None:
        """The failed pod of a Job, whose log the API server gets from here as from a node."""
        name = f"{job['metadata']['name']}-{job['metadata']['uid'][:5]}"
        self._put_pod({"name": name, "labels": {"job-name": job["metadata"]["name"]}}, spec, log)

    def _put_pod(self, metadata: dict[str, Any], wanted: dict[str, Any], log: str | Path) -> None:
        container = wanted["containers"][0]
        if self._logs is None:
            self._logs = Logs(self.plane.folder)
            self.plane.kubectl("create", "-f", "-", stdin=json.dumps(_NODE))
            self._patch_status(
                "node",
                NODE,
                {
                    "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": self._logs.port}},
                },
            )
        self._logs.texts[f"/containerLogs/{self.namespace}/{metadata['name']}/{container['name']}"] = log
        spec = {**wanted, "nodeName": NODE, "terminationGracePeriodSeconds": 0}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        self.plane.kubectl("create", "-n", self.namespace, "-f", "-", stdin=json.dumps(pod))

    def _patch_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.plane.kubectl(
            "patch", kind, name, "-n", self.namespace, "--subresource=status", "--type=merge", "-p", patch
        )

    def _outside(self, argument: str, container: dict[str, Any], pod: dict[str, Any]) -> str:
        """The argument with a ConfigMap's mount path replaced by a folder that holds its files."""
        for mount in container.get("volumeMounts", ()):
            volume = next(v for v in pod["volumes"] if v["name"] == mount["name"])
            if "configMap" in volume and argument.startswith(mount["mountPath"] + "/"):
                folder = self.folder / volume["configMap"]["name"]
                folder.mkdir(exist_ok=True)
                for name, text in self._get("configmap", volume["configMap"]["name"])["data"].items():
                    (folder / name).write_text(text)
                return str(folder) + argument.removeprefix(mount["mountPath"])
        return argument

    def _get(self, kind: str, name: str) -> dict[str, Any]:
        return dict(json.loads(self.plane.kubectl("get", kind, name, "-n", self.namespace, "-o", "json")))


class Logs:
    """What a kubelet answers to `kubectl logs`, by the certificate of the control plane."""

    def __init__(self, certificates: Path) -> None:
        #: A log, or the file that it is written to.
        self.texts: dict[str, str | Path] = {}
        texts = self.texts

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = texts.get(self.path.partition("?")[0])
                self.send_response(404 if text is None else 200)
                self.end_headers()
                self.wfile.write(text.read_bytes() if isinstance(text, Path) else (text or "").encode())

            def log_message(self, *_arguments: object) -> None:
                """Nothing on stderr."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _environment(container: dict[str, Any], pod: str, namespace: str) -> dict[str, str]:
    fields = {"metadata.name": pod, "metadata.namespace": namespace}
    return {
        entry["name"]: entry["value"] if "value" in entry else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container["env"]
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _bytes(quantity: str) -> int:
    return int(quantity.removesuffix("Mi")) * 2**20
