"""The models themselves: spelling, and the rules that pydantic repeats because stored objects may be older."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pve_evpn.api.apply import Schedule, Window
from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.connection import Endpoint
from pve_evpn.api.kinds import ANNOTATIONS, GROUP, KINDS
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.api.types import IpAddress, MacAddress, Network, ShortId
from pve_evpn.api.vnet import Alias, Subnet, VNetSpec
from pve_evpn.api.zone import EvpnZoneSpec, RouteTarget

ZONE = {
    "clusterRef": {"name": "pve"},
    "controllerRef": {"name": "evpn1"},
    "vrfVni": 100001,
    "allowedNamespaces": {"from": "All"},
}


def test_outside_camel_case_inside_snake_case() -> None:
    zone = EvpnZoneSpec.model_validate({**ZONE, "arpNdSuppression": False, "exitNodes": {"nodes": ["pve1"]}})
    assert zone.arp_nd_suppression is False
    assert zone.exit_nodes is not None
    assert zone.allowed_namespaces.from_ == "All"
    dumped = zone.model_dump(by_alias=True, exclude_none=True)
    assert dumped == {**ZONE, "arpNdSuppression": False, "exitNodes": {"nodes": ["pve1"]}}


def test_the_rate_keeps_its_unit() -> None:
    nic = NicAttachmentSpec.model_validate(
        {
            "clusterRef": {"name": "pve"},
            "guest": {"vmid": 100},
            "device": "net0",
            "vnetRef": {"name": "web"},
            "rateLimitMBps": 1.5,
        }
    )
    assert nic.rate_limit_m_bps == 1.5


def test_unknown_fields_are_ignored() -> None:
    assert VNetSpec.model_validate({"zoneRef": {"name": "z"}, "fromTheFuture": 1}).zone_ref.name == "z"


def test_specs_are_frozen() -> None:
    spec = VNetSpec.model_validate({"zoneRef": {"name": "z"}})
    with pytest.raises(ValidationError, match="frozen"):
        spec.vni = 1  # type: ignore[misc]


def test_defaults_that_the_reference_promises() -> None:
    cluster = ProxmoxClusterSpec.model_validate(
        {
            "endpoints": ["https://pve1:8006"],
            "credentialsSecretRef": {"name": "s"},
            "tls": {"caSecretRef": {"name": "s"}},
            "observe": {"ssh": {"keySecretRef": {"name": "k"}}, "frrExporter": {}},
        }
    )
    assert cluster.tls is not None
    assert cluster.tls.ca_secret_ref is not None
    assert cluster.tls.ca_secret_ref.key == "ca.crt"
    assert cluster.observe is not None
    assert cluster.observe.ssh is not None
    ssh, exporter = cluster.observe.ssh, cluster.observe.frr_exporter
    assert (ssh.user, ssh.port, ssh.key_secret_ref.key) == ("root", 22, "ssh-privatekey")
    assert exporter is not None
    assert (exporter.scheme, exporter.port, exporter.path) == ("http", 9342, "/metrics")
    assert Window.model_validate({"schedule": "0 1 * * *", "durationMinutes": 5}).time_zone == "Etc/UTC"


REFUSED: list[tuple[Any, str, str]] = [
    (ShortId, "1zone", "2 to 8 letters and digits"),
    (ShortId, "zone1\n", "2 to 8 letters and digits"),
    (IpAddress, "pve1", "must be an IP address"),
    (Network, "10.1.0.5/24", "without host bits"),
    (Network, "10.1.0.0/33", "must be a network"),
    (MacAddress, "bd:24:11:11:11:11", "unicast"),
    (MacAddress, "00:00:00:00:00:00", "unicast"),
    (MacAddress, "bc:24:11:11:11", "must be a MAC address"),
    (RouteTarget, "65001:4294967296", "above 4294967295"),
    (Alias, "Büro", "ASCII"),
    (Endpoint, "http://pve1", "must be https://host"),
    (Schedule, "60 * * * *", "five cron fields"),
]


@pytest.mark.parametrize(("type_", "text", "message"), REFUSED, ids=[text for _, text, _ in REFUSED])
def test_stored_objects_are_not_trusted(type_: Any, text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        TypeAdapter(type_).validate_python(text)


SCHEDULES = ["* * * * *", "0 22 * * mon-fri", "*/15 0-6/2,22 1,15 JAN-MAR/2 7", "59 23 31 12 SUN"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_we_accept_is_one_the_gate_understands(schedule: str) -> None:
    from croniter import croniter

    TypeAdapter(Schedule).validate_python(schedule)
    assert croniter.is_valid(schedule)


@pytest.mark.parametrize("schedule", ["0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8", "0 0 * *", "@hourly"])
def test_a_schedule_that_can_never_be_met_is_refused(schedule: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Schedule).validate_python(schedule)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([{"start": "10.1.0.9", "end": "10.1.0.8"}], "is above"),
        ([{"start": "2001:db8::9", "end": "2001:db8::8"}], "is above"),
        ([{"start": "10.1.0.8", "end": "2001:db8::9"}], "another family"),
        ([{"start": "10.1.0.8", "end": "10.1.0.20"}, {"start": "10.1.0.20", "end": "10.1.0.30"}], "must not overlap"),
        ([{"start": "10.1.0.8", "end": "10.1.0.30"}, {"start": "10.1.0.9", "end": "10.1.0.10"}], "must not overlap"),
        ([{"start": "fd00::1", "end": "fd00::a"}, {"start": "fd00::9", "end": "fd00::ff"}], "must not overlap"),
    ],
)
def test_dhcp_ranges_that_cel_cannot_order(ranges: list[dict[str, str]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Subnet.model_validate({"cidr": "10.1.0.0/24", "dhcpRanges": ranges})


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_a_dhcp_range_is_accepted_exactly_when_it_is_ordered(start: Any, end: Any) -> None:
    body = {"cidr": "10.0.0.0/8", "dhcpRanges": [{"start": str(start), "end": str(end)}]}
    if start <= end:
        assert Subnet.model_validate(body).dhcp_ranges
    else:
        with pytest.raises(ValidationError):
            Subnet.model_validate(body)


# --- conditions and reasons ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_which_conditions_it_explains(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", reason.value)
    assert reason.meaning.endswith(".")
    for part in reason.explains.split(", "):
        condition, status = part.split(": ")
        assert condition == "any" or condition in list(ConditionType)
        assert set(status.split(" or ")) <= {"True", "False", "Unknown"}


def test_reasons_and_types_are_plain_strings() -> None:
    assert f"{Reason.VNI_CONFLICT}" == Reason("VniConflict") == "VniConflict"
    assert f"{ConditionType.READY}" == ConditionType("Ready") == "Ready"


def test_no_reason_names_two_things() -> None:
    assert len({reason.value for reason in Reason}) == len(Reason.__members__)


def test_annotations_belong_to_the_group() -> None:
    assert {name.split("/")[0] for name in ANNOTATIONS} == {GROUP}
    assert all(KINDS[kind].name == kind for kind in KINDS)
