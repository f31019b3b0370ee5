"""SDN fabrics as text of one node's ``frr.conf``, and the addresses that go with them. Pure.

The words and their order are those that Proxmox VE 9.2 writes (published templates of proxmox-ve-rs).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pve_lab.frr.facts import NodeFacts, Tuning
from pve_lab.running_config import Props, RunningConfig


@dataclass(frozen=True)
class Family:
    """IPv4 or IPv6: Proxmox' key of a node's address, FRR's word, the end of route maps' names, bits of an address."""

    key: str
    word: str
    suffix: str
    length: int


IP, IP6 = Family("ip", "ip", "", 32), Family("ip6", "ipv6", "6", 128)
#: First of the 32-bit numbers for private use (RFC 6996).
_PRIVATE_AS = 4_200_000_000


def fabrics(running: RunningConfig, node: NodeFacts, tuning: Tuning) -> list[str]:
    """What comes after BGP: the routers of OSPF and OpenFabric, their interfaces and the routes' source address."""
    lines: list[str] = []
    sources: dict[tuple[str, Family], list[str]] = {}
    for id_, fabric, row in _of_node(running, node.name):
        protocol = str(fabric.get("protocol"))
        if protocol == "ospf":
            lines += _ospf(fabric, row, node, tuning, first=(protocol, IP) not in sources)
        elif protocol == "openfabric":
            lines += _openfabric(id_, fabric, row, node)
        elif protocol != "bgp":
            continue
        for family in _families(protocol, row):
            lines += _access_list(id_, protocol, fabric, family)
            seen = sources.setdefault((protocol, family), [])
            order = 100 + 10 * sum(line.startswith("route-map") for line in seen)
            seen += _source(id_, protocol, fabric, row, family, order)
    for (protocol, family), maps in sources.items():
        if maps:
            name = f"pve_{protocol}{family.suffix}"
            rest = [f"route-map {name} permit 65535", "exit", "!"] if protocol == "bgp" else []
            lines += [*maps, *rest, f"{family.word} protocol {protocol} route-map {name}", "!"]
    return lines


def bgp_fabrics(running: RunningConfig, node: str) -> list[tuple[str, Props, Props]]:
    """Fabrics of protocol ``bgp`` that a node is in: id, the fabric, the node's row."""
    return [found for found in _of_node(running, node) if found[1].get("protocol") == "bgp"]


def as_number(row: Props) -> int:
    """The AS of a node in a BGP fabric.

    The API of 9.2.3 has no field for it. Without one every node gets its own, made of its address.
    """
    if row.get("asn"):
        return int(row["asn"])
    return _PRIVATE_AS + int(ipaddress.IPv4Address(str(row["ip"]))) % 90_000_000


def bgp_neighbours(id_: str, row: Props, node: NodeFacts, asn: int) -> list[str]:
    """Sessions over the interfaces' link-local addresses; ``asn`` is that of the node's BGP as a whole."""
    own = as_number(row)
    replaced = [f" neighbor {id_} local-as {own} no-prepend replace-as"] if own != asn else []
    return [
        f" neighbor {id_} peer-group",
        f" neighbor {id_} remote-as external",
        *replaced,
        *(f" neighbor {name} interface peer-group {id_}" for name in interfaces(row, node)),
    ]


def bgp_family(id_: str, fabric: Props, row: Props) -> list[str]:
    """Lines for IPv4 unicast."""
    accept = [f"  neighbor {id_} route-map pve_bgp_{id_}_in in"] if fabric.get("ip_prefix") else []
    return [
        f"  network {row['ip']}/32",
        f"  neighbor {id_} activate",
        f"  neighbor {id_} soft-reconfiguration inbound",
        *accept,
    ]


def addresses(running: RunningConfig, node: NodeFacts) -> set[tuple[str, str]]:
    """Interfaces with the addresses (CIDR) that fabrics put on them.

    An interface without an address of its own gets the node's, as does the loopback.
    """
    found = set()
    for _, fabric, row in _of_node(running, node.name):
        protocol = str(fabric.get("protocol"))
        for family in _families(protocol, row):
            if row[family.key] != node.address:
                found.add((node.loopback, f"{row[family.key]}/{family.length}"))
            for name, props in _named(row).items():
                if name == node.underlay:
                    continue
                if props.get(family.key):
                    found.add((name, str(props[family.key])))
                elif family is IP and protocol in ("ospf", "openfabric"):  # IPv6 has link-local addresses
                    found.add((name, f"{row['ip']}/32"))
    return found


def link_local(running: RunningConfig, node: NodeFacts) -> set[str]:
    """Interfaces that need IPv6: for the sessions of a BGP fabric, and for an OpenFabric fabric with IPv6."""
    found = {name for _, _, row in bgp_fabrics(running, node.name) for name in interfaces(row, node)}
    for _, fabric, row in _of_node(running, node.name):
        if IP6 in _families(str(fabric.get("protocol")), row):
            found |= {node.loopback, *interfaces(row, node)}
    return found


def forwards_ipv6(running: RunningConfig, node: NodeFacts) -> bool:
    """Whether a fabric has the node forward IPv6."""
    return any(IP6 in _families(str(fabric.get("protocol")), row) for _, fabric, row in _of_node(running, node.name))


def interfaces(row: Props, node: NodeFacts) -> list[str]:
    """A fabric node's interfaces; one that names none uses the lab's underlay."""
    return list(_named(row)) or [node.underlay]


def _named(row: Props) -> Mapping[str, Mapping[str, str]]:
    listed = (
        dict(part.partition("=")[::2] for part in entry.split(",")) if isinstance(entry, str) else dict(entry)
        for entry in row.get("interfaces") or ()
    )
    return {str(props["name"]): props for props in listed}


def _of_node(running: RunningConfig, node: str) -> Iterator[tuple[str, Props, Props]]:
    for id_, fabric in sorted(running.fabrics.items()):
        row = running.fabric_node(id_, node)
        if row is not None and _families(str(fabric.get("protocol")), row):
            yield id_, fabric, row


def _families(protocol: str, row: Props) -> list[Family]:
    """Those that a node has an address of; the lab builds IPv6 of OpenFabric alone."""
    return [family for family in (IP, IP6) if row.get(family.key) and (family is IP or protocol == "openfabric")]


def _ospf(fabric: Props, row: Props, node: NodeFacts, tuning: Tuning, *, first: bool) -> list[str]:
    area = fabric.get("area", "0")
    router = [f" ospf router-id {row['ip']}"] if first else []
    router += [f" {line}" for line in redistributed(fabric)]
    lines = ["router ospf", *router, "exit", "!"] if router else []
    lines += [f"interface {node.loopback}", f" ip ospf area {area}", " ip ospf passive", "exit", "!"]
    named = _named(row)
    for name in interfaces(row, node):
        props = named.get(name, {})
        unnumbered = name != node.underlay and not props.get("ip")
        kind = props.get("network_type") or ("point-to-point" if unnumbered else "")
        lines += [
            f"interface {name}",
            # The area comes last: with it OSPF begins, and waits for a designated router as the timers above it say.
            f" ip ospf hello-interval {tuning.ospf_hello}",
            f" ip ospf dead-interval {tuning.ospf_dead}",
            *([f" ip ospf network {kind}"] if kind else []),
            f" ip ospf area {area}",
            "exit",
            "!",
        ]
    return lines


def _openfabric(id_: str, fabric: Props, row: Props, node: NodeFacts) -> list[str]:
    routers = [f" {family.word} router openfabric {id_}" for family in _families("openfabric", row)]
    lines = [f"router openfabric {id_}", f" net 49.0001.{_system_id(row)}.00", "exit", "!"]
    lines += [f"interface {node.loopback}", *routers, " openfabric passive", "exit", "!"]
    named = _named(row)
    for name in interfaces(row, node):
        timers = {
            "hello-interval": fabric.get("hello_interval") or 1,
            "csnp-interval": fabric.get("csnp_interval"),
            "hello-multiplier": named.get(name, {}).get("hello_multiplier"),
        }
        lines += [
            f"interface {name}",
            *routers,
            *(f" openfabric {word} {value}" for word, value in timers.items() if value),
            "exit",
            "!",
        ]
    return lines


def _system_id(row: Props) -> str:
    """Six bytes that only this node has: its IPv4 address in decimal, else the end of its IPv6 address."""
    if row.get("ip"):
        digits = "".join(f"{octet:03d}" for octet in ipaddress.IPv4Address(str(row["ip"])).packed)
    else:
        digits = ipaddress.IPv6Address(str(row["ip6"])).packed[-6:].hex()
    return ".".join(digits[i : i + 4] for i in (0, 4, 8))


def _access_list(id_: str, protocol: str, fabric: Props, family: Family) -> list[str]:
    prefix = fabric.get(f"{family.key}_prefix")
    if not prefix or (fabric.get("route_filter") and protocol != "bgp"):
        return []
    word = "ipv6 access-list" if family is IP6 else "access-list"
    lines = [f"{word} pve_{protocol}_{id_}_{family.key}s permit {prefix}", "!"]
    if protocol == "bgp":
        lines += [f"route-map pve_bgp_{id_}_in permit 10", f" match ip address pve_bgp_{id_}_ips", "exit", "!"]
    return lines


def _source(id_: str, protocol: str, fabric: Props, row: Props, family: Family, order: int) -> list[str]:
    """The fabric's routes are installed with the node's own address as their source."""
    if fabric.get("route_filter"):
        match = f" match {family.word} address prefix-list {fabric['route_filter']}"
    elif fabric.get(f"{family.key}_prefix"):
        match = f" match {family.word} address pve_{protocol}_{id_}_{family.key}s"
    else:
        return []
    head = f"route-map pve_{protocol}{family.suffix} permit {order}"
    return [head, match, f" set src {row[family.key]}", "exit", "!"]


def redistributed(fabric: Props) -> list[str]:
    """Lines of ``redistribute`` for the protocols a fabric takes routes of."""
    found = []
    for entry in fabric.get("redistribute") or ():
        props = dict(part.partition("=")[::2] for part in entry.split(",")) if isinstance(entry, str) else entry
        route_map = f" route-map {props['route-map']}" if props.get("route-map") else ""
        found.append(f"redistribute {props['source']}{route_map}")
    return found
