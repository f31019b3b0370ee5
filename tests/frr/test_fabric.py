"""Fabrics with addresses of their own: the overlay is reached through what the fabric's protocol has learned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pve_evpn.observe.frr.underlay import openfabric_neighbours
from pve_lab.frr.topology import Topology, ring
from pve_lab.running_config import RunningConfig
from tests.waiting import await_

pytestmark = pytest.mark.frr_long

NODES = {"pve1": "192.168.16.1", "pve2": "192.168.16.2"}
FABRIC = {"pve1": "10.9.0.1", "pve2": "10.9.0.2"}


def over(protocol: str) -> RunningConfig:
    return RunningConfig(
        controllers={"evpn1": {"type": "evpn", "asn": 65001, "fabric": "fab"}},
        fabrics={"fab": {"protocol": protocol, "area": "0"}},
        fabric_nodes=tuple({"fabric_id": "fab", "node_id": name, "ip": ip} for name, ip in FABRIC.items()),
    )


def test_over_ospf() -> None:
    with Topology(NODES) as lab:
        lab.apply(over("ospf"))
        tables = lab.tables("pve1")
        await_("pve1 has a session with pve2's fabric address", lambda: tables.established() == {FABRIC["pve2"]}, 60)
        ((neighbour,),) = tables.json("show ip ospf neighbor")["neighbors"].values()
        assert neighbour["nbrState"].startswith("Full/")
        assert f"{FABRIC['pve2']}/32" in tables.json("show ip route ospf")


def test_openfabric_neighbours_meet() -> None:
    """Its routes follow half a minute later, which is not waited for."""
    with Topology(NODES) as lab:
        lab.apply(over("openfabric"))
        # A neighbour is up under its system id first; its name comes with its first LSP.
        await_("pve1 sees pve2 by name", lambda: seen(lab) == [("pve2", "Up")])


@pytest.mark.parametrize("protocol", ["ospf", "openfabric", "bgp"])
def test_over_cables(protocol: str) -> None:
    """Between NICs without addresses; removed, nothing of it is left in FRR or on the interfaces."""
    cables = ring(dict.fromkeys(NODES, ("eno2", "eno3")))
    config = over(protocol)
    rows = tuple({**row, "interfaces": ["name=eno2", "name=eno3"]} for row in config.fabric_nodes)
    fabric = {"fab": {**config.fabrics["fab"], "ip_prefix": "10.9.0.0/24"}}
    with Topology(NODES, cables=cables) as lab:
        lab.apply(replace(config, fabrics=fabric, fabric_nodes=rows))
        tables = lab.tables("pve1")
        await_("pve1 has a session with pve2's fabric address", lambda: tables.established() == {FABRIC["pve2"]}, 90)
        assert f"{FABRIC['pve2']}/32" in tables.json(f"show ip route {protocol}")
        lab.apply(RunningConfig())
        configured = lab.vtysh("pve1", "show running-config")
        assert "router" not in configured
        assert "route-map" not in configured
        assert FABRIC["pve1"] not in lab.nodes["pve1"].space.ip("addr")


def seen(lab: Topology) -> list[tuple[str, str]]:
    """pve1's OpenFabric neighbours and their states, as the operator reads them."""
    printed = lab.vtysh("pve1", "show openfabric neighbor json")
    return [(row.neighbour, row.state) for row in openfabric_neighbours(printed)]
