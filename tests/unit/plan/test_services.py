"""IPAMs and DNS servers in the plan: apart from its steps, with secrets that no text and no digest has."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.domain.objects import GivenSecret, ObjectKey, Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.apply_policy import plan_hash, summary
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.sdn import Hidden, SdnKind, SdnObject, SdnRef
from pve_evpn.engine.journal import StoredObject
from tests.unit.plan.world import controller, desired, observed, resource, sdn, zone

URL = "https://netbox.example.com/api"
IPAM = SdnRef(SdnKind.IPAM, "nb1")
KEY = ObjectKey("Ipam", "", "nb1")


def ipam(**spec: Any) -> Resource[Any]:
    base = {"clusterRef": {"name": "pve"}, "type": "netbox", "url": URL, "tokenSecretRef": {"name": "netbox"}}
    return resource("Ipam", "nb1", {**base, **spec})


def planned(token: str, *objects: SdnObject, sent: bool = False) -> Plan:
    zones = zone(ipamRef={"name": "nb1"})
    given = {KEY: GivenSecret(Hidden(token), "7", sent)}
    return plan(desired(ipam(), controller(), zones), observed(sdn(*objects)), secrets=given)


def netbox(token: str | None) -> SdnObject:
    return SdnObject(IPAM, "netbox", {"url": URL}, secret=Hidden(token) if token else None)


def test_they_are_no_steps_of_the_apply_and_zones_name_them() -> None:
    made = planned("word")
    assert list(map(str, made.services)) == ["create ipam nb1 (at once, without an apply)"]
    assert [step.ref.kind for step in made.steps] == [SdnKind.CONTROLLER, SdnKind.ZONE]
    assert made.steps[1].object.props["ipam"] == "nb1"
    assert not {change.ref for change in made.own_pending} & {IPAM}


@pytest.mark.parametrize(
    ("there", "sent", "steps"),
    [
        ("word", False, []),
        ("other", True, ["update ipam nb1 (at once, without an apply): token another one -> that of the Secret"]),
        (None, True, []),
        (None, False, ["update ipam nb1 (at once, without an apply): token another one -> that of the Secret"]),
    ],
)
def test_a_secret_is_compared_where_proxmox_shows_it_and_sent_once_where_not(
    there: str | None, sent: bool, steps: list[str]
) -> None:
    known = replace(ipam(), status=ipam().status.model_copy(update={"id": "nb1", "origin": "Created"}))
    given = {KEY: GivenSecret(Hidden("word"), "7", sent)}
    made = plan(desired(known), observed(sdn(netbox(there))), secrets=given)
    assert list(map(str, made.services)) == steps


@pytest.mark.redteam
def test_a_secret_is_in_no_text_and_no_digest() -> None:
    """Whoever reads a status cannot even try tokens against a digest: another token gives the same texts."""
    one, two = planned("correct horse"), planned("battery staple")
    assert one.decisions[KEY].fingerprint == two.decisions[KEY].fingerprint
    assert plan_hash(one) == plan_hash(two)
    (step,) = one.services
    texts = [repr(one), str(step), *summary(one), repr(StoredObject.of(IPAM, step.after)), f"{step.object.secret}"]
    assert not [text for text in texts if "horse" in text]
    assert hash(step.object.secret) == hash(two.services[0].object.secret)
    with pytest.raises(TypeError):
        pickle.dumps(step.object.secret)
    with pytest.raises(TypeError):
        json.dumps({"token": step.object.secret})
