"""Fields that Proxmox takes only in company, or reads otherwise than one would think: each comes to rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.world import CONTROLLER, ZONE, World, cluster, controller, vnet, zone

PEERS = [f"192.168.16.{number}" for number in (1, 2, 3)]


@pytest.mark.parametrize("there_before", [False, True], ids=["ours", "adopted"])
async def test_a_controller_changes_from_peers_to_a_fabric_and_back(there_before: bool) -> None:
    world = World()
    if there_before:
        world.by_hand(
            "POST", "/cluster/sdn/controllers", controller="evpn1", type="evpn", asn="65001", peers=",".join(PEERS)
        )
        world.by_hand("PUT", "/cluster/sdn")
    world.apply(cluster(), controller(underlay={"peers": PEERS}))
    await world.settle()
    assert world.kube.status(CONTROLLER)["origin"] == ("Adopted" if there_before else "Created")
    for underlay, has in (({"fabric": "Fabric1"}, "fabric"), ({"peers": PEERS}, "peers")):
        world.apply(controller(underlay=underlay))
        await world.settle()
        assert world.complaints() == []
        assert {"fabric", "peers"} & world.lab.sdn.running["controllers"]["evpn1"].keys() == {has}


async def test_only_the_dns_zone_changes() -> None:
    world = World()
    world.lab.sdn.services["dns"]["pdns"] = {}
    world.apply(cluster(), controller(), zone(dns={"server": "pdns", "zone": "a.example"}))
    await world.settle()
    world.apply(zone(dns={"server": "pdns", "zone": "b.example"}))
    await world.settle()
    assert world.complaints() == []
    assert world.lab.sdn.running["zones"]["zone1"]["dnszone"] == "b.example"


async def test_a_vlan_of_the_same_number_is_no_vni() -> None:
    world = World()
    world.by_hand("POST", "/cluster/sdn/zones", zone="vlans", type="vlan", bridge="vmbr0")
    world.by_hand("POST", "/cluster/sdn/zones", zone="tunnels", type="vxlan", peers=",".join(PEERS))
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="v100", zone="vlans", tag="100")
    world.by_hand("POST", "/cluster/sdn/vnets", vnet="v200", zone="tunnels", tag="200")
    world.by_hand("PUT", "/cluster/sdn")
    world.apply(cluster(), controller(), zone())
    free, taken = world.apply(vnet("net1", 100), vnet("net2", 200))
    await world.settle_or_wait()
    assert world.ready(free)["status"] == "True"
    assert world.ready(taken)["reason"] == "VniConflict"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"nodes": ["pve1"]}, "nodes"),
        ({"bgpMode": "External"}, "bgpMode"),
        ({"peerGroupName": "spine"}, "peerGroupName"),
        ({"ebgpMultihop": 3}, "ebgpMultihop"),
        ({"routeMapIn": "in"}, "routeMapIn"),
    ],
)
async def test_what_proxmox_has_since_9_2_is_not_tried_before(fields: dict[str, Any], name: str) -> None:
    world = World(version="9.1")
    world.apply(cluster(), controller(**fields))
    await world.settle_or_wait()
    ready = world.ready(CONTROLLER)
    assert (ready["reason"], ready["message"].split(":")[0]) == ("VersionUnsupported", name)
    assert world.writes() == []


async def test_a_zone_with_further_controllers_is_not_tried_before_9_2() -> None:
    world = World(version="9.1")
    world.apply(cluster(), controller(), zone(secondaryControllerRefs=[{"name": "other"}]))
    await world.settle_or_wait()
    assert world.ready(ZONE)["reason"] == "VersionUnsupported"


async def test_a_vnet_named_like_a_bridge_of_a_node_is_refused_and_written_nowhere() -> None:
    world = World()
    world.by_hand("POST", "/nodes/pve2/network", iface="uplink", type="bridge", autostart="1")
    world.by_hand("PUT", "/nodes/pve2/network")
    world.apply(cluster(), controller(), zone())
    management, other, fine = world.apply(vnet("vmbr0", 5001), vnet("uplink", 5002), vnet("fine", 5003))
    await world.settle()
    assert [world.ready(item)["reason"] for item in (management, other, fine)] == ["IdConflict", "IdConflict", "Ready"]
    assert "pve2 has an interface uplink of its own" in world.ready(other)["message"]
    assert world.lab.sdn.running["vnets"].keys() == {"fine"}
