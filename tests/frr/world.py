"""The seed topology for tests on real FRR, without the lab's API in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pve_lab.frr.tables import FrrTables
from pve_lab.frr.topology import Topology
from pve_lab.running_config import RunningConfig
from tests.waiting import await_

NODES = {f"pve{n}": f"192.168.16.{n}" for n in range(1, 5)}
VNI = 5001
VNET = "EVPN1"
VM1 = "bc:24:11:11:11:11"
#: Short enough to wait for, long enough that a busy machine does not age what has just spoken.
AGEING = 4


def seed(**zone: Any) -> RunningConfig:
    """What the examples in ``examples/seed`` become in Proxmox; `zone` changes properties of the zone."""
    return RunningConfig(
        controllers={"evpn1": {"type": "evpn", "asn": 65001, "fabric": "Fabric1"}},
        zones={"EZone1": {"type": "evpn", "controller": "evpn1", "vrf-vxlan": 100001, **zone}},
        vnets={VNET: {"type": "vnet", "zone": "EZone1", "tag": VNI}},
        fabrics={"Fabric1": {"id": "Fabric1", "protocol": "ospf", "area": "0"}},
        fabric_nodes=tuple({"fabric_id": "Fabric1", "node_id": name, "ip": ip} for name, ip in NODES.items()),
    )


def await_full_mesh(lab: Topology, addresses: Mapping[str, str] = MappingProxyType(NODES)) -> None:
    """All sessions up, and every node floods the VNI to every other; ``addresses`` are their VTEPs."""
    for name, address in addresses.items():
        others = set(addresses.values()) - {address}
        tables: FrrTables = lab.tables(name)
        await_(f"{name} has its sessions", lambda tables=tables, others=others: tables.established() == others)
        await_(f"{name} floods to all", lambda tables=tables, others=others: tables.flood_list(VNI) == others)
