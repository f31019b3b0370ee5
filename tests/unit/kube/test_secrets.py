"""Secrets of the operator's namespace: what a refusal of the API server means."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.kube.adapters import OwnSecrets


class Core:
    """As much of the core API as is read; ``status`` is its refusal, 0 for none."""

    status = 0

    async def secret(self, _namespace: str, name: str) -> dict[str, Any]:
        if self.status:
            raise ApiException(self.status)
        return {"metadata": {"name": name}, "data": {"token": "eA=="}}


async def test_a_refusal_while_the_api_server_starts_is_no_missing_secret() -> None:
    """The status of each cluster said for a moment that its credentials were gone."""
    now, core = 100.0, Core()
    secrets = OwnSecrets(None, "ns", grace=30.0, monotonic=lambda: now)  # type: ignore[arg-type]
    secrets._core = core  # type: ignore[assignment]
    core.status = 403
    with pytest.raises(ApiException):
        await secrets.read("pve")
    now += 29
    with pytest.raises(ApiException):
        await secrets.read("pve")
    now += 1
    assert await secrets.read("pve") is None
    core.status = 0
    assert (await secrets.read("pve")) is not None
    core.status = 403
    with pytest.raises(ApiException):
        await secrets.read("pve")
    core.status = 404
    assert await secrets.read("pve") is None
