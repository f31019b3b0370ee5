"""The rules between objects: each refusal is a 500 with a prefix. And what Proxmox does not check."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.clients import SdnClient

VERIFY = "400 Parameter verification failed.\n"
EVPN = {"type": "evpn", "controller": "c1"}


def new_vnet(api: SdnClient, name: str, zone: str, **params: Any) -> str:
    """The refusal of a VNet, without its prefix."""
    text = api.refusal("POST", "/vnets", vnet=name, zone=zone, **params)
    prefix = "create sdn vnet object failed: "
    assert text.startswith(prefix)
    return text.removeprefix(prefix)


# --- controllers and zones --------------------------------------------------------------------------------------


def test_there_is_one_evpn_controller_before_9_2(api: SdnClient) -> None:
    text = api.refusal("POST", "/controllers", controller="c2", type="evpn", asn=65011, peers="192.0.2.7")
    assert text.startswith("create sdn controller object failed: only 1 global evpn controller can be defined at ")


@pytest.mark.parametrize("ends", [{}, {"peers": ""}, {"peers": "192.0.2.1", "fabric": "fab1"}])
def test_an_evpn_controller_has_peers_or_a_fabric(empty: SdnClient, ends: dict[str, str]) -> None:
    text = empty.refusal("POST", "/controllers", controller="c1", type="evpn", asn=1, **ends)
    assert "must have exactly one of peers / fabric defined" in text


def test_peers_become_a_fabric_in_one_update_whether_it_exists_or_not(api: SdnClient) -> None:
    assert "exactly one" in api.refusal("PUT", "/controllers/c1", fabric="nofab")
    api.do("PUT", "/controllers/c1", fabric="nofab", delete="peers")
    assert "peers" not in api.get("/controllers/c1")


def test_a_third_bgp_controller_on_the_node_that_answers_is_too_many(empty: SdnClient) -> None:
    bgp = {"type": "bgp", "asn": 65001, "peers": "192.0.2.1"}
    empty.do("POST", "/controllers", controller="b1", node="pve1", **bgp)
    empty.do("POST", "/controllers", controller="b2", node="pve1", **bgp)
    text = empty.refusal("POST", "/controllers", controller="b3", node="pve2", **bgp)
    assert "only 1 bgp controller can be defined" in text


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ({**EVPN, "controller": "c7", "vrf-vxlan": 3}, "controller c7 don't exist"),
        ({**EVPN, "controller": "", "vrf-vxlan": 3}, "controller  don't exist"),
        ({**EVPN, "controller": "bgp1", "vrf-vxlan": 3}, "bgp1 is not a evpn controller type"),
        ({**EVPN, "vrf-vxlan": 9002}, "vrf-vxlan 9002 is already declared in z2"),
        ({**EVPN, "vrf-vxlan": 3, "ipam": "book"}, f"{VERIFY}ipam: book not existing"),
        ({**EVPN, "vrf-vxlan": 3, "dns": "names"}, f"{VERIFY}dns: names don't exist"),
        ({**EVPN, "vrf-vxlan": 3, "dnszone": "lab.example"}, f"{VERIFY}dnszone: missing dns server"),
        ({"type": "vxlan"}, f"{VERIFY}peers: must have exactly one of peers / fabric defined"),
    ],
)  # fmt: skip
def test_what_a_zone_needs_around_it(api: SdnClient, zone: dict[str, Any], words: str) -> None:
    api.do("POST", "/controllers", controller="bgp1", type="bgp", asn=65001, peers="192.0.2.1", node="pve2")
    text = api.refusal("POST", "/zones", zone="z3", **zone)
    assert text.startswith(f"create sdn zone object failed: {words}")


def test_what_proxmox_does_not_check(api: SdnClient) -> None:
    """Clients have to: nodes that are not there, exit nodes outside, any MTU, an L3 VNI equal to an L2 one."""
    odd = {"nodes": "pve1", "exitnodes": "pve2,ghost", "exitnodes-primary": "pve3", "mtu": 70000, "vrf-vxlan": 501}
    api.do("PUT", "/zones/z1", **odd)
    api.do("POST", "/vnets", vnet="v2", zone="z2", tag=9002)


# --- VNets ------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(api: SdnClient) -> SdnClient:
    """Zones of all types beside the two EVPN ones; a VNet with VLAN 10 in `trunk` and in `stack`."""
    api.do("POST", "/zones", zone="plain", type="simple")
    api.do("POST", "/zones", zone="trunk", type="vlan", bridge="vmbr0")
    api.do("POST", "/zones", zone="stack", type="qinq", bridge="vmbr0", tag=7)
    api.do("POST", "/zones", zone="tunnel", type="vxlan", peers="192.0.2.1")
    api.do("POST", "/vnets", vnet="t10", zone="trunk", tag=10)
    api.do("POST", "/vnets", vnet="s10", zone="stack", tag=10)
    return api


@pytest.mark.parametrize(
    ("zone", "params", "words"),
    [
        ("z1", {}, "tag: missing vxlan tag"),
        ("z2", {"tag": 501}, "tag: vxlan tag 501 already exist in vnet v1 in zone z1 "),
        ("tunnel", {"tag": 501}, "tag: vxlan tag 501 already exist in vnet v1 in zone z1 "),
        ("z1", {"tag": 502, "vlanaware": 1}, "vlan-aware: vlan-aware option can't be enabled with evpn"),
        ("plain", {"tag": 5}, "tag: vlan tag is not allowed on simple zone"),
        ("trunk", {}, "tag: missing vlan tag"),
        ("trunk", {"tag": 4097}, "tag: vlan tag max value is 4096"),
        ("trunk", {"tag": 10}, "tag: tag 10 already exist in vnet t10"),
        ("stack", {"tag": 10}, "tag: tag 10 already exist in zone stack vnet s10"),
        ("stack", {"tag": 4097}, "tag: VLAN tag maximal value is 4096"),
    ],
)  # fmt: skip
def test_tags_by_the_type_of_the_zone(mixed: SdnClient, zone: str, params: dict[str, Any], words: str) -> None:
    assert new_vnet(mixed, "v2", zone, **params) == f"{VERIFY}{words}\n"


def test_one_vnet_of_a_qinq_zone_needs_no_tag(mixed: SdnClient) -> None:
    mixed.do("POST", "/vnets", vnet="bare", zone="stack")
    words = f"{VERIFY}tag: tag-less vnet already exists in zone stack vnet bare\n"
    assert new_vnet(mixed, "v2", "stack") == words
    mixed.do("PUT", "/vnets/bare", tag=11)
    mixed.do("POST", "/vnets", vnet="v2", zone="stack")


def test_a_tag_may_be_that_of_another_kind_of_zone(mixed: SdnClient) -> None:
    mixed.do("POST", "/vnets", vnet="v2", zone="z1", tag=10)


def test_a_zone_that_is_not_there_is_not_even_named(api: SdnClient) -> None:
    assert new_vnet(api, "v2", "z7", tag=5).startswith("cannot lookup undefined type! at ")


def test_ids_are_unique_over_all_zones(api: SdnClient) -> None:
    assert new_vnet(api, "v1", "z2", tag=9) == "sdn vnet object ID 'v1' already defined\n"
    api.do("POST", "/vnets", vnet="V1", zone="z2", tag=9)


def test_a_vnet_moves_only_without_subnets(mixed: SdnClient) -> None:
    mixed.do("PUT", "/vnets/v1", zone="trunk", tag=20)
    mixed.do("PUT", "/vnets/v1", zone="plain", delete="tag")
    mixed.do("POST", "/vnets/v1/subnets", subnet="198.51.100.0/24", type="subnet")
    assert "zone: can't change zone if subnets exist" in mixed.refusal("PUT", "/vnets/v1", zone="trunk", tag=20)
    assert "vlanaware vnet is not compatible with subnets" in mixed.refusal("PUT", "/vnets/v1", vlanaware=1)


# --- deleting ---------------------------------------------------------------------------------------------------


def test_what_is_used_stays_and_what_is_not_goes_in_order_without_an_apply(api: SdnClient) -> None:
    api.do("POST", "/vnets/v1/subnets", subnet="198.51.100.0/24", type="subnet")
    api.apply()
    assert "controller c1 is used by z1" in api.refusal("DELETE", "/controllers/c1")
    assert "zone z1 is used by vnet v1" in api.refusal("DELETE", "/zones/z1")
    assert "vnet: Can't delete vnet if subnets exists" in api.refusal("DELETE", "/vnets/v1")
    for path in ("/vnets/v1/subnets/z1-198.51.100.0-24", "/vnets/v1", "/zones/z1", "/zones/z2", "/controllers/c1"):
        api.do("DELETE", path)


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", "/zones/none", "sdn 'none' does not exist\n"),
        ("PUT", "/zones/none", "update sdn zone object failed: sdn 'none' does not exist\n"),
        ("DELETE", "/controllers/none", "delete sdn controller object failed: sdn 'none' does not exist\n"),
        ("PUT", "/vnets/none", "sdn vnet 'none' does not exist\n"),
        ("DELETE", "/vnets/none", "sdn vnet 'none' does not exist\n"),
        ("POST", "/vnets/none/subnets", "sdn vnet 'none' does not exist\n"),
        ("GET", "/vnets/v1/subnets/z1-192.0.2.0-24", "sdn subnet 'z1-192.0.2.0-24' does not exist\n"),
        ("PUT", "/vnets/v1/subnets/z1-192.0.2.0-24",
         "update sdn subnet object failed: sdn subnet 'z1-192.0.2.0-24' does not exist\n"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_500(api: SdnClient, method: str, path: str, words: str) -> None:
    params = {"subnet": "192.0.2.0/24", "type": "subnet"} if method == "POST" else {}
    assert api.refusal(method, path, **params) == words


def test_deleting_a_subnet_that_is_not_there_works(api: SdnClient) -> None:
    api.do("DELETE", "/vnets/v1/subnets/z1-192.0.2.0-24")


# --- the lock ---------------------------------------------------------------------------------------------------

NO_TOKEN = "invalid lock token provided! at "
WRITES = [
    ("POST", "/controllers", {"controller": "c3", "type": "faucet"}),
    ("PUT", "/zones/z1", {"mtu": 1400}),
    ("PUT", "/zones/nowhere", {"mtu": 1400}),
    ("DELETE", "/zones/z2", {}),
    ("POST", "/zones", {"zone": "z1", "type": "simple"}),
    ("PUT", "/vnets/v1", {"digest": "wrong"}),
    ("POST", "/vnets/v1/subnets", {"subnet": "192.0.2.0/24", "type": "subnet"}),
    ("PUT", "", {}),
    ("POST", "/rollback", {}),
    ("POST", "/lock", {"allow-pending": 1}),
    ("DELETE", "/lock", {}),
]


@pytest.mark.parametrize(("method", "path", "params"), WRITES)
def test_under_a_lock_every_write_needs_the_token_and_needs_it_first(
    api: SdnClient, method: str, path: str, params: dict[str, Any]
) -> None:
    token = api.do("POST", "/lock", allow_pending=1)
    assert NO_TOKEN in api.refusal(method, path, **params)
    if path != "/lock" or method == "DELETE":
        for wrong in ("", token.upper()):
            assert NO_TOKEN in api.refusal(method, path, **params, lock_token=wrong)
    assert api.get("/zones")


def test_while_the_lock_is_free_any_token_is_accepted(api: SdnClient) -> None:
    api.do("PUT", "/zones/z1", mtu=1400, lock_token="anything")
    api.do("PUT", "", lock_token="anything")
    api.do("DELETE", "/lock", lock_token="anything")


def test_a_lock_needs_no_pending_changes_unless_they_are_allowed(api: SdnClient) -> None:
    words = "could not acquire lock for SDN config: configuration has pending changes at "
    assert api.refusal("POST", "/lock").startswith(words)
    api.do("POST", "/lock", allow_pending=1)


def test_the_lock_is_released_by_parameter_or_by_force(api: SdnClient) -> None:
    """The documented default of ``release-lock`` is not what happens."""
    for path, method in (("", "PUT"), ("/rollback", "POST")):
        token = api.do("POST", "/lock", allow_pending=1)
        api.do(method, path, lock_token=token)
        assert NO_TOKEN in api.refusal("PUT", "/zones/z1")
        api.do(method, path, lock_token=token, release_lock=1)
        api.do("PUT", "/zones/z1")
    api.do("POST", "/lock", allow_pending=1)
    api.do("DELETE", "/lock", force=1, lock_token="wrong")
    api.do("PUT", "/zones/z1")


def test_a_schema_is_checked_before_the_lock(api: SdnClient) -> None:
    api.do("POST", "/lock", allow_pending=1)
    assert list(api.wrong("PUT", "/zones/z1", mtu="x")) == ["mtu"]
