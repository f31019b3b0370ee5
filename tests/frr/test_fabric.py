"""Fabrics with addresses of their own: the overlay is reached through what the fabric's protocol has learned."""

from __future__ import annotations

import pytest

from pve_evpn.observe.frr.underlay import openfabric_neighbours
from pve_lab.frr.topology import Topology
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


def seen(lab: Topology) -> list[tuple[str, str]]:
    """pve1's OpenFabric neighbours and their states, as the operator reads them."""
    printed = lab.vtysh("pve1", "show openfabric neighbor json")
    return [(row.neighbour, row.state) for row in openfabric_neighbours(printed)]
