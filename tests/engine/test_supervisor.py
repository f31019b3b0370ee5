"""Which reconcilers run, and what is said of objects that belong to no cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine import supervisor
from pve_evpn.engine.supervisor import Supervisor
from tests.engine.fake_kube import FakeKube
from tests.engine.world import cluster, vnet

STRAYS = [ObjectKey("VNet", "default", name) for name in ("net1", "net2")]


class Quiet:
    """A reconciler that has nothing to do."""

    busy = False

    async def run(self) -> None:
        await asyncio.Event().wait()

    def wake(self) -> None:
        pass

    def stop(self) -> None:
        pass


async def test_an_object_that_cannot_be_written_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "UNOWNED_DEBOUNCE", 0.0)
    monkeypatch.setattr(supervisor, "UNOWNED_RETRY", 0.0)
    kube, made = FakeKube(), []
    for name, number in (("net1", 5001), ("net2", 5002)):
        kube.apply(vnet(name, number))
    failures = 3

    def around(_request: str) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionResetError("the API server is being restarted")

    kube.around = around

    def make(name: str) -> Any:
        made.append(name)
        return Quiet()

    running = asyncio.create_task(Supervisor(kube.fresh_cache(), kube.ports, make).run())
    async with asyncio.timeout(10):
        while not all(kube.status(key).get("observedGeneration") for key in STRAYS):
            assert not running.done()
            await asyncio.sleep(0)
        kube.apply(cluster())
        while made != ["pve"]:
            assert not running.done()
            await asyncio.sleep(0)
    running.cancel()


class Syncing(Quiet):
    """A reconciler in the middle of a sync: told to stop, it ends when the sync does."""

    def __init__(self) -> None:
        self.is_to_stop = False
        self.sync_ends = asyncio.Event()

    async def run(self) -> None:
        await self.sync_ends.wait()

    def stop(self) -> None:
        self.is_to_stop = True


async def test_a_cluster_is_worked_for_while_it_is_served_and_until_its_sync_has_ended() -> None:
    kube, served, made, changes = FakeKube(), set[str](), dict[str, Syncing](), list[None]()
    kube.apply(cluster())

    def make(name: str) -> Any:
        made[name] = Syncing()
        return made[name]

    cache = kube.fresh_cache()
    tested = Supervisor(cache, kube.ports, make, serves=served.__contains__, changed=lambda: changes.append(None))
    tested.match()
    assert not made, "another replica leads for it"
    served.add("pve")
    tested.match()
    assert tested.works_for("pve")
    served.clear()
    tested.match()
    assert made["pve"].is_to_stop
    assert tested.works_for("pve"), "its sync has not ended"
    made["pve"].sync_ends.set()
    async with asyncio.timeout(10):
        while not changes:
            await asyncio.sleep(0)
    assert not tested.works_for("pve")
    tested.match()
    assert list(made) == ["pve"]


async def test_a_cluster_that_comes_back_while_its_sync_ends_is_worked_for_anew() -> None:
    kube, served, made = FakeKube(), {"pve"}, list[Syncing]()
    kube.apply(cluster())

    def make(_name: str) -> Any:
        made.append(Syncing())
        return made[-1]

    tested = Supervisor(kube.fresh_cache(), kube.ports, make, serves=served.__contains__)
    tested.match()
    served.clear()
    tested.match()
    served.add("pve")
    made[0].sync_ends.set()
    async with asyncio.timeout(10):
        while len(made) < 2:
            await asyncio.sleep(0)
            tested.match()
    assert tested.works_for("pve")
    made[1].sync_ends.set()


async def test_objects_of_no_cluster_are_reported_by_the_replica_that_serves_them() -> None:
    kube, served = FakeKube(), set[str]()
    kube.apply(vnet("net1", 5001))

    def nothing(_name: str) -> Any:
        raise AssertionError("there is no cluster")

    tested = Supervisor(kube.fresh_cache(), kube.ports, nothing, serves=served.__contains__)
    await tested.report_unowned()
    assert kube.writes == []
    served.add(supervisor.UNOWNED)
    await tested.report_unowned()
    assert kube.status(STRAYS[0])["observedGeneration"]
