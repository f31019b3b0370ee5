"""Sessions as they were reported before, where they differ only by what FRR does all the time. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pve_evpn.domain.objects import Resource
from pve_evpn.domain.observation import ClusterObservation, NodeObservation, NodeResult, PeerState

#: The states that FRR goes through again and again while a peer does not answer (RFC 4271, 8.2.2).
_TRYING = frozenset({"Idle", "Connect", "Active", "OpenSent", "OpenConfirm"})


#: FRR computes the time of a session's last change from its age anew each time, so it varies by a second.
_JITTER = timedelta(seconds=2)


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
