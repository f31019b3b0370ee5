"""The Secrets that the Ipams and DnsServers of one cluster name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pve_evpn.api.service import DnsServerSpec, IpamSpec
from pve_evpn.domain.objects import Desired, GivenSecret, ObjectKey, Resource
from pve_evpn.domain.sdn import Hidden
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.secrets import ClusterSecrets, NotUsable


class ServiceSecrets:
    """Reads them, one request for each object and sync."""

    def __init__(self, context: ClusterContext) -> None:
        self._secrets = ClusterSecrets(context.cluster, context.ports.secrets)
        self._sent: dict[ObjectKey, str] = {}
        """Revisions that Proxmox got and perhaps no status says yet."""
        self.given: Mapping[ObjectKey, GivenSecret] = {}
        """What each object's Secret had when it was last read."""

    async def read(self, desired: Desired) -> frozenset[ObjectKey]:
        """Read them anew; the objects whose Secret has changed."""
        before = self.given
        self.given = {s.key: await self._of(s) for s in desired.services if _secret_ref(s.spec) and not s.deleting}
        self._sent = {key: revision for key, revision in self._sent.items() if key in self.given}
        return frozenset(
            key for key, now in self.given.items() if key in before and before[key].revision != now.revision
        )

    def was_sent(self, key: ObjectKey) -> None:
        """Proxmox got what the object's Secret had."""
        if key in self.given:
            self._sent[key] = self.given[key].revision
            self.given = {**self.given, key: replace(self.given[key], sent=True)}

    async def _of(self, service: Resource[Any]) -> GivenSecret:
        spec, ref = service.spec, _secret_ref(service.spec)
        assert spec is not None
        try:
            secret = await self._secrets.sendable(ref.name, [spec.url])
        except NotUsable as error:
            return GivenSecret(unusable=str(error))
        value = secret.data.get(ref.key, "").strip()
        if not value or not value.isprintable() or " " in value:
            return GivenSecret(
                unusable=f"the key {ref.key!r} of the Secret {ref.name!r} must hold one word on one line"
            )
        sent = secret.revision in (service.status.secret_revision, self._sent.get(service.key))
        return GivenSecret(Hidden(value), secret.revision, sent)


def _secret_ref(spec: object) -> Any:
    match spec:
        case IpamSpec():
            return spec.token_secret_ref
        case DnsServerSpec():
            return spec.key_secret_ref
    return None
