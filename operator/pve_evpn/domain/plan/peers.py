"""Which address each node has in an overlay whose peers are the cluster's own nodes (``underlay.clusterNodes``).

Pure. A node that is switched off, or whose addresses cannot be read, keeps the peer it has in the running
configuration: what cannot be read has not changed. Nothing is guessed here from the address the cluster knows a node
by; within a wide network that may be another than the one it is a peer by.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.domain.state import NodeState, same_form


@dataclass(frozen=True, slots=True)
class ClusterPeers:
    """The nodes of an overlay and what they are known by as peers."""

    own: dict[str, str]
    """Address by node."""
    without: tuple[str, ...]
    """Nodes that have no address in the network."""
    unread: tuple[str, ...]
    """Nodes whose address there cannot be known now."""
    kept: tuple[str, ...]
    """Running peers that belong to these nodes, because they belong to no other."""


def cluster_peers(
    members: Iterable[NodeState], everyone: Iterable[NodeState], cidr: str | None, running: Iterable[str]
) -> ClusterPeers:
    """`members`: the nodes the overlay is on; `everyone`: all of the cluster; `running`: its peers as they are now."""
    own: dict[str, str] = {}
    without = []
    unread: dict[str, NodeState] = {}
    for node in members:
        if not _tells(node, cidr):
            unread[node.name] = node
        elif (address := node.address_in(cidr)) is not None:
            own[node.name] = address
        else:
            without.append(node.name)
    taken = {same_form(text) for node in everyone if node.name not in unread for text in _addresses(node)}
    left = [peer for peer in map(same_form, running) if peer not in taken and _within(peer, cidr)]
    for node in list(unread.values()):
        if (known := same_form(node.address)) in left:
            own[node.name] = known
            left.remove(known)
            del unread[node.name]
    if len(unread) == len(left) == 1:
        own[next(iter(unread))] = left.pop()
        unread.clear()
    return ClusterPeers(own, tuple(without), tuple(unread), tuple(left) if unread else ())


@dataclass(frozen=True, slots=True)
class UnderlayPeers:
    """The peers of a controller. ``addresses`` is None with a fabric, which brings its own.

    ``without``: nodes without a known address; then the addresses are not complete.
    """

    addresses: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()


def underlay_peers(spec: EvpnControllerSpec, nodes: Mapping[str, NodeState], running: Sequence[str]) -> UnderlayPeers:
    """The peers that a spec means: the listed ones, or the cluster's nodes.

    Args:
        nodes: The members of the cluster by name.
        running: The controller's peers as they are now.
    """
    underlay = spec.underlay
    if underlay.peers is not None:
        return UnderlayPeers(tuple(str(ipaddress.ip_address(peer)) for peer in underlay.peers))
    if underlay.cluster_nodes is None:
        return UnderlayPeers()
    cidr = underlay.cluster_nodes.cidr
    members = [node for name, node in sorted(nodes.items()) if spec.nodes is None or name in spec.nodes]
    found = cluster_peers(members, nodes.values(), cidr, running)
    peers, without = [*found.own.values(), *found.kept], list(found.without)
    for name in found.unread if len(found.unread) > len(found.kept) else ():
        # To begin with, the address the cluster knows is the best there is. A peer that runs is not guessed at.
        guess = None if running else nodes[name].address_in(cidr)
        if guess is not None:
            peers.append(guess)
        elif nodes[name].online:
            without.append(name)  # one that is switched off and never was a peer can wait
    return UnderlayPeers(tuple(peers), tuple(without))


def _tells(node: NodeState, cidr: str | None) -> bool:
    """Whether it is known which address the node has, or that it has none."""
    return bool(node.address) if cidr is None else node.addresses is not None


def _addresses(node: NodeState) -> tuple[str, ...]:
    return (*(node.addresses or ()), *((node.address,) if node.address else ()))


def _within(address: str, cidr: str | None) -> bool:
    try:
        return cidr is None or ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    except ValueError:
        return False
