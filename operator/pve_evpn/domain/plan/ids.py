"""Readable Proxmox names for new objects whose own name Proxmox does not take: ``lab-a`` becomes ``laba``. Pure.

Proxmox' names are short and shared by all namespaces. A name that consists of the letters and digits of
``metadata.name`` tells people which object it is; where it is in use already, the name is a hash
(:func:`~pve_evpn.domain.objects.proxmox_id`). Once an object has a name (``status.id``), it keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pve_evpn.api.kinds import KINDS
from pve_evpn.api.types import INTERFACE_NAMES
from pve_evpn.domain.objects import Desired, Resource, has_own_id, hashed_id, oldest_first, proxmox_id, sdn_kind_of
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState


def with_readable_ids(
    desired: Desired, state: ClusterState, journal: frozenset[SdnRef], chosen: Mapping[str, str]
) -> tuple[Desired, Mapping[str, str]]:
    """The desired objects with ``derived_id`` where one is needed, and what was chosen, by uid.

    Args:
        journal: Objects that an interrupted transaction was creating: their names are not in use by others.
        chosen: What was chosen before, and perhaps is in no status yet.
    """
    nameless = [r for r in oldest_first(desired) if r.spec and sdn_kind_of(r.key) and not has_own_id(r)]
    if not nameless:
        return desired, {}
    names = _Names(state, journal, set(_others(desired, state, {resource.uid for resource in nameless})))
    found: dict[str, str] = {}
    for resource in sorted(nameless, key=lambda r: r.deleting):
        kind = SdnKind(KINDS[resource.key.kind].sdn_kind)
        if id_ := chosen.get(resource.uid) or names.readable(resource, kind):
            found[resource.uid] = id_
            names.others.add((kind, id_.casefold()))
    members: dict[str, Any] = {
        field: tuple(replace(r, derived_id=found.get(r.uid, "")) for r in getattr(desired, field))
        for field in {KINDS[resource.key.kind].desired_as for resource in nameless}
    }
    return replace(desired, **members), found


def _others(desired: Desired, state: ClusterState, nameless: set[str]) -> Iterator[tuple[SdnKind, str]]:
    """Names of other objects, and of interfaces of the nodes."""
    for resource in desired:
        if (kind := sdn_kind_of(resource.key)) and resource.uid not in nameless:
            yield kind, proxmox_id(resource).casefold()
    for node in state.nodes.values():
        for interface in node.interfaces or ():
            yield SdnKind.VNET, interface.casefold()


@dataclass
class _Names:
    """Which names are in use. ``others`` grows while names are given."""

    state: ClusterState
    journal: frozenset[SdnRef]
    others: set[tuple[SdnKind, str]]

    def readable(self, resource: Resource[Any], kind: SdnKind) -> str:
        """The name from letters and digits, if it is one and free; empty where the hash is to be used."""
        name = re.sub(r"[^a-z0-9]", "", resource.key.name)
        if not KINDS[resource.key.kind].accepts_id(name) or (kind, name) in self.others:
            return ""
        if kind is SdnKind.VNET and INTERFACE_NAMES.matches(name):
            return ""
        hashed = SdnRef(kind, hashed_id(resource.key.namespace, resource.key.name))
        if self._is_there(hashed) or hashed in self.journal:
            return ""  # the object has had that name since before its status was lost
        ref = SdnRef(kind, name)
        # The annotation is written ahead of the first write. Whether it is believed is decided as for any other name.
        is_its_own = ref in self.journal or resource.origin is not None
        return name if is_its_own or not self._is_there(ref) else ""

    def _is_there(self, ref: SdnRef) -> bool:
        sdn = self.state.sdn
        return ref in sdn.edited or ref in sdn.running
