"""The clock every part of the engine is given, and the durations a test makes shorter."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is stored or shown, monotonic time for how long something takes."""

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never set back."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until an event is set, but no longer than ``seconds``. Whether it is set.

    ``asyncio.wait_for`` of Python 3.11 loses a cancellation that comes together with the event: the caller's loop would
    go on for ever (github.com/python/cpython/issues/86296).
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the engine waits for Proxmox, in seconds.

    ``poll``: between the first reads of a task. ``poll_max``: between later ones. ``timeout``: for the end of a task.
    ``settle``: for the nodes to come up after an apply, before it counts as bad.
    """

    poll: float = 0.5
    poll_max: float = 2.0
    timeout: float = 300.0
    settle: float = 20.0
