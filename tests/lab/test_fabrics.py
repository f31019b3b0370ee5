"""Fabrics, their nodes, route maps and prefix lists: two copies, and rules of their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.clients import CONTROLLER, LabClient

FABRICS, NODES = "/cluster/sdn/fabrics/fabric", "/cluster/sdn/fabrics/node"
MAPS, LISTS = "/cluster/sdn/route-maps/entries", "/cluster/sdn/prefix-lists"
OPEN = {"id": "open1", "protocol": "openfabric", "ip_prefix": "10.9.0.0/24", "hello_interval": 2}


def states(pve: LabClient) -> dict[str, Any]:
    rows = pve.get("/cluster/sdn/fabrics/all", pending=1)["fabrics"]
    return {row.get("id") or row["pending"]["id"]: row.get("state") for row in rows}


def test_a_new_fabric_shows_all_of_itself_as_pending_until_it_is_applied(pve: LabClient) -> None:
    pve.post(FABRICS, **OPEN)
    row = next(row for row in pve.get(FABRICS, pending=1) if row.get("state") == "new")
    assert row == {"pending": {**OPEN}, "state": "new", "digest": row["digest"]}
    assert states(pve) == {"Fabric1": None, "open1": "new"}
    assert [row["id"] for row in pve.get(FABRICS, running=1)] == ["Fabric1"]
    pve.put("/cluster/sdn")
    assert states(pve) == {"Fabric1": None, "open1": None}
    assert next(row for row in pve.get(FABRICS, running=1) if row["id"] == "open1") == OPEN


def test_changes_and_deletions_are_staged_and_can_be_rolled_back(pve: LabClient) -> None:
    pve.post(FABRICS, **OPEN)
    pve.put("/cluster/sdn")
    pve.put(f"{FABRICS}/open1", protocol="openfabric", hello_interval=9)
    assert pve.get(f"{FABRICS}/open1")["hello_interval"] == 9
    pve.put(f"{FABRICS}/open1", protocol="openfabric", delete=["hello_interval"])
    row = next(row for row in pve.get(FABRICS, pending=1) if row["id"] == "open1")
    assert (row["state"], row["pending"]) == ("changed", {"hello_interval": "deleted"})
    pve.delete(f"{FABRICS}/open1")
    assert states(pve)["open1"] == "deleted"
    pve.post("/cluster/sdn/rollback")
    assert states(pve)["open1"] is None


def test_the_locks_look_for_pending_changes_passes_over_fabrics(pve: LabClient) -> None:
    pve.post(FABRICS, **OPEN)
    token = pve.post("/cluster/sdn/lock")
    pve.post("/cluster/sdn/rollback", lock_token=token)
    assert "open1" not in states(pve), "a rollback takes them with it all the same"


def test_under_a_lock_even_a_deletion_wants_the_token(pve: LabClient) -> None:
    pve.post(FABRICS, **OPEN)
    token = pve.post("/cluster/sdn/lock", allow_pending=1)
    for method, path, params in (
        ("POST", FABRICS, {**OPEN, "id": "open2"}),
        ("PUT", f"{FABRICS}/open1", {"protocol": "openfabric", "hello_interval": 3}),
        ("DELETE", f"{FABRICS}/open1", {}),
        ("DELETE", f"{NODES}/Fabric1/pve1", {}),
    ):
        assert "invalid lock token" in pve.message(method, path, **params)
    pve.delete(f"{FABRICS}/open1", lock_token=token)


def test_a_fabric_in_use_is_not_deleted_but_its_nodes_are_unguarded(pve: LabClient) -> None:
    pve.post("/cluster/sdn/controllers", **{**CONTROLLER, "peers": ""} | {"fabric": "Fabric1"})
    text = pve.message("DELETE", f"{FABRICS}/Fabric1")
    assert text.startswith('deleting fabric failed: this fabric is still used in the EVPN controller "c1"')
    pve.delete(f"{NODES}/Fabric1/pve1")
    pve.delete("/cluster/sdn/controllers/c1")
    pve.delete(f"{FABRICS}/Fabric1")
    assert pve.get(NODES) == []


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"id": "Fabric1"}, "fabric 'Fabric1' already exists in config"),
        ({"ip_prefix": "192.168.0.0/16"}, "overlaps with IPv4 prefix 192.168.16.0/24 in fabric 'Fabric1'"),
        ({"area": "1"}, "unknown field `area`"),
        ({"protocol": "ospf"}, "unknown field `hello_interval`"),
    ],
)
def test_what_a_fabric_may_not_be(pve: LabClient, params: dict[str, str], named: str) -> None:
    text = pve.message("POST", FABRICS, **{**OPEN, **params})
    assert text.startswith("adding fabric failed: ")
    assert named in text


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"protocol": "ospf", "ip_prefix": "10.9.0.0/24"}, "missing field `area`"),
        ({"protocol": "ospf", "ip_prefix": "10.9.0.0/24", "area": "0"}, "duplicate OSPF area"),
        ({"protocol": "openfabric"}, "does not have an IP prefix configured"),
    ],
)
def test_what_a_fabric_needs(pve: LabClient, params: dict[str, str], named: str) -> None:
    assert named in pve.message("POST", FABRICS, id="open1", **params)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"node_id": "pve1"}, "node 'pve1' already exists in config for fabric Fabric1"),
        ({"ip": "10.0.0.1"}, "node IP 10.0.0.1 is outside the IP prefix 192.168.16.0/24 of the fabric"),
        ({"ip": "192.168.16.1"}, "fabric Fabric1 contains nodes with duplicated IPs"),
        ({"protocol": "openfabric"}, "node has a different protocol than the referenced fabric"),
        ({"interfaces": ["name=eno2,hello_multiplier=3"]}, "unknown field `hello_multiplier`"),
    ],
)
def test_what_a_node_may_not_be(pve: LabClient, params: dict[str, Any], named: str) -> None:
    node = {"node_id": "pve9", "protocol": "ospf", "ip": "192.168.16.9", "interfaces": ["name=eno1"]}
    text = pve.message("POST", f"{NODES}/Fabric1", **{**node, **params})
    assert text.startswith("adding node failed: ")
    assert named in text


def test_nodes_come_and_go(pve: LabClient) -> None:
    node = {"node_id": "pve9", "protocol": "ospf", "ip": "192.168.16.9", "interfaces": ["name=eno1"]}
    pve.post(f"{NODES}/Fabric1", **node)
    assert pve.get(f"{NODES}/Fabric1/pve9")["ip"] == "192.168.16.9"
    pve.put(f"{NODES}/Fabric1/pve9", ip="192.168.16.10", protocol="ospf")
    rows = pve.get("/cluster/sdn/fabrics/all", pending=1)["nodes"]
    new = next(row for row in rows if row.get("state"))
    assert (new["state"], new["pending"]["node_id"], new["pending"]["ip"]) == ("new", "pve9", "192.168.16.10")
    pve.delete(f"{NODES}/Fabric1/pve9")
    assert "does not exist in fabric" in pve.message("GET", f"{NODES}/Fabric1/pve9")


def test_a_fabric_is_changed_only_as_it_was_read(pve: LabClient) -> None:
    digest = pve.get(f"{FABRICS}/Fabric1")["digest"]
    pve.post(FABRICS, **OPEN)
    text = pve.message("PUT", f"{FABRICS}/Fabric1", protocol="ospf", area="1", digest=digest)
    assert "detected modified configuration" in text


def test_what_nodes_say_of_a_fabric(pve: LabClient) -> None:
    rows = pve.get("/nodes/pve1/sdn/fabrics/Fabric1/neighbors")
    assert {row["neighbor"]: row["status"] for row in rows} == dict.fromkeys(
        ("192.168.16.2", "192.168.16.3", "192.168.16.4"), "Full/-"
    )
    assert len(pve.get("/nodes/pve1/sdn/fabrics/Fabric1/routes")) == 3


# --- policies ---------------------------------------------------------------------------------------------------------


def test_route_maps_are_staged(pve: LabClient) -> None:
    pve.post(MAPS, route_map_id="rm1", order=10, action="permit", match=["key=vni,value=5001"])
    row = pve.get(MAPS, pending=1)[0]
    assert (row["state"], row["pending"]["route-map-id"]) == ("new", "rm1")
    assert pve.get(MAPS, running=1) == []
    pve.put("/cluster/sdn")
    assert pve.get(MAPS, running=1) == [
        {"route-map-id": "rm1", "order": 10, "action": "permit", "match": ["key=vni,value=5001"]}
    ]
    pve.put(f"{MAPS}/rm1/entry/10", action="deny", delete=["match"])
    assert pve.get(MAPS, pending=1)[0]["pending"] == {"action": "deny", "match": "deleted"}
    pve.delete(f"{MAPS}/rm1/entry/10")
    assert pve.get(MAPS, pending=1)[0]["state"] == "deleted"


def test_prefix_lists_are_staged_and_numbered(pve: LabClient) -> None:
    pve.post(LISTS, id="pl1", entries=["action=permit,prefix=10.0.0.0/8", "action=deny,prefix=0.0.0.0/0,seq=2"])
    assert pve.get(f"{LISTS}/pl1/entries") == [
        {"action": "deny", "prefix": "0.0.0.0/0", "seq": 2},
        {"action": "permit", "prefix": "10.0.0.0/8", "seq": 5},
    ]
    assert pve.get(LISTS) == [{"id": "pl1"}]
    assert pve.get(LISTS, pending=1) == [{"id": "pl1", "state": "new"}]
    whole = pve.get(LISTS, pending=1, verbose=1)[0]
    assert (whole["state"], whole["pending"]["id"]) == ("new", "pl1")
    pve.put(f"{LISTS}/pl1/entries/5", le=16)
    assert pve.get(f"{LISTS}/pl1/entries/5")["le"] == 16
    pve.delete(f"{LISTS}/pl1/entries/5")
    pve.put("/cluster/sdn")
    assert pve.get(LISTS, running=1, verbose=1) == [{"id": "pl1", "entries": ["action=deny,prefix=0.0.0.0/0,seq=2"]}]


def test_a_prefix_list_in_use_stays(pve: LabClient) -> None:
    pve.post(LISTS, id="pl1")
    pve.post(MAPS, route_map_id="rm1", order=10, action="permit", match=["key=ip-address-prefix-list,value=pl1"])
    text = pve.message("DELETE", f"{LISTS}/pl1")
    assert "prefix list pl1 is still referenced by route map entry rm1 #10" in text


def test_what_is_not_there_is_a_parameter_error_here(pve: LabClient) -> None:
    assert pve.errors("GET", f"{LISTS}/pl9") == {"id": "pl9 doesn't exist"}
    assert pve.errors("GET", f"{MAPS}/rm9/entry/10") == {"route-map-id": "rm9_10 doesn't exist"}


@pytest.mark.parametrize("path", ["/cluster/sdn/fabrics/fabric/Fabric1", "/cluster/sdn/fabrics/node/Fabric1/pve1"])
def test_one_fabric_or_node_is_shown_as_edited_only(pve: LabClient, path: str) -> None:
    """The lists know views, these two methods do not."""
    assert pve.errors("GET", path, pending=1).keys() == {"pending"}
    assert pve.errors("GET", path, running=1).keys() == {"running"}


def test_wireguard_makes_the_keys_of_interfaces_and_asks_no_address_of_external_nodes(pve: LabClient) -> None:
    pve.post(FABRICS, id="wg1", protocol="wireguard", ip_prefix="10.9.0.0/24")
    node = {"node_id": "pve1", "protocol": "wireguard", "role": "internal", "ip": "10.9.0.1"}
    pve.post(f"{NODES}/wg1", **node, interfaces=["name=wg0,listen_port=51820"])
    (interface,) = pve.get(f"{NODES}/wg1/pve1")["interfaces"]
    assert interface.startswith("name=wg0,listen_port=51820,public_key=")
    pve.put(f"{NODES}/wg1/pve1", protocol="wireguard", role="internal", interfaces=[interface], ip="10.9.0.2")
    assert pve.get(f"{NODES}/wg1/pve1")["interfaces"] == [interface]
    far = {"node_id": "far", "protocol": "wireguard", "role": "external", "endpoint": "203.0.113.1:1"}
    pve.post(f"{NODES}/wg1", **far, public_key="A" * 43 + "=")
    assert "ip" not in pve.get(f"{NODES}/wg1/far")
    assert "unknown field `private_key`" in pve.message(
        "PUT", f"{NODES}/wg1/pve1", protocol="wireguard", interfaces=["name=wg0,private_key=x"]
    )
