"""The health of EvpnZones and VNets: their VNIs on the nodes, flood lists, routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pve_evpn.api.conditions import Reason
from pve_evpn.api.vnet import Routes, VNetStatus, VniOnNode
from pve_evpn.api.zone import EvpnZoneStatus, IpVrf, NodeVrf
from pve_evpn.domain.conditions import ConditionValue
from pve_evpn.domain.health.context import View, as_before, dated, listed, names_of, not_seen, operational, why_no_vnis
from pve_evpn.domain.health.expected import ExpectedVNet, ExpectedZone
from pve_evpn.domain.health.record import Health
from pve_evpn.domain.health.vnis import L2OnNode, L2View
from pve_evpn.domain.observation import ClusterObservation

#: What VXLAN adds to a frame: Ethernet, IP, UDP, VXLAN.
_VXLAN, _VXLAN_IPV6 = 50, 70


def zone_health(zone: ExpectedZone, view: View) -> Health:
    if view.in_grace(zone.nodes):
        return as_before(view.previous(zone.key))
    seen = view.vnis.l3(zone.vni, zone.id, zone.nodes)
    rows = [
        NodeVrf(name=entry.node, router_mac=entry.router_mac, prefixes=entry.prefixes)
        for entry in seen.nodes
        if entry.router_mac is not None or entry.prefixes is not None
    ]
    router_macs = sorted({entry.router_mac for entry in seen.nodes if entry.router_mac})
    ip_vrf = IpVrf(router_macs=router_macs or None, prefixes=seen.prefixes, nodes=rows)
    part = EvpnZoneStatus(ip_vrf=ip_vrf if rows else None, source=view.source(zone.nodes))
    problems = _bgp_down(zone.nodes, view)
    absent = [entry.node for entry in seen.nodes if entry.present is False]
    problems += [(Reason.VNI_MISSING, f"{node} does not have L3 VNI {zone.vni}") for node in absent]
    problems += _mtu_problems(zone, view)
    unseen = [entry.node for entry in seen.nodes if entry.present is None]
    verdict = _vni_verdict(zone.vni, problems, unseen, zone.nodes, view)
    return Health(verdict, dated(view.previous(zone.key), part, view.now))


def _mtu_problems(zone: ExpectedZone, view: View) -> list[tuple[Reason, str]]:
    """Frames that do not fit into the underlay's are lost without a word, and only the long ones are."""
    problems = []
    vteps = view.vteps(zone.vni, zone.id)
    for node in zone.nodes:
        member, vtep = view.scene.members.get(node), vteps.get(node, "")
        has = member.mtus.get(vtep) if member else None
        needs = (zone.mtu or 0) + (_VXLAN_IPV6 if ":" in vtep else _VXLAN)
        if has is not None and zone.mtu is not None and needs > has:
            message = f"MTU {zone.mtu} needs {needs} in the underlay, and {node} has {has} at {vtep}"
            problems.append((Reason.MTU_TOO_BIG, message))
    return problems


def vnet_health(vnet: ExpectedVNet, seen: L2View, view: View) -> Health:
    if view.in_grace(vnet.nodes):
        return as_before(view.previous(vnet.key))
    rows = {entry.node: _l2_row(entry) for entry in seen.nodes}
    type2 = seen.type2 if seen.type2 is not None else _sampled_routes(vnet.id, view.looks)
    routes = Routes(type2=type2, type3=seen.type3, type5=seen.type5 if vnet.subnets else None)
    part = VNetStatus(routes=None if routes == Routes() else routes, source=view.source(vnet.nodes))
    problems = _bgp_down(vnet.nodes, view)
    problems += [(Reason.VNI_MISSING, f"{node} does not have VNI {vnet.vni}") for node in seen.absent_on]
    problems += _flood_gaps(vnet, seen, view)
    unseen = [entry.node for entry in seen.nodes if entry.present is None]
    verdict = _vni_verdict(vnet.vni, problems, unseen, vnet.nodes, view)
    previous = view.previous(vnet.key)
    return Health(verdict, dated(previous, part, view.now, rows), rows)


def _l2_row(entry: L2OnNode) -> VniOnNode:
    return VniOnNode(
        macs=entry.macs,
        arp_nd=entry.arp_nd,
        remote_vteps=entry.remote_vteps,
        missing_vteps=list(entry.missing_vteps) if entry.missing_vteps else None,
    )


def _sampled_routes(vnet: str, looks: ClusterObservation) -> int | None:
    """MAC/IP routes of a VNet where only Proxmox tells of them."""
    read = [look.mac_ips for look in looks.answered().values() if look.mac_ips is not None]
    found = {(row.mac, row.ip) for rows in read for row in rows if row.vnet == vnet}
    return len(found) or None


def _flood_gaps(vnet: ExpectedVNet, seen: L2View, view: View) -> list[tuple[Reason, str]]:
    """Said once per missing node, not once per node that misses it."""
    stopped = {name for name, look in view.looks.answered().items() if look.bgp_running is False}
    lonely = [e.node for e in seen.nodes if e.remote_vteps == 0 and (e.missing_vteps is None or e.missing_vteps)]
    others = len([entry for entry in seen.nodes if entry.present is not False and view.online(entry.node)]) - 1
    known = view.vteps(vnet.vni, vnet.zone)
    problems = [
        (Reason.NO_REMOTE_VTEPS, f"{node} has no other VTEP in its flood list")
        for node in lonely
        if others > 0 and not {name for name in known if name != node} <= stopped
    ]
    missed: dict[str, list[str]] = {}
    for node, other in seen.gaps:
        if other not in stopped and node not in lonely:
            missed.setdefault(other, []).append(node)
    for other, nodes in missed.items():
        problems.append((Reason.VTEP_MISSING, f"{other} is missing from the flood list of {names_of(nodes)}"))
    for entry in seen.nodes:
        if entry.missing_vteps is None and entry.remote_vteps and entry.remote_vteps < others:
            message = f"{entry.node} has {entry.remote_vteps} of {others} VTEPs in its flood list"
            problems.append((Reason.VTEP_MISSING, message))
    return problems


def _bgp_down(nodes: Iterable[str], view: View) -> list[tuple[Reason, str]]:
    observed = view.looks.answered()
    down = [name for name in nodes if name in observed and observed[name].bgp_running is False]
    return [(Reason.SESSION_DOWN, f"BGP EVPN is not running on {name}") for name in down]


def _vni_verdict(
    vni: int, problems: list[tuple[Reason, str]], unseen: list[str], nodes: tuple[str, ...], view: View
) -> ConditionValue:
    if problems:
        return operational(False, problems[0][0], listed(message for _, message in problems))
    if unseen:
        return not_seen(unseen, view, why_no_vnis)
    return operational(True, Reason.OPERATIONAL, f"VNI {vni} is up on {len(nodes)} of {len(nodes)} nodes")
