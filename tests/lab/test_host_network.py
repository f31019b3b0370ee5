"""A node's own network: what is read back from the file, what an edit changes in it, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pve_lab.host_network import HostNetwork
from tests.lab.clients import LabClient

NETWORK = "/nodes/pve1/network"


def row(pve: LabClient, name: str) -> dict[str, Any]:
    return next(row for row in pve.get(NETWORK) if row["iface"] == name)


def test_what_a_node_has_at_first(pve: LabClient) -> None:
    rows = {row.pop("iface"): row for row in pve.get(NETWORK)}
    assert rows["eno1"] == {
        "type": "eth", "method": "manual", "method6": "manual", "families": ["inet"], "priority": 3, "active": 1,
        "exists": 1,
    }  # fmt: skip
    assert rows["vmbr0"].items() >= {
        "type": "bridge", "bridge_ports": "eno1", "bridge_stp": "off", "bridge_fd": "0", "cidr": "192.168.16.1/24",
        "netmask": "24", "autostart": 1, "priority": 4, "active": 1,
    }.items()  # fmt: skip
    assert "exists" not in rows["vmbr0"], "that is said of physical NICs"
    assert pve.get(f"{NETWORK}/vmbr0") == rows["vmbr0"]


@pytest.mark.parametrize(
    ("params", "read"),
    [
        ({"iface": "vmbr5", "type": "bridge"}, {"bridge_ports": "", "bridge_fd": "0", "method": "manual"}),
        ({"iface": "vmbr5", "type": "bridge", "mtu": "9000"}, {"mtu": "9000"}),
        ({"iface": "vmbr5", "type": "bridge", "bridge_vlan_aware": "1"}, {"bridge_vids": "2-4094"}),
        ({"iface": "vmbr5", "type": "bridge", "comments": "a\nb"}, {"comments": "a\nb\n"}),
        (
            {"iface": "vmbr5", "type": "bridge", "address": "10.5.0.1", "netmask": "255.255.0.0"},
            {"cidr": "10.5.0.1/16", "netmask": "16", "method": "static"},
        ),
        ({"iface": "vmbr0.7", "type": "vlan"}, {"vlan-id": "7", "vlan-raw-device": "vmbr0", "exists": None}),
        ({"iface": "eno1.7", "type": "vlan"}, {"vlan-raw-device": "eno1", "exists": 1}),
        ({"iface": "vmbr5", "type": "bridge", "cidr6": "2001:db8::1/64"}, {"families": ["inet", "inet6"]}),
    ],
)
def test_a_new_interface_is_read_back(pve: LabClient, params: dict[str, str], read: dict[str, Any]) -> None:
    pve.post(NETWORK, **params)
    found = row(pve, params["iface"])
    assert {key: found[key] for key in read} == read
    assert found["priority"] == 5
    assert "active" not in found


def test_the_type_is_that_of_the_file(pve: LabClient) -> None:
    """A bridge that is written as something else keeps an option that makes no bridge of it."""
    pve.post(NETWORK, iface="vmbr5", type="bridge", autostart="1")
    pve.put(f"{NETWORK}/vmbr5", type="eth")
    found = row(pve, "vmbr5")
    assert (found["type"], found["bridge_stp"], found["autostart"]) == ("unknown", "off", 1)
    assert "bridge_ports" not in found


@pytest.mark.parametrize(("name", "sent", "found"), [("eth7", "vlan", "eth"), ("x7", "vlan", "unknown")])
def test_a_name_can_decide_the_type(pve: LabClient, name: str, sent: str, found: str) -> None:
    pve.post(NETWORK, iface=name, type=sent)
    assert row(pve, name)["type"] == found


def test_an_option_that_is_not_given_stays(pve: LabClient) -> None:
    pve.post(NETWORK, iface="vmbr5", type="bridge", mtu="9000", cidr="10.5.0.1/24")
    pve.put(f"{NETWORK}/vmbr5", type="bridge", comments="x")
    assert row(pve, "vmbr5").items() >= {"mtu": "9000", "comments": "x\n"}.items()
    pve.put(f"{NETWORK}/vmbr5", type="bridge", delete="mtu,cidr")
    assert not {"mtu", "cidr", "address", "netmask"} & row(pve, "vmbr5").keys()


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"iface": "vmbr0", "type": "bridge"}, "iface"),
        ({"iface": "eno1", "type": "eth"}, "iface"),
        ({"iface": "vmbr5", "type": "bridge", "address": "10.5.0.1"}, "netmask"),
        ({"iface": "vmbr5", "type": "bridge", "netmask": "24"}, "address"),
        ({"iface": "vmbr5", "type": "bridge", "cidr": "10.5.0.1"}, "cidr"),
    ],
)
def test_wrong_interfaces_are_named(pve: LabClient, params: dict[str, str], named: str) -> None:
    assert pve.errors("POST", NETWORK, **params).keys() == {named}


def test_a_port_must_be_an_interface_of_one_bridge(pve: LabClient) -> None:
    text = pve.message("POST", NETWORK, iface="vmbr5", type="bridge", bridge_ports="eno9")
    assert text == "bridge 'vmbr5' - unable to find bridge port 'eno9'\n"
    text = pve.message("POST", NETWORK, iface="vmbr5", type="bridge", bridge_ports="eno1")
    assert text == "bridge port 'eno1' is already used by 'vmbr0'\n"


def test_an_edit_writes_down_nics_that_the_file_had_left_out() -> None:
    """So the difference that waits names interfaces that no client edited."""
    network = HostNetwork("192.168.16.9", ["eno1", "eno2"])
    assert [row["iface"] for row in network.rows()] == ["eno1", "vmbr0", "eno2"]
    assert "priority" not in network.one("eno2")
    network.create("vmbr5", {"type": "bridge"})
    assert [row["iface"] for row in network.rows()] == ["eno1", "eno2", "vmbr0", "vmbr5"]
    assert "+iface eno2 inet manual" in network.changes.splitlines()


def test_edits_wait_until_a_reload_or_a_revert(pve: LabClient) -> None:
    network = pve.lab.nodes["pve1"].network
    pve.post(NETWORK, iface="vmbr5", type="bridge")
    assert "vmbr5" not in network.bridges()
    pve.put(NETWORK)
    pve.wait()
    assert "vmbr5" in network.bridges()
    assert row(pve, "vmbr5")["active"] == 1
    pve.delete(f"{NETWORK}/vmbr5")
    pve.delete(NETWORK)
    assert row(pve, "vmbr5")["type"] == "bridge"
