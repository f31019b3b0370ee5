"""kill -9 of the operator before and after every single call of a transaction that creates, changes and deletes.

The operator runs in this process; to kill it is to raise in the call and to forget everything it had in memory, so
that not even its cleanup runs. What is left is what Proxmox and Kubernetes hold. ``test_kill_process`` does a few of
these with a real process.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from pve_lab.request import Request
from tests.chaos.kills import killed, staged, uninterrupted
from tests.engine.world import CLUSTER, World, cluster, controller, key, vnet, zone

FOREIGN = {"vnet": "theirs", "zone": "zone1", "tag": "99"}


def before() -> World:
    """A cluster with 16 objects of ours in it."""
    world = World()
    world.remembers = True
    world.apply(cluster(), controller(), zone(), zone("zone2", vrfVni=100002), zone("zone3", vrfVni=100003))
    world.apply(*(vnet(f"n{n}", 5000 + n, f"10.0.{n}.0/24") for n in range(6)))
    asyncio.run(world.settle())
    assert world.complaints() == []
    return world


def change(world: World) -> None:
    """Seven objects are made, seven changed, six removed: VNets with subnets, zones."""
    for n in (0, 1):
        world.kube.delete(key(vnet(f"n{n}")))
    world.kube.delete(key(zone("zone3")))
    world.apply(vnet("n2", 5002))  # loses its subnet
    world.apply(vnet("n3", 5003, "10.0.3.0/24", alias="three"), vnet("n4", 5004, "10.0.4.0/24", alias="four"))
    world.apply(vnet("n5", 5005, "10.0.5.0/24", alias="five"), zone(mtu=1400), zone("zone2", vrfVni=100002, mtu=1400))
    world.apply(controller(asn=65002))
    world.apply(
        vnet("n5", 5005, alias="five", subnets=[{"cidr": "10.0.5.0/24", "gateway": "10.0.5.1"}]),
        zone("zone4", vrfVni=100004),
        *(vnet(f"m{n}", 7000 + n, f"10.7.{n}.0/24") for n in range(3)),
    )


def end_state(world: World) -> dict[str, object]:
    """What runs, without what Proxmox made up."""
    return {
        kind: {id_: {k: v for k, v in props.items() if k != "mac"} for id_, props in objects.items()}
        for kind, objects in world.lab.sdn.running.items()
    }


MODEL, CALLS, EDITS = uninterrupted(before, change)


def test_the_transaction_is_what_this_file_says() -> None:
    verbs = Counter(method for method, _ in EDITS.elements())
    assert verbs == {"POST": 7, "PUT": 7, "DELETE": 6}
    assert MODEL.lab.applies == 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("part", range(8))
def test_killed_at_any_call_to_proxmox_it_ends_as_if_nothing_had_happened(when: str, part: int) -> None:
    for number in range(part, CALLS, 8):
        assert run(number, when), f"call {number} was never reached"


@pytest.mark.parametrize("part", range(4))
def test_killed_at_any_call_to_kubernetes_it_ends_as_if_nothing_had_happened(part: int) -> None:
    number = part
    while run(number, "kubernetes"):
        number += 4
    assert number >= 30  # the CRDs, not the operator, give new objects their first conditions


def run(number: int, when: str) -> bool:
    """One kill, and what it must not change; false where there is no such call."""
    found = killed(before, change, number, when)
    if found is None:
        return False
    world, start, where = found.world, found.start, found.where
    # The one lock that nobody can prove to be ours: its token died with the process. A person removes it.
    unprovable = world.lab.sdn.lock is not None and world.kube.journal["pve"].lock_token == ""
    assert not unprovable or found.at in ("POST /cluster/sdn/lock", "journal save"), where

    edited = not stage_foreign(world)
    world.start()
    asyncio.run(world.settle_or_wait())
    assert "theirs" not in world.lab.sdn.running["vnets"], f"{where}: somebody else's edit was applied"
    if edited:
        world.lab.sdn.edited["vnets"].pop("theirs")
    if unprovable:
        assert "interrupted" in world.kube.condition(CLUSTER, "Programmed")["message"], where
        world.lab.sdn.lock = None
    asyncio.run(world.settle())

    assert world.complaints() == [], where
    assert end_state(world) == end_state(MODEL), where
    assert world.lab.sdn.edited == world.lab.sdn.running, where
    assert world.lab.sdn.lock is None, where
    assert world.lab.applies == 2, where
    assert not [call for call in world.calls[start:] if call[2] >= 400 and "/lock" not in call[1]], where
    if not edited:
        assert Counter(staged(world, start)) == EDITS, f"{where}: a write was done twice or not at all"
    return True


def stage_foreign(world: World) -> bool:
    """Somebody uses the gap to stage a VNet; whether Proxmox refused it, because our lock is held."""
    return world.lab.answer(Request("POST", "/cluster/sdn/vnets", FOREIGN)).status >= 400
