"""Rules and parameters of the SDN configuration by release."""

from __future__ import annotations

import pytest

from tests.lab.clients import SdnClient

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"


def test_8_4_has_no_lock_and_no_fabric() -> None:
    api = SdnClient("8.4.5").network()
    for method, path in (("POST", "/lock"), ("DELETE", "/lock"), ("POST", "/rollback")):
        assert api.ask(method, path)[0] == 501
    assert api.wrong("PUT", "/zones/z1", lock_token="x") == {"lock-token": UNKNOWN}
    assert api.wrong("PUT", "", release_lock=1) == {"release-lock": UNKNOWN}
    assert api.wrong("PUT", "/controllers/c1", fabric="fab1") == {"fabric": UNKNOWN}
    api.apply()


@pytest.mark.parametrize("version", ["9.0.11", "9.1.4"])
def test_9_0_has_both_and_not_what_9_2_brought(version: str) -> None:
    api = SdnClient(version).network()
    api.do("PUT", "/controllers/c1", fabric="fab1", delete="peers")
    api.do("DELETE", "/lock")
    assert api.wrong("PUT", "/controllers/c1", bgp_mode="auto") == {"bgp-mode": UNKNOWN}
    assert api.wrong("PUT", "/zones/z1", secondary_controllers="c1") == {"secondary-controllers": UNKNOWN}


@pytest.fixture
def newest() -> SdnClient:
    return SdnClient("9.2.3").network()


def second(api: SdnClient, **params: object) -> str:
    """Why a second controller is refused; empty if it is not."""
    given = {"controller": "c2", "type": "evpn", "asn": 65010, "peers": "192.0.2.9", **params}
    status, body = api.ask("POST", "/controllers", given)
    return "" if status == 200 else str(body["message"])


def test_9_2_takes_a_second_controller_with_a_peer_group_of_its_own(newest: SdnClient) -> None:
    words = "cannot have two controllers with same peer-group-name configured (VTEP)"
    assert words in second(newest)
    assert second(newest, **{"peer-group-name": "SPINE"}) == ""
    newest.do("PUT", "/zones/z1", secondary_controllers=["c2"])
    assert newest.get("/zones/z1")["secondary-controllers"] == ["c2"]
    assert "controller c2 is used by z1" in newest.refusal("DELETE", "/controllers/c2")


def test_9_2_wants_one_asn_per_node(newest: SdnClient) -> None:
    group = {"peer-group-name": "SPINE", "asn": 65099}
    assert "all EVPN controllers on a node must have the same ASN configured" in second(newest, **group)
    newest.do("PUT", "/controllers/c1", nodes="pve1")
    assert second(newest, **group, nodes="pve2,pve3") == ""


def test_9_2_wants_one_asn_for_sessions_within_an_as(newest: SdnClient) -> None:
    newest.do("POST", "/controllers", controller="b1", type="bgp", asn=65001, peers="192.0.2.1", node="pve1")
    assert "two different ASNs for iBGP sessions" in newest.refusal("PUT", "/controllers/c1", asn=65010)
    newest.do("PUT", "/controllers/b1", ebgp=1)
    newest.do("PUT", "/controllers/c1", asn=65010)


def test_9_2_wants_route_maps_to_be_there(newest: SdnClient) -> None:
    assert "route map in1 does not exist!" in newest.refusal("PUT", "/controllers/c1", route_map_in="in1")


@pytest.mark.parametrize(
    ("version", "names"),
    [("8.4.5", {"vnets", "zones", "controllers", "ipams", "dns"}),
     ("9.1.4", {"vnets", "zones", "controllers", "ipams", "dns", "fabrics"})],
)  # fmt: skip
def test_the_directory_says_what_there_is(version: str, names: set[str]) -> None:
    assert {row["id"] for row in SdnClient(version).get("")} == names
