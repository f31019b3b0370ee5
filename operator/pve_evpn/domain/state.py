"""What one Proxmox cluster looked like when it was last read. Values only; ``pve.gateway`` makes them."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pve_evpn.domain.privileges import Rights
from pve_evpn.domain.sdn import SdnKind, SdnSnapshot
from pve_evpn.text import from_outside


class PveVersion(NamedTuple):
    """Major and minor version; endpoints and parameters appear with it."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> PveVersion:
        """From ``9.2.11`` or ``9.2``. Raises ValueError for anything else."""
        parts = text.split(".")
        return cls(int(parts[0]), int(parts[1].split("-")[0]) if len(parts) > 1 else 0)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a release of Proxmox VE has, as far as the operator depends on it.

    Source: the changelogs of pve-network, pve-manager and qemu-server.

    Attributes:
        evpn_tables: ``/nodes/{node}/sdn/...`` shows mac-vrf, ip-vrf and the neighbours of fabrics.
        several_controllers: A cluster may have several EVPN controllers; one may name its nodes, a BGP mode, a peer
            group and route maps, and a zone may name secondary controllers.
        policies: Route maps and prefix lists are collections of their own below ``/cluster/sdn``.
        nic_mtu_follows_bridge: A VM's NIC without an MTU has its bridge's; before it had 1500.
    """

    evpn_tables: bool = False
    several_controllers: bool = False
    policies: bool = False
    nic_mtu_follows_bridge: bool = False


#: One row per release that the operator was written for. The SDN lock, without which no transaction is safe, begins
#: with the first.
CAPABILITIES: Mapping[PveVersion, Capabilities] = {
    PveVersion(9, 0): Capabilities(),
    PveVersion(9, 1): Capabilities(evpn_tables=True),
    PveVersion(9, 2): Capabilities(
        evpn_tables=True, several_controllers=True, policies=True, nic_mtu_follows_bridge=True
    ),
}
OLDEST_SUPPORTED, NEWEST_KNOWN = min(CAPABILITIES), max(CAPABILITIES)


def capabilities_of(version: PveVersion) -> Capabilities:
    """The row of the release, or of the newest known one before it. Raises ValueError below the oldest supported."""
    if version < OLDEST_SUPPORTED:
        raise ValueError(f"Proxmox VE {version} has no SDN lock; {OLDEST_SUPPORTED} or newer is needed")
    return CAPABILITIES[max(known for known in CAPABILITIES if known <= version)]


def release_in_words(version: PveVersion, release: str) -> str:
    """A supported release for a person; one that is newer than the operator knows is named as that."""
    if version <= NEWEST_KNOWN:
        return f"Proxmox VE {release}"
    known = f"{NEWEST_KNOWN}, the newest release this operator knows"
    return f"Proxmox VE {release} is newer than {known}; it is treated as {NEWEST_KNOWN}"


def first_with(capability: str) -> PveVersion:
    """The first release with a capability, by the name of its attribute."""
    return min(version for version, row in CAPABILITIES.items() if getattr(row, capability))


@dataclass(frozen=True, slots=True)
class NodeState:
    """One member of the Proxmox cluster.

    ``addresses`` are those configured on its interfaces; None where they could not be read. ``network_pending`` is
    the diff of staged host-network edits (an apply would commit them), empty where there are none, None if unknown.
    ``interfaces`` are the names of its own interfaces, VNets left out; None where they could not be read.
    ``mtus`` maps those of the addresses whose interface has a known MTU to it, ``interface_mtus`` the interfaces.
    ``zones`` maps zone id to Proxmox' own status (available, pending, error); None if the node did not answer.
    ``fingerprint`` is that of its API's certificate; "" where Proxmox does not tell.
    ``errors``: what the node answered instead of its ``network`` or its ``zones``; nothing where it did not answer.
    """

    name: str
    online: bool
    address: str = ""
    addresses: tuple[str, ...] | None = None
    network_pending: str | None = None
    zones: Mapping[str, str] | None = None
    vnet_messages: Mapping[str, str] = field(default_factory=dict)
    mtus: Mapping[str, int] = field(default_factory=dict)
    interface_mtus: Mapping[str, int] = field(default_factory=dict)
    interfaces: frozenset[str] | None = None
    fingerprint: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    def why_unread(self, part: str) -> str:
        """Why ``network`` or ``zones`` could not be read, in words."""
        error = self.errors.get(part)
        return f"the node answered: {error}" if error else "the node did not answer"

    def address_in(self, cidr: str | None) -> str | None:
        """The node's address inside ``cidr``; without one, the address the cluster knows it by."""
        if cidr is None:
            return self.address or None
        network = ipaddress.ip_network(cidr)
        for text in self.addresses or ((self.address,) if self.address else ()):
            address = ipaddress.ip_interface(text).ip
            if address in network:
                return str(address)
        return None


class GuestKind:
    """The two kinds of guest, as they appear in paths."""

    QEMU = "qemu"
    LXC = "lxc"


@dataclass(frozen=True, slots=True)
class GuestState:
    """One VM or container: where it is and how its NICs are configured.

    ``nics`` maps ``net0``... to the configured string with pending values applied; None until its configuration was
    read. ``pending`` has the NICs whose configured value takes effect only after a restart, with the value that is
    live until then (None: not plugged in). ``error`` is what Proxmox answered instead of the configuration, "" if
    nothing. ``digest`` guards the next write. ``known`` is false while Proxmox does not say
    whether it runs: its node is off, or its status daemon hangs, and then Proxmox does not know its name either.
    """

    vmid: int
    kind: str
    node: str
    name: str = ""
    running: bool = False
    known: bool = True
    template: bool = False
    pool: str = ""
    tags: frozenset[str] = frozenset()
    lock: str = ""
    digest: str = ""
    nics: Mapping[str, str] | None = None
    error: str = ""
    pending: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """For a person: ``VM 100 (web)``. Who may not know the guest must not be shown it."""
        name = f" ({from_outside(self.name, longest=64)})" if self.name else ""
        return f"{'VM' if self.kind == GuestKind.QEMU else 'container'} {self.vmid}{name}"

    @property
    def may_run(self) -> bool:
        return self.running or not self.known


class FirewallName(StrEnum):
    """Kinds of names that the datacenter's firewall defines and rules refer to. The values are for people."""

    MACRO = "macro"
    GROUP = "security group"
    IPSET = "IP set"
    ALIAS = "alias"

    def form(self, name: str) -> str:
        """The name for comparing: Proxmox looks up macros and aliases whatever their case."""
        return name.lower() if self in (FirewallName.MACRO, FirewallName.ALIAS) else name


#: Names by kind, in the form for comparing.
FirewallNames = Mapping[FirewallName, frozenset[str]]


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What one read of a cluster found. ``guests`` is None where guests were not read (nothing needed them).

    ``rights`` are the credentials', None where they are not known. ``firewall_names`` has the kinds that rules of VNets
    use, as far as the credentials may list them.
    """

    version: PveVersion
    sdn: SdnSnapshot
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    guests: Mapping[int, GuestState] | None = None
    quorate: bool = True
    cluster_name: str = ""
    release: str = ""
    rights: Rights | None = None
    firewall_names: FirewallNames = field(default_factory=dict)

    @property
    def capabilities(self) -> Capabilities:
        """What the release that answered has."""
        return capabilities_of(self.version)

    def unavailable_zones(self, node: NodeState) -> dict[str, str]:
        """The running zones that ``node`` should have and has not as it should, with Proxmox' word for their state.

        ``missing`` where the node does not list the zone at all.
        """
        zones = {ref.id: zone for ref, zone in self.sdn.running.items() if ref.kind is SdnKind.ZONE}
        expected = [name for name, zone in zones.items() if node.name in (zone.props.get("nodes") or (node.name,))]
        states = {name: (node.zones or {}).get(name, "missing") for name in expected}
        return {name: zone_state for name, zone_state in states.items() if zone_state != "available"}


@functools.lru_cache(maxsize=4096)
def same_form(address: str) -> str:
    """The address as Python writes it, so that ``FD00::01`` equals ``fd00::1``; other texts in lower case."""
    try:
        return str(ipaddress.ip_interface(address).ip)
    except ValueError:
        return address.lower()
