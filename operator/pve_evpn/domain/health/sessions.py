"""Who should have a BGP session with whom, and who has.

Pure: the controller's spec and the nodes' looks in, counts and named problems out. It writes no conditions. A node
that could not be observed is *unseen*: its sessions are neither up nor down, and others' sessions with it are judged
by what the others say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pve_evpn.domain.observation import (
    ClusterObservation,
    NodeLook,
    NodeObservation,
    PeerState,
    failure_in,
)
from pve_evpn.domain.state import same_form

#: What FRR goes through again and again while a peer does not answer (RFC 4271, 8.2.2).
_TRYING = frozenset({"Idle", "Connect", "Active", "OpenSent", "OpenConfirm"})
#: FRR computes the time of a session's last change from its age anew each time, so it wanders by a second.
_JITTER = timedelta(seconds=2)


class SessionProblemKind(StrEnum):
    """What is wrong with a controller's sessions; the words are reasons of condition Operational."""

    SESSION_DOWN = "SessionDown"
    NODE_MISSING_FROM_PEERS = "NodeMissingFromPeers"
    OBSERVATION_STALE = "ObservationStale"


@dataclass(frozen=True, slots=True)
class ExpectedSessions:
    """The full mesh a controller's configuration asks for."""

    sessions: Mapping[str, Mapping[str, str | None]]
    """Per node: peer address to the peer's node name, ``None`` where no node of the cluster has that address."""
    vteps: Mapping[str, str]
    """Per node: its own address in the overlay."""
    missing: tuple[str, ...] = ()
    """Nodes that are to be in the overlay and have no address among the peers: cut off, and nobody complains."""
    undetermined: tuple[str, ...] = ()
    """Nodes whose addresses are not known, so that it cannot be said which peer they are."""
    outsiders: Mapping[str, str] = field(default_factory=dict)
    """By address the nodes of the cluster that are not in this overlay."""
    running: bool = True
    """Whether Proxmox runs the controller at all; before, nobody can have these sessions."""

    @property
    def nodes_by_vtep(self) -> dict[str, str]:
        return {address: node for node, address in self.vteps.items()}

    def peer_in_words(self, address: str, name: str | None) -> str:
        if name:
            return f"{name} ({address})"
        if outsider := self.outsiders.get(address):
            return f"{outsider} ({address}), which the controller is not on,"
        if self.undetermined:
            return f"{address}, perhaps of {' or '.join(self.undetermined)}, whose addresses are not known,"
        return f"{address}, which is no node of the cluster,"


@dataclass(frozen=True, slots=True)
class SessionProblem:
    """One thing wrong, with its culprit named."""

    kind: SessionProblemKind
    node: str
    message: str
    since: datetime | None = None
    peer_node: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSessions:
    """One node's side of its sessions. `established` is ``None`` if the node is unseen.

    `expected` is ``None`` if it is not known which of the peers the node is.
    """

    node: str
    established: int | None
    expected: int | None
    problems: tuple[SessionProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Sessions:
    """All sessions of a controller, each counted from both ends: four nodes in full mesh have twelve.

    `established` is ``None`` if no node was seen. Where only one end was, it speaks for the other one too.
    """

    established: int | None
    expected: int
    unseen: tuple[str, ...]
    problems: tuple[SessionProblem, ...]
    nodes: tuple[NodeSessions, ...]
    lonely: tuple[str, ...] = ()
    """Nodes with which none of the others has a session."""

    @property
    def complete(self) -> bool:
        return self.established == self.expected and not self.unseen and not self.problems


def expect_from_list(peers: Collection[str], nodes: Mapping[str, Collection[str] | None]) -> ExpectedSessions:
    """A controller with ``peers``: every node has all of them as neighbours, except its own address.

    `nodes`: the nodes the controller is on, with their addresses (with or without prefix length), ``None`` if not
    known. A node without an address among the peers gets all of them as neighbours; none of those answers it.
    """
    listed = [same_form(peer) for peer in peers]
    own: dict[str, str] = {}
    missing, undetermined = [], []
    for node, addresses in nodes.items():
        if addresses is None:
            undetermined.append(node)
            continue
        here = {same_form(address) for address in addresses}
        if (found := next((peer for peer in listed if peer in here), None)) is not None:
            own[node] = found
        else:
            missing.append(node)
    return _mesh(listed, own, [*own, *missing], missing, undetermined)


def expect_from_nodes(nodes: Mapping[str, str | None]) -> ExpectedSessions:
    """A controller whose peers are its nodes' own addresses: a fabric's, or the cluster's.

    `nodes`: the nodes the controller is on, with that address; ``None`` if the node has none (not in the fabric).
    """
    own = {node: same_form(address) for node, address in nodes.items() if address}
    missing = [node for node, address in nodes.items() if not address]
    return _mesh(list(own.values()), own, list(own), missing, [])


def _mesh(
    peers: list[str], own: dict[str, str], speakers: list[str], missing: list[str], undetermined: list[str]
) -> ExpectedSessions:
    names = {address: node for node, address in own.items()}
    sessions = {node: {peer: names.get(peer) for peer in peers if peer != own.get(node)} for node in speakers}
    return ExpectedSessions(sessions, own, tuple(sorted(missing)), tuple(sorted(undetermined)))


def node_sessions(node: str, expected: ExpectedSessions, look: NodeLook | None) -> NodeSessions:
    """One node's sessions against what is expected of it."""
    wanted = expected.sessions.get(node, {})
    count = None if node in expected.undetermined else len(wanted)
    missing: tuple[SessionProblem, ...] = ()
    if node in expected.missing:
        message = f"{node} is in the overlay but not among the peers, so no other node answers it"
        missing = (SessionProblem(SessionProblemKind.NODE_MISSING_FROM_PEERS, node, message),)
    if not isinstance(look, NodeObservation) or look.peers is None:
        return NodeSessions(node, None, count, (*missing, _unseen(node, look)))
    if look.bgp_running is False:
        message = f"BGP EVPN is not running on {node}"
        return NodeSessions(node, 0, count, (*missing, SessionProblem(SessionProblemKind.SESSION_DOWN, node, message)))
    states = {same_form(peer.address): peer for peer in look.peers}
    up = sum(1 for address in wanted if (peer := states.get(address)) and peer.established)
    if missing:  # nobody has it as a neighbour: its sessions say nothing more
        return NodeSessions(node, up, count, missing)
    down = tuple(
        _down(node, expected.peer_in_words(address, name), name, states.get(address))
        for address, name in wanted.items()
        if not ((peer := states.get(address)) and peer.established)
    )
    return NodeSessions(node, up, count, down)


def _unseen(node: str, look: NodeLook | None) -> SessionProblem:
    failure = failure_in(look)
    why = failure.message if failure else "no source shows its BGP sessions"
    return SessionProblem(SessionProblemKind.OBSERVATION_STALE, node, f"{node}: {why}")


def _down(node: str, who: str, name: str | None, peer: PeerState | None) -> SessionProblem:
    if peer is None:
        message = f"{node} has no neighbour {who} in l2vpn evpn"
        return SessionProblem(SessionProblemKind.SESSION_DOWN, node, message, peer_node=name)
    why = f": {peer.last_error}" if peer.last_error else ""
    return SessionProblem(
        SessionProblemKind.SESSION_DOWN, node, f"{node} to {who} is {peer.state}{why}", peer.since, name
    )


def controller_sessions(expected: ExpectedSessions, cluster: ClusterObservation) -> Sessions:
    """All sessions, with each problem said once: a node nobody reaches is one problem and not one per neighbour."""
    names = sorted({*expected.sessions, *expected.missing, *expected.undetermined})
    nodes = [node_sessions(node, expected, cluster.nodes.get(node)) for node in names]
    lonely = _lonely(expected, cluster)
    problems: list[SessionProblem] = []
    for entry in nodes:
        problems.extend(problem for problem in entry.problems if not _follows(problem, lonely))
    problems.extend(lonely[node] for node in sorted(lonely))
    seen = [entry.established for entry in nodes if entry.established is not None]
    unseen = [entry.node for entry in nodes if entry.established is None]
    return Sessions(
        established=sum(seen) + sum(_told_by_others(node, expected, cluster) for node in unseen) if seen else None,
        expected=sum(entry.expected or 0 for entry in nodes),
        unseen=tuple(unseen),
        problems=tuple(problems),
        nodes=tuple(nodes),
        lonely=tuple(sorted(lonely)),
    )


def _told_by_others(node: str, expected: ExpectedSessions, cluster: ClusterObservation) -> int:
    """Sessions of a node that was not seen, as far as their other ends say that they are established."""
    address, observed = expected.vteps.get(node), cluster.answered()
    others = [observed[name] for name in expected.sessions.get(node, {}).values() if name in observed]
    return sum(any(same_form(p.address) == address and p.established for p in look.peers or ()) for look in others)


def _lonely(expected: ExpectedSessions, cluster: ClusterObservation) -> dict[str, SessionProblem]:
    """Nodes that should have sessions and with which no observed node has one, two observers at least."""
    found: dict[str, SessionProblem] = {}
    for node, address in expected.vteps.items():
        views: list[tuple[str, PeerState | None]] = []
        for other, look in cluster.answered().items():
            if other != node and address in expected.sessions.get(other, {}) and look.peers is not None:
                if look.bgp_running is False:
                    continue
                states = {same_form(peer.address): peer for peer in look.peers}
                views.append((other, states.get(address)))
        if len(views) < 2 or any(peer is not None and peer.established for _, peer in views):
            continue
        look_here = cluster.nodes.get(node)
        since = min((peer.since for _, peer in views if peer and peer.since), default=None)
        if isinstance(look_here, NodeObservation) and look_here.bgp_running is False:
            message = f"BGP EVPN is not running on {node}; none of {_listed(views)} has a session with it"
        else:
            message = f"none of {_listed(views)} has a session with {node} ({address})"
        found[node] = SessionProblem(SessionProblemKind.SESSION_DOWN, node, message, since)
    return found


def _listed(views: list[tuple[str, PeerState | None]]) -> str:
    names = sorted(name for name, _ in views)
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _follows(problem: SessionProblem, lonely: Mapping[str, SessionProblem]) -> bool:
    """Whether a problem only repeats, from one of its ends, that a node is lonely."""
    ends = {problem.node, problem.peer_node}
    return problem.kind is SessionProblemKind.SESSION_DOWN and not ends.isdisjoint(lonely)


def steady_since(before: datetime | None, now: datetime | None) -> datetime | None:
    """The time a session last changed, kept as it was said before where it only wandered by FRR's rounding."""
    if before is not None and now is not None and abs(now - before) <= _JITTER:
        return before
    return now


def steady_state(before: PeerState | None, now: PeerState) -> PeerState:
    """The session with the word it was down by before: a dead peer is Active and Connect in turn, for ever."""
    if before is None or not {before.state, now.state} <= _TRYING:
        return now
    return replace(now, state=before.state) if steady_since(before.since, now.since) == before.since else now
