"""kill -9 before and after every call of a transaction about fabrics, policies and peering: no half map stays."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.chaos.kills import killed, staged, uninterrupted
from tests.engine.routing import bare, bgp, entry, fabric, matching, prefix_list, route_map
from tests.engine.world import World, cluster, controller, key, vnet, zone

OVER = (controller(underlay={"fabricRef": {"name": "under"}}), zone(), vnet("net1", 5001, "10.1.0.0/24"))


def before() -> World:
    world = bare(World(4))
    world.apply(
        cluster(),
        prefix_list("pl1"),
        route_map("rm1", matching(10, "pl1"), entry(20), entry(30, "Deny")),
        fabric(nodes=[{"name": name, "interfaces": [{"name": "eno1"}]} for name in ("pve2", "pve3", "pve4")]),
        bgp("edge", "pve2", routeMapOutRef={"name": "rm1"}),
        *OVER,
    )
    asyncio.run(world.settle())
    assert world.complaints() == []
    return world


def change(world: World) -> None:
    """A map loses, changes and gains entries; a list moves to another; a fabric loses a node and gains one."""
    world.apply(
        prefix_list("pl2", "192.168.0.0/16"),
        route_map("rm1", entry(5), matching(10, "pl2"), entry(30, "Permit")),
        fabric(nodes=[{"name": name, "interfaces": [{"name": "eno2"}]} for name in ("pve1", "pve3", "pve4")]),
        bgp("edge", "pve1", routeMapOutRef={"name": "rm1"}),
    )
    world.kube.delete(key(prefix_list("pl1")))


def end_state(world: World) -> dict[str, Any]:
    """What runs, without what Proxmox made up."""
    lab = world.lab
    kinds = {name: dict(objects) for name, objects in lab.sdn.running.items()}
    kinds["zones"] = {id_: {k: v for k, v in p.items() if k != "mac"} for id_, p in kinds["zones"].items()}
    files = (lab.fabrics.fabrics, lab.fabrics.nodes, lab.route_maps.entries, lab.prefix_lists.lists)
    return {**kinds, "files": [file.running for file in files]}


MODEL, CALLS, EDITS = uninterrupted(before, change)


def test_the_transaction_is_what_this_file_says() -> None:
    assert Counter(method for method, _ in EDITS.elements()) == {"POST": 3, "PUT": 5, "DELETE": 3}
    assert MODEL.lab.applies == 2
    addresses = {row["node_id"]: row["ip"] for row in MODEL.lab.fabrics.nodes.running.values()}
    assert addresses == {"pve1": "10.255.0.4", "pve3": "10.255.0.2", "pve4": "10.255.0.3"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("part", range(4))
def test_killed_at_any_call_to_proxmox_it_ends_as_if_nothing_had_happened(when: str, part: int) -> None:
    for number in range(part, CALLS, 4):
        assert run(number, when), f"call {number} was never reached"


def test_killed_at_any_call_to_kubernetes_it_ends_as_if_nothing_had_happened() -> None:
    number = 0
    while run(number, "kubernetes"):
        number += 1
    assert number >= 15


def run(number: int, when: str) -> bool:
    """One kill, and what it must not change; false where there is no such call."""
    found = killed(before, change, number, when)
    if found is None:
        return False
    world, start, where = found.world, found.start, found.where
    if world.lab.sdn.lock is not None and world.kube.journal["pve"].lock_token == "":
        assert found.at in ("POST /cluster/sdn/lock", "journal save"), where
        world.lab.sdn.lock = None  # its token died with the process: a person removes it
    world.start()
    asyncio.run(world.settle())
    assert world.complaints() == [], where
    assert end_state(world) == end_state(MODEL), where
    assert world.lab.has_pending is False, where
    assert (world.lab.sdn.lock, world.lab.applies) == (None, 2), where
    assert Counter(staged(world, start)) == EDITS, f"{where}: a write was done twice or not at all"
    return True
