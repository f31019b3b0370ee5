"""What a sync costs in calls to Proxmox: it grows with what changes, not with what there is."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from pve_evpn.pve import reader
from pve_lab.guests import Guest
from tests.engine.world import SEED, World, cluster, document, vnet

pytestmark = pytest.mark.asyncio
NODES = 8


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the gateway: else a slow machine would have some objects read again in rotation."""
    monkeypatch.setattr(reader, "time", SimpleNamespace(monotonic=lambda: 1000.0))


async def settled(vnets: int, nodes: int = NODES) -> World:
    """A world at rest with so many VNets, each with a subnet, whose gateway remembers."""
    world = World(nodes)
    world.remembers = True
    more = [vnet(f"n{n}", 6000 + n, f"10.{20 + n // 250}.{n % 250}.0/24") for n in range(vnets)]
    world.apply(*SEED, *more)
    await world.settle()
    assert world.complaints() == []
    return world


async def calls_of_a_sync(world: World) -> int:
    began = len(world.calls)
    await world.one_pass()
    return len(world.calls) - began


async def test_a_sync_at_rest_costs_the_same_with_few_and_with_many_vnets() -> None:
    few, many = await settled(10), await settled(100)
    assert await calls_of_a_sync(few) == await calls_of_a_sync(many) == 17
    assert few.writes()[-1][0] == "DELETE", "the lock was given back, and nothing was written since"


async def test_one_more_vnet_costs_the_same_on_top_of_few_and_of_many() -> None:
    costs = []
    for world in (await settled(10), await settled(100)):
        began, applies = len(world.calls), world.lab.applies
        world.apply(vnet("extra", 9999, "10.99.0.0/24"))
        await world.settle()
        assert world.lab.applies == applies + 1
        costs.append(len(world.calls) - began)
    assert costs == [54, 54]


async def test_many_objects_at_once_cost_few_calls_beside_the_writes_and_one_apply() -> None:
    world = await settled(200)
    assert world.lab.applies == 1
    assert (len(world.calls), len(world.writes())) == (518, 407)


async def test_the_seed_topology() -> None:
    world = await settled(0, nodes=4)
    assert (len(world.calls), len(world.writes())) == (51, 7)


async def test_a_guest_whose_nics_are_attached_costs_its_write_and_two_reads() -> None:
    """One before the write, because what it had is recorded for its detaching; one for what Proxmox made of it.

    A list of a node's tasks says how its writes ended.
    """
    world, vmids = await settled(8), range(1000, 1016)
    others = len(world.lab.guests)
    for vmid in vmids:
        macs = [f"BC:24:11:00:{vmid % 256:02X}:0{number}" for number in range(2)]
        config = {f"net{number}": f"virtio={mac},bridge=vmbr0" for number, mac in enumerate(macs)}
        world.lab.guests[vmid] = Guest(vmid, "qemu", f"pve{vmid % NODES + 1}", f"vm{vmid}", config)
    world.apply(cluster(guestAccess=[{"namespaces": {}, "guests": {"vmids": [{"from": 1000, "to": 1015}]}}]))
    await world.settle()
    began = len(world.calls)
    spec = {"clusterRef": {"name": "pve"}, "vnetRef": {"name": "n1"}}
    for vmid in vmids:
        for device in ("net0", "net1"):
            nic = {**spec, "guest": {"vmid": vmid}, "device": device}
            world.apply(document("NicAttachment", f"g{vmid}-{device}", nic))
    await world.settle()
    assert world.complaints() == []
    calls = Counter((method, path.rsplit("/", 1)[-1]) for method, path, _ in world.calls[began:])
    assert calls["POST", "config"] == 16
    assert calls["GET", "pending"] == 2 * 16 + others, "those that no object names are read once"
    assert calls["GET", "tasks"] == NODES + 1, "those of the cluster in each sync"


async def test_an_edit_of_another_client_at_any_moment_of_a_sync_is_not_published() -> None:
    """The gateway remembers what it read, and the edit comes before or after each of its calls in turn."""
    subnet = "zone1-10.20.1.0-24"
    taken = 0
    for moment in range(await calls_of_one_more(await settled(3, nodes=2))):
        world = await settled(3, nodes=2)
        began, edit = len(world.calls), None

        def interrupt(when: str, _method: str, _path: str, world: World = world, due: int = began + moment) -> None:
            nonlocal edit
            if when == "before" and len(world.calls) == due and edit is None:
                edit = world.by_hand("PUT", f"/cluster/sdn/vnets/n1/subnets/{subnet}", gateway="10.20.1.9")

        world.interrupt = interrupt
        await calls_of_one_more(world)
        assert edit is not None
        taken += edit.status == 200
        assert "gateway" not in world.lab.sdn.running["subnets"][subnet], f"published: edited before call {moment}"
    assert taken > 10, "before the lock and after it"


async def calls_of_one_more(world: World) -> int:
    began = len(world.calls)
    world.apply(vnet("extra", 9999, "10.99.0.0/24"))
    await world.settle_or_wait()
    return len(world.calls) - began


async def test_a_restart_costs_one_complete_read_and_no_write() -> None:
    world = await settled(100)
    began = len(world.calls)
    world.die()
    await world.settle()
    calls = [path for _, path, _ in world.calls[began:]]
    subnets = [path for path in calls if path.endswith("/subnets")]
    assert len(subnets) == 101 + 10, "each VNet once; some again for a digest that belongs to what was read"
    assert len(calls) == 142
    assert not [method for method, _, _ in world.calls[began:] if method != "GET"]
