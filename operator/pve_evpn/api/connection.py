"""How the operator reaches a Proxmox VE cluster: addresses, certificate, proxy."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.rules import SEVERAL_LINES, Matching, Rule, only_one_of, rules
from pve_evpn.api.types import ApiModel, Fingerprint, SecretKey, SecretRef, secret_key

Endpoint = Annotated[
    str,
    Length(min_length=9, max_length=260),
    Matching(
        r"https://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?",
        "must be https://host or https://host:port, without a path (Proxmox listens on port 8006)",
    ),
]


ProxyUrl = Annotated[
    str,
    Length(min_length=8, max_length=260),
    Matching(
        r"https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?",
        "must be http://host:port or https://host:port, without user, password and path",
    ),
]


CaBundle = Annotated[
    str,
    Length(max_length=65536),
    SEVERAL_LINES,
    Rule("self.contains('-----BEGIN CERTIFICATE-----')", "must hold certificates in PEM form"),
]


class CaSecretKeyRef(SecretRef):
    """CA certificates in a Secret of the operator's own namespace."""

    key: SecretKey = secret_key("ca.crt", "the certificates")


class Tls(ApiModel):
    """How the API's certificate is checked. Without any of these the system's CAs are trusted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                only_one_of("caSecretRef", "caBundle", "fingerprint", exactly=False),
                "set only one of caSecretRef, caBundle and fingerprint",
            ),
            Rule(
                "!(has(self.insecureSkipVerify) && self.insecureSkipVerify) || !(has(self.caSecretRef) || "
                "has(self.caBundle) || has(self.fingerprint))",
                "insecureSkipVerify makes caSecretRef, caBundle and fingerprint meaningless: remove one side",
            ),
        )
    )

    ca_secret_ref: CaSecretKeyRef | None = Field(
        None, description="CA certificates (PEM) in a Secret. A cluster's own CA is /etc/pve/pve-root-ca.pem."
    )
    ca_bundle: CaBundle | None = Field(None, description="CA certificates (PEM) as text.")
    fingerprint: Fingerprint | None = Field(
        None,
        description="SHA-256 fingerprint of the server's certificate, 32 pairs of hex digits with colons. It holds "
        "through a proxy too.",
    )
    insecure_skip_verify: bool | None = Field(
        None, description="Do not check the certificate; shown as condition InsecureConnection. Default: false."
    )
