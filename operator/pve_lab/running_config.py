"""The running SDN configuration as a node reads it: which VNets, which peers, which fabric."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_lab.json_schema import split_list

Props = Mapping[str, Any]
DEFAULT_MTU = 1450


@dataclass(frozen=True)
class RunningConfig:
    """Objects by id, with the property names of the API. `subnets` have ``vnet`` and ids like ``z-10.0.0.0-24``.

    ``prefix_lists`` has the entries of each, in Proxmox' texts.
    """

    controllers: Mapping[str, Props] = field(default_factory=dict)
    zones: Mapping[str, Props] = field(default_factory=dict)
    vnets: Mapping[str, Props] = field(default_factory=dict)
    subnets: Mapping[str, Props] = field(default_factory=dict)
    fabrics: Mapping[str, Props] = field(default_factory=dict)
    fabric_nodes: tuple[Props, ...] = ()
    route_map_entries: tuple[Props, ...] = ()
    prefix_lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: Mapping[str, Any],
        fabrics: Mapping[str, Props],
        fabric_nodes: Iterable[Props],
        route_map_entries: Iterable[Props] = (),
        prefix_lists: Iterable[Props] = (),
    ) -> RunningConfig:
        """A copy of one of the two configurations, so that later edits do not reach it."""
        kinds = {kind: copy.deepcopy(config.get(kind, {})) for kind in ("controllers", "zones", "vnets", "subnets")}
        return cls(
            **kinds,
            fabrics=copy.deepcopy(dict(fabrics)),
            fabric_nodes=tuple(copy.deepcopy(list(fabric_nodes))),
            route_map_entries=tuple(copy.deepcopy(list(route_map_entries))),
            prefix_lists={str(row["id"]): tuple(row["entries"]) for row in prefix_lists},
        )

    def fabric_node(self, fabric: str, node: str) -> Props | None:
        rows = (row for row in self.fabric_nodes if row.get("fabric_id") == fabric and row.get("node_id") == node)
        return next(rows, None)

    def controller_of(self, zone: str) -> Props:
        return self.controllers.get(str(self.zones[zone].get("controller")), {})

    def on_node(self, zone: str, node: str) -> bool:
        only = names(self.zones[zone].get("nodes"))
        return not only or node in only

    def peers(self, controller: Props) -> tuple[str, ...]:
        """Addresses of the overlay's nodes as the controller has them, this node's own among them."""
        if fabric := controller.get("fabric"):
            rows = [row for row in self.fabric_nodes if row.get("fabric_id") == fabric]
            return tuple(str(row["ip"]) for row in rows if row.get("ip"))
        return tuple(names(controller.get("peers")))

    def vtep(self, controller: Props, node: str, address: str) -> str:
        """The VTEP address of `node`: its own in the fabric, or that of the node itself."""
        row = self.fabric_node(str(controller.get("fabric")), node)
        return str(row["ip"]) if row and row.get("ip") else address


@dataclass(frozen=True)
class Network:
    """One VNet as a node builds it."""

    name: str
    vni: int
    local: str
    mtu: int
    port: int
    suppress: bool
    learning: bool
    isolate: bool
    mac: str | None
    gateways: tuple[str, ...]
    """Addresses of the bridge, as CIDR."""
    zone: str
    l3_vni: int | None
    leaves: bool = False
    """Whether the node is an exit node of the zone."""


def networks(running: RunningConfig, node: str, address: str) -> dict[str, Network]:
    """The EVPN VNets of a node, by name."""
    found = {}
    for name, vnet in sorted(running.vnets.items()):
        zone = str(vnet.get("zone"))
        props = running.zones.get(zone)
        if props is None or props.get("type") != "evpn" or not running.on_node(zone, node) or not vnet.get("tag"):
            continue
        found[name] = Network(
            name=name,
            vni=int(vnet["tag"]),
            local=running.vtep(running.controller_of(zone), node, address),
            mtu=int(props.get("mtu") or DEFAULT_MTU),
            port=int(props.get("vxlan-port") or 4789),
            suppress=not flag(props.get("disable-arp-nd-suppression")),
            learning=not flag(props.get("bridge-disable-mac-learning")),
            isolate=flag(vnet.get("isolate-ports")),
            mac=props.get("mac"),
            gateways=tuple(_gateways(running, name)),
            zone=zone,
            l3_vni=int(props["vrf-vxlan"]) if props.get("vrf-vxlan") else None,
            leaves=node in names(props.get("exitnodes")),
        )
    return found


def _gateways(running: RunningConfig, vnet: str) -> Iterable[str]:
    for id_, subnet in sorted(running.subnets.items()):
        if subnet.get("vnet") != vnet or not subnet.get("gateway"):
            continue
        mask = id_.rsplit("-", 1)[1]
        yield f"{ipaddress.ip_address(str(subnet['gateway']))}/{mask}"


def names(value: Any) -> list[str]:
    """A list that the API takes as text or as JSON list."""
    return split_list(value) if isinstance(value, str) else [str(name) for name in value or ()]


def flag(value: Any) -> bool:
    return str(value) in ("1", "True", "true")
