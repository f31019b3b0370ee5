"""BGP sessions: which of those that are asked for are established, and what an EvpnController says of them. Pure.

A node that could not be observed is *unseen*: its sessions are neither up nor down, and others' sessions with it count
as their other ends have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pve_evpn.api.conditions import Reason
from pve_evpn.api.controller import ControllerNode, EvpnControllerStatus
from pve_evpn.api.controller import Sessions as SessionTotals
from pve_evpn.domain.conditions import ConditionValue
from pve_evpn.domain.health.context import (
    HealthContext,
    as_before,
    dated,
    listed,
    not_seen,
    operational,
    why_no_sessions,
)
from pve_evpn.domain.health.expected import ExpectedSessions
from pve_evpn.domain.health.object_health import Health, nodes_that_fit
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import ClusterObservation, NodeObservation, NodeResult, PeerState, failure_in
from pve_evpn.domain.state import same_form

#: The gravest first: it gives the condition its reason.
_GRAVITY = (Reason.NODE_MISSING_FROM_PEERS, Reason.OBSERVATION_STALE, Reason.SESSION_DOWN)


@dataclass(frozen=True, slots=True)
class SessionProblem:
    """One thing that is wrong with sessions. `node` has it; `peer_node` is the session's other end."""

    reason: Reason
    node: str
    message: str
    since: datetime | None = None
    peer_node: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSessions:
    """One node's side of its sessions.

    `established` is None if the node is unseen, `expected` if it is not known which of the peers it is.
    """

    node: str
    established: int | None
    expected: int | None
    problems: tuple[SessionProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Sessions:
    """All sessions of a controller, each counted from both ends: four nodes in full mesh have twelve.

    `established` is None if no node was seen; where only one end was, it counts for the other too. `isolated` are the
    nodes with which none of the others has a session.
    """

    established: int | None
    expected: int
    unseen: tuple[str, ...]
    problems: tuple[SessionProblem, ...]
    nodes: tuple[NodeSessions, ...]
    isolated: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return self.established == self.expected and not self.unseen and not self.problems


# --- what is established ------------------------------------------------------------------------------------------


def controller_sessions(expected: ExpectedSessions, observation: ClusterObservation) -> Sessions:
    """All sessions, with each problem said once: an isolated node is one problem and not one per neighbour."""
    names = sorted({*expected.sessions, *expected.missing, *expected.undetermined})
    nodes = [node_sessions(node, expected, observation.nodes.get(node)) for node in names]
    isolated = _isolated(expected, observation)
    problems: list[SessionProblem] = []
    for entry in nodes:
        problems.extend(problem for problem in entry.problems if not _follows(problem, isolated))
    problems.extend(isolated[node] for node in sorted(isolated))
    seen = [entry.established for entry in nodes if entry.established is not None]
    unseen = [entry.node for entry in nodes if entry.established is None]
    return Sessions(
        established=sum(seen) + sum(_by_other_ends(node, expected, observation) for node in unseen) if seen else None,
        expected=sum(entry.expected or 0 for entry in nodes),
        unseen=tuple(unseen),
        problems=tuple(problems),
        nodes=tuple(nodes),
        isolated=tuple(sorted(isolated)),
    )


def node_sessions(node: str, expected: ExpectedSessions, result: NodeResult | None) -> NodeSessions:
    """One node's sessions against what is expected of it."""
    wanted = expected.sessions.get(node, {})
    count = None if node in expected.undetermined else len(wanted)
    missing: tuple[SessionProblem, ...] = ()
    if node in expected.missing:
        message = f"{node} is in the overlay but not among the peers, so no other node answers it"
        missing = (SessionProblem(Reason.NODE_MISSING_FROM_PEERS, node, message),)
    if not isinstance(result, NodeObservation) or result.peers is None:
        return NodeSessions(node, None, count, (*missing, _unseen(node, result)))
    if result.bgp_running is False:
        message = f"BGP EVPN is not running on {node}"
        return NodeSessions(node, 0, count, (*missing, SessionProblem(Reason.SESSION_DOWN, node, message)))
    states = {same_form(peer.address): peer for peer in result.peers}
    up = sum(1 for address in wanted if (peer := states.get(address)) and peer.established)
    if missing:  # no node has it as a neighbour: its sessions say nothing more
        return NodeSessions(node, up, count, missing)
    down = tuple(
        _down(node, expected.describe_peer(address, name), name, states.get(address))
        for address, name in wanted.items()
        if not ((peer := states.get(address)) and peer.established)
    )
    return NodeSessions(node, up, count, down)


def established(node: NodeObservation | None, address: str | None) -> bool | None:
    """Whether a node has an established session with `address`; None if that cannot be known."""
    if node is None or address is None or node.peers is None:
        return None
    return any(same_form(peer.address) == address and peer.established for peer in node.peers)


def _unseen(node: str, result: NodeResult | None) -> SessionProblem:
    failure = failure_in(result)
    why = failure.message if failure else "no source shows its BGP sessions"
    return SessionProblem(Reason.OBSERVATION_STALE, node, f"{node}: {why}")


def _down(node: str, who: str, name: str | None, peer: PeerState | None) -> SessionProblem:
    if peer is None:
        message = f"{node} has no neighbour {who} in l2vpn evpn"
        return SessionProblem(Reason.SESSION_DOWN, node, message, peer_node=name)
    why = f": {peer.last_error}" if peer.last_error else ""
    return SessionProblem(Reason.SESSION_DOWN, node, f"{node} to {who} is {peer.state}{why}", peer.since, name)


def _by_other_ends(node: str, expected: ExpectedSessions, observation: ClusterObservation) -> int:
    """Sessions of a node that was not seen, as far as their other ends have them established."""
    address, answered = expected.vteps.get(node), observation.answered()
    others = [answered[name] for name in expected.sessions.get(node, {}).values() if name in answered]
    return sum(established(other, address) is True for other in others)


def _isolated(expected: ExpectedSessions, observation: ClusterObservation) -> dict[str, SessionProblem]:
    """Nodes that should have sessions and with which no observed node has one, two observers at least."""
    found: dict[str, SessionProblem] = {}
    for node, address in expected.vteps.items():
        ends: list[tuple[str, PeerState | None]] = []
        for other, observed in observation.answered().items():
            if other != node and address in expected.sessions.get(other, {}) and observed.peers is not None:
                if observed.bgp_running is False:
                    continue
                states = {same_form(peer.address): peer for peer in observed.peers}
                ends.append((other, states.get(address)))
        if len(ends) < 2 or any(peer is not None and peer.established for _, peer in ends):
            continue
        own = observation.nodes.get(node)
        since = min((peer.since for _, peer in ends if peer and peer.since), default=None)
        others = _listed([name for name, _ in ends])
        if isinstance(own, NodeObservation) and own.bgp_running is False:
            message = f"BGP EVPN is not running on {node}; none of {others} has a session with it"
        else:
            message = f"none of {others} has a session with {node} ({address})"
        found[node] = SessionProblem(Reason.SESSION_DOWN, node, message, since)
    return found


def _listed(names: list[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown) if len(shown) <= 4 else f"{', '.join(shown[:3])} and {len(shown) - 3} more"


def _follows(problem: SessionProblem, isolated: Mapping[str, SessionProblem]) -> bool:
    """Whether a problem only repeats, from one of its ends, that a node is isolated."""
    ends = {problem.node, problem.peer_node}
    return problem.reason is Reason.SESSION_DOWN and not ends.isdisjoint(isolated)


# --- EvpnController -----------------------------------------------------------------------------------------------


def controller_health(key: ObjectKey, found: Sessions, context: HealthContext) -> Health:
    """What an EvpnController says of its sessions."""
    names = [entry.node for entry in found.nodes]
    if context.in_grace(names):
        return as_before(context.previous(key))
    rows = [
        ControllerNode(
            name=entry.node,
            established=entry.established,
            expected=entry.expected,
            problems=[problem.message for problem in entry.problems] or None,
        )
        for entry in found.nodes
    ]
    shown, more = nodes_that_fit(rows, lambda row: bool(row.problems))
    totals = None
    if found.established is not None:
        totals = SessionTotals(established=found.established, expected=found.expected)
    part = EvpnControllerStatus(
        sessions=totals,
        sessions_summary=f"{totals.established}/{totals.expected}" if totals else None,
        nodes=shown,
        truncated=more,
        source=context.source(names),
    )
    return Health(_controller_condition(found, context), dated(context.previous(key), part, context.observation.at))


def _controller_condition(found: Sessions, context: HealthContext) -> ConditionValue:
    known = [problem for problem in found.problems if problem.reason is not Reason.OBSERVATION_STALE]
    if known:
        return condition_of(known)
    if found.unseen:
        return not_seen(found.unseen, context, why_no_sessions)
    return operational(True, Reason.OPERATIONAL, f"{found.established} of {found.expected} sessions established")


def condition_of(problems: Iterable[SessionProblem]) -> ConditionValue:
    """The gravest problem gives the reason and comes first in the message."""
    ordered = sorted(problems, key=lambda problem: _GRAVITY.index(problem.reason))
    return operational(False, ordered[0].reason, listed(problem.message for problem in ordered))
