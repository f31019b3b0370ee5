"""The stack of the end-to-end tests, for the few runs that kill a real process."""

from __future__ import annotations

from tests.e2e.conftest import stack

__all__ = ["stack"]
