"""Labs to ask: an empty one, and one with a controller, two zones and a VNet."""

from __future__ import annotations

import pytest

from tests.contract.asking import Api


@pytest.fixture
def empty() -> Api:
    return Api()


@pytest.fixture
def api() -> Api:
    return Api().network()
