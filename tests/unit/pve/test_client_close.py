"""A gateway that is replaced while calls wait for its threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pve_evpn.pve import errors
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.gateway import Gateway
from pve_evpn.pve.transport import Trust

pytestmark = pytest.mark.asyncio


async def test_calls_that_wait_are_told_and_nobody_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation would end the task that waits, and with it all observing."""
    release, busy = threading.Event(), threading.Semaphore(0)

    def hang(*_: Any) -> dict[str, Any]:
        busy.release()
        release.wait(30)
        return {"data": {"version": "9.2.3"}}

    monkeypatch.setattr("pve_evpn.pve.session.PveSession.call", hang)
    monkeypatch.setattr("pve_evpn.pve.client._THREADS", 1)
    gateway = Gateway("pve", ["https://pve1"], Credentials("a@pam!b", "c"), Trust())
    running, waiting = asyncio.create_task(gateway.version()), asyncio.create_task(gateway.version())
    await asyncio.to_thread(busy.acquire)
    gateway.close()
    with pytest.raises(errors.Unreachable, match="replaced"):
        await waiting
    with pytest.raises(errors.Unreachable, match="replaced"):
        await gateway.version()
    release.set()
    assert await running == "9.2.3"


async def test_who_is_cancelled_stays_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("pve_evpn.pve.session.PveSession.call", lambda *_: release.wait(30))
    gateway = Gateway("pve", ["https://pve1"], Credentials("a@pam!b", "c"), Trust())
    asking = asyncio.create_task(gateway.version())
    await asyncio.sleep(0)
    asking.cancel()
    gateway.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    release.set()
