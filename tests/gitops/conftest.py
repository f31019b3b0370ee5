"""The GitOps programs, built before the first test that needs them; and a loud word where Argo CD is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gitops.programs import TOOLS
from tests.gobuild import built

HERE = Path(__file__).parent
LEFT_OUT = "LEFT OUT, Argo CD takes minutes to build when it is not cached: make e2e-argocd"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "argocd" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("argocd"):
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT))


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    if any(HERE in item.path.parents for item in session.items):
        built(TOOLS["kstatus"])
    if any(item.get_closest_marker("argocd") and not item.get_closest_marker("skip") for item in session.items):
        built(TOOLS["argocd"])
