"""Parameters of a request: a 400 names all wrong ones at once, with Proxmox' texts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.clients import SdnClient

CONTROLLER = {"controller": "c9", "type": "evpn", "asn": 65010, "peers": "192.0.2.1"}
ZONE = {"zone": "z9", "type": "evpn", "controller": "c1", "vrf-vxlan": 9009}
VNET = {"vnet": "v9", "zone": "z1", "tag": 509}
SUBNET = {"subnet": "198.51.100.0/24", "type": "subnet"}
PATHS = {"controller": "/controllers", "zone": "/zones", "vnet": "/vnets", "subnet": "/vnets/v1/subnets"}
BASES: dict[str, dict[str, Any]] = {"controller": CONTROLLER, "zone": ZONE, "vnet": VNET, "subnet": SUBNET}

PATTERN = "value does not match the regex pattern"
NOT_KNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"


def integer(got: str) -> str:
    return f"type check ('integer') failed - got '{got}'"


def boolean(got: str) -> str:
    return f"type check ('boolean') failed - got '{got}'"


def looks(like: str) -> str:
    return f"invalid format - value does not look like a valid {like}\n"


REFUSED = [
    ("controller", "controller", "x", PATTERN),
    ("controller", "controller", "ab-", PATTERN),
    ("controller", "controller", "c" * 65, "value may only be 64 characters long"),
    ("controller", "type", "ospf", "value 'ospf' does not have a value in the enumeration 'bgp, evpn, faucet, isis'"),
    ("controller", "type", "", "invalid format - invalid configuration ID ''\n"),
    ("controller", "asn", 2**32, "value must have a maximum value of 4294967295"),
    ("controller", "asn", -5, "value must have a minimum value of 0"),
    ("controller", "asn", "64512.1", integer("64512.1")),
    ("controller", "asn", "", integer("")),
    ("controller", "asn", " 7", integer(" 7")),
    ("controller", "peers", "192.0.2.1,tor.example", looks("IP address")),
    ("controller", "peers", "192.0.2.1/31", looks("IP address")),
    ("controller", "peers", "fe80::1%eth0", looks("IP address")),
    ("controller", "fabric", "fab_x", "invalid format - Fabric ID 'fab_x' contains illegal characters\n"),
    ("controller", "fabric", "toolongid", "invalid format - Fabric ID 'toolongid' contains illegal characters\n"),
    ("controller", "delete", "peers", NOT_KNOWN),
    ("controller", "digest", "0" * 40, NOT_KNOWN),
    ("zone", "zone", "lab-1", PATTERN),
    ("zone", "zone", "9zone", PATTERN),
    ("zone", "zone", "ninechars", "value may only be 8 characters long"),
    ("zone", "vrf-vxlan", 0, "value must have a minimum value of 1"),
    ("zone", "vrf-vxlan", 2**24, "value must have a maximum value of 16777215"),
    ("zone", "vxlan-port", 65537, "value must have a maximum value of 65536"),
    ("zone", "mtu", "9k", integer("9k")),
    ("zone", "nodes", "pve1,pve.2", looks("node name")),
    ("zone", "exitnodes-primary", "", looks("node name")),
    ("zone", "mac", "03:00:00:00:00:01", looks("unicast MAC address")),
    ("zone", "rt-import", "192.0.2.1:5", looks("bgp route-target")),
    ("zone", "rt-import", f"65010:{2**32}", looks("bgp route-target")),
    ("zone", "dnszone", "lab_.example", looks("DNS name")),
    ("zone", "advertise-subnets", "yes", boolean("yes")),
    ("zone", "dhcp", "kea", "value 'kea' does not have a value in the enumeration 'dnsmasq'"),
    ("zone", "secondary-controllers", "c2", NOT_KNOWN),
    ("vnet", "vnet", "v", PATTERN),
    ("vnet", "tag", 2**24, "value must have a maximum value of 16777215"),
    ("vnet", "alias", "rack #4", PATTERN),
    ("vnet", "alias", "it's", PATTERN),
    ("vnet", "alias", "a" * 257, PATTERN),
    ("vnet", "vlanaware", "on", boolean("on")),
    ("vnet", "mac", "BC:24:11:00:00:99", NOT_KNOWN),
    ("subnet", "subnet", "198.51.100.0", looks("CIDR network")),
    ("subnet", "subnet", "198.0.0.0/7", looks("CIDR network")),
    ("subnet", "subnet", "198.51.100.0/33", looks("CIDR network")),
    ("subnet", "gateway", "198.51.100.300", looks("IP address")),
    ("subnet", "dhcp-range", "", "type check ('array') failed"),
    ("subnet", "dhcp-dns-server", "", looks("IP address")),
    ("subnet", "snat", "true", boolean("true")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "value", "words"), REFUSED)
def test_a_wrong_value_is_named(api: SdnClient, kind: str, name: str, value: object, words: str) -> None:
    assert api.wrong("POST", PATHS[kind], **{**BASES[kind], name: value}) == {name: words}


@pytest.mark.parametrize("value", ["start-address=198.51.100.9", "198.51.100.9", "start-address=a,end-address=b,x=c"])
def test_an_element_of_an_array_is_named_with_its_place(api: SdnClient, value: str) -> None:
    assert list(api.wrong("POST", PATHS["subnet"], **SUBNET, dhcp_range=value)) == ["dhcp-range[0]"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("controller", "controller"), ("controller", "type"), ("zone", "zone"), ("zone", "type"), ("vnet", "vnet"),
     ("vnet", "zone"), ("subnet", "subnet"), ("subnet", "type")],
)  # fmt: skip
def test_what_every_type_needs_is_missed(api: SdnClient, kind: str, name: str) -> None:
    params = {key: value for key, value in BASES[kind].items() if key != name}
    assert api.wrong("POST", PATHS[kind], **params) == {name: MISSING}


def test_everything_that_is_wrong_is_said_at_once(api: SdnClient) -> None:
    given = {"zone": "z", "type": "evpn", "vrf-vxlan": "many", "mtu": "", "colour": "red"}
    assert set(api.wrong("POST", "/zones", **given)) == {"zone", "vrf-vxlan", "mtu", "colour"}


@pytest.mark.parametrize("path", ["/controllers/c1", "/zones/z1", "/vnets/v1"])
def test_a_type_is_no_parameter_of_an_update(api: SdnClient, path: str) -> None:
    assert api.wrong("PUT", path, type="evpn") == {"type": NOT_KNOWN}


def test_an_id_of_the_path_may_be_repeated_but_not_contradicted(api: SdnClient) -> None:
    api.do("PUT", "/zones/z1", zone="z1", mtu=1400)
    words = "duplicate parameter (already defined in URI) with conflicting values!"
    assert api.wrong("PUT", "/zones/z1", zone="z2", mtu=1400) == {"zone": words}


@pytest.mark.parametrize("path", ["/zones", "/zones/z1", "/vnets", "/vnets/v1/subnets", "/controllers/c1"])
def test_views_are_booleans(api: SdnClient, path: str) -> None:
    assert api.wrong("GET", path, pending="yes") == {"pending": boolean("yes")}
    assert api.wrong("GET", path, view="pending") == {"view": NOT_KNOWN}


# --- what the type takes: a 500, and no parameter named ---------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changed", "words"),
    [
        ("controller", {"node": "pve1"}, "unexpected property 'node'\n"),
        ("controller", {"type": "bgp", "node": "pve1", "fabric": "fab1"}, "unexpected property 'fabric'\n"),
        ("controller", {"type": "bgp"}, "missing value for required option 'node'\n"),
        ("zone", {"bridge": "vmbr0"}, "unexpected property 'bridge'\n"),
        ("zone", {"dhcp": "dnsmasq"}, "unexpected property 'dhcp'\n"),
        ("zone", {"controller": None}, "got undefined value for option 'controller'\n"),
    ],
)  # fmt: skip
def test_what_the_type_does_not_take_or_misses(api: SdnClient, kind: str, changed: dict[str, Any], words: str) -> None:
    assert api.refusal("POST", PATHS[kind], **{**BASES[kind], **changed}) == words


def test_a_missing_option_of_the_type_is_found_before_the_lock(api: SdnClient) -> None:
    api.do("POST", "/lock", allow_pending=1)
    assert api.refusal("POST", "/zones", zone="z9", type="vlan") == "missing value for required option 'bridge'\n"


def test_an_update_says_it_with_its_prefix(api: SdnClient) -> None:
    assert api.refusal("PUT", "/zones/z1", bridge="vmbr0").startswith("update sdn zone object failed: unexpected")


# --- JSON -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [({"a": 1}, "type check ('integer') failed - got HASH"), ([1], "type check ('integer') failed - got ARRAY"),
     (True, "type check ('integer') failed - got JSON::PP::Boolean"), (1450.5, integer("1450.5"))],
)  # fmt: skip
def test_json_of_the_wrong_type_is_named(api: SdnClient, value: object, words: str) -> None:
    assert api.wrong("PUT", "/zones/z1", mtu=value) == {"mtu": words}


@pytest.mark.parametrize(("value", "stored"), [("1450", 1450), (1450.0, 1450), ("+1450", 1450), ("0001450", 1450)])
def test_integers_in_all_their_clothes(api: SdnClient, value: object, stored: int) -> None:
    api.do("PUT", "/zones/z1", mtu=value)
    assert api.get("/zones/z1")["mtu"] == stored


@pytest.mark.parametrize(("value", "stored"), [(True, 1), (False, 0), (1, 1), ("0", 0)])
def test_booleans_come_back_as_numbers(api: SdnClient, value: object, stored: int) -> None:
    api.do("PUT", "/vnets/v1", isolate_ports=value)
    assert api.get("/vnets/v1")["isolate-ports"] == stored


def test_null_never_deletes(api: SdnClient) -> None:
    api.do("PUT", "/zones/z1", mtu=1400)
    assert api.refusal("PUT", "/zones/z1", mtu=None).endswith("got undefined value for option 'mtu'\n")
    assert api.get("/zones/z1")["mtu"] == 1400


def test_a_name_server_needs_its_address_and_key_at_once(empty: SdnClient) -> None:
    """There is one type of them, so the schema knows what it needs; what no type takes it knows for a new one only."""
    missing = "property is missing and it is not optional"
    assert empty.wrong("POST", "/dns", dns="ns1", type="powerdns") == {"key": missing, "url": missing}
    server = {"dns": "ns1", "type": "powerdns", "key": "k", "url": "http://192.0.2.53:8081/api"}
    assert empty.refusal("POST", "/dns", **server, reversev6mask=64) == "unexpected property 'reversev6mask'\n"
    empty.do("POST", "/dns", **server)
    assert empty.wrong("PUT", "/dns/ns1", reversev6mask=64).keys() == {"reversev6mask"}
    empty.do("PUT", "/dns/ns1", ttl=60)
