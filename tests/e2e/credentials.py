"""The Secret with a cluster's credentials, as users make it."""

from __future__ import annotations

from typing import Any

from pve_evpn.api.kinds import ANNOTATION_ENDPOINTS, LABEL_CLUSTER
from tests.e2e.process import NAMESPACE


def credentials_secret(cluster: str, name: str, data: dict[str, str], *addresses: str) -> dict[str, Any]:
    """Bound to the ProxmoxCluster ``cluster`` and to the addresses that the credentials may be sent to."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {LABEL_CLUSTER: cluster},
            "annotations": {ANNOTATION_ENDPOINTS: " ".join(addresses)},
        },
        "stringData": data,
    }
