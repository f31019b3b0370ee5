"""Which Proxmox name a Kubernetes object gets.

Proxmox names are short (zones and VNets 2-8 letters and digits beginning with a letter, controllers 2-64) and
global, Kubernetes names are long and namespaced. The rule is stable: an explicit ``spec.id``, else the name an
object already has, else ``metadata.name`` where Proxmox would accept it, else a hash.
"""

from __future__ import annotations

import base64
import hashlib
import re

from pve_evpn.api.types import ApiModel
from pve_evpn.domain.objects import Resource

_SHORT = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,6}[a-zA-Z0-9]")
_LONG = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,62}[a-zA-Z0-9]")


def proxmox_id(resource: Resource[ApiModel]) -> str:
    """The Proxmox name of a controller, zone or VNet.

    ``status.id`` comes before the derivation so that an object never changes its name when the rule does.
    """
    explicit = getattr(resource.spec, "id", None)
    if explicit:
        return str(explicit)
    if known := resource.status.get("id"):
        return str(known)
    _, namespace, name = resource.key
    pattern = _LONG if resource.key.kind == "EvpnController" else _SHORT
    # A namespaced name is only unique within its namespace, so two tenants may both want "web": the older
    # object wins the plain name and the other is told to be made anew with spec.id.
    if pattern.fullmatch(name):
        return name
    return hashed_id(namespace, name)


def hashed_id(namespace: str, name: str) -> str:
    """Eight characters, a letter first: ``v`` and 35 bits of SHA-256 in base32."""
    digest = hashlib.sha256(f"{namespace}/{name}".encode()).digest()
    return "v" + base64.b32encode(digest).decode().lower()[:7]
