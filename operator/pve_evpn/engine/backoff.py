"""Wait longer after each failure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays that double from ``first`` to ``longest`` (seconds), and begin anew after a success."""

    first: float
    longest: float
    failures: int = 0

    def failed(self) -> float:
        """Count a failure; seconds to wait after it."""
        self.failures += 1
        return min(self.longest, self.first * 2.0 ** min(self.failures - 1, 32))

    def succeeded(self) -> None:
        """Count a success: the next failure is the first again."""
        self.failures = 0
