"""Helm and kubeconform, built from the module in ``programs/``."""

from __future__ import annotations

from pathlib import Path

from tests.gobuild import Tool, built

_HOME = Path(__file__).parent
#: helm asks its build for its version; a program from a module has no other place to take it from.
_HELM = "v4.3.1"
_LDFLAGS = f"-s -w -X helm.sh/helm/v4/internal/version.version={_HELM}"

TOOLS = {
    tool.name: tool
    for tool in (
        Tool("helm", "programs", "helm.sh/helm/v4/cmd/helm", _LDFLAGS, _HOME),
        Tool("kubeconform", "programs", "github.com/yannh/kubeconform/cmd/kubeconform", home=_HOME),
    )
}


def ensure() -> dict[str, Path]:
    """Paths of both, built where necessary."""
    return {name: built(tool) for name, tool in TOOLS.items()}
