"""Clients of an empty cluster, and of one with a controller, two zones and a VNet."""

from __future__ import annotations

import pytest

from tests.lab.clients import SdnClient


@pytest.fixture
def empty() -> SdnClient:
    return SdnClient()


@pytest.fixture
def api() -> SdnClient:
    return SdnClient().network()
