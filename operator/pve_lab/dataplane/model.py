"""A data plane that is computed: what nodes would show if all of them did what the configuration says.

Guests that spoke within the ageing time have routes, nodes that are online are neighbours. No packet is sent, and no
BGP session can be down.
"""

from __future__ import annotations

from concurrent.futures import Future

from pve_lab.cluster import Cluster
from pve_lab.ports import Rows
from pve_lab.running_config import RunningConfig, networks

AGEING_SECONDS = 300.0


class Model:
    """Rows from the cluster's state."""

    name = "model"
    notes = ("The data plane is a model: routes and neighbours are computed, there is no FRR behind them.",)

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def reload(self, node: str, running: RunningConfig) -> Future[list[str]]:
        done: Future[list[str]] = Future()
        done.set_result([])
        return done

    def follow(self) -> None:
        """The model reads the state at each request."""

    def close(self) -> None:
        """The model has nothing to close."""

    def missing(self, node: str, vnet: str) -> str:
        return ""

    def mac_vrf(self, node: str, vnet: str) -> Rows:
        """MAC/IP routes of a VNet as any node sees them: guests that spoke within the ageing time."""
        cluster = self._cluster
        now = cluster.now()
        rows = []
        for guest in sorted(cluster.guests.values(), key=lambda g: g.vmid):
            if guest.running and guest.speaks:
                guest.last_spoke = now
            there = cluster.nodes[guest.node]
            loaded = there.applied is not None and vnet in there.applied["vnets"]
            if not loaded or now - guest.last_spoke > AGEING_SECONDS or not guest.ip:
                continue
            for nic in guest.nics().values():
                if nic.bridge == vnet and nic.get("link_down") != "1":
                    rows.append({"mac": nic.mac.lower(), "ip": guest.ip, "nexthop": there.address})
        return rows

    def ip_vrf(self, node: str, zone: str) -> Rows:
        """The zone's subnets, as connected routes."""
        running = self._cluster.published()
        rows: Rows = []
        for id_, subnet in sorted(running.subnets.items()):
            vnet = str(subnet.get("vnet"))
            if running.vnets.get(vnet, {}).get("zone") == zone and subnet.get("gateway"):
                network, mask = id_.rsplit("-", 2)[1:]
                rows.append({"ip": f"{network}/{mask}", "metric": 0, "nexthops": [vnet], "protocol": "connected"})
        return rows

    def bridges(self, node: str, zone: str) -> Rows:
        return [
            {"name": name, "vlan_filtering": "0", "ports": self._ports(node, name)}
            for name in networks(self._cluster.published(), node, self._cluster.nodes[node].address)
            if self._cluster.published().vnets[name].get("zone") == zone
        ]

    def _ports(self, node: str, bridge: str) -> Rows:
        ports: Rows = [{"name": f"vxlan_{bridge}"}]
        for guest in self._cluster.guests.values():
            for key, nic in guest.nics().items() if guest.node == node and guest.running else ():
                if nic.bridge == bridge:
                    number = key.removeprefix("net")
                    tap = f"{'tap' if guest.kind == 'qemu' else 'veth'}{guest.vmid}i{number}"
                    name = f"fwpr{guest.vmid}p{number}" if nic.get("firewall") == "1" else tap
                    ports.append({"name": name, "vmid": guest.vmid, "index": key})
        return ports

    def neighbours(self, node: str, fabric: str) -> Rows:
        status = "Full/-" if self._cluster.published().fabrics.get(fabric, {}).get("protocol") == "ospf" else "Up"
        return [{"neighbor": ip, "status": status, "uptime": "1h00m00s"} for ip in self._others(node, fabric)]

    def fabric_routes(self, node: str, fabric: str) -> Rows:
        return [{"route": f"{ip}/32", "via": [ip]} for ip in self._others(node, fabric)]

    def fabric_interfaces(self, node: str, fabric: str) -> Rows:
        row = self._cluster.published().fabric_node(fabric, node)
        return [{"name": "eth0", "state": "up", "type": "Broadcast"}] if row else []

    def _others(self, node: str, fabric: str) -> list[str]:
        online = {name for name, member in self._cluster.nodes.items() if member.online}
        rows = self._cluster.published().fabric_nodes
        return [
            str(row["ip"])
            for row in rows
            if row.get("fabric_id") == fabric and row.get("node_id") in online - {node} and row.get("ip")
        ]
