"""Helm 4 and 3, kubeconform, and the Prometheus operator's CRDs: from Go modules pinned beside this file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.gobuild import Tool, built, source_of

_HOME = Path(__file__).parent
CHART = _HOME.parents[1] / "charts" / "pve-evpn-operator"

Helm = Callable[..., "subprocess.CompletedProcess[str]"]

#: helm asks its build for its version; a program from a module has no other place to take it from.
_HELM = "v4.3.1"
_HELM3 = "v3.22.0"
_LDFLAGS = f"-s -w -X helm.sh/helm/v4/internal/version.version={_HELM}"
#: Helm 3 also asks which Kubernetes it was made for (that of client-go), and takes 1.20 where it is not told.
_LDFLAGS3 = f"-s -w -X helm.sh/helm/v3/internal/version.version={_HELM3}" + "".join(
    f" -X helm.sh/helm/v3/pkg/{part}.k8sVersion{number}"
    for part in ("chartutil", "lint/rules")
    for number in ("Major=1", "Minor=37")
)

TOOLS = {
    tool.name: tool
    for tool in (
        Tool("helm", "programs", "helm.sh/helm/v4/cmd/helm", _LDFLAGS, _HOME),
        Tool("helm3", "helm3", "helm.sh/helm/v3/cmd/helm", _LDFLAGS3, _HOME),
        Tool("kubeconform", "programs", "github.com/yannh/kubeconform/cmd/kubeconform", home=_HOME),
    )
}


def ensure() -> dict[str, Path]:
    """Paths of all of them, built where necessary."""
    return {name: built(tool) for name, tool in TOOLS.items()}


def monitoring_crds() -> list[Path]:
    """ServiceMonitor and PrometheusRule as the Prometheus operator ships them."""
    module = "github.com/prometheus-operator/prometheus-operator"
    folder = source_of(Tool("", "monitoring", "", home=_HOME), module) / "example" / "prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in ("servicemonitors", "prometheusrules")]


if __name__ == "__main__":
    print(built(TOOLS["helm"]))
