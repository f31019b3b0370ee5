"""Timers: what will happen when.

Nothing here sleeps or has a thread: what is due is carried out by the next request (``Cluster.settle``). So a test with
a clock of its own decides when things happen, and one with the real clock sees them happen when they are due.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

#: What is done when it is due; its argument is when it was due, which may be a while ago.
Action = Callable[[float], None]


class Timers:
    """Actions with a time; those that are due run in the order of their times."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()

    def at(self, when: float, action: Action) -> None:
        heapq.heappush(self._entries, (when, next(self._numbers), action))

    def run(self, now: float) -> None:
        """Carry out what is due, and what becomes due by that."""
        while self._entries and self._entries[0][0] <= now:
            when, _, action = heapq.heappop(self._entries)
            action(when)

    @property
    def next(self) -> float | None:
        """When the next action is due."""
        return self._entries[0][0] if self._entries else None
