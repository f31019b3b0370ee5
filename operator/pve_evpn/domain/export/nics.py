"""From the NICs of guests to manifests, and the grants that their namespace needs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.export import rules
from pve_evpn.domain.export.model import NAMESPACE_LABEL, Manifest, Request, Round, Source
from pve_evpn.domain.export.names import Names
from pve_evpn.domain.export.resources import nothing_yet
from pve_evpn.domain.export.specification import CannotBeSaid, in_words
from pve_evpn.domain.nics import render as nic_render
from pve_evpn.domain.nics.fields import api_name
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.plan.grants import Grants
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState, GuestState

#: As many as a grant's list and a list of grants hold.
_MOST_RANGES, _MOST_GRANTS = 64, 64


class NicDescriber:
    """Describes the NICs of one cluster's guests, again and again with more left out; names stay the same."""

    def __init__(self, state: ClusterState, request: Request) -> None:
        self._state = state
        self._request = request
        self._given: dict[tuple[int, str], str] = {}
        self._names = Names(nic.key.name for nic in self._existing_nics())

    def describe(self, left_out: Mapping[Source, str], made: Round) -> Iterator[Manifest]:
        """The manifests of the NICs that are asked for and on VNets of the namespace."""
        owned = self._owned_nics()
        for vmid, guest in sorted((self._state.guests or {}).items()):
            if guest.template or not self._request.guests or not self._request.guests(guest):
                continue
            if guest.nics is None:
                made.leave_out(
                    f"NICs of guest {vmid}", f"they could not be read{f': {guest.error}' * bool(guest.error)}"
                )
                continue
            for device, text in sorted(guest.nics.items(), key=lambda item: int(item[0].removeprefix("net"))):
                vnet = made.keys.get(_vnet_of(NetN.parse(guest.kind, text)))
                if vnet is None or vnet.namespace != self._request.namespace or (vmid, device) in owned:
                    continue
                if (vmid, device) in left_out:
                    made.leave_out(f"{device} of guest {vmid}", left_out[vmid, device])
                    continue
                try:
                    yield self._nic(guest, device, NetN.parse(guest.kind, text), made)
                except CannotBeSaid as error:
                    made.leave_out(f"{device} of guest {vmid}", str(error))

    def _owned_nics(self) -> set[tuple[int, str]]:
        nics = self._request.existing.nics if self._request.existing else ()
        found = ((nic.status.vmid or (nic.spec and nic.spec.guest.vmid), nic.spec.device) for nic in nics if nic.spec)
        return {(vmid, device) for vmid, device in found if vmid}

    def _nic(self, guest: GuestState, device: str, config: NetN, made: Round) -> Manifest:
        """Raises CannotBeSaid."""
        source = (guest.vmid, device)
        vnet = _vnet_of(config)
        base = {
            "clusterRef": {"name": self._request.cluster},
            "guest": {"vmid": guest.vmid},
            "type": guest.kind,
            "device": device,
            "vnetRef": {"name": made.keys[vnet].name},
        }
        try:
            fields = nic_render.specified(config)
        except ValueError as error:
            raise CannotBeSaid(f"{config.render()!r} cannot be read ({error})") from None
        while True:
            wrong = _nic_problem({**base, **fields}, config, vnet.id)
            if wrong is None:
                break
            path, why = wrong
            if path not in fields:
                raise CannotBeSaid(why)
            made.leave_out(f"{device} of guest {guest.vmid} {path}", why)
            del fields[path]
        if source not in self._given:
            self._given[source] = self._names.give(
                f"{guest.name or guest.kind}-{guest.vmid}-{device}", f"{guest.kind}-{guest.vmid}-{device}"
            )
        key = ObjectKey("NicAttachment", self._request.namespace, self._given[source])
        group = f"nics-{made.groups.get(vnet.id, 'of-existing-vnets')}"
        return Manifest(key, group, {**base, **fields, **self._request.policies}, source)

    def _existing_nics(self) -> Iterator[Resource[Any]]:
        existing = self._request.existing.nics if self._request.existing else ()
        return (nic for nic in existing if nic.key.namespace == self._request.namespace)


def missing_grants(state: ClusterState, request: Request, nics: list[Manifest], made: Round) -> list[dict[str, Any]]:
    """Grants of the guests that the namespace does not have yet, by number and by nothing wider."""
    guests = state.guests or {}
    labels = {request.namespace: {NAMESPACE_LABEL: request.namespace}}
    before = request.existing or nothing_yet(request.cluster, request.cluster_spec)
    permitted = Grants(replace(before, namespaces={**before.namespaces, **labels})).permits
    vmids = {nic.source[0] for nic in nics if isinstance(nic.source, tuple)}
    spans: list[dict[str, int]] = []
    for vmid in sorted(vmid for vmid in vmids if not permitted(request.namespace, guests[vmid])):
        if spans and spans[-1]["to"] == vmid - 1:
            spans[-1]["to"] = vmid
        else:
            spans.append({"from": vmid, "to": vmid})
    chunks = [spans[at : at + _MOST_RANGES] for at in range(0, len(spans), _MOST_RANGES)]
    if len(chunks) > _MOST_GRANTS:
        made.leave_out("guestAccess", "there are too many guests to grant by number: grant them by pool or tag")
    return [{"namespaces": request.namespaces, "guests": {"vmids": chunk}} for chunk in chunks[:_MOST_GRANTS]]


def _vnet_of(config: NetN) -> SdnRef:
    """The VNet a NIC would be on, if its bridge is one."""
    return SdnRef(SdnKind.VNET, config.get("bridge") or "")


def _nic_problem(spec: Mapping[str, Any], config: NetN, bridge: str) -> tuple[str, str] | None:
    """A field of a NIC that cannot be said, and why."""
    try:
        checked = NicAttachmentSpec.model_validate(spec)
    except ValidationError as error:
        return in_words(dict(error.errors(include_url=False, include_input=False)[0]))
    if wrong := next(iter(rules.nic(checked)), None):
        return wrong
    rendered = nic_render.as_specified(config, checked, bridge)
    if changed := config.differing(rendered):
        return api_name(changed[0]), "it would be written otherwise"
    return None
