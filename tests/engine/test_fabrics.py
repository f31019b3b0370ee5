"""Fabrics: one apply from bare nodes to an overlay, addresses that stay, members that come and go, and deletion."""

from __future__ import annotations

from typing import Any

import pytest

from pve_evpn.api.kinds import ANNOTATION_ADDRESSES
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.observer import Observer
from pve_lab.cluster import Node
from tests.engine.routing import bare, bgp, entry, fabric, prefix_list, route_map
from tests.engine.test_foreign import Reply
from tests.engine.world import World, cluster, controller, vnet, zone

FABRIC, CONTROLLER = ObjectKey("Fabric", "", "under"), ObjectKey("EvpnController", "", "evpn1")
OVER = (controller(underlay={"fabricRef": {"name": "under"}}), zone(), vnet("net1", 5001, "10.1.0.0/24"))


async def programmed(*documents: dict[str, Any], nodes: int = 3, **lab: Any) -> World:
    world = bare(World(nodes, **lab))
    world.apply(cluster(), *documents)
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 1
    return world


def running(world: World) -> dict[str, Any]:
    """The nodes of fabrics as they run."""
    return world.lab.fabrics.nodes.running


async def test_one_apply_makes_a_fabric_and_the_overlay_on_it() -> None:
    world = await programmed(fabric(helloIntervalSeconds=3), *OVER)
    assert world.lab.fabrics.fabrics.running == {
        "under": {"id": "under", "protocol": "openfabric", "ip_prefix": "10.255.0.0/24", "hello_interval": 3}
    }
    assert {name: row["ip"] for name, row in running(world).items()} == {
        "under/pve1": "10.255.0.1",
        "under/pve2": "10.255.0.2",
        "under/pve3": "10.255.0.3",
    }
    assert running(world)["under/pve1"]["interfaces"] == ["name=eno1"]
    assert world.lab.sdn.running["controllers"]["evpn1"]["fabric"] == "under"
    rows = world.kube.objects[FABRIC]["status"]["nodes"]
    assert rows[0] == {"name": "pve1", "origin": "Created", "ip": "10.255.0.1"}
    before = len(world.calls)
    await world.settle()
    assert [call for call in world.calls[before:] if call[0] != "GET"] == []


async def test_an_address_stays_whatever_comes_and_goes() -> None:
    world = await programmed(fabric(nodes=[{"name": "pve2"}, {"name": "pve3"}]))
    assert {name: row["ip"] for name, row in running(world).items()} == {
        "under/pve2": "10.255.0.1",
        "under/pve3": "10.255.0.2",
    }
    world.apply(fabric(nodes=[{"name": "pve1"}, {"name": "pve3"}]))
    await world.settle()
    assert {name: row["ip"] for name, row in running(world).items()} == {
        "under/pve1": "10.255.0.3",
        "under/pve3": "10.255.0.2",
    }, "the address of a node that goes is free only once it has gone"
    assert world.lab.applies == 2
    world.die()
    world.start()
    await world.settle()
    assert world.lab.applies == 2


async def test_a_restored_backup_keeps_the_addresses() -> None:
    world = await programmed(fabric(nodes=[{"name": "pve3"}, {"name": "pve1", "ip": "10.255.0.9"}]))
    document = world.kube.objects[FABRIC]
    assert document["metadata"]["annotations"][ANNOTATION_ADDRESSES] == "pve1=10.255.0.9 pve3=10.255.0.1"
    document["status"] = {}
    world.lab.fabrics.nodes.edited.clear()
    world.lab.fabrics.fabrics.edited.clear()
    world.lab.fabrics.commit()
    world.die()
    world.start()
    world.apply(fabric(nodes=[{"name": "pve3"}, {"name": "pve1"}]))
    await world.settle()
    assert {name: row["ip"] for name, row in running(world).items()} == {
        "under/pve1": "10.255.0.9",
        "under/pve3": "10.255.0.1",
    }


async def test_all_nodes_follow_the_members_of_the_cluster() -> None:
    world = await programmed(fabric(nodes=[{"name": "pve1", "interfaces": [{"name": "eno2"}]}], allNodes={}), nodes=2)
    assert running(world)["under/pve1"]["interfaces"] == ["name=eno2"]
    world.lab.nodes["pve3"] = Node("pve3", "192.168.16.3")
    await world.settle()
    assert running(world).keys() == {"under/pve1", "under/pve2", "under/pve3"}
    assert running(world)["under/pve3"]["ip"] == "10.255.0.3"
    del world.lab.nodes["pve2"]
    await world.settle()
    assert running(world).keys() == {"under/pve1", "under/pve3"}
    assert world.complaints() == []


async def test_addresses_of_hosts_are_not_given_again() -> None:
    world = await programmed(fabric(prefix="192.168.16.0/28"))
    assert [row["ip"] for row in running(world).values()] == ["192.168.16.4", "192.168.16.5", "192.168.16.6"]


async def test_both_families() -> None:
    world = await programmed(fabric(prefix6="fd00:1::/64", nodes=[{"name": "pve1", "ip6": "fd00:1::9"}], allNodes={}))
    assert [(row["ip"], row["ip6"]) for row in running(world).values()] == [
        ("10.255.0.1", "fd00:1::9"),
        ("10.255.0.2", "fd00:1::1"),
        ("10.255.0.3", "fd00:1::2"),
    ]


async def test_filters_and_redistribution_come_before_the_fabric_and_go_after_it() -> None:
    world = await programmed(
        prefix_list(),
        route_map("rm1", entry()),
        fabric(
            protocol="OSPF",
            routeFilterRef={"name": "pl1"},
            redistribute=[{"source": "BGP", "routeMapRef": {"name": "rm1"}}, {"source": "Static"}],
            nodes=[
                {"name": "pve1", "interfaces": [{"name": "eno1", "ip": "10.0.0.1/31", "networkType": "PointToPoint"}]}
            ],
        ),
    )
    made = world.lab.fabrics.fabrics.running["under"]
    assert (made["area"], made["route_filter"]) == ("7", "pl1")
    assert made["redistribute"] == ["source=bgp,route-map=rm1", "source=static"]
    assert running(world)["under/pve1"]["interfaces"] == ["name=eno1,ip=10.0.0.1/31,network_type=point-to-point"]
    for key in (ObjectKey("PrefixList", "", "pl1"), ObjectKey("RouteMap", "", "rm1")):
        world.kube.delete(key)
    await world.settle_or_wait()
    assert world.programmed(ObjectKey("PrefixList", "", "pl1")) == (
        "DeletionBlocked",
        "prefix-list pl1 is still used by Fabric under (fabric under)",
    )
    world.kube.delete(FABRIC)
    await world.settle()
    assert world.kube.objects.keys() == {ObjectKey("ProxmoxCluster", "", "pve")} | {
        key for key in world.kube.objects if key.kind == "EvpnNode"
    }
    assert (world.lab.fabrics.fabrics.running, running(world), world.lab.applies) == ({}, {}, 2)


async def test_a_fabric_in_use_stays() -> None:
    world = await programmed(fabric(), *OVER)
    world.kube.delete(FABRIC)
    await world.settle_or_wait()
    assert world.programmed(FABRIC) == (
        "DeletionBlocked",
        "fabric under is still used by EvpnController evpn1 (controller evpn1)",
    )
    world.apply(controller(underlay={"clusterNodes": {}}))
    await world.settle()
    assert FABRIC not in world.kube.objects
    assert (running(world), world.lab.applies) == ({}, 2)


async def test_what_changes_on_a_fabric_is_a_write_for_each_object() -> None:
    world = await programmed(fabric(csnpIntervalSeconds=9))
    before = len(world.writes())
    world.apply(
        fabric(
            nodes=[{"name": "pve2", "interfaces": [{"name": "eno1"}, {"name": "eno2", "helloMultiplier": 5}]}],
            allNodes={},
        )
    )
    await world.settle()
    writes = [(method, path) for method, path in world.writes()[before:] if "/fabrics/" in path]
    assert writes == [
        ("PUT", "/cluster/sdn/fabrics/fabric/under"),
        ("PUT", "/cluster/sdn/fabrics/node/under/pve1"),
        ("PUT", "/cluster/sdn/fabrics/node/under/pve2"),
        ("PUT", "/cluster/sdn/fabrics/node/under/pve3"),
    ]
    assert "csnp_interval" not in world.lab.fabrics.fabrics.running["under"]
    assert running(world)["under/pve2"]["interfaces"] == ["name=eno1", "name=eno2,hello_multiplier=5"]
    assert world.complaints() == []


@pytest.mark.parametrize(
    ("document", "reason", "message"),
    [
        (fabric("two", prefix="10.255.0.128/25"), "FabricConflict", "10.255.0.128/25 overlaps 10.255.0.0/24 of fabric"),
        (fabric("two", prefix="10.9.0.0/24"), "FabricConflict", "nodes[pve1].interfaces: eno1 is in fabric 'under'"),
        (
            fabric("two", prefix="10.9.0.0/31", nodes=[{"name": "pve1"}, {"name": "pve9"}]),
            "RefNotFound",
            "no node pve9",
        ),
        (fabric("two", prefix="10.9.0.0/31", allNodes={}), "InvalidSpec", "10.9.0.0/31 has no free address for pve3"),
        (
            fabric("two", prefix="10.9.0.0/24", routeFilterRef={"name": "no"}, allNodes={}),
            "RefNotFound",
            "no PrefixList",
        ),
    ],
)
async def test_what_does_not_go_with_the_others_is_said(document: dict[str, Any], reason: str, message: str) -> None:
    world = await programmed(fabric())
    (key,) = world.apply(document)
    await world.settle_or_wait()
    assert world.ready(key)["reason"] == reason
    assert message in world.ready(key)["message"]
    assert world.ready(FABRIC)["status"] == "True"


async def test_two_fabrics_of_one_area_are_one_too_many() -> None:
    world = await programmed(fabric(protocol="OSPF"))
    (key,) = world.apply(fabric("two", "OSPF", area="0.0.0.7", prefix="10.9.0.0/24", allNodes={}))
    await world.settle_or_wait()
    assert "area: 7 is that of fabric 'under'" in world.ready(key)["message"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (fabric(protocol="BGP"), "protocol: BGP: needs Proxmox VE 9.2 or newer, and it is 9.1"),
        (fabric(protocol="OSPF", redistribute=[{"source": "Static"}]), "redistribute: needs Proxmox VE 9.2 or newer"),
    ],
)
async def test_before_9_2_what_is_newer_says_so(document: dict[str, Any], message: str) -> None:
    world = bare(World(version="9.1.4"))
    world.apply(cluster(), document)
    await world.settle_or_wait()
    assert message in world.ready(FABRIC)["message"]
    assert world.writes() == []


async def test_9_0_has_fabrics() -> None:
    world = await programmed(fabric(), *OVER, version="9.0.11")
    assert running(world).keys() == {"under/pve1", "under/pve2", "under/pve3"}


async def test_an_equal_fabric_is_adopted_without_a_write_and_stays_when_its_object_goes() -> None:
    world = World(2)
    world.apply(
        cluster(),
        fabric("fabric1", "OSPF", id="Fabric1", area="0.0.0.0", prefix="192.168.16.0/24", allNodes={}),
    )
    await world.settle()
    assert (world.complaints(), world.writes()) == ([], [])
    key = ObjectKey("Fabric", "", "fabric1")
    assert [row["ip"] for row in world.kube.objects[key]["status"]["nodes"]] == ["192.168.16.1", "192.168.16.2"]
    assert {row["origin"] for row in world.kube.objects[key]["status"]["nodes"]} == {"Adopted"}
    world.kube.delete(key)
    await world.settle()
    assert (key in world.kube.objects, len(running(world))) == (False, 2)


async def test_drift_of_a_node_is_corrected_and_a_foreign_edit_is_not_published() -> None:
    world = await programmed(fabric())
    path = "/cluster/sdn/fabrics/node/under/pve1"
    world.by_hand("PUT", path, protocol="openfabric", interfaces=["name=eno3"])
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle()
    assert running(world)["under/pve1"]["interfaces"] == ["name=eno1"]
    world.by_hand(
        "POST", "/cluster/sdn/fabrics/fabric", id="theirs", protocol="ospf", area="1", ip_prefix="10.8.0.0/24"
    )
    applies = world.lab.applies
    world.apply(fabric(helloIntervalSeconds=4))
    await world.settle_or_wait()
    assert world.programmed()[0] == "ForeignPendingChanges"
    assert "fabric theirs new" in world.programmed()[1]
    assert world.lab.applies == applies
    assert world.lab.fabrics.fabrics.edited["under"].get("hello_interval") is None


async def test_a_paused_fabric_and_an_orphan() -> None:
    world = await programmed(fabric(deletionPolicy="Orphan"))
    paused = fabric(helloIntervalSeconds=9, deletionPolicy="Orphan")
    paused["metadata"]["annotations"] = {"pve-evpn.dev/paused": "true"}
    world.apply(paused)
    await world.settle_or_wait()
    assert "hello_interval" not in world.lab.fabrics.fabrics.running["under"]
    world.kube.delete(FABRIC)
    await world.settle()
    assert (FABRIC in world.kube.objects, len(running(world))) == (False, 3)


async def test_wireguard_keeps_the_keys_that_proxmox_made() -> None:
    listed = [
        {
            "name": name,
            "endpoint": f"192.168.16.{number}",
            "interfaces": [{"name": "wg0", "listenPort": 51820}],
            "peers": [
                {"interface": "wg0", "node": other, "nodeInterface": "wg0"},
                {"interface": "wg0", "node": "remote", "skipRoutes": True},
            ],
        }
        for number, (name, other) in enumerate((("pve1", "pve2"), ("pve2", "pve1")), 1)
    ]
    remote = {"name": "remote", "external": True, "endpoint": "203.0.113.1:51820", "publicKey": "A" * 43 + "="}
    world = await programmed(fabric(protocol="WireGuard", persistentKeepaliveSeconds=25, nodes=[*listed, remote]))
    (interface,) = running(world)["under/pve1"]["interfaces"]
    assert "public_key=" in interface
    assert "ip" not in running(world)["under/remote"]
    assert running(world)["under/pve1"]["peers"] == [
        "type=external,iface=wg0,node=remote,skip_route_generation=1",
        "type=internal,iface=wg0,node=pve2,node_iface=wg0",
    ]
    listed[0]["allowedIps"] = ["10.7.0.0/24"]
    world.apply(fabric(protocol="WireGuard", persistentKeepaliveSeconds=25, nodes=[*listed, remote]))
    await world.settle()
    assert running(world)["under/pve1"]["interfaces"] == [interface]
    assert running(world)["under/pve1"]["allowed_ips"] == ["10.7.0.0/24"]
    assert world.complaints() == []


async def test_a_fabric_that_another_client_deleted_is_made_again() -> None:
    world = await programmed(fabric(), bgp())
    for name in ("pve1", "pve2", "pve3"):
        world.by_hand("DELETE", f"/cluster/sdn/fabrics/node/under/{name}")
    world.by_hand("DELETE", "/cluster/sdn/fabrics/fabric/under")
    world.by_hand("PUT", "/cluster/sdn")
    await world.settle()
    assert [row["ip"] for row in running(world).values()] == ["10.255.0.1", "10.255.0.2", "10.255.0.3"]


async def test_an_interface_that_a_node_does_not_have_is_said() -> None:
    world = bare(World())
    world.apply(cluster(), fabric(nodes=[{"name": "pve2", "interfaces": [{"name": "eno9"}]}]))
    await world.settle()
    condition = world.kube.condition(FABRIC, "Effective")
    assert (condition["status"], condition["reason"]) == ("False", "RefNotFound")
    assert condition["message"].startswith("nodes[pve2].interfaces: pve2 has no interface eno9 (it has: eno1, ")


async def test_what_each_node_shows_decides_whether_it_is_ready() -> None:
    world = await programmed(fabric(protocol="OSPF"))
    assert world.cache is not None
    assert world.operator is not None
    observer = Observer(world.context(world.cache))
    world.operator._observer = observer
    await world.one_pass()
    calls = len(world.calls)
    assert await observer.poll() is not None
    assert len(world.calls) - calls == 3 * 3, "neighbours, interfaces and routes of each node, nothing else"
    await world.one_pass()
    status = world.kube.status(FABRIC)
    assert (status["adjacenciesSummary"], status["source"]) == ("3/3", "api")
    assert status["adjacencies"][0] == {
        "name": "pve1",
        "up": 2,
        "neighbours": [{"neighbour": "10.255.0.2", "state": "Full/-"}, {"neighbour": "10.255.0.3", "state": "Full/-"}],
        "interfaces": [{"name": "eno1", "state": "up", "type": "Broadcast", "mtu": 1500}],
        "routes": 2,
    }
    assert world.kube.condition(FABRIC, "Operational")["status"] == "True"

    path = "/nodes/pve2/sdn/fabrics/under/neighbors"
    world.lab.faults.add(Reply(path=path, data=[{"neighbor": "10.255.0.1", "status": "Init/DROther", "uptime": "1s"}]))
    await observer._sources.close()  # a new source reads at once
    await observer.poll()
    await world.one_pass()
    condition = world.kube.condition(FABRIC, "Operational")
    assert (condition["status"], condition["reason"]) == ("False", "AdjacencyDown")
    assert condition["message"] == "pve2 to 10.255.0.1 is Init/DROther"
    assert world.ready(FABRIC)["reason"] == "AdjacencyDown"
    assert world.kube.status(FABRIC)["adjacenciesSummary"] == "2/3"


@pytest.mark.parametrize(
    "nodes", [None, [{"name": f"pve{n}", "ip": f"10.254.0.{n}"} for n in (1, 2, 3)]], ids=["as they are", "given anew"]
)
async def test_a_prefix_without_the_addresses_that_nodes_have_is_refused(nodes: list[dict[str, Any]] | None) -> None:
    world = await programmed(fabric())
    world.apply(fabric(prefix="10.254.0.0/24", **({"nodes": nodes} if nodes else {})))
    await world.settle_or_wait()
    assert world.ready(FABRIC)["reason"] == "InvalidSpec"
    assert "pve1 has 10.255.0.1, which is not in 10.254.0.0/24" in world.ready(FABRIC)["message"]
    world.apply(fabric(prefix="10.254.0.0/15"))
    await world.settle()
    assert world.complaints() == []
    assert running(world)["under/pve1"]["ip"] == "10.255.0.1"
    assert world.lab.fabrics.fabrics.running["under"]["ip_prefix"] == "10.254.0.0/15"
