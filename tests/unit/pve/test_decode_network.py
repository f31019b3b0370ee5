"""What is read from a node's network configuration."""

from __future__ import annotations

from pve_evpn.pve.decode import interface_names, mtus


def test_the_mtu_of_an_address_is_that_of_its_interface_or_of_what_is_below() -> None:
    rows = [
        {"iface": "eno1", "type": "eth", "mtu": "9000"},
        {"iface": "eno2", "type": "eth"},
        {"iface": "vmbr0", "type": "bridge", "bridge_ports": "eno1", "cidr": "10.0.0.1/24"},
        {"iface": "vmbr1", "type": "bridge", "bridge_ports": "eno1 eno2", "cidr": "10.1.0.1/24"},
        {"iface": "vmbr2", "type": "bridge", "bridge_ports": "", "cidr": "10.2.0.1/24"},
        {"iface": "bond0", "type": "bond", "slaves": "eno1", "mtu": 8000, "cidr": "10.3.0.1/24"},
        {"iface": "eno1.5", "type": "vlan", "vlan-raw-device": "eno1", "cidr": "10.4.0.1/24"},
        {"iface": "vmbr9", "type": "bridge", "bridge_ports": "gone0", "cidr": "10.5.0.1/24"},
        {"iface": "eno3", "type": "eth", "cidr": "fd00::1/64"},
    ]
    assert mtus(rows) == {
        "10.0.0.1": 9000, "10.1.0.1": 1500, "10.3.0.1": 8000, "10.4.0.1": 9000, "fd00::1": 1500,
    }  # fmt: skip


def test_interfaces_that_are_each_others_ports_have_no_mtu() -> None:
    rows = [
        {"iface": "a", "type": "bridge", "bridge_ports": "b", "cidr": "10.0.0.1/24"},
        {"iface": "b", "type": "bridge", "bridge_ports": "a"},
    ]
    assert mtus(rows) == {}


def test_the_names_of_a_node_are_those_of_its_own_interfaces_and_their_alternatives() -> None:
    rows = [
        {"iface": "nic0", "type": "eth", "altnames": ["enp3s0", "enx0050b6aabbcc"]},
        {"iface": "vmbr0", "type": "bridge"},
        {"iface": "net1", "type": "vnet"},
    ]
    assert interface_names(rows) == {"nic0", "enp3s0", "enx0050b6aabbcc", "vmbr0"}
