"""What a Fabric means in Proxmox: which nodes are in it, which address each has, and their properties. Pure.

An address that a node has stays: one that the spec does not say is taken from the status, else from the annotation that
was written ahead of the first write, else from Proxmox, and only then from what is free.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from pve_evpn.api.conditions import Reason
from pve_evpn.api.fabric import FabricInterface, FabricNode, FabricSpec, FabricStatus, Redistribution, WireGuardPeer
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.plan.subnets import Network
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot
from pve_evpn.domain.spelling import parts_of

NETWORK_TYPES: Mapping[str, str] = {
    "Broadcast": "broadcast",
    "NonBroadcast": "non-broadcast",
    "PointToMultipoint": "point-to-multipoint",
    "PointToPoint": "point-to-point",
}
#: Fields of an interface and of a WireGuard peer, and their parts in Proxmox' property strings.
INTERFACE: Mapping[str, str] = {
    "name": "name",
    "ip": "ip",
    "ip6": "ip6",
    "hello_multiplier": "hello_multiplier",
    "network_type": "network_type",
    "listen_port": "listen_port",
}
PEER: Mapping[str, str] = {
    "interface": "iface",
    "node": "node",
    "node_interface": "node_iface",
    "endpoint": "endpoint",
    "skip_routes": "skip_route_generation",
}
#: A part that Proxmox fills in by itself: the public key of an interface whose private key it has made.
SERVER_KEY = "public_key"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


# --- properties -----------------------------------------------------------------------------------------------------


def interfaces(listed: Iterable[FabricInterface] | None, keys: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """The interfaces of a node in Proxmox' parts. ``keys``: by interface the public key that Proxmox gave it."""
    if listed is None:
        return None
    found = []
    for interface in listed:
        parts = {part: getattr(interface, field) for field, part in INTERFACE.items()}
        if interface.network_type:
            parts["network_type"] = NETWORK_TYPES[interface.network_type]
        found.append(parts | ({SERVER_KEY: keys[interface.name]} if interface.name in keys else {}))
    return found


def interfaces_back(texts: Iterable[str]) -> list[dict[str, Any]]:
    """The inverse. Raises KeyError for an interface that a spec cannot have."""
    words = {word: name for name, word in NETWORK_TYPES.items()}
    numbers = {"hello_multiplier", "listen_port"}
    found = []
    for parts in map(parts_of, texts):
        entry: dict[str, Any] = {}
        for key, value in parts.items():
            if key != SERVER_KEY:
                read: Any = int(value) if key in numbers else words[value] if key == "network_type" else value
                entry[_INTERFACE_BACK[key]] = read
        found.append(entry)
    return found


_INTERFACE_BACK = {
    "name": "name",
    "ip": "ip",
    "ip6": "ip6",
    "hello_multiplier": "helloMultiplier",
    "network_type": "networkType",
    "listen_port": "listenPort",
}


def redistribution(listed: Iterable[Redistribution] | None, name_of: Callable[[str, str], str]) -> list[Any] | None:
    """``redistribute`` in Proxmox' parts."""
    if listed is None:
        return None
    return [
        {
            "source": entry.source.lower(),
            "route-map": name_of("RouteMap", entry.route_map_ref.name) if entry.route_map_ref else None,
        }
        for entry in listed
    ]


def redistribution_back(texts: Iterable[str], name_of: Callable[[str, str], str]) -> list[dict[str, Any]]:
    """The inverse; ``name_of`` names the RouteMap that stands for a route map. Raises KeyError for another source."""
    sources = {"bgp": "BGP", "connected": "Connected", "kernel": "Kernel", "ospf": "OSPF", "static": "Static"}
    found = []
    for parts in map(parts_of, texts):
        entry: dict[str, Any] = {"source": sources[parts["source"]]}
        if route_map := parts.get("route-map"):
            entry["routeMapRef"] = {"name": name_of("RouteMap", route_map)}
        found.append(entry)
    return found


def peers(listed: Iterable[WireGuardPeer] | None, external: frozenset[str]) -> list[dict[str, Any]] | None:
    """WireGuard: the peers of a node in Proxmox' parts; ``external`` are the nodes that are not of the cluster."""
    if listed is None:
        return None
    return [
        {"type": "external" if peer.node in external else "internal"}
        | {part: getattr(peer, field) or None for field, part in PEER.items()}
        for peer in listed
    ]


def peers_back(texts: Iterable[str]) -> list[dict[str, Any]]:
    """The inverse. Raises KeyError for a peer that a spec cannot have."""
    words = {part: to_camel(field) for field, part in PEER.items()}
    found = []
    for parts in map(parts_of, texts):
        entry: dict[str, Any] = {words[key]: value for key, value in parts.items() if key != "type"}
        if "skipRoutes" in entry:
            entry["skipRoutes"] = entry["skipRoutes"] == "1"
        found.append(entry)
    return found


def server_keys(there: SdnObject | None) -> dict[str, str]:
    """The public keys that Proxmox gave to a node's interfaces, by interface."""
    rows = map(parts_of, there.props.get("interfaces", ()) if there else ())
    return {row["name"]: row[SERVER_KEY] for row in rows if SERVER_KEY in row and "name" in row}


# --- members and addresses ------------------------------------------------------------------------------------------


def members(spec: FabricSpec, nodes: Iterable[str]) -> tuple[FabricNode, ...]:
    """The nodes of the fabric, by name: those that are listed, and with ``allNodes`` all of the cluster (``nodes``)."""
    listed = {node.name: node for node in spec.nodes or ()}
    if spec.all_nodes is None:
        return tuple(listed[name] for name in sorted(listed))
    alike = spec.all_nodes.interfaces
    for name in nodes:
        node = listed.setdefault(name, FabricNode(name=name))
        if node.interfaces is None:
            listed[name] = node.model_copy(update={"interfaces": alike})
    return tuple(listed[name] for name in sorted(listed))


@dataclass(frozen=True, slots=True)
class Allocation:
    """The addresses of a fabric's nodes in one family.

    Attributes:
        by_node: Address by node.
        problem: Why a node has none, or one that cannot be.
    """

    by_node: Mapping[str, str]
    problem: Problem | None = None


#: In the annotation: ``pve1=10.255.0.1,2001:db8::1 pve2=10.255.0.2``.
Remembered = Mapping[str, tuple[str, ...]]


def remembered(text: str | None) -> Remembered:
    """What the annotation says, which users can write: whatever is no address is left out."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in (text or "").split():
        name, _, listed = entry.partition("=")
        found[name] = tuple(address for address in listed.split(",") if _address(address) is not None)
    return found


def as_annotation(objects: Iterable[SdnObject]) -> str:
    """The addresses of the nodes among ``objects`` as the annotation has them."""
    nodes = (obj for obj in objects if obj.ref.kind is SdnKind.FABRIC_NODE)
    entries = (
        (obj.ref.id.partition("/")[2], ",".join(str(obj.props[key]) for key in ("ip", "ip6") if key in obj.props))
        for obj in nodes
    )
    return " ".join(f"{name}={addresses}" for name, addresses in sorted(entries) if addresses)


def allocate(
    fabric: SdnRef,
    nodes: Iterable[FabricNode],
    prefix: str | None,
    field: str,
    sdn: SdnSnapshot,
    status: FabricStatus,
    annotated: Remembered,
    taken: Iterable[int],
) -> Allocation:
    """The address of each node inside ``prefix``.

    Args:
        prefix: None where the fabric has none of this family; then no node has an address.
        field: ``ip`` or ``ip6``, the family.
        status: The addresses that were reported.
        annotated: The addresses that were written ahead.
        taken: Further addresses, as numbers, that hosts have.
    """
    if prefix is None:
        return Allocation({})
    network = ipaddress.ip_network(prefix)
    inside = [node for node in nodes if not node.external or getattr(node, field)]
    known = {row.name: getattr(row, field) for row in status.nodes or ()}
    there = {**_nodes_in(sdn.running, fabric), **_nodes_in(sdn.edited, fabric)}
    found: dict[str, str] = {}
    for node in inside:
        before = [text for text in annotated.get(node.name, ()) if _is_of(text, network)]
        proxmox = there[node.name].props.get(field) if node.name in there else None
        address = getattr(node, field) or known.get(node.name) or next(iter(before), None) or proxmox
        if address:
            found[node.name] = str(address)
    # Proxmox takes a prefix only around all addresses that it has, and an address only inside of the prefix it has.
    present = {name: str(obj.props[field]) for name, obj in there.items() if field in obj.props and name in found}
    outside = [f"{name} has {text}" for name, text in {**found, **present}.items() if not _is_of(text, network)]
    if outside:
        message = (
            f"prefix: {outside[0]}, which is not in {network}, and a node keeps its address. Take a wider prefix, or "
            "make a new Fabric"
        )
        return Allocation(found, Problem(Reason.INVALID_SPEC, message))
    if problem := _twice(found, field):
        return Allocation(found, problem)
    used = {int(ipaddress.ip_address(text)) for text in found.values()} | set(taken)
    used |= {int(a) for name, obj in there.items() if (a := _address(str(obj.props.get(field)))) and name not in found}
    free = (address for address in network.hosts() if int(address) not in used)
    for node in inside:
        if node.name not in found:
            address = next(free, None)
            if address is None:
                message = f"prefix: {network} has no free address for {node.name}"
                return Allocation(found, Problem(Reason.INVALID_SPEC, message))
            found[node.name] = str(address)
    return Allocation(found)


def _twice(found: Mapping[str, str], field: str) -> Problem | None:
    by_address: dict[str, str] = {}
    for name, text in found.items():
        other = by_address.setdefault(text, name)
        if other != name:
            message = f"nodes: {name} and {other} would both have {field} {text}; give one of them another"
            return Problem(Reason.INVALID_SPEC, message)
    return None


def _nodes_in(copy: Mapping[SdnRef, SdnObject], fabric: SdnRef) -> dict[str, SdnObject]:
    """The fabric's nodes by name."""
    parts = (obj for ref, obj in copy.items() if ref.kind is SdnKind.FABRIC_NODE and obj.parent == fabric.id)
    return {part.ref.id.partition("/")[2]: part for part in parts}


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_of(text: str, network: Network) -> bool:
    address = _address(text)
    return address is not None and address in network
