"""Which replicas live: each renews a Lease of its own, and the others listen, each by its own clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP
from pve_evpn.kube.leader import boot_time

log = logging.getLogger(__name__)

#: On the Lease of a replica: the release it belongs to, by the name of the Lease that its replicas share.
LABEL_REPLICA = f"{GROUP}/replica-of"
#: On the Lease of a replica: "true" while it takes clusters; else it is given no more than it holds.
LABEL_TAKES = f"{GROUP}/takes-clusters"
#: On the Lease of a replica that serves full tables: the port, and the SHA-256 of the certificate there.
ANNOTATION_PORT, ANNOTATION_FINGERPRINT = f"{GROUP}/tables-port", f"{GROUP}/tables-fingerprint"


@dataclass(frozen=True, slots=True)
class _Heard:
    """A replica as last heard of. ``silence``: seconds after which it no longer writes, as it promised."""

    lease: str
    version: str
    at: float
    silence: float
    takes: bool = False


class Members:
    """The other replicas of one release, as this one hears of them.

    A replica whose Lease has not changed for as long as it promised no longer writes: its own deadline is shorter, and
    counts from before the renewal that was heard last. Its Lease is deleted then, at the version that was heard, so
    that it never renews it again; only after that it is *gone*. One whose Lease is missing is gone after the same
    silence: a user may have deleted the Lease of a replica that lives.

    Args:
        api: The client.
        namespace: Where the Leases are.
        release: Name of the Lease that the replicas share.
        identity: This replica's own.
        silence: Seconds for replicas that were never heard of.
    """

    def __init__(
        self,
        api: client.CoordinationV1Api,
        namespace: str,
        release: str,
        identity: str,
        silence: float,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._selector = f"{LABEL_REPLICA}={release}"
        self._identity = identity
        self._silence = silence
        self._clock = clock
        self._present: dict[str, _Heard] = {}
        self._missing: dict[str, _Heard] = {}

    async def listen(self, named: Iterable[str] = ()) -> None:
        """List the Leases once, and delete those of replicas that were silent for too long.

        Args:
            named: Further identities that something names, whether or not they have a Lease.
        """
        leases = await self._api.list_namespaced_lease(self._namespace, label_selector=self._selector)
        now, before = self._clock(), self._present
        self._present = {}
        for lease in leases.items:
            identity = (lease.spec and lease.spec.holder_identity) or ""
            if identity and identity != self._identity:
                self._present[identity] = self._hear(lease, before.get(identity), now)
        for identity, heard in before.items():
            if identity not in self._present:
                self._missing[identity] = heard
        self.expect(named)
        for identity, heard in list(self._present.items()):
            if self._is_silent(heard):
                await self._end(identity, heard)

    def expect(self, identities: Iterable[str]) -> None:
        """Count the silence of these from now on, where they were never heard of."""
        for identity in identities:
            if identity and identity != self._identity and identity not in self._present:
                self._missing.setdefault(identity, _Heard("", "", self._clock(), self._silence))

    @property
    def eligible(self) -> frozenset[str]:
        """Those that may be given clusters, without this replica."""
        return frozenset(identity for identity, heard in self._present.items() if heard.takes)

    @property
    def others(self) -> frozenset[str]:
        """Every other replica that has a Lease."""
        return frozenset(self._present)

    def is_gone(self, identity: str) -> bool:
        """Whether the replica certainly does not write any more, and never will."""
        heard = self._missing.get(identity)
        return identity not in self._present and heard is not None and self._is_silent(heard)

    @property
    def next_silence(self) -> float:
        """Seconds until the next replica has been silent for too long, if it stays silent."""
        now = self._clock()
        waits = (heard.at + heard.silence - now for heard in (*self._present.values(), *self._missing.values()))
        return min((wait for wait in waits if wait > 0), default=float("inf"))

    def _hear(self, lease: Any, before: _Heard | None, now: float) -> _Heard:
        version = lease.metadata.resource_version
        at = before.at if before and before.version == version else now
        silence = float(lease.spec.lease_duration_seconds or self._silence)
        takes = (lease.metadata.labels or {}).get(LABEL_TAKES) == "true"
        return _Heard(lease.metadata.name, version, at, silence, takes)

    def _is_silent(self, heard: _Heard) -> bool:
        return self._clock() >= heard.at + heard.silence

    async def _end(self, identity: str, heard: _Heard) -> None:
        """Delete the Lease of a silent replica. Where it has spoken meanwhile, the API server refuses."""
        preconditions = client.V1Preconditions(resource_version=heard.version)
        body = client.V1DeleteOptions(preconditions=preconditions)
        try:
            await self._api.delete_namespaced_lease(heard.lease, self._namespace, body=body)
        except ApiException as error:
            if error.status == 409:
                return
            if error.status != 404:
                raise
        log.warning("%s has been silent for %g s and no longer counts as a replica", identity, heard.silence)
        self._missing[identity] = self._present.pop(identity)

    async def are_none_left(self) -> bool:
        """Whether no other replica has a Lease, after those that were silent for too long have lost theirs."""
        await self.listen()
        return not self._present
