"""Guests as network namespaces: their NICs are veth pairs whose node end has the name and the place of a tap.

A guest says nothing of itself: IPv6 is off and its neighbours are static, so that only `speak` puts a frame on the
wire and a test decides when a host is silent.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path

from pve_lab.frr.namespaces import CommandFailed, LabFolder, NodeSpace, inside, run
from pve_lab.running_config import Network

_BROADCAST = b"\xff" * 6


@dataclass(frozen=True)
class Nic:
    """One NIC as the guest's configuration has it. `ip` is what the guest itself uses, as CIDR or bare address.

    With a `gateway` the guest has a default route by this NIC.
    """

    vmid: int
    index: int
    bridge: str
    mac: str
    firewall: bool = False
    ip: str = ""
    container: bool = False
    link_down: bool = False
    gateway: str = ""

    @property
    def tap(self) -> str:
        return f"{'veth' if self.container else 'tap'}{self.vmid}i{self.index}"

    @property
    def port(self) -> str:
        """The port in the VNet's bridge: with a firewall the tap sits in a bridge of its own."""
        return f"fwpr{self.vmid}p{self.index}" if self.firewall else self.tap

    @property
    def _firewall_names(self) -> tuple[str, str]:
        return f"fwbr{self.vmid}i{self.index}", f"fwln{self.vmid}i{self.index}"


@dataclass
class _Plugged:
    nic: Nic
    node: str
    #: The name of the guest's end; a guest that moves has two for a moment.
    end: str


@dataclass
class Guests:
    """All guests of a lab."""

    lab: LabFolder
    spaces: dict[str, NodeSpace]
    _plugged: dict[tuple[int, int], _Plugged] = field(default_factory=dict)
    _known: set[int] = field(default_factory=set)

    def where(self, vmid: int, index: int = 0) -> str | None:
        """The node a NIC is plugged in on."""
        plugged = self._plugged.get((vmid, index))
        return plugged.node if plugged else None

    @property
    def plugged(self) -> set[tuple[int, int]]:
        """Guest and number of every NIC that is plugged in."""
        return set(self._plugged)

    def nic(self, vmid: int, index: int = 0) -> Nic:
        return self._plugged[vmid, index].nic

    def nics(self, node: str) -> list[Nic]:
        return [plugged.nic for plugged in self._plugged.values() if plugged.node == node]

    def plug(self, node: str, nic: Nic, network: Network | None) -> None:
        """Start of a guest, or a NIC added: its port appears in the bridge. Says nothing on the wire.

        Raises `CommandFailed` where the node has no such bridge.
        """
        self._plug(node, nic, network, f"eth{nic.index}")
        self._address(self._plugged[nic.vmid, nic.index])

    def move(self, vmid: int, index: int, to: str, network: Network | None, *, gratuitous: bool = True) -> None:
        """Live migration: the NIC exists on both nodes before the guest goes on, and only then leaves the old one."""
        before = self._plugged[vmid, index]
        # An interface that is up keeps its name: kernels before 6.2 rename none.
        other = {f"eth{index}", f"next{index}"} - {before.end}
        self._plug(to, before.nic, network, other.pop())
        after = self._plugged[vmid, index]
        if gratuitous and not after.nic.link_down:
            self.speak(vmid, index)
            self._await_learned(after)
        self._unplug(before)
        self._address(after)

    def unplug(self, vmid: int, index: int = 0) -> None:
        """Stop of a guest, or a NIC removed."""
        self._unplug(self._plugged.pop((vmid, index)))

    def speak(self, vmid: int, index: int = 0, to: str | None = None) -> None:
        """Say one thing: a gratuitous ARP for the NIC's address (without one a RARP), or ask who has `to`."""
        nic, end = self._plugged[vmid, index].nic, self._plugged[vmid, index].end
        mac = bytes.fromhex(nic.mac.replace(":", ""))
        own = socket.inet_aton(str(ip_interface(nic.ip).ip)) if nic.ip else b"\0" * 4
        wanted = socket.inet_aton(to) if to else own
        operation, kind = (1, 0x0806) if nic.ip else (3, 0x8035)
        target = b"\0" * 6 if nic.ip else mac
        frame = _BROADCAST + mac + struct.pack("!HHHBBH", kind, 1, 0x0800, 6, 4, operation)
        frame += mac + own + target + wanted

        def send() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
                wire.bind((end, 0))
                wire.send(frame.ljust(60, b"\0"))

        inside(self._space(vmid), send)

    def reaches(self, vmid: int, other: int, *, seconds: float = 2) -> bool:
        """Whether a datagram of one guest arrives at another, both by their first NIC."""
        target = str(ip_interface(self._plugged[other, 0].nic.ip).ip)
        receiver = inside(self._space(other), lambda: _listener(seconds))
        with receiver:
            port = receiver.getsockname()[1]
            inside(self._space(vmid), lambda: _say(target, port, b"lab"))
            with contextlib.suppress(TimeoutError):
                return receiver.recv(16) == b"lab"
        return False

    def _plug(self, node: str, nic: Nic, network: Network | None, end: str) -> None:
        space = self.spaces[node]
        if not Path("/run/netns", self._space(nic.vmid)).exists():
            self._new_guest(nic.vmid)
        commands = [
            f"link add name {nic.tap} type veth peer name {end} address {nic.mac} netns {self._space(nic.vmid)}",
            *self._port(nic),
        ]
        try:
            run("ip", "-n", space.netns, "-batch", "-", stdin="\n".join(commands) + "\n")
        except CommandFailed:
            with contextlib.suppress(CommandFailed):
                self._delete_port(space, nic)
            raise
        if network is not None:
            self._settings(space, nic, network)
            self._ip(nic.vmid, f"link set dev {end} mtu {network.mtu}")
        self._plugged[nic.vmid, nic.index] = _Plugged(nic, node, end)
        self._ip(nic.vmid, f"link set dev {end} {'down' if nic.link_down else 'up'}")
        if not nic.link_down:
            self._await_forwarding(self._plugged[nic.vmid, nic.index])

    def _port(self, nic: Nic) -> list[str]:
        """From the tap to the bridge, as Proxmox wires it."""
        if not nic.firewall:
            return [f"link set dev {nic.tap} master {nic.bridge} up"]
        bridge, line = nic._firewall_names
        return [
            f"link add name {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link add name {line} type veth peer name {nic.port}",
            f"link set dev {line} master {bridge} up",
            f"link set dev {nic.port} master {nic.bridge} up",
            f"link set dev {nic.tap} master {bridge} up",
            f"link set dev {bridge} up",
        ]

    def _settings(self, space: NodeSpace, nic: Nic, network: Network) -> None:
        ports = {nic.tap, nic.port}
        for port in ports:
            space.ip("link", "set", "dev", port, "mtu", str(network.mtu))
        if network.isolate:
            space.bridge("link", "set", "dev", nic.port, "isolated", "on")
        if network.learning:
            return
        for port in ports:
            space.bridge("link", "set", "dev", port, "learning", "off")
            space.bridge("fdb", "append", nic.mac, "dev", port, "master", "static")

    def _address(self, plugged: _Plugged) -> None:
        if plugged.nic.ip:
            self._ip(plugged.nic.vmid, f"addr replace {_with_mask(plugged.nic.ip)} dev {plugged.end}")
        if plugged.nic.gateway:
            self._ip(plugged.nic.vmid, f"route replace default via {plugged.nic.gateway} dev {plugged.end}")

    def _await_forwarding(self, plugged: _Plugged) -> None:
        """A bridge forwards for a port some moments after it has a carrier; what is said before is lost."""
        nic, space = plugged.nic, self.spaces[plugged.node]
        ports = {nic.tap, nic.port} | ({nic._firewall_names[1]} if nic.firewall else set())
        deadline = time.monotonic() + 10
        while True:
            states = {row["ifname"]: row.get("state") for row in json.loads(space.bridge("-j", "link", "show"))}
            waiting = [port for port in sorted(ports) if states.get(port) != "forwarding"]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise CommandFailed(f"{space.name}: {', '.join(waiting)} does not forward")
            time.sleep(0.02)

    def _await_learned(self, plugged: _Plugged) -> None:
        """The old port goes when the new one has been heard of, as QEMU's cleanup comes after the switch-over."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            rows = json.loads(self.spaces[plugged.node].bridge("-j", "fdb", "show", "dev", plugged.nic.port))
            if any(row["mac"] == plugged.nic.mac.lower() for row in rows):
                return
            time.sleep(0.02)

    def _unplug(self, plugged: _Plugged) -> None:
        self._delete_port(self.spaces[plugged.node], plugged.nic)

    def _delete_port(self, space: NodeSpace, nic: Nic) -> None:
        space.ip("link", "del", "dev", nic.tap)
        if nic.firewall:
            bridge, line = nic._firewall_names
            space.ip("link", "del", "dev", line)
            space.ip("link", "del", "dev", bridge)

    def _space(self, vmid: int) -> str:
        return self.lab.name(f"vm{vmid}")

    def _new_guest(self, vmid: int) -> None:
        name = self.lab.add(f"vm{vmid}")

        def be_quiet() -> None:
            for scope in ("all", "default"):
                Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")

        inside(name, be_quiet)

    def _ip(self, vmid: int, *commands: str) -> None:
        run("ip", "-n", self._space(vmid), "-batch", "-", stdin="\n".join(commands) + "\n")


def _with_mask(address: str) -> str:
    return address if "/" in address else f"{address}/24"


def _listener(seconds: float) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(seconds)
    made.bind(("", 0))
    return made


def _say(target: str, port: int, words: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.sendto(words, (target, port))
