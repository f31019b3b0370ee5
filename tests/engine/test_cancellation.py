"""A sync that is cancelled, at any moment: the lock is given back, and the next operator completes the work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pve_evpn.engine import clock
from pve_evpn.engine.clock import wait_for_event
from pve_evpn.engine.tasks import some_at_a_time, together, uninterrupted
from tests.engine.world import SEED, World


async def run_cancelled_at(world: World, moment: int) -> bool:
    """One sync, cancelled while its request number ``moment`` is under way; whether there was one."""
    assert world.operator is not None
    task = asyncio.create_task(world.operator.run_once())
    seen = 0

    def interrupt(when: str, _method: str, _path: str) -> None:
        nonlocal seen
        seen += when == "before"
        if seen == moment and when == "before":
            task.cancel()

    world.interrupt = interrupt
    await asyncio.gather(task, return_exceptions=True)
    world.interrupt = lambda *_: None
    return task.cancelled()


async def moments() -> int:
    world = World(nodes=2)
    world.apply(*SEED)
    world.start()
    assert not await run_cancelled_at(world, 0)
    return len(world.calls)


async def test_a_cancelled_sync_leaves_no_lock_and_is_completed_by_the_next_operator() -> None:
    cancelled, kept, last = 0, [], await moments()
    for moment in range(1, last + 1):
        world = World(nodes=2)
        world.apply(*SEED)
        world.start()
        cancelled += await run_cancelled_at(world, moment)
        if world.lab.sdn.lock is not None:  # only while an apply may still come, and with its token in the journal
            entry = world.kube.journal["pve"]
            assert entry.apply_deadline > world.now.timestamp()
            assert entry.lock_token == world.lab.sdn.lock
            kept.append(world.calls[moment - 1])
        world.die()
        await world.settle()
        assert world.complaints() == []
        assert world.lab.sdn.lock is None
    assert cancelled > 0.9 * last
    assert all(call[:2] == ("PUT", "/cluster/sdn") for call in kept)


async def test_work_that_must_not_be_cut_off_ends_before_the_cancellation_is_raised() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await may_end.wait()
        ended.append(True)

    task = asyncio.create_task(uninterrupted(work()))
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_an_error_of_such_work_is_raised() -> None:
    async def work() -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        await uninterrupted(work())


async def test_a_cancellation_that_comes_with_an_event_ends_the_loop() -> None:
    """A replica that lost its Lease went on for ever, because its last wait was woken and cancelled at once."""
    event = asyncio.Event()

    async def loop() -> None:
        while True:
            await wait_for_event(event, 60)
            event.clear()

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    event.set()
    await asyncio.sleep(0)
    task.cancel()
    _, left = await asyncio.wait([task], timeout=1)
    task.cancel()
    assert not left
    assert not await wait_for_event(event, 0)


def test_no_wait_of_the_operator_can_lose_its_cancellation() -> None:
    folder = Path(clock.__file__).parents[1]
    assert [str(path) for path in folder.rglob("*.py") if "asyncio.wait_for(" in path.read_text()] == []


@pytest.mark.parametrize("all_of", [together, some_at_a_time])
async def test_what_runs_beside_a_failure_has_ended_when_it_is_raised(all_of: Callable[..., Any]) -> None:
    """Else a sync that failed would go on writing beside the next one."""
    ended = []

    async def fail() -> None:
        raise RuntimeError("this one fails")

    async def last() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        ended.append("last")

    with pytest.raises(RuntimeError, match="this one fails"):
        await all_of([last(), fail(), last()])
    assert ended == ["last", "last"]
