"""A lab asked in this process, with a clock that stands still until the test moves it."""

from __future__ import annotations

import pytest

from tests.lab.clients import LabClient


@pytest.fixture
def pve() -> LabClient:
    return LabClient()
