"""Subnets and the IPAM ``pve``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.clients import SdnClient

SUBNETS = "/vnets/v1/subnets"
BOOK = "doesn't exist in IPAM DB"


def add(api: SdnClient, cidr: str, path: str = SUBNETS, **params: Any) -> None:
    api.do("POST", path, subnet=cidr, type="subnet", **params)


@pytest.mark.parametrize(
    ("cidr", "id_", "mask"),
    [
        ("198.51.100.0/24", "z1-198.51.100.0-24", "24"),
        ("198.51.100.7/24", "z1-198.51.100.7-24", "24"),
        ("2001:DB8:0::/64", "z1-2001:DB8:0::-64", "64"),
    ],
)  # fmt: skip
def test_an_id_is_what_was_given(api: SdnClient, cidr: str, id_: str, mask: str) -> None:
    add(api, cidr)
    found = api.get(f"{SUBNETS}/{id_}")
    assert (found["subnet"], found["id"], found["cidr"], found["mask"]) == (id_, id_, cidr, mask)
    assert (found["zone"], found["vnet"], found["dhcp-range"]) == ("z1", "v1", [])


def test_one_network_can_be_there_several_times_but_an_id_only_once(api: SdnClient) -> None:
    for cidr in ("198.51.100.0/24", "198.51.100.1/24", "198.51.100.0/25"):
        add(api, cidr)
    text = api.refusal("POST", SUBNETS, subnet="198.51.100.0/24", type="subnet")
    assert text == "create sdn subnet object failed: sdn subnet object ID 'z1-198.51.100.0-24' already defined\n"


@pytest.mark.parametrize("id_", ["198.51.100.0-24", "z1-198.51.100.0", "garbage", "z1-z1-198.51.100.0-24"])
def test_an_id_in_a_path_needs_its_three_parts(api: SdnClient, id_: str) -> None:
    assert list(api.wrong("GET", f"{SUBNETS}/{id_}")) == ["subnet"]
    assert api.ask("GET", f"{SUBNETS}/198.51.100.0/24")[0] == 501


@pytest.mark.parametrize(
    ("cidr", "gateway", "inside"),
    [
        ("198.51.100.0/24", "198.51.100.255", True),
        ("198.51.100.0/24", "198.51.101.1", False),
        ("198.51.100.0/24", "2001:db8::1", False),
        ("198.51.100.9/32", "192.0.2.1", True),
        ("2001:db8::9/128", "2001:db8::1", False),
        ("2001:db8::/64", "fe80::1", False),
    ],
)  # fmt: skip
def test_a_gateway_is_inside(api: SdnClient, cidr: str, gateway: str, inside: bool) -> None:
    params = {"subnet": cidr, "type": "subnet", "gateway": gateway}
    if inside:
        api.do("POST", SUBNETS, **params)
    else:
        assert f"gateway: {gateway} is not in subnet {cidr}\n" in api.refusal("POST", SUBNETS, **params)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([(9, 5)], "start-address 198.51.100.9 must be smaller than end-address 198.51.100.5"),
        ([(5, 9), (7, 12)], "dhcp ranges must not overlap"),
    ],
)  # fmt: skip
def test_ranges_go_upwards_and_do_not_overlap(api: SdnClient, ranges: list[tuple[int, int]], words: str) -> None:
    texts = [f"start-address=198.51.100.{a},end-address=198.51.100.{b}" for a, b in ranges]
    text = api.refusal("POST", SUBNETS, subnet="198.51.100.0/24", type="subnet", dhcp_range=texts)
    assert text.endswith(f"400 Parameter verification failed.\ndhcp-range: {words}\n")


@pytest.mark.parametrize("end", ["198.51.101.9", "2001:db8::9"])
def test_ranges_are_inside(api: SdnClient, end: str) -> None:
    given = f"start-address=198.51.100.9,end-address={end}"
    text = api.refusal("POST", SUBNETS, subnet="198.51.100.0/24", type="subnet", dhcp_range=given)
    assert f"end-address {end} is not in subnet" in text


def test_asked_under_the_wrong_vnet_it_is_refused_moved_or_deleted(api: SdnClient) -> None:
    """Reading notices, writing does not."""
    api.do("POST", "/vnets", vnet="v2", zone="z2", tag=502)
    add(api, "198.51.100.0/24")
    elsewhere = "/vnets/v2/subnets/z1-198.51.100.0-24"
    assert api.wrong("GET", elsewhere) == {"vnet": "wrong vnet"}
    api.do("PUT", elsewhere, snat=1)
    assert api.get(elsewhere)["vnet"] == "v2"
    assert api.get(SUBNETS) == []
    api.do("DELETE", "/vnets/v1/subnets/z1-198.51.100.0-24")
    assert api.get("/vnets/v2/subnets") == []


def test_none_on_a_vlanaware_vnet(api: SdnClient) -> None:
    api.do("POST", "/zones", zone="plain", type="simple")
    api.do("POST", "/vnets", vnet="aware", zone="plain", vlanaware=1)
    text = api.refusal("POST", "/vnets/aware/subnets", subnet="192.0.2.0/24", type="subnet")
    assert "you can't add a subnet on a vlanaware vnet" in text


# --- the IPAM ---------------------------------------------------------------------------------------------------


@pytest.fixture
def booked(empty: SdnClient) -> SdnClient:
    """Simple zone with the IPAM and DHCP, VNet v1, applied."""
    empty.do("POST", "/zones", zone="z1", type="simple", ipam="pve", dhcp="dnsmasq")
    empty.do("POST", "/vnets", vnet="v1", zone="z1")
    return empty


def book(api: SdnClient) -> dict[str, Any]:
    return {row["ip"]: row for row in api.get("/ipams/pve/status")}


def test_it_is_built_in_and_its_configuration_is_no_file(empty: SdnClient) -> None:
    (found,) = empty.get("/ipams")
    assert (found["ipam"], found["type"]) == ("pve", "pve")
    assert found["digest"] == "da39a3ee5e6b4b0d3255bfef95601890afd80709"  # of nothing


def test_it_is_still_there_when_it_was_deleted(empty: SdnClient) -> None:
    empty.do("DELETE", "/ipams/pve")
    assert [row["ipam"] for row in empty.get("/ipams")] == ["pve"]
    empty.do("POST", "/zones", zone="z1", type="simple", ipam="pve")


def test_gateways_come_and_go_with_the_edited_copy(booked: SdnClient) -> None:
    add(booked, "198.51.100.0/24", gateway="198.51.100.1")
    assert book(booked) == {}
    booked.apply()
    assert book(booked) == {
        "198.51.100.1": {
            "zone": "z1", "vnet": "v1", "subnet": "198.51.100.0/24", "ip": "198.51.100.1", "gateway": 1,
        }
    }  # fmt: skip
    booked.do("PUT", f"{SUBNETS}/z1-198.51.100.0-24", gateway="198.51.100.2")
    assert list(book(booked)) == ["198.51.100.2"]
    booked.do("POST", "/rollback")
    assert list(book(booked)) == ["198.51.100.2"]


def test_an_address_in_use_keeps_its_subnet(booked: SdnClient) -> None:
    add(booked, "198.51.100.0/24", gateway="198.51.100.1")
    booked.apply()
    lease = {"zone": "z1", "ip": "198.51.100.20", "mac": "BC:24:11:00:00:20"}
    booked.do("POST", "/vnets/v1/ips", **lease)
    assert book(booked)["198.51.100.20"]["mac"] == "BC:24:11:00:00:20"
    path = f"{SUBNETS}/z1-198.51.100.0-24"
    assert "cannot delete subnet '198.51.100.0/24', not empty" in booked.refusal("DELETE", path)
    booked.do("PUT", "/vnets/v1/ips", **{**lease, "ip": "198.51.100.21"})
    assert "198.51.100.20" not in book(booked)
    booked.do("DELETE", "/vnets/v1/ips", **{**lease, "ip": "198.51.100.21"})
    booked.do("DELETE", path)


def test_a_subnet_that_a_rollback_brought_back_is_stuck(booked: SdnClient) -> None:
    add(booked, "198.51.100.0/24", gateway="198.51.100.1")
    booked.apply()
    path = f"{SUBNETS}/z1-198.51.100.0-24"
    booked.do("DELETE", path)
    assert f"zone '' {BOOK}" in booked.refusal("DELETE", path)
    booked.do("POST", "/rollback")
    assert f"subnet '198.51.100.0/24' {BOOK}" in booked.refusal("DELETE", path)
    assert f"subnet '198.51.100.0/24' {BOOK}" in booked.refusal("PUT", path, gateway="198.51.100.2")


def test_an_evpn_zone_is_in_the_book_and_never_in_its_list(api: SdnClient) -> None:
    """The list wants DHCP, which an EVPN zone cannot have."""
    api.do("PUT", "/zones/z1", ipam="pve")
    add(api, "198.51.100.0/24", gateway="198.51.100.1")
    api.apply()
    assert book(api) == {}
    assert "can't change ipam if a subnet is already defined" in api.refusal("PUT", "/zones/z1", delete="ipam")


@pytest.mark.parametrize("gateway", ["10.3.0.0", "10.3.0.1"])
def test_an_id_given_for_a_network_has_no_inside(api: SdnClient, gateway: str) -> None:
    """It passes the schema, as an id does, and gets the zone's name a second time."""
    text = api.refusal("POST", "/vnets/v1/subnets", subnet="z1-10.3.0.0-24", type="subnet", gateway=gateway)
    assert f"gateway: {gateway} is not in subnet" in text
    assert api.get("/vnets/v1/subnets") == []


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE"])
def test_an_address_of_a_subnet_that_only_runs_is_missed_in_the_book(booked: SdnClient, verb: str) -> None:
    lease = {"zone": "z1", "ip": "198.51.100.30", "mac": "BC:24:11:00:00:30"}
    add(booked, "198.51.100.0/24")
    booked.apply()
    booked.do("DELETE", "/vnets/v1/subnets/z1-198.51.100.0-24")
    text = booked.refusal(verb, "/vnets/v1/ips", **lease)
    assert text.rstrip("\n") == "subnet '198.51.100.0/24' doesn't exist in IPAM DB"
    booked.do("DELETE", "/vnets/v1")
    booked.do(verb, "/vnets/v1/ips", **lease)


def test_without_dhcp_a_changed_address_leaves_the_old_one(api: SdnClient) -> None:
    api.do("PUT", "/zones/z1", ipam="pve")
    add(api, "198.51.100.0/24")
    api.apply()
    lease = {"zone": "z1", "mac": "BC:24:11:00:00:30"}
    api.do("POST", "/vnets/v1/ips", ip="198.51.100.30", **lease)
    api.do("PUT", "/vnets/v1/ips", ip="198.51.100.31", **lease)
    for ip in ("198.51.100.30", "198.51.100.31"):
        api.do("DELETE", "/vnets/v1/ips", ip=ip, **lease)
