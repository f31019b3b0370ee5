"""The lab's API on real FRR: applies become reloads of lab nodes, guests become namespaces, answers come from vtysh.

The cluster says what is configured, and the nodes follow it. A guest that `speaks` sends a frame now and then, as an
operating system does; one that does not is a silent host.
"""

from __future__ import annotations

import ipaddress
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import refused
from pve_lab.frr.fabrics import interfaces
from pve_lab.frr.guests import Nic
from pve_lab.frr.namespaces import CommandFailed
from pve_lab.frr.outside import Outside
from pve_lab.frr.topology import Topology, ring
from pve_lab.guests import Guest
from pve_lab.ports import Rows
from pve_lab.running_config import RunningConfig

#: How often due timers run without requests, in seconds.
_TICK = 0.25


class FrrDataplane:
    """Real nodes for a cluster. `frr` is the topology, to read its tables or break its nodes. Raises `Unavailable`.

    NICs beyond a node's first are cabled in a ring. ``uplinks`` are addresses (CIDR) that nodes have towards a router
    outside, by node.
    """

    name = "frr"

    def __init__(
        self, cluster: Cluster, *, ageing_seconds: float = 300, uplinks: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._cluster = cluster
        self._ageing = ageing_seconds
        self.frr = Topology(
            {name: node.address for name, node in cluster.nodes.items()},
            ageing_seconds=ageing_seconds,
            # The first NIC is in vmbr0, which the node's eth0 stands for.
            cables=ring({name: node.network.physical[1:] for name, node in cluster.nodes.items()}),
            outside=Outside(uplinks) if uplinks else None,
        )
        self._pool = ThreadPoolExecutor(len(cluster.nodes))
        self._reachable = dict.fromkeys(cluster.nodes, True)
        self._ended = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)
        self._ticking.start()

    @property
    def notes(self) -> Sequence[str]:
        return ("The data plane is real FRR in network namespaces.", *(f"Left out: {t}." for t in self.frr.left_out))

    def close(self) -> None:
        self._ended.set()
        self._ticking.join()
        self._pool.shutdown()
        self.frr.close()

    # --- called by the cluster ------------------------------------------------------------------------------------

    def reload(self, node: str, running: RunningConfig) -> Future[list[str]]:
        # A node's eth0 stands for its vmbr0: the interface with the node's address.
        mtu = self._cluster.nodes[node].network.mtu("vmbr0")
        return self._pool.submit(self.frr.nodes[node].reload, running, mtu)

    def follow(self) -> None:
        """Cut off or reconnect nodes, then plug, change, move or unplug NICs."""
        try:
            self._follow_nodes()
            self._follow_guests()
        except CommandFailed as problem:
            print(f"data plane: {problem}", file=sys.stderr, flush=True)

    def _follow_nodes(self) -> None:
        for name, node in self._cluster.nodes.items():
            if node.online == self._reachable[name]:
                continue
            self._reachable[name] = node.online
            if node.online:
                self.frr.mend(name)
                self.frr.sshd[name].start()
            else:
                self.frr.cut(name)
                self.frr.sshd[name].stop()

    def _follow_guests(self) -> None:
        wanted = self._wanted()
        guests = self.frr.guests
        for key in guests.plugged - wanted.keys():
            self.frr.unplug(*key)
        for (vmid, index), (node, nic) in wanted.items():
            there = guests.where(vmid, index)
            if there is not None and guests.nic(vmid, index) != nic:
                self.frr.unplug(vmid, index)
                there = None
            if there == node or nic.bridge not in self.frr.nodes[node].bridges.made:
                continue
            speaks = self._cluster.guests[vmid].speaks
            if there is not None:
                self.frr.move(vmid, node, index, gratuitous=speaks)
                continue
            self.frr.plug(node, nic)
            if speaks and not nic.link_down:
                self.frr.speak(vmid, index)

    def _wanted(self) -> dict[tuple[int, int], tuple[str, Nic]]:
        """NICs of running guests in VNets, and their nodes; the lab has no bridges for other NICs."""
        vnets = self._cluster.published().vnets
        return {
            (guest.vmid, int(key.removeprefix("net"))): (guest.node, _nic(guest, key))
            for guest in self._cluster.guests.values()
            for key, nic in guest.nics().items()
            if guest.running and nic.bridge in vnets
        }

    def _tick(self) -> None:
        """Run due timers without a request, and let guests that speak send a frame before their MAC ages out."""
        waited = 0.0
        while not self._ended.wait(_TICK):
            waited += _TICK
            with self._cluster.mutex:
                self._cluster.settle()
                if waited >= self._ageing / 4:
                    waited = 0.0
                    self._speak_all()

    def _speak_all(self) -> None:
        for vmid, index in sorted(self.frr.guests.plugged):
            guest = self._cluster.guests.get(vmid)
            if guest and guest.speaks and not self.frr.guests.nic(vmid, index).link_down:
                self.frr.speak(vmid, index)

    # --- read from the nodes --------------------------------------------------------------------------------------

    def missing(self, node: str, vnet: str) -> str:
        there = {row["ifname"] for row in self.frr.nodes[node].bridges.links()}
        lacking = [name for name in (vnet, f"vxlan_{vnet}") if name not in there]
        return f"missing {lacking[0]}" if lacking else ""

    def mac_vrf(self, node: str, vnet: str) -> Rows:
        """Best MAC/IP routes of the VNet's VNI; like Proxmox, none without an IP address, and a failure without FRR."""
        row = self._cluster.published().vnets.get(vnet)
        if row is None:
            raise refused(f"vnet '{vnet}' does not exist\n")
        tables = self.frr.tables(node)
        if not tables.json("show bgp l2vpn evpn vni"):
            raise refused("failed to parse vtysh output: EOF while parsing a value at line 1 column 0\n")
        return [{"mac": r.mac, "ip": r.ip, "nexthop": r.nexthop} for r in tables.mac_routes(int(row["tag"])) if r.ip]

    def ip_vrf(self, node: str, zone: str) -> Rows:
        """Installed routes of the zone's VRF. Without VRFs in the kernel there is nothing, as when vtysh fails."""
        if not self.frr.vrf:
            return []
        table = self.frr.tables(node).json(f"show ip route vrf vrf_{zone}")
        return [
            {
                "ip": prefix,
                "metric": int(route.get("metric", 0)),
                "nexthops": [hop.get("ip") or hop.get("interfaceName") for hop in route.get("nexthops", ())],
                "protocol": route["protocol"],
            }
            for prefix, routes in table.items()
            for route in routes
            if route.get("installed")
        ]

    def bridges(self, node: str, zone: str) -> Rows:
        """The VNets' bridges with their ports, as the kernel has them."""
        member = self.frr.nodes[node]
        links = member.bridges.links()
        nics = {nic.port: nic for nic in self.frr.guests.nics(node)}
        rows: Rows = []
        for name in member.bridges.made:
            if self._cluster.published().vnets.get(name, {}).get("zone") == zone:
                ports = [_port(row["ifname"], nics) for row in links if row.get("master") == name]
                rows.append({"name": name, "vlan_filtering": "0", "ports": ports})
        return rows

    def neighbours(self, node: str, fabric: str) -> Rows:
        tables = self.frr.tables(node)
        if self._protocol(fabric) == "ospf":
            neighbours = tables.json("show ip ospf neighbor").get("neighbors", {})
            return [
                {"neighbor": key, "status": row["nbrState"], "uptime": _duration(row.get("upTimeInMsec", 0))}
                for key, rows in neighbours.items()
                for row in rows
            ]
        if self._protocol(fabric) == "bgp":
            own = self._bgp_interfaces(node, fabric)
            peers = tables.json("show bgp ipv4 unicast summary").get("peers", {})
            return [
                {"neighbor": peer.get("hostname", name), "status": peer["state"], "uptime": peer.get("peerUptime", "")}
                for name, peer in peers.items()
                if name in own
            ]
        return [
            {"neighbor": circuit.get("adj"), "status": circuit.get("state"), "uptime": str(circuit.get("last-ago", ""))}
            for area in tables.json("show openfabric neighbor").get("areas", ())
            for circuit in area.get("circuits", ())
            if circuit.get("adj")
        ]

    def fabric_routes(self, node: str, fabric: str) -> Rows:
        protocol = self._protocol(fabric)
        tables = self.frr.tables(node)
        table = dict(tables.json(f"show ip route {protocol}"))
        if protocol == "openfabric":
            table |= tables.json(f"show ipv6 route {protocol}")
        whole = ipaddress.IPv4Network(self._cluster.published().fabrics[fabric].get("ip_prefix") or "0.0.0.0/0", False)
        return [
            {"route": prefix, "via": [hop["ip"] for hop in route.get("nexthops", ()) if "ip" in hop]}
            for prefix, routes in table.items()
            # BGP also has the routes from outside.
            if protocol != "bgp" or ipaddress.IPv4Network(prefix).subnet_of(whole)
            for route in routes
        ]

    def fabric_interfaces(self, node: str, fabric: str) -> Rows:
        tables = self.frr.tables(node)
        if self._protocol(fabric) == "ospf":
            found = tables.json("show ip ospf interface").get("interfaces", {})
            return [
                {"name": name, "state": "up" if row.get("ifUp") else "down", "type": _title(row.get("networkType"))}
                for name, row in found.items()
            ]
        if self._protocol(fabric) == "bgp":
            links = {row["ifname"]: row for row in json.loads(self.frr.nodes[node].space.ip("-j", "link", "show"))}
            return [
                {"name": name, "state": str(links.get(name, {}).get("operstate", "down")).lower(), "type": "p2p"}
                for name in sorted(self._bgp_interfaces(node, fabric))
            ]
        return [
            {"name": row.get("name"), "state": row.get("state"), "type": row.get("type")}
            for area in tables.json("show openfabric interface").get("areas", ())
            for row in (circuit.get("interface", {}) for circuit in area.get("circuits", ()))
        ]

    def _bgp_interfaces(self, node: str, fabric: str) -> set[str]:
        row = self._cluster.published().fabric_node(fabric, node)
        return set(interfaces(row, self.frr.nodes[node].facts)) if row else set()

    def _protocol(self, fabric: str) -> str:
        return str(self._cluster.published().fabrics.get(fabric, {}).get("protocol"))


def _nic(guest: Guest, key: str) -> Nic:
    nic = guest.nics()[key]
    index = int(key.removeprefix("net"))
    return Nic(
        guest.vmid,
        index,
        nic.bridge,
        nic.mac.lower(),
        firewall=nic.get("firewall") == "1",
        ip=guest.ip if index == 0 else "",
        container=guest.kind == "lxc",
        link_down=nic.get("link_down") == "1",
    )


def _port(name: str, nics: dict[str, Nic]) -> dict[str, Any]:
    nic = nics.get(name)
    return {"name": name, "vmid": nic.vmid, "index": f"net{nic.index}"} if nic else {"name": name}


def _duration(milliseconds: int) -> str:
    seconds = int(milliseconds) // 1000
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m{seconds % 60:02d}s"


def _title(kind: Any) -> str:
    return str(kind or "").title()
