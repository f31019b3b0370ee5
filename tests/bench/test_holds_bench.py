"""How long one callback keeps the event loop: meanwhile no Lease is renewed, no probe is answered, no watch is read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pve_evpn.engine import garbage
from pve_lab.guests import Guest
from tests.engine.test_cost import settled
from tests.engine.world import DirectGateway, World, cluster, document, vnet
from tests.scale.holding import Hold, holds

VNETS, GUESTS, NICS = 1000, 1000, 10
EVERYONE = {"namespaces": {}, "guests": {"vmids": [{"from": 1000, "to": 9999}]}}


class Threaded(DirectGateway):
    """The lab answers in a thread, as requests to a real one run in threads."""

    async def call(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self._call, method, path, params)


def attachment(vmid: int, device: int) -> dict[str, Any]:
    number = ((vmid - 1000) * NICS + device) % VNETS
    return document(
        "NicAttachment",
        f"g{vmid}-net{device}",
        {
            "clusterRef": {"name": "pve"},
            "guest": {"vmid": vmid},
            "device": f"net{device}",
            "vnetRef": {"name": f"n{number}"},
        },
    )


def populate(world: World) -> None:
    for vmid in range(1000, 1000 + GUESTS):
        config = {
            f"net{d}": f"virtio=BC:24:11:{vmid >> 8:02X}:{vmid & 255:02X}:{d:02X},bridge=vmbr0" for d in range(NICS)
        }
        world.lab.guests[vmid] = Guest(vmid, "qemu", f"pve{1 + vmid % 8}", f"vm{vmid}", config)
    world.apply(cluster(guestAccess=[EVERYONE]))
    world.apply(*(vnet(f"n{n}", 6000 + n, f"10.{20 + n // 250}.{n % 250}.0/24") for n in range(VNETS)))
    world.apply(*(attachment(vmid, device) for vmid in range(1000, 1000 + GUESTS) for device in range(NICS)))


async def longest(world: World) -> Hold:
    garbage.collect_the_young_only()
    await garbage.put_aside()
    with holds() as seen:
        await world.settle()
    assert world.complaints() == []
    return max(seen, key=lambda hold: hold.computed)


@pytest.mark.timeout(900)
async def test_no_callback_keeps_the_event_loop_for_long_with_11000_objects() -> None:
    world = await settled(0, nodes=8)
    world.gateway = type("Gateway", (Threaded,), {"world": world})
    world.die()
    populate(world)
    creating = await longest(world)
    world.apply(vnet("extra", 9999, "10.99.0.0/24"))
    one_more = await longest(world)
    world.die()
    restart = await longest(world)
    for name, hold in (("creating", creating), ("one more VNet", one_more), ("restart", restart)):
        print(f"\n{VNETS + GUESTS * NICS} objects, {name}: {hold.computed * 1000:.0f} ms in {hold.what}")
    assert max(creating.computed, one_more.computed, restart.computed) < 0.2
