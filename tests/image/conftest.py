"""A loud word where the image is left out."""

from __future__ import annotations

import pytest

LEFT_OUT = "LEFT OUT, the image takes minutes to build: make image-test"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "image" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("image"):
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT))
