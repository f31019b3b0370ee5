"""What an observation of the nodes means for each object: its ``Operational`` condition and its part of the status.

Pure: a scene, a look at the nodes and the statuses before in, `Judgement` out. It says nothing of configuration.
*Unknown* is never shown as down: what no source sees makes ``Operational`` Unknown and leaves fields out. Nothing here
ticks: the same network seen again gives the same answer.

Which reason wins where several apply (first match):

=================  ===================================================================================================
EvpnNode           not seen > bgpd not running > node among nobody's peers > session down
EvpnController     node missing from the peers > session down > a node not seen
EvpnZone, VNet     bgpd not running > VNI missing > VTEP missing (VNet), MTU too big (zone) > a node not seen
NicAttachment      the verdict of `domain.verdicts`; nothing is expected of a stopped guest
=================  ===================================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pve_evpn.domain.health import sessions
from pve_evpn.domain.health.context import Previous, View, as_before, not_observed
from pve_evpn.domain.health.expected import ExpectedOverlay
from pve_evpn.domain.health.mac_health import nic_health, verdict_before
from pve_evpn.domain.health.macs import MacAssessment, MacState, judge
from pve_evpn.domain.health.record import Health
from pve_evpn.domain.health.session_health import controller_health, expected_sessions, node_health, steady_looks
from pve_evpn.domain.health.sessions import ExpectedSessions, Sessions
from pve_evpn.domain.health.vni_health import vnet_health, zone_health
from pve_evpn.domain.health.vnis import L2View
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import ClusterObservation, failure_in

#: What a guest that is just moving may look like.
_SUSPICIOUS = frozenset({MacState.WRONG_NODE, MacState.DUPLICATE, MacState.ZOMBIE})


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one observation means: health per object, and the problems behind it, for Events and metrics."""

    health: Mapping[ObjectKey, Health] = field(default_factory=dict)
    sessions: Mapping[ObjectKey, Sessions] = field(default_factory=dict)
    expected: Mapping[ObjectKey, ExpectedSessions] = field(default_factory=dict)
    l2: Mapping[ObjectKey, L2View] = field(default_factory=dict)
    nics: Mapping[ObjectKey, MacAssessment] = field(default_factory=dict)
    sight: Mapping[ObjectKey, str] = field(default_factory=dict)
    """EvpnNodes of which it is known whether their preferred source shows them: empty if so, else why not."""
    suspects: frozenset[ObjectKey] = frozenset()
    """NICs that were well a moment ago and seem to be on the wrong node, or on several."""


def judge_all(
    scene: ExpectedOverlay,
    looks: ClusterObservation,
    nodes: Iterable[Resource[Any]],
    previous: Previous,
    now: datetime,
    confirmed: Collection[ObjectKey] = (),
    interval: timedelta = timedelta(seconds=15),
) -> Judgement:
    """Judge everything in the scene, and `nodes`, the EvpnNode objects. `previous` gives objects as last reported.

    Nodes are not read at the same instant, and Proxmox at another one. So a guest that is moving may seem to be on the
    wrong node, on two, or on one that has no port for it: that is said only of those among `confirmed`, the suspects
    of the poll before. `interval`: between two polls.
    """
    nodes = list(nodes)
    looks = steady_looks(looks, nodes)
    view = View(scene, looks, previous, now, interval)
    expected = {overlay.key: expected_sessions(overlay, looks) for overlay in scene.overlays}
    view.locate(expected)
    found = {key: sessions.controller_sessions(wanted, looks) for key, wanted in expected.items()}
    health: dict[ObjectKey, Health] = {}
    sight: dict[ObjectKey, str] = {}
    for node in nodes:
        health[node.key] = node_health(node, view, list(expected.values()))
        look = looks.nodes.get(node.spec.node if node.spec else "")
        if look is not None and not ((failure := failure_in(look)) and not failure.settled):
            sight[node.key] = not_observed(look)
    for key, all_sessions in found.items():
        health[key] = controller_health(key, all_sessions, view)
    for zone in scene.zones:
        health[zone.key] = zone_health(zone, view)
    l2 = {vnet.key: view.l2(vnet) for vnet in scene.vnets}
    for vnet in scene.vnets:
        health[vnet.key] = vnet_health(vnet, l2[vnet.key], view)
    verdicts, suspects = {}, set()
    for nic in scene.nics:
        before = verdict_before(previous(nic.key))
        verdict = judge(nic.nic, view.macs, before, now)
        if verdict.word in _SUSPICIOUS and before and before.word is not verdict.word:
            suspects.add(nic.key)
            verdict = verdict if nic.key in confirmed else before
        verdicts[nic.key] = verdict
        nothing_new = verdict == before or (before is None and verdict.word is MacState.UNKNOWN)
        waiting = nothing_new and view.in_grace([nic.nic.home] if nic.nic.home else looks.nodes)
        health[nic.key] = as_before(previous(nic.key)) if waiting else nic_health(nic, verdict, view)
    return Judgement(health, found, expected, l2, verdicts, sight, frozenset(suspects))


def untouched(resources: Iterable[Resource[Any]]) -> dict[ObjectKey, Health]:
    """Before anything was observed: everything stays as it was reported last."""
    return {resource.key: as_before(resource) for resource in resources}
