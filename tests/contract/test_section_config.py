"""How a value is stored: as given, as a set, trimmed or dropped; and what ``delete`` removes."""

from __future__ import annotations

import pytest

from tests.lab.clients import SdnClient


@pytest.mark.parametrize(
    ("path", "name", "given", "shown"),
    [
        ("/zones/z1", "nodes", "pve3,pve1;pve3 pve2", "pve1,pve2,pve3"),
        ("/zones/z1", "exitnodes", ["pve2", "pve1"], "pve1,pve2"),
        ("/zones/z1", "exitnodes", "pve9", "pve9"),
        ("/zones/z1", "exitnodes-primary", "pve3", "pve3"),
        ("/zones/z1", "rt-import", "65010:1, 65020:2,", "65010:1, 65020:2,"),
        ("/zones/z1", "mac", "bc:24:11:aa:00:01", "bc:24:11:aa:00:01"),
        ("/zones/z1", "mtu", "-1", -1),
        ("/zones/z1", "vrf-vxlan", 501, 501),
        ("/controllers/c1", "peers", " 192.0.2.9;192.0.2.9, 2001:db8::9 ", "192.0.2.9;192.0.2.9, 2001:db8::9"),
        ("/controllers/c1", "peers", ["192.0.2.8", "192.0.2.9"], "192.0.2.8,192.0.2.9"),
        ("/vnets/v1", "alias", "  rack 4 (blue)  ", "rack 4 (blue)"),
        ("/vnets/v1", "alias", "a/b:c;d<e>f?g@h[i]^_", "a/b:c;d<e>f?g@h[i]^_"),
    ],
)  # fmt: skip
def test_a_value_comes_back(api: SdnClient, path: str, name: str, given: object, shown: object) -> None:
    api.do("PUT", path, **{name: given})
    assert api.get(path)[name] == shown


@pytest.mark.parametrize("given", ["", "   ", "Büro", "日本"])
def test_an_alias_that_is_accepted_and_not_there_afterwards(api: SdnClient, given: str) -> None:
    """Empty ones are not written, and the reader of the file drops what is not ASCII."""
    api.do("PUT", "/vnets/v1", alias="before")
    api.do("PUT", "/vnets/v1", alias=given)
    assert "alias" not in api.get("/vnets/v1")


def test_a_number_beyond_64_bits_is_accepted_and_not_there_afterwards(api: SdnClient) -> None:
    api.do("PUT", "/zones/z1", mtu=str(2**64 - 1))
    assert api.get("/zones/z1")["mtu"] == 2**64 - 1
    api.do("PUT", "/zones/z1", mtu=str(2**64))
    assert "mtu" not in api.get("/zones/z1")


def test_a_line_feed_gets_past_the_pattern_and_not_into_the_file(api: SdnClient) -> None:
    words = "update sdn vnet object failed: property contains a line feed\n"
    assert api.refusal("PUT", "/vnets/v1", alias="two\nlines") == words


def test_nothing_is_filled_in_but_the_mac_of_an_evpn_zone(api: SdnClient) -> None:
    assert api.get("/controllers/c1").keys() == {"controller", "type", "asn", "peers", "digest"}
    assert api.get("/zones/z1").keys() == {"zone", "type", "controller", "vrf-vxlan", "mac", "digest"}
    assert api.get("/vnets/v1").keys() == {"vnet", "type", "zone", "tag", "digest"}


def test_deleting_the_mac_of_an_evpn_zone_makes_a_new_one(api: SdnClient) -> None:
    before = api.get("/zones/z1")["mac"]
    api.do("PUT", "/zones/z1", delete="mac")
    after = api.get("/zones/z1")["mac"]
    assert after != before
    assert after.startswith("BC:24:11:")


def test_an_update_changes_what_it_names_and_nothing_else(api: SdnClient) -> None:
    api.do("PUT", "/zones/z1", mtu=1400, nodes="pve1")
    api.do("PUT", "/zones/z1", nodes="pve2")
    api.do("PUT", "/zones/z1")
    zone = api.get("/zones/z1")
    assert (zone["mtu"], zone["nodes"]) == (1400, "pve2")


@pytest.mark.parametrize("names", ["mtu,nodes", "mtu;nodes", "mtu nodes", ["mtu", "nodes"], "nodes,,mtu,rt-import"])
def test_delete_takes_a_list_and_does_not_mind_what_is_not_set(api: SdnClient, names: object) -> None:
    api.do("PUT", "/zones/z1", mtu=1400, nodes="pve1")
    api.do("PUT", "/zones/z1", delete=names)
    assert not {"mtu", "nodes"} & api.get("/zones/z1").keys()


@pytest.mark.parametrize(
    ("path", "params", "words"),
    [
        ("/zones/z1", {"delete": "vrf-vxlan"}, "unable to delete required option 'vrf-vxlan'\n"),
        ("/zones/z1", {"delete": "type"}, "no such option 'type'\n"),
        ("/zones/z1", {"delete": "bridge"}, "no such option 'bridge'\n"),
        ("/zones/z1", {"delete": "mtu", "mtu": 1}, "cannot set and delete property 'mtu' at the same time!\n"),
        ("/controllers/c1", {"delete": "asn"}, "unable to delete required option 'asn'\n"),
        ("/vnets/v1", {"delete": "tag"}, "400 Parameter verification failed.\ntag: missing vxlan tag\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_deleted(api: SdnClient, path: str, params: dict[str, object], words: str) -> None:
    assert api.refusal("PUT", path, **params).endswith(f"object failed: {words}")


# --- digests ----------------------------------------------------------------------------------------------------


def test_a_digest_is_of_the_whole_file(api: SdnClient) -> None:
    before = api.get("/zones/z1")["digest"]
    assert api.get("/zones/z2")["digest"] == before
    api.do("PUT", "/zones/z2", mtu=1400)
    assert api.get("/zones/z1")["digest"] != before
    api.do("PUT", "/zones/z2", delete="mtu")
    assert {row["digest"] for row in api.get("/zones")} == {before}


def test_a_digest_is_of_the_order_in_the_file_too(empty: SdnClient) -> None:
    """What is made again stands last, so nothing is as it was though every object is."""
    for zone in ("z1", "z2"):
        empty.do("POST", "/zones", zone=zone, type="simple")
    before = empty.get("/zones/z2")["digest"]
    empty.do("DELETE", "/zones/z1")
    empty.do("POST", "/zones", zone="z1", type="simple")
    assert "detected modified configuration" in empty.refusal("PUT", "/zones/z2", digest=before)


@pytest.mark.parametrize("view", ["pending", "running"])
def test_the_other_views_have_none(api: SdnClient, view: str) -> None:
    api.apply()
    assert [row["digest"] for row in api.get("/zones", view)] == [None, None]


@pytest.mark.parametrize("path", ["/zones/z1", "/controllers/c1", "/vnets/v1"])
def test_an_old_digest_is_refused_and_an_empty_one_ignored(api: SdnClient, path: str) -> None:
    fresh = api.get(path)["digest"]
    api.do("PUT", path, digest=fresh)
    api.do("PUT", path, digest="")
    assert "detected modified configuration" in api.refusal("PUT", path, digest=fresh.upper())
    assert api.wrong("PUT", path, digest="0" * 65) == {"digest": "value may only be 64 characters long"}


# --- a file that cannot be written any more ---------------------------------------------------------------------------


def test_a_required_option_given_empty_damages_the_file(api: SdnClient) -> None:
    """It is accepted and gone for the next reader; every write of another zone then fails."""
    api.do("POST", "/zones", zone="bad", type="vlan", bridge="")
    assert "bridge" not in api.get("/zones/bad")
    lacking = "section 'bad' - missing value for required option 'bridge'\n"
    assert api.refusal("POST", "/zones", zone="s1", type="simple") == f"create sdn zone object failed: {lacking}"
    assert api.refusal("PUT", "/zones/z1", mtu=1400) == f"update sdn zone object failed: {lacking}"
    assert api.refusal("DELETE", "/zones/z2") == f"delete sdn zone object failed: {lacking}"
    assert api.refusal("PUT", "/zones/bad", mtu=1400) == f"update sdn zone object failed: {lacking}"
    api.do("POST", "/vnets", vnet="v2", zone="z1", tag=502)


def test_such_a_file_is_mended_by_the_option_or_without_the_section(api: SdnClient) -> None:
    api.do("POST", "/zones", zone="bad", type="vlan", bridge="")
    api.do("PUT", "/zones/bad", bridge="vmbr0")
    api.do("PUT", "/zones/z1", mtu=1400)
    api.do("PUT", "/zones/bad", bridge="")
    api.do("DELETE", "/zones/bad")
    api.do("PUT", "/zones/z1", mtu=1450)
