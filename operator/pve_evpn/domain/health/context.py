"""One observation laid over a scene, and what judging any object of it needs. Shared by the modules ``health_*``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pve_evpn.api.conditions import ConditionType, ObservedStatus, Reason
from pve_evpn.api.status import updated
from pve_evpn.api.vnet import VNetStatus, VniOnNode
from pve_evpn.domain.conditions import ConditionValue, from_condition
from pve_evpn.domain.health.expected import ExpectedOverlay, ExpectedVNet
from pve_evpn.domain.health.macs import MacIndex
from pve_evpn.domain.health.record import MOST_NODES, NO_BGP_SOURCE, Health
from pve_evpn.domain.health.sessions import ExpectedSessions
from pve_evpn.domain.health.vnis import L2View, VniIndex
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import (
    SOURCES,
    ClusterObservation,
    NodeLook,
    NodeObservation,
    ObservationFailure,
    failure_in,
)
from pve_evpn.domain.state import same_form

Previous = Callable[[ObjectKey], Resource[Any] | None]
_SHOWN = 3


class View:
    """One observation with the indexes over it, and where each node is in the overlays."""

    def __init__(
        self, scene: ExpectedOverlay, looks: ClusterObservation, previous: Previous, now: datetime, interval: timedelta
    ) -> None:
        self.scene = scene
        self.looks = looks
        self.previous = previous
        self.now = now
        self.vnis = VniIndex(looks)
        self.macs: MacIndex
        self._interval = interval
        self._own = {name: vteps for name, look in looks.answered().items() if (vteps := look.vteps)}
        self._configured: dict[str, Mapping[str, str]] = {}
        self._controllers = {zone.id: zone.controller for zone in scene.zones}
        self._names: dict[str, str] = {}

    def locate(self, expected: Mapping[ObjectKey, ExpectedSessions]) -> None:
        """Learn each node's addresses in the overlays: what a node says itself counts more than what is configured."""
        for overlay in self.scene.overlays:
            self._configured[overlay.id] = expected[overlay.key].vteps
            self._names |= expected[overlay.key].nodes_by_vtep
        self._names |= {same_form(address): name for name, vteps in self._own.items() for address in vteps}
        vnis = {vnet.id: vnet.vni for vnet in self.scene.vnets}
        self.macs = MacIndex(self.looks, self._names, vnis, self._interval)

    def name_of(self, address: str) -> str | None:
        return self._names.get(same_form(address))

    def vteps(self, vni: int, zone: str) -> dict[str, str]:
        """Each node's VTEP address for a VNI: the node's own word, else what the zone's controller has it by."""
        controller = self._controllers.get(zone)
        if controller in self._configured:
            found = dict(self._configured[controller])
        else:
            found = {name: address for there in self._configured.values() for name, address in there.items()}
        for name, own in self._own.items():
            if originator := self.vnis.originator(name, vni):
                found[name] = originator
            elif found.get(name) not in own:
                found[name] = min(own)
        return found

    def l2(self, vnet: ExpectedVNet) -> L2View:
        """A node that is switched off is missing from every flood list, and nobody misses it."""
        vteps = {name: address for name, address in self.vteps(vnet.vni, vnet.zone).items() if self.online(name)}
        l3_vni = next((zone.vni for zone in self.scene.zones if zone.id == vnet.zone), None)
        return self.vnis.l2(vnet.vni, vnet.nodes, vteps, vnet.subnets, l3_vni)

    def online(self, name: str) -> bool:
        member = self.scene.members.get(name)
        return member is None or member.online

    def source(self, nodes: Iterable[str]) -> str | None:
        """Which sources spoke for these nodes."""
        looks = self.looks.answered()
        return sources_of(looks[name] for name in nodes if name in looks)

    def in_grace(self, nodes: Iterable[str]) -> bool:
        """Whether any of the nodes was not seen yet and may still be: then nothing new is said."""
        looks = (self.looks.nodes.get(name) for name in nodes)
        return any(isinstance(look, ObservationFailure) and not look.settled for look in looks)


def operational(status: bool | None, reason: Reason, message: str) -> ConditionValue:
    return ConditionValue(ConditionType.OPERATIONAL, status, reason, message)


def not_seen(nodes: Iterable[str], view: View, why: Callable[[NodeObservation], str]) -> ConditionValue:
    """Unknown: because nodes could not be read as was wished, or because no source shows this."""
    looks = {name: view.looks.nodes.get(name) for name in nodes}
    if failed := [message for look in looks.values() if (message := not_observed(look))]:
        return operational(None, Reason.OBSERVATION_STALE, listed(failed))
    messages = dict.fromkeys(why(look) for look in looks.values() if isinstance(look, NodeObservation))
    message = listed(messages) if messages else f"{names_of(list(looks))}: not looked at yet"
    return operational(None, Reason.SOURCE_UNAVAILABLE, message)


def not_observed(look: NodeLook | None) -> str:
    """Why the preferred source shows nothing of a node, in one sentence; empty if it does."""
    failure = failure_in(look)
    if failure is None:
        return ""
    by = f" by {failure.source}" if isinstance(look, NodeObservation) else ""
    return f"{failure.node} cannot be observed{by}: {failure.message}"


def why_no_sessions(look: NodeObservation) -> str:
    return _why(look, NO_BGP_SOURCE if "api" in look.sources else "its BGP sessions cannot be read")


def why_no_vnis(look: NodeObservation) -> str:
    if "api" in look.sources:
        return _why(look, "the Proxmox API shows no flood lists, and of the routes only those with an IP address")
    return _why(look, "its VNIs cannot be read")


def why_no_routes(look: NodeObservation) -> str:
    if "api" in look.sources:
        return _why(look, "no route with an IP address is seen; the Proxmox API does not show others")
    return _why(
        look,
        "frr_exporter shows no MAC addresses" if look.source == "frrExporter" else "its EVPN routes cannot be read",
    )


def _why(look: NodeObservation, otherwise: str) -> str:
    """What could not be read, if that was said; else what can be said in general."""
    return f"{look.node}: {look.problems[0]}" if look.problems else otherwise


def sources_of(looks: Iterable[NodeObservation]) -> str | None:
    """The sources that looks come from, those that see most first."""
    found = {source for look in looks for source in look.sources}
    return ", ".join(source for source in SOURCES if source in found) or None


def as_before(resource: Resource[Any] | None, message: str = "not observed yet") -> Health:
    """Nothing new: the condition and the observed part of the status stay as they are."""
    condition = resource.status.condition(ConditionType.OPERATIONAL) if resource else None
    verdict = (
        from_condition(ConditionType.OPERATIONAL, condition)
        if condition
        else operational(None, Reason.PENDING, message)
    )
    if verdict.reason is Reason.PENDING:
        verdict = replace(verdict, message=message)
    before = resource.status.nodes if resource and isinstance(resource.status, VNetStatus) else None
    return Health(verdict, rows={row.name: row for row in before or ()})


def dated(
    resource: Resource[Any] | None, part: ObservedStatus, now: datetime, rows: Mapping[str, VniOnNode] | None = None
) -> ObservedStatus:
    """The part of a status that was observed, with ``observedAt``: when it was first seen so."""
    before: ObservedStatus | None = resource.status if resource else None
    since = before.observed_at if before and _same(before, part) and _same_rows(before, rows or {}) else None
    return updated(part, ObservedStatus(observed_at=since or now))


def _same(before: ObservedStatus, part: ObservedStatus) -> bool:
    return all(getattr(before, name) == getattr(part, name) for name in part.model_fields_set)


def _same_rows(before: ObservedStatus, rows: Mapping[str, VniOnNode]) -> bool:
    there = {row.name: row for row in before.nodes or ()} if isinstance(before, VNetStatus) else {}
    for name, row in rows.items():
        if name not in there and len(there) >= MOST_NODES:
            continue  # there is no room for it
        old = there.get(name, VniOnNode())
        seen = {field: value for field in VniOnNode.model_fields if (value := getattr(row, field)) is not None}
        if any(getattr(old, field) != value for field, value in seen.items()):
            return False
    return True


def listed(messages: Iterable[str]) -> str:
    texts = list(messages)
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def names_of(names: list[str]) -> str:
    shown = sorted(names)
    if len(shown) > 4:
        return f"{', '.join(shown[:3])} and {len(shown) - 3} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
