"""Writes a status: what differs and nothing else, and remembers the answer. What it says is decided in ``domain``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pve_evpn.domain.objects import Resource
from pve_evpn.domain.status.sdn import patch_for
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.ports import Objects


async def write_status(resource: Resource[Any], status: Mapping[str, Any], cache: Cache, objects: Objects) -> None:
    """No request where nothing differs."""
    if patch := patch_for(resource, status):
        raw = await objects.patch_status(resource.key, patch)
        if raw:
            cache.upsert(raw)
