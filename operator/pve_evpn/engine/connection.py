"""From a ProxmoxCluster's spec and its Secret to a gateway, kept while neither changes.

A changed Secret gives a new gateway with the next sync, so credentials rotate without a restart. Every failure is a
problem with the words a person needs; none of them quotes a credential.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.secrets import ClusterSecrets, NotUsable
from pve_evpn.pve import errors
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.gateway import Gateway
from pve_evpn.pve.transport import Trust

#: How long an answer about the credentials' end is kept.
_EXPIRY_SECONDS = 3600.0
#: Makes the gateway of a cluster from its name, endpoints, credentials and trust.
GatewayMaker = Callable[[str, Iterable[str], Credentials, Trust], Gateway]


class NoConnection(Exception):
    """There is no way to talk to the cluster; ``problem`` says why."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


class Connection:
    """Hands out the gateway of one cluster."""

    def __init__(self, context: ClusterContext, make: GatewayMaker = Gateway) -> None:
        self._context = context
        self._cluster = context.cluster
        self._make = make
        self._secrets = ClusterSecrets(context.cluster, context.ports.secrets)
        self._gateway: Gateway | None = None
        self._made_from = ""
        self._token_key = "token"
        self._expiry: tuple[Gateway, float, datetime | None] | None = None

    async def gateway(self, spec: ProxmoxClusterSpec) -> Gateway:
        """The gateway for this spec and the Secret as it is now. Raises NoConnection."""
        name = spec.credentials_secret_ref.name
        addresses = [*spec.endpoints, *([spec.proxy_url] if spec.proxy_url else [])]
        try:
            data = await self._secrets.credentials(name, addresses)
        except NotUsable as error:
            raise _missing(f"credentialsSecretRef: {error}") from None
        if self._token_key not in data:
            self._token_key = "token"
        trust = await self._trust(spec)
        made_from = _fingerprint(spec, data, trust, self._token_key)
        if self._gateway is None or made_from != self._made_from:
            self.close()
            try:
                credentials = Credentials.from_secret(data, self._token_key)
                self._gateway = self._make(self._cluster, spec.endpoints, credentials, trust)
            except ValueError as error:
                raise _missing(f"Secret {name!r}: {error}") from None
            self._made_from = made_from
        return self._gateway

    async def credentials_end(self, gateway: Gateway) -> datetime | None:
        """When the credentials expire; None for never, or where Proxmox does not answer.

        Asked once per gateway and hour: changed credentials bring a new gateway.
        """
        now = self._context.clock.monotonic()
        if self._expiry is None or self._expiry[0] is not gateway or now - self._expiry[1] > _EXPIRY_SECONDS:
            try:
                end = await gateway.credentials_end()
            except errors.PveError:
                end = None
            self._expiry = gateway, now, end
        return self._expiry[2]

    @property
    def credential(self) -> str:
        """The Secret's key in use: ``token``, ``tokenNext`` or ``password``; empty before there is a gateway."""
        if self._gateway is None:
            return ""
        return self._token_key if self._gateway.credentials.token_name else "password"

    def try_other_token(self) -> None:
        """After a refusal: use ``tokenNext`` where ``token`` was used, and the other way round."""
        self._token_key = "tokenNext" if self._token_key == "token" else "token"

    def close(self) -> None:
        if self._gateway:
            self._gateway.close()
        self._gateway = None

    async def _trust(self, spec: ProxmoxClusterSpec) -> Trust:
        tls = spec.tls
        if tls is None:
            return Trust(proxy=spec.proxy_url)
        ca = tls.ca_bundle
        if ref := tls.ca_secret_ref:
            try:
                ca = await self._secrets.value(ref.name, ref.key)
            except NotUsable as error:
                raise _missing(f"tls.caSecretRef: {error}") from None
        return Trust(ca, tls.fingerprint, bool(tls.insecure_skip_verify), spec.proxy_url)


def _missing(message: str) -> NoConnection:
    return NoConnection(Problem(Reason.CREDENTIALS_MISSING, message, retryable=True))


def _fingerprint(spec: ProxmoxClusterSpec, data: Mapping[str, str], trust: Trust, token_key: str) -> str:
    """A digest to compare with; the credentials themselves are not kept for it."""
    way = [trust.ca_pem, trust.fingerprint, trust.insecure, trust.proxy]
    parts = [spec.endpoints, sorted(data.items()), way, token_key]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def problem_of(error: errors.PveError) -> Problem:
    """What a failed call means for the cluster as a whole."""
    match error:
        case errors.TlsRejected():
            return Problem(Reason.TLS_REJECTED, str(error), retryable=True)
        case errors.AuthenticationFailed():
            return Problem(Reason.AUTHENTICATION_FAILED, str(error), retryable=True)
        case errors.Forbidden():
            return Problem(Reason.PRIVILEGES_MISSING, str(error), retryable=True)
        case errors.OutcomeUnknown():
            return Problem(
                Reason.OUTCOME_UNKNOWN,
                f"Proxmox did not say what became of a write ({error}); the state is read again before anything else",
                retryable=True,
            )
        case errors.Refused():
            return Problem(Reason.APPLY_FAILED, str(error), retryable=True)
    return Problem(Reason.CLUSTER_UNREACHABLE, str(error), retryable=True)
