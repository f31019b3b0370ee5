"""Following a Proxmox task to its end, and keeping what must not be cut off from being cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from pve_evpn.engine.clock import Clock, Pace
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway, TaskEnd

T = TypeVar("T")
#: Newest tasks of a node that are listed to learn of those that are followed.
_LISTED = 50
_AT_ONCE = 100


class TaskFollower:
    """Follows tasks of one cluster."""

    def __init__(self, gateway: Gateway, pace: Pace, clock: Clock) -> None:
        self._gateway = gateway
        self._pace = pace
        self._clock = clock

    async def follow(self, upid: str) -> TaskEnd | None:
        """How the task ended; None if it outlasts ``pace.timeout``. A read that fails is repeated.

        It is not asked for at once: no reload of a network ends that soon.
        """
        deadline, delay = self._clock.monotonic() + self._pace.timeout, self._pace.poll
        while self._clock.monotonic() < deadline:
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, self._pace.poll_max)
            with contextlib.suppress(errors.Unreachable):
                if end := await self._gateway.task_end(upid):
                    return end
        return None


class NodeTasks:
    """Follows tasks by the lists of their nodes: one request tells of all tasks that run on a node.

    For tasks of which there are many, such as writes of guests.
    """

    def __init__(self, gateway: Gateway, pace: Pace, clock: Clock) -> None:
        self.gateway = gateway
        self._pace = pace
        self._clock = clock
        #: By node: what is waited for, with the end of the patience (monotonic seconds).
        self._waiting: dict[str, dict[str, tuple[asyncio.Future[TaskEnd | None], float]]] = {}
        self._polls: dict[str, asyncio.Task[None]] = {}

    async def follow(self, upid: str) -> TaskEnd | None:
        """How the task ended; None if it outlasts ``pace.timeout``. Raises :class:`errors.PveError` but Unreachable."""
        node = upid.split(":")[1]
        future: asyncio.Future[TaskEnd | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(node, {})[upid] = future, self._clock.monotonic() + self._pace.timeout
        if node not in self._polls:
            self._polls[node] = asyncio.create_task(self._poll(node))
        try:
            return await future
        finally:
            self._waiting.get(node, {}).pop(upid, None)

    async def _poll(self, node: str) -> None:
        waiting, delay = self._waiting[node], self._pace.poll
        try:
            while waiting:
                await asyncio.sleep(delay)
                ended = await self._ask(node, waiting)
                # While tasks end, others take their place: to ask twice as rarely then learns of as many.
                delay = min(delay * 1.5, 2 * self._pace.poll if ended else self._pace.poll_max)
        except BaseException as error:
            for future, _ in waiting.values():
                if not future.done():
                    future.set_exception(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            del self._polls[node], self._waiting[node]

    async def _ask(self, node: str, waiting: dict[str, tuple[asyncio.Future[TaskEnd | None], float]]) -> bool:
        """Tell those who wait of the tasks that have ended; whether any has."""
        some = False
        with contextlib.suppress(errors.Unreachable):
            listed = await self.gateway.ended_tasks(node, _LISTED)
            for upid, (future, _) in list(waiting.items()):
                end = listed[upid] if upid in listed else await self.gateway.task_end(upid)
                if end and not future.done():
                    future.set_result(end)
                    some = True
        for upid, (future, deadline) in list(waiting.items()):
            if not future.done() and self._clock.monotonic() >= deadline:
                future.set_result(None)
            if future.done():
                waiting.pop(upid, None)
        return some


async def together(works: Iterable[Awaitable[T]]) -> list[T]:
    """All of them side by side. Where one fails, that is raised once the others have ended.

    What outlived its sync would write beside the next one.
    """
    results = await asyncio.gather(*works, return_exceptions=True)
    done = [result for result in results if not isinstance(result, BaseException)]
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return done


async def some_at_a_time(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All of them, side by side in portions: to begin thousands at once would hold up everything else."""
    done: list[T] = []
    begun = 0
    try:
        while begun < len(works):
            portion = works[begun : begun + _AT_ONCE]
            begun += len(portion)
            done += await together(portion)
    finally:
        for work in works[begun:]:
            work.close()
    return done


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
