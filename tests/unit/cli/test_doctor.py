"""Mistakes of newcomers, and what doctor and why say of them: the right check, and the remedy with its command."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pve_evpn.api.conditions import Reason
from pve_evpn.cli.report.doctor import (
    Check,
    Grade,
    Installation,
    LeaseSeen,
    ProxmoxSeen,
    doctor_report,
    kubernetes_checks,
    object_checks,
    proxmox_checks,
)
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.why import why_report
from pve_evpn.domain.privileges import NEEDS, Rights
from pve_evpn.domain.state import ClusterState, NodeState, PveVersion
from tests.unit.cli.people import NOW, judged, nic, node, ready, snapshot, without
from tests.unit.plan.world import EPOCH, cluster, controller, vnet, zone

PIN = "AA:BB"
PACKAGES = {"frr-pythontools": "10.4.1-1+pve1", "ifupdown2": "3.3.0-1+pmx11"}
HELD = {path: frozenset(need.privilege for need in NEEDS) for path in {need.path for need in NEEDS}}
STATE = ClusterState(
    version=PveVersion.parse("9.2.3"), sdn=None, release="9.2.3",  # type: ignore[arg-type]  no zone is asked for
    nodes={"pve1": NodeState("pve1", online=True)}, rights=Rights("pve-evpn@pve", HELD),
)  # fmt: skip
SEEN = ProxmoxSeen("https://pve1:8006", PIN, "its fingerprint", "9.2.3", STATE, 0.4, {"pve1": PACKAGES})
INSTALLED = Installation(
    (), {"operator-1": True}, (LeaseSeen("replica-1", "one", NOW, 15.0),), (), "pve-evpn-operator", "pve-evpn-system",
    NOW,
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterState, "unavailable_zones", lambda _self, _node: {})


def graded(checks: list[Check]) -> dict[str, Grade]:
    return {check.name: check.grade for check in checks}


def wrong(checks: list[Check]) -> Check:
    """The one check that is not ok."""
    [found] = [check for check in checks if check.grade is not Grade.OK]
    return found


def rights_without(privilege: str) -> Rights:
    return Rights("pve-evpn@pve", {path: privileges - {privilege} for path, privileges in HELD.items()})


def test_a_good_installation_has_nothing_to_mend() -> None:
    checks = [*kubernetes_checks(INSTALLED), *proxmox_checks(SEEN)]
    assert set(graded(checks).values()) == {Grade.OK}
    assert all(check.mend == "" for check in checks)
    assert doctor_report([("all", "ALL", checks)]).good


@pytest.mark.parametrize(
    ("seen", "check", "grade", "found", "mend"),
    [
        (ProxmoxSeen("https://pve1:8006", problem=(Reason.CLUSTER_UNREACHABLE, "refused")), "endpoint", Grade.FAIL,
         "shows no certificate", "curl -kv https://pve1:8006/"),
        (replace(SEEN, trusted_by=""), "endpoint", Grade.WARN, PIN, f'set spec.tls.fingerprint: "{PIN}"'),
        (replace(SEEN, release="", state=None, problem=(Reason.TLS_REJECTED, "its CA is not the given one")), "API",
         Grade.FAIL, "its CA", f'spec.tls.fingerprint: "{PIN}"'),
        (replace(SEEN, release="", state=None, problem=(Reason.AUTHENTICATION_FAILED, "401 for pve-evpn@pve!x")), "API",
         Grade.FAIL, "401", "token"),
        (replace(SEEN, release="8.1.4", state=None), "release", Grade.FAIL, "8.1.4", "upgrade Proxmox VE"),
        (replace(SEEN, clock_offset=-90.0), "clock", Grade.FAIL, "90 s behind", "NTP"),
        (replace(SEEN, clock_offset=20.0), "clock", Grade.WARN, "20 s ahead of", "NTP"),
        (replace(SEEN, state=replace(STATE, quorate=False)), "quorum", Grade.FAIL, "no quorum", "pvecm status"),
        (replace(SEEN, state=replace(STATE, rights=rights_without("SDN.Allocate"))), "privileges to change the SDN",
         Grade.FAIL, "missing", "pveum acl modify /sdn --users pve-evpn@pve --roles PveEvpnNetworks"),
        (replace(SEEN, state=replace(STATE, rights=rights_without("VM.Config.Network"))),
         "privileges for NicAttachments", Grade.WARN, "missing", "pveum acl modify /vms"),
        (replace(SEEN, packages={"pve1": {"frr-pythontools": "10"}}), "pve1", Grade.FAIL, "ifupdown2",
         "apt install ifupdown2"),
        (replace(SEEN, packages={}), "pve1", Grade.UNKNOWN, "does not show its packages", ""),
        (replace(SEEN, state=replace(STATE, nodes={"pve1": NodeState("pve1", online=True, network_pending="+x")})),
         "pve1: network", Grade.WARN, "staged", "apply or revert"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_proxmox_is_one_check_with_its_remedy(
    seen: ProxmoxSeen, check: str, grade: Grade, found: str, mend: str
) -> None:
    only = wrong(proxmox_checks(seen))
    assert (only.name, only.grade) == (check, grade)
    assert found in only.found
    assert mend in only.mend


@pytest.mark.parametrize(
    ("changes", "check", "grade", "found", "mend"),
    [
        ({"missing_crds": ("vnets.pve-evpn.dev",)}, "CRDs", Grade.FAIL, "vnets",
         "kubectl apply --server-side -f crds/"),
        ({"pods": {"operator-1": False}}, "operator", Grade.FAIL, "0 of 1", "kubectl describe pod -n pve-evpn-system"),
        ({"pods": {"a": True, "b": False}}, "operator", Grade.WARN, "1 of 2", "kubectl describe pod"),
        ({"leases": (LeaseSeen("replica-1", "one", NOW - timedelta(hours=1), 15.0),)}, "Leases", Grade.FAIL,
         "none is renewed", "PveEvpnNoLeader"),
        ({"leases": ()}, "Leases", Grade.FAIL, "there is none", "PveEvpnNoLeader"),
        ({"denied": (("patch", "vnets/status"),)}, "operator's rights", Grade.FAIL, "may not patch vnets/status",
         "helm upgrade"),
        ({"unread": {"leases": "you may not list leases here"}}, "Leases", Grade.UNKNOWN, "you may not", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_in_kubernetes_is_one_check_with_its_remedy(
    changes: dict[str, Any], check: str, grade: Grade, found: str, mend: str
) -> None:
    only = wrong(kubernetes_checks(replace(INSTALLED, **changes)))
    assert (only.name, only.grade) == (check, grade)
    assert found in only.found
    assert mend in only.mend


def test_where_nothing_is_installed_yet_only_that_is_said() -> None:
    checks = kubernetes_checks(replace(INSTALLED, pods={}, leases=(), service_account=""))
    assert wrong(checks).mend.startswith("helm install")


def test_what_the_operator_reports_is_checked_too() -> None:
    moment = EPOCH.isoformat()
    reached = {
        "type": "Reachable",
        "status": "True",
        "reason": "Reachable",
        "message": "",
        "lastTransitionTime": moment,
    }
    refused = {
        **reached,
        "type": "Authenticated",
        "status": "False",
        "reason": "AuthenticationFailed",
        "message": "401",
    }
    made = judged(cluster(), "False", "AuthenticationFailed")
    status = type(made.status).model_validate({"conditions": [reached, refused]})
    whole = snapshot(replace(made, status=status), node("pve1", problems=["pve1: host key is not the known one"]))
    checks = object_checks(whole, next(iter(whole.of_kind("ProxmoxCluster"))))
    grades = graded(checks)
    assert (grades["Reachable"], grades["Authenticated"], grades["Quorate"]) == (Grade.OK, Grade.FAIL, Grade.UNKNOWN)
    [observing] = [check for check in checks if check.name == "observing pve1"]
    assert (observing.grade, "host key" in observing.found) == (Grade.WARN, True)


# --- the same newcomers, asking `why` ----------------------------------------------------------------------------


def lost_reference() -> tuple[Snapshot, Any]:
    item = judged(vnet(), "False", "RefNotFound", "zoneRef: there is no EvpnZone 'zone1'")
    return without(snapshot(item), zone()), item


def asks(item: Any, status: str, reason: str, **more: Any) -> tuple[Snapshot, Any]:
    made = judged(item, status, reason, **more)
    return snapshot(made), made


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (asks(cluster(), "False", "CredentialsMissing", stalled=True), "Secret"),
        (asks(cluster(), "False", "AuthenticationFailed"), "token"),
        (asks(cluster(), "False", "TlsRejected"), "fingerprint"),
        (asks(cluster(), "False", "PrivilegesMissing"), "pveum"),
        (asks(cluster(), "False", "ForeignPendingChanges"), "staged"),
        (asks(cluster(), "False", "AwaitingApproval"), "pve-evpn approve"),
        (asks(vnet(), "False", "VniConflict", stalled=True), "VNI"),
        (asks(vnet(), "False", "ForeignObject", stalled=True), "adopt"),
        (asks(nic(), "Unknown", "SourceUnavailable"), "observ"),
        (asks(controller(), "False", "NodeMissingFromPeers"), "peers"),
        (lost_reference(), "Create EvpnZone zone1"),
        (asks(ready(vnet()), "Unknown", "Pending"), "operator"),
    ],
)  # fmt: skip
def test_why_ends_with_the_remedy(case: tuple[Snapshot, Any], words: str) -> None:
    whole, item = case
    [remedy] = [block for block in why_report(whole, item.key).blocks if block.key == "remedy"]
    assert words.lower() in " ".join(remedy.data()).lower()
