"""Permissions: checked before parameters and objects, and lists leave out what the user may not see."""

from __future__ import annotations

import pytest

from pve_lab.request import Request
from tests.lab.clients import SdnClient

USER, TOKEN = "ci@pve", "ci@pve!job"


def denied(api: SdnClient, method: str, path: str, user: str = USER, **params: object) -> str:
    status, body = api.ask(method, path, dict(params), user)
    assert status == 403, body
    assert "errors" not in body
    return str(body["message"])


def test_without_a_privilege_a_missing_zone_looks_like_any_other(api: SdnClient) -> None:
    words = "Permission check failed (/sdn/zones/{}, SDN.Allocate)\n"
    assert denied(api, "GET", "/zones/z1") == words.format("z1")
    assert denied(api, "GET", "/zones/none") == words.format("none")
    assert denied(api, "PUT", "/zones/z1", mtu="not even a number") == words.format("z1")


@pytest.mark.parametrize(
    ("method", "path", "where"),
    [
        ("POST", "/controllers", "/sdn/controllers"),
        ("PUT", "/controllers/c1", "/sdn/controllers"),
        ("GET", "/controllers/c1", "/sdn/controllers/c1"),
        ("POST", "/zones", "/sdn/zones"),
        ("DELETE", "/zones/z1", "/sdn/zones/z1"),
        ("POST", "/vnets", "/sdn/zones/z1"),
        ("DELETE", "/vnets/v1", "/sdn/zones/z1/v1"),
        ("POST", "/vnets/v1/subnets", "/sdn/zones/z1/v1"),
        ("GET", "/ipams/pve", "/sdn/ipams/pve"),
        ("PUT", "", "/sdn"),
        ("POST", "/lock", "/sdn"),
        ("DELETE", "/lock", "/sdn"),
        ("POST", "/rollback", "/sdn"),
    ],
)  # fmt: skip
def test_where_a_privilege_is_needed(api: SdnClient, method: str, path: str, where: str) -> None:
    params = {"/vnets": {"zone": "z1"}, "/vnets/v1/subnets": {"subnet": "192.0.2.0/24", "type": "subnet"}}
    given = params.get(path, {}) if method == "POST" else {}
    if path == "/vnets":
        given |= {"vnet": "v9", "tag": 9}
    assert f"({where}, SDN.Allocate)" in denied(api, method, path, **given)
    api.lab.access.grant(USER, where, "SDN.Audit")
    if (method, path) != ("GET", "/vnets/v1"):
        assert denied(api, method, path, **given)
    api.lab.access.grant(USER, where, "SDN.Allocate")
    assert api.ask(method, path, given, USER)[0] != 403


def test_reading_a_vnet_takes_audit_and_reading_a_zone_does_not_do_with_it(api: SdnClient) -> None:
    api.lab.access.grant(USER, "/sdn/zones/z1", "SDN.Audit")
    assert api.get("/vnets/v1", user=USER)["tag"] == 501
    assert api.get("/vnets/v1/subnets", user=USER) == []
    assert denied(api, "GET", "/zones/z1")


def test_lists_leave_out_what_one_may_not_see(api: SdnClient) -> None:
    api.do("POST", "/vnets", vnet="v2", zone="z2", tag=502)
    lists = ("/controllers", "/zones", "/vnets", "/ipams")
    assert [api.get(path, user=USER) for path in lists] == [[], [], [], []]
    api.lab.access.grant(USER, "/sdn/zones/z2", "SDN.Audit")
    assert [row["zone"] for row in api.get("/zones", user=USER)] == ["z2"]
    assert [row["vnet"] for row in api.get("/vnets", "pending", user=USER)] == ["v2"]


def test_a_vnet_that_does_not_exist_is_a_500_for_every_user(api: SdnClient) -> None:
    status, body = api.ask("GET", "/vnets/none", {}, USER)
    assert (status, body["message"]) == (500, "sdn vnet 'none' does not exist\n")


def test_moving_a_vnet_asks_only_where_it_is(api: SdnClient) -> None:
    api.lab.access.grant(USER, "/sdn/zones/z1", "SDN.Allocate")
    assert api.ask("PUT", "/vnets/v1", {"zone": "z2"}, USER)[0] == 200
    assert api.get("/vnets/v1")["zone"] == "z2"


def test_a_name_no_acl_can_have_is_refused_even_to_roots_token(api: SdnClient) -> None:
    words = "Permission check failed (, SDN.Allocate)\n"
    assert denied(api, "POST", "/vnets", "root@pam!tok", vnet="v9", zone="z 1!", tag=9) == words


def test_a_token_with_privilege_separation_has_what_both_have(api: SdnClient) -> None:
    access = api.lab.access
    access.grant(USER, "/sdn", "SDN.Allocate", "SDN.Audit")
    access.new_token(TOKEN)
    assert api.get("/zones", user=TOKEN) == []
    access.grant(TOKEN, "/sdn/zones/z1", "SDN.Audit", "VM.Audit")
    assert [row["zone"] for row in api.get("/zones", user=TOKEN)] == ["z1"]
    assert access.privileges(TOKEN, "/sdn/zones/z1") == {"SDN.Audit"}
    access.new_token("ci@pve!whole", privsep=False)
    assert len(api.get("/zones", user="ci@pve!whole")) == 2


def test_deeper_entries_replace_and_what_does_not_propagate_stays(api: SdnClient) -> None:
    access = api.lab.access
    access.grant(USER, "/sdn", "PVESDNAdmin")
    access.grant(USER, "/sdn/zones/z2", "NoAccess")
    assert [row["zone"] for row in api.get("/zones", user=USER)] == ["z1"]
    access.grant("@team", "/sdn/zones", "SDN.Audit", propagate=False)
    access.users[USER].groups.add("team")
    assert access.privileges(USER, "/sdn/zones") == {"SDN.Audit"}
    assert "SDN.Allocate" in access.privileges(USER, "/sdn/zones/z1")


def test_set_up_over_the_api_as_a_manual_would(api: SdnClient) -> None:
    def access(method: str, path: str, params: dict[str, object]) -> object:
        given = api.lab.answer(Request(method, f"/access{path}", params, "root@pam!tok"))
        assert given.status == 200, given.body
        return given.body["data"]

    access("POST", "/roles", {"roleid": "Networks", "privs": "SDN.Allocate SDN.Audit"})
    access("POST", "/users", {"userid": USER})
    access("PUT", "/acl", {"path": "/sdn", "roles": "Networks", "users": USER})
    made = access("POST", f"/users/{USER}/token/job", {"privsep": 0})
    assert isinstance(made, dict)
    assert api.lab.access.knows(TOKEN, made["value"], api.now)
    assert len(api.get("/zones", user=TOKEN)) == 2
    assert access("GET", "/permissions", {"userid": TOKEN, "path": "/sdn/zones"}) == {
        "/sdn/zones": {"SDN.Allocate": 1, "SDN.Audit": 1}
    }
    access("PUT", "/acl", {"path": "/sdn", "roles": "Networks", "users": USER, "delete": 1})
    assert api.get("/zones", user=TOKEN) == []
