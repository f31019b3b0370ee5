"""Following a Proxmox task to its end, and keeping what must not be cut off from being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from pve_evpn.engine.clock import Clock, Pace
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway, TaskEnd

T = TypeVar("T")


class TaskFollower:
    """Follows tasks of one cluster."""

    def __init__(self, gateway: Gateway, pace: Pace, clock: Clock) -> None:
        self._gateway = gateway
        self._pace = pace
        self._clock = clock

    async def follow(self, upid: str) -> TaskEnd | None:
        """How the task ended; None if it outlasts ``pace.timeout``. A read that fails is repeated."""
        deadline, delay = self._clock.monotonic() + self._pace.timeout, self._pace.poll
        while self._clock.monotonic() < deadline:
            try:
                if end := await self._gateway.task_end(upid):
                    return end
            except errors.Unreachable:
                pass
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, self._pace.poll_max)
        return None


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end even if the caller is cancelled meanwhile; the cancellation is raised after it.

    What cannot be taken back half-way needs it: a request that is on its way to Proxmox is executed in any case.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except BaseException:  # the task's own; raised below
            break
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # it is not reported: the cancellation is
        raise cancelled
    return task.result()
