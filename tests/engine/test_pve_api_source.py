"""The Proxmox API as a source: what it costs, and what it can and cannot say."""

from __future__ import annotations

import asyncio

import pytest

from pve_evpn.engine.observer import Observer
from pve_evpn.observe.pve_api import BUDGET, Access, ApiSource
from pve_evpn.observe.source import NodeTarget, NodeUnreadable
from tests.engine.world import World, cluster, controller, vnet, zone

NODES = [NodeTarget(f"pve{i}", f"192.168.16.{i}") for i in (1, 2, 3, 4)]


class Reading:
    """A world with some VNets, and the source that reads it."""

    def __init__(self) -> None:
        self.world = World(nodes=4)
        self.access: Access | None = None
        self.source = ApiSource(lambda: self.access, interval=0)

    async def apply(self, vnets: int) -> None:
        self.world.apply(
            cluster(), controller(), zone(id="EZone1"),
            *(vnet(f"net{n}", 6000 + n, id=f"net{n}") for n in range(vnets)),
        )  # fmt: skip
        self.world.start()
        assert self.world.cache is not None
        observer = Observer(self.world.context(self.world.cache))
        self.world.operator._observer = observer  # type: ignore[union-attr]
        await self.world.settle()
        self.access = observer._access

    async def poll(self) -> list[str]:
        """One look at every node; the paths that were read for it."""
        calls = len(self.world.lab.journal)
        self.source._interval = 3600
        self.source._read_at = float("-inf")
        await asyncio.gather(*(self.source.read(node) for node in NODES))
        return [path for _, path, _ in self.world.lab.journal[calls:]]


@pytest.fixture
def reading() -> Reading:
    return Reading()


@pytest.mark.parametrize("vnets", [1, 5, 60])
async def test_a_poll_never_costs_more_than_the_budget(reading: Reading, vnets: int) -> None:
    await reading.apply(vnets)
    assert len(await reading.poll()) <= BUDGET


async def test_every_table_has_its_turn(reading: Reading) -> None:
    await reading.apply(40)
    seen = {path for _ in range(4) for path in await reading.poll()}
    assert len([path for path in seen if path.endswith("/mac-vrf")]) == 40
    assert any(path.endswith("/sdn/zones/EZone1/ip-vrf") for path in seen)


async def test_a_table_is_always_read_through_the_same_node(reading: Reading) -> None:
    """Two nodes' views of one table, read at different times, would contradict each other."""
    await reading.apply(3)
    assert sorted(await reading.poll()) == sorted(await reading.poll())
    nodes = {path.split("/")[2] for path in await reading.poll()}
    assert len(nodes) > 1


async def test_before_9_1_proxmox_has_none_of_this(reading: Reading) -> None:
    reading.world.lab.version = "9.0.11"
    await reading.apply(3)
    assert await reading.poll() == []


async def test_a_look_has_what_it_can_see_and_nothing_else(reading: Reading) -> None:
    await reading.apply(1)
    await reading.poll()
    look = await reading.source.read(NODES[0])
    assert look.source == "api"
    assert (look.peers, look.vnis, look.macs, look.routes) == (None, None, None, None)


async def test_without_proxmox_no_node_is_seen(reading: Reading) -> None:
    with pytest.raises(NodeUnreadable, match="does not answer"):
        await reading.source.read(NODES[0])


async def test_a_node_the_cluster_does_not_see_is_not_seen_either(reading: Reading) -> None:
    reading.world.lab.nodes["pve3"].online = False
    await reading.apply(1)
    with pytest.raises(NodeUnreadable, match="does not see pve3"):
        await reading.source.read(NODES[2])
