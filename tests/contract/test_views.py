"""The three views of an object: edited, running, and what would change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.clients import SdnClient


def pending(api: SdnClient, path: str) -> dict[str, Any]:
    """One object's pending view without what is always there."""
    found: dict[str, Any] = api.get(path, "pending")
    return {key: value for key, value in found.items() if key != "digest"}


def test_a_new_object_shows_all_of_itself_as_pending(empty: SdnClient) -> None:
    empty.do("POST", "/zones", zone="plain", type="simple")
    empty.do("POST", "/vnets", vnet="inside", zone="plain")
    assert pending(empty, "/zones/plain") == {"zone": "plain", "type": "simple", "state": "new", "pending": {}}
    shown = {"vnet": "inside", "type": "vnet", "state": "new", "pending": {"zone": "plain"}}
    assert pending(empty, "/vnets/inside") == shown
    assert empty.ask("GET", "/zones/plain", {"running": 1})[0] == 500


CHANGES = [
    ({}, {}, None),
    ({"mtu": 1400}, {"mtu": 1450}, {"mtu": 1450}),
    ({"mtu": 1400}, {"delete": "mtu"}, {"mtu": "deleted"}),
    ({}, {"advertise-subnets": 0}, {"advertise-subnets": 0}),
    ({"nodes": "pve1,pve2"}, {"nodes": "pve2 pve1"}, None),
    ({"nodes": "pve1"}, {"delete": "nodes", "mtu": 1}, {"nodes": "deleted", "mtu": 1}),
    ({"rt-import": "65010:1,65010:2"}, {"rt-import": "65010:2,65010:1"}, {"rt-import": "65010:2,65010:1"}),
    ({"mac": "BC:24:11:00:00:07"}, {"mac": "bc:24:11:00:00:07"}, {"mac": "bc:24:11:00:00:07"}),
]  # fmt: skip


@pytest.mark.parametrize(("before", "change", "shown"), CHANGES)
def test_a_change_shows_old_values_and_what_becomes_of_them(
    api: SdnClient, before: Any, change: Any, shown: Any
) -> None:
    api.do("PUT", "/zones/z1", **before)
    api.apply()
    running = api.get("/zones/z1", "running")
    api.do("PUT", "/zones/z1", **change)
    found = api.get("/zones/z1", "pending")
    assert (found.pop("state", None), found.pop("pending", None)) == (("changed", shown) if shown else (None, None))
    assert found == running


def test_a_deleted_object_keeps_its_running_values(api: SdnClient) -> None:
    api.apply()
    api.do("DELETE", "/vnets/v1")
    (found,) = api.get("/vnets", "pending")
    assert (found["state"], found["pending"], found["tag"]) == ("deleted", {}, 501)
    assert api.get("/vnets") == []
    assert [row["vnet"] for row in api.get("/vnets", "running")] == ["v1"]


def test_what_was_never_applied_vanishes_when_deleted(api: SdnClient) -> None:
    api.do("DELETE", "/vnets/v1")
    assert api.get("/vnets", "pending") == []


def test_a_deleted_vnet_cannot_be_asked_only_listed(api: SdnClient) -> None:
    """Access is decided by the edited copy; so its subnets are out of sight too."""
    api.do("POST", "/vnets/v1/subnets", subnet="198.51.100.0/24", type="subnet")
    api.apply()
    api.do("DELETE", "/vnets/v1/subnets/z1-198.51.100.0-24")
    api.do("DELETE", "/vnets/v1")
    for path in ("/vnets/v1", "/vnets/v1/subnets"):
        status, body = api.ask("GET", path, {"running": 1})
        assert (status, body["message"]) == (500, "sdn vnet 'v1' does not exist\n")
    api.do("POST", "/vnets", vnet="v1", zone="z1", tag=501)
    assert [row["state"] for row in api.get("/vnets/v1/subnets", "pending")] == ["deleted"]


def test_recreating_is_a_change_and_the_same_again_is_none(api: SdnClient) -> None:
    api.apply()
    api.do("DELETE", "/vnets/v1")
    api.do("POST", "/vnets", vnet="v1", zone="z1", tag=502, alias="other")
    assert pending(api, "/vnets/v1")["pending"] == {"tag": 502, "alias": "other"}
    api.do("PUT", "/vnets/v1", tag=501, delete="alias")
    assert "state" not in pending(api, "/vnets/v1")


def test_another_type_under_the_same_name_shows_the_new_type_with_the_old_values(api: SdnClient) -> None:
    api.apply()
    api.do("DELETE", "/zones/z2")
    api.do("POST", "/zones", zone="z2", type="simple")
    found = pending(api, "/zones/z2")
    assert (found["type"], found["vrf-vxlan"], found["state"]) == ("simple", 9002, "changed")
    assert found["pending"] == dict.fromkeys(("controller", "vrf-vxlan", "mac"), "deleted")


def test_ranges_are_objects_on_top_and_texts_in_pending(api: SdnClient) -> None:
    api.do("POST", "/vnets/v1/subnets", subnet="198.51.100.0/24", type="subnet")
    api.apply()
    one = "start-address=198.51.100.10,end-address=198.51.100.19"
    two = "start-address=198.51.100.30,end-address=198.51.100.39"
    path = "/vnets/v1/subnets/z1-198.51.100.0-24"
    api.do("PUT", path, dhcp_range=[one, two])
    assert pending(api, path)["dhcp-range"] == []
    assert pending(api, path)["pending"] == {"dhcp-range": [one, two]}
    api.apply()
    api.do("PUT", path, dhcp_range=[two, one])
    assert "state" not in pending(api, path)
    assert api.get(path)["dhcp-range"][0] == {"start-address": "198.51.100.30", "end-address": "198.51.100.39"}


def test_pending_wins_over_running_and_zero_is_neither(api: SdnClient) -> None:
    _, both = api.ask("GET", "/zones/z1", {"pending": 1, "running": 1})
    assert both["data"]["state"] == "new"
    _, none = api.ask("GET", "/zones/z1", {"pending": 0})
    assert none["data"]["digest"]


def test_lists_are_in_the_order_of_bytes_and_can_be_of_one_type(api: SdnClient) -> None:
    for name in ("b1", "B1", "a1"):
        api.do("POST", "/zones", zone=name, type="simple")
    assert [row["zone"] for row in api.get("/zones")] == ["B1", "a1", "b1", "z1", "z2"]
    _, body = api.ask("GET", "/zones", {"type": "evpn"})
    assert [row["zone"] for row in body["data"]] == ["z1", "z2"]


def test_rollback_forgets_and_apply_publishes_everything(api: SdnClient) -> None:
    api.apply()
    api.do("PUT", "/zones/z1", mtu=1400)
    api.do("DELETE", "/vnets/v1")
    api.do("POST", "/rollback")
    assert not any("state" in row for kind in ("zones", "vnets") for row in api.get(f"/{kind}", "pending"))
    api.do("PUT", "/zones/z2", mtu=1300)
    api.apply()
    assert api.get("/zones/z2", "running")["mtu"] == 1300


def test_rollback_before_the_first_apply_empties_all(api: SdnClient) -> None:
    api.do("POST", "/rollback")
    assert [api.get(f"/{kind}", "pending") for kind in ("controllers", "zones", "vnets")] == [[], [], []]
