"""``pve-evpn apply-clusters``: ProxmoxClusters from a file into Kubernetes, for a chart that lists some in its values.

Server-side apply, so that it can be repeated and leaves alone what others set. It waits for the kind to be served,
because the same installation brings it. It deletes nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP, VERSION
from pve_evpn.cli.failures import Refusal, guarded, words_of
from pve_evpn.kube.client import CustomObjects, api_client

_MANAGER = "pve-evpn-values"
_KIND = "ProxmoxCluster"


app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn apply-clusters clusters.yaml --wait 120")
def apply_clusters(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML with ProxmoxClusters.")],
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="For the kind to be served.")] = 60.0,
) -> int:
    """Apply the ProxmoxClusters of a YAML file, once their kind is served."""
    return guarded(_apply(file, wait))


async def _apply(file: Path, seconds: float) -> int:
    clusters = _read(file)
    deadline, status = time.monotonic() + seconds, 0
    async with api_client() as api:
        custom = CustomObjects(api)
        for cluster in clusters:
            name = cluster["metadata"]["name"]
            try:
                await _when_served(custom, cluster, deadline)
                print(f"{_KIND} {name}: applied")
            except ApiException as error:
                print(f"{_KIND} {name}: {_words(error)}", file=sys.stderr)
                status = 1
    return status


async def _when_served(custom: CustomObjects, cluster: dict[str, Any], deadline: float) -> None:
    while True:
        try:
            await custom.apply(_KIND, cluster, _MANAGER)
            return
        except ApiException as error:
            if error.status != 404 or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.5)


def _read(file: Path) -> list[dict[str, Any]]:
    """The file's objects. Raises Refusal for anything that is no ProxmoxCluster."""
    try:
        found = [document for document in yaml.safe_load_all(file.read_text()) if document]
    except (OSError, yaml.YAMLError) as error:
        raise Refusal(f"{file}: {error}") from None
    for document in found:
        if (document.get("apiVersion"), document.get("kind")) != (f"{GROUP}/{VERSION}", _KIND):
            raise Refusal(f"{file}: only {_KIND} objects of {GROUP}/{VERSION} are applied")
    return found


def _words(error: ApiException) -> str:
    """The API server's own message, which names the field or the right, and what to do about a missing one."""
    if error.status == 404:
        return "its kind is not served: install the kinds (crds.enabled=true, or kubectl apply -f crds/)"
    said = words_of(error)
    if error.status in (401, 403):
        return f"{said}. The ServiceAccount needs create and patch of proxmoxclusters (rbac.create=true grants it)"
    return said
