"""What Kubernetes has of this API, read with the caller's own rights, as the operator's cache would have it."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException

from pve_evpn.cli.failures import Refusal
from pve_evpn.engine.cache import NAMESPACE, WATCHED, Cache
from pve_evpn.kube.client import CustomObjects, api_client

#: Answers that mean "not for you" and "not installed".
_LEFT_OUT = (403, 404)


def add_arguments(parser: Any) -> None:
    """Whether Kubernetes is asked at all."""
    parser.add_argument(
        "--offline", action="store_true",
        help="do not ask Kubernetes; what Proxmox has under the names of the manifests counts as managed",
    )  # fmt: skip


@asynccontextmanager
async def kubernetes(arguments: argparse.Namespace) -> AsyncIterator[client.ApiClient | None]:
    """A client by the caller's kubeconfig; None with --offline, or where there is no kubeconfig."""
    if arguments.offline:
        yield None
        return
    logging.getLogger("kubernetes.aio.config").setLevel(logging.ERROR)  # no kubeconfig is no warning here
    async with AsyncExitStack() as stack:
        try:
            api = await stack.enter_async_context(api_client())
        except ConfigException:
            api = None
        yield api


async def read_cache(api: client.ApiClient) -> tuple[Cache, list[str]]:
    """Every object of this API and the namespaces' labels; and the kinds that the caller may not list."""
    cache, custom, unread = Cache(), CustomObjects(api), list[str]()

    async def read(kind: str) -> None:
        try:
            items, version = await (custom.namespaces() if kind == NAMESPACE else custom.list_all(kind))
        except ApiException as error:
            if error.status not in _LEFT_OUT:
                raise
            unread.append(kind)
            return
        cache.replace(kind, items, version)

    await asyncio.gather(*map(read, (*WATCHED, NAMESPACE)))
    return cache, sorted(unread)


def one_cluster(names: set[str], asked: str) -> str:
    """The cluster that is meant. Raises Refusal where it is not clear."""
    if asked:
        return asked
    if len(names) != 1:
        what = f"there are {len(names)} ProxmoxClusters ({', '.join(sorted(names))})" if names else "no ProxmoxCluster"
        raise Refusal(f"{what}: name one with --cluster")
    return next(iter(names))
