"""The status of a NicAttachment, from the decision about it and what was observed. Pure, like ``domain.report``."""

from __future__ import annotations

from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.domain.conditions import Verdict, from_finding
from pve_evpn.domain.nics import NicDecision
from pve_evpn.domain.report import Circumstances, finished, is_paused, kept, not_yet, paused, unobserved
from pve_evpn.domain.resources import Resource


def nic_status(nic: Resource[Any], decision: NicDecision, at: Circumstances) -> dict[str, Any]:
    """The status of a NicAttachment."""
    health = at.health.get(nic.key) or unobserved()
    programmed, heals = _programmed(nic, decision, at)
    accepted = (
        from_finding(ConditionType.ACCEPTED, decision.refused)
        if decision.refused
        else Verdict(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
    )
    drift = Verdict(ConditionType.DRIFTED, False, Reason.IN_SYNC)
    verdicts = [
        accepted,
        programmed,
        health.verdict if programmed.status else not_yet(health.verdict),
        drift,
        paused(nic, at.desired),
    ]
    guest = decision.guest
    body: dict[str, Any] = {
        "vmid": guest.vmid if guest else kept(nic, "vmid"),
        "guestName": (guest.name or None) if guest else kept(nic, "guestName"),
        "node": guest.node if guest else kept(nic, "node"),
        "device": decision.device or None,
        "macAddress": (decision.mac or "").lower() or kept(nic, "macAddress"),
        "vnet": decision.vnet_id or kept(nic, "vnet"),
        "previousBridge": decision.previous_bridge or kept(nic, "previousBridge"),
        "origin": str(decision.origin) if decision.origin and not decision.refused else kept(nic, "origin"),
        **health.status,
    }
    return finished(nic, verdicts, body, at.now, heals=heals and (decision.refused is None or decision.refused.heals))


def _programmed(nic: Resource[Any], decision: NicDecision, at: Circumstances) -> tuple[Verdict, bool]:
    type_ = ConditionType.PROGRAMMED
    for finding in (decision.blocked, decision.refused, decision.waiting):
        if finding:
            return from_finding(type_, finding), finding.heals
    if failure := at.failures.get(nic.key):
        return from_finding(type_, failure), failure.heals
    if decision.restart:
        message = f"{decision.device} is written and takes effect when the guest is stopped and started"
        return Verdict(type_, False, Reason.RESTART_REQUIRED, message), True
    if decision.in_sync:
        return Verdict(type_, True, Reason.PROGRAMMED, f"connected to {decision.vnet_id}"), True
    if not decision.managed and not is_paused(nic, at.desired):
        return Verdict(type_, False, Reason.FIELDS_DIFFER, "observed only: the guest's NIC differs"), False
    return Verdict(type_, False, Reason.PENDING_APPLY, "the NIC has not been written yet"), True
