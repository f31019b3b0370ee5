"""Settings of the process, from the environment; everything about networks is in the objects instead."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Settings:
    """``PVE_EVPN_NAMESPACE``: where Secrets are read (default: the pod's own, else pve-evpn-system).
    ``PVE_EVPN_HTTP``: address of metrics and probes (default 0.0.0.0:8080). ``PVE_EVPN_LOG``: level (default INFO).
    """

    namespace: str
    http_host: str
    http_port: int
    log_level: str
    instance: str

    @classmethod
    def from_environment(cls) -> Settings:
        """Raises ValueError for an address that is none."""
        namespace = os.environ.get("PVE_EVPN_NAMESPACE", "")
        if not namespace:
            namespace = _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "pve-evpn-system"
        host, _, port = os.environ.get("PVE_EVPN_HTTP", "0.0.0.0:8080").rpartition(":")
        return cls(
            namespace=namespace,
            http_host=host,
            http_port=int(port),
            log_level=os.environ.get("PVE_EVPN_LOG", "INFO").upper(),
            instance=os.environ.get("POD_NAME") or socket.gethostname(),
        )
