"""What the chart has from elsewhere is what it would be today, and every value has a word of explanation."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from charts import generate
from pve_evpn import __version__
from pve_evpn.api.kinds import KINDS

_FILES = generate.generated()


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(generate.ROOT)))
def test_generated_files_are_current(path: generate.Path) -> None:
    assert path.exists(), "run: make crds"
    assert path.read_text() == _FILES[path], "run: make crds"


def test_no_kind_is_left_over() -> None:
    assert generate.left_over() == []


def test_the_rights_without_helm_are_for_every_kind() -> None:
    """``charts/rbac.yaml`` is rendered by helm, so only what is easily forgotten is held here."""
    rules = [rule for document in yaml.safe_load_all(generate.RBAC.read_text()) for rule in document.get("rules", ())]
    listed = {name for rule in rules if "pve-evpn.dev" in rule["apiGroups"] for name in rule["resources"]}
    kinds = {kind.plural for kind in KINDS.values()}
    assert kinds | {f"{plural}/status" for plural in kinds} <= listed, "run: python charts/generate.py --rbac"


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((generate.CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_every_value_is_explained_and_in_the_schema() -> None:
    values = yaml.safe_load((generate.CHART / "values.yaml").read_text())
    schema = json.loads((generate.CHART / "values.schema.json").read_text())
    told = {path for path, _ in generate.documented(generate.CHART / "values.yaml")}
    assert _leaves(values, "", told) <= told
    assert values.keys() == schema["properties"].keys()
    for name, known in schema["properties"].items():
        if "properties" in known and name != "global":  # a parent chart has globals of its own
            assert known["additionalProperties"] is False
            if any(path.startswith(f"{name}.") for path in told):  # else it is one value, an object of Kubernetes'
                assert known["properties"].keys() == values[name].keys()


def _leaves(values: Any, path: str, told: set[str]) -> set[str]:
    """Paths of values that stand for themselves: scalars, lists, and maps that are explained as a whole."""
    if path in told or not isinstance(values, dict):
        return {path}
    return {leaf for key, value in values.items() for leaf in _leaves(value, f"{path}.{key}".lstrip("."), told)}
