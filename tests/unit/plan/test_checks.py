"""The checks of the plan, one by one: what each refuses, what it lets pass, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan import checks
from pve_evpn.domain.plan.candidates import Candidate, ControllerCandidate, VNetCandidate, ZoneCandidate
from pve_evpn.domain.plan.context import PlanContext
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot
from pve_evpn.domain.state import NodeState, PveVersion
from tests.unit.plan.world import controller, desired, foreign_vnet, foreign_zone, observed, sdn, vnet, zone

_KINDS: dict[str, type[Candidate[Any]]] = {
    "EvpnController": ControllerCandidate,
    "EvpnZone": ZoneCandidate,
    "VNet": VNetCandidate,
}


def context(*others: Resource[Any], snapshot: SdnSnapshot | None = None, **state: Any) -> PlanContext:
    return PlanContext(desired(*others), observed(snapshot, **state), frozenset(), {}, False)


def candidate(item: Resource[Any], *others: Resource[Any], **world: Any) -> Any:
    return _KINDS[item.key.kind](item, item.spec, context(item, *others, **world))


def evpn(name: str, **props: Any) -> SdnObject:
    return SdnObject(SdnRef(SdnKind.CONTROLLER, name), "evpn", {"asn": "65001", **props})


def subnet(vnet_id: str, name: str) -> SdnObject:
    return SdnObject(SdnRef(SdnKind.SUBNET, name), "subnet", {}, vnet_id)


@pytest.mark.parametrize(
    ("spec", "version", "refused"),
    [
        ({"bgpMode": "External"}, PveVersion(9, 1), True),
        ({"bgpMode": "External"}, PveVersion(9, 2), False),
        ({}, PveVersion(9, 1), False),
    ],
)
def test_a_field_of_a_newer_release_is_named(spec: dict[str, Any], version: PveVersion, refused: bool) -> None:
    problem = checks.release_has_fields(candidate(controller(**spec), version=version))
    assert (problem is not None) == refused
    assert problem is None or (problem.reason, problem.message[:8]) == (Reason.VERSION_UNSUPPORTED, "bgpMode:")


def test_before_9_2_there_is_room_for_one_controller_even_one_of_another_client() -> None:
    there = sdn(evpn("theirs"))
    problem = checks.release_has_room(candidate(controller(), snapshot=there, version=PveVersion(9, 1)))
    assert problem is not None
    assert "'theirs' is there" in problem.message
    assert checks.release_has_room(candidate(controller(), snapshot=there)) is None


def test_a_fabric_must_be_there_and_is_not_judged_where_fabrics_cannot_be_read() -> None:
    item = controller(underlay={"fabric": "Nope"})
    problem = checks.fabric_exists(candidate(item))
    assert problem is not None
    assert problem.retryable
    assert checks.fabric_exists(candidate(item, snapshot=SdnSnapshot({}, {}))) is None


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (controller(nodes=["pve9"]), "nodes"),
        (zone(nodes=["pve1", "pve9"]), "nodes"),
        (zone(exitNodes={"nodes": ["pve9"]}), "exitNodes.nodes"),
    ],
)
def test_an_unknown_node_is_named_with_its_field(item: Resource[Any], field: str) -> None:
    problem = checks.nodes_exist(candidate(item))
    assert problem is not None
    assert problem.message.startswith(f"{field}: the Proxmox cluster has no node pve9 ")


def test_a_node_without_an_address_in_the_network_is_named() -> None:
    nodes = {"pve1": NodeState("pve1", True, addresses=("192.168.16.1/24",)), "pve2": NodeState("pve2", True)}
    item = controller(underlay={"clusterNodes": {"cidr": "192.168.16.0/24"}})
    problem = checks.peers_have_addresses(candidate(item, nodes=nodes))
    assert problem is not None
    assert problem.message.endswith("no address in 192.168.16.0/24 on pve2")


def test_two_evpn_controllers_need_two_peer_groups() -> None:
    there = sdn(evpn("theirs"))
    assert checks.controllers_agree(candidate(controller(), snapshot=there)) is not None
    assert checks.controllers_agree(candidate(controller(peerGroupName="SPINE"), snapshot=there)) is None


def test_every_controller_that_a_zone_names_must_be_desired() -> None:
    item = zone(secondaryControllerRefs=[{"name": "evpn2"}])
    problem = checks.controllers_exist(candidate(item, controller()))
    assert problem is not None
    assert problem.message.startswith("secondaryControllerRefs: there is no EvpnController 'evpn2'")
    assert checks.controllers_exist(candidate(item, controller(), controller("evpn2"))) is None


@pytest.mark.parametrize(
    ("allowed", "admitted"),
    [
        ({"from": "All"}, True),
        ({"from": "None"}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}, False),
    ],
)
def test_a_zone_admits_namespaces(allowed: dict[str, Any], admitted: bool) -> None:
    problem = checks.zone_admits(candidate(vnet(), zone(allowedNamespaces=allowed)))
    assert (problem is None) == admitted


def test_a_vni_in_use_names_its_holder() -> None:
    there = sdn(foreign_zone(), foreign_vnet(vni=5001))
    problem = checks.vni_is_free(candidate(vnet(), zone(), snapshot=there))
    assert problem is not None
    assert problem.detail == "vni: VNI 5001 is already used by Proxmox vnet theirnet"
    assert problem.message == "vni: VNI 5001 is already in use; choose another one"


def test_a_vlan_tag_is_no_vni() -> None:
    vlans = SdnObject(SdnRef(SdnKind.ZONE, "theirs"), "vlan", {"bridge": "vmbr0"})
    assert checks.vni_is_free(candidate(vnet(), zone(), snapshot=sdn(vlans, foreign_vnet(vni=5001)))) is None


@pytest.mark.parametrize(
    ("cidr", "holder"),
    [("10.1.2.0/24", "theirnet"), ("10.0.0.0/8", "theirnet"), ("10.2.0.0/16", None), ("fd00::/64", None)],
)
def test_subnets_of_two_vnets_of_a_zone_are_apart(cidr: str, holder: str | None) -> None:
    there = sdn(foreign_vnet(zone_id="zone1"), subnet("theirnet", "zone1-10.1.0.0-16"))
    problem = checks.subnets_are_apart(candidate(vnet(subnets=[{"cidr": cidr}]), zone(), snapshot=there))
    assert (problem is not None) == (holder is not None)
    assert holder is None or (problem and f"overlaps 10.1.0.0/16 of VNet {holder}" in problem.full)


def test_subnets_of_other_zones_and_of_the_vnet_itself_do_not_count() -> None:
    there = sdn(subnet("theirnet", "zone2-10.1.0.0-16"), subnet("net1", "zone1-10.1.0.0-16"))
    assert checks.subnets_are_apart(candidate(vnet(subnets=[{"cidr": "10.1.2.0/24"}]), zone(), snapshot=there)) is None


def _with_interfaces(**names: frozenset[str] | None) -> dict[str, NodeState]:
    return {name: NodeState(name, True, interfaces=found) for name, found in names.items()}


@pytest.mark.redteam
def test_a_vnet_is_not_named_like_an_interface_of_a_node() -> None:
    nodes = _with_interfaces(pve1=frozenset({"uplink"}), pve2=None, pve3=frozenset({"uplink", "vmbr0"}))
    problem = checks.names_no_interface(candidate(vnet("uplink"), zone(), nodes=nodes))
    assert problem is not None
    assert problem.reason is Reason.ID_CONFLICT
    assert "pve1, pve3 has an interface uplink of its own" in problem.message
    assert checks.names_no_interface(candidate(vnet("web"), zone(), nodes=nodes)) is None


@pytest.mark.parametrize("device", ["vrf_zone1", "vrfbr_zone1", "vrfvx_zone1", "xvrf_zone1", "xvrfp_zone1"])
def test_the_devices_of_a_zone_are_nobody_elses(device: str) -> None:
    item, nodes = zone(), _with_interfaces(pve1=frozenset({device}))
    problem = checks.names_no_interface(candidate(item, controller(), nodes=nodes))
    assert problem is not None
    assert f"pve1 has an interface {device} of its own" in problem.message


@pytest.mark.parametrize(
    "name", ["vmbr0", "lo", "eth0", "eno1", "enp3s0", "bond0", "tap1i0", "vxlan5", "all", "default"]
)
def test_a_vnet_is_not_named_as_tools_name_interfaces_even_where_no_node_could_be_read(name: str) -> None:
    problem = checks.names_no_interface(candidate(vnet(name), zone()))
    assert problem is not None
    assert "another spec.id" in problem.message
    assert checks.names_no_interface(candidate(vnet(name, id="web"), zone())) is None


@pytest.mark.parametrize("name", ["web", "ethics", "energy", "london", "endpoint", "brlab", "tenant1"])
def test_ordinary_names_are_no_interfaces(name: str) -> None:
    assert checks.names_no_interface(candidate(vnet(name), zone())) is None


def test_an_id_that_another_object_has_is_refused_with_its_name() -> None:
    found = candidate(zone(), controller())
    found.context.claim(found.ref, zone("older").key)
    problem = checks.id_is_free(found)
    assert problem is not None
    assert "already belongs to EvpnZone older" in problem.full


def test_what_another_client_made_is_not_taken_over_unasked() -> None:
    there = sdn(foreign_zone("zone1", vni=7))
    problem = checks.may_be_owned(candidate(zone(), controller(), snapshot=there))
    assert problem is not None
    assert (problem.reason, "vrf-vxlan: 7 instead of 100001" in problem.message) == (Reason.FOREIGN_OBJECT, True)
    assert checks.may_be_owned(candidate(zone(adoptionPolicy="Always"), controller(), snapshot=there)) is None
