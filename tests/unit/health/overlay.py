"""An EVPN overlay as its nodes would describe it, for tests: healthy when made, with verbs that break it.

It is not FRR: it answers in records, and only with what the tests need. What FRR itself says is in `recorded`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pve_evpn.domain.observation import (
    BgpVniRow,
    ClusterObservation,
    EvpnRoute,
    MacRow,
    NodeObservation,
    NodeResult,
    ObservationFailure,
    PeerState,
    SourceName,
    VniRow,
)

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
VM1 = "bc:24:11:11:11:11"
VNI, L3_VNI = 5001, 100001


@dataclass
class Speaker:
    """One guest's MAC as it is announced."""

    mac: str
    vni: int
    nodes: tuple[str, ...]
    ips: tuple[str, ...] = ()
    mobility: int = 0
    zombie: bool = False
    duplicate: bool = False


@dataclass
class Overlay:
    """Nodes ``pve1`` ... at 192.168.16.1 ..., in full mesh, with one L2 and one L3 VNI."""

    size: int = 4
    l2: list[int] = field(default_factory=lambda: [VNI])
    l3: list[int] = field(default_factory=lambda: [L3_VNI])
    source: SourceName = "ssh"
    now: datetime = START
    speakers: dict[str, Speaker] = field(default_factory=dict)
    down: set[frozenset[str]] = field(default_factory=set)
    """Pairs without a session."""
    down_word: str = "Active"
    """FRR's word for them."""
    stopped: set[str] = field(default_factory=set)
    """Nodes whose bgpd is dead."""
    failed: dict[str, ObservationFailure] = field(default_factory=dict)
    fallen_back: dict[str, ObservationFailure] = field(default_factory=dict)
    """Nodes that only the Proxmox API shows, and what is wrong with ssh."""
    without: set[tuple[str, int]] = field(default_factory=set)
    """VNIs a node does not have."""
    flood_gaps: set[tuple[str, str]] = field(default_factory=set)
    """(node, node that is missing from its flood lists)"""
    strangers: set[str] = field(default_factory=set)
    """Nodes that nobody has as a peer."""

    @property
    def names(self) -> list[str]:
        return [f"pve{i}" for i in range(1, self.size + 1)]

    def address(self, name: str) -> str:
        return f"192.168.16.{name.removeprefix('pve')}"

    def speak(self, mac: str, node: str, *ips: str, vni: int = VNI, mobility: int = 0) -> None:
        self.speakers[mac] = Speaker(mac, vni, (node,), ips, mobility)

    def fail(self, name: str, reason: str = "Unreachable", *, settled: bool = True) -> None:
        message = f"no SSH connection to {self.address(name)} port 22"
        self.failed[name] = ObservationFailure(name, self.now, reason, message, "ssh", settled)

    def fall_back(self, name: str, message: str, *, settled: bool = True) -> None:
        self.fallen_back[name] = ObservationFailure(name, self.now, "HostKeyMismatch", message, "ssh", settled)

    def connected(self, one: str, other: str) -> bool:
        return not ({one, other} & (self.stopped | self.strangers)) and frozenset((one, other)) not in self.down

    # --- as the nodes see it ------------------------------------------------------------------------------------

    def seen(self) -> ClusterObservation:
        """One poll."""
        return ClusterObservation(self.now, {name: self.look(name) for name in self.names})

    def look(self, name: str) -> NodeResult:
        if name in self.failed:
            return self.failed[name]
        if failure := self.fallen_back.get(name):
            problems = (f"ssh: {failure.message}",)
            return NodeObservation(name, "api", self.now, mac_ips=(), problems=problems, instead_of=failure)
        if name in self.stopped:
            return NodeObservation(
                name, self.source, self.now, "10.3", bgp_running=False, peers=(), problems=("bgpd is not running",)
            )
        return NodeObservation(
            node=name,
            source=self.source,
            at=self.now,
            frr_version="10.3",
            router_id=self.address(name),
            asn=65001,
            bgp_running=True,
            peers=tuple(self._peer(name, other) for other in self.names if other != name and self._is_peer(other)),
            vnis=tuple(self._vnis(name)),
            bgp_vnis=tuple(self._bgp_vnis(name)),
            macs=tuple(self._macs(name)),
            routes=tuple(self._routes(name)),
            bfd_peers=(),
            fabric_neighbours=(),
        )

    def _is_peer(self, name: str) -> bool:
        return name not in self.strangers

    def _peer(self, name: str, other: str) -> PeerState:
        up = self.connected(name, other)
        # FRR computes the time anew at each look, and it wanders by a second.
        since = START - timedelta(hours=1) + timedelta(seconds=self.now.second % 2)
        return PeerState(
            address=self.address(other),
            state="Established" if up else self.down_word,
            hostname=other,
            remote_as=65001,
            since=since,
            prefixes_received=1 if up else 0,
            prefixes_sent=1 if up else 0,
            last_error=None if up else "BFD down received",
        )

    def _vnis(self, name: str) -> list[VniRow]:
        reached = [
            self.address(other)
            for other in self.names
            if other != name and self.connected(name, other) and (name, other) not in self.flood_gaps
        ]
        l2 = [
            VniRow(vni, "L2", f"vxlan_{vni}", 0, 0, tuple(sorted(reached)), len(reached), "vrf_EZone1")
            for vni in self.l2
            if (name, vni) not in self.without
        ]
        l3 = [VniRow(vni, "L3", "vrfvx_EZone1", 3, 3, None, None, "vrf_EZone1") for vni in self.l3]
        return l2 + [row for row in l3 if (name, row.vni) not in self.without]

    def _bgp_vnis(self, name: str) -> list[BgpVniRow]:
        rows = [BgpVniRow(vni, "L2", originator_ip=self.address(name)) for vni in self.l2]
        mac = f"62:ae:00:00:00:{int(name.removeprefix('pve')):02x}"
        return rows + [BgpVniRow(vni, "L3", originator_ip=self.address(name), router_mac=mac) for vni in self.l3]

    def _macs(self, name: str) -> list[MacRow]:
        rows = []
        for speaker in self.speakers.values():
            for owner in speaker.nodes:
                if owner == name:
                    port = None if speaker.zombie else "tap100i0"
                    rows.append(MacRow(speaker.vni, speaker.mac, "local", interface=port, duplicate=speaker.duplicate))
                elif self.connected(name, owner):
                    rows.append(MacRow(speaker.vni, speaker.mac, "remote", remote_vtep=self.address(owner)))
        return rows

    def _routes(self, name: str) -> list[EvpnRoute]:
        routes = []
        for other in self.names:
            if other != name and not self.connected(name, other):
                continue
            hop, own = self.address(other), other == name
            routes += [EvpnRoute(3, f"[3]:{hop}", f"{hop}:2", vni, None, None, hop, None, hop, own) for vni in self.l2]
            routes += [EvpnRoute(5, "[5]:x", f"{hop}:1", vni, vni, None, "10.0.0.0", 24, hop, own) for vni in self.l3]
            for speaker in self.speakers.values():
                if other in speaker.nodes:
                    routes += [self._mac_route(speaker, ip, hop, own) for ip in (None, *speaker.ips)]
        return routes

    def _mac_route(self, speaker: Speaker, ip: str | None, hop: str, own: bool) -> EvpnRoute:
        prefix = f"[2]:{speaker.mac}:{ip}"
        return EvpnRoute(
            2, prefix, f"{hop}:2", speaker.vni, None, speaker.mac, ip, None, hop, own, mobility=speaker.mobility
        )
