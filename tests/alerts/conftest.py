"""promtool, built before the first test if it is not there yet."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.alerts.programs import PROMTOOL
from tests.gobuild import built

HERE = Path(__file__).parent


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(HERE in item.path.parents for item in session.items) and not session.config.option.collectonly:
        built(PROMTOOL)


@pytest.fixture(scope="session")
def promtool() -> Callable[..., subprocess.CompletedProcess[str]]:
    program = str(built(PROMTOOL))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True)

    return run
