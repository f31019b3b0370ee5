"""The Secrets of one ProxmoxCluster: those of the operator's namespace that are bound to it, and no others.

Who may write ProxmoxClusters need not be allowed to read Secrets. So it is the Secret that says which ProxmoxCluster
uses it (label ``pve-evpn.dev/cluster``) and, where it holds credentials, which addresses they may be sent to
(annotation ``pve-evpn.dev/endpoints``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pve_evpn.api.kinds import ANNOTATION_ENDPOINTS, LABEL_CLUSTER
from pve_evpn.engine.ports import Secret, Secrets
from pve_evpn.text import some_of


class NotUsable(Exception):
    """A Secret is not there, not bound to the cluster, or has not the key; the message says what to do."""


class ClusterSecrets:
    """Reads Secrets on behalf of one ProxmoxCluster."""

    def __init__(self, cluster: str, secrets: Secrets) -> None:
        self._cluster = cluster
        self._secrets = secrets

    async def credentials(self, name: str, addresses: Iterable[str]) -> Mapping[str, str]:
        """The data of a Secret that may be sent to each of ``addresses`` (endpoints, the proxy). Raises NotUsable."""
        return (await self.sendable(name, addresses)).data

    async def sendable(self, name: str, addresses: Iterable[str]) -> Secret:
        """A Secret that may be sent to each of ``addresses``. Raises NotUsable."""
        secret = await self._bound(name)
        allowed = {_plain(address) for address in secret.annotations.get(ANNOTATION_ENDPOINTS, "").split()}
        wanted = [_plain(address) for address in addresses]
        if left := [address for address in wanted if address not in allowed]:
            raise NotUsable(
                f"the Secret {name!r} does not allow its credentials to be sent to {some_of(left)}. If they belong to "
                f"this cluster: kubectl -n {self._secrets.namespace} annotate secret {name} --overwrite "
                f'{ANNOTATION_ENDPOINTS}="{" ".join(wanted)}"'
            )
        return secret

    async def value(self, name: str, key: str) -> str:
        """One value of a Secret. Raises NotUsable."""
        data = (await self._bound(name)).data
        if key not in data:
            raise NotUsable(f"there is no key {key!r} in the Secret {name!r} of the operator's namespace")
        return data[key]

    async def _bound(self, name: str) -> Secret:
        """Whether a Secret exists that another ProxmoxCluster uses is not said: the words are the same."""
        secret = await self._secrets.read(name)
        if secret is None or secret.labels.get(LABEL_CLUSTER) != self._cluster:
            raise NotUsable(
                f"the operator's namespace has no Secret {name!r} for this cluster. Make it, or bind the one that is "
                f"there: kubectl -n {self._secrets.namespace} label secret {name} {LABEL_CLUSTER}={self._cluster}"
            )
        return secret


def _plain(address: str) -> str:
    return address.rstrip("/").lower()
