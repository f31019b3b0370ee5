"""A control plane that has never seen the operator, Helm, and what stands for a kubelet."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.process import NAMESPACE, ROOT
from tests.helm.tools import CHART, Helm, ensure, monitoring_crds
from tests.helm.user import RELEASE, User
from tests.kube.controlplane import ControlPlane

__all__ = ["CHART", "ROOT", "Helm"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the first test: no test's timeout should end a compiler."""
    here = Path(__file__).parent
    if not session.config.option.collectonly and any(here in item.path.parents for item in session.items):
        ensure()


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this folder's own, audited, with the Prometheus operator's kinds and none of ours."""
    with ControlPlane(tmp_path_factory.mktemp("helm-control-plane"), audit=True) as plane:
        for path in monitoring_crds():
            plane.kubectl("apply", "--server-side", "-f", str(path))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        yield plane


def _runner(program: Path, home: Path) -> Helm:
    """``run(...)`` without any cluster; ``run(..., plane=plane)`` with one."""

    def run(*arguments: str, plane: ControlPlane | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "HELM_CACHE_HOME": str(home),
            "HELM_CONFIG_HOME": str(home),
            "HELM_DATA_HOME": str(home),
            "KUBECONFIG": str(plane.kubeconfig) if plane else "/nonexistent",
        }
        done = subprocess.run([str(program), *arguments], capture_output=True, text=True, env=environment, timeout=200)
        if check and done.returncode:
            raise AssertionError(f"helm {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4."""
    return _runner(ensure()["helm"], tmp_path_factory.mktemp("helm-home"))


@pytest.fixture(scope="session")
def helm3(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 3."""
    return _runner(ensure()["helm3"], tmp_path_factory.mktemp("helm3-home"))


@pytest.fixture(params=["helm", "helm3"])
def each_helm(request: pytest.FixtureRequest) -> Helm:
    """Both, one after the other."""
    return cast(Helm, request.getfixturevalue(request.param))


@pytest.fixture
def older_chart(tmp_path: Path) -> Path:
    """The chart with the CRDs of the release before."""
    older = tmp_path / "older" / CHART.name
    shutil.copytree(CHART, older)
    for path in (ROOT / "tests" / "upgrade" / "v0.1.0-alpha" / "crds").glob("*.yaml"):
        shutil.copy(path, older / "files" / "crds" / path.name)
    return older


@pytest.fixture
def user(plane: ControlPlane, helm: Helm, tmp_path: Path) -> Iterator[User]:
    made = User(plane, helm, tmp_path)
    yield made
    for pod in made.kubelet.pods:
        print(f"--- {pod.name}\n" + "\n".join(pod.log.read_text().splitlines()[-40:]))
    print(made.kubelet.job_output)
    made.kubelet.stop()
    made.helm("uninstall", RELEASE, "--ignore-not-found", check=False)
    made.command("release-finalizers", "--all", "--yes", "--even-if-running")
    plane.kubectl("delete", "-f", str(ROOT / "crds"), "--ignore-not-found", "--timeout=50s")
    plane.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=50s")
    made.close()
