"""A data plane that is computed: what nodes would show if all of them did what the configuration says.

Guests that spoke within the ageing time have routes, nodes that are online are neighbours. No packet is sent, and no
BGP session can be down.
"""

from __future__ import annotations

from concurrent.futures import Future

from pve_lab.cluster import Cluster
from pve_lab.ports import Rows
from pve_lab.running_config import RunningConfig, names, networks

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
        cluster, running = self._cluster, self._cluster.published()
        controller = running.controller_of(str(running.vnets[vnet]["zone"])) if vnet in running.vnets else {}
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
                    vtep = running.vtep(controller, guest.node, there.address)
                    rows.append({"mac": nic.mac.lower(), "ip": guest.ip, "nexthop": vtep})
        return rows

    def ip_vrf(self, node: str, zone: str) -> Rows:
        """The zone's subnets, as connected routes, and the default route that its exit nodes originate."""
        running = self._cluster.published()
        rows: Rows = self._default_route(running, node, zone)
        for id_, subnet in sorted(running.subnets.items()):
            vnet = str(subnet.get("vnet"))
            if running.vnets.get(vnet, {}).get("zone") == zone and subnet.get("gateway"):
                network, mask = id_.rsplit("-", 2)[1:]
                rows.append({"ip": f"{network}/{mask}", "metric": 0, "nexthops": [vnet], "protocol": "connected"})
        return rows

    def _default_route(self, running: RunningConfig, node: str, zone: str) -> Rows:
        """By EVPN, from the primary while it is online. An exit node that carries traffic takes none from others."""
        props = running.zones.get(zone, {})
        exits, primary = names(props.get("exitnodes")), str(props.get("exitnodes-primary") or "")
        if not exits or (node in exits and primary in ("", node)):
            return []
        online = {name for name, member in self._cluster.nodes.items() if member.online}
        live = [name for name in exits if name != node and name in online]
        controller = running.controller_of(zone)
        hops = [
            running.vtep(controller, name, self._cluster.nodes[name].address)
            for name in ([primary] if primary in live else live)
        ]
        return [{"ip": "0.0.0.0/0", "metric": 0, "nexthops": hops, "protocol": "bgp"}] if hops else []

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
        protocol = self._cluster.published().fabrics.get(fabric, {}).get("protocol")
        status = {"ospf": "Full/-", "bgp": "Established"}.get(str(protocol), "Up")
        others = self._others(node, fabric)
        return [{"neighbor": addresses[0], "status": status, "uptime": "1h00m00s"} for addresses in others]

    def fabric_routes(self, node: str, fabric: str) -> Rows:
        found = (ip for addresses in self._others(node, fabric) for ip in addresses)
        return [{"route": f"{ip}/{128 if ':' in ip else 32}", "via": [ip]} for ip in found]

    def fabric_interfaces(self, node: str, fabric: str) -> Rows:
        """One that names none is on the node's own interface, as in the seed's fabric."""
        row = self._cluster.published().fabric_node(fabric, node)
        if row is None:
            return []
        listed = [dict(part.partition("=")[::2] for part in str(t).split(",")) for t in row.get("interfaces") or ()]
        names = [parts["name"] for parts in listed] or ["eth0"]
        return [{"name": name, "state": "up", "type": "Broadcast"} for name in names]

    def _others(self, node: str, fabric: str) -> list[list[str]]:
        """The addresses of each other node of the fabric that is online."""
        online = {name for name, member in self._cluster.nodes.items() if member.online}
        rows = [row for row in self._cluster.published().fabric_nodes if row.get("fabric_id") == fabric]
        found = ([str(r[k]) for k in ("ip", "ip6") if r.get(k)] for r in rows if r.get("node_id") in online - {node})
        return [addresses for addresses in found if addresses]
