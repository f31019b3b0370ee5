"""The running operator without an API server: what becomes of it when a part of it ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pve_evpn.engine.cache import Cache
from pve_evpn.engine.supervisor import UNOWNED
from pve_evpn.kube import app, kinds
from pve_evpn.kube import watch as watching

pytestmark = pytest.mark.asyncio


class Served:
    """An API server that misses these CRDs, one answer after the other, and none after that."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def missing_crds(self) -> list[str]:
        return self.answers.pop(0) if self.answers else []


class Alone:
    """The sharing of a replica that holds everything."""

    def __init__(self) -> None:
        self.error = ""
        self.held = frozenset({"pve", UNOWNED})
        self.has_left = False

    def serves(self, _cluster: str) -> bool:
        return True

    def changed(self) -> None:
        pass

    async def begin(self, _work: Any) -> None:
        pass

    async def run(self) -> None:
        await asyncio.Event().wait()

    def leave(self) -> None:
        self.has_left = True


def a_replica(objects: Any) -> app._Replica:
    held = SimpleNamespace(is_held=True, error="", holder="")
    leases: Any = SimpleNamespace(replica=held, shared=held)
    sharing: Any = Alone()
    ports: Any = lambda _cluster: SimpleNamespace(objects=None, events=None)  # noqa: E731
    stop, lost = asyncio.Event(), asyncio.Event()
    return app._Replica(leases, sharing, Cache(), objects, ports, kinds.ServedKinds(objects), stop, lost)


async def test_a_supervisor_that_fails_ends_the_operator_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        async def run(self) -> None:
            raise RuntimeError("nobody reconciles")

        def stop(self) -> None:
            pass

    async def nothing(*_: Any) -> None:
        pass

    async def watch(handlers: Any, stop: asyncio.Event) -> None:
        start, end = handlers
        await start()
        await stop.wait()
        await end()

    monkeypatch.setattr(app, "Supervisor", Failing)
    monkeypatch.setattr(watching, "resync", nothing)
    monkeypatch.setattr(watching, "list_kind", nothing)
    monkeypatch.setattr(watching, "registry", lambda _cache, start, end: (start, end))
    monkeypatch.setattr(watching, "watch", watch)
    with pytest.raises(RuntimeError, match="nobody reconciles"):
        async with asyncio.timeout(10):
            await app._operate(a_replica(Served()))


async def test_a_crd_that_goes_away_is_named_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kinds, "RETRY_SECONDS", 0.0)
    served, rounds = Served([], ["vnets.pve-evpn.dev"], ["vnets.pve-evpn.dev"], []), []
    running = a_replica(served)

    async def watch(handlers: Any, stop: asyncio.Event) -> None:
        rounds.append(len(served.answers))
        if len(rounds) == 1:
            running.cache.replace("VNet", [], 1)
            raise RuntimeError("404 Not Found")
        assert not running.kinds.missing
        running.stop.set()
        await stop.wait()

    monkeypatch.setattr(watching, "registry", lambda *_: None)
    monkeypatch.setattr(watching, "watch", watch)
    async with asyncio.timeout(10):
        await app._operate(running)
    assert rounds == [3, 0]
    assert not running.sharing.has_left, "it goes on holding what it holds"  # type: ignore[attr-defined]
    assert "vnets.pve-evpn.dev" in caplog.text


async def test_a_watch_that_ends_while_every_kind_is_served_ends_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch(_handlers: Any, _stop: asyncio.Event) -> None:
        raise RuntimeError("403 Forbidden")

    monkeypatch.setattr(watching, "registry", lambda *_: None)
    monkeypatch.setattr(watching, "watch", watch)
    with pytest.raises(RuntimeError, match="403"):
        async with asyncio.timeout(10):
            await app._operate(a_replica(Served()))


async def test_while_a_crd_is_missing_the_leader_is_not_ready_and_says_why() -> None:
    running = a_replica(Served(["vnets.pve-evpn.dev"]))
    await running.kinds.are_served()
    readiness = app._readiness(running.leases, running.sharing, running.cache, running.kinds)
    assert (readiness.ready, "vnets.pve-evpn.dev" in readiness.text) == (False, True)
