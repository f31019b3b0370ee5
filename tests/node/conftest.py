"""A node for each test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.namespace import Node


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Network namespaces need root."""
    if os.geteuid() != 0:
        for item in items:
            if "tests/node/" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="LEFT OUT, the helpers on a real kernel: run as root"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(f"pin{os.getpid()}", tmp_path)
    subprocess.run(["ip", "netns", "add", made.name], check=True)
    try:
        made.build()
        yield made
    finally:
        subprocess.run(["ip", "netns", "del", made.name], check=True)
