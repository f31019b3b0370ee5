"""The lab's own promises on real FRR: what the seed topology looks like in vtysh, and what guests do to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pve_evpn.observe.frr import observation
from pve_lab.frr.guests import Nic
from pve_lab.frr.topology import Topology
from tests.frr.world import NODES, VM1, VNET, VNI, await_full_mesh, seed
from tests.waiting import await_


@pytest.fixture
def vm1(frr_lab: Topology) -> Iterator[Nic]:
    """VM 100 on pve4 behind a firewall bridge, silent so far."""
    nic = Nic(100, 0, VNET, VM1, firewall=True, ip="10.50.1.11")
    frr_lab.plug("pve4", nic)
    yield nic
    frr_lab.unplug(100)
    await_("VM1's route is gone", lambda: frr_lab.tables("pve1").mac_route(VM1) is None)


def test_twelve_sessions_and_type_3_routes_on_all_nodes(frr_lab: Topology) -> None:
    views = [frr_lab.tables(name) for name in NODES]
    assert sum(len(tables.established()) for tables in views) == 12
    assert all(tables.vteps() == set(NODES.values()) for tables in views)


def test_the_zones_l3_vni_is_up_on_all_nodes(frr_lab: Topology) -> None:
    """In the zone's VRF, or in the default VRF where this kernel has no others."""
    for name in NODES:
        row = frr_lab.tables(name).json("show evpn vni").get("100001", {})
        vrf = "vrf_EZone1" if frr_lab.vrf else "default"
        assert (row.get("type"), row.get("tenantVrf")) == ("L3", vrf)


def test_a_guest_is_announced_when_it_speaks_and_forgotten_when_it_is_silent(frr_lab: Topology, vm1: Nic) -> None:
    tables = frr_lab.tables("pve1")
    assert tables.mac_route(VM1) is None
    frr_lab.speak(100)
    route = await_("pve1 sees VM1", lambda: tables.mac_route(VM1))
    assert (route.nexthop, route.moves) == (NODES["pve4"], 0)
    await_("VM1's MAC has aged", lambda: tables.mac_route(VM1) is None)


def test_a_migration_is_counted(frr_lab: Topology, vm1: Nic) -> None:
    tables = frr_lab.tables("pve1")
    frr_lab.speak(100)
    await_("pve1 sees VM1", lambda: tables.mac_route(VM1))
    frr_lab.move(100, "pve3")
    await_("VM1 is on pve3", lambda: (r := tables.mac_route(VM1)) and (r.nexthop, r.moves) == (NODES["pve3"], 1))


def test_guests_on_two_nodes_reach_each_other_through_the_fabric(frr_lab: Topology, vm1: Nic) -> None:
    frr_lab.plug("pve2", Nic(200, 0, VNET, "bc:24:11:22:22:22", ip="10.50.1.22", container=True))
    try:
        assert frr_lab.guests.reaches(100, 200)
        assert frr_lab.guests.reaches(200, 100)
    finally:
        frr_lab.unplug(200)


@pytest.mark.frr_long
def test_a_dead_bgpd_costs_its_sessions_and_comes_back(frr_lab: Topology) -> None:
    tables = frr_lab.tables("pve1")
    frr_lab.nodes["pve2"].kill_daemon("bgpd")
    await_("pve1 misses pve2", lambda: tables.established() == {NODES["pve3"], NODES["pve4"]})
    assert frr_lab.tables("pve2").sessions() == {}
    frr_lab.nodes["pve2"].start_daemon("bgpd")
    await_("pve2 is back", lambda: len(tables.established()) == 3)
    await_("pve1 floods to pve2", lambda: NODES["pve2"] in tables.flood_list(VNI))


def test_a_node_cut_off_from_the_underlay_is_noticed_by_the_others(frr_lab: Topology) -> None:
    tables = frr_lab.tables("pve1")
    frr_lab.cut("pve2")
    await_("pve1 misses pve2", lambda: NODES["pve2"] not in tables.established())
    frr_lab.mend("pve2")
    await_("pve2 is back", lambda: len(tables.established()) == 3)


@pytest.mark.frr_long
def test_without_mac_learning_a_guest_is_announced_that_never_spoke(frr_lab: Topology) -> None:
    frr_lab.apply(seed(**{"bridge-disable-mac-learning": 1}))
    frr_lab.plug("pve4", Nic(101, 0, VNET, "bc:24:11:00:01:01", firewall=True))
    try:
        await_("pve1 sees VM 101", lambda: frr_lab.tables("pve1").mac_route("bc:24:11:00:01:01"))
    finally:
        frr_lab.unplug(101)
        frr_lab.apply(seed())


def test_another_mtu_of_the_zone_is_set_in_place(frr_lab: Topology) -> None:
    """Interfaces keep their index: none is made anew, as ifupdown2 does it."""

    def links() -> dict[str, tuple[int, int]]:
        rows = frr_lab.nodes["pve3"].bridges.links()
        return {row["ifname"]: (row["ifindex"], row["mtu"]) for row in rows if row["ifname"] in overlay}

    overlay = (VNET, f"vxlan_{VNET}", "vrfbr_EZone1", "vrfvx_EZone1")
    before = links()
    frr_lab.apply(seed(mtu=1400))
    assert links() == {name: (index, 1400) for name, (index, _) in before.items()}
    await_full_mesh(frr_lab)
    frr_lab.apply(seed())
    assert links() == before


def test_ssh_does_what_the_key_is_for_and_nothing_else(frr_lab: Topology, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(frr_lab.ssh.known_hosts)
    options = ["-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]

    def ssh(node: str, command: str) -> subprocess.CompletedProcess[str]:
        where = ["-p", str(frr_lab.ssh.port), f"{frr_lab.ssh.user}@{frr_lab.ssh.addresses[node]}"]
        key = ["-i", str(frr_lab.ssh.key.path), "-F", "none"]
        return subprocess.run(["ssh", *key, *options, *where, command], capture_output=True, text=True, check=False)

    for node in NODES:
        answer = ssh(node, "read").stdout
        version = next(line for line in answer.splitlines() if line.startswith("FRRouting"))
        assert f"({node})" in version
        assert answer.endswith("pve-evpn-observe end\n")
        seen = observation(node, datetime.now(UTC), answer)
        assert seen.problems == (), "FRR answers every command that the helper sends"
        assert len(seen.peers or ()) == 3
        assert seen.unicast_peers == (), "the overlay's sessions are none with routers outside"
    assert ssh("pve1", "cat /etc/passwd").returncode == 126


def test_a_reload_that_fails_says_so_and_changes_nothing(frr_lab: Topology) -> None:
    frr_lab.nodes["pve3"].fail_reload = "pve3: no space left on device"
    before = frr_lab.vtysh("pve3", "show running-config")
    with pytest.raises(RuntimeError, match="no space left"):
        frr_lab.apply(seed(mtu=1400), ["pve3"])
    frr_lab.nodes["pve3"].fail_reload = ""
    assert frr_lab.vtysh("pve3", "show running-config") == before
