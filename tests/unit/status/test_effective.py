"""What Proxmox accepts though it cannot work, told as ``Effective`` with the field, the reason and the way out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.state import FirewallName, FirewallNames
from pve_evpn.domain.status.effective import ineffective
from tests.unit.plan.world import NODES, controller, desired, observed, resource, vnet, zone

EXITS = {"nodes": ["pve1", "pve2"]}
LOCAL = {**EXITS, "localRouting": True}
PEERS = {"peers": ["192.168.16.1", "192.168.16.2", "192.168.16.3", "192.168.16.4"]}


def found(
    *objects: Resource[Any], mtu: int | None = None, names: FirewallNames | None = None
) -> dict[str, tuple[str, str]]:
    """Reason and message by name of the object. ``names``: of the datacenter's firewall, as far as they are known."""
    state = replace(observed(), firewall_names=names or {})
    if mtu is not None:
        nodes = {name: replace(node, mtus={node.address: mtu, "10.0.0.1": 1280}) for name, node in NODES.items()}
        state = replace(state, nodes=nodes)
    wanted = desired(controller(underlay=PEERS), *objects)
    problems = ineffective(wanted, state, plan(wanted, state))
    return {key.name: (str(problem.reason), problem.message) for key, problem in problems.items()}


def net(name: str, cidr: str, vni: int, zone_: str = "zone1", **more: Any) -> Resource[Any]:
    return vnet(name, vni=vni, zoneRef={"name": zone_}, subnets=[{"cidr": cidr, **more}])


def container(**spec: Any) -> Resource[Any]:
    base = {"clusterRef": {"name": "pve"}, "vnetRef": {"name": "net1"}, "guest": {"vmid": 600}, "device": "net0"}
    return resource("NicAttachment", "ct", {**base, **spec})


def test_what_works_has_no_such_condition() -> None:
    objects = (
        zone("zone1", exitNodes=LOCAL),
        zone("zone2", vrfVni=10002, exitNodes={"nodes": ["pve3"]}),
        net("net1", "10.1.0.0/24", 5001, gateway="10.1.0.1", snat=True),
        net("net2", "10.1.0.0/24", 5002, "zone2"),
        container(ip="10.1.0.9/24", ip6="2001:db8::9/64"),
    )
    assert found(*objects, mtu=1500) == {}


def test_snat_needs_exit_nodes() -> None:
    reason, message = found(zone(), net("net1", "10.1.0.0/24", 5001, gateway="10.1.0.1", snat=True))["net1"]
    assert reason == "NoExitNodes"
    assert message.startswith("subnets[0].snat: ")
    assert "EvpnZone zone1 has none" in message


@pytest.mark.parametrize(("underlay", "mtu", "fits"), [(1500, 1500, 1450), (1400, None, 1350), (9000, 8951, 8950)])
def test_an_mtu_that_does_not_fit_names_the_one_that_does(underlay: int, mtu: int | None, fits: int) -> None:
    reason, message = found(zone(mtu=mtu), mtu=underlay)["zone1"]
    assert reason == "MtuTooBig"
    assert message.startswith(f"mtu: {mtu or 1450} does not fit into the underlay, where pve1 has {underlay} at ")
    assert f"at most {fits} fits" in message


def test_nodes_without_the_zone_and_other_interfaces_do_not_limit_its_mtu() -> None:
    assert found(zone(mtu=1450), mtu=1500) == {}
    assert found(zone(mtu=1500)) == {}, "unknown is not too small"


def test_one_network_cannot_leave_two_zones_by_one_exit_node() -> None:
    zones = zone("zone1", exitNodes=EXITS), zone("zone2", vrfVni=10002, exitNodes={"nodes": ["pve2"]})
    nets = net("net1", "10.1.0.0/16", 5001), net("net2", "10.1.2.0/24", 5002, "zone2")
    told = found(*zones, *nets, net("net3", "10.2.0.0/24", 5003, "zone2"))
    assert {name: reason for name, (reason, _) in told.items()} == {"net1": "SubnetOverlap", "net2": "SubnetOverlap"}
    assert "10.1.0.0/16 overlaps 10.1.2.0/24 in EvpnZone zone2" in told["net1"][1]
    assert "leave by exit node pve2" in told["net2"][1]


def test_local_routing_has_one_zone_per_exit_node_and_its_own_network() -> None:
    zones = zone("zone1", exitNodes=LOCAL), zone("zone2", vrfVni=10002, exitNodes=LOCAL)
    told = found(*zones, net("net1", "10.255.255.0/24", 5001))
    assert {name: reason for name, (reason, _) in told.items()} == dict.fromkeys(
        ("zone1", "zone2", "net1"), "LocalRoutingConflict"
    )
    assert found(zones[0], zone("zone3", vrfVni=10003, exitNodes={"nodes": ["pve4"], "localRouting": True})) == {}


def test_a_containers_address_is_in_a_subnet_of_its_vnet() -> None:
    nets = zone(), net("net1", "10.1.0.0/24", 5001)
    reason, message = found(*nets, container(ip="10.2.0.9/24"))["ct"]
    assert reason == "AddressOutsideSubnets"
    assert message == "ip: 10.2.0.9 is in no subnet of its VNet, which has 10.1.0.0/24"
    assert found(*nets, container(ip="dhcp", ip6="2001:db8::9/64")) == {}


NAMES = {
    FirewallName.MACRO: frozenset({"ssh"}),
    FirewallName.GROUP: frozenset({"web"}),
    FirewallName.IPSET: frozenset({"blocked"}),
    FirewallName.ALIAS: frozenset({"office"}),
}


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"action": "ACCEPT", "macro": "Ssh", "source": "Office", "dest": "dc/OFFICE"}, ""),
        ({"securityGroup": "web"}, ""),
        ({"action": "DROP", "source": "+dc/blocked", "dest": "+blocked"}, ""),
        ({"action": "DROP", "source": "10.1.0.0/24", "dest": "10.1.0.1-10.1.0.9"}, ""),
        ({"action": "DROP", "source": "fd00::/64"}, ""),
        ({"action": "DROP", "source": "+sdn/net1-all", "dest": "+sdn/guest-ipam-100"}, ""),
        ({"action": "ACCEPT", "macro": "SHH"}, "macro: Proxmox has no macro 'SHH'"),
        ({"securityGroup": "Web"}, "securityGroup: Proxmox has no security group 'Web', so the rule filters nothing"),
        ({"action": "DROP", "source": "+allowed"}, "source: Proxmox has no IP set 'allowed'"),
        ({"action": "DROP", "dest": "dc/home"}, "dest: Proxmox has no alias 'home'"),
        (
            {"action": "DROP", "dest": "+sdn/net2-all"},
            "dest: Proxmox has no IP set 'net2-all', for it has no such VNet",
        ),
    ],
)
def test_rules_name_what_proxmox_has(rule: dict[str, Any], complaint: str) -> None:
    first = {"action": "ACCEPT", "proto": "tcp", "dport": "443"}
    net1 = vnet("net1", vni=5001, zoneRef={"name": "zone1"}, firewall={"enabled": True, "rules": [first, rule]})
    told = found(zone(), net1, names=NAMES)
    if not complaint:
        assert told == {}
        return
    reason, message = told["net1"]
    assert reason == "RefNotFound"
    assert message.startswith(f"firewall.rules[1].{complaint}")
    if "sdn/" not in str(rule):
        assert found(zone(), net1) == {}, "what is not known is not missing"


def test_many_networks_are_compared_in_one_pass() -> None:
    zones = zone("zone1", exitNodes=EXITS), zone("zone2", vrfVni=10002, exitNodes=EXITS)
    nets = [net(f"n{i}", f"10.{i}.0.0/16", 5000 + i, f"zone{i % 2 + 1}") for i in range(1, 200)]
    assert found(*zones, *nets) == {}
