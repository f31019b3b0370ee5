"""The stack of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import stack

__all__ = ["stack"]
