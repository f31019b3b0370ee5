"""The Kubernetes API client, configured once, and the few verbs that custom objects need.

A thin layer over the official ``kubernetes.aio`` package: it finds the configuration (in-cluster or kubeconfig), sets
the content types of patches, counts requests, and turns the two answers that are part of normal life (404: gone,
409: overtaken) into None.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn import __version__, metrics
from pve_evpn.api.kinds import GROUP, KINDS, VERSION
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.kube.core import CoreObjects

MERGE_PATCH = "application/merge-patch+json"
#: Parallel writes to the API server; each watch has its own connection in kopf's session.
WRITERS = 16
_PAGE = 500


@asynccontextmanager
async def api_client() -> AsyncIterator[client.ApiClient]:
    """The configured client: the pod's service account if there is one, else the current kubeconfig context."""
    configuration = client.Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
        config.load_incluster_config(client_configuration=configuration)
    else:
        await config.load_kube_config(client_configuration=configuration, persist_config=False)
    configuration.connection_pool_maxsize = WRITERS
    api = client.ApiClient(configuration)
    api.user_agent = f"pve-evpn-operator/{__version__}"  # names us in audit logs and managedFields
    try:
        yield api
    finally:
        await api.close()


class CustomObjects:
    """Our kinds by :class:`ObjectKey`."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = client.CustomObjectsApi(api)
        self._core = CoreObjects(api)

    async def missing_crds(self) -> list[str]:
        """The names of our CRDs that the API server does not serve."""
        try:
            answer = await self._api.get_api_resources(GROUP, VERSION)
            served = {resource.name for resource in answer.resources}
        except ApiException as error:
            if error.status != 404:
                raise
            served = set()
        return sorted(f"{row.plural}.{GROUP}" for row in KINDS.values() if row.plural not in served)

    async def list_all(self, kind: str, namespace: str = "") -> tuple[list[dict[str, Any]], int]:
        """Every object of a kind, in one namespace or in all of them, and the list's resource version."""
        items: list[dict[str, Any]] = []
        version = 0
        async for part, part_version in self.pages(kind, namespace):
            items += part
            version = part_version
        return items, version

    async def pages(self, kind: str, namespace: str = "") -> AsyncIterator[tuple[list[dict[str, Any]], int]]:
        """The same in parts. An object takes many times as much so as in the cache."""
        token: str | None = None
        while True:
            place = (GROUP, VERSION, namespace) if namespace else (GROUP, VERSION)
            list_page = self._api.list_namespaced_custom_object if namespace else self._api.list_cluster_custom_object
            page = await list_page(*place, KINDS[kind].plural, limit=_PAGE, _continue=token)
            yield page["items"], int(page["metadata"]["resourceVersion"])
            token = page["metadata"].get("continue")
            if not token:
                return

    async def read(self, key: ObjectKey) -> dict[str, Any] | None:
        """The object; None where there is none. It takes the right to get this one, not to list its kind."""
        api, plural = self._api, KINDS[key.kind].plural
        try:
            if key.namespace:
                return dict(await api.get_namespaced_custom_object(GROUP, VERSION, key.namespace, plural, key.name))
            return dict(await api.get_cluster_custom_object(GROUP, VERSION, plural, key.name))
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    async def namespaces(self) -> tuple[list[dict[str, Any]], int]:
        """Names and labels of all namespaces, in the shape of watched objects."""
        answer = await self._core.namespaces()
        return [*map(_namespace, answer["items"])], int(answer["metadata"]["resourceVersion"])

    async def namespace(self, name: str) -> dict[str, Any]:
        """One of them. It takes the right to get this one, not to list them."""
        return _namespace(await self._core.namespace(name))

    async def patch(self, key: ObjectKey, body: Mapping[str, Any], *, status: bool) -> dict[str, Any] | None:
        """Merge-patch the object or its status; None where it is gone or was overtaken."""
        api, plural = self._api, KINDS[key.kind].plural
        verb = "patch-status" if status else "patch"
        if key.namespace:
            call = api.patch_namespaced_custom_object_status if status else api.patch_namespaced_custom_object
            args: tuple[str, ...] = (GROUP, VERSION, key.namespace, plural, key.name)
        else:
            call = api.patch_cluster_custom_object_status if status else api.patch_cluster_custom_object
            args = (GROUP, VERSION, plural, key.name)
        try:
            answer = await call(*args, dict(body), _content_type=MERGE_PATCH)
        except ApiException as error:
            metrics.K8S_REQUESTS.labels(verb, str(error.status)).inc()
            if error.status in (404, 409):
                return None
            raise
        metrics.K8S_REQUESTS.labels(verb, "200").inc()
        return dict(answer)

    async def create(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create a cluster-scoped object; None if it is there already."""
        try:
            answer = await self._api.create_cluster_custom_object(GROUP, VERSION, KINDS[kind].plural, dict(body))
        except ApiException as error:
            metrics.K8S_REQUESTS.labels("create", str(error.status)).inc()
            if error.status == 409:
                return None
            raise
        metrics.K8S_REQUESTS.labels("create", "201").inc()
        return dict(answer)

    async def apply(self, kind: str, body: Mapping[str, Any], manager: str) -> None:
        """Server-side apply of a cluster-scoped object, never against another manager's will."""
        await self._api.patch_cluster_custom_object(
            GROUP,
            VERSION,
            KINDS[kind].plural,
            body["metadata"]["name"],
            dict(body),
            field_manager=manager,
            _content_type="application/apply-patch+yaml",
        )

    async def delete(self, key: ObjectKey) -> None:
        """Delete a cluster-scoped object; already gone is fine."""
        try:
            await self._api.delete_cluster_custom_object(GROUP, VERSION, KINDS[key.kind].plural, key.name)
        except ApiException as error:
            if error.status != 404:
                raise
        metrics.K8S_REQUESTS.labels("delete", "200").inc()


def _namespace(item: Mapping[str, Any]) -> dict[str, Any]:
    metadata = item["metadata"]
    return {"kind": "Namespace", "metadata": {"name": metadata["name"], "labels": metadata.get("labels")}}
