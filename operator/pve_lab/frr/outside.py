"""The world beyond the exit nodes: one router of another AS, with a session to each node that has an uplink."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from pve_lab.frr.node import FrrNode
from pve_lab.running_config import RunningConfig

#: An address of the router that no route but the default leads to: "the internet".
INTERNET = "198.51.100.1"


@dataclass(frozen=True)
class Outside:
    """Who is there: the router's AS, and the nodes' uplink addresses (``192.0.2.2/30``) by node.

    Of an uplink's network the router has the first address that the node does not have.
    """

    uplinks: Mapping[str, str]
    asn: int = 65100
    nodes_asn: int = 65001

    def router(self, node: str) -> str:
        """The router's address at a node's uplink, as CIDR."""
        own = ipaddress.IPv4Interface(self.uplinks[node])
        other = next(host for host in own.network.hosts() if host != own.ip)
        return f"{other}/{own.network.prefixlen}"


class OutsideRouter(FrrNode):
    """It advertises a default route, and takes what the nodes advertise."""

    def configure(self, outside: Outside) -> None:
        """Write the configuration that the daemons start with."""
        peers = [str(ipaddress.IPv4Interface(uplink).ip) for uplink in outside.uplinks.values()]
        lines = [
            f"frr version {self._version}", "frr defaults datacenter", "hostname world",
            "service integrated-vtysh-config", "!",
            f"router bgp {outside.asn}", f" bgp router-id {INTERNET}", " no bgp default ipv4-unicast",
            " neighbor NODES peer-group", f" neighbor NODES remote-as {outside.nodes_asn}",
            f" neighbor NODES {self._tuning.bfd}", *(f" neighbor {peer} peer-group NODES" for peer in peers),
            " address-family ipv4 unicast", "  neighbor NODES activate", "  neighbor NODES default-originate",
            " exit-address-family", "exit", "!", "line vty", "!",
        ]  # fmt: skip
        (self.space.folder / "etc" / "frr.conf").write_text("\n".join([*lines, ""]))

    def reload(self, running: RunningConfig, mtu: int | None = None) -> list[str]:
        raise NotImplementedError("the world is no node of the cluster")
