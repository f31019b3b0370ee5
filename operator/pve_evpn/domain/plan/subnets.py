"""Which subnets overlap. The subnets of a zone share a VRF, so an overlap makes one of them unreachable.

Proxmox accepts overlaps. Subnets are kept by their first address, so that a lookup does not visit all of them.
"""

from __future__ import annotations

import functools
import ipaddress
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import NamedTuple

from pve_evpn.domain.sdn import SdnKind, SdnRef

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Space(NamedTuple):
    """The subnets of one zone and IP version."""

    starts: list[tuple[int, SdnRef]]
    """By first address."""
    by_network: dict[tuple[int, int], list[SdnRef]]
    """By first address and prefix length."""
    lengths: set[int]


class SubnetTable:
    """The subnets of all zones, by network."""

    def __init__(self, refs: Iterable[SdnRef]) -> None:
        self._known: set[SdnRef] = set()
        self._spaces: dict[tuple[str, int], _Space] = {}
        for ref in sorted(refs, key=lambda ref: ref.id):
            self.add(ref)

    def add(self, ref: SdnRef) -> None:
        """Add a subnet; whatever is no subnet, or is there already, changes nothing."""
        if ref.kind is not SdnKind.SUBNET or ref in self._known:
            return
        self._known.add(ref)
        network = network_of(ref)
        space = self._spaces.setdefault((zone_of(ref), network.version), _Space([], {}, set()))
        start = int(network.network_address)
        insort(space.starts, (start, ref))
        space.by_network.setdefault((start, network.prefixlen), []).append(ref)
        space.lengths.add(network.prefixlen)

    def overlapping(self, zone_id: str, network: Network) -> list[SdnRef]:
        """The zone's subnets that share an address with ``network``, sorted.

        Two networks overlap only if one contains the other: it begins within ``network``, or is a wider one around it.
        """
        space = self._spaces.get((zone_id, network.version))
        if space is None:
            return []
        first, last = int(network.network_address), int(network.broadcast_address)
        begin = bisect_left(space.starts, first, key=lambda item: item[0])
        end = bisect_right(space.starts, last, key=lambda item: item[0])
        found = {ref for _, ref in space.starts[begin:end]}
        for length in space.lengths:
            if length < network.prefixlen:
                around = int(network.supernet(new_prefix=length).network_address)
                found.update(space.by_network.get((around, length), ()))
        return sorted(found)


@functools.lru_cache(maxsize=65536)
def network_of(ref: SdnRef) -> Network:
    """``10.1.0.0/24`` from the id ``<zone>-10.1.0.0-24``."""
    _, address, length = ref.id.split("-", 2)
    return ipaddress.ip_network(f"{address}/{length}", strict=False)


def zone_of(ref: SdnRef) -> str:
    """The zone a subnet's id begins with."""
    return ref.id.split("-", 1)[0]
