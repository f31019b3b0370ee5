"""A client of a lab in this process."""

from __future__ import annotations

import pytest

from tests.lab.clients import LabClient


@pytest.fixture
def pve() -> LabClient:
    return LabClient()
