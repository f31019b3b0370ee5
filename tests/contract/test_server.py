"""HTTP as pveproxy has it: statuses, reason phrases, bodies, and the answers without one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pve_lab.access import Token
from pve_lab.lab import Lab
from pve_lab.server import LabServer
from tests.lab.clients import FORM, JSON, SdnClient, Wire

ZONES = "/api2/json/cluster/sdn/zones"


@pytest.fixture
def wire(api: SdnClient) -> Iterator[Wire]:
    api.lab.tokens["root@pam!tok"] = "secret"
    with LabServer(api.lab, plain_http=True) as server:
        yield Wire(server)


def test_an_error_is_in_the_reason_and_whole_in_the_body(wire: Wire) -> None:
    answer, body = wire.send("DELETE", f"{ZONES}/z1")
    assert (answer.status, body["data"]) == (500, None)
    assert answer.reason == body["message"].split("\n")[0]
    assert answer.reason.startswith("delete sdn zone object failed: zone z1 is used by vnet v1")
    assert answer.getheader("Connection") == "close"


def test_a_wrapped_error_says_what_is_wrong_only_in_the_body(wire: Wire) -> None:
    answer, body = wire.send("POST", "/api2/json/cluster/sdn/vnets", "vnet=v2&zone=z1", FORM)
    assert answer.reason == "create sdn vnet object failed: 400 Parameter verification failed."
    assert body["message"].split("\n")[1] == "tag: missing vxlan tag"


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [("", "No ticket"), ("Basic cm9vdDo=", "No ticket"), ("PVEAPIToken=root@pam!tok=guess", "Authentication failed!"),
     ("PVEAPIToken=other@pve!tok=secret", "Authentication failed!")],
)  # fmt: skip
def test_without_credentials_there_is_a_reason_and_no_body(wire: Wire, authorization: str, reason: str) -> None:
    answer, body = wire.send("GET", ZONES, Authorization=authorization)
    assert (answer.status, answer.reason, body) == (401, reason, None)


def test_without_credentials_a_large_body_gets_an_answer_too(wire: Wire) -> None:
    answer, _ = wire.send("PUT", f"{ZONES}/z1", "mtu=1" + "0" * 2_000_000, FORM, Authorization="PVEAPIToken=x=y")
    assert answer.status == 401


def test_a_wrong_guess_takes_its_time(api: SdnClient, wire: Wire) -> None:
    waited: list[float] = []
    api.lab.sleep, api.lab.refusal_seconds = waited.append, 3
    wire.send("GET", ZONES)
    assert waited == []
    wire.send("GET", ZONES, Authorization="PVEAPIToken=root@pam!tok=guess")
    assert waited == [3]


def test_a_token_ends_with_its_time(api: SdnClient, wire: Wire) -> None:
    api.lab.access.tokens["root@pam!tok"] = Token(expire=int(api.now) + 60)
    assert wire.send("GET", ZONES)[0].status == 200
    api.now += 60
    assert wire.send("GET", ZONES)[0].status == 401


@pytest.mark.parametrize("method", ["PATCH", "HEAD", "OPTIONS"])
def test_methods_http_has_and_proxmox_does_not(wire: Wire, method: str) -> None:
    answer, body = wire.send(method, ZONES)
    assert (answer.status, answer.reason, body) == (501, f"method '{method}' not available", None)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/cluster/sdn/none"), ("POST", "/cluster/sdn/zones/z1"), ("DELETE", "/cluster/sdn")]
)
def test_methods_a_path_does_not_have(wire: Wire, method: str, path: str) -> None:
    answer, body = wire.send(method, f"/api2/json{path}")
    assert (answer.status, body) == (501, {"data": None, "message": f"Method '{method} {path}' not implemented"})


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_body_where_none_belongs(wire: Wire, method: str) -> None:
    answer, body = wire.send(method, f"{ZONES}/z2", "lock-token=x", FORM)
    assert (answer.status, answer.reason, body) == (501, f"Unexpected content for method '{method}'", None)


@pytest.mark.parametrize(
    ("sent", "kind", "status"),
    [("{broken", JSON, 500), ("", JSON, 500), ("[1]", JSON, 500), ("<a/>", "text/xml", 506), (None, "", 200)],
)  # fmt: skip
def test_bodies_that_are_none(wire: Wire, sent: str | None, kind: str, status: int) -> None:
    answer, _ = wire.send("PUT", f"{ZONES}/z1", sent, kind)
    assert answer.status == status


def test_form_and_json_say_the_same_and_the_query_wins(wire: Wire) -> None:
    wire.send("PUT", f"{ZONES}/z1", "mtu=1400&nodes=pve2&nodes=pve1", FORM)
    wire.send("PUT", f"{ZONES}/z2?mtu=1300", json.dumps({"mtu": 1400, "nodes": ["pve2", "pve1"]}), JSON)
    _, body = wire.send("GET", ZONES)
    assert [(row["mtu"], row["nodes"]) for row in body["data"]] == [(1400, "pve1,pve2"), (1300, "pve1,pve2")]


def test_a_form_ends_a_value_at_the_next_semicolon_or_equals_sign(wire: Wire) -> None:
    """What curl sends for `-d`, which does not encode anything."""
    wire.send("PUT", "/api2/json/cluster/sdn/vnets/v1", "alias=a=b;tag=502", FORM)
    _, body = wire.send("GET", "/api2/json/cluster/sdn/vnets/v1")
    assert (body["data"]["alias"], body["data"]["tag"]) == ("a", 502)
    wire.send("PUT", "/api2/json/cluster/sdn/vnets/v1", "alias=a%3Db%3Bc", FORM)
    assert wire.send("GET", "/api2/json/cluster/sdn/vnets/v1")[1]["data"]["alias"] == "a=b;c"


def test_a_name_without_a_value_is_an_undefined_one(wire: Wire) -> None:
    assert wire.send("GET", f"{ZONES}?pending")[1] == wire.send("GET", ZONES)[1]
    assert wire.send("GET", f"{ZONES}?pending=")[0].status == 400
    answer, _ = wire.send("PUT", f"{ZONES}/z1", "mtu", FORM)
    assert answer.reason == "update sdn zone object failed: got undefined value for option 'mtu'"


def test_what_gets_past_caches_is_no_parameter(wire: Wire) -> None:
    assert wire.send("GET", f"{ZONES}?_dc=1700000000000")[0].status == 200


def test_the_api_is_below_its_prefix_only(wire: Wire) -> None:
    answer, body = wire.send("GET", "/cluster/sdn/zones")
    assert (answer.status, answer.reason, body) == (501, "no such file '/cluster/sdn/zones'", None)


@pytest.mark.parametrize("path", ["/api2/json//cluster/sdn///zones/", "/api2/json/cluster/sdn/zones//"])
def test_slashes_do_not_count(wire: Wire, path: str) -> None:
    _, body = wire.send("GET", path)
    assert len(body["data"]) == 2


def test_long_answers_are_compressed_for_those_who_can_read_it(api: SdnClient, wire: Wire) -> None:
    for number in range(20):
        api.do("POST", "/zones", zone=f"s{number}x", type="simple")
    plain, _ = wire.send("GET", ZONES)
    packed, body = wire.send("GET", ZONES, Accept_Encoding="gzip")
    assert plain.getheader("Content-Encoding") is None
    assert packed.getheader("Content-Encoding") == "gzip"
    assert len(body["data"]) == 22


def test_the_date_is_that_of_the_labs_clock() -> None:
    """As are the times of tasks; with an offset both are wrong together, as on nodes without time synchronisation."""
    lab = Lab(["pve1"], clock=lambda: 1_800_000_000.0, clock_offset=-600)
    lab.tokens["root@pam!tok"] = "secret"
    with LabServer(lab, plain_http=True) as server:
        wire = Wire(server)
        answer, _ = wire.send("GET", "/api2/json/version")
        assert answer.getheader("Date") == "Fri, 15 Jan 2027 07:50:00 GMT"
        _, body = wire.send("PUT", "/api2/json/cluster/sdn")
    assert lab.tasks.all[body["data"]].starttime == 1_800_000_000 - 600
