"""Mistakes that newcomers make, made for real: what the running operator reports, and what `why` and `doctor` answer.

The same tables on made-up statuses are in tests/unit/cli/test_why.py and test_doctor.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pve_evpn.api.kinds import ANNOTATION_PAUSED, GROUP, VERSION
from pve_lab.dispatch import answer_without_faults
from pve_lab.lab import Lab
from pve_lab.request import Request
from tests.cli.test_orphan import command
from tests.e2e.credentials import credentials_secret
from tests.e2e.stack import NOWHERE, TOKEN, Stack

pytestmark = pytest.mark.kube

Document = dict[str, Any]
_INSECURE = {"tls": {"insecureSkipVerify": True}}


@dataclass(frozen=True)
class Mistake:
    """``make`` makes it and returns the object to ask about. ``at``: where the cause is.

    ``cause``: its reason there, if that is not ``reason``.
    ``doctor``: the check that fails, and words of what it found; "" where doctor has nothing to say. ``undo``: for what
    would be in the way of the next one.
    """

    name: str
    make: Callable[[Stack], Document]
    reason: str
    at: str
    remedy: str
    doctor: tuple[str, str] = ("", "")
    undo: Callable[[Stack], None] = lambda _stack: None
    cause: str = ""


def cluster(stack: Stack, name: str, *, token: str | None = TOKEN[1], **spec: Any) -> Document:
    """Another ProxmoxCluster with a Secret of its own; without one where ``token`` is None."""
    document = {**stack.seed()[0], "metadata": {"name": name}}
    document["spec"] = {
        **document["spec"],
        "credentialsSecretRef": {"name": name},
        "guestAccess": None,
        **_INSECURE,
        **spec,
    }
    if token is not None:
        data = {"tokenId": TOKEN[0], "token": token, "ca.crt": ""}
        secret = credentials_secret(name, name, data, stack.server.url, NOWHERE)
        stack.plane.kubectl("apply", "-f", "-", stdin=json.dumps(secret))
    stack.apply(document)
    return document


def of_kind(kind: str, name: str, namespace: str = "default", **spec: Any) -> Callable[[Stack], Document]:
    """Makes one object."""
    document = {
        "apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }  # fmt: skip

    def make(stack: Stack) -> Document:
        stack.apply(document)
        return document

    return make


def proxmox(lab: Lab, method: str, path: str, **params: str) -> None:
    """What another client does."""
    answer = answer_without_faults(lab, Request(method, path, params))
    assert answer.status == 200, answer


def in_proxmox_already(stack: Stack) -> Document:
    proxmox(stack.lab, "POST", "/cluster/sdn/vnets", vnet="theirs", zone="EZone1", tag="6001")
    proxmox(stack.lab, "PUT", "/cluster/sdn")
    return of_kind("VNet", "theirs", zoneRef={"name": "ezone1"}, id="theirs", vni=6001)(stack)


def paused(stack: Stack) -> Document:
    pause(stack, "true")
    return changed(stack, "while it is paused")


def pause(stack: Stack, value: str | None) -> None:
    change = f"{ANNOTATION_PAUSED}={value}" if value else f"{ANNOTATION_PAUSED}-"
    stack.plane.kubectl("annotate", "proxmoxcluster", "pve", change)


def changed(stack: Stack, alias: str) -> Document:
    vnet = stack.seed()[3]
    vnet["spec"]["alias"] = alias
    stack.apply(vnet)
    return vnet


def locked(stack: Stack) -> Document:
    stack.lab.sdn.take_lock(allow_pending=False)
    return changed(stack, "while another client holds the lock")


def unlock(stack: Stack) -> None:
    proxmox(stack.lab, "DELETE", "/cluster/sdn/lock", force="1")


def staged(stack: Stack) -> Document:
    proxmox(stack.lab, "POST", "/cluster/sdn/zones", zone="half", type="simple")
    return changed(stack, "while an edit is staged")


def unstage(stack: Stack) -> None:
    proxmox(stack.lab, "DELETE", "/cluster/sdn/zones/half")


def manual(stack: Stack) -> Document:
    document = stack.seed()[0]
    stack.apply({**document, "spec": {**document["spec"], "apply": {"policy": "Manual"}}})
    return changed(stack, "while plans wait for approval")


MISTAKES = [
    # --- the connection
    Mistake("no Secret", lambda stack: cluster(stack, "without", token=None), "CredentialsMissing",
            "ProxmoxCluster without", "Secret", ("Authenticated", "")),
    Mistake("a wrong token", lambda stack: cluster(stack, "token", token="wrong"),
            "AuthenticationFailed", "ProxmoxCluster token", "tokenId is user@realm!name", ("Authenticated", "")),
    Mistake("a wrong fingerprint", lambda stack: cluster(stack, "pin", tls={"fingerprint": ":".join(["AB"] * 32)}),
            "TlsRejected", "ProxmoxCluster pin", "Set spec.tls of the ProxmoxCluster", ("Reachable", "")),
    Mistake("a wrong endpoint", lambda stack: cluster(stack, "nowhere", endpoints=[NOWHERE]), "ClusterUnreachable",
            "ProxmoxCluster nowhere", "", ("Reachable", "127.0.0.1:1")),
    Mistake("one Proxmox twice", lambda stack: cluster(stack, "twice"),
            "DuplicateCluster", "ProxmoxCluster twice", "Delete one of the two ProxmoxClusters"),
    # --- objects
    Mistake("a wrong name", of_kind("VNet", "typo", zoneRef={"name": "ezone2"}, vni=6101), "RefNotFound",
            "EvpnZone ezone2", "is EvpnZone ezone1 meant?"),
    Mistake("a VNI that is taken", of_kind("VNet", "taken", zoneRef={"name": "ezone1"}, vni=5001), "VniConflict",
            "VNet default/taken", "Choose another VNI"),
    Mistake("a guest that is not there", of_kind("NicAttachment", "gone", clusterRef={"name": "pve"},
            guest={"vmid": 199}, device="net0", vnetRef={"name": "evpn1"}), "RefNotFound",
            "NicAttachment default/gone", "guest"),
    Mistake("a guest that is not granted", of_kind("NicAttachment", "foreign", clusterRef={"name": "pve"},
            guest={"vmid": 4711}, device="net0", vnetRef={"name": "evpn1"}), "RefNotFound",
            "NicAttachment default/foreign", "spec.guestAccess of ProxmoxCluster pve"),
    Mistake("a name that Proxmox has", in_proxmox_already, "ForeignObject", "VNet default/theirs", "adopt"),
    # --- what holds a whole cluster up
    Mistake("a forgotten pause", paused, "PendingApply", "ProxmoxCluster pve", "pve-evpn resume proxmoxcluster/pve",
            undo=lambda stack: pause(stack, None), cause="ClusterPaused"),
    Mistake("a lock that is held", locked, "SdnLocked", "ProxmoxCluster pve", "pve-evpn lock", undo=unlock),
    Mistake("an edit that is staged", staged, "ForeignPendingChanges", "ProxmoxCluster pve",
            "applied or reverted in Proxmox", undo=unstage),
    Mistake("a plan that waits", manual, "AwaitingApproval", "ProxmoxCluster pve", "pve-evpn approve pve",
            undo=lambda stack: stack.apply(stack.seed()[0])),
]  # fmt: skip


def test_each_mistake_is_answered_with_its_cause_and_its_remedy(stack: Stack) -> None:
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    answers: dict[str, tuple[str, str, bool]] = {}
    for mistake in MISTAKES:
        asked = mistake.make(stack)
        stack.await_condition(asked, "Ready", mistake.reason)
        done = command(stack, "why", f"{asked['kind'].lower()}/{asked['metadata']['name']}", "-o", "json")
        assert done.returncode == 3, f"{mistake.name}: {done.stderr}"
        said = json.loads(done.stdout)
        answers[mistake.name] = (
            said["object"]["causeObject"], said["object"]["cause"], mistake.remedy in " ".join(said["remedy"]),
        )  # fmt: skip
        assert answers[mistake.name][2], (mistake.name, said["remedy"])
        mistake.undo(stack)
    assert answers == {mistake.name: (mistake.at, mistake.cause or mistake.reason, True) for mistake in MISTAKES}

    doctor = json.loads(command(stack, "doctor", "-o", "json").stdout)
    for mistake in MISTAKES:
        check, words = mistake.doctor
        if check:
            rows = {row["check"]: row for row in doctor[f"cluster/{mistake.at.split()[1]}"]}
            assert rows[check]["grade"] == "fail", (mistake.name, rows)
            assert words in rows[check]["found"]
            assert rows[check]["mend"]
    proxmox(stack.lab, "DELETE", "/cluster/sdn/vnets/theirs")  # it would hold up the deletion of its zone
    proxmox(stack.lab, "PUT", "/cluster/sdn")
