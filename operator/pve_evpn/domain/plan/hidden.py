"""Proxmox' own words on objects of a namespace, without the names of what the namespace may not see."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pve_evpn.domain.plan.render import subnet_cidr
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot, parents_of

HIDDEN = "(another object)"
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:/-]*[A-Za-z0-9])?")
#: Texts that are shorter stand in other words by chance.
_SHORTEST = 4


def without_foreign(text: str, own: Iterable[SdnRef], sdn: SdnSnapshot) -> str:
    """The text without ids, subnets, VNIs, gateways and aliases of all objects but ``own`` and what they refer to."""
    mine = set(own)
    objects = [*sdn.edited.values(), *sdn.running.values()]
    for obj in objects:
        if obj.ref in mine:
            mine |= set(parents_of(obj))
    shown = {word for obj in objects if obj.ref in mine for word in _names(obj)} | {ref.id for ref in mine}
    foreign = {word for obj in objects if obj.ref not in mine for word in _names(obj)} - shown
    for alias in sorted((word for word in foreign if not _WORD.fullmatch(word)), key=len, reverse=True):
        text = text.replace(alias, HIDDEN)
    return _WORD.sub(lambda match: HIDDEN if match[0] in foreign else match[0], text)


def _names(obj: SdnObject) -> Iterable[str]:
    yield obj.ref.id
    if obj.ref.kind is SdnKind.SUBNET:
        yield subnet_cidr(obj.ref)
    for key in ("tag", "gateway", "alias", "vrf-vxlan"):
        text = str(obj.props.get(key) or "")
        if len(text) >= _SHORTEST:
            yield text
