"""A lab node's frr.conf for a running SDN configuration. FRR itself loads the same texts in tests/frr."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_lab.frr.config import frr_conf
from pve_lab.frr.facts import NodeFacts, Tuning
from pve_lab.running_config import RunningConfig, networks

ADDRESSES = {f"pve{n}": f"192.168.16.{n}" for n in range(1, 4)}


def running(zone: dict[str, Any] | None = None, **controllers: dict[str, Any]) -> RunningConfig:
    """One zone with one VNet; its controller is `evpn1` over a fabric unless others are given."""
    return RunningConfig(
        controllers=controllers or {"evpn1": {"type": "evpn", "asn": 65001, "fabric": "fab"}},
        zones={"z1": {"type": "evpn", "controller": "evpn1", "vrf-vxlan": 100001, **(zone or {})}},
        vnets={"v1": {"zone": "z1", "tag": 5001}},
        subnets={"z1-10.0.0.0-24": {"vnet": "v1", "gateway": "10.0.0.1"}},
        fabrics={"fab": {"protocol": "ospf", "area": "0"}},
        fabric_nodes=tuple({"fabric_id": "fab", "node_id": n, "ip": ip} for n, ip in ADDRESSES.items()),
    )


def conf(config: RunningConfig, node: str = "pve1", *, vrf: bool = False) -> list[str]:
    address = ADDRESSES.get(node, "192.168.16.9")
    return frr_conf(config, NodeFacts(node, address, vrf=vrf), "8.4.4", Tuning()).splitlines()


def test_a_node_peers_with_all_others_and_not_with_itself() -> None:
    lines = conf(running(), "pve2")
    assert [line for line in lines if "peer-group VTEP" in line] == [
        " neighbor 192.168.16.1 peer-group VTEP",
        " neighbor 192.168.16.3 peer-group VTEP",
    ]
    assert {" bgp router-id 192.168.16.2", " neighbor VTEP remote-as 65001", "  advertise-all-vni"} <= set(lines)


def test_a_node_left_out_of_the_peers_still_peers_with_the_others() -> None:
    by_hand = {"type": "evpn", "asn": 65001, "peers": "192.168.16.1,192.168.16.3"}
    assert " neighbor 192.168.16.1 peer-group VTEP" in conf(running(evpn1=by_hand), "pve2")
    assert " neighbor 192.168.16.2 peer-group VTEP" not in conf(running(evpn1=by_hand), "pve1")


def test_a_node_outside_of_the_fabric_has_no_bgp() -> None:
    assert not [line for line in conf(running(), "pve9") if line.startswith(("router", "route-map"))]


def test_a_bgp_controller_gives_a_node_its_own_as() -> None:
    base = {"evpn1": {"type": "evpn", "asn": 65001, "peers": ",".join(ADDRESSES.values())}}
    config = running(**base, bgppve1={"type": "bgp", "node": "pve1", "asn": 65011})
    assert {"router bgp 65011", " neighbor VTEP remote-as external"} <= set(conf(config, "pve1"))
    assert {"router bgp 65001", " neighbor VTEP remote-as 65001"} <= set(conf(config, "pve2"))


def test_two_controllers_are_two_peer_groups() -> None:
    config = running(
        evpn1={"type": "evpn", "asn": 65001, "peers": "192.168.16.1,192.168.16.2"},
        evpn2={"type": "evpn", "asn": 65001, "peers": "10.0.0.9", "peer-group-name": "SITE2", "route-map-in": "MINE"},
    )
    lines = conf(config)
    assert {" neighbor 192.168.16.2 peer-group VTEP", " neighbor 10.0.0.9 peer-group SITE2"} <= set(lines)
    assert {"  neighbor SITE2 route-map MINE in", "  neighbor SITE2 route-map MAP_VTEP_OUT out"} <= set(lines)


def test_route_maps_and_prefix_lists_are_in_frrs_words() -> None:
    maps = (
        {"route-map-id": "OUT", "order": 20, "action": "deny"},
        {
            "route-map-id": "OUT", "order": 10, "action": "permit", "call": "OTHER",
            "match": [
                "key=vni,value=5001", "key=ip-address-prefix-list,value=PL", "key=ip6-next-hop-address,value=fd00::1",
            ],
            "set": ["key=ip-next-hop-unchanged", "key=ip6-next-hop,value=fd00::2", "key=metric,value=7"],
            "exit-action": "key=on-match-goto,value=20",
        },
    )  # fmt: skip
    lists = {"PL": ("action=permit,prefix=10.0.0.0/8,ge=16,le=24,seq=5", "action=deny,prefix=fd00::/8,seq=10")}
    lines = conf(replace(running(), route_map_entries=maps, prefix_lists=lists))
    assert lines[lines.index("ip prefix-list PL seq 5 permit 10.0.0.0/8 ge 16 le 24") :] == [
        "ip prefix-list PL seq 5 permit 10.0.0.0/8 ge 16 le 24",
        "ipv6 prefix-list PL seq 10 deny fd00::/8",
        "!",
        "route-map OUT permit 10",
        " match evpn vni 5001",
        " match ip address prefix-list PL",
        " match ipv6 next-hop address fd00::1",
        " set ip next-hop unchanged",
        " set ipv6 next-hop global fd00::2",
        " set metric 7",
        " call OTHER",
        " on-match goto 20",
        "exit",
        "!",
        "route-map OUT deny 20",
        "exit",
        "!",
        "line vty",
        "!",
    ]


def test_with_vrfs_every_zone_has_its_own() -> None:
    zone = running({"exitnodes": "pve1", "advertise-subnets": 1, "rt-import": "65001:7"})
    lines = conf(zone, vrf=True)
    start = lines.index("vrf vrf_z1")
    assert lines[start + 1] == " vni 100001"
    own = lines[lines.index("router bgp 65001 vrf vrf_z1") :]
    assert {"  route-target import 65001:7", "  default-originate ipv4"} <= set(own)
    assert "  advertise ipv4 unicast" not in own, "an exit node advertises the default route instead"
    others = conf(zone, "pve2", vrf=True)
    assert "  advertise ipv4 unicast" in others
    assert "  default-originate ipv4" not in others


def test_without_vrfs_the_default_one_has_one_l3_vni() -> None:
    lines = conf(running())
    assert "vni 100001" in lines
    assert not [line for line in lines if "vrf" in line]


@pytest.mark.parametrize(("nodes", "there"), [("", True), ("pve1,pve2", True), ("pve2", False)])
def test_a_vnet_is_where_its_zone_is(nodes: str, there: bool) -> None:
    found = networks(running({"nodes": nodes}), "pve1", "192.168.16.1")
    assert ("v1" in found) is there


def test_what_a_zone_says_of_its_bridges() -> None:
    quiet = {"disable-arp-nd-suppression": 1, "bridge-disable-mac-learning": "1", "mtu": 1400, "vxlan-port": 4790}
    network = networks(running(quiet), "pve1", "192.168.16.1")["v1"]
    assert (network.suppress, network.learning, network.mtu, network.port) == (False, False, 1400, 4790)
    assert (network.vni, network.l3_vni, network.gateways) == (5001, 100001, ("10.0.0.1/24",))
    plain = networks(running(), "pve1", "192.168.16.1")["v1"]
    assert (plain.suppress, plain.learning, plain.mtu, plain.port) == (True, True, 1450, 4789)


def test_openfabric() -> None:
    config = RunningConfig(
        fabrics={"fab": {"protocol": "openfabric", "hello_interval": 3}},
        fabric_nodes=({"fabric_id": "fab", "node_id": "pve1", "ip": "10.9.0.1", "interfaces": ["name=eth7"]},),
    )
    lines = conf(config)
    assert {"router openfabric fab", " net 49.0001.0100.0900.0001.00", "interface eth7"} <= set(lines)
    assert " openfabric hello-interval 3" in lines
