"""Which addresses of nodes are asked at all.

Proxmox names its nodes' addresses. A Proxmox in hostile hands could name any other: of the cloud's metadata service, of
the operator's own pod, of a neighbour. Only addresses inside allowed networks are asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

from pve_evpn.observe.source import NodeTarget, NodeUnreadable

#: Where the ProxmoxCluster names no networks: private ones (RFC 1918, RFC 6598, RFC 4193).
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")


class Reach:
    """Says where a node is asked.

    Args:
        networks: ``observe.allowedNetworks``; None for the private ones and the endpoints that are addresses.
        endpoints: ``endpoints`` of the ProxmoxCluster.
    """

    def __init__(self, networks: Iterable[str] | None, endpoints: Iterable[str]) -> None:
        allowed = [*PRIVATE, *_addresses(endpoints)] if networks is None else networks
        self._allowed = tuple(ipaddress.ip_network(text) for text in allowed)

    def __call__(self, node: NodeTarget) -> str:
        """The address to ask the node at. Raises `NodeUnreadable`."""
        try:
            address = ipaddress.ip_address(anywhere(node))
        except ValueError:
            raise NodeUnreadable("NotConfigured", f"what Proxmox names as address of {node.name} is none") from None
        if getattr(address, "scope_id", None) or not any(address in network for network in self._allowed):
            message = f"{address} of {node.name} is in none of observe.allowedNetworks of the ProxmoxCluster"
            raise NodeUnreadable("NotConfigured", message)
        return str(address)


def _addresses(endpoints: Iterable[str]) -> Iterable[str]:
    for endpoint in endpoints:
        with suppress(ValueError):
            yield str(ipaddress.ip_address(urlsplit(endpoint).hostname or ""))


def anywhere(node: NodeTarget) -> str:
    """The address as it is, where no one else names it."""
    if not node.address:
        raise NodeUnreadable("NotConfigured", f"no address of {node.name} is known")
    return node.address
