"""BGP sessions: which ones a controller's configuration asks for, which are established, and what EvpnControllers and
EvpnNodes say of them.

Pure. A node that could not be observed is *unseen*: its sessions are neither up nor down, and others' sessions with it
count as their other ends have them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pve_evpn.api.conditions import Reason
from pve_evpn.api.controller import ControllerNode, EvpnControllerStatus
from pve_evpn.api.controller import Sessions as SessionTotals
from pve_evpn.api.node import EvpnNodeStatus, FabricNeighbour, Peer, VniStatus
from pve_evpn.domain.conditions import ConditionValue
from pve_evpn.domain.health.context import (
    HealthContext,
    as_before,
    dated,
    listed,
    not_seen,
    operational,
    sources_of,
    why_no_sessions,
)
from pve_evpn.domain.health.expected import ExpectedController, ExpectedSessions
from pve_evpn.domain.health.record import Health, nodes_that_fit
from pve_evpn.domain.health.rows import bfd_states, session_fields, vni_fields
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import (
    ClusterObservation,
    NodeObservation,
    NodeResult,
    ObservationFailure,
    PeerState,
    failure_in,
)
from pve_evpn.domain.state import same_form

#: The states that FRR goes through again and again while a peer does not answer (RFC 4271, 8.2.2).
_TRYING = frozenset({"Idle", "Connect", "Active", "OpenSent", "OpenConfirm"})
#: FRR computes the time of a session's last change from its age anew each time, so it varies by a second.
_JITTER = timedelta(seconds=2)
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


# --- what is expected ---------------------------------------------------------------------------------------------


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
            here |= _own_addresses(answered[node])
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


def _own_addresses(node: NodeObservation) -> set[str]:
    """The addresses that a node itself uses in BGP: its VTEPs and its router id."""
    return {same_form(address) for address in (*node.vteps, *((node.router_id,) if node.router_id else ()))}


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


# --- sessions that are down keep their words ----------------------------------------------------------------------


def with_steady_states(observation: ClusterObservation, nodes: Iterable[Resource[Any]]) -> ClusterObservation:
    """The observation, with sessions that are down in the state that the EvpnNodes' statuses have them in.

    A dead peer is Active and Connect in turn for ever; without this each poll would write a status.
    """
    steady: dict[str, NodeResult] = dict(observation.nodes)
    for node in nodes:
        name = node.spec.node if node.spec else ""
        result = observation.nodes.get(name)
        if isinstance(result, NodeObservation) and not all(peer.established for peer in result.peers or ()):
            rows = node.status.peers or ()
            before = {row.address: PeerState(row.address, row.state, since=row.since) for row in rows}
            peers = tuple(_steady_state(before.get(peer.address), peer) for peer in result.peers or ())
            steady[name] = replace(result, peers=peers)
    return replace(observation, nodes=steady)


def _steady_state(before: PeerState | None, now: PeerState) -> PeerState:
    if before is None or not {before.state, now.state} <= _TRYING:
        return now
    return replace(now, state=before.state) if steady_since(before.since, now.since) == before.since else now


def steady_since(before: datetime | None, now: datetime | None) -> datetime | None:
    """The time a session last changed, as it was reported before where it only varies by FRR's rounding."""
    if before is not None and now is not None and abs(now - before) <= _JITTER:
        return before
    return now


# --- EvpnNode -----------------------------------------------------------------------------------------------------


def node_health(node: Resource[Any], context: HealthContext) -> Health:
    """What an EvpnNode says of its peers and VNIs."""
    name = node.spec.node if node.spec else ""
    result = context.observation.nodes.get(name)
    if isinstance(result, ObservationFailure) and not result.settled:
        return as_before(node, result.message)
    if not isinstance(result, NodeObservation):
        return _unseen_node(node, result, context.observation.at)
    before = {row.address: row.since for row in node.status.peers or ()}
    bfd = bfd_states(result)
    peers = sorted(result.peers or (), key=lambda peer: peer.address)
    part = EvpnNodeStatus(
        frr_version=result.frr_version,
        router_id=result.router_id,
        asn=result.asn,
        sessions=None if result.peers is None else _count(name, result.peers, context.sessions.values()),
        peers=None if result.peers is None else [_peer_row(peer, before, bfd, context) for peer in peers],
        vnis=None
        if result.vnis is None
        else [
            VniStatus(**vni_fields(row, context.expected), remote_vteps=row.remote_vtep_count) for row in result.vnis
        ],
        truncated=None,
        fabric_neighbours=_fabric_rows(result),
        problems=list(result.problems) or None,
        source=sources_of([result]),
    )
    return Health(_node_condition(name, result, context), dated(node, part, context.observation.at))


def _count(name: str, peers: Collection[PeerState], expected: Iterable[ExpectedSessions]) -> str:
    """Established of those there are, or should be: without bgpd there is no neighbour at all."""
    wanted = sum(len(controller.sessions.get(name, ())) for controller in expected)
    return f"{sum(peer.established for peer in peers)}/{max(len(peers), wanted)}"


def _unseen_node(node: Resource[Any], failure: ObservationFailure | None, now: datetime) -> Health:
    if failure is None:
        reason, message = Reason.SOURCE_UNAVAILABLE, "the node has not been observed"
    else:
        reason, message = Reason.OBSERVATION_STALE, failure.message
    part = EvpnNodeStatus(
        frr_version=None,
        router_id=None,
        asn=None,
        sessions=None,
        peers=None,
        vnis=None,
        truncated=None,
        fabric_neighbours=None,
        problems=[message] if failure else None,
        source=None,
    )
    return Health(operational(None, reason, message), dated(node, part, now))


def _peer_row(
    peer: PeerState, before: Mapping[str, datetime | None], bfd: Mapping[str, str], context: HealthContext
) -> Peer:
    fields = session_fields(peer, steady_since(before.get(peer.address), peer.since))
    return Peer(**fields, node=context.name_of(peer.address), bfd=bfd.get(peer.address))


def _fabric_rows(node: NodeObservation) -> list[FabricNeighbour] | None:
    rows = [
        FabricNeighbour(
            protocol=neighbour.protocol or None,
            neighbour=neighbour.neighbour,
            interface=neighbour.interface or None,
            state=neighbour.state,
        )
        for neighbour in node.fabric_neighbours or ()
    ]
    return rows or None


def _node_condition(name: str, node: NodeObservation, context: HealthContext) -> ConditionValue:
    if node.bgp_running is False:
        return operational(False, Reason.SESSION_DOWN, f"BGP EVPN is not running on {name}")
    if node.peers is None:
        return not_seen([name], context, why_no_sessions)
    own = [expected for expected in context.sessions.values() if name in expected.sessions or name in expected.missing]
    problems = [problem for expected in own for problem in node_sessions(name, expected, node).problems]
    if not own:
        problems = [
            SessionProblem(Reason.SESSION_DOWN, name, f"{name} to {peer.address} is {peer.state}")
            for peer in node.peers
            if not peer.established and not peer.admin_down
        ]
    if problems:
        return _condition(problems)
    up = sum(peer.established for peer in node.peers)
    return operational(True, Reason.OPERATIONAL, f"{up} of {len(node.peers)} sessions established")


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
        return _condition(known)
    if found.unseen:
        return not_seen(found.unseen, context, why_no_sessions)
    return operational(True, Reason.OPERATIONAL, f"{found.established} of {found.expected} sessions established")


def _condition(problems: Iterable[SessionProblem]) -> ConditionValue:
    """The gravest problem gives the reason and comes first in the message."""
    ordered = sorted(problems, key=lambda problem: _GRAVITY.index(problem.reason))
    return operational(False, ordered[0].reason, listed(problem.message for problem in ordered))
