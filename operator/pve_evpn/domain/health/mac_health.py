"""The health of NicAttachments: the verdict on their MAC as a status says it. Pure; the verdict is `verdicts`'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.nic import EvpnView, NicAttachmentStatus
from pve_evpn.domain.health.context import View, dated, operational, why_no_routes
from pve_evpn.domain.health.expected import ExpectedNic
from pve_evpn.domain.health.macs import NOT_SHOWN, MacAssessment, MacState
from pve_evpn.domain.health.record import Health
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.observation import NodeObservation, failure_in

#: What each verdict on a NIC means for its condition.
_NIC_REASON: Mapping[MacState, tuple[bool | None, Reason]] = {
    MacState.ADVERTISED: (True, Reason.ADVERTISED),
    MacState.SILENT: (False, Reason.SILENT),
    MacState.NEVER_SEEN: (False, Reason.NEVER_SEEN),
    MacState.WRONG_NODE: (False, Reason.WRONG_NODE),
    MacState.DUPLICATE: (False, Reason.DUPLICATE),
    MacState.ZOMBIE: (False, Reason.ZOMBIE),
    MacState.UNKNOWN: (None, Reason.SOURCE_UNAVAILABLE),
}


def nic_health(scene: ExpectedNic, verdict: MacAssessment, view: View) -> Health:
    status, reason = _NIC_REASON[verdict.word]
    message = verdict.message
    looks = view.looks.nodes
    look = looks.get(scene.nic.home) if scene.nic.home else None
    if verdict.word is MacState.UNKNOWN and failure_in(look):
        reason = Reason.OBSERVATION_STALE
    if verdict.message == NOT_SHOWN and isinstance(look, NodeObservation):
        message = why_no_routes(look)
    if verdict.word in (MacState.SILENT, MacState.NEVER_SEEN) and not scene.announces:
        status, reason = None, Reason.NOTHING_TO_ANNOUNCE
        message = "its link is down" if scene.nic.running else "the guest is not running"
    tables = [seen for seen in view.looks.answered().values() if seen.routes is not None or seen.macs is not None]
    announced = verdict.word not in (MacState.SILENT, MacState.NEVER_SEEN, MacState.UNKNOWN)
    part = NicAttachmentStatus(
        evpn=EvpnView(
            verdict=verdict.word.value,
            since=verdict.since,
            announced_by=verdict.node if announced else None,
            last_announced_by=verdict.node if not announced else None,
            ips=list(verdict.ips) or None,
            mobility_sequence=verdict.mobility if announced and tables else None,
            seen_by=verdict.seen_by if announced and tables else None,
        ),
        source=view.source([scene.nic.home] if scene.nic.home else looks),
    )
    return Health(operational(status, reason, message), dated(view.previous(scene.key), part, view.now))


def verdict_before(nic: Resource[Any] | None) -> MacAssessment | None:
    """The verdict a status carries."""
    evpn = nic.status.evpn if nic else None
    if nic is None or evpn is None:
        return None
    condition = nic.status.condition(ConditionType.OPERATIONAL)
    return MacAssessment(
        MacState(evpn.verdict),
        evpn.since,
        evpn.announced_by or evpn.last_announced_by,
        tuple(evpn.ips or ()),
        evpn.mobility_sequence or 0,
        evpn.seen_by or 0,
        condition.message if condition else "",
    )
