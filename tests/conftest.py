"""Fixtures shared by all tests: the real control plane, started once and only where a selected test needs it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.kube.controlplane import ControlPlane, ensure

ROOT = Path(__file__).parents[1]

#: How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is not cached yet before the first test: no test's timeout should end a compiler."""
    if any(item.get_closest_marker("kube") for item in session.items) and not session.config.option.collectonly:
        ensure()


@pytest.fixture(autouse=True)
def own_log_level() -> Iterator[None]:
    """Each test begins with the operator's own level: a ``World`` makes it quiet, also one made while collecting."""
    log = logging.getLogger("pve_evpn")
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with our CRDs established."""
    control_plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return control_plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
