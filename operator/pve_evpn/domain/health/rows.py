"""A node's BGP sessions and VNIs field by field, for whatever lists them: statuses, and the full tables. Pure.

The names are those of the statuses' models (``api.node``), in which the full tables are spelled too. A row adds what
only it has.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict

from pve_evpn.domain.health.expected import ExpectedOverlay
from pve_evpn.domain.observation import NodeObservation, PeerState, VniRow


class SessionFields(TypedDict):
    """One BGP session; ``None`` for what the source does not say."""

    address: str
    remote_as: int | None
    state: str
    since: datetime | None
    prefixes_received: int | None
    prefixes_sent: int | None
    last_error: str | None


class VniFields(TypedDict):
    """One VNI; ``vnet`` is the VNet or zone in Proxmox that has it."""

    vni: int
    type: Literal["L2", "L3"]
    vnet: str | None
    macs: int | None
    arp_nd: int | None
    tenant_vrf: str | None


def session_fields(peer: PeerState, since: datetime | None) -> SessionFields:
    """A session.

    Args:
        peer: As the node shows it.
        since: When it last changed, which a status may have to keep from before.
    """
    return {
        "address": peer.address,
        "remote_as": peer.remote_as,
        "state": peer.state,
        "since": since,
        "prefixes_received": peer.prefixes_received,
        "prefixes_sent": peer.prefixes_sent,
        "last_error": peer.last_error,
    }


def vni_fields(row: VniRow, expected: ExpectedOverlay) -> VniFields:
    """A VNI with the name it has in Proxmox."""
    return {
        "vni": row.vni,
        "type": row.type,
        "vnet": expected.names.get(row.vni),
        "macs": row.macs,
        "arp_nd": row.arp_nd,
        "tenant_vrf": row.tenant_vrf,
    }


def bfd_states(node: NodeObservation) -> dict[str, str]:
    """State of the BFD session by the peer's address; none where BFD is not seen."""
    return {session.peer: session.status for session in node.bfd_peers or ()}
