"""Mistakes that newcomers make, and what `why` answers; each remedy has a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pve_evpn.api.conditions import Reason
from pve_evpn.api.kinds import ANNOTATION_PAUSED
from pve_evpn.cli import output
from pve_evpn.cli.failures import Refusal
from pve_evpn.cli.report.remedies import REMEDIES, remedy_for
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.why import why_report
from pve_evpn.cli.why import find
from pve_evpn.domain.objects import Resource
from tests.unit.cli.people import judged, nic, ready, snapshot, without
from tests.unit.plan.world import EPOCH, cluster, controller, vnet, zone

DOCS = Path(__file__).parents[3] / "docs"


def paused(item: Resource[Any]) -> Resource[Any]:
    return replace(item, annotations={ANNOTATION_PAUSED: "true"})


def plan() -> dict[str, Any]:
    return {
        "hash": "abc", "summary": ["create VNet net1"], "class": "reload", "destructive": False,
        "since": EPOCH.isoformat(),
    }  # fmt: skip


NO_GUEST = "guest: there is no guest 100 that namespace default may use"
WAITS = "waits for VNet default/net1: it is not in Proxmox yet"
MISTAKES: dict[str, tuple[Snapshot, Resource[Any], str, str]] = {
    # what is there, the object asked about, the object at fault, a part of the remedy
    "a wrong name in a reference": (
        snapshot(judged(vnet(zoneRef={"name": "zonel"}), "False", "RefNotFound", "no EvpnZone 'zonel'", stalled=True)),
        vnet(), "EvpnZone zonel", "or correct the reference in VNet default/net1; is EvpnZone zone1 meant?",
    ),
    "a reference's own reference is missing": (
        without(
            snapshot(
                judged(zone(), "False", "RefNotFound", "no EvpnController 'evpn1'"),
                judged(vnet(), "False", "WaitingForDependencies", "waits for EvpnZone zone1"),
                judged(nic(), "False", "WaitingForDependencies", WAITS),
            ),
            controller(),
        ),
        nic(), "EvpnController evpn1", "Create EvpnController evpn1, or correct the reference in EvpnZone zone1",
    ),
    "the zone does not allow the namespace": (
        snapshot(judged(vnet(), "False", "RefNotFound", "zoneRef: there is no EvpnZone this object may use")),
        vnet(), "VNet default/net1", "add namespace default to its allowedNamespaces",
    ),
    "the guest is not granted": (
        snapshot(judged(nic(), "False", "RefNotFound", NO_GUEST, stalled=True)),
        nic(), "NicAttachment default/nic1", "grant it to namespace default: spec.guestAccess of ProxmoxCluster pve",
    ),
    "a wrong token": (
        snapshot(
            judged(cluster(), "False", "AuthenticationFailed", "Proxmox refused the token", stalled=True),
            judged(vnet(), "Unknown", "ClusterUnreachable", "the cluster cannot be reached"),
        ),
        vnet(), "ProxmoxCluster pve", "tokenId is user@realm!name",
    ),
    "a self-signed certificate": (
        snapshot(
            judged(cluster(), "False", "TlsRejected", "self-signed certificate", stalled=True),
            judged(nic(), "Unknown", "ClusterUnreachable", "the cluster cannot be reached"),
        ),
        nic(), "ProxmoxCluster pve", "Set spec.tls of the ProxmoxCluster",
    ),
    "a VNI that is taken": (
        snapshot(judged(vnet(), "False", "VniConflict", "vni: VNI 5001 is already used", stalled=True),
                 judged(nic(), "False", "WaitingForDependencies", WAITS)),
        nic(), "VNet default/net1", "Choose another VNI",
    ),
    "a plan that waits for approval": (
        snapshot(ready(cluster(), pendingPlan=plan()), judged(vnet(), "False", "AwaitingApproval", "waits")),
        vnet(), "ProxmoxCluster pve", "pve-evpn approve pve",
    ),
    "somebody's staged edit in Proxmox": (
        snapshot(
            ready(cluster(), pending={"foreign": ["zone theirs new"]}),
            judged(vnet(), "False", "ForeignPendingChanges", "an apply would also publish zone theirs new"),
        ),
        vnet(), "ProxmoxCluster pve", "applied or reverted in Proxmox",
    ),
    "a forgotten pause": (
        snapshot(paused(ready(cluster())), judged(vnet(), "False", "ClusterPaused", "the cluster is paused")),
        vnet(), "ProxmoxCluster pve", "pve-evpn resume proxmoxcluster/pve",
    ),
    "a pause, with a change that waits": (
        snapshot(paused(ready(cluster())), judged(vnet(), "False", "PendingApply", "paused, so this is not applied")),
        vnet(), "ProxmoxCluster pve", "pve-evpn resume proxmoxcluster/pve",
    ),
    "a pause of one object, with a change that waits": (
        snapshot(paused(judged(vnet(), "False", "PendingApply", "paused, so this is not applied"))),
        vnet(), "VNet default/net1", "pve-evpn resume vnet/net1 -n default",
    ),
    "no operator runs": (
        snapshot(cluster(), controller(), zone(), vnet(), nic()),
        nic(), "ProxmoxCluster pve", "whether an operator runs and leads",
    ),
    "a guest that sends nothing": (
        snapshot(judged(nic(), "False", "Silent", "withdrawn 5 minutes ago")),
        nic(), "NicAttachment default/nic1", "silentHost: Pin",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("there", "about", "at", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_the_mistake_is_traced_to_its_cause_and_its_remedy(
    there: Snapshot, about: Resource[Any], at: str, remedy: str
) -> None:
    report = why_report(there, about.key)
    data = report.data()
    assert not report.good
    assert data["object"]["causeObject"] == at
    assert remedy in data["remedy"][0]
    for form in output.FORMATS:
        assert at in output.rendered(report, form)


def test_what_is_ready_needs_no_remedy() -> None:
    report = why_report(snapshot(), vnet().key)
    assert report.good
    assert report.data()["remedy"] == ["VNet default/net1 is Ready."]
    assert [row["field"] for row in report.data()["needs"]] == ["zoneRef", "controllerRef", "clusterRef"]


def test_a_kind_that_may_not_be_read_is_not_called_missing() -> None:
    hidden = without(
        snapshot(judged(vnet(), "False", "SdnLocked", "locked"), unread={"EvpnZone": "you may not list evpnzones"}),
        zone(), controller(), cluster(),
    )  # fmt: skip
    data = why_report(hidden, vnet().key).data()
    assert data["object"]["cause"] == "SdnLocked"
    assert data["needs"][0]["reason"] == "NotRead"


def test_an_older_status_is_not_taken_for_the_present_spec() -> None:
    item = replace(ready(vnet()), generation=2)
    conditions = [item.status.conditions[0].model_copy(update={"observed_generation": 1})]
    item = replace(item, status=item.status.model_copy(update={"conditions": conditions}))
    report = why_report(snapshot(item), item.key)
    assert not report.good
    assert "latest change" in report.data()["object"]["message"]


@pytest.mark.parametrize(
    ("text", "namespace", "words"),
    [
        ("vnet/nte1", "", "there is no VNet nte1; is VNet default/net1 meant?"),
        ("vnet/net1", "other", "there is no VNet other/net1; is VNet default/net1 meant?"),
        ("vnet", "", "KIND/NAME"),
        ("pod/x", "", "is none of"),
    ],
)
def test_an_object_that_is_not_there_is_refused(text: str, namespace: str, words: str) -> None:
    with pytest.raises(Refusal, match=words.replace("?", r"\?")):
        find(snapshot(), text, namespace)


_FINE = {
    Reason.READY, Reason.ACCEPTED, Reason.PROGRAMMED, Reason.OPERATIONAL, Reason.ADVERTISED, Reason.REACHABLE,
    Reason.AUTHENTICATED, Reason.VERSION_SUPPORTED, Reason.QUORATE, Reason.IN_SYNC, Reason.NOT_PAUSED,
}  # fmt: skip


@pytest.mark.parametrize("reason", sorted(set(Reason) - _FINE))
def test_every_reason_has_a_remedy_with_a_page(reason: Reason) -> None:
    assert reason in REMEDIES
    assert (DOCS / remedy_for(reason).page).is_file()
