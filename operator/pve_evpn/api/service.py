"""Ipam and DnsServer: services outside that Proxmox registers addresses and names with, on behalf of zones.

Proxmox keeps them beside its SDN configuration: a write takes effect at once and no apply publishes it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.limits import Cut
from pve_evpn.api.rules import ATOMIC, Matching, Rule, rules
from pve_evpn.api.types import ClusterScopedSpec, Fingerprint, PluginId, SecretKey, SecretRef, id_in_proxmox, secret_key

#: The IPAM that every Proxmox has. It is in no file, so it can be neither made nor deleted.
BUILT_IN_IPAM = "pve"

ServiceUrl = Annotated[
    str,
    Length(min_length=8, max_length=512),
    Matching(
        r"https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
        r"(/[A-Za-z0-9._~%/-]*)?",
        "must be http://host:port/path or https://host:port/path, without user, password and query",
    ),
]
_ID = id_in_proxmox(": 2 to 64 letters and digits, a letter first", "{}")
_FINGERPRINT = (
    "SHA-256 fingerprint of the server's certificate, 32 pairs of hex digits with colons. Default: the certificate "
    "must be of a CA that the nodes trust. Proxmox: fingerprint."
)
_FOR_ADOPTED = (
    "bound to the ProxmoxCluster and to url (label and annotation, docs/ipam-dns.md). Needed to create it and to "
    "change url; without it what Proxmox has stays."
)


class TokenSecretKeyRef(SecretRef):
    """A token in a Secret of the operator's own namespace."""

    key: SecretKey = secret_key("token", "the token")


class ApiKeySecretKeyRef(SecretRef):
    """An API key in a Secret of the operator's own namespace."""

    key: SecretKey = secret_key("key", "the API key")


def _belongs(field: str, types: str, words: str) -> Rule:
    return Rule(f"!has(self.{field}) || self.type in [{types}]", f"{field} belongs to type {words}")


class IpamSpec(ClusterScopedSpec):
    """An IPAM: where Proxmox registers subnets and addresses. Zones name it (``ipamRef``)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("self.type == 'pve' || has(self.url)", "types netbox and phpipam need a url"),
            Rule("self.type != 'phpipam' || has(self.section)", "type phpipam needs a section"),
            _belongs("section", "'phpipam'", "phpipam"),
            _belongs("url", "'netbox', 'phpipam'", "netbox or phpipam"),
            _belongs("tokenSecretRef", "'netbox', 'phpipam'", "netbox or phpipam"),
            _belongs("fingerprint", "'netbox', 'phpipam'", "netbox or phpipam"),
            Rule(
                "!has(self.fingerprint) || !has(self.url) || self.url.startsWith('https://')",
                "fingerprint needs a url with https",
            ),
            Rule("!has(self.id) || self.id != 'pve' || self.type == 'pve'", "id pve is the built-in IPAM: type pve"),
        )
    )

    id: PluginId | None = Field(None, description=_ID.format("ipam"))
    type: Literal["pve", "netbox", "phpipam"] = Field(
        description="pve: Proxmox' own; id pve is the one that every cluster has. netbox, phpipam: a server outside. "
        "Immutable once programmed. Proxmox: type."
    )
    url: ServiceUrl | None = Field(
        None,
        description="API of the server, as the nodes reach it, e.g. https://netbox.example.com/api. Proxmox asks it "
        "when the object is written, and takes nothing from a server that does not answer. Proxmox: url.",
    )
    token_secret_ref: TokenSecretKeyRef | None = Field(
        None, description=f"Token for the server: a Secret {_FOR_ADOPTED} Proxmox: token."
    )
    section: Annotated[int, Field(ge=1, le=2147483647)] | None = Field(
        None, description="phpipam, which needs it: number of the section for subnets. Default: none. Proxmox: section."
    )
    fingerprint: Fingerprint | None = Field(None, description=_FINGERPRINT)


class DnsServerSpec(ClusterScopedSpec):
    """A PowerDNS server in which Proxmox registers names. Zones name it (``dns.serverRef``)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("!has(self.fingerprint) || self.url.startsWith('https://')", "fingerprint needs a url with https")
        )
    )

    id: PluginId | None = Field(None, description=_ID.format("dns"))
    url: ServiceUrl = Field(
        description="API of the server, as the nodes reach it, e.g. https://dns.example.com:8081/api/v1/servers/"
        "localhost. Proxmox asks it when the object is written, and takes nothing from a server that does not answer. "
        "Proxmox: url."
    )
    key_secret_ref: ApiKeySecretKeyRef | None = Field(
        None, description=f"API key of the server: a Secret {_FOR_ADOPTED} Proxmox: key."
    )
    ttl_seconds: Annotated[int, Field(ge=1, le=2147483647)] | None = Field(
        None, description="Time to live of records. Default: 14400 (Proxmox). Proxmox: ttl."
    )
    reverse_mask6: (
        Annotated[int, Field(ge=4, le=124), Rule("self % 4 == 0", "must be a multiple of 4: a zone ends at a digit")]
        | None
    ) = Field(
        None,
        description="Prefix length of the reverse zones of IPv6, 4 to 124, a multiple of 4. Default: that of the "
        "subnet. Proxmox: reversemaskv6.",
    )
    fingerprint: Fingerprint | None = Field(None, description=_FINGERPRINT)


class ServiceStatus(ManagedStatus):
    """The state of an IPAM or DNS server in Proxmox."""

    used_by: Annotated[list[Annotated[str, Cut(128)]], Cut(32)] | None = Field(
        None,
        description="Zones that name it in Proxmox; while one does, it is not deleted.",
        json_schema_extra=ATOMIC,
    )
    truncated: int | None = Field(None, description="How many more zones name it.")
    secret_revision: Annotated[str, Cut(64)] | None = Field(
        None,
        description="resourceVersion of the Secret that Proxmox last got. A Proxmox that does not show the token gets "
        "it again when this changes.",
    )


class IpamStatus(ServiceStatus):
    """The state of the IPAM in Proxmox."""


class DnsServerStatus(ServiceStatus):
    """The state of the DNS server in Proxmox."""
