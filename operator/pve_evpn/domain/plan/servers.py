"""The servers outside that Proxmox asks while it writes a subnet: the IPAM and the DNS servers of its zone.

Proxmox registers the subnet and its gateway before it answers (pve-network: Subnets.pm, add_subnet, update_subnet,
del_subnet). Its built-in IPAM is no server.
"""

from __future__ import annotations

from collections.abc import Mapping

from pve_evpn.api.service import BUILT_IN_IPAM
from pve_evpn.domain.plan.ownership import BUILT_IN
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, parents_of

#: What messages call them.
SERVER_WORDS = {SdnKind.IPAM: "IPAM", SdnKind.DNS: "DNS server"}


def servers_of(subnet: SdnObject, objects: Mapping[SdnRef, SdnObject]) -> tuple[SdnRef, ...]:
    """The servers that a write of the subnet asks; none where its zone names none.

    Args:
        objects: Where its VNet, the zone and the services are found. A service that is missing may be one that the
            credentials do not see.
    """
    vnet = objects.get(SdnRef(SdnKind.VNET, subnet.parent))
    zone = objects.get(SdnRef(SdnKind.ZONE, str(vnet.props.get("zone")))) if vnet else None
    return servers_of_zone(zone, objects) if zone else ()


def servers_of_zone(zone: SdnObject, objects: Mapping[SdnRef, SdnObject]) -> tuple[SdnRef, ...]:
    """The IPAM and the DNS servers that a zone names, without IPAMs of Proxmox' own."""
    named = [ref for ref in parents_of(zone) if ref.kind in SERVER_WORDS]
    return tuple(ref for ref in named if not _is_own(ref, objects))


def _is_own(ref: SdnRef, objects: Mapping[SdnRef, SdnObject]) -> bool:
    service = objects.get(ref)
    return ref == BUILT_IN or (service is not None and service.type == BUILT_IN_IPAM)


def in_words(server: SdnRef) -> str:
    """``the IPAM nb1``."""
    return f"the {SERVER_WORDS[server.kind]} {server.id}"
