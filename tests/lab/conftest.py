"""A lab asked in this process, with a clock that stands still until the test moves it."""

from __future__ import annotations

import pytest

from tests.lab.asking import Asking


@pytest.fixture
def pve() -> Asking:
    return Asking()
