"""What `bundle` and `doctor` read of the operator's own installation, as far as the caller may read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.cli.failures import words_of

#: Where the chart puts the operator by default.
OPERATOR_NAMESPACE = "pve-evpn-system"
_SELECTOR = "app.kubernetes.io/name=pve-evpn-operator"


class InstallationReader:
    """``unread``: what Kubernetes did not give, and why. What is missing leaves out nothing else."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.api, self.namespace = api, namespace
        self.unread: dict[str, str] = {}

    async def attempt(self, what: str, read: Callable[[], Awaitable[Any]], otherwise: Any) -> Any:
        """What ``read`` gives; ``otherwise`` where Kubernetes refuses, which ``unread`` then says of ``what``."""
        try:
            return await read()
        except ApiException as error:
            self.unread[what] = f"Kubernetes says {error.status}: {words_of(error)}"
            return otherwise

    async def pods(self) -> list[Any]:
        """The operator's pods, and those of its jobs."""
        answer = await client.CoreV1Api(self.api).list_namespaced_pod(self.namespace, label_selector=_SELECTOR)
        return list(answer.items)
