"""One observation beside what is expected: what assessing any object needs, and the words all assessments share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pve_evpn.api.conditions import ConditionType, ObservedStatus, Reason
from pve_evpn.api.status import updated
from pve_evpn.api.vnet import VNetStatus, VniOnNode
from pve_evpn.domain.conditions import ConditionValue, from_condition
from pve_evpn.domain.health.expected import ExpectedOverlay, ExpectedSessions
from pve_evpn.domain.health.object_health import MOST_NODES, NO_BGP_SOURCE, Health
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import (
    SOURCES,
    ClusterObservation,
    NodeObservation,
    NodeResult,
    ObservationFailure,
    failure_in,
)
from pve_evpn.domain.state import same_form

#: Objects as they were reported last, by key. A snapshot: assessing runs in a thread.
Reported = Mapping[ObjectKey, Resource[Any]]
_SHOWN = 3


class HealthContext:
    """One poll of one cluster, beside what is expected of it. Never changes once it is made.

    Args:
        expected: What should be seen.
        sessions: The expected sessions of each EvpnController.
        observation: What the nodes say.
        reported: The objects as they were reported last.
    """

    def __init__(
        self,
        expected: ExpectedOverlay,
        sessions: Mapping[ObjectKey, ExpectedSessions],
        observation: ClusterObservation,
        reported: Reported,
    ) -> None:
        self.expected = expected
        self.sessions = sessions
        self.observation = observation
        self._reported = reported
        answered = observation.answered()
        self._own = {name: vteps for name, node in answered.items() if (vteps := node.vteps)}
        self._originators = {
            (name, row.vni): row.originator_ip
            for name, node in answered.items()
            for row in node.bgp_vnis or ()
            if row.originator_ip
        }
        self._configured = {controller.id: sessions[controller.key].vteps for controller in expected.controllers}
        self._controllers = {zone.id: zone.controller for zone in expected.zones}
        # What a node says of itself counts more than what is configured.
        self.node_by_vtep: dict[str, str] = {}
        for controller in expected.controllers:
            self.node_by_vtep |= sessions[controller.key].nodes_by_vtep
        self.node_by_vtep |= {same_form(address): name for name, vteps in self._own.items() for address in vteps}

    def previous(self, key: ObjectKey) -> Resource[Any] | None:
        """The object as it was reported last."""
        return self._reported.get(key)

    def name_of(self, address: str) -> str | None:
        """The node that has this address in an overlay."""
        return self.node_by_vtep.get(same_form(address))

    def vteps(self, vni: int, zone: str) -> dict[str, str]:
        """Each node's VTEP address for a VNI: as the node itself has it, else as the zone's controller does."""
        controller = self._controllers.get(zone)
        if controller in self._configured:
            found = dict(self._configured[controller])
        else:
            found = {name: address for vteps in self._configured.values() for name, address in vteps.items()}
        for name, own in self._own.items():
            if originator := self._originators.get((name, vni)):
                found[name] = originator
            elif found.get(name) not in own:
                found[name] = min(own)
        return found

    def online(self, name: str) -> bool:
        """Whether the Proxmox cluster sees the node."""
        member = self.expected.members.get(name)
        return member is None or member.online

    def source(self, nodes: Iterable[str]) -> str | None:
        """The sources that show these nodes, as ``status.source`` has them."""
        answered = self.observation.answered()
        return sources_of(answered[name] for name in nodes if name in answered)

    def in_grace(self, nodes: Iterable[str]) -> bool:
        """Whether any of the nodes failed less than the grace time ago: then what was reported stays."""
        results = (self.observation.nodes.get(name) for name in nodes)
        return any(isinstance(result, ObservationFailure) and not result.settled for result in results)


def operational(status: bool | None, reason: Reason, message: str) -> ConditionValue:
    """Condition ``Operational``."""
    return ConditionValue(ConditionType.OPERATIONAL, status, reason, message)


def not_seen(nodes: Iterable[str], context: HealthContext, why: Callable[[NodeObservation], str]) -> ConditionValue:
    """Unknown: because the preferred source of a node fails, or because no source shows this."""
    results = {name: context.observation.nodes.get(name) for name in nodes}
    if failed := [message for result in results.values() if (message := why_not_observed(result))]:
        return operational(None, Reason.OBSERVATION_STALE, listed(failed))
    messages = dict.fromkeys(why(node) for node in results.values() if isinstance(node, NodeObservation))
    message = listed(messages) if messages else f"{names_of(list(results))}: not observed yet"
    return operational(None, Reason.SOURCE_UNAVAILABLE, message)


def why_not_observed(result: NodeResult | None) -> str:
    """Why the preferred source shows nothing of a node, in one sentence; empty if it does."""
    failure = failure_in(result)
    if failure is None:
        return ""
    by = f" by {failure.source}" if isinstance(result, NodeObservation) else ""
    return f"{failure.node} cannot be observed{by}: {failure.message}"


def why_no_sessions(node: NodeObservation) -> str:
    return _why(node, NO_BGP_SOURCE if "api" in node.sources else "its BGP sessions cannot be read")


def why_no_vnis(node: NodeObservation) -> str:
    if "api" in node.sources:
        return _why(node, "the Proxmox API shows no flood lists, and of the routes only those with an IP address")
    return _why(node, "its VNIs cannot be read")


def why_no_routes(node: NodeObservation) -> str:
    if "api" in node.sources:
        return _why(node, "no route with an IP address is seen; the Proxmox API does not show others")
    if node.source == "frrExporter":
        return _why(node, "frr_exporter shows no MAC addresses")
    return _why(node, "its EVPN routes cannot be read")


def _why(node: NodeObservation, otherwise: str) -> str:
    """The first problem of reading the node, else what holds for its source in general."""
    return f"{node.node}: {node.problems[0]}" if node.problems else otherwise


def sources_of(nodes: Iterable[NodeObservation]) -> str | None:
    """The sources that observations come from, those that see most first."""
    found = {source for node in nodes for source in node.sources}
    return ", ".join(source for source in SOURCES if source in found) or None


def as_before(resource: Resource[Any] | None, message: str = "not observed yet") -> Health:
    """Nothing new is known: the condition and the observed part of the status stay as they are."""
    condition = resource.status.condition(ConditionType.OPERATIONAL) if resource else None
    value = from_condition(ConditionType.OPERATIONAL, condition) if condition else None
    if value is None:
        value = operational(None, Reason.PENDING, message)
    elif value.reason is Reason.PENDING:
        value = replace(value, message=message)
    before = resource.status.nodes if resource and isinstance(resource.status, VNetStatus) else None
    return Health(value, rows={row.name: row for row in before or ()})


def dated(
    resource: Resource[Any] | None, part: ObservedStatus, now: datetime, rows: Mapping[str, VniOnNode] | None = None
) -> ObservedStatus:
    """The part of a status that was observed, with ``observedAt``: the time it was first seen so."""
    before: ObservedStatus | None = resource.status if resource else None
    since = before.observed_at if before and _same(before, part) and _same_rows(before, rows or {}) else None
    return updated(part, ObservedStatus(observed_at=since or now))


def _same(before: ObservedStatus, part: ObservedStatus) -> bool:
    return all(getattr(before, name) == getattr(part, name) for name in part.model_fields_set)


def _same_rows(before: ObservedStatus, rows: Mapping[str, VniOnNode]) -> bool:
    reported = {row.name: row for row in before.nodes or ()} if isinstance(before, VNetStatus) else {}
    for name, row in rows.items():
        if name not in reported and len(reported) >= MOST_NODES:
            continue  # there is no room for it
        old = reported.get(name, VniOnNode())
        seen = {field: value for field in VniOnNode.model_fields if (value := getattr(row, field)) is not None}
        if any(getattr(old, field) != value for field, value in seen.items()):
            return False
    return True


def listed(messages: Iterable[str]) -> str:
    """The first messages, and how many more there are."""
    texts = list(messages)
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def names_of(names: list[str]) -> str:
    """Names as a person writes them: ``pve1, pve2 and pve3``."""
    shown = sorted(names)
    if len(shown) > 4:
        return f"{', '.join(shown[:3])} and {len(shown) - 3} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
