"""Sessions with routers outside of the overlay: what a BgpController says of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pve_evpn.api.conditions import Reason
from pve_evpn.api.controller import Sessions
from pve_evpn.api.router import BgpControllerStatus, BgpPeer
from pve_evpn.domain.health.context import HealthContext, as_before, dated, listed, not_seen, operational
from pve_evpn.domain.health.expected import ExpectedRouter
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.health.rows import session_fields
from pve_evpn.domain.health.steady import steady_since
from pve_evpn.domain.observation import ESTABLISHED, NodeObservation, PeerState
from pve_evpn.domain.state import same_form

#: FRR has no neighbour of that address.
MISSING = "Missing"


def router_health(router: ExpectedRouter, context: HealthContext) -> Health:
    """What a BgpController says of its sessions: those of its node with the routers it names."""
    if context.in_grace([router.node]):
        return as_before(context.previous(router.key))
    result = context.observation.nodes.get(router.node)
    states = result.unicast_peers if isinstance(result, NodeObservation) else None
    if states is None:
        part = BgpControllerStatus(sessions=None, sessions_summary=None, peers=None, truncated=None, source=None)
        value = not_seen([router.node], context, _why_no_sessions)
        return Health(value, dated(context.previous(router.key), part, context.observation.at))
    rows = _rows(router, states, context)
    up = sum(row.state == ESTABLISHED for row in rows)
    part = BgpControllerStatus(
        sessions=Sessions(established=up, expected=len(rows)),
        sessions_summary=f"{up}/{len(rows)}",
        peers=rows,
        truncated=None,
        source=context.source([router.node]),
    )
    down = [f"{router.node} to {row.address} is {row.state}" for row in rows if row.state != ESTABLISHED]
    value = operational(True, Reason.OPERATIONAL, f"{up} of {len(rows)} sessions established")
    if down:
        value = operational(False, Reason.SESSION_DOWN, listed(down))
    return Health(value, dated(context.previous(router.key), part, context.observation.at))


def _rows(router: ExpectedRouter, states: tuple[PeerState, ...], context: HealthContext) -> list[BgpPeer]:
    """One row per router that the controller names."""
    resource = context.previous(router.key)
    before = resource.status.peers if resource and isinstance(resource.status, BgpControllerStatus) else None
    since = {row.address: row.since for row in before or ()}
    seen = {same_form(state.address): state for state in states}
    return [_row(address, seen.get(address), since) for address in router.peers]


def _row(address: str, peer: PeerState | None, since: Mapping[str, datetime | None]) -> BgpPeer:
    if peer is None:
        return BgpPeer(address=address, state=MISSING)
    fields = session_fields(peer, steady_since(since.get(address), peer.since))
    return BgpPeer(**{**fields, "address": address})


def _why_no_sessions(node: NodeObservation) -> str:
    if "ssh" in node.sources:
        return f"{node.node}: its helper shows no sessions with routers outside; install the one of this release"
    return "sessions with routers outside are seen by source ssh only"
