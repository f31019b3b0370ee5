"""Secrets, namespaces and reviews as plain JSON, on the official client's connection.

Its own class for them, ``CoreV1Api``, loads a model of every core object of Kubernetes: 90 MiB and a second of
computing, for a process that reads two kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes.aio import client

_MERGE_PATCH = "application/merge-patch+json"


class CoreObjects:
    """The few requests beside its own kinds that the operator makes. Each raises ApiException as the client does."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    async def secret(self, namespace: str, name: str) -> dict[str, Any]:
        return await self._request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    async def create_secret(self, namespace: str, secret: Mapping[str, Any]) -> None:
        await self._request("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)

    async def patch_secret(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """A merge patch."""
        await self._request("PATCH", f"/api/v1/namespaces/{namespace}/secrets/{name}", patch)

    async def namespaces(self) -> dict[str, Any]:
        """The list of all namespaces."""
        return await self._request("GET", "/api/v1/namespaces")

    async def namespace(self, name: str) -> dict[str, Any]:
        return await self._request("GET", f"/api/v1/namespaces/{name}")

    async def review(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a TokenReview or SubjectAccessReview; it comes back with its status and is stored nowhere."""
        return await self._request("POST", path, body)

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = _MERGE_PATCH if method == "PATCH" else "application/json"
        request = await self._api.param_serialize(
            method=method,
            resource_path=path,
            path_params={},
            query_params=[],
            header_params=headers,
            body=dict(body) if body is not None else None,
            post_params=[],
            files={},
            auth_settings=["BearerToken"],
            collection_formats={},
        )
        answer = await self._api.call_api(*request)
        await answer.read()
        return dict(self._api.response_deserialize(answer, {"2XX": "object"}).data)
