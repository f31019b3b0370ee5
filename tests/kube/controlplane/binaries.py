"""The control plane's programs: given by ``$KUBEBUILDER_ASSETS``, or built from the modules beside this file."""

from __future__ import annotations

import os
from pathlib import Path

from tests.gobuild import Tool, built

HERE = Path(__file__).parent
KUBERNETES = "v1.36.3"
_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def _kubernetes(name: str) -> Tool:
    values = {
        "gitVersion": KUBERNETES,
        "gitMajor": "1",
        "gitMinor": KUBERNETES.split(".")[1],
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "1970-01-01T00:00:00Z",
    }
    flags = " ".join(f"-X {package}.{key}={value}" for package in _VERSION_PACKAGES for key, value in values.items())
    return Tool(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", f"-s -w {flags}", HERE)


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3", home=HERE),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kubectl"),
    )
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


def ensure(*names: str) -> dict[str, Path]:
    """Paths of the named programs, built where necessary. Raises RuntimeError with the compiler's last words."""
    found = {}
    for name in names or CONTROL_PLANE:
        assets = os.environ.get("KUBEBUILDER_ASSETS")
        given = Path(assets) / name if assets else None
        found[name] = given if given and given.exists() else built(TOOLS[name])
    return found
