"""VNIs across the nodes, and what VNets (L2) and EvpnZones (L3) say of them.

Pure. ``None`` is unknown, as everywhere; counts change only with what they count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pve_evpn.api.conditions import Reason
from pve_evpn.api.shared import shared
from pve_evpn.api.status import updated
from pve_evpn.api.vnet import Routes, VNetStatus, VniOnNode
from pve_evpn.api.zone import EvpnZoneStatus, IpVrf, NodeVrf
from pve_evpn.domain.conditions import ConditionValue
from pve_evpn.domain.health.context import (
    HealthContext,
    as_before,
    dated,
    listed,
    names_of,
    not_seen,
    operational,
    why_no_vnis,
)
from pve_evpn.domain.health.exits import exit_status
from pve_evpn.domain.health.expected import ExpectedVNet, ExpectedZone
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.observation import BgpVniRow, ClusterObservation, EvpnRoute, NodeObservation, VniRow
from pve_evpn.domain.state import same_form

#: What VXLAN adds to a frame in bytes: Ethernet, IP, UDP, VXLAN.
_VXLAN, _VXLAN_IPV6 = 50, 70


@dataclass(frozen=True, slots=True)
class L2OnNode:
    """One L2 VNI on one node.

    `present` is None if the node's VNIs could not be read. `missing_vteps` are the nodes that have the VNI and are not
    in this one's flood list; None if the list could not be read.
    """

    node: str
    present: bool | None = None
    macs: int | None = None
    arp_nd: int | None = None
    remote_vteps: int | None = None
    missing_vteps: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class L2View:
    """One L2 VNI across the nodes. Route counts are those of the node that sees most of them.

    `type5` counts the prefixes of the VNet's subnets in its zone's L3 VNI.
    """

    vni: int
    nodes: tuple[L2OnNode, ...]
    type2: int | None = None
    type3: int | None = None
    type5: int | None = None

    @property
    def gaps(self) -> tuple[tuple[str, str], ...]:
        """Pairs (node, node missing from its flood list)."""
        return tuple((row.node, other) for row in self.nodes for other in row.missing_vteps or ())

    @property
    def absent_on(self) -> tuple[str, ...]:
        """Nodes that were seen not to have the VNI at all."""
        return tuple(row.node for row in self.nodes if row.present is False)


@dataclass(frozen=True, slots=True)
class L3OnNode:
    """One L3 VNI on one node.

    `prefixes` counts the type-5 prefixes of the VNI in the node's BGP table; from Proxmox: routes installed in the VRF.
    """

    node: str
    present: bool | None = None
    router_mac: str | None = None
    prefixes: int | None = None


@dataclass(frozen=True, slots=True)
class L3View:
    """One L3 VNI across the nodes."""

    vni: int
    nodes: tuple[L3OnNode, ...]
    prefixes: int | None = None


class VniIndex:
    """Every VNI of one cluster observation. Built once per poll; it never changes then.

    Routes whose VNI is not known might be of any: a node that has such routes of a type gives no count of that type.
    """

    def __init__(self, observation: ClusterObservation) -> None:
        self._nodes = observation.nodes
        self.vnis_by_rd = vnis_by_rd(observation)
        self._rows: dict[tuple[str, int], VniRow] = {}
        self._bgp_rows: dict[tuple[str, int], BgpVniRow] = {}
        self._routes: dict[str, Counter[tuple[int, int | None]]] = {}
        self._prefixes: dict[str, Counter[tuple[int | None, str]]] = {}
        self._installed: Counter[tuple[str, str]] = Counter()
        self._prefix_routes: dict[int, dict[str, EvpnRoute]] = {}
        self._default_hops: dict[int, dict[str, set[str]]] = {}
        self.tunnel_ends: set[str] = set()
        """Next hops of type-3 routes: VTEPs, of whichever device."""
        self.shows_router_macs = False
        """Whether the source shows the router MACs of type-5 routes."""
        for name, node in observation.answered().items():
            self._rows.update({(name, row.vni): row for row in node.vnis or ()})
            self._bgp_rows.update({(name, row.vni): row for row in node.bgp_vnis or ()})
            self._installed.update((name, route.zone) for route in node.ip_vrf or ())
            if node.routes is not None:
                by_rd = self.vnis_by_rd
                distinct = {(r.route_type, by_rd.get(r.rd, r.vni), r.rd, r.prefix) for r in node.routes}
                self._note_next_hops(name, node.routes)
                self._routes[name] = Counter((kind, vni) for kind, vni, _, _ in distinct)
                networks = {
                    (by_rd.get(r.rd, r.vni), f"{r.ip}/{r.prefix_length}", r.rd)
                    for r in node.routes
                    if r.route_type == 5
                }
                self._prefixes[name] = Counter((vni, cidr) for vni, cidr, _ in networks)

    def l2(
        self,
        vni: int,
        nodes: Iterable[str],
        vteps: Mapping[str, str],
        subnets: Iterable[str] = (),
        l3_vni: int | None = None,
    ) -> L2View:
        """One VNet's VNI on the nodes its zone is on. `vteps`: overlay address by node name.

        A node is expected in the flood lists of the others unless it was seen not to have the VNI: then that is the
        problem, and saying it once is enough. Where there is only a count (frr_exporter) no gap can be named.
        """
        names = sorted(nodes)
        rows = {name: self._row(name, vni) for name in names}
        wanted = {name: same_form(vteps[name]) for name in names if name in vteps and rows[name] is not False}
        entries = tuple(_l2_on_node(name, rows[name], wanted) for name in names)
        type5 = None
        if l3_vni is not None:
            wanted_networks = [(l3_vni, cidr) for cidr in subnets]
            type5 = _most(
                sum(counts[network] for network in wanted_networks)
                for name, counts in self._prefixes.items()
                if not self._routes[name][5, None]
            )
        return L2View(vni, entries, self._most_routes(2, vni), self._most_routes(3, vni), type5)

    def l3(self, vni: int, zone: str, nodes: Iterable[str]) -> L3View:
        """One zone's L3 VNI on the nodes it is on. `zone`: its Proxmox id, for rows that Proxmox itself gives."""
        entries = tuple(self._l3_on_node(vni, zone, name) for name in sorted(nodes))
        return L3View(vni, entries, _most(entry.prefixes for entry in entries))

    def _l3_on_node(self, vni: int, zone: str, name: str) -> L3OnNode:
        node = self._nodes.get(name)
        if not isinstance(node, NodeObservation):
            return L3OnNode(name)
        row = self._row(name, vni)
        own = self._bgp_rows.get((name, vni))
        if name in self._routes:
            prefixes = self._count(name, 5, vni)
        else:
            prefixes = None if node.ip_vrf is None else self._installed[name, zone]
        return L3OnNode(
            node=name,
            present=True if isinstance(row, VniRow) else row,
            router_mac=own.router_mac if own else None,
            prefixes=prefixes,
        )

    def _note_next_hops(self, node: str, routes: Iterable[EvpnRoute]) -> None:
        for route in routes:
            if route.next_hop is None or route.route_type not in (3, 5):
                continue
            if route.route_type == 3:
                self.tunnel_ends.add(same_form(route.next_hop))
                continue
            self.shows_router_macs |= route.router_mac is not None
            vni = self.vnis_by_rd.get(route.rd, route.vni)
            if vni is not None and route.prefix_length == 0 and route.ip == "0.0.0.0":  # noqa: S104  # the default route
                self._default_hops.setdefault(vni, {}).setdefault(node, set()).add(same_form(route.next_hop))
            if vni is not None and route.best and not route.own:
                self._prefix_routes.setdefault(vni, {}).setdefault(route.next_hop, route)

    def default_hops(self, vni: int) -> dict[str, frozenset[str]]:
        """By node whose type-5 routes are known: the next hops of the IPv4 default routes of an L3 VNI it has."""
        known = (name for name, counts in self._routes.items() if not counts[5, None])
        by_node = self._default_hops.get(vni, {})
        return {name: frozenset(by_node.get(name, ())) for name in known}

    def prefix_routes(self, vni: int) -> Iterable[EvpnRoute]:
        """One type-5 route of an L3 VNI by each next hop, of those that nodes have learnt and prefer."""
        return self._prefix_routes.get(vni, {}).values()

    def _row(self, name: str, vni: int) -> VniRow | Literal[False] | None:
        """The node's row; ``False`` if it was seen to have none, ``None`` if that could not be seen."""
        node = self._nodes.get(name)
        if not isinstance(node, NodeObservation) or node.vnis is None:
            return None
        return self._rows.get((name, vni), False)

    def _most_routes(self, kind: int, vni: int) -> int | None:
        return _most(self._count(name, kind, vni) for name in self._routes)

    def _count(self, name: str, kind: int, vni: int) -> int | None:
        counts = self._routes[name]
        return None if counts[kind, None] else counts[kind, vni]


def vnis_by_rd(observation: ClusterObservation) -> dict[str, int]:
    """VNI by route distinguisher, as the nodes' own tables have it; without those that two VNIs have."""
    found: dict[str, set[int]] = {}
    for node in observation.answered().values():
        for row in node.bgp_vnis or ():
            if row.rd:
                found.setdefault(row.rd, set()).add(row.vni)
    return {rd: min(vnis) for rd, vnis in found.items() if len(vnis) == 1}


def _l2_on_node(name: str, row: VniRow | Literal[False] | None, wanted: Mapping[str, str]) -> L2OnNode:
    if not isinstance(row, VniRow):
        return L2OnNode(name, present=row)
    missing = None
    if row.remote_vteps is not None:
        flooded = {same_form(vtep) for vtep in row.remote_vteps}
        missing = tuple(other for other, vtep in wanted.items() if other != name and vtep not in flooded)
    return L2OnNode(name, True, row.macs, row.arp_nd, row.remote_vtep_count, missing)


def _most(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)


# --- EvpnZone -----------------------------------------------------------------------------------------------------


def zone_health(zone: ExpectedZone, index: VniIndex, context: HealthContext) -> Health:
    """What an EvpnZone says of its L3 VNI."""
    if context.in_grace(zone.nodes):
        return as_before(context.previous(zone.key))
    seen = index.l3(zone.vni, zone.id, zone.nodes)
    rows = [
        NodeVrf(name=entry.node, router_mac=entry.router_mac, prefixes=entry.prefixes)
        for entry in seen.nodes
        if entry.router_mac is not None or entry.prefixes is not None
    ]
    router_macs = sorted({entry.router_mac for entry in seen.nodes if entry.router_mac})
    ip_vrf = IpVrf(router_macs=router_macs or None, prefixes=seen.prefixes, nodes=rows)
    part = EvpnZoneStatus(ip_vrf=ip_vrf if rows else None, source=context.source(zone.nodes))
    if zone.exit_known:
        leaves = exit_status(zone, index.default_hops(zone.vni), context)
        part = updated(part, EvpnZoneStatus(exit=leaves))
    problems = _bgp_down(zone.nodes, context)
    absent = [entry.node for entry in seen.nodes if entry.present is False]
    problems += [(Reason.VNI_MISSING, f"{node} does not have L3 VNI {zone.vni}") for node in absent]
    problems += _mtu_problems(zone, context)
    problems += _untunnelled(zone, index, context)
    unseen = [entry.node for entry in seen.nodes if entry.present is None]
    condition = _condition(zone.vni, problems, unseen, zone.nodes, context)
    return Health(condition, dated(context.previous(zone.key), part, context.observation.at))


def _mtu_problems(zone: ExpectedZone, context: HealthContext) -> list[tuple[Reason, str]]:
    """Frames that do not fit into the underlay's are dropped silently, and only the long ones are."""
    problems = []
    vteps = context.vteps(zone.vni, zone.id)
    for node in zone.nodes:
        member, vtep = context.expected.members.get(node), vteps.get(node, "")
        has = member.mtus.get(vtep) if member else None
        needs = (zone.mtu or 0) + (_VXLAN_IPV6 if ":" in vtep else _VXLAN)
        if has is not None and zone.mtu is not None and needs > has:
            message = f"MTU {zone.mtu} needs {needs} in the underlay, and {node} has {has} at {vtep}"
            problems.append((Reason.MTU_TOO_BIG, message))
    return problems


def _untunnelled(zone: ExpectedZone, index: VniIndex, context: HealthContext) -> list[tuple[Reason, str]]:
    """Type-5 routes whose next hop has no tunnel, so that what they attract is lost.

    A next hop is certainly wrong where it is an address of a node that is not its VTEP, or where a route without a
    router MAC (RFC 9136, 4.4.1) leads to no VTEP. Any other counts as a VTEP outside of the cluster.
    """
    vteps = {same_form(address) for address in context.vteps(zone.vni, zone.id).values()}
    vteps |= index.tunnel_ends | {same_form(address) for address in context.node_by_vtep}
    problems: dict[str, str] = {}
    for route in index.prefix_routes(zone.vni):
        hop = same_form(route.next_hop or "")
        if hop in vteps or hop in problems:
            continue
        owner = _owner_of(hop, context)
        if owner:
            problems[hop] = f"an address of {owner} that is not its VTEP"
        elif route.router_mac is None and index.shows_router_macs:
            problems[hop] = "which is no node's VTEP, and the route has no router MAC"
        else:
            continue
        problems[hop] = f"the type-5 route {route.ip}/{route.prefix_length} has next hop {hop}, {problems[hop]}"
    return [(Reason.NEXT_HOP_NOT_VTEP, message) for _, message in sorted(problems.items())]


def _owner_of(address: str, context: HealthContext) -> str:
    """The node that has the address on an interface and shows which VTEPs it has; empty if there is none."""
    answered = context.observation.answered()
    for name, member in context.expected.members.items():
        shows_vteps = name in answered and bool(answered[name].vteps)
        if shows_vteps and address in {same_form(own) for own in (*(member.addresses or ()), member.address)}:
            return name
    return ""


# --- VNet ---------------------------------------------------------------------------------------------------------


def l2_view(vnet: ExpectedVNet, index: VniIndex, context: HealthContext) -> L2View:
    """A VNet's VNI across its nodes. A node that is switched off is in no flood list, and should not be."""
    vteps = {name: address for name, address in context.vteps(vnet.vni, vnet.zone).items() if context.online(name)}
    l3_vni = next((zone.vni for zone in context.expected.zones if zone.id == vnet.zone), None)
    return index.l2(vnet.vni, vnet.nodes, vteps, vnet.subnets, l3_vni)


def vnet_health(vnet: ExpectedVNet, seen: L2View, context: HealthContext) -> Health:
    """What a VNet says of its L2 VNI."""
    if context.in_grace(vnet.nodes):
        return as_before(context.previous(vnet.key))
    rows = {entry.node: _l2_row(entry) for entry in seen.nodes}
    type2 = seen.type2 if seen.type2 is not None else _sampled_routes(vnet.id, context.observation)
    routes = Routes(type2=type2, type3=seen.type3, type5=seen.type5 if vnet.subnets else None)
    part = VNetStatus(routes=None if routes == Routes() else routes, source=context.source(vnet.nodes))
    problems = _bgp_down(vnet.nodes, context)
    problems += [(Reason.VNI_MISSING, f"{node} does not have VNI {vnet.vni}") for node in seen.absent_on]
    problems += _flood_gaps(vnet, seen, context)
    unseen = [entry.node for entry in seen.nodes if entry.present is None]
    condition = _condition(vnet.vni, problems, unseen, vnet.nodes, context)
    return Health(condition, dated(context.previous(vnet.key), part, context.observation.at, rows), rows)


def _l2_row(entry: L2OnNode) -> VniOnNode:
    row = VniOnNode(
        macs=entry.macs,
        arp_nd=entry.arp_nd,
        remote_vteps=entry.remote_vteps,
        missing_vteps=list(entry.missing_vteps) if entry.missing_vteps else None,
    )
    return shared(row)


def _sampled_routes(vnet: str, observation: ClusterObservation) -> int | None:
    """MAC/IP routes of a VNet where only Proxmox shows them."""
    tables = [node.mac_ips for node in observation.answered().values() if node.mac_ips is not None]
    found = {(row.mac, row.ip) for rows in tables for row in rows if row.vnet == vnet}
    return len(found) or None


def _flood_gaps(vnet: ExpectedVNet, seen: L2View, context: HealthContext) -> list[tuple[Reason, str]]:
    """One problem per missing node, not one per node that misses it."""
    stopped = {name for name, node in context.observation.answered().items() if node.bgp_running is False}
    alone = [e.node for e in seen.nodes if e.remote_vteps == 0 and (e.missing_vteps is None or e.missing_vteps)]
    others = len([entry for entry in seen.nodes if entry.present is not False and context.online(entry.node)]) - 1
    known = context.vteps(vnet.vni, vnet.zone)
    problems = [
        (Reason.NO_REMOTE_VTEPS, f"{node} has no other VTEP in its flood list")
        for node in alone
        if others > 0 and not {name for name in known if name != node} <= stopped
    ]
    missed: dict[str, list[str]] = {}
    for node, other in seen.gaps:
        if other not in stopped and node not in alone:
            missed.setdefault(other, []).append(node)
    for other, nodes in missed.items():
        problems.append((Reason.VTEP_MISSING, f"{other} is missing from the flood list of {names_of(nodes)}"))
    for entry in seen.nodes:
        if entry.missing_vteps is None and entry.remote_vteps and entry.remote_vteps < others:
            message = f"{entry.node} has {entry.remote_vteps} of {others} VTEPs in its flood list"
            problems.append((Reason.VTEP_MISSING, message))
    return problems


def _bgp_down(nodes: Iterable[str], context: HealthContext) -> list[tuple[Reason, str]]:
    answered = context.observation.answered()
    down = [name for name in nodes if name in answered and answered[name].bgp_running is False]
    return [(Reason.SESSION_DOWN, f"BGP EVPN is not running on {name}") for name in down]


def _condition(
    vni: int, problems: list[tuple[Reason, str]], unseen: list[str], nodes: tuple[str, ...], context: HealthContext
) -> ConditionValue:
    if problems:
        return operational(False, problems[0][0], listed(message for _, message in problems))
    if unseen:
        return not_seen(unseen, context, why_no_vnis)
    return operational(True, Reason.OPERATIONAL, f"VNI {vni} is up on {len(nodes)} of {len(nodes)} nodes")
