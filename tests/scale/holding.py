"""The operator, with a note of every callback that holds the event loop: ``holding.py run`` for ``pve-evpn run``.

Each line of the file that ``SCALE_HOLDS`` names is one hold: when it ended (monotonic seconds, the same in all
processes of a machine), how long it took in milliseconds, how much of that the thread computed, and what it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

#: Shorter ones are not noted, in seconds.
_WORTH = 0.01


@dataclass(frozen=True, slots=True)
class Hold:
    """One callback: seconds it took, seconds its thread computed, and the coroutines it belongs to."""

    took: float
    computed: float
    what: str


@contextlib.contextmanager
def holds() -> Iterator[list[Hold]]:
    """The holds of this process' event loops meanwhile."""
    seen: list[Hold] = []
    run = asyncio.Handle._run  # type: ignore[attr-defined]
    _note(seen.append)
    try:
        yield seen
    finally:
        asyncio.Handle._run = run  # type: ignore[attr-defined]


def _note(noted: Callable[[Hold], object]) -> None:
    run = asyncio.Handle._run  # type: ignore[attr-defined]

    def timed(handle: Any) -> None:
        callback = handle._callback
        began, computed = time.perf_counter(), time.thread_time()
        run(handle)
        took = time.perf_counter() - began
        if took >= _WORTH:
            noted(Hold(took, time.thread_time() - computed, _name(callback)))

    asyncio.Handle._run = timed  # type: ignore[attr-defined]


def _name(callback: Any) -> str:
    """The task's coroutines, outermost first, where it is a task."""
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        # Not its repr: aiohttp's of an answer that has not come leaves the answer without headers for good.
        return str(getattr(callback, "__qualname__", type(callback).__name__))
    names, coroutine = [], task.get_coro()
    while coroutine is not None and hasattr(coroutine, "__qualname__"):
        names.append(coroutine.__qualname__)
        coroutine = getattr(coroutine, "cr_await", None)
    return " > ".join(names)


if __name__ == "__main__":
    lines = open(os.environ["SCALE_HOLDS"], "a", buffering=1)  # noqa: SIM115  # for as long as the process lives
    _note(
        lambda hold: lines.write(
            f"{time.monotonic():.3f} {hold.took * 1000:.1f} {hold.computed * 1000:.1f} {hold.what}\n"
        )
    )
    from pve_evpn.cli import main

    sys.exit(main())
