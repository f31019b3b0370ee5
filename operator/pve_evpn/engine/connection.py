"""From a ProxmoxCluster's spec and its Secret to a gateway, kept while neither changes.

A changed Secret gives a new gateway with the next pass, so credentials rotate without a restart. Every failure is a
finding with the words a person needs; none of them quotes a credential.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping

from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.decisions import Finding
from pve_evpn.engine.ports import Secrets
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway
from pve_evpn.pve.session import Credentials, Trust

#: Makes the gateway of a cluster from its name, endpoints, credentials and trust.
GatewayMaker = Callable[[str, Iterable[str], Credentials, Trust], Gateway]


class NoConnection(Exception):
    """There is no way to talk to the cluster; ``finding`` says why."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.message)


class Connection:
    """Hands out the gateway of one cluster."""

    def __init__(self, cluster: str, secrets: Secrets, make: GatewayMaker = Gateway) -> None:
        self._cluster = cluster
        self._make = make
        self._secrets = secrets
        self._gateway: Gateway | None = None
        self._made_from = ""
        self._token_key = "token"

    async def gateway(self, spec: ProxmoxClusterSpec) -> Gateway:
        """The gateway for this spec and the Secret as it is now. Raises NoConnection."""
        name = spec.credentials_secret_ref.name
        data = await self._secrets.read(name)
        if data is None:
            message = f"credentialsSecretRef: there is no Secret {name!r} in the operator's namespace"
            raise NoConnection(Finding(Reason.CREDENTIALS_MISSING, message, heals=True))
        if self._token_key not in data:
            self._token_key = "token"
        trust = await self._trust(spec)
        made_from = _fingerprint(spec, data, trust, self._token_key)
        if self._gateway is None or made_from != self._made_from:
            self.close()
            try:
                credentials = Credentials.from_secret(data, self._token_key)
                self._gateway = self._make(self._cluster, spec.endpoints, credentials, trust)
            except ValueError as problem:
                message = f"Secret {name!r}: {problem}"
                raise NoConnection(Finding(Reason.CREDENTIALS_MISSING, message, heals=True)) from None
            self._made_from = made_from
        return self._gateway

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
            return Trust()
        ca = tls.ca_bundle
        if ref := tls.ca_secret_ref:
            data = await self._secrets.read(ref.name)
            if data is None or ref.key not in data:
                message = f"tls.caSecretRef: there is no key {ref.key!r} in a Secret {ref.name!r}"
                raise NoConnection(Finding(Reason.CREDENTIALS_MISSING, message, heals=True))
            ca = data[ref.key]
        return Trust(ca, tls.fingerprint, bool(tls.insecure_skip_verify))


def _fingerprint(spec: ProxmoxClusterSpec, data: Mapping[str, str], trust: Trust, token_key: str) -> str:
    """A digest to compare with; the credentials themselves are not kept for it."""
    parts = [spec.endpoints, sorted(data.items()), [trust.ca_pem, trust.fingerprint, trust.insecure], token_key]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def finding_of(problem: errors.PveError) -> Finding:
    """What a failed call means for the cluster as a whole."""
    match problem:
        case errors.TlsRejected():
            return Finding(Reason.TLS_REJECTED, str(problem), heals=True)
        case errors.AuthenticationFailed():
            return Finding(Reason.AUTHENTICATION_FAILED, str(problem), heals=True)
        case errors.Forbidden():
            return Finding(Reason.PRIVILEGES_MISSING, str(problem), heals=True)
        case errors.OutcomeUnknown():
            return Finding(
                Reason.OUTCOME_UNKNOWN,
                f"Proxmox did not say what became of a write ({problem}); the state is read again before anything else",
                heals=True,
            )
        case errors.Refused():
            return Finding(Reason.APPLY_FAILED, str(problem), heals=True)
    return Finding(Reason.CLUSTER_UNREACHABLE, str(problem), heals=True)
