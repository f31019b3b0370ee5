"""Fabrics with addresses of their own: the overlay is reached through what the fabric's protocol has learned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.observe.frr.underlay import openfabric_neighbours
from pve_lab.frr.tables import FrrTables
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


@pytest.mark.parametrize("families", [("ip6",), ("ip", "ip6")], ids=["IPv6 alone", "both families"])
def test_openfabric_with_ipv6(families: tuple[str, ...]) -> None:
    """Neighbours, routes from the node's own address, and over them a BGP session between IPv6 addresses."""
    six = {"pve1": "fd00:9::1", "pve2": "fd00:9::2"}
    prefixes = {"ip": "10.9.0.0/24", "ip6": "fd00:9::/64"}
    rows = tuple(
        {
            "fabric_id": "fab",
            "node_id": name,
            "interfaces": ["name=eno2", "name=eno3"],
            **{key: {"ip": FABRIC[name], "ip6": six[name]}[key] for key in families},
        }
        for name in NODES
    )
    config = RunningConfig(
        fabrics={"fab": {"protocol": "openfabric", **{f"{key}_prefix": prefixes[key] for key in families}}},
        fabric_nodes=rows,
    )
    with Topology(NODES, cables=ring(dict.fromkeys(NODES, ("eno2", "eno3")))) as lab:
        lab.apply(config)
        tables = lab.tables("pve1")
        await_("pve1 has a route to pve2's IPv6 address", lambda: f"{six['pve2']}/128" in routes6(tables), 90)
        (route,) = routes6(tables)[f"{six['pve2']}/128"]
        assert {hop["interfaceName"] for hop in route["nexthops"]} == {"eno2", "eno3"}
        assert f"{six['pve2']} " in (kernel := lab.nodes["pve1"].space.ip("-6", "route", "show", "proto", "openfabric"))
        assert f"src {six['pve1']}" in kernel
        assert {state for _, state in seen(lab)} == {"Up"}
        if "ip" in families:
            await_("IPv4 too", lambda: f"{FABRIC['pve2']}/32" in tables.json("show ip route openfabric"), 60)
        for name, peer in (("pve1", six["pve2"]), ("pve2", six["pve1"])):
            lab.vtysh(
                name, "configure terminal", "router bgp 65001", f"neighbor {peer} remote-as 65001",
                f"neighbor {peer} update-source {six[name]}", "address-family l2vpn evpn", f"neighbor {peer} activate",
            )  # fmt: skip
        await_("the session over it stands", lambda: tables.established() == {six["pve2"]}, 60)
        lab.apply(RunningConfig())
        assert six["pve1"] not in lab.nodes["pve1"].space.ip("addr")


def routes6(tables: FrrTables) -> dict[str, Any]:
    return tables.json("show ipv6 route openfabric")


def seen(lab: Topology) -> list[tuple[str, str]]:
    """pve1's OpenFabric neighbours and their states, as the operator reads them."""
    printed = lab.vtysh("pve1", "show openfabric neighbor json")
    return [(row.neighbour, row.state) for row in openfabric_neighbours(printed)]
