"""Compares an observation of the nodes with what is expected: the health of each object.

Pure: expected, observed and the statuses before in, `Assessment` out. It says nothing of configuration. *Unknown* is
never shown as down: what no source sees makes ``Operational`` Unknown and leaves fields out. The same network seen
again gives the same answer.

Which reason wins where several apply (first match):

=================  ===================================================================================================
EvpnNode           not observed > bgpd not running > node not among the peers > session down
EvpnController     node not among the peers > session down > a node not observed
Fabric             no neighbour, an incomplete one, an interface down, a route missing > a node not observed
BgpController      its node not observed, or sessions with routers outside not shown > session down
IsisController     its node not observed, or IS-IS not shown > isisd not running > an interface without a neighbour
EvpnZone, VNet     bgpd not running > VNI missing > VTEP missing (VNet), MTU too big (zone) > a node not observed
NicAttachment      the table in `domain.health.macs`; nothing is expected of a stopped guest
=================  ===================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pve_evpn.api.nic import MacState
from pve_evpn.domain.health.context import HealthContext, Reported, as_before, why_not_observed
from pve_evpn.domain.health.expected import ExpectedNic, ExpectedOverlay, ExpectedSessions
from pve_evpn.domain.health.expected_peers import expected_sessions
from pve_evpn.domain.health.fabrics import fabric_health
from pve_evpn.domain.health.macs import (
    MacAssessment,
    MacIndex,
    assess_mac,
    assessment_before,
    nic_health,
    while_waiting,
)
from pve_evpn.domain.health.nodes import node_health
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.health.routers import isis_health, router_health
from pve_evpn.domain.health.sessions import Sessions, controller_health, controller_sessions
from pve_evpn.domain.health.steady import with_steady_states
from pve_evpn.domain.health.vnis import L2View, VniIndex, l2_view, vnet_health, zone_health
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import ClusterObservation, failure_in

Suspects = Mapping[ObjectKey, datetime]
"""NICs whose MAC was in order and now seems not to be, and since which poll: a guest that moves looks like that."""

#: States that a guest's move may show for a moment, because nodes and Proxmox are not read at the same instant.
_PASSING = frozenset({MacState.WRONG_NODE, MacState.DUPLICATE, MacState.ZOMBIE})


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one observation means.

    Attributes:
        health: By object, for its status.
        sessions: By EvpnController: the sessions there are.
        expected: By EvpnController: the sessions there should be.
        l2: By VNet: its VNI across the nodes.
        macs: By NicAttachment: what EVPN makes of its MAC.
        sight: By EvpnNode: why its preferred source shows nothing, empty if it does. Those of which it is not known
            (within the grace time) are not in it.
        suspects: To be handed to the next assessment.
    """

    health: Mapping[ObjectKey, Health] = field(default_factory=dict)
    sessions: Mapping[ObjectKey, Sessions] = field(default_factory=dict)
    expected: Mapping[ObjectKey, ExpectedSessions] = field(default_factory=dict)
    l2: Mapping[ObjectKey, L2View] = field(default_factory=dict)
    macs: Mapping[ObjectKey, MacAssessment] = field(default_factory=dict)
    sight: Mapping[ObjectKey, str] = field(default_factory=dict)
    suspects: Suspects = field(default_factory=dict)


def assess(
    expected: ExpectedOverlay,
    observation: ClusterObservation,
    reported: Reported,
    suspects: Suspects | None = None,
    interval: timedelta = timedelta(seconds=15),
) -> Assessment:
    """Assess everything that is expected, and every EvpnNode.

    Args:
        expected: What should be seen.
        observation: One poll of the nodes.
        reported: The cluster's objects with the statuses that were written last, EvpnNodes among them.
        suspects: Those of the assessment before.
        interval: Time between two polls.
    """
    nodes = [resource for resource in reported.values() if resource.key.kind == "EvpnNode"]
    observation = with_steady_states(observation, nodes)
    sessions = {controller.key: expected_sessions(controller, observation) for controller in expected.controllers}
    context = HealthContext(expected, sessions, observation, reported)
    vnis = VniIndex(observation)
    vnet_vnis = {vnet.id: vnet.vni for vnet in expected.vnets}
    macs = MacIndex(observation, context.node_by_vtep, vnet_vnis, vnis.vnis_by_rd, interval)

    found = {key: controller_sessions(wanted, observation) for key, wanted in sessions.items()}
    l2 = {vnet.key: l2_view(vnet, vnis, context) for vnet in expected.vnets}
    assessed, suspected = _assess_macs(expected.nics, macs, context, suspects or {})

    health = {node.key: node_health(node, context) for node in nodes}
    health |= {key: controller_health(key, there, context) for key, there in found.items()}
    health |= {fabric.key: fabric_health(fabric, context) for fabric in expected.fabrics}
    health |= {router.key: router_health(router, context) for router in expected.routers}
    health |= {isis.key: isis_health(isis, context) for isis in expected.isis}
    health |= {zone.key: zone_health(zone, vnis, context) for zone in expected.zones}
    health |= {vnet.key: vnet_health(vnet, l2[vnet.key], context) for vnet in expected.vnets}
    health |= {nic.key: _nic_health(nic, assessed[nic.key], context) for nic in expected.nics}
    return Assessment(health, found, sessions, l2, assessed, _sight(nodes, observation), suspected)


def untouched(resources: Iterable[Resource[Any]]) -> dict[ObjectKey, Health]:
    """Before anything was observed: everything stays as it was reported last."""
    return {resource.key: as_before(resource) for resource in resources}


def _assess_macs(
    nics: Iterable[ExpectedNic], index: MacIndex, context: HealthContext, suspects: Suspects
) -> tuple[dict[ObjectKey, MacAssessment], dict[ObjectKey, datetime]]:
    """The assessment of each NIC, and the suspects among them.

    Nodes are not read at the same instant, and Proxmox at another one. So a guest that moves may seem to be on the
    wrong node, on two, or on one that has no port for it. That is reported from the second poll on, or once it has
    lasted for its patience.
    """
    now = context.observation.at
    assessed: dict[ObjectKey, MacAssessment] = {}
    suspected: dict[ObjectKey, datetime] = {}
    for nic in nics:
        before = assessment_before(context.previous(nic.key))
        fresh = assess_mac(nic.nic, index, before, now)
        new = before is None or before.state is not fresh.state
        if fresh.state in _PASSING and new and (before is not None or fresh.patience):
            since = suspects.get(nic.key)
            suspected[nic.key] = since or now
            if since is None or since == now or now - since < fresh.patience:
                fresh = while_waiting(fresh, before)
        assessed[nic.key] = fresh
    return assessed, suspected


def _nic_health(nic: ExpectedNic, found: MacAssessment, context: HealthContext) -> Health:
    """Within the grace time of a failing source, and where nothing is new, the status stays as it is."""
    before = assessment_before(context.previous(nic.key))
    nothing_new = found == before or (before is None and found.state is MacState.UNKNOWN)
    home = [nic.nic.home] if nic.nic.home else context.observation.nodes
    if nothing_new and context.in_grace(home):
        return as_before(context.previous(nic.key))
    return nic_health(nic, found, context)


def _sight(nodes: Iterable[Resource[Any]], observation: ClusterObservation) -> dict[ObjectKey, str]:
    found = {}
    for node in nodes:
        result = observation.nodes.get(node.spec.node if node.spec else "")
        failure = failure_in(result)
        if result is not None and (failure is None or failure.settled):
            found[node.key] = why_not_observed(result)
    return found
