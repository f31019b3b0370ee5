"""What the nodes show of EVPN: the records that every source fills and `domain.health` assesses.

Frozen data in the words of the field (peer, VNI, VTEP, route target, MAC mobility). One `NodeObservation` is one read
of one node at one moment, filled up from another source's where that sees more.

Two kinds of nothing are kept apart in every part of an observation:

* ``None``: the source could not see this part. It is *unknown* and proves nothing.
* ``()``: the source read it, and there was nothing.

Times are timezone-aware UTC. MAC addresses are lower case with colons, IP addresses as FRR prints them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias, get_args

SourceName: TypeAlias = Literal["ssh", "frrExporter", "api"]
#: Those that see most come first.
SOURCES: tuple[SourceName, ...] = get_args(SourceName)

ESTABLISHED = "Established"


@dataclass(frozen=True, slots=True)
class PeerState:
    """One BGP neighbour of a node in address family l2vpn evpn (``show bgp l2vpn evpn summary``)."""

    address: str
    state: str
    """FRR's word: ``Established``, ``Idle``, ``Active``, ``Connect``, ``OpenSent``, ``Idle (Admin)`` ..."""
    hostname: str | None = None
    """What the peer called itself; ``None`` until it was up once."""
    remote_as: int | None = None
    since: datetime | None = None
    """Last change to or from Established, whole seconds. FRR recomputes it each time, so it may differ by a
    second from poll to poll. ``None``: never established, or the source does not say."""
    prefixes_received: int | None = None
    prefixes_sent: int | None = None
    last_error: str | None = None
    """Why the session was last reset, in FRR's words; only given while it is not Established."""

    @property
    def established(self) -> bool:
        return self.state == ESTABLISHED

    @property
    def admin_down(self) -> bool:
        return "Admin" in self.state


@dataclass(frozen=True, slots=True)
class VniRow:
    """One VNI as zebra has it (``show evpn vni``)."""

    vni: int
    type: Literal["L2", "L3"]
    vxlan_interface: str | None = None
    macs: int | None = None
    """L2: MAC addresses known. L3: router MACs known."""
    arp_nd: int | None = None
    """L2: ARP/ND entries. L3: next hops."""
    remote_vteps: tuple[str, ...] | None = None
    """The flood list, sorted. ``None`` for an L3 VNI (it floods nothing) and where only a count is given."""
    remote_vtep_count: int | None = None
    tenant_vrf: str | None = None


@dataclass(frozen=True, slots=True)
class BgpVniRow:
    """One VNI as bgpd has it (``show bgp l2vpn evpn vni``)."""

    vni: int
    type: Literal["L2", "L3"]
    rd: str | None = None
    originator_ip: str | None = None
    """The node's own VTEP address for this VNI."""
    import_rts: tuple[str, ...] = ()
    """Its import route targets, as ``65001:5001``. A route with one of them belongs to the VNI. Empty: not known."""
    in_kernel: bool | None = None
    router_mac: str | None = None
    """L3 VNI only: the MAC this node puts into its routes as router MAC."""


@dataclass(frozen=True, slots=True)
class MacRow:
    """One MAC of one L2 VNI as zebra has it (``show evpn mac vni all``)."""

    vni: int
    mac: str
    type: Literal["local", "remote"]
    interface: str | None = None
    """Local only: the bridge port (``tap100i0``; ``fwpr100p0`` for a NIC with firewall=1)."""
    remote_vtep: str | None = None
    local_sequence: int = 0
    remote_sequence: int = 0
    detection_count: int = 0
    duplicate: bool = False
    """Set by the nodes the MAC flaps between (5 moves in 180 s), never by the others: RFC 7432, 15.1."""

    @property
    def zombie(self) -> bool:
        """Local without a port: the NIC is gone, FRR 10.3 missed it and still advertises the route."""
        return self.type == "local" and self.interface is None


class EvpnRoute(NamedTuple):
    """One path of one EVPN route (``show bgp l2vpn evpn route``).

    A named tuple, because a node has thousands and they are made anew at each poll.
    """

    route_type: int
    """2 = MAC or MAC/IP, 3 = inclusive multicast, 5 = IP prefix (RFC 7432, RFC 9136)."""
    prefix: str
    """FRR's key, for instance ``[2]:[0]:[48]:[bc:24:11:11:11:11]``."""
    rd: str
    vni: int | None = None
    """L2 VNI of types 2 and 3, L3 VNI of type 5; from the route target, or stated by ``route detail``.
    ``None`` where the route targets do not tell which it is."""
    l3_vni: int | None = None
    """The tenant's L3 VNI where the route carries it too (MAC/IP of a routed VNet) or is it (type 5)."""
    mac: str | None = None
    ip: str | None = None
    """Type 2: the host (``None``: a MAC-only route). Type 3: the originator. Type 5: the network's address."""
    prefix_length: int | None = None
    """Type 5 only: length of the prefix `ip`."""
    next_hop: str | None = None
    """The VTEP."""
    own: bool = False
    """The node this was read on originates it."""
    best: bool = False
    valid: bool = False
    mobility: int = 0
    """Sequence number of the MAC mobility extended community, 0 where absent (RFC 7432, 7.7)."""
    sticky: bool = False
    route_targets: tuple[str, ...] = ()
    router_mac: str | None = None
    peer: str | None = None
    """The neighbour it was learnt from; ``None`` for own routes."""


@dataclass(frozen=True, slots=True)
class BfdPeer:
    """One BFD session (``show bfd peers``)."""

    peer: str
    status: str
    """``up``, ``down``, ``init`` or ``shutdown``."""
    local: str | None = None
    vrf: str | None = None
    interface: str | None = None
    diagnostic: str | None = None


@dataclass(frozen=True, slots=True)
class FabricNeighbour:
    """One neighbour of a routing protocol beside BGP (OSPF, OpenFabric, IS-IS)."""

    protocol: str
    neighbour: str
    """OSPF: router id. OpenFabric, IS-IS: system id or hostname. API: as Proxmox prints it."""
    state: str
    """As printed: ``Full/DR``, ``2-Way/DROther``, ``Up``, ``Initializing`` ..."""
    interface: str | None = None
    address: str | None = None
    fabric: str | None = None
    """The fabric's Proxmox id where the source names it. IS-IS: the domain."""

    @property
    def up(self) -> bool:
        """Adjacency is complete; 2-Way between two DROthers on a LAN is complete too (RFC 2328, 10.4)."""
        return self.state.startswith(("Full", "Up", "Established")) or self.state == "2-Way/DROther"


@dataclass(frozen=True, slots=True)
class FabricLink:
    """One interface of a node in a fabric; `state` and `type` as FRR prints them."""

    name: str
    state: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class FabricView:
    """What one node shows of one fabric. Each part is ``None`` until it was read."""

    neighbours: tuple[FabricNeighbour, ...] | None = None
    links: tuple[FabricLink, ...] | None = None
    routes: tuple[str, ...] | None = None
    """Networks it has a route to."""


@dataclass(frozen=True, slots=True)
class MacIp:
    """One row of Proxmox's ``mac-vrf``: best path of a MAC/IP route. MAC-only routes are not in it."""

    vnet: str
    mac: str
    ip: str
    next_hop: str
    at: datetime
    """When this VNet was read; sampled, so older than the observation it is in."""


@dataclass(frozen=True, slots=True)
class IpVrfRoute:
    """One installed route of a zone's VRF, from Proxmox's ``ip-vrf``."""

    zone: str
    prefix: str
    protocol: str
    next_hops: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """The IPv4 default route that a node prefers in one VRF (``show ip route vrf all 0.0.0.0/0``)."""

    protocol: str
    """FRR's word: ``bgp``, ``kernel``, ``static``, ``ospf`` ..."""
    next_hops: tuple[str, ...] = ()
    """Addresses, or interfaces where there is no address."""
    unreachable: bool = False
    """It discards packets (unreachable, blackhole, prohibited)."""


@dataclass(frozen=True, slots=True)
class NodeObservation:
    """One read of one node. See the module for what ``None`` and ``()`` mean."""

    node: str
    source: SourceName
    at: datetime
    frr_version: str | None = None
    router_id: str | None = None
    asn: int | None = None
    bgp_running: bool | None = None
    """``False``: the source saw that bgpd is not running or has no EVPN. zebra then forgets every MAC and
    VNI, so `vnis` and `macs` are ``None``: their emptiness says nothing of guests."""
    peers: tuple[PeerState, ...] | None = None
    unicast_peers: tuple[PeerState, ...] | None = None
    """Neighbours in the IPv4 and IPv6 unicast families: routers outside of the overlay."""
    vnis: tuple[VniRow, ...] | None = None
    bgp_vnis: tuple[BgpVniRow, ...] | None = None
    macs: tuple[MacRow, ...] | None = None
    routes: tuple[EvpnRoute, ...] | None = None
    bfd_peers: tuple[BfdPeer, ...] | None = None
    fabric_neighbours: tuple[FabricNeighbour, ...] | None = None
    isis_running: bool | None = None
    """``None``: the source cannot tell, as a helper of the time before it read isisd."""
    isis_neighbours: tuple[FabricNeighbour, ...] | None = None
    """``()`` where isisd does not run, too."""
    fabrics: Mapping[str, FabricView] | None = None
    """By the fabric's Proxmox id; a fabric that is not in it is unknown."""
    mac_ips: tuple[MacIp, ...] | None = None
    """Only what was sampled so far: a MAC that is not in it is unknown, not absent."""
    ip_vrf: tuple[IpVrfRoute, ...] | None = None
    default_routes: Mapping[str, DefaultRoute] | None = None
    """By VRF, ``default`` for the node's own table; a VRF that is not in it has none, or does not exist."""
    advertised: Mapping[str, tuple[str, ...]] | None = None
    """By IPv4 network of the node's own BGP table: the peers it is advertised to. Only networks that were asked for."""
    rp_filter: Mapping[str, int] | None = None
    """``net.ipv4.conf.*.rp_filter`` of ``all`` and of the interfaces of VRFs: 0 off, 1 strict, 2 loose."""
    translated: tuple[str, ...] | None = None
    """Networks whose source addresses Proxmox' generated interfaces configuration translates (SNAT)."""
    problems: tuple[str, ...] = ()
    """What could not be read, in one sentence each; the same from poll to poll while the cause is the same."""
    also: tuple[SourceName, ...] = ()
    """Sources beside `source` that parts of this come from."""
    instead_of: ObservationFailure | None = None
    """Why the preferred source shows nothing, where this is what others see."""

    @property
    def sources(self) -> tuple[SourceName, ...]:
        return (self.source, *self.also)

    @property
    def lacks(self) -> bool:
        """Whether another source could show more of sessions or MACs. Where bgpd is dead there are none."""
        if self.bgp_running is False:
            return False
        return self.peers is None or (self.routes is None and self.macs is None and self.mac_ips is None)

    def filled_from(self, other: NodeObservation) -> NodeObservation:
        """This, with the parts that it could not see and `other` could. Its time and its `problems` stay its own."""
        own = {"node", "source", "at", "problems", "also", "instead_of"}
        if self.bgp_running is False:
            own |= _FORGOTTEN_WITHOUT_BGP
        seen = {
            part.name: theirs
            for part in fields(self)
            if part.name not in own
            and getattr(self, part.name) is None
            and (theirs := getattr(other, part.name)) is not None
        }
        return replace(self, **seen, also=(*self.also, *other.sources)) if seen else self

    @property
    def vteps(self) -> frozenset[str]:
        """The node's own VTEP addresses, from bgpd's VNI table and its own type-3 routes."""
        rows = {row.originator_ip for row in self.bgp_vnis or () if row.originator_ip}
        own = {r.next_hop for r in self.routes or () if r.own and r.route_type == 3 and r.next_hop}
        return frozenset(rows | own)

    @property
    def own_addresses(self) -> frozenset[str]:
        """The addresses that the node itself uses in BGP: its VTEPs and its router id."""
        return self.vteps | ({self.router_id} if self.router_id else frozenset())


#: Parts of an observation that are deliberately unknown where bgpd does not run.
_FORGOTTEN_WITHOUT_BGP = {"vnis", "macs"}


@dataclass(frozen=True, slots=True)
class ObservationFailure:
    """A node no source could be read on. It says nothing about the node's network."""

    node: str
    at: datetime
    reason: str
    """CamelCase word: ``Unreachable``, ``Timeout``, ``HostKeyMismatch``, ``AuthenticationFailed``,
    ``Refused``, ``NotConfigured``, ``Unsupported``, ``Unreadable``."""
    message: str
    source: SourceName | None = None
    settled: bool = True
    """``False``: the grace time is still running; what was reported last stays."""


NodeResult: TypeAlias = NodeObservation | ObservationFailure


def failure_in(result: NodeResult | None) -> ObservationFailure | None:
    """Why the preferred source shows nothing of a node, whether another one does or none; ``None`` if it does."""
    return result.instead_of if isinstance(result, NodeObservation) else result


@dataclass(frozen=True, slots=True)
class ClusterObservation:
    """One poll of one cluster: every node that was asked, by node name."""

    at: datetime
    nodes: Mapping[str, NodeResult] = field(default_factory=dict)

    def answered(self) -> dict[str, NodeObservation]:
        """The nodes that answered."""
        return {name: result for name, result in self.nodes.items() if isinstance(result, NodeObservation)}

    def failed(self) -> dict[str, ObservationFailure]:
        """The nodes that did not."""
        return {name: result for name, result in self.nodes.items() if isinstance(result, ObservationFailure)}
