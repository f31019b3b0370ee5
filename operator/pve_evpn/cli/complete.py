"""What the shell offers for names: read from the cluster with the caller's rights, and nothing where that takes long.

A completion that fails prints nothing: it would stand in the middle of the user's command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import typer

from pve_evpn.api.kinds import KINDS

#: Seconds that the user waits at most.
_PATIENCE = 2.0


def objects(ctx: typer.Context, incomplete: str) -> list[str]:
    """``vnet/`` and so on until one kind is left, then its objects."""
    begun, slash, _ = incomplete.partition("/")
    words = {word: kind for kind in KINDS.values() for word in (kind.singular, kind.plural, *kind.short_names)}
    if slash:
        found = {words[begun].name: begun} if begun in words else {}
    else:
        found = {}
        for word, kind in words.items():  # the first of a kind's words that begins like that, which is the best one
            if word.startswith(begun):
                found.setdefault(kind.name, word)
        if len(found) != 1:
            return sorted(f"{word}/" for word in found.values())
    return [f"{word}/{name}" for kind, word in found.items() for name in _names(kind, _namespace(ctx))]


def vnets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of VNets."""
    return [name for name in _names("VNet", _namespace(ctx)) if name.startswith(incomplete)]


def clusters(incomplete: str) -> list[str]:
    """Names of ProxmoxClusters."""
    return [name for name in _names("ProxmoxCluster") if name.startswith(incomplete)]


def nodes(incomplete: str) -> list[str]:
    """Names of nodes in Proxmox."""
    found = {str(item["spec"]["node"]) for item in _items("EvpnNode")}
    return sorted(name for name in found if name.startswith(incomplete))


def namespaces(incomplete: str) -> list[str]:
    """Names of namespaces."""
    return [name for name in _names("Namespace") if name.startswith(incomplete)]


def _namespace(ctx: typer.Context) -> str:
    return str(ctx.params.get("namespace") or "")


def _names(kind: str, namespace: str = "") -> list[str]:
    return sorted({str(item["metadata"]["name"]) for item in _items(kind, namespace)})


def _items(kind: str, namespace: str = "") -> list[Any]:
    """The objects of a kind; none where they may not be listed, or Kubernetes does not answer at once."""
    from pve_evpn.kube.client import CustomObjects, api_client

    async def read() -> list[Any]:
        async with asyncio.timeout(_PATIENCE), api_client() as api:
            custom = CustomObjects(api)
            if kind == "Namespace":
                items, _ = await custom.namespaces()
            else:
                items, _ = await custom.list_all(kind, namespace if KINDS[kind].scope == "Namespaced" else "")
            return items

    logging.disable()
    with contextlib.suppress(Exception):
        return asyncio.run(read())
    return []
