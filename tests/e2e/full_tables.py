"""An operator that serves full tables, and a kubelet that can do one thing: forward a port, as kubectl asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import WSMsgType, web
from kubernetes.aio.config import kube_config

from pve_evpn.cli import main
from tests.e2e.process import NAMESPACE, ROOT
from tests.e2e.stack import Stack
from tests.kube.ports import free_port
from tests.waiting import await_

NODE = "node-with-the-operator"
_DELEGATOR = "pve-evpn-tables"


class Endpoints:
    """What operators with an endpoint need of Kubernetes: a node with their pods, and users with tokens.

    Use as a context.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._kubelet = Kubelet(stack.plane.folder)
        self._made: list[tuple[str, ...]] = []
        """What :meth:`user` made: kind, name and where."""

    def __enter__(self) -> Self:
        kubectl = self.stack.plane.kubectl
        kubectl("create", "clusterrolebinding", _DELEGATOR, "--clusterrole=system:auth-delegator",
                f"--serviceaccount={NAMESPACE}:pve-evpn-operator")  # fmt: skip
        self._kubelet.start()
        kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}))
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._kubelet.port}},
        }
        _patch_status(self.stack, "node", NODE, {"status": status})
        return self

    def __exit__(self, *_: object) -> None:
        kubectl = self.stack.plane.kubectl
        kubectl("delete", "pod", "--all", "-n", NAMESPACE, "--force", "--grace-period=0", check=False)
        kubectl("delete", "node", NODE, "--ignore-not-found", check=False)
        kubectl("delete", "clusterrolebinding", _DELEGATOR, "--ignore-not-found", check=False)
        for made in self._made:
            kubectl("delete", *made, "--ignore-not-found", check=False)
        self._kubelet.close()

    def make_pod(self, name: str) -> None:
        """A pod of that name; all of its ports are this machine's."""
        spec = {
            "nodeName": NODE,
            "containers": [{"name": "operator", "image": "operator"}],
            "serviceAccountName": "default",
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        kubectl = self.stack.plane.kubectl
        await_("there is a ServiceAccount", lambda: kubectl("get", "sa", "default", "-n", NAMESPACE, check=False))
        kubectl("create", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(pod))
        _patch_status(self.stack, "pod", name, {"status": {"phase": "Running"}}, "-n", NAMESPACE)

    def user(self, name: str, *grants: str) -> Path:
        """The kubeconfig, with a token, of a new ServiceAccount.

        Each grant is ``clusterrole`` for the whole cluster or ``clusterrole@namespace``.
        """
        kubectl = self.stack.plane.kubectl
        kubectl("create", "serviceaccount", name, "-n", "default")
        self._made.append(("serviceaccount", name, "-n", "default"))
        account = f"--serviceaccount=default:{name}"
        for number, grant in enumerate(grants):
            role, _, namespace = grant.partition("@")
            kind, where = ("rolebinding", ("-n", namespace)) if namespace else ("clusterrolebinding", ())
            kubectl("create", kind, f"{name}-{number}", f"--clusterrole={role}", account, *where)
            self._made.append((kind, f"{name}-{number}", *where))
        return self.stack.plane.kubeconfig_for("default", name)


class FullTables(Endpoints):
    """The stack's operator started anew with its endpoint. It stays as it is at the end."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        super().__enter__()
        self.stack.stop_operator()
        self.start_operator()
        self.make_pod(self.stack.operator.name)
        return self

    def start_operator(self) -> None:
        """Start the operator that was stopped, with its endpoint."""
        self.stack.start_operator({"PVE_EVPN_TABLES": f"127.0.0.1:{self.port}"})


def run(kubeconfig: Path, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """``pve-evpn`` with these arguments, as the user of the kubeconfig. In this process: starting one takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    given = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in {**environment(kubeconfig), **more}.items():
            patch.setenv(name, value)
        patch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))  # read when it is imported
        patch.setattr(sys, "stdin", given)
        status = main(list(arguments))
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def environment(kubeconfig: Path) -> dict[str, str]:
    """The variables of a user's ``pve-evpn``."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": str(kubeconfig)}


def _patch_status(stack: Stack, kind: str, name: str, patch: dict[str, Any], *where: str) -> None:
    options = ("--subresource=status", "--type=merge", "-p", json.dumps(patch))
    stack.plane.kubectl("patch", kind, name, *where, *options)


class Kubelet:
    """Forwards ports of every pod to the same port of this machine, as the kubelet does over websockets.

    Protocol: https://github.com/kubernetes/kubernetes, staging/src/k8s.io/cri-streaming/pkg/streaming/portforward
    (``v4.channel.k8s.io``): per port a channel for data and one for errors, each begun with the port's two bytes.
    """

    def __init__(self, certificates: Path) -> None:
        self._certificates = certificates
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self.port = free_port()

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)

    def close(self) -> None:
        if self._runner:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificates / "server.crt", self._certificates / "server.key")
        app = web.Application()
        app.router.add_get("/portForward/{namespace}/{pod}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()

    async def _forward(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        port = int(request.query["port"])
        for channel in (b"\0", b"\1"):
            await socket.send_bytes(channel + port.to_bytes(2, "little"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def back() -> None:
            while data := await reader.read(65536):
                await socket.send_bytes(b"\0" + data)
            await socket.close()

        returning = asyncio.create_task(back())
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[:1] == b"\0":
                writer.write(message.data[1:])
                await writer.drain()
        returning.cancel()
        writer.close()
        return socket
