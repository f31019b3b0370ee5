"""A real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager, kubectl."""

from tests.kube.controlplane.binaries import ensure
from tests.kube.controlplane.cluster import ControlPlane

__all__ = ["ControlPlane", "ensure"]
