"""The kinds and objects of earlier releases, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.controlplane import ControlPlane

HERE = Path(__file__).parent
RELEASES = sorted(path for path in HERE.iterdir() if path.name.startswith("v"))


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest) -> Path:
    """One earlier release."""
    return Path(request.param)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane without any kind of ours."""
    with ControlPlane(tmp_path / "kubernetes") as plane:
        yield plane
