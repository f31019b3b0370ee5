"""Objects that belong to no cluster, and an API server that fails while they are told so."""

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
