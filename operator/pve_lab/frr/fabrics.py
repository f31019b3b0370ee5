"""SDN fabrics as text of one node's ``frr.conf``, and the addresses that go with them. Pure.

The words and their order are those that Proxmox VE 9.2 writes (published templates of proxmox-ve-rs).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from pve_lab.frr.facts import NodeFacts, Tuning
from pve_lab.running_config import Props, RunningConfig

#: First of the 32-bit numbers for private use (RFC 6996).
_PRIVATE_AS = 4_200_000_000


def fabrics(running: RunningConfig, node: NodeFacts, tuning: Tuning) -> list[str]:
    """What comes after BGP: the routers of OSPF and OpenFabric, their interfaces and the routes' source address."""
    lines: list[str] = []
    sources: dict[str, list[str]] = {}
    for id_, fabric, row in _of_node(running, node.name):
        protocol = str(fabric.get("protocol"))
        if protocol == "ospf":
            lines += _ospf(fabric, row, node, tuning, first=protocol not in sources)
        elif protocol == "openfabric":
            lines += _openfabric(id_, fabric, row, node)
        elif protocol != "bgp":
            continue
        lines += _access_list(id_, protocol, fabric)
        seen = sources.setdefault(protocol, [])
        seen += _source(id_, protocol, fabric, row, 100 + 10 * sum(line.startswith("route-map") for line in seen))
    for protocol, maps in sources.items():
        if maps:
            rest = [f"route-map pve_{protocol} permit 65535", "exit", "!"] if protocol == "bgp" else []
            lines += [*maps, *rest, f"ip protocol {protocol} route-map pve_{protocol}", "!"]
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
        if row["ip"] != node.address:
            found.add((node.loopback, f"{row['ip']}/32"))
        for name, props in _named(row).items():
            if name == node.underlay:
                continue
            if props.get("ip"):
                found.add((name, str(props["ip"])))
            elif fabric.get("protocol") in ("ospf", "openfabric"):
                found.add((name, f"{row['ip']}/32"))
    return found


def link_local(running: RunningConfig, node: NodeFacts) -> set[str]:
    """Interfaces that need IPv6 for the sessions of a BGP fabric."""
    return {name for _, _, row in bgp_fabrics(running, node.name) for name in interfaces(row, node)}


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
        if row is not None and row.get("ip"):
            yield id_, fabric, row


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
    digits = "".join(f"{octet:03d}" for octet in ipaddress.IPv4Address(str(row["ip"])).packed)
    system = ".".join(digits[i : i + 4] for i in (0, 4, 8))
    lines = [f"router openfabric {id_}", f" net 49.0001.{system}.00", "exit", "!"]
    lines += [f"interface {node.loopback}", f" ip router openfabric {id_}", " openfabric passive", "exit", "!"]
    named = _named(row)
    for name in interfaces(row, node):
        timers = {
            "hello-interval": fabric.get("hello_interval") or 1,
            "csnp-interval": fabric.get("csnp_interval"),
            "hello-multiplier": named.get(name, {}).get("hello_multiplier"),
        }
        lines += [
            f"interface {name}",
            f" ip router openfabric {id_}",
            *(f" openfabric {word} {value}" for word, value in timers.items() if value),
            "exit",
            "!",
        ]
    return lines


def _access_list(id_: str, protocol: str, fabric: Props) -> list[str]:
    prefix = fabric.get("ip_prefix")
    if not prefix or (fabric.get("route_filter") and protocol != "bgp"):
        return []
    lines = [f"access-list pve_{protocol}_{id_}_ips permit {prefix}", "!"]
    if protocol == "bgp":
        lines += [f"route-map pve_bgp_{id_}_in permit 10", f" match ip address pve_bgp_{id_}_ips", "exit", "!"]
    return lines


def _source(id_: str, protocol: str, fabric: Props, row: Props, order: int) -> list[str]:
    """The fabric's routes are installed with the node's own address as their source."""
    if fabric.get("route_filter"):
        match = f" match ip address prefix-list {fabric['route_filter']}"
    elif fabric.get("ip_prefix"):
        match = f" match ip address pve_{protocol}_{id_}_ips"
    else:
        return []
    return [f"route-map pve_{protocol} permit {order}", match, f" set src {row['ip']}", "exit", "!"]


def redistributed(fabric: Props) -> list[str]:
    """Lines of ``redistribute`` for the protocols a fabric takes routes of."""
    found = []
    for entry in fabric.get("redistribute") or ():
        props = dict(part.partition("=")[::2] for part in entry.split(",")) if isinstance(entry, str) else entry
        route_map = f" route-map {props['route-map']}" if props.get("route-map") else ""
        found.append(f"redistribute {props['source']}{route_map}")
    return found
