"""The operator, with a note of every callback that holds the event loop: ``holding.py run`` for ``pve-evpn run``.

Each line of the file that ``SCALE_HOLDS`` names is one hold: when it ended (monotonic seconds, the same in all
processes of a machine), how long it took in milliseconds, how much of that the thread computed, and what it was.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

#: Shorter ones are not noted, in seconds.
_WORTH = 0.01


def note_holds(path: str) -> None:
    """Note them from now on."""
    run = asyncio.Handle._run  # type: ignore[attr-defined]
    lines = open(path, "a", buffering=1)  # noqa: SIM115  # for as long as the process lives

    def timed(handle: Any) -> None:
        callback = handle._callback
        began, computed = time.perf_counter(), time.thread_time()
        run(handle)
        took = time.perf_counter() - began
        if took >= _WORTH:
            computed = time.thread_time() - computed
            lines.write(f"{time.monotonic():.3f} {took * 1000:.1f} {computed * 1000:.1f} {_name(callback)}\n")

    asyncio.Handle._run = timed  # type: ignore[attr-defined]


def _name(callback: Any) -> str:
    """The task's coroutines, outermost first, where it is a task."""
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return repr(callback)[:100]
    names, coroutine = [], task.get_coro()
    while coroutine is not None and hasattr(coroutine, "__qualname__"):
        names.append(coroutine.__qualname__)
        coroutine = getattr(coroutine, "cr_await", None)
    return " > ".join(names)


if __name__ == "__main__":
    note_holds(os.environ["SCALE_HOLDS"])
    from pve_evpn.cli import main

    sys.exit(main())
