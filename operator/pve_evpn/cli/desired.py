"""What Kubernetes has of this API, read with the caller's own rights, as the operator's cache would have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException

from pve_evpn.api.kinds import KINDS
from pve_evpn.cli import output
from pve_evpn.cli.failures import Refusal
from pve_evpn.engine.cache import NAMESPACE, WATCHED, Cache
from pve_evpn.kube.client import CustomObjects, api_client

#: Answers that mean "not for you" and "not installed".
_FORBIDDEN, _LEFT_OUT = 403, (403, 404)


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


@dataclass(frozen=True, slots=True)
class Read:
    """What Kubernetes has, as far as the caller may list it.

    ``unread``: kinds that the caller may not list. ``partly``: those that it may list in ``namespaces`` only.
    """

    cache: Cache = field(default_factory=Cache)
    unread: tuple[str, ...] = ()
    partly: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return not self.unread and not self.partly


async def read_cache(api: client.ApiClient, namespaces: Iterable[str] = ()) -> Read:
    """Every object of this API and the namespaces' labels.

    Args:
        namespaces: Read these one by one where the caller may not list a kind in all of them.
    """
    cache, custom = Cache(), CustomObjects(api)
    unread, partly, known = list[str](), list[str](), tuple(sorted(set(namespaces)))

    async def read(kind: str) -> None:
        try:
            items, version = await (custom.namespaces() if kind == NAMESPACE else custom.list_all(kind))
        except ApiException as error:
            if error.status not in _LEFT_OUT:
                raise
            found = await _in_namespaces(custom, kind, known) if error.status == _FORBIDDEN else None
            (unread if found is None else partly).append(kind)
            items, version = found or [], 0
        cache.replace(kind, items, version)

    with output.working("reading Kubernetes"):
        await asyncio.gather(*map(read, (*WATCHED, NAMESPACE)))
    return Read(cache, tuple(sorted(unread)), tuple(sorted(partly)), known)


async def _in_namespaces(custom: CustomObjects, kind: str, namespaces: Collection[str]) -> list[dict[str, Any]] | None:
    """The objects of a kind in these namespaces; None where the caller may not list it in one of them."""
    if not namespaces or (kind != NAMESPACE and KINDS[kind].scope == "Cluster"):
        return None
    try:
        if kind == NAMESPACE:
            return list(await asyncio.gather(*map(custom.namespace, namespaces)))
        lists = await asyncio.gather(*(custom.list_all(kind, namespace) for namespace in namespaces))
    except ApiException as error:
        if error.status not in _LEFT_OUT:
            raise
        return None
    return [item for items, _ in lists for item in items]


def one_cluster(names: set[str], asked: str, unread: Collection[str] = ()) -> str:
    """The cluster that is meant. Raises Refusal where it is not clear. ``unread``: kinds that may not be listed."""
    if asked:
        return asked
    if len(names) != 1:
        what = f"there are {len(names)} ProxmoxClusters ({', '.join(sorted(names))})" if names else "no ProxmoxCluster"
        unseen = f" (you may not list {', '.join(unread)})" if unread and not names else ""
        raise Refusal(f"{what}{unseen}: name one with --cluster")
    return next(iter(names))
