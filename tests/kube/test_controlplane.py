"""The control plane the other tests stand on is a real one: namespaces end, garbage goes, RBAC says no."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.kube.controlplane import ControlPlane

pytestmark = pytest.mark.kube


def test_a_deleted_namespace_goes(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "short-lived")
    control_plane.kubectl("delete", "namespace", "short-lived", "--timeout=50s")
    assert "short-lived" not in control_plane.kubectl("get", "namespaces", "-o", "name")


def test_what_an_owner_leaves_behind_is_collected(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "configmap", "owner", "-n", namespace)
    uid = json.loads(control_plane.kubectl("get", "configmap", "owner", "-n", namespace, "-o", "json"))["metadata"][
        "uid"
    ]
    owned = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "owned",
            "namespace": namespace,
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}],
        },
    }
    control_plane.kubectl("create", "-f", "-", stdin=json.dumps(owned))
    control_plane.kubectl("delete", "configmap", "owner", "-n", namespace)
    control_plane.kubectl("wait", "--for=delete", "configmap/owned", "-n", namespace, "--timeout=40s")


def test_a_service_account_without_rights_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    config = control_plane.kubeconfig_for(namespace, "nobody")
    result = subprocess.run(
        [str(control_plane.binaries["kubectl"]), "--kubeconfig", str(config), "get", "secrets", "-n", namespace],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode != 0
    assert "forbidden" in result.stderr.lower()
