"""Which BGP sessions a controller's configuration asks for, by what the nodes show of their addresses. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from pve_evpn.domain.health.expected import ExpectedController, ExpectedSessions
from pve_evpn.domain.observation import ClusterObservation, NodeObservation
from pve_evpn.domain.state import same_form


def expected_sessions(controller: ExpectedController, observation: ClusterObservation) -> ExpectedSessions:
    """The sessions that a controller asks for.

    Addresses that Proxmox lists show that a node is a peer, and never that it is none: a VTEP may be on a loopback that
    Proxmox does not list, and the peers may be route reflectors. So what the nodes show counts too: their VTEP
    addresses, their router ids, the names that peers call themselves, and their established sessions.
    """
    if controller.peers is not None:
        found = _sessions_with(controller.peers, controller.addresses, observation)
    else:
        found = _sessions_among(controller.addresses, observation)
    return replace(found, outsiders=controller.outsiders, running=controller.running)


def _sessions_with(
    peers: Collection[str], addresses: Mapping[str, Collection[str] | None], observation: ClusterObservation
) -> ExpectedSessions:
    """Peers are listed: every node has all of them as neighbours, except its own address."""
    listed_ = [same_form(peer) for peer in peers]
    answered = observation.answered()
    names = _names_of_peers(answered)
    own: dict[str, str] = {}
    for node, known in addresses.items():
        here = {same_form(address) for address in known or ()}
        if node in answered:
            here |= set(map(same_form, answered[node].own_addresses))
        here |= {address for address, name in names.items() if name == node}
        if (found := next((peer for peer in listed_ if peer in here), None)) is not None:
            own[node] = found
    own |= _left_out(listed_, [node for node in addresses if node not in own], own, answered)
    missing, undetermined, clients = [], [], []
    for node, known in addresses.items():
        if node in own:
            continue
        observed = answered.get(node)
        if observed is not None and _established_with(observed, listed_):
            clients.append(node)
        elif known is None or observed is None or observed.peers is None or observed.bgp_running is False:
            undetermined.append(node)
        else:
            missing.append(node)
    if clients or len(missing) > len(own):
        # Nodes that are no peer have sessions, or most are none: the peers are reflectors, and a node without any
        # session has lost them.
        clients, missing = [*clients, *missing], []
    return _mesh(listed_, own, [*own, *clients, *missing], missing, undetermined)


def _sessions_among(
    addresses: Mapping[str, Collection[str] | None], observation: ClusterObservation
) -> ExpectedSessions:
    """Peers are the nodes' own addresses: a fabric's, or the cluster's. No address: the node is not in it."""
    answered = observation.answered()
    configured = {same_form(address) for known in addresses.values() for address in known or ()}
    own: dict[str, str] = {}
    missing, undetermined = [], []
    for node, known in addresses.items():
        observed = answered.get(node)
        if known:
            own[node] = same_form(next(iter(known)))
        elif known is None and observed is not None and len(observed.vteps) == 1:
            own[node] = same_form(min(observed.vteps))  # of several it is not known which is this controller's
        elif observed is not None and observed.router_id and _established_with(observed, configured):
            own[node] = same_form(min(observed.vteps) if len(observed.vteps) == 1 else observed.router_id)
        elif known is None:
            undetermined.append(node)
        else:
            missing.append(node)
    return _mesh(list(own.values()), own, list(own), missing, undetermined)


def _mesh(
    peers: list[str], own: dict[str, str], speakers: list[str], missing: list[str], undetermined: list[str]
) -> ExpectedSessions:
    names = {address: node for node, address in own.items()}
    sessions = {node: {peer: names.get(peer) for peer in peers if peer != own.get(node)} for node in speakers}
    return ExpectedSessions(sessions, own, tuple(sorted(missing)), tuple(sorted(undetermined)))


def _names_of_peers(answered: Mapping[str, NodeObservation]) -> dict[str, str]:
    """By address the name that a peer called itself. FRR on a Proxmox node uses the node's name."""
    return {
        same_form(peer.address): peer.hostname
        for node in answered.values()
        for peer in node.peers or ()
        if peer.hostname and peer.established
    }


def _established_with(node: NodeObservation, peers: Collection[str]) -> bool:
    """Whether a node has an established session with one of the peers: then the others have it as a neighbour."""
    return any(peer.established and same_form(peer.address) in peers for peer in node.peers or ())


def _left_out(
    peers: Collection[str], nodes: Iterable[str], own: Mapping[str, str], answered: Mapping[str, NodeObservation]
) -> dict[str, str]:
    """The peer that a node has left out of its neighbours: Proxmox leaves out the node's own address.

    Only where the node has all the others as neighbours, and no second node leaves out the same one: that is a peer
    which has not been applied yet.
    """
    found: dict[str, str] = {}
    for name in nodes:
        node = answered.get(name)
        if node is None or not _established_with(node, peers):
            continue
        neighbours = {same_form(peer.address) for peer in node.peers or ()}
        absent = [peer for peer in peers if peer not in neighbours]
        if len(absent) == 1 and absent[0] not in own.values():
            found[name] = absent[0]
    claims = Counter(found.values())
    return {name: address for name, address in found.items() if claims[address] == 1}
