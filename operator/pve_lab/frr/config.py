"""One node's ``frr.conf`` from the running SDN configuration, in the words Proxmox uses for it.

Pure: text out. What Proxmox would write and this machine cannot have (VRFs) is left out on request, as are the parts
of Proxmox' configuration that EVPN does not need.
"""

from __future__ import annotations

from dataclasses import replace

from pve_lab.frr import fabrics
from pve_lab.frr.facts import NodeFacts, Tuning
from pve_lab.frr.policies import policies
from pve_lab.running_config import Props, RunningConfig, flag, names

_WAYS = ("in", "out")
_LOCAL_ROUTING = "exitnodes-local-routing"


def frr_conf(running: RunningConfig, node: NodeFacts, version: str, tuning: Tuning) -> str:
    """The whole file."""
    head = [
        f"frr version {version}",
        "frr defaults datacenter",
        f"hostname {node.name}",
        "log file /var/log/frr/frr.log informational",
        "service integrated-vtysh-config",
        "!",
    ]
    lines = [*head, *_vrfs(running, node), *_bgp(running, node, tuning), *fabrics.fabrics(running, node, tuning)]
    return "\n".join([*lines, *_isis(running, node), *_route_maps(running, node), "line vty", "!", ""])


def _evpn_controllers(running: RunningConfig, node: str) -> list[tuple[str, Props]]:
    """Those that concern a node: one over a fabric leaves nodes alone that are not in it."""
    return [
        (id_, props)
        for id_, props in sorted(running.controllers.items())
        if props.get("type") == "evpn"
        and (not props.get("fabric") or running.fabric_node(str(props["fabric"]), node) is not None)
    ]


def _bgp(running: RunningConfig, node: NodeFacts, tuning: Tuning) -> list[str]:
    """One BGP for all: EVPN between the nodes, the node's BGP controller, and fabrics of protocol BGP."""
    controllers, own = _evpn_controllers(running, node.name), _bgp_controller(running, node.name)
    underlays = fabrics.bgp_fabrics(running, node.name)
    if own is None and not controllers and not underlays:
        return []
    if own is not None:
        asn = int(own["asn"])
    else:
        asn = int(controllers[0][1]["asn"]) if controllers else fabrics.as_number(underlays[0][2])
    router_id = str(underlays[0][2]["ip"]) if underlays else node.address
    if controllers:
        router_id = running.vtep(controllers[0][1], node.name, node.address)
    lines = [
        f"router bgp {asn}",
        f" bgp router-id {router_id}",
        " no bgp hard-administrative-reset",
        " no bgp default ipv4-unicast",
        " coalesce-time 1000",
        " no bgp graceful-restart notification",
    ]
    unicast: list[str] = []
    for id_, fabric, row in underlays:
        lines += fabrics.bgp_neighbours(id_, row, node, asn)
        unicast += [*fabrics.bgp_family(id_, fabric, row), *(f"  {line}" for line in fabrics.redistributed(fabric))]
    if own is not None:
        lines += _outside_peers(own, asn, tuning)
        unicast += _outside_family(own)
    unicast += _leaving(running, node)
    family = []
    for id_, props in controllers:
        group = _group(id_, props, controllers)
        lines += _peer_group(running, node, props, group, asn, tuning)
        family += [
            f"  neighbor {group} activate",
            f"  neighbor {group} route-map {props.get('route-map-in') or 'MAP_VTEP_IN'} in",
            f"  neighbor {group} route-map {props.get('route-map-out') or 'MAP_VTEP_OUT'} out",
        ]
    if unicast:
        lines += [" !", " address-family ipv4 unicast", *unicast, " exit-address-family"]
    if controllers:
        lines += [" !", " address-family l2vpn evpn", *family, "  advertise-all-vni", " exit-address-family"]
    lines += ["exit", "!"]
    return lines + (_vrf_bgp(running, node, asn, router_id) if controllers else [])


def _outside_peers(own: Props, asn: int, tuning: Tuning) -> list[str]:
    """Sessions with routers outside, as the node's BGP controller has them."""
    lines = [" bgp bestpath as-path multipath-relax"] if flag(own.get("bgp-multipath-as-path-relax")) else []
    lines += [
        " neighbor BGP peer-group",
        f" neighbor BGP remote-as {'external' if flag(own.get('ebgp')) else asn}",
        f" neighbor BGP {tuning.bfd}",
    ]
    if multihop := own.get("ebgp-multihop"):
        lines.append(f" neighbor BGP ebgp-multihop {multihop}")
    if loopback := own.get("loopback"):
        lines.append(f" neighbor BGP update-source {loopback}")
    return lines + [f" neighbor {peer} peer-group BGP" for peer in names(own.get("peers"))]


def _outside_family(own: Props) -> list[str]:
    maps = [f"  neighbor BGP route-map {own[f'route-map-{way}']} {way}" for way in _WAYS if own.get(f"route-map-{way}")]
    return ["  neighbor BGP activate", "  neighbor BGP soft-reconfiguration inbound", *maps]


def _leaving(running: RunningConfig, node: NodeFacts) -> list[str]:
    """On an exit node, the zone's routes in the node's own table. Without VRFs they are there already."""
    zones = _left_by(running, node)
    if node.vrf:
        return [f"  import vrf vrf_{zone}" for zone, props in zones if not flag(props.get(_LOCAL_ROUTING))]
    with_gateway = replace(running, subnets={id_: row for id_, row in running.subnets.items() if row.get("gateway")})
    return [f"  network {network}" for network in _networks(with_gateway, {zone for zone, _ in zones}, inside=True)]


def _peer_group(
    running: RunningConfig, node: NodeFacts, props: Props, group: str, asn: int, tuning: Tuning
) -> list[str]:
    own = running.vtep(props, node.name, node.address)
    remote = str(props["asn"]) if int(props["asn"]) == asn else "external"
    lines = [
        f" neighbor {group} peer-group",
        f" neighbor {group} remote-as {remote}",
        f" neighbor {group} {tuning.bfd}",
    ]
    if remote == "external":
        lines.append(f" neighbor {group} ebgp-multihop {props.get('ebgp-multihop') or 10}")
    if own != node.address:
        lines.append(f" neighbor {group} update-source {own}")
    return lines + [f" neighbor {peer} peer-group {group}" for peer in running.peers(props) if peer != own]


def _bgp_controller(running: RunningConfig, node: str) -> Props | None:
    """A controller of type bgp gives a node an AS of its own."""
    rows = (p for p in running.controllers.values() if p.get("type") == "bgp" and p.get("node") == node)
    return next(rows, None)


def isis_controllers(running: RunningConfig, node: str) -> list[Props]:
    """Those of one node."""
    rows = (props for _, props in sorted(running.controllers.items()) if props.get("type") == "isis")
    return [props for props in rows if props.get("node") == node]


def _isis(running: RunningConfig, node: NodeFacts) -> list[str]:
    """What Proxmox writes for an IS-IS controller: it sets no level, so both levels run on each interface."""
    lines: list[str] = []
    for props in isis_controllers(running, node.name):
        domain = props["isis-domain"]
        for name in [*names(props.get("isis-ifaces")), *names(props.get("loopback"))]:
            lines += [f"interface {name}", f" ip router isis {domain}", "exit", "!"]
        connected = [f" redistribute {family} connected level-1" for family in ("ipv4", "ipv6")]
        router = [f"router isis {domain}", f" net {props['isis-net']}", *connected, " log-adjacency-changes"]
        lines += [*router, "exit", "!"]
    return lines


def _group(id_: str, props: Props, controllers: list[tuple[str, Props]]) -> str:
    if name := props.get("peer-group-name"):
        return str(name)
    return "VTEP" if controllers[0][0] == id_ else f"VTEP_{id_}"


def _zones(running: RunningConfig, node: NodeFacts) -> list[tuple[str, Props]]:
    return [
        (zone, props)
        for zone, props in sorted(running.zones.items())
        if props.get("type") == "evpn" and props.get("vrf-vxlan") and running.on_node(zone, node.name)
    ]


def _left_by(running: RunningConfig, node: NodeFacts) -> list[tuple[str, Props]]:
    """The zones whose exit node this is."""
    return [(zone, props) for zone, props in _zones(running, node) if node.name in names(props.get("exitnodes"))]


def _vrfs(running: RunningConfig, node: NodeFacts) -> list[str]:
    """Each zone's L3 VNI in its VRF. Without VRFs the first zone's is the default VRF's, which takes only one."""
    zones = _zones(running, node)
    if not node.vrf:
        return [f"vni {zones[0][1]['vrf-vxlan']}", "!"] if zones else []
    left = {zone for zone, _ in _left_by(running, node)}
    lines = []
    for zone, props in zones:
        # So that no zone reaches another one through an exit node.
        others = [f" ip route {network} Null0" for network in _networks(running, {zone}, inside=False)]
        lines += [f"vrf vrf_{zone}", *(others if zone in left else ()), f" vni {props['vrf-vxlan']}", "exit-vrf", "!"]
    return lines


def _networks(running: RunningConfig, zones: set[str], *, inside: bool) -> list[str]:
    """The IPv4 subnets of VNets in these zones, or in the others."""
    there = {name for name, vnet in running.vnets.items() if (vnet.get("zone") in zones) is inside}
    found = (id_.rsplit("-", 2)[1:] for id_, subnet in sorted(running.subnets.items()) if subnet.get("vnet") in there)
    return [f"{network}/{mask}" for network, mask in found if ":" not in network]


def _vrf_bgp(running: RunningConfig, node: NodeFacts, asn: int, router_id: str) -> list[str]:
    if not node.vrf:
        return []
    lines = []
    for zone, props in _zones(running, node):
        lines += [
            f"router bgp {asn} vrf vrf_{zone}",
            f" bgp router-id {router_id}",
            " no bgp hard-administrative-reset",
            " no bgp graceful-restart notification",
        ]
        family = [f"  route-target import {target}" for target in names(props.get("rt-import"))]
        leaves = node.name in names(props.get("exitnodes"))
        if not flag(props.get(_LOCAL_ROUTING)) if leaves else flag(props.get("advertise-subnets")):
            lines += [" !", " address-family ipv4 unicast", "  redistribute connected", " exit-address-family"]
        if leaves:
            family += ["  default-originate ipv4", "  default-originate ipv6"]
        elif flag(props.get("advertise-subnets")):
            family.append("  advertise ipv4 unicast")
        if family:
            lines += [" !", " address-family l2vpn evpn", *family, " exit-address-family"]
        lines += ["exit", "!"]
    return lines


def _route_maps(running: RunningConfig, node: NodeFacts) -> list[str]:
    if not _evpn_controllers(running, node.name):
        return policies(running)
    taken, given = _default_routes(running, node)
    own = ["route-map MAP_VTEP_IN permit 2", "exit", "!", "route-map MAP_VTEP_OUT permit 2", "exit", "!"]
    return [*taken, *given, *own, *policies(running)]


def _default_routes(running: RunningConfig, node: NodeFacts) -> tuple[list[str], list[str]]:
    """Which default routes an exit node takes and gives: one that carries traffic takes none, one that stands by for
    the primary gives a worse one. Proxmox matches a prefix list, and FRR 8.4 matches none of EVPN's routes with it."""
    primaries = {str(props.get("exitnodes-primary") or node.name) for _, props in _left_by(running, node)}
    if not node.vrf:
        return [], []
    match = [" match evpn route-type prefix", " match evpn default-route"]
    taken = ["route-map MAP_VTEP_IN deny 1", *match, "exit", "!"] if node.name in primaries else []
    given = ["route-map MAP_VTEP_OUT permit 1", *match, " set metric 200", "exit", "!"]
    return taken, given if primaries - {node.name} else []
