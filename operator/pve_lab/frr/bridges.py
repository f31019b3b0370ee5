"""VNets on a node: what ``ifreload`` makes of the generated interfaces file, with Proxmox' names and settings.

A bridge called like the VNet with a VXLAN interface as a port: nothing is learned from the fabric, ARP is answered
from what EVPN knows where the zone says so. Ports of guests belong to `nics`; here they only survive.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pve_lab.frr.namespaces import NodeSpace, inside, run
from pve_lab.running_config import Network


class Bridges:
    """The EVPN bridges of one node."""

    def __init__(self, space: NodeSpace, ageing_seconds: float, *, vrf: bool) -> None:
        self._space = space
        self._ageing = ageing_seconds
        self._vrf = vrf
        self._made: dict[str, Network] = {}
        self._l3: dict[str, tuple[int | None, str]] = {}
        self._l3_mtu: dict[str, int] = {}
        self._tables = 0

    @property
    def made(self) -> Mapping[str, Network]:
        return self._made

    def reload(self, wanted: Mapping[str, Network]) -> list[str]:
        """Make what there is equal to what is wanted; what was done, for the task's log."""
        log = []
        there = {row["ifname"] for row in self.links()}
        for name in sorted(self._made.keys() - wanted.keys()):
            self._delete(f"vxlan_{name}", name, there=there)
            del self._made[name]
            log.append(f"removed {name}")
        self._reload_l3(wanted)
        for name, network in wanted.items():
            whole = {name, f"vxlan_{name}"} <= there
            made = self._made.get(name)
            if whole and made == network:
                continue
            if whole and made is not None and replace(made, mtu=network.mtu, leaves=network.leaves) == network:
                self._set_mtu(network.mtu, f"vxlan_{name}", name)
            else:
                self._build(network, there)
            log.append(f"{'changed' if whole else 'created'} {name}")
            self._made[name] = network
        return log

    def set_ageing(self, seconds: float) -> None:
        """How long a MAC is remembered that does not speak, from now on and on all bridges."""
        self._ageing = seconds
        for name in self._made:
            self._space.ip("link", "set", "dev", name, "type", "bridge", "ageing_time", _centiseconds(seconds))

    def remove_all(self) -> None:
        self.reload({})

    def links(self) -> list[dict[str, Any]]:
        return list(json.loads(self._space.ip("-j", "-d", "link", "show")))

    def _build(self, network: Network, there: Collection[str]) -> None:
        """The bridge stays when something about it changes, so that guests keep their ports."""
        name, vxlan = network.name, f"vxlan_{network.name}"
        self._delete(vxlan, there=there)
        commands = []
        if name not in there:
            commands.append(f"link add name {name} type bridge stp_state 0 forward_delay 0")
        if network.mac:
            commands.append(f"link set dev {name} address {network.mac}")
        commands += [
            f"link set dev {name} type bridge ageing_time {_centiseconds(self._ageing)}",
            f"link add name {vxlan} type vxlan id {network.vni} local {network.local} dstport {network.port}",
            f"link set dev {vxlan} type vxlan nolearning",
            f"link set dev {vxlan} mtu {network.mtu} master {name}",
        ]
        if self._vrf and network.l3_vni:
            commands.append(f"link set dev {name} master vrf_{network.zone}")
        commands += [f"link set dev {name} mtu {network.mtu}", f"link set dev {vxlan} up", f"link set dev {name} up"]
        commands.append(f"addr flush dev {name} scope global")
        commands += [f"addr add {gateway} dev {name}" for gateway in network.gateways]
        inside(self._space.netns, lambda: _bridge_sysctls(network))
        self._batch(commands)
        suppress = "on" if network.suppress else "off"
        self._space.bridge("link", "set", "dev", vxlan, "learning", "off", "neigh_suppress", suppress)

    def _set_mtu(self, mtu: int, *names: str) -> None:
        """In place, as ifupdown2 does; a guest's port keeps the MTU it was plugged with."""
        self._batch([f"link set dev {name} mtu {mtu}" for name in names])

    def _delete(self, *names: str, there: Collection[str]) -> None:
        self._batch([f"link del dev {name}" for name in names if name in there])

    def _reload_l3(self, wanted: Mapping[str, Network]) -> None:
        """Per zone the bridge and the VXLAN interface of its L3 VNI, in a VRF where there can be one.

        Without VRFs the first zone's are in the default VRF, and the other zones have none.
        """
        zones = sorted({n.zone: n for n in wanted.values() if n.l3_vni}.items())
        if not self._vrf:
            zones = zones[:1]
        l3 = {zone: (network.l3_vni, network.local) for zone, network in zones}
        mtus = {zone: network.mtu for zone, network in zones}
        for zone in [zone for zone, made in self._l3.items() if l3.get(zone) != made]:
            self._batch([f"link del dev vrfvx_{zone}", f"link del dev vrfbr_{zone}"])
            if self._vrf:
                self._batch([f"link del dev vrf_{zone}"])
            del self._l3[zone]
        for zone, (vni, local) in l3.items():
            bridge, vxlan = f"vrfbr_{zone}", f"vrfvx_{zone}"
            if zone in self._l3:
                if mtus[zone] != self._l3_mtu[zone]:
                    self._set_mtu(mtus[zone], vxlan, bridge)
                    self._l3_mtu[zone] = mtus[zone]
                continue
            commands = [
                f"link add name {vxlan} type vxlan id {vni} local {local} dstport 4789 nolearning",
                f"link add name {bridge} type bridge stp_state 0 forward_delay 0",
                f"link set dev {vxlan} mtu {mtus[zone]} master {bridge} up",
                f"link set dev {bridge} mtu {mtus[zone]}",
            ]
            if self._vrf:
                self._tables += 1
                commands += [
                    f"link add name vrf_{zone} type vrf table {1000 + self._tables}",
                    f"link set dev vrf_{zone} up",
                    f"link set dev {bridge} master vrf_{zone}",
                ]
            self._batch([*commands, f"link set dev {bridge} up"])
            self._space.bridge("link", "set", "dev", vxlan, "learning", "off", "neigh_suppress", "on")
            self._l3[zone], self._l3_mtu[zone] = (vni, local), mtus[zone]
        if self._vrf:
            for zone, network in zones:
                self._end_of_lookup(zone, leaves=network.leaves)

    def _end_of_lookup(self, zone: str, *, leaves: bool) -> None:
        """What the VRF does not know is looked up in the node's own table, on exit nodes only."""
        do = "del" if leaves else "replace"
        route = ("unreachable", "default", "metric", "4278198272")
        run("ip", "-n", self._space.netns, "route", do, "vrf", f"vrf_{zone}", *route, check=not leaves)

    def _batch(self, commands: list[str]) -> None:
        run("ip", "-n", self._space.netns, "-batch", "-", stdin="\n".join(commands) + "\n")


def _bridge_sysctls(network: Network) -> None:
    """Defaults for the bridge about to be made.

    ARP of guests teaches the node their addresses. IPv6 is off unless the VNet has an IPv6 gateway: what the node
    itself says on its ports must not be taken for a guest.
    """
    Path("/proc/sys/net/ipv4/conf/default/arp_accept").write_text("1")
    six = any(":" in gateway for gateway in network.gateways)
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0" if six else "1")


def _centiseconds(seconds: float) -> str:
    return str(int(seconds * 100))
