"""Which Proxmox name a Kubernetes object gets.

Proxmox names are short (zones and VNets 2-8 letters and digits beginning with a letter, controllers 2-64) and
global, Kubernetes names are long and namespaced. The rule is stable: an explicit ``spec.id``, else the name an
object already has, else ``metadata.name`` where Proxmox would accept it, else a hash.
"""

from __future__ import annotations

import base64
import hashlib
import re

from pve_evpn.api.kinds import KINDS
from pve_evpn.api.types import ApiModel
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.sdn import SdnKind, SdnRef


def proxmox_id(resource: Resource[ApiModel]) -> str:
    """The Proxmox name of a controller, zone or VNet.

    ``status.id`` comes before the derivation so that an object never changes its name when the rule does.
    """
    explicit = getattr(resource.spec, "id", None)
    if explicit:
        return str(explicit)
    if known := resource.status.id:
        return str(known)
    _, namespace, name = resource.key
    pattern = KINDS[resource.key.kind].id_pattern
    # A namespaced name is only unique within its namespace, so two tenants may both want "web": the older
    # object wins the plain name and the other is told to be made anew with spec.id.
    if re.fullmatch(pattern, name):
        return name
    return hashed_id(namespace, name)


def hashed_id(namespace: str, name: str) -> str:
    """Eight characters, a letter first: ``v`` and 35 bits of SHA-256 in base32."""
    digest = hashlib.sha256(f"{namespace}/{name}".encode()).digest()
    return "v" + base64.b32encode(digest).decode().lower()[:7]


def sdn_kind_of(key: ObjectKey) -> SdnKind | None:
    """The Proxmox collection that a kind stands for an object of; None where it stands for none."""
    kind = KINDS[key.kind].sdn_kind
    return SdnKind(kind) if kind else None


def own_ref(resource: Resource[ApiModel]) -> SdnRef:
    """The Proxmox object that a controller, zone or VNet stands for."""
    return SdnRef(SdnKind(KINDS[resource.key.kind].sdn_kind), proxmox_id(resource))
