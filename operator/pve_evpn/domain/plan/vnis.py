"""Which VNI is whose. L2 and L3 VNIs share one number space on the wire; Proxmox checks each kind by itself only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pve_evpn.api.conditions import Reason
from pve_evpn.api.kinds import ANNOTATION_VNI
from pve_evpn.api.types import VniRange
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, may_name
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef

_NUMBER, _HIGHEST = re.compile(r"[1-9][0-9]{0,7}"), 2**24 - 1

#: Types of zones whose VNets' tags are VNIs. The tag of a VNet in a VLAN or QinQ zone is a VLAN.
_WITH_VNIS = frozenset(["evpn", "vxlan"])


class VniTable:
    """The holders of every VNI: objects in either copy of Proxmox' configuration, and desired objects.

    Numbers are only ever added, so the search for a free one goes on where the last one ended.
    """

    def __init__(self, *copies: Mapping[SdnRef, SdnObject]) -> None:
        self._holders: dict[int, dict[SdnRef, ObjectKey | None]] = {}
        self._held: dict[SdnRef, set[int]] = {}
        self._next: dict[tuple[int, int], int] = {}
        for copy in copies:
            for obj in copy.values():
                key = {SdnKind.ZONE: "vrf-vxlan", SdnKind.VNET: "tag"}.get(obj.ref.kind, "")
                zone = copy.get(SdnRef(SdnKind.ZONE, str(obj.props.get("zone") or "")))
                if obj.ref.kind is SdnKind.VNET and zone is not None and zone.type not in _WITH_VNIS:
                    continue
                if number := obj.props.get(key):
                    self._add(int(str(number)), obj.ref, None)

    def claim(self, vni: int, ref: SdnRef, key: ObjectKey) -> None:
        """Record that the desired object ``key`` has the VNI."""
        self._add(vni, ref, key)

    def holder(self, vni: int, *, besides: SdnRef) -> tuple[SdnRef, ObjectKey | None] | None:
        """Another object that has ``vni``, with the desired object it belongs to if there is one; or None."""
        return next((held for held in self._holders.get(vni, {}).items() if held[0] != besides), None)

    def lowest_free(self, range_: VniRange, *, besides: SdnRef) -> int | None:
        """The lowest VNI of the range that no other object has; None if all are in use."""
        bounds = (range_.first, range_.last)
        candidate = self._next.get(bounds, range_.first)
        while candidate <= range_.last and candidate in self._holders:
            candidate += 1
        self._next[bounds] = candidate
        own = [vni for vni in self._held.get(besides, ()) if self.holder(vni, besides=besides) is None]
        return min((vni for vni in (candidate, *own) if range_.first <= vni <= range_.last), default=None)

    def _add(self, vni: int, ref: SdnRef, holder: ObjectKey | None) -> None:
        self._holders.setdefault(vni, {})[ref] = holder
        self._held.setdefault(ref, set()).add(vni)


def annotated_vni(text: str) -> int | Problem:
    """The VNI of an annotation, which users can write. An error says what is wrong with it."""
    if _NUMBER.fullmatch(text) and int(text) <= _HIGHEST:
        return int(text)
    message = f"annotation {ANNOTATION_VNI}: {text[:20]!r} is no VNI (1 to {_HIGHEST}); remove the annotation"
    return Problem(Reason.INVALID_SPEC, message)


def find_vni(
    table: VniTable, ref: SdnRef, key: ObjectKey, known: int | Problem | None, range_: VniRange | None, field: str
) -> int | Problem:
    """The VNI of an object, or why it has none.

    Args:
        key: Who asks, which decides whether the holder of a VNI is named.
        known: As its spec has it, or as it was allocated before; a problem is handed on.
        range_: Where to allocate from.
        field: The field of the spec, for the message.
    """
    if isinstance(known, Problem):
        return known
    if known is not None:
        held = table.holder(known, besides=ref)
        return known if held is None else _conflict(f"{field}: VNI {known}", *held, key)
    if range_ is None:
        return Problem(Reason.INVALID_SPEC, f"{field}: not set, and the zone has no vniRange to take it from")
    free = table.lowest_free(range_, besides=ref)
    if free is None:
        return Problem(Reason.VNI_CONFLICT, f"{field}: every VNI from {range_.first} to {range_.last} is in use")
    return free


def _conflict(what: str, ref: SdnRef, holder: ObjectKey | None, key: ObjectKey) -> Problem:
    detail = f"{what} is already used by {holder or f'Proxmox {ref}'}"
    message = detail if may_name(key, holder) else f"{what} is already in use; choose another one"
    return Problem(Reason.VNI_CONFLICT, message, detail=detail)
