"""Helm and kubeconform, and the Prometheus operator's CRDs: from Go modules pinned beside this file."""

from __future__ import annotations

from pathlib import Path

from tests.gobuild import Tool, built, source_of

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


def monitoring_crds() -> list[Path]:
    """ServiceMonitor and PrometheusRule as the Prometheus operator ships them."""
    module = "github.com/prometheus-operator/prometheus-operator"
    folder = source_of(Tool("", "monitoring", "", home=_HOME), module) / "example" / "prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in ("servicemonitors", "prometheusrules")]
