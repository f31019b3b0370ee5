"""``Stalled`` or ``Reconciling``: one rule by the reason, the same on every kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import CONTRADICTIONS, Problem
from pve_evpn.domain.nics import NicDecision
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.domain.status.nic import nic_status
from pve_evpn.domain.status.sdn import sdn_status
from pve_evpn.domain.status.sync_result import SyncResult
from pve_evpn.domain.status.without_proxmox import unowned_status
from tests.unit.plan.world import controller, desired, observed, resource, vnet, zone

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NIC = resource(
    "NicAttachment",
    "nic",
    {"clusterRef": {"name": "pve"}, "guest": {"vmid": 100}, "device": "net0", "vnetRef": {"name": "net1"}},
)
ACCEPTED = [reason for reason in Reason if "Accepted: False" in reason.explains]


def refused(item: Resource[Any], problem: Problem) -> str:
    """Which of the two conditions an object has that is refused for this problem."""
    sync = SyncResult(desired(item), observed(), Plan(), NOW)
    status = (
        nic_status(item, NicDecision(item.key, refused=problem), sync)
        if item.key.kind == "NicAttachment"
        else sdn_status(item, Decision(item.key, refused=problem), sync)
    )
    (found,) = [c.type for c in status.conditions or () if c.type in ("Stalled", "Reconciling")]
    return found


@pytest.mark.parametrize("item", [controller(), zone(), vnet(), NIC], ids=lambda item: item.key.kind)
@pytest.mark.parametrize("reason", ACCEPTED)
@pytest.mark.parametrize("retryable", [True, False])
def test_what_is_not_accepted_is_stalled_but_for_what_may_still_appear(
    item: Resource[Any], reason: Reason, retryable: bool
) -> None:
    if reason is Reason.REF_NOT_FOUND and not retryable:
        return
    expected = "Reconciling" if reason is Reason.REF_NOT_FOUND else "Stalled"
    assert refused(item, Problem(reason, "no", retryable=retryable)) == expected
    status = unowned_status(item, Problem(reason, "no", retryable=retryable), NOW)
    assert status.condition(expected) is not None


@pytest.mark.parametrize("reason", Reason)
def test_only_contradictions_are_decided_by_their_reason_alone(reason: Reason) -> None:
    problem = Problem(reason, "no", retryable=True)
    assert problem.retryable is (reason not in CONTRADICTIONS)
    assert (reason in CONTRADICTIONS) is (
        (reason in ACCEPTED and reason is not Reason.REF_NOT_FOUND) or reason is Reason.REVERTED
    )
