"""One node's ``frr.conf`` from the running SDN configuration, in the words Proxmox uses for it.

Pure: text out. What Proxmox would write and this machine cannot have (VRFs) is left out on request, as are the parts
of Proxmox' configuration that EVPN does not need.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from pve_lab.frr.policies import policies
from pve_lab.running_config import Props, RunningConfig, flag, names


@dataclass(frozen=True)
class Tuning:
    """Where a lab differs from Proxmox' defaults, so that tests need not wait for them."""

    ospf_hello: int = 1
    ospf_dead: int = 4
    bfd: str = "bfd 8 250 250"
    """Proxmox writes plain ``bfd``: three losses of 300 ms, which a busy machine takes for a dead peer."""


@dataclass(frozen=True)
class NodeFacts:
    """The node the text is for."""

    name: str
    address: str
    underlay: str = "eth0"
    vrf: bool = False
    loopback: str = "lo"
    """Where a fabric address is put that is not the node's own."""


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
    lines = [*head, *_vrfs(running, node), *_bgp(running, node, tuning), *_fabrics(running, node, tuning)]
    return "\n".join([*lines, *_route_maps(running, node), "line vty", "!", ""])


def _evpn_controllers(running: RunningConfig, node: str) -> list[tuple[str, Props]]:
    """Those that concern a node: one over a fabric leaves nodes alone that are not in it."""
    return [
        (id_, props)
        for id_, props in sorted(running.controllers.items())
        if props.get("type") == "evpn"
        and (not props.get("fabric") or running.fabric_node(str(props["fabric"]), node) is not None)
    ]


def _bgp(running: RunningConfig, node: NodeFacts, tuning: Tuning) -> list[str]:
    controllers = _evpn_controllers(running, node.name)
    if not controllers:
        return []
    own = _bgp_controller(running, node.name)
    asn = int((own or controllers[0][1])["asn"])
    router_id = running.vtep(controllers[0][1], node.name, node.address)
    lines = [
        f"router bgp {asn}",
        f" bgp router-id {router_id}",
        " no bgp hard-administrative-reset",
        " no bgp default ipv4-unicast",
        " coalesce-time 1000",
        " no bgp graceful-restart notification",
    ]
    family = []
    for id_, props in controllers:
        group = _group(id_, props, controllers)
        lines += _peer_group(running, node, props, group, asn, tuning)
        family += [
            f"  neighbor {group} activate",
            f"  neighbor {group} route-map {props.get('route-map-in') or 'MAP_VTEP_IN'} in",
            f"  neighbor {group} route-map {props.get('route-map-out') or 'MAP_VTEP_OUT'} out",
        ]
    lines += [" !", " address-family l2vpn evpn", *family, "  advertise-all-vni", " exit-address-family", "exit", "!"]
    return lines + _vrf_bgp(running, node, asn, router_id)


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


def _vrfs(running: RunningConfig, node: NodeFacts) -> list[str]:
    """Each zone's L3 VNI in its VRF. Without VRFs the first zone's is the default VRF's, which takes only one."""
    zones = _zones(running, node)
    if not node.vrf:
        return [f"vni {zones[0][1]['vrf-vxlan']}", "!"] if zones else []
    return [
        line for zone, props in zones for line in (f"vrf vrf_{zone}", f" vni {props['vrf-vxlan']}", "exit-vrf", "!")
    ]


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
        if flag(props.get("advertise-subnets")):
            redistribute = [" address-family ipv4 unicast", "  redistribute connected", " exit-address-family"]
            lines += [" !", *redistribute]
            family.append("  advertise ipv4 unicast")
        if node.name in names(props.get("exitnodes")):
            family += ["  default-originate ipv4", "  default-originate ipv6"]
        if family:
            lines += [" !", " address-family l2vpn evpn", *family, " exit-address-family"]
        lines += ["exit", "!"]
    return lines


def _route_maps(running: RunningConfig, node: NodeFacts) -> list[str]:
    if not _evpn_controllers(running, node.name):
        return []
    own = ["route-map MAP_VTEP_IN permit 1", "exit", "!", "route-map MAP_VTEP_OUT permit 1", "exit", "!"]
    return [*own, *policies(running)]


def _fabrics(running: RunningConfig, node: NodeFacts, tuning: Tuning) -> list[str]:
    lines: list[str] = []
    for id_, fabric in sorted(running.fabrics.items()):
        row = running.fabric_node(id_, node.name)
        if row is None or not row.get("ip"):
            continue
        if fabric.get("protocol") == "ospf":
            lines += _ospf(fabric, row, node, tuning)
        elif fabric.get("protocol") == "openfabric":
            lines += _openfabric(id_, fabric, row, node)
    return lines


def _ospf(fabric: Props, row: Props, node: NodeFacts, tuning: Tuning) -> list[str]:
    area = fabric.get("area", "0")
    lines = [
        "router ospf",
        f" ospf router-id {row['ip']}",
        "exit",
        "!",
        f"interface {node.loopback}",
        f" ip ospf area {area}",
        " ip ospf passive",
        "exit",
        "!",
    ]
    for name in interfaces(row, node):
        lines += [
            f"interface {name}",
            # The area comes last: with it OSPF begins, and waits for a designated router as the timers above it say.
            f" ip ospf hello-interval {tuning.ospf_hello}",
            f" ip ospf dead-interval {tuning.ospf_dead}",
            f" ip ospf area {area}",
            "exit",
            "!",
        ]
    return lines


def _openfabric(id_: str, fabric: Props, row: Props, node: NodeFacts) -> list[str]:
    digits = "".join(f"{octet:03d}" for octet in ipaddress.IPv4Address(str(row["ip"])).packed)
    system = ".".join(digits[i : i + 4] for i in (0, 4, 8))
    lines = [f"router openfabric {id_}", f" net 49.0001.{system}.00", "exit", "!"]
    lines += [f"interface {node.loopback}", f" ip router openfabric {id_}", " openfabric passive", "exit", "!"]
    for name in interfaces(row, node):
        lines += [
            f"interface {name}",
            f" ip router openfabric {id_}",
            f" openfabric hello-interval {fabric.get('hello_interval') or 1}",
            "exit",
            "!",
        ]
    return lines


def interfaces(row: Props, node: NodeFacts) -> list[str]:
    """A fabric node's interfaces; one that names none uses the lab's underlay."""
    named = []
    for entry in row.get("interfaces") or ():
        if isinstance(entry, str):
            entry = dict(part.partition("=")[::2] for part in entry.split(","))
        named.append(str(entry.get("name")))
    return named or [node.underlay]
