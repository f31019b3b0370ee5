"""What Kubernetes has of this API, read with the caller's own rights, as the operator's cache would have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException

from pve_evpn.cli import output
from pve_evpn.cli.failures import Refusal
from pve_evpn.engine.cache import NAMESPACE, WATCHED, Cache
from pve_evpn.kube.client import CustomObjects, api_client

#: Answers that mean "not for you" and "not installed".
_LEFT_OUT = (403, 404)


@asynccontextmanager
async def kubernetes(*, offline: bool = False) -> AsyncIterator[client.ApiClient | None]:
    """A client by the caller's kubeconfig; None where ``offline``, or where there is no kubeconfig."""
    if offline:
        yield None
        return
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

    with output.working("reading Kubernetes"):
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
