"""A real Kubernetes on this machine (etcd, kube-apiserver, kube-controller-manager), or the user's own cluster."""

from tests.kube.controlplane.binaries import ensure
from tests.kube.controlplane.cluster import ControlPlane
from tests.kube.controlplane.current import CurrentCluster
from tests.kube.controlplane.kubectl import Kubectl, KubectlError

__all__ = ["ControlPlane", "CurrentCluster", "Kubectl", "KubectlError", "ensure"]
