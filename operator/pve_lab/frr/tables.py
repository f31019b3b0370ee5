"""FRR's tables on a lab node, for the lab's API and for tests that compare them with what the operator reports.

It has parsers of its own: a test that used the operator's would repeat their mistakes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pve_lab.frr.node import FrrNode


@dataclass(frozen=True)
class MacRoute:
    """A type-2 route that is a best path."""

    mac: str
    ip: str | None
    nexthop: str
    moves: int


class FrrTables:
    """The tables of one node's FRR, read anew each time."""

    def __init__(self, node: FrrNode) -> None:
        self._node = node

    def json(self, command: str) -> Any:
        """An answer of vtysh; an empty object where it says nothing, as it does while a daemon is down."""
        text = self._node.vtysh(f"{command} json").strip()
        return json.loads(re.sub(r"^\{\s*,", "{", text)) if text.startswith(("{", "[")) else {}

    def sessions(self) -> dict[str, str]:
        """Peer address to BGP state."""
        peers = self.json("show bgp l2vpn evpn summary").get("peers", {})
        return {address: peer["state"] for address, peer in peers.items()}

    def established(self) -> set[str]:
        return {peer for peer, state in self.sessions().items() if state == "Established"}

    def flood_list(self, vni: int) -> set[str]:
        """VTEPs that get this VNI's broadcasts."""
        return set(self.json("show evpn vni").get(str(vni), {}).get("remoteVteps", ()))

    def macs(self, vni: int) -> dict[str, dict[str, Any]]:
        return dict(self.json("show evpn mac vni all").get(str(vni), {}).get("macs", {}))

    def vteps(self) -> set[str]:
        """Originators of type-3 routes, this node included."""
        return {route["ip"] for route in self._routes("multicast")}

    def mac_routes(self, vni: int | None = None) -> list[MacRoute]:
        """All MAC and MAC/IP routes, or those of one VNI."""
        return [
            MacRoute(route["mac"], route.get("ip"), route["nexthops"][0]["ip"], _moves(route))
            for route in self._routes("macip")
            if vni is None or vni in _vnis(route)
        ]

    def mac_route(self, mac: str) -> MacRoute | None:
        """The route of a MAC alone, or else one with an IP address."""
        found = [route for route in self.mac_routes() if route.mac == mac.lower()]
        return min(found, key=lambda route: route.ip or "", default=None)

    def _routes(self, kind: str) -> list[Mapping[str, Any]]:
        table = self.json(f"show bgp l2vpn evpn route type {kind}")
        return [
            path
            for rd in table.values()
            if isinstance(rd, dict)
            for prefix, route in rd.items()
            if prefix.startswith("[")
            for group in route["paths"]
            for path in group
            if path.get("bestpath")
        ]


def _moves(route: Mapping[str, Any]) -> int:
    match = re.search(r"\bMM:(\d+)", route.get("extendedCommunity", {}).get("string", ""))
    return int(match.group(1)) if match else 0


def _vnis(route: Mapping[str, Any]) -> set[int]:
    """The route targets' numbers: the VNI, and the L3 VNI of a route with an IP address."""
    words = route.get("extendedCommunity", {}).get("string", "")
    return {int(number) for number in re.findall(r"\bRT:\d+:(\d+)", words)}
