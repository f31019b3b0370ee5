"""One Lease per ProxmoxCluster: it names the replica that writes for it.

Such a Lease is not renewed: it is as good as the Lease of the replica that it names (``kube.members``). So it costs a
request when a cluster changes hands, and none while it does not. Each write names the version that was read, so of two
replicas that want a cluster one gets it.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP
from pve_evpn.engine.supervisor import UNOWNED
from pve_evpn.kube.leader import LABELS, now

#: On the Lease of a cluster: the release, by the name of the Lease that its replicas share; and the cluster's name.
LABEL_CLUSTER_OF = f"{GROUP}/cluster-of"
ANNOTATION_CLUSTER = f"{GROUP}/cluster"
_PAGE = 500
_LONGEST_NAME = 253


class ClusterLeases:
    """The Leases of one release's clusters.

    Args:
        api: The client.
        namespace: Where the Leases are.
        release: Name of the Lease that the replicas share.
        identity: The replica that takes and releases them.
        silence: Seconds after which others may take a cluster from a replica that they never heard of.
    """

    def __init__(
        self, api: client.CoordinationV1Api, namespace: str, release: str, identity: str, silence: float
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._release = release
        self._identity = identity
        self._silence = silence

    async def list_all(self) -> dict[str, Any]:
        """Every Lease by its cluster."""
        found: dict[str, Any] = {}
        token: str | None = None
        while True:
            page = await self._api.list_namespaced_lease(
                self._namespace, label_selector=f"{LABEL_CLUSTER_OF}={self._release}", limit=_PAGE, _continue=token
            )
            for lease in page.items:
                found[(lease.metadata.annotations or {}).get(ANNOTATION_CLUSTER, UNOWNED)] = lease
            token = page.metadata.var_continue
            if not token:
                return found

    async def take(self, cluster: str, lease: Any) -> Any:
        """Write this replica's name into the Lease as it was read, None where there was none.

        Returns the Lease as written, or None where another replica was faster.
        """
        old = lease.spec if lease is not None and lease.spec else client.V1LeaseSpec()
        when = now()
        spec = client.V1LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=math.ceil(self._silence),
            acquire_time=when,
            renew_time=when,
            lease_transitions=(old.lease_transitions or 0) + int(lease is not None),
        )
        return await self._write(cluster, lease, spec)

    async def release(self, cluster: str, lease: Any) -> None:
        """Take this replica's name out of the Lease, if it is as it was read. The caller writes nothing any more."""
        spec = lease.spec
        spec.holder_identity = ""
        spec.renew_time = now()
        await self._write(cluster, lease, spec)

    async def delete(self, lease: Any) -> None:
        """Delete the Lease of a cluster that is gone, if it is as it was read."""
        preconditions = client.V1Preconditions(resource_version=lease.metadata.resource_version)
        try:
            await self._api.delete_namespaced_lease(
                lease.metadata.name, self._namespace, body=client.V1DeleteOptions(preconditions=preconditions)
            )
        except ApiException as error:
            if error.status not in (404, 409):
                raise

    async def _write(self, cluster: str, lease: Any, spec: client.V1LeaseSpec) -> Any:
        try:
            if lease is None:
                labels = {"app.kubernetes.io/name": LABELS["app.kubernetes.io/name"], LABEL_CLUSTER_OF: self._release}
                metadata = client.V1ObjectMeta(
                    name=lease_name(self._release, cluster), labels=labels, annotations={ANNOTATION_CLUSTER: cluster}
                )
                return await self._api.create_namespaced_lease(
                    self._namespace, client.V1Lease(metadata=metadata, spec=spec)
                )
            lease.spec = spec
            return await self._api.replace_namespaced_lease(lease.metadata.name, self._namespace, lease)
        except ApiException as error:
            if error.status in (404, 409):
                return None
            raise


def lease_name(release: str, cluster: str) -> str:
    """The name of a cluster's Lease; shortened by a digest where it were too long for Kubernetes."""
    if cluster == UNOWNED:
        return f"{release}-unowned"
    name = f"{release}-cluster-{cluster}"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{release}-cluster-{hashlib.sha256(cluster.encode()).hexdigest()[:40]}"
