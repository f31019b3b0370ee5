"""What should be seen on the nodes: the controllers' sessions, VNIs and MACs of one cluster, and on which nodes.

Pure values, made by `domain.health.overlay`: `domain.health` compares an observation of the nodes with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.state import NodeState


@dataclass(frozen=True, slots=True)
class ExpectedController:
    """One EvpnController and the nodes it is on.

    Attributes:
        key: The EvpnController.
        id: Its name in Proxmox.
        peers: The peer addresses as configured; None where each node's own address is one of them (a fabric's, or the
            cluster's).
        addresses: Per node the addresses it may have as a peer; None if they are not known.
        outsiders: By address the nodes of the cluster that the controller is not on.
        running: Whether the controller is in Proxmox' running configuration, or was when that was last read. Before,
            no node can have its sessions.
    """

    key: ObjectKey
    id: str
    peers: tuple[str, ...] | None
    addresses: Mapping[str, tuple[str, ...] | None]
    outsiders: Mapping[str, str] = field(default_factory=dict)
    running: bool = True


@dataclass(frozen=True, slots=True)
class ExpectedSessions:
    """The BGP sessions that one controller's configuration asks for; `domain.health.sessions` makes it.

    Attributes:
        sessions: Per node: peer address to the peer's node name, None where no node of the cluster has that address
            (a route reflector, for instance).
        vteps: Per node its own address among the peers.
        missing: Nodes the controller is on which have no address among the peers, though their addresses are known,
            and which have no session: the other nodes do not answer them.
        undetermined: Nodes of which it is not known which peer they are.
        outsiders: By address the nodes of the cluster that the controller is not on.
        running: As of the controller.
    """

    sessions: Mapping[str, Mapping[str, str | None]]
    vteps: Mapping[str, str]
    missing: tuple[str, ...] = ()
    undetermined: tuple[str, ...] = ()
    outsiders: Mapping[str, str] = field(default_factory=dict)
    running: bool = True

    @property
    def nodes_by_vtep(self) -> dict[str, str]:
        return {address: node for node, address in self.vteps.items()}

    def describe_peer(self, address: str, name: str | None) -> str:
        """A peer as messages name it."""
        if name:
            return f"{name} ({address})"
        if outsider := self.outsiders.get(address):
            return f"{outsider} ({address}), which the controller is not on,"
        if self.undetermined:
            return f"{address}, perhaps of {' or '.join(self.undetermined)}, whose addresses are not known,"
        return f"{address}, which is no node of the cluster,"


@dataclass(frozen=True, slots=True)
class ExpectedRouter:
    """One BgpController: its node, the routers it peers with, and the route map for what it sends them, if any."""

    key: ObjectKey
    node: str
    peers: tuple[str, ...]
    map_out: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedIsis:
    """One IsisController: its node, and the interfaces that should have a neighbour."""

    key: ObjectKey
    node: str
    interfaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpectedFabric:
    """One Fabric: its name and protocol in Proxmox, and the addresses of each of its nodes.

    `links`: by node the interfaces that are configured.
    """

    key: ObjectKey
    id: str
    protocol: str
    nodes: Mapping[str, tuple[str, ...]]
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExpectedExit:
    """How a zone reaches the outside.

    Attributes:
        nodes: The exit nodes.
        primary: The one that carries the traffic, empty where all share it.
        local_routing: Whether the exit nodes reach the VRF by a pair of interfaces instead of importing its routes.
        routed: IPv4 subnets with a gateway whose addresses are not translated: the outside needs a route to them.
        translated: Those with source translation.
    """

    nodes: tuple[str, ...]
    primary: str = ""
    local_routing: bool = False
    routed: tuple[str, ...] = ()
    translated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpectedZone:
    """One EvpnZone: its L3 VNI, the nodes it should be on, its controller's id; its MTU, where that is known.

    `exit`: None without exit nodes. `exit_known`: whether `exit` is from Proxmox' running configuration.
    """

    key: ObjectKey
    id: str
    vni: int
    nodes: tuple[str, ...]
    mtu: int | None = None
    controller: str = ""
    exit: ExpectedExit | None = None
    exit_known: bool = False


@dataclass(frozen=True, slots=True)
class ExpectedVNet:
    """One VNet: its L2 VNI, the nodes it should be on, its subnets as CIDR."""

    key: ObjectKey
    id: str
    vni: int
    zone: str
    nodes: tuple[str, ...]
    subnets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nic:
    """The MAC of one NIC and its VNI. `home`: the node its guest runs on, None if not known. `running`: the guest."""

    mac: str
    vni: int
    home: str | None
    running: bool = True


@dataclass(frozen=True, slots=True)
class ExpectedNic:
    """One NicAttachment. `advertises`: whether its MAC should be advertised (the guest runs, the link is up)."""

    key: ObjectKey
    nic: Nic
    vnet: str
    advertises: bool = True


@dataclass(frozen=True, slots=True)
class ExpectedOverlay:
    """Everything of one cluster. `names`: the Proxmox name behind each VNI, of foreign objects too."""

    members: Mapping[str, NodeState] = field(default_factory=dict)
    controllers: tuple[ExpectedController, ...] = ()
    routers: tuple[ExpectedRouter, ...] = ()
    isis: tuple[ExpectedIsis, ...] = ()
    fabrics: tuple[ExpectedFabric, ...] = ()
    zones: tuple[ExpectedZone, ...] = ()
    vnets: tuple[ExpectedVNet, ...] = ()
    nics: tuple[ExpectedNic, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
