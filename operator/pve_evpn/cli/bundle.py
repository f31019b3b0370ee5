"""``pve-evpn bundle``: one archive for a bug report."""

from __future__ import annotations

import asyncio
import io
import secrets
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn import __version__
from pve_evpn.api.kinds import KINDS
from pve_evpn.cli import options, output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.installation import OPERATOR_NAMESPACE, InstallationReader
from pve_evpn.cli.reading import REPORTER
from pve_evpn.cli.report.bundle import Material, Raw, files_of
from pve_evpn.kube.client import CustomObjects, api_client

_LOG_LINES = 20_000
_METRICS_PORT = "http"


app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn bundle --anonymise -f report.tar.gz")
def bundle(
    file: Annotated[
        str,
        typer.Option("--file", "-f", metavar="FILE", help="The archive.", show_default="pve-evpn-bundle-TIME.tar.gz"),
    ] = "",
    anonymise: Annotated[
        bool, typer.Option("--anonymise", help="Replace names, addresses and MAC addresses by pseudonyms.")
    ] = False,
    operator_namespace: options.OperatorNamespace = OPERATOR_NAMESPACE,
) -> int:
    """Write objects, statuses, Events, the operator's logs and metrics, versions and transactions into one archive. As
    far as you may read them. Secrets are never read.
    """
    return guarded(_bundle(file, operator_namespace, anonymise=anonymise))


async def _bundle(file: str, operator_namespace: str, *, anonymise: bool) -> int:
    now = datetime.now(UTC)
    path = Path(file or f"pve-evpn-bundle-{now:%Y%m%d-%H%M%S}.tar.gz")
    with output.working("reading objects and Events") as doing:
        async with api_client() as api:
            material = await _Reading(api, operator_namespace, doing).everything()
        doing("writing the archive")
        files = files_of(material, secrets.token_bytes(32) if anonymise else None)
        _write(path, files, now)
    print(f"{path}: {len(files)} files")
    for what, why in material.unread.items():
        print(f"  not read: {what}: {why}")
    if not anonymise:
        print("  It shows names and addresses of your network; --anonymise replaces them.")
    return 0


def _write(path: Path, files: dict[str, str], now: datetime) -> None:
    folder = path.name.removesuffix(".gz").removesuffix(".tar")
    try:
        with tarfile.open(path, mode="w:gz") as archive:
            for name, text in files.items():
                content = text.encode()
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(now.timestamp()), 0o600
                archive.addfile(entry, io.BytesIO(content))
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from None


class _Reading(InstallationReader):
    """Everything for a bundle. ``doing`` is called with what is read next."""

    def __init__(self, api: client.ApiClient, namespace: str, doing: Callable[[str], None]) -> None:
        super().__init__(api, namespace)
        self._doing = doing

    async def everything(self) -> Material:
        custom = CustomObjects(self.api)

        async def listed(kind: str) -> list[Raw]:
            items, _ = await custom.list_all(kind)
            return list(items)

        found = await asyncio.gather(*(self.attempt(kind, partial(listed, kind), []) for kind in KINDS))
        objects = dict(zip(KINDS, found, strict=True))
        events = await self.attempt("events", self._events, [])
        pods = await self.attempt("pods", self.pods, [])
        if not pods and "pods" not in self.unread:
            self.unread["logs"] = f"no pod of the operator is in namespace {self.namespace} (--operator-namespace)"
        texts: dict[str, str] = {}
        for pod in pods:
            self._doing(f"reading logs and metrics of {pod.metadata.name}")
            texts.update(await self._of_pod(pod.metadata.name))
        return Material(objects, events, await self._versions(pods), texts, self.unread)

    async def _events(self) -> list[Raw]:
        answer = await client.EventsV1Api(self.api).list_event_for_all_namespaces(
            field_selector=f"reportingController={REPORTER}"
        )
        return [self.api.sanitize_for_serialization(item) for item in answer.items]

    async def _of_pod(self, name: str) -> dict[str, str]:
        core, place = client.CoreV1Api(self.api), self.namespace
        texts: dict[str, str] = {}

        async def log(previous: bool) -> str:
            return str(await core.read_namespaced_pod_log(name, place, tail_lines=_LOG_LINES, previous=previous))

        async def metrics() -> str:
            target = f"{name}:{_METRICS_PORT}"
            return str(await core.connect_get_namespaced_pod_proxy_with_path(target, place, "metrics"))

        texts[f"logs/{name}.log"] = await self.attempt(f"log of {name}", lambda: log(False), "")
        try:
            texts[f"logs/{name}-previous.log"] = await log(True)
        except ApiException:  # it has never restarted
            texts.pop(f"logs/{name}-previous.log", None)
        texts[f"metrics/{name}.txt"] = await self.attempt(f"metrics of {name}", metrics, "")
        return {file: text for file, text in texts.items() if text}

    async def _versions(self, pods: list[Any]) -> dict[str, str]:
        versions = {"command line": __version__}
        server = await self.attempt("version", lambda: client.VersionApi(self.api).get_code(), None)
        if server is not None:
            versions["kubernetes"] = server.git_version
        for pod in pods:
            versions[f"image of {pod.metadata.name}"] = pod.spec.containers[0].image
        return versions
