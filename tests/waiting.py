"""Wait for a condition of something that runs outside of the test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def await_(what: str, check: Callable[[], T], seconds: float = 60) -> T:
    """Call ``check`` until it returns something true. Raises AssertionError with ``what`` and the last value."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        last = check()
        if last:
            return last
        time.sleep(0.1)
    raise AssertionError(f"within {seconds:.0f} s: {what} (last: {last!r})")
