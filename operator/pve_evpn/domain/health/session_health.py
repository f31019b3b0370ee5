"""The health of EvpnNodes and EvpnControllers: peers, and sessions against those that are expected. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pve_evpn.api.conditions import Reason
from pve_evpn.api.controller import ControllerNode, EvpnControllerStatus
from pve_evpn.api.controller import Sessions as SessionTotals
from pve_evpn.api.node import EvpnNodeStatus, FabricNeighbour, Peer, VniStatus
from pve_evpn.domain.conditions import ConditionValue
from pve_evpn.domain.health import sessions
from pve_evpn.domain.health.context import (
    View,
    as_before,
    dated,
    listed,
    not_seen,
    operational,
    sources_of,
    why_no_sessions,
)
from pve_evpn.domain.health.expected import ExpectedOverlay, Overlay
from pve_evpn.domain.health.record import Health, nodes_that_fit
from pve_evpn.domain.health.sessions import ExpectedSessions, SessionProblem, SessionProblemKind, Sessions, steady_since
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import (
    ClusterObservation,
    NodeLook,
    NodeObservation,
    ObservationFailure,
    PeerState,
    VniRow,
)

_PROBLEM_REASON = {
    SessionProblemKind.SESSION_DOWN: Reason.SESSION_DOWN,
    SessionProblemKind.NODE_MISSING_FROM_PEERS: Reason.NODE_MISSING_FROM_PEERS,
    SessionProblemKind.OBSERVATION_STALE: Reason.OBSERVATION_STALE,
}


def steady_looks(looks: ClusterObservation, nodes: Iterable[Resource[Any]]) -> ClusterObservation:
    """The looks, with sessions that are down called what the EvpnNodes' statuses call them."""
    steady: dict[str, NodeLook] = dict(looks.nodes)
    for node in nodes:
        name = node.spec.node if node.spec else ""
        look = looks.nodes.get(name)
        if isinstance(look, NodeObservation) and look.peers and not all(peer.established for peer in look.peers):
            rows = node.status.peers or ()
            before = {row.address: PeerState(row.address, row.state, since=row.since) for row in rows}
            peers = tuple(sessions.steady_state(before.get(peer.address), peer) for peer in look.peers)
            steady[name] = replace(look, peers=peers)
    return replace(looks, nodes=steady)


def node_health(node: Resource[Any], view: View, expected: list[ExpectedSessions]) -> Health:
    name = node.spec.node if node.spec else ""
    look = view.looks.nodes.get(name)
    if isinstance(look, ObservationFailure) and not look.settled:
        return as_before(node, look.message)
    if not isinstance(look, NodeObservation):
        return _unseen_node(node, look, view.now)
    before = {row.address: row.since for row in node.status.peers or ()}
    bfd = {peer.peer: peer.status for peer in look.bfd_peers or ()}
    peers = sorted(look.peers or (), key=lambda peer: peer.address)
    part = EvpnNodeStatus(
        frr_version=look.frr_version,
        router_id=look.router_id,
        asn=look.asn,
        sessions=None if look.peers is None else _count(name, look.peers, expected),
        peers=None if look.peers is None else [_peer(peer, before, bfd, view) for peer in peers],
        vnis=None if look.vnis is None else [_vni_row(row, view.scene) for row in look.vnis],
        truncated=None,
        fabric_neighbours=_fabric(look),
        problems=list(look.problems) or None,
        source=sources_of([look]),
    )
    return Health(_node_operational(name, look, expected, view), dated(node, part, view.now))


def _count(name: str, peers: Collection[PeerState], expected: list[ExpectedSessions]) -> str:
    """Established of those there are, or should be: without bgpd there is no neighbour at all."""
    wanted = sum(len(overlay.sessions.get(name, ())) for overlay in expected)
    return f"{sum(peer.established for peer in peers)}/{max(len(peers), wanted)}"


def _unseen_node(node: Resource[Any], look: ObservationFailure | None, now: datetime) -> Health:
    if look is None:
        reason, message = Reason.SOURCE_UNAVAILABLE, "the node has not been looked at"
    else:
        reason, message = Reason.OBSERVATION_STALE, look.message
    part = EvpnNodeStatus(
        frr_version=None,
        router_id=None,
        asn=None,
        sessions=None,
        peers=None,
        vnis=None,
        truncated=None,
        fabric_neighbours=None,
        problems=[message] if look else None,
        source=None,
    )
    return Health(operational(None, reason, message), dated(node, part, now))


def _peer(peer: PeerState, before: Mapping[str, datetime | None], bfd: Mapping[str, str], view: View) -> Peer:
    return Peer(
        address=peer.address,
        node=view.name_of(peer.address),
        remote_as=peer.remote_as,
        state=peer.state,
        since=steady_since(before.get(peer.address), peer.since),
        prefixes_received=peer.prefixes_received,
        prefixes_sent=peer.prefixes_sent,
        last_error=peer.last_error or None,
        bfd=bfd.get(peer.address),
    )


def _fabric(look: NodeObservation) -> list[FabricNeighbour] | None:
    rows = [
        FabricNeighbour(
            protocol=neighbour.protocol or None,
            neighbour=neighbour.neighbour,
            interface=neighbour.interface or None,
            state=neighbour.state,
        )
        for neighbour in look.fabric_neighbours or ()
    ]
    return rows or None


def _vni_row(row: VniRow, scene: ExpectedOverlay) -> VniStatus:
    return VniStatus(
        vni=row.vni,
        type=row.type,
        vnet=scene.names.get(row.vni),
        macs=row.macs,
        arp_nd=row.arp_nd,
        remote_vteps=row.remote_vtep_count,
        tenant_vrf=row.tenant_vrf or None,
    )


def _node_operational(name: str, look: NodeObservation, expected: list[ExpectedSessions], view: View) -> ConditionValue:
    if look.bgp_running is False:
        return operational(False, Reason.SESSION_DOWN, f"BGP EVPN is not running on {name}")
    if look.peers is None:
        return not_seen([name], view, why_no_sessions)
    own = [overlay for overlay in expected if name in overlay.sessions or name in overlay.missing]
    problems = [problem for overlay in own for problem in sessions.node_sessions(name, overlay, look).problems]
    if not own:
        problems = [
            SessionProblem(SessionProblemKind.SESSION_DOWN, name, f"{name} to {peer.address} is {peer.state}")
            for peer in look.peers
            if not peer.established and not peer.admin_down
        ]
    if problems:
        return _sessions_down(problems)
    up = sum(peer.established for peer in look.peers)
    return operational(True, Reason.OPERATIONAL, f"{up} of {len(look.peers)} sessions established")


# --- EvpnController ---------------------------------------------------------------------------------------------


def expected_sessions(overlay: Overlay, looks: ClusterObservation) -> ExpectedSessions:
    """The sessions an overlay asks for. Where its addresses are not known, a node's own VTEP address is as good."""
    return replace(_expected(overlay, looks), outsiders=overlay.outsiders, running=overlay.running)


def _expected(overlay: Overlay, looks: ClusterObservation) -> ExpectedSessions:
    observed = looks.answered()
    if overlay.peers is not None:
        known: dict[str, tuple[str, ...] | None] = {}
        for node, addresses in overlay.addresses.items():
            own = observed[node].vteps if node in observed else frozenset()
            known[node] = (*(addresses or ()), *sorted(own)) if addresses is not None or own else None
        return sessions.expect_from_list(overlay.peers, known)
    single: dict[str, str | None] = {}
    undetermined = []
    for node, addresses in overlay.addresses.items():
        if addresses is None and node in observed and len(observed[node].vteps) == 1:
            addresses = tuple(observed[node].vteps)  # of several it is not known which is this overlay's
        if addresses is None:
            undetermined.append(node)
        else:
            single[node] = addresses[0] if addresses else None
    return replace(sessions.expect_from_nodes(single), undetermined=tuple(sorted(undetermined)))


def controller_health(key: ObjectKey, found: Sessions, view: View) -> Health:
    names = [entry.node for entry in found.nodes]
    if view.in_grace(names):
        return as_before(view.previous(key))
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
    if found.established is not None and found.expected is not None:
        totals = SessionTotals(established=found.established, expected=found.expected)
    part = EvpnControllerStatus(
        sessions=totals,
        sessions_summary=f"{totals.established}/{totals.expected}" if totals else None,
        nodes=shown,
        truncated=more,
        source=view.source(names),
    )
    return Health(_controller_operational(found, view), dated(view.previous(key), part, view.now))


def _controller_operational(found: Sessions, view: View) -> ConditionValue:
    known = [problem for problem in found.problems if problem.kind is not SessionProblemKind.OBSERVATION_STALE]
    if known:
        return _sessions_down(known)
    if found.unseen:
        return not_seen(found.unseen, view, why_no_sessions)
    return operational(True, Reason.OPERATIONAL, f"{found.established} of {found.expected} sessions established")


def _sessions_down(problems: Iterable[SessionProblem]) -> ConditionValue:
    """The gravest kind gives the reason; its problems come first in the message."""
    rank = list(SessionProblemKind)
    ordered = sorted(problems, key=lambda p: (p.kind is SessionProblemKind.SESSION_DOWN, rank.index(p.kind)))
    return operational(False, _PROBLEM_REASON[ordered[0].kind], listed(p.message for p in ordered))
