"""Routers outside of the overlay: what BgpControllers and IsisControllers say of sessions and neighbours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pve_evpn.api.conditions import Reason
from pve_evpn.api.controller import Sessions
from pve_evpn.api.router import BgpControllerStatus, BgpPeer, IsisControllerStatus, IsisNeighbour
from pve_evpn.domain.health.context import HealthContext, as_before, dated, listed, not_seen, operational
from pve_evpn.domain.health.expected import ExpectedIsis, ExpectedRouter
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.health.rows import session_fields
from pve_evpn.domain.health.steady import steady_since
from pve_evpn.domain.observation import ESTABLISHED, FabricNeighbour, NodeObservation, PeerState
from pve_evpn.domain.state import same_form

#: FRR has no neighbour of that address, or on that interface.
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


def isis_health(isis: ExpectedIsis, context: HealthContext) -> Health:
    """What an IsisController says of its neighbours: each of its interfaces should have one that is up."""
    if context.in_grace([isis.node]):
        return as_before(context.previous(isis.key))
    node = context.observation.nodes.get(isis.node)
    if not isinstance(node, NodeObservation) or node.isis_neighbours is None:
        part = IsisControllerStatus(neighbours_summary=None, neighbours=None, source=None)
        value = not_seen([isis.node], context, _why_no_isis)
        return Health(value, dated(context.previous(isis.key), part, context.observation.at))
    seen = _by_interface(node.isis_neighbours)
    rows = [_isis_row(name, seen.get(name), isis, context) for name in isis.interfaces]
    down = [_isis_problem(isis.node, row) for row in rows if not _is_up(seen.get(row.interface))]
    part = IsisControllerStatus(
        neighbours_summary=f"{len(rows) - len(down)}/{len(rows)}",
        neighbours=rows,
        source=context.source([isis.node]),
    )
    if node.isis_running is False:
        message = f"isisd does not run on {isis.node}: /etc/frr/daemons there says whether FRR starts it"
        value = operational(False, Reason.ADJACENCY_DOWN, message)
    elif down:
        value = operational(False, Reason.ADJACENCY_DOWN, listed(down))
    else:
        value = operational(True, Reason.OPERATIONAL, f"{len(rows)} of {len(rows)} interfaces have a neighbour")
    return Health(value, dated(context.previous(isis.key), part, context.observation.at))


def _by_interface(neighbours: tuple[FabricNeighbour, ...]) -> dict[str, FabricNeighbour]:
    """One that is up counts before another on the same interface."""
    return {n.interface: n for n in sorted(neighbours, key=_is_up) if n.interface}


def _is_up(neighbour: FabricNeighbour | None) -> bool:
    return neighbour is not None and neighbour.up


def _isis_row(
    name: str, neighbour: FabricNeighbour | None, isis: ExpectedIsis, context: HealthContext
) -> IsisNeighbour:
    """FRR does not print since when, so the time is that of the poll that first saw the state."""
    state = neighbour.state if neighbour else MISSING
    resource = context.previous(isis.key)
    before = resource.status.neighbours if resource and isinstance(resource.status, IsisControllerStatus) else None
    since = next((row.since for row in before or () if (row.interface, row.state) == (name, state)), None)
    return IsisNeighbour(
        interface=name,
        neighbour=neighbour.neighbour if neighbour else None,
        state=state,
        since=since or context.observation.at,
    )


def _isis_problem(node: str, row: IsisNeighbour) -> str:
    if row.neighbour is None:
        return f"{node}: interface {row.interface} has no neighbour"
    return f"{node} to {row.neighbour} on {row.interface} is {row.state}"


def _why_no_isis(node: NodeObservation) -> str:
    if "ssh" not in node.sources:
        return "neighbours of IS-IS are seen by source ssh only"
    if problem := next((problem for problem in node.problems if "isis" in problem), None):
        return f"{node.node}: {problem}"
    return f"{node.node}: its helper does not read IS-IS; install the pve-evpn-observe of this release"
