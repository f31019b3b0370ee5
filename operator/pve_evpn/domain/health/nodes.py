"""What an EvpnNode says of its peers, VNIs and neighbours in the underlay. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from pve_evpn.api.conditions import Reason
from pve_evpn.api.node import EvpnNodeStatus, FabricNeighbour, Peer, VniStatus
from pve_evpn.domain.conditions import ConditionValue
from pve_evpn.domain.health.context import (
    HealthContext,
    as_before,
    dated,
    not_seen,
    operational,
    sources_of,
    why_no_sessions,
)
from pve_evpn.domain.health.expected import ExpectedSessions
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.health.rows import bfd_states, session_fields, vni_fields
from pve_evpn.domain.health.sessions import SessionProblem, condition_of, node_sessions
from pve_evpn.domain.health.steady import steady_since
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.observation import NodeObservation, ObservationFailure, PeerState


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
        return condition_of(problems)
    up = sum(peer.established for peer in node.peers)
    return operational(True, Reason.OPERATIONAL, f"{up} of {len(node.peers)} sessions established")
