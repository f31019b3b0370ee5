"""The exit nodes of a zone: whether packets leave by them, and whether the answers come back the same way. Pure.

What Proxmox makes of the fields (`Controllers/EvpnPlugin.pm`, `Zones/EvpnPlugin.pm` of pve-network): every exit node
originates the default route of the VRF by EVPN, and without a primary, or as the primary, it takes none from the
others, so that what its VRF does not know is looked up in the node's own table. The others prefer the primary's by
their metric (200). The zone's routes are imported into the node's own BGP table, except with local routing, which has
static routes instead. IPv4 only: that is what Proxmox' ``ip-vrf`` shows too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pve_evpn.api.zone import DefaultRoute, Exit, ExitNode, ExitPeer
from pve_evpn.domain import observation as observed
from pve_evpn.domain.health.context import HealthContext, listed, names_of
from pve_evpn.domain.health.expected import ExpectedExit, ExpectedRouter, ExpectedZone
from pve_evpn.domain.observation import NodeObservation
from pve_evpn.domain.state import same_form

_DEFAULT = "0.0.0.0/0"
#: By router outside the subnets that an exit node does not advertise to it.
_Missing = Mapping[str, frozenset[str]]
_RP_FILTER: Mapping[int, Literal["Off", "Strict", "Loose"]] = {0: "Off", 1: "Strict", 2: "Loose"}


@dataclass(slots=True)
class _Notes:
    """What is wrong, in the order in which it was found."""

    problems: list[str] = field(default_factory=list)
    risks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of one exit node.

    ``own``, ``vrf``: its own default route and the one in the zone's VRF. ``leads_back``: see :func:`_leads_back`.
    ``missing``: by router outside the subnets that it is not advertised.
    """

    node: NodeObservation | None
    own: DefaultRoute | None
    vrf: DefaultRoute | None
    leads_back: list[str]
    missing: _Missing


def exit_status(zone: ExpectedZone, default_hops: Mapping[str, frozenset[str]], context: HealthContext) -> Exit | None:
    """What an EvpnZone says of its exit nodes; None without any.

    Args:
        zone: The zone; its `exit` is that of the running configuration.
        default_hops: By node that shows its type-5 routes: next hops of the zone's default routes.
        context: The observation.
    """
    leaves = zone.exit
    if leaves is None:
        return None
    seen = {name: _seen(name, zone, leaves, context) for name in leaves.nodes}
    rows = [_exit_node(name, zone, leaves, default_hops, seen[name], context) for name in leaves.nodes]
    others = {name: route for name in zone.nodes if name not in leaves.nodes and (route := _vrf(name, zone, context))}
    without = sorted(name for name, route in others.items() if route.state != "Present")
    notes = _Notes()
    for row in rows:
        _judge(row, seen[row.name].leads_back, zone, leaves, context, notes)
    if without:
        notes.problems.append(
            f"{names_of(without)}: no default route in vrf_{zone.id}, so packets to the outside end there"
        )
    _judge_advertised(leaves, {name: each.missing for name, each in seen.items()}, notes)
    _judge_together(rows, zone, leaves, context, notes)
    return Exit(
        summary=_summary(rows),
        nodes=rows,
        without_default_route=without if others else None,
        problems=notes.problems or None,
        risks=notes.risks or None,
    )


def _summary(rows: list[ExitNode]) -> str | None:
    seen = [row.usable for row in rows if row.usable is not None]
    unknown = len(rows) - len(seen)
    if not seen:
        return None
    return f"{sum(seen)}/{len(rows)}" + (f", {unknown} unknown" if unknown else "")


# --- one exit node ------------------------------------------------------------------------------------------------


def _seen(name: str, zone: ExpectedZone, leaves: ExpectedExit, context: HealthContext) -> _Seen:
    node = context.observation.answered().get(name)
    own = _own(node)
    return _Seen(
        node=node,
        own=own,
        vrf=_vrf(name, zone, context),
        leads_back=_leads_back(name, own, leaves, context),
        missing=_missing(name, leaves, context),
    )


def _exit_node(
    name: str,
    zone: ExpectedZone,
    leaves: ExpectedExit,
    default_hops: Mapping[str, frozenset[str]],
    seen: _Seen,
    context: HealthContext,
) -> ExitNode:
    return ExitNode(
        name=name,
        role=_role(name, leaves),
        usable=_usable(name, seen, context),
        originates=_originates(name, zone, leaves, default_hops, context),
        vrf_default_route=seen.vrf,
        default_route=seen.own,
        rp_filter=_rp_filter(seen.node, zone),
        untranslated=_untranslated(seen.node, leaves) or None,
        peers=list(_peers(name, leaves, seen.missing, context)) or None,
    )


def _role(name: str, leaves: ExpectedExit) -> Literal["Only", "Primary", "Standby", "Shared"]:
    if len(leaves.nodes) == 1:
        return "Only"
    if leaves.primary not in leaves.nodes:
        return "Shared"
    return "Primary" if name == leaves.primary else "Standby"


def _usable(name: str, seen: _Seen, context: HealthContext) -> bool | None:
    down = seen.node is not None and seen.node.bgp_running is False
    if seen.leads_back or down or not context.online(name):
        return False
    if seen.vrf is not None and seen.vrf.state != "Absent":
        return seen.vrf.state == "Present"
    return None if seen.own is None else seen.own.state == "Present"


def _leads_back(name: str, own: DefaultRoute | None, leaves: ExpectedExit, context: HealthContext) -> list[str]:
    """The exit nodes that the own default route of one that carries traffic leads to: packets go round between them.

    It is in the node's own table because that imports the routes of the VRF. Of one that stands by it is right.
    """
    if own is None or own.state != "Present" or _role(name, leaves) == "Standby":
        return []
    owners = {context.name_of(hop) for hop in own.next_hops or ()}
    return sorted(owner for owner in owners if owner in leaves.nodes and owner is not None)


def _originates(
    name: str,
    zone: ExpectedZone,
    leaves: ExpectedExit,
    default_hops: Mapping[str, frozenset[str]],
    context: HealthContext,
) -> bool | None:
    """By the nodes that take default routes of exit nodes; where none of them is seen, by the exit node itself."""
    vtep = context.vteps(zone.vni, zone.id).get(name)
    if vtep is None:
        return None
    hops = [found for node, found in default_hops.items() if node in zone.nodes and node not in leaves.nodes]
    if hops:
        return any(same_form(vtep) in found for found in hops)
    return same_form(vtep) in default_hops.get(name, ()) or None


def _own(node: NodeObservation | None) -> DefaultRoute | None:
    if node is None or node.default_routes is None:
        return None
    return _route(node.default_routes.get("default"))


def _vrf(name: str, zone: ExpectedZone, context: HealthContext) -> DefaultRoute | None:
    """The default route in the zone's VRF on a node; None where it is not known whether there is one."""
    node, vrf = context.observation.answered().get(name), f"vrf_{zone.id}"
    if node is None:
        return None
    if node.default_routes is not None:
        exists = any(row.vni == zone.vni and row.tenant_vrf == vrf for row in node.vnis or ())
        return _route(node.default_routes.get(vrf)) if exists or vrf in node.default_routes else None
    rows = [row for row in node.ip_vrf or () if row.zone == zone.id]
    if not rows:
        return None
    found = next((row for row in rows if row.prefix == _DEFAULT), None)
    if found is None:
        return _route(None)
    return _route(observed.DefaultRoute(found.protocol, found.next_hops, unreachable=not found.next_hops))


def _route(route: observed.DefaultRoute | None) -> DefaultRoute:
    if route is None:
        return DefaultRoute(state="Absent")
    state: Literal["Unreachable", "Present"] = "Unreachable" if route.unreachable else "Present"
    return DefaultRoute(state=state, protocol=route.protocol, next_hops=list(route.next_hops) or None)


def _rp_filter(node: NodeObservation | None, zone: ExpectedZone) -> Literal["Off", "Strict", "Loose"] | None:
    """The kernel takes the larger of the two (`ip-sysctl`)."""
    filters = node.rp_filter if node is not None else None
    name = f"vrfbr_{zone.id}"
    if filters is None or "all" not in filters or name not in filters:
        return None
    return _RP_FILTER.get(max(filters["all"], filters[name]))


def _untranslated(node: NodeObservation | None, leaves: ExpectedExit) -> list[str]:
    if node is None or node.translated is None:
        return []
    return [cidr for cidr in leaves.translated if cidr not in node.translated]


def _peers(name: str, leaves: ExpectedExit, missing: _Missing, context: HealthContext) -> Iterator[ExitPeer]:
    asked = len(_advertised(name, leaves, context))
    for address, unheard in missing.items():
        yield ExitPeer(
            address=address,
            advertised=asked - len(unheard),
            missing=sorted(unheard) or None,
            missing_count=len(unheard) or None,
        )


def _missing(name: str, leaves: ExpectedExit, context: HealthContext) -> _Missing:
    """By router outside the subnets that an exit node does not advertise to it; empty where that is not seen."""
    node, advertised = context.observation.answered().get(name), _advertised(name, leaves, context)
    if node is None or not advertised:
        return {}
    return {
        address: frozenset(cidr for cidr, peers in advertised.items() if address not in peers)
        for address in _outside(name, node, context)
    }


def _advertised(name: str, leaves: ExpectedExit, context: HealthContext) -> dict[str, frozenset[str]]:
    """By subnet, of those that were asked for, the peers of an exit node that it is advertised to."""
    node = context.observation.answered().get(name)
    shown = node.advertised if node is not None else None
    return {cidr: frozenset(map(same_form, peers)) for cidr, peers in (shown or {}).items() if cidr in leaves.routed}


def _outside(name: str, node: NodeObservation, context: HealthContext) -> list[str]:
    """The routers outside: those of the node's BgpControllers, and other peers that are no nodes of the cluster."""
    found = {address for router in context.expected.routers if router.node == name for address in router.peers}
    own = {
        same_form(address)
        for member in context.expected.members.values()
        for address in (*(member.addresses or ()), member.address)
    }
    own |= {same_form(address) for address in context.node_by_vtep}
    seen = (same_form(peer.address) for peer in node.unicast_peers or () if _is_address(peer.address))
    return sorted(found | {address for address in seen if address not in own})


def _is_address(text: str) -> bool:
    """Peers of a fabric of protocol BGP are interfaces."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# --- what is wrong ------------------------------------------------------------------------------------------------


def _judge(
    row: ExitNode,
    leads_back: list[str],
    zone: ExpectedZone,
    leaves: ExpectedExit,
    context: HealthContext,
    notes: _Notes,
) -> None:
    """One exit node by itself."""
    name, vrf, own = row.name, row.vrf_default_route, row.default_route
    if not context.online(name):
        kept = [other for other in leaves.nodes if other != name and context.online(other)]
        if kept:
            notes.risks.append(f"{name} is offline; the zone leaves by {names_of(kept)}")
        else:
            notes.problems.append(f"{name} is offline, and no other exit node is online")
        return
    if vrf is not None and vrf.state == "Unreachable":
        notes.problems.append(
            f"{name}: the default route of vrf_{zone.id} is unreachable, so nothing leaves by {name}; apply the SDN "
            "configuration again, which removes that route on exit nodes"
        )
    elif own is not None and own.state != "Present" and not (vrf is not None and vrf.state == "Present"):
        what = "an unreachable default route" if own.state == "Unreachable" else "no default route"
        if row.role == "Standby":
            notes.risks.append(f"{name} has {what} of its own, so it cannot take over from {leaves.primary}")
        else:
            notes.problems.append(f"{name} has {what} of its own, so packets that leave by it are dropped")
    elif own is not None and own.state != "Present" and row.role == "Standby":
        notes.risks.append(f"{name} has no default route of its own, so it cannot take over from {leaves.primary}")
    if leads_back:
        notes.problems.append(
            f"{name}: its own default route leads to {names_of(leads_back)} through vrf_{zone.id}, so packets go round "
            "between the exit nodes; it must take no default route from them: does MAP_VTEP_IN of its FRR refuse it?"
        )
    if row.rp_filter == "Strict" and (len(leaves.nodes) > 1 or leaves.local_routing):
        notes.problems.append(
            f"{name}: rp_filter of vrfbr_{zone.id} is 1 (strict), which drops packets whose way back is another; set "
            "net.ipv4.conf.all.rp_filter=0 and net.ipv4.conf.default.rp_filter=0, and 0 on the interfaces there are"
        )
    if row.untranslated:
        notes.problems.append(
            f"{name} does not translate source addresses of {listed(row.untranslated)}: Proxmox found no way out for "
            "them when the configuration was applied; give the node a default route and apply again"
        )


def _judge_advertised(leaves: ExpectedExit, missing: Mapping[str, _Missing], notes: _Notes) -> None:
    """Subnets that the outside does not hear of. A router there may have a static or a shorter route all the same."""
    by_node = {name: frozenset.intersection(*unheard.values()) for name, unheard in missing.items() if unheard}
    if not by_node:
        return
    nowhere = frozenset.intersection(*by_node.values())
    why = (
        "; with localRouting Proxmox keeps the zone's subnets out of the exit node's BGP"
        if leaves.local_routing
        else ""
    )
    if nowhere and len(by_node) == len(leaves.nodes):
        notes.problems.append(
            f"{listed(sorted(nowhere))}: advertised to no router outside, so answers need another route there or "
            f"snat{why}"
        )
    for name, unheard in by_node.items():
        if unheard - nowhere:
            notes.risks.append(
                f"{name} advertises {listed(sorted(unheard - nowhere))} to no router outside, so answers come back by "
                "other exit nodes only"
            )


def _judge_together(
    rows: list[ExitNode], zone: ExpectedZone, leaves: ExpectedExit, context: HealthContext, notes: _Notes
) -> None:
    """Ways out and back that differ. Answers to translated addresses come to the node that translated them."""
    if len(rows) < 2 or not leaves.routed:
        return
    effect = "a stateful firewall on the exit nodes, also Proxmox' own, drops answers to what it has not seen leave"
    if leaves.primary not in leaves.nodes:
        notes.risks.append(
            f"{names_of(list(leaves.nodes))} share the traffic without a primary, so an answer may come back by "
            f"another exit node than the packet left by; {effect}; set exitNodes.primary or snat"
        )
        return
    advertising = [row.name for row in rows if any(peer.advertised for peer in row.peers or ())]
    standby = [name for name in advertising if name != leaves.primary]
    if leaves.primary in advertising and standby and not _distinct(leaves.primary, standby, context.expected.routers):
        notes.risks.append(
            f"packets leave by {leaves.primary}, and answers may come back by {names_of(standby)}, which advertise the "
            f"same subnets; {effect}; give the BgpController of {names_of(standby)} a RouteMap that sets a metric"
        )


def _distinct(primary: str, standby: Iterable[str], routers: Iterable[ExpectedRouter]) -> bool:
    """Whether each standby has a route map of its own for what it sends: then the router outside can prefer one."""
    maps = {router.node: router.map_out for router in routers}
    return all(maps.get(name) and maps.get(name) != maps.get(primary) for name in standby)
