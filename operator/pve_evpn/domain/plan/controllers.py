"""Which controllers Proxmox takes beside each other.

Since 9.2 a cluster may have several EVPN controllers. Their peer groups need names of their own, all that run on a node
need one ASN, and so do a node's sessions within an AS, those of a BGP controller included. Proxmox says no when it is
written to, in the midst of a transaction; here it is known before, and which other controller stands in the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from pve_evpn.domain.sdn import Props, SdnRef

#: The peer group Proxmox takes where none is named.
PEER_GROUP = "VTEP"


class Controller(Protocol):
    """What is wanted, or what is there."""

    @property
    def ref(self) -> SdnRef: ...
    @property
    def type(self) -> str: ...
    @property
    def props(self) -> Props: ...


def conflict(wanted: Controller, others: Iterable[Controller], members: Iterable[str]) -> str:
    """Why ``wanted`` cannot be beside the others; empty if it can. ``members`` are the cluster's nodes."""
    members = frozenset(members)
    own, nodes = wanted.props, _nodes(wanted.props, members)
    for other in sorted(others, key=lambda one: one.ref):
        name, there = repr(other.ref.id), other.props
        same_asn = there.get("asn") == own.get("asn")
        if other.type == "evpn":
            if _group(own) == _group(there):
                return f"peerGroupName: {_group(own)!r} is that of controller {name}; it needs another one"
            if not same_asn and (both := nodes & _nodes(there, members)):
                return (
                    f"asn: controller {name} has AS {there.get('asn')} on {', '.join(sorted(both))}; "
                    "all EVPN controllers of a node have the same"
                )
        internal = _within(own) and not there.get("ebgp")
        if other.type == "bgp" and internal and not same_asn and there.get("node") in nodes:
            return (
                f"asn: BGP controller {name} has sessions within AS {there.get('asn')} on {there.get('node')}; "
                "a node has one AS for these (or bgpMode: External)"
            )
    return ""


def _group(props: Props) -> str:
    return str(props.get("peer-group-name", PEER_GROUP))


def _within(props: Mapping[str, object]) -> bool:
    """Whether its sessions are within its AS."""
    return props.get("bgp-mode") != "external"


def _nodes(props: Props, members: frozenset[str]) -> frozenset[str]:
    return frozenset(props.get("nodes") or members)
