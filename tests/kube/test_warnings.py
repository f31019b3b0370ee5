"""What ``kubectl apply`` warns of, on the real API server: it accepts the object and says what has no effect."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pve_evpn.api.admission import ADVICE, render
from pve_evpn.api.kinds import GROUP, KINDS, VERSION
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

pytestmark = pytest.mark.kube

ROOT = Path(__file__).parents[2]

VNET: dict[str, Any] = {"zoneRef": {"name": "zone1"}, "vni": 5001}
NIC: dict[str, Any] = {
    "clusterRef": {"name": "pve"},
    "vnetRef": {"name": "net1"},
    "guest": {"vmid": 600},
    "type": "lxc",
    "device": "net0",
}


def subnet(cidr: str, **more: Any) -> dict[str, Any]:
    return {"subnets": [{"cidr": cidr, **more}]}


RANGE = {"start": "10.1.0.10", "end": "10.1.0.20"}
CASES = [
    ("VNet", subnet("10.1.0.0/24", gateway="10.1.0.1"), None),
    ("VNet", subnet("10.1.0.0/24", gateway="10.1.0.1", dhcpRanges=[RANGE]), "spec.subnets[].dhcpRanges has no effect"),
    ("VNet", subnet("10.1.0.0/24", dhcpDnsServer="10.1.0.2"), "spec.subnets[].dhcpDnsServer has no effect"),
    ("VNet", subnet("10.1.0.0/24", gateway="10.1.0.255"), "spec.subnets[].gateway is the broadcast address"),
    ("VNet", subnet("10.0.0.0/14", gateway="10.3.255.255"), "spec.subnets[].gateway is the broadcast address"),
    ("VNet", subnet("10.0.0.0/14", gateway="10.0.0.255"), None),
    ("VNet", subnet("10.1.0.4/30", gateway="10.1.0.7"), "spec.subnets[].gateway is the broadcast address"),
    ("VNet", subnet("10.1.0.4/31", gateway="10.1.0.5"), None),
    ("VNet", subnet("2001:db8::/64", gateway="2001:db8::ffff:ffff:ffff:ffff"), None),
    ("NicAttachment", {"ip": "10.1.0.9/24", "gw": "10.1.0.1"}, None),
    ("NicAttachment", {"ip": "10.1.0.9/24", "gw": "10.2.0.1"}, "spec.gw is outside the network of spec.ip,"),
    ("NicAttachment", {"ip": "10.1.0.9/32", "gw": "10.2.0.1"}, None),
    ("NicAttachment", {"ip6": "2001:db8::9/64", "gw6": "fe80::1"}, None),
    ("NicAttachment", {"ip6": "2001:db8::9/64", "gw6": "2001:db9::1"}, "spec.gw6 is outside the network of spec.ip6"),
]


SPECS: dict[str, dict[str, Any]] = {
    "ProxmoxCluster": {"endpoints": ["https://pve1:8006"], "credentialsSecretRef": {"name": "c"}},
    "EvpnController": {"clusterRef": {"name": "pve"}, "asn": 65001, "underlay": {"fabric": "Fabric1"}},
    "EvpnZone": {
        "clusterRef": {"name": "pve"},
        "controllerRef": {"name": "evpn1"},
        "vrfVni": 100001,
        "allowedNamespaces": {"from": "All"},
    },
    "VNet": VNET,
    "NicAttachment": NIC,
    "RouteMap": {"clusterRef": {"name": "pve"}, "entries": [{"order": 10, "action": "Permit"}]},
}


def applied(cluster: ControlPlane, kind: str, changes: dict[str, Any]) -> str:
    """What kubectl says; it fails where the object is refused."""
    metadata = {"name": "warned", "namespace": "default"}
    spec = {**SPECS[kind], **changes}
    return created(cluster, {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": spec})


def created(cluster: ControlPlane, document: dict[str, Any]) -> str:
    done = subprocess.run(
        [str(cluster.program), "create", "--dry-run=server", "-f", "-"],
        input=json.dumps(document), env=cluster.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def policies(cluster: ControlPlane) -> Iterator[None]:
    folder = str(ROOT / "crds" / "warnings")
    cluster.kubectl("apply", "--server-side", "-f", folder)
    for kind, changes, warning in (case for case in CASES if case[2]):
        await_(f"the policy of {kind} is in force", lambda k=kind, c=changes, w=warning: w in applied(cluster, k, c))
    yield
    cluster.kubectl("delete", "-f", folder)


@pytest.mark.parametrize(("kind", "changes", "warning"), CASES)
def test_a_warning_names_the_field_and_the_object_is_accepted(
    cluster: ControlPlane, policies: None, kind: str, changes: dict[str, Any], warning: str | None
) -> None:
    said = applied(cluster, kind, changes)
    assert said.count("Warning:") == (warning is not None), said
    assert (warning or "") in said


@pytest.mark.parametrize(
    ("annotations", "named"),
    [
        ({"pve-evpn.dev/pause": "true", "pve-evpn.dev/paused": "true"}, "does not know pve-evpn.dev/pause. It knows"),
        ({"pve-evpn.dev/paused": "true", "argocd.argoproj.io/sync-wave": "1"}, None),
    ],
)
@pytest.mark.parametrize("kind", SPECS)
def test_an_annotation_of_the_operators_prefix_that_it_does_not_know_is_named(
    cluster: ControlPlane, policies: None, kind: str, annotations: dict[str, str], named: str | None
) -> None:
    namespaced = KINDS[kind].scope == "Namespaced"
    metadata = {"name": "warned", "annotations": annotations, **({"namespace": "default"} if namespaced else {})}
    document = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": SPECS[kind]}
    if named:
        await_(f"the policy of {kind} is in force", lambda: named in created(cluster, document))
    said = created(cluster, document)
    assert said.count("Warning:") == (named is not None), said


def test_every_kind_with_warnings_exists() -> None:
    assert ADVICE.keys() <= KINDS.keys()
    assert {path.name: path.read_text() for path in (ROOT / "crds" / "warnings").glob("*.yaml")} == render()
