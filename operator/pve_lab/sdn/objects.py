"""The SDN objects of a cluster, edited and running, and what the rules of each kind ask about them."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from pve_lab.errors import ApiError, refused
from pve_lab.releases import Version, parse_version
from pve_lab.sdn.ipam import Ipam
from pve_lab.sdn.outside import Outside
from pve_lab.sdn.section_config import Props

#: Kind -> id -> object.
Config = dict[str, dict[str, Props]]

KINDS = ("controllers", "zones", "vnets", "subnets")


class SdnObjects:
    """Both copies, the services that zones use, and the Proxmox IPAM.

    ``version`` is that of Proxmox, ``nodes`` the members of the cluster; the first of them answers the API.
    """

    def __init__(self, seed: int, version: str, nodes: Sequence[str]) -> None:
        self.pve: Version = parse_version(version)
        self.nodes = list(nodes)
        self.local_node = self.nodes[0]
        self.edited: Config = {kind: {} for kind in KINDS}
        self.running: Config = {kind: {} for kind in KINDS}
        self.services: Config = {"ipams": {"pve": {"type": "pve"}}, "dns": {}}
        self.ipam = Ipam()
        self.outside = Outside()
        # The names of the route maps; RouteMaps sets it.
        self.route_maps: Callable[[], Collection[str]] = tuple
        self.random = random.Random(seed)

    def file(self, kind: str) -> dict[str, Props]:
        """The objects of a kind that a write changes: the edited copy, or for services the only one."""
        return self.services[kind] if kind in self.services else self.edited[kind]

    def subnets_of(self, vnet: str) -> list[str]:
        return [id_ for id_, props in self.edited["subnets"].items() if props.get("vnet") == vnet]

    def zone_of_subnet(self, id_: str) -> str:
        return id_.partition("-")[0]

    def zone_of_vnet(self, vnet: str) -> str:
        """By the edited copy, which Proxmox uses for permission checks too."""
        if vnet not in self.edited["vnets"]:
            raise absent("vnets", vnet)
        zone: str = self.edited["vnets"][vnet]["zone"]
        return zone

    def ipam_type(self, zone: Props) -> str:
        ipam = self.services["ipams"].get(zone.get("ipam") or "")
        return str(ipam["type"]) if ipam else ""

    def new_mac(self) -> str:
        tail = [f"{self.random.getrandbits(8):02X}" for _ in range(3)]
        return ":".join(["BC", "24", "11", *tail])


def absent(kind: str, id_: str) -> ApiError:
    """Proxmox answers 500 for an object that does not exist."""
    word = {"vnets": "sdn vnet", "subnets": "sdn subnet"}.get(kind, "sdn")
    return refused(f"{word} '{id_}' does not exist\n")
