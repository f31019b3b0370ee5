"""The running operator without an API server: what becomes of it when a part of it ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pve_evpn.engine.cache import Cache
from pve_evpn.kube import app
from pve_evpn.kube import watch as watching

pytestmark = pytest.mark.asyncio


async def test_a_supervisor_that_fails_ends_the_operator_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def __init__(self, *_: Any) -> None:
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
    monkeypatch.setattr(watching, "registry", lambda _cache, start, end: (start, end))
    monkeypatch.setattr(watching, "watch", watch)
    lease: Any = SimpleNamespace(is_held=True)
    unused: Any = None
    with pytest.raises(RuntimeError, match="nobody reconciles"):
        async with asyncio.timeout(10):
            await app._operate(lease, Cache(), unused, unused, asyncio.Event(), asyncio.Event())
