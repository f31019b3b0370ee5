"""The objects a command line names: found, listed, changed one by one, and what stays in Proxmox without them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import KINDS, Kind
from pve_evpn.cli.failures import Refusal
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.client import CustomObjects

Raw = Mapping[str, Any]
DRY_RUN = "Nothing was changed. Add --yes to do it."


@dataclass(frozen=True, slots=True)
class Named:
    """What a command line says of the objects to change. ``objects``: as KIND/NAME."""

    objects: Sequence[str]
    namespace: str
    yes: bool


async def change_each(
    objects: Iterable[tuple[ObjectKey, Raw]], act: Callable[[ObjectKey, Raw], Awaitable[bool]], done: str
) -> int:
    status = 0
    for key, raw in objects:
        if await act(key, raw):
            print(f"{key}: {done}")
        else:
            print(f"{key}: it was changed or deleted meanwhile; run the command again", file=sys.stderr)
            status = 1
    return status


async def find(custom: CustomObjects, names: Iterable[str], namespace: str) -> list[tuple[ObjectKey, Raw]]:
    """The named objects, in the order of the command line."""
    found: list[tuple[ObjectKey, Raw]] = []
    for text in names:
        kind, _, name = text.partition("/")
        known = kind_of(kind)
        key = ObjectKey(known.name, namespace if known.scope == "Namespaced" else "", name)
        if not name:
            raise Refusal(f"name the object as KIND/NAME, such as {kind}/NAME")
        raw = await custom.read(key)
        if raw is None:
            raise Refusal(f"there is no {key}")
        found.append((key, raw))
    return found


async def list_kind(custom: CustomObjects, kind: str) -> list[dict[str, Any]]:
    """Every object of a kind; none where the kind itself is gone."""
    try:
        items, _ = await custom.list_all(kind)
    except ApiException as error:
        if error.status == 404:
            return []
        raise
    return items


def key_of(kind: str, raw: Raw) -> ObjectKey:
    return ObjectKey(kind, raw["metadata"].get("namespace", ""), raw["metadata"]["name"])


def kind_of(text: str) -> Kind:
    """The kind by any name kubectl takes for it. Raises Refusal."""
    for kind in KINDS.values():
        if text.lower() in (kind.singular, kind.plural, *kind.short_names):
            return kind
    raise Refusal(f"{text!r} is none of {', '.join(kind.singular for kind in KINDS.values())}")


def left_behind(raw: Raw) -> str:
    """What stays in Proxmox when the object goes without the operator's care."""
    status = raw.get("status") or {}
    if "endpoints" in (raw.get("spec") or {}):
        return "it has no object in Proxmox"
    if status.get("vmid") and status.get("device"):
        return f"{status['device']} of guest {status['vmid']} stays on {status.get('vnet') or 'its bridge'}"
    if status.get("id") and status.get("origin"):
        subnets = [row["id"] for row in status.get("subnets") or ()]
        more = f" and its subnets {', '.join(subnets)}" if subnets else ""
        return f"{status['id']}{more} stays in Proxmox"
    return "no object in Proxmox is known of it"
