"""What Proxmox holds and the API server or the plan refuses: the rules about a spec that its model does not check.

The CRDs' rules are CEL, which only the API server evaluates. Those that a configuration of Proxmox can break are here
once more; ``tests/kube/test_export.py`` holds exports against the real ones.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from itertools import combinations

from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.api.fabric import FabricSpec
from pve_evpn.api.firewall import Firewall
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.api.policy import PrefixListSpec, RouteMapSpec
from pve_evpn.api.router import BgpControllerSpec, IsisControllerSpec
from pve_evpn.api.service import DnsServerSpec, IpamSpec
from pve_evpn.api.types import ApiModel
from pve_evpn.api.vnet import Subnet
from pve_evpn.api.zone import EvpnZoneSpec

Wrong = Iterator[tuple[str, str]]
_SHORTEST_PREFIX = 8
_MOST_PORTS = 15


def of(spec: ApiModel, members: Iterable[str]) -> Wrong:
    """The fields of a spec that are refused, and why. ``members``: the nodes of the Proxmox cluster."""
    match spec:
        case EvpnControllerSpec():
            yield from _controller(spec, members)
        case BgpControllerSpec():
            yield from _unknown("node", [spec.node], members)
            yield from _peers("peers", spec.peers)
            if spec.ebgp_multihop is not None and not spec.ebgp:
                yield "ebgpMultihop", "it needs ebgp"
        case IsisControllerSpec():
            yield from _unknown("node", [spec.node], members)
        case EvpnZoneSpec():
            yield from _zone(spec, members)
        case FabricSpec():
            yield from _fabric(spec)
        case IpamSpec() | DnsServerSpec():
            if spec.fingerprint is not None and not (spec.url or "").startswith("https://"):
                yield "fingerprint", "it needs a url with https"
        case PrefixListSpec():
            yield from _prefix_list(spec)
        case RouteMapSpec():
            yield from _route_map(spec)


def _peers(path: str, peers: Iterable[str]) -> Wrong:
    for peer in peers:
        address = _address(peer)
        if address is None or address.is_unspecified or address.is_loopback or _is_local_group(address):
            yield path, f"{peer} is not the address of a router"


#: Protocols that have a field of an interface.
_OF_INTERFACES = {
    "hello_multiplier": ("OpenFabric",),
    "network_type": ("OSPF",),
    "listen_port": ("WireGuard",),
    "ip": ("OpenFabric", "OSPF", "WireGuard"),
    "ip6": ("OpenFabric", "WireGuard"),
}


def _fabric(spec: FabricSpec) -> Wrong:
    """A problem at ``nodes`` means that the fabric cannot be said."""
    if spec.prefix is None and spec.prefix6 is None:
        yield "prefix", "it has no prefix"
    if spec.protocol == "OSPF" and (spec.area is None or spec.prefix6 is not None):
        yield "nodes", "OSPF has an area and no IPv6 prefix"
    if any(entry.source.lower() == spec.protocol.lower() for entry in spec.redistribute or ()):
        yield "nodes", "it redistributes its own routes"
    for field, prefix in (("ip", spec.prefix), ("ip6", spec.prefix6)):
        texts = [text for node in spec.nodes or () if (text := getattr(node, field)) is not None]
        for text in texts:
            address = _address(text)
            if (
                prefix is None
                or address is None
                or address not in ipaddress.ip_network(prefix)
                or texts.count(text) > 1
            ):
                yield "nodes", f"{text} is outside the prefix, or there twice"
    for node in spec.nodes or ():
        if node.external and (node.public_key is None or node.endpoint is None or node.interfaces is not None):
            yield "nodes", f"{node.name} is external, and lacks a key or an endpoint, or has interfaces"
        for interface in node.interfaces or ():
            for field, protocols in _OF_INTERFACES.items():
                if getattr(interface, field) is not None and spec.protocol not in protocols:
                    yield "nodes", f"{interface.name} of {node.name} has {field}, which is not of {spec.protocol}"
            for field, version in (("ip", 4), ("ip6", 6)):
                text = getattr(interface, field)
                if text is not None and not _is_interface(text, version, shortest=0):
                    yield "nodes", f"{text} of {interface.name} of {node.name} is no address with a length"


def _prefix_list(spec: PrefixListSpec) -> Wrong:
    for entry in spec.entries:
        network = ipaddress.ip_network(entry.prefix)
        least, most = entry.ge or network.prefixlen, entry.le if entry.le is not None else network.max_prefixlen
        if entry.ge is not None and entry.ge < network.prefixlen:
            least = -1
        if _is_mapped(network.network_address) or not network.prefixlen <= least <= most <= network.max_prefixlen:
            yield "entries", f"entry {entry.seq}: ge and le are not between the prefix length and the longest"


def _route_map(spec: RouteMapSpec) -> Wrong:
    for entry in spec.entries:
        where = f"entry {entry.order}"
        leave, match, actions = entry.exit, entry.match, entry.set
        if leave and ((leave.action == "Next") is not (leave.order is None) or (leave.order or 65536) <= entry.order):
            yield "entries", f"{where}: it does not go on with a later entry"
        hops = [(part.next_hop, 4) for part in (match, actions) if part]
        hops += [(part.next_hop6, 6) for part in (match, actions) if part]
        hops += [(actions.src, 0)] if actions else []
        for text, version in hops:
            address = None if text is None else _address(text)
            if text is not None and (address is None or version not in (0, address.version)):
                yield "entries", f"{where}: {text} is no address of its IP version"
        if actions is None:
            continue
        ways = (actions.next_hop is not None, actions.next_hop_peer_address, actions.next_hop_unchanged)
        if sum(map(bool, ways)) > 1 or (actions.next_hop6 is not None and actions.next_hop6_peer_address):
            yield "entries", f"{where}: several next hops"


def _controller(spec: EvpnControllerSpec, members: Iterable[str]) -> Wrong:
    underlay = spec.underlay
    yield from _peers("underlay.peers", underlay.peers or ())
    if (underlay.peers is None) == (underlay.fabric is None):
        yield "underlay", "a controller has exactly one of peers and fabric"
    if spec.ebgp_multihop is not None and spec.bgp_mode == "Internal":
        yield "ebgpMultihop", "it has no meaning with bgp-mode internal"
    yield from _unknown("nodes", spec.nodes, members)


def _zone(spec: EvpnZoneSpec, members: Iterable[str]) -> Wrong:
    yield from _unknown("nodes", spec.nodes, members)
    if exits := spec.exit_nodes:
        yield from _unknown("exitNodes.nodes", exits.nodes, members)
        if exits.primary is not None and exits.primary not in exits.nodes:
            yield "exitNodes.primary", "the primary exit node is none of the exit nodes"
        if spec.nodes is not None and not set(exits.nodes) <= set(spec.nodes):
            yield "exitNodes.nodes", "not all exit nodes are among the zone's nodes"
    if spec.dns is not None and spec.dns.server is None and spec.dns.server_ref is None:
        yield "dns", "it has no server for names"
    others = [ref.name for ref in spec.secondary_controller_refs or ()]
    if spec.controller_ref.name in others:
        yield "secondaryControllerRefs", "the first controller is among the secondary ones"


def subnet(spec: Subnet) -> Wrong:
    """About its network too: a problem at ``cidr`` means that the subnet cannot be said."""
    network = ipaddress.ip_network(spec.cidr)
    if str(network) != spec.cidr or network.prefixlen < _SHORTEST_PREFIX or _is_mapped(network.network_address):
        yield "cidr", "it is no network in its usual spelling with a prefix length of 8 or more"
    gateway = None if spec.gateway is None else _address(spec.gateway)
    if spec.gateway is not None and gateway is None:
        yield "gateway", "it is no IP address"
    elif gateway is not None:
        alone = network.version == 4 and network.prefixlen == 32
        if gateway not in network and not alone:
            yield "gateway", "it is outside the subnet"
        if network.version == 4 and network.prefixlen <= 30 and gateway == network.network_address:
            yield "gateway", "it is the address of the network itself"
    if spec.snat and spec.gateway is None:
        yield "snat", "it needs a gateway"
    for span in spec.dhcp_ranges or ():
        ends = [_address(span.start), _address(span.end)]
        if any(end is None or end not in network for end in ends):
            yield "dhcpRanges", "a range is outside the subnet"
    if spec.dhcp_dns_server is not None and _address(spec.dhcp_dns_server) is None:
        yield "dhcpDnsServer", "it is no IP address"


def overlapping(cidrs: Iterable[str]) -> Iterator[str]:
    """The networks of one VNet that overlap one before them; a VNet's subnets must not."""
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    found = {b for a, b in combinations(networks, 2) if a.version == b.version and a.overlaps(b)}
    yield from (str(network) for network in networks if network in found)


def firewall(spec: Firewall) -> Wrong:
    """A problem at ``rules`` means that the rules cannot be said."""
    for position, rule in enumerate(spec.rules or ()):
        where = f"rule {position}"
        if rule.proto in ("any", "all"):
            yield "rules", f"{where}: proto {rule.proto} is said by leaving it out"
        for ports in (rule.sport, rule.dport):
            ends = re.fullmatch(r"(\d+):(\d+)", ports or "")
            numbers = re.split("[,:]", ports or "")
            if ends and int(ends[1]) > int(ends[2]):
                yield "rules", f"{where}: {ports} begins with the higher port"
            if ports == "0" or (len(numbers) > _MOST_PORTS and not re.search("[A-Za-z]", ports or "")):
                yield "rules", f"{where}: {ports} is no port or list of up to {_MOST_PORTS}"


def nic(spec: NicAttachmentSpec) -> Wrong:
    """Addresses of containers, and limits that Proxmox does not have."""
    for path, text, version, words in (
        ("ip", spec.ip, 4, ("dhcp", "manual")),
        ("ip6", spec.ip6, 6, ("auto", "dhcp", "manual")),
    ):
        if text is not None and text not in words and not _is_interface(text, version):
            yield path, "it is no address with a prefix length of 8 or more"
    for path, gateway, address, version in (("gw", spec.gw, spec.ip, 4), ("gw6", spec.gw6, spec.ip6, 6)):
        found = None if gateway is None else _address(gateway)
        if gateway is not None and (found is None or found.version != version or "/" not in (address or "")):
            yield path, "a gateway needs a static address of its IP version"
    if spec.rate_limit_m_bps is not None and 0 < spec.rate_limit_m_bps < 0.001:
        yield "rateLimitMBps", "it is below 0.001"


def _unknown(path: str, nodes: Iterable[str] | None, members: Iterable[str]) -> Wrong:
    if gone := sorted(set(nodes or ()) - set(members)):
        yield path, f"the cluster has no node {', '.join(gone)}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """As the API server reads addresses: neither scoped nor IPv4-mapped ones."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text or _is_mapped(address) else address


def _is_mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


def _is_local_group(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Link-local multicast (RFC 5771, RFC 4291)."""
    groups = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
    return any(address.version == group.version and address in group for group in groups)


def _is_interface(text: str, version: int, shortest: int = _SHORTEST_PREFIX) -> bool:
    address, _, length = text.partition("/")
    found = _address(address)
    most = 32 if version == 4 else 128
    return (
        found is not None
        and found.version == version
        and length.isdecimal()
        and shortest <= int(length) <= most
        and str(int(length)) == length
    )
