"""What an observation means for each object, situation by situation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pve_evpn.api.kinds import KINDS
from pve_evpn.api.node import EvpnNodeSpec
from pve_evpn.api.status import as_written, updated
from pve_evpn.domain.health import Assessment, Suspects, assess
from pve_evpn.domain.health.expected import (
    ExpectedController,
    ExpectedNic,
    ExpectedOverlay,
    ExpectedVNet,
    ExpectedZone,
    Nic,
)
from pve_evpn.domain.health.object_health import Health
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import ClusterObservation, EvpnRoute, MacIp, NodeObservation
from pve_evpn.domain.state import NodeState
from tests.unit.health.overlay import L3_VNI, VM1, VNI, Overlay
from tests.unit.observe import recorded
from tests.unit.plan.world import with_status

CONTROLLER = ObjectKey("EvpnController", "", "evpn1")
ZONE = ObjectKey("EvpnZone", "", "ezone1")
VNET = ObjectKey("VNet", "default", "evpn1")
NIC = ObjectKey("NicAttachment", "default", "vm1-net0")


def node_key(name: str) -> ObjectKey:
    return ObjectKey("EvpnNode", "", f"pve-{name}")


class Bench:
    """What is expected of an overlay; statuses are remembered as the engine would write them."""

    def __init__(self, size: int = 4) -> None:
        self.overlay = Overlay(size)
        names = self.overlay.names
        self.expected = ExpectedOverlay(
            members={name: NodeState(name, True, self.overlay.address(name)) for name in names},
            controllers=(
                ExpectedController(CONTROLLER, "evpn1", None, {name: (self.overlay.address(name),) for name in names}),
            ),
            zones=(ExpectedZone(ZONE, "EZone1", L3_VNI, tuple(names)),),
            vnets=(ExpectedVNet(VNET, "EVPN1", VNI, "EZone1", tuple(names)),),
            nics=(ExpectedNic(NIC, Nic(VM1, VNI, names[-1]), "EVPN1"),),
            names={VNI: "EVPN1", L3_VNI: "EZone1"},
        )
        keys = [CONTROLLER, ZONE, VNET, NIC, *(node_key(name) for name in names)]
        self.objects = {key: resource(key) for key in keys}
        self.suspects: Suspects = {}
        self.assessment = Assessment()

    def assess(self, observation: ClusterObservation | None = None) -> Assessment:
        return assess(self.expected, observation or self.overlay.seen(), self.objects, self.suspects)

    def poll(self, observation: ClusterObservation | None = None, seconds: int = 15) -> dict[ObjectKey, Health]:
        """Assess, and remember it as reported."""
        self.overlay.now += timedelta(seconds=seconds)
        assessment = self.assessment = self.assess(observation)
        self.suspects = assessment.suspects
        for key, health in assessment.health.items():
            self.objects[key] = reported(self.objects[key], health)
        return dict(assessment.health)

    def nic(self, observation: ClusterObservation | None = None) -> dict[str, Any]:
        return dict(shown(self.poll(observation)[NIC])["evpn"])

    def home(self, node: str | None, *, running: bool = True, advertises: bool = True) -> None:
        (nic,) = self.expected.nics
        self.expected = replace(
            self.expected,
            nics=(replace(nic, nic=replace(nic.nic, home=node, running=running), advertises=advertises),),
        )


def resource(key: ObjectKey) -> Resource[Any]:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    spec = None
    if key.kind == "EvpnNode":
        name = key.name.removeprefix("pve-")
        spec = EvpnNodeSpec.model_validate({"clusterRef": {"name": "pve"}, "node": name})
    return Resource(key, f"uid-{key.name}", 1, 1, created, False, (), {}, {}, spec, KINDS[key.kind].status_model())


def shown(health: Health) -> dict[str, Any]:
    """Its part of the status as it is written; None where a field is removed."""
    fields = type(health.status).model_fields
    named = (fields[name].alias or name for name in health.status.model_fields_set)
    return {**dict.fromkeys(named), **as_written(health.status)}


def reported(before: Resource[Any], health: Health) -> Resource[Any]:
    """As the report writes it: a merge patch, and the condition."""
    verdict = health.operational
    condition = {
        "type": "Operational", "status": verdict.word, "reason": str(verdict.reason), "message": verdict.message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    after = replace(before, status=updated(before.status, health.status))
    status: dict[str, Any] = {"conditions": [condition]}
    if before.key.kind == "VNet":
        rows = {name: as_written(row) for name, row in health.rows.items()}
        status["nodes"] = [{**row, "name": name, "state": "Available"} for name, row in rows.items()]
    return with_status(after, status)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def words(health: Health) -> tuple[str, str]:
    return health.operational.word, str(health.operational.reason)


# --- a healthy overlay -------------------------------------------------------------------------------------------


def test_a_healthy_overlay_in_every_object(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4", "10.60.0.100")
    health = bench.poll()
    assert {words(h) for h in health.values()} == {("True", "Operational"), ("True", "Advertised")}
    controller = shown(health[CONTROLLER])
    assert (controller["sessions"], controller["sessionsSummary"]) == ({"established": 12, "expected": 12}, "12/12")
    assert controller["nodes"][0] == {"name": "pve1", "established": 3, "expected": 3}
    assert as_written(health[VNET].rows["pve1"]) == {"macs": 0, "arpNd": 0, "remoteVteps": 3}
    assert shown(health[VNET])["routes"] == {"type2": 2, "type3": 4}
    assert shown(health[ZONE])["ipVrf"]["routerMacs"][0] == "62:ae:00:00:00:01"
    assert shown(health[ZONE])["ipVrf"]["nodes"][3] == {
        "name": "pve4", "routerMac": "62:ae:00:00:00:04", "prefixes": 4,
    }  # fmt: skip
    node = shown(health[node_key("pve1")])
    assert (node["frrVersion"], node["routerId"], node["asn"], node["sessions"]) == (
        "10.3",
        "192.168.16.1",
        65001,
        "3/3",
    )
    assert node["peers"][0] == {
        "address": "192.168.16.2", "node": "pve2", "remoteAs": 65001, "state": "Established",
        "since": node["peers"][0]["since"], "prefixesReceived": 1, "prefixesSent": 1,
    }  # fmt: skip
    assert [(row["vni"], row["type"], row["vnet"]) for row in node["vnis"]] == [
        (VNI, "L2", "EVPN1"), (L3_VNI, "L3", "EZone1"),
    ]  # fmt: skip
    assert shown(health[NIC])["evpn"] == {
        "verdict": "Advertised", "since": "2026-01-05T12:00:15Z", "announcedBy": "pve4", "ips": ["10.60.0.100"],
        "mobilitySequence": 0, "seenBy": 4,
    }  # fmt: skip
    assert {shown(h)["source"] for h in health.values()} == {"ssh"}


def test_prefixes_of_a_vnets_subnets_are_counted_with_it(bench: Bench) -> None:
    vnet = replace(bench.expected.vnets[0], subnets=("10.0.0.0/24", "10.9.0.0/24"))
    bench.expected = replace(bench.expected, vnets=(vnet,))
    assert shown(bench.poll()[VNET])["routes"] == {"type2": 0, "type3": 4, "type5": 4}


def test_a_quiet_overlay_says_the_same_again_and_again(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    first = bench.poll()
    for _ in range(50):
        assert bench.poll(seconds=7) == first


def test_observed_at_moves_when_something_changes_and_not_before(bench: Bench) -> None:
    first = shown(bench.poll()[VNET])["observedAt"]
    assert shown(bench.poll()[VNET])["observedAt"] == first
    bench.overlay.flood_gaps = {("pve1", "pve2")}
    assert shown(bench.poll()[VNET])["observedAt"] > first


# --- sessions ----------------------------------------------------------------------------------------------------


def test_a_dead_bgpd_is_named_on_every_object_it_concerns(bench: Bench) -> None:
    bench.poll()
    bench.overlay.stopped = {"pve2"}
    health = bench.poll()
    assert words(health[CONTROLLER]) == ("False", "SessionDown")
    assert health[CONTROLLER].operational.message == (
        "BGP EVPN is not running on pve2; none of pve1, pve3, pve4 has a session with it"
    )
    assert shown(health[CONTROLLER])["sessionsSummary"] == "6/12"
    assert health[node_key("pve2")].operational.message == "BGP EVPN is not running on pve2"
    assert shown(health[node_key("pve2")])["sessions"] == "0/3"
    assert "pve1 to pve2 (192.168.16.2) is Active: BFD down received" in health[node_key("pve1")].operational.message
    for key in (ZONE, VNET):
        assert words(health[key]) == ("False", "SessionDown")
        assert health[key].operational.message == "BGP EVPN is not running on pve2"
    bench.overlay.stopped = set()
    assert words(bench.poll()[CONTROLLER]) == ("True", "Operational")


def test_one_session_down_is_named_with_both_ends(bench: Bench) -> None:
    bench.overlay.down = {frozenset(("pve1", "pve3"))}
    health = bench.poll()
    assert words(health[CONTROLLER]) == ("False", "SessionDown")
    assert "pve1 to pve3 (192.168.16.3)" in health[CONTROLLER].operational.message
    assert shown(health[CONTROLLER])["sessionsSummary"] == "10/12"
    assert words(health[node_key("pve2")]) == ("True", "Operational")


def test_a_dead_peer_says_the_same_whatever_frr_is_trying(bench: Bench) -> None:
    bench.overlay.down = {frozenset(("pve1", "pve3"))}
    first = bench.poll()
    for word in ("Connect", "Active", "Idle", "OpenSent"):
        bench.overlay.down_word = word
        assert bench.poll() == first
    bench.overlay.down_word = "Idle (Admin)"
    health = bench.poll()
    assert "pve1 to pve3 (192.168.16.3) is Idle (Admin)" in health[CONTROLLER].operational.message
    assert shown(health[node_key("pve1")])["peers"][1]["state"] == "Idle (Admin)"
    bench.overlay.down_word = "Connect"
    assert shown(bench.poll()[node_key("pve1")])["peers"][1]["state"] == "Connect"


def test_a_node_left_out_of_the_peers_is_found(bench: Bench) -> None:
    addresses = {name: (bench.overlay.address(name),) for name in bench.overlay.names}
    peers = tuple(bench.overlay.address(name) for name in ("pve1", "pve2", "pve3"))
    bench.expected = replace(bench.expected, controllers=(ExpectedController(CONTROLLER, "evpn1", peers, addresses),))
    bench.overlay.strangers = {"pve4"}
    health = bench.poll()
    assert words(health[CONTROLLER]) == ("False", "NodeMissingFromPeers")
    assert health[CONTROLLER].operational.message.startswith("pve4 is in the overlay but not among the peers")
    assert words(health[node_key("pve4")]) == ("False", "NodeMissingFromPeers")
    assert words(health[node_key("pve1")]) == ("True", "Operational")
    # Its guests are cut off, which the VNet says.
    assert words(health[VNET]) == ("False", "NoRemoteVteps")
    assert "pve4" in health[VNET].operational.message


def off_with_listed_peers(bench: Bench, addresses: tuple[str, ...] | None) -> dict[ObjectKey, Health]:
    """pve4 is switched off, and that is what is known of its addresses."""
    names = bench.overlay.names
    peers = tuple(bench.overlay.address(name) for name in names)
    known = {**{name: (bench.overlay.address(name),) for name in names}, "pve4": addresses}
    members = {**bench.expected.members, "pve4": NodeState("pve4", False, "10.9.9.4")}
    bench.expected = replace(
        bench.expected, members=members, controllers=(ExpectedController(CONTROLLER, "evpn1", peers, known),)
    )
    bench.overlay.fail("pve4")
    bench.overlay.down = {frozenset(("pve4", name)) for name in names[:3]}
    return bench.poll()


def test_a_node_that_is_switched_off_is_missed_by_its_name(bench: Bench) -> None:
    health = off_with_listed_peers(bench, ("192.168.16.4",))[CONTROLLER]
    assert words(health) == ("False", "SessionDown")
    assert health.operational.message == "none of pve1, pve2, pve3 has a session with pve4 (192.168.16.4)"
    assert shown(health)["sessionsSummary"] == "6/12"
    assert shown(health)["nodes"][3]["expected"] == 3


def test_a_peer_that_may_be_a_node_of_unknown_address_is_not_called_a_stranger(bench: Bench) -> None:
    health = off_with_listed_peers(bench, None)[CONTROLLER]
    assert health.operational.message.startswith(
        "pve1 to 192.168.16.4, perhaps of pve4, whose addresses are not known, is Active"
    )
    assert "expected" not in shown(health)["nodes"][3]


def test_a_peer_the_controller_is_not_on_is_called_by_its_name(bench: Bench) -> None:
    addresses = {name: (bench.overlay.address(name),) for name in ("pve1", "pve2", "pve3")}
    peers = tuple(bench.overlay.address(name) for name in bench.overlay.names)
    there = ExpectedController(CONTROLLER, "evpn1", peers, addresses, outsiders={"192.168.16.4": "pve4"})
    bench.expected = replace(bench.expected, controllers=(there,))
    bench.overlay.down = {frozenset(("pve4", name)) for name in addresses}
    message = bench.poll()[CONTROLLER].operational.message
    assert message.startswith("pve1 to pve4 (192.168.16.4), which the controller is not on, is Active")


def test_addresses_that_are_not_known_are_taken_from_the_nodes_themselves(bench: Bench) -> None:
    unknown = dict.fromkeys(bench.overlay.names)
    bench.expected = replace(bench.expected, controllers=(ExpectedController(CONTROLLER, "evpn1", None, unknown),))
    assert shown(bench.poll()[CONTROLLER])["sessionsSummary"] == "12/12"


def test_without_expectations_a_node_is_judged_by_its_own_sessions(bench: Bench) -> None:
    bench.expected = replace(bench.expected, controllers=())
    assert words(bench.poll()[node_key("pve1")]) == ("True", "Operational")
    bench.overlay.down = {frozenset(("pve1", "pve2"))}
    assert words(bench.poll()[node_key("pve1")]) == ("False", "SessionDown")


# --- nodes that cannot be seen -----------------------------------------------------------------------------------


def test_a_node_that_cannot_be_read_is_unknown_and_its_sessions_are_told_by_the_others(bench: Bench) -> None:
    bench.poll()
    bench.overlay.fail("pve2")
    health = bench.poll()
    assert words(health[node_key("pve2")]) == ("Unknown", "ObservationStale")
    assert shown(health[node_key("pve2")])["problems"] == ["no SSH connection to 192.168.16.2 port 22"]
    assert shown(health[node_key("pve2")])["peers"] is None
    assert shown(health[CONTROLLER])["sessionsSummary"] == "12/12"
    for key in (CONTROLLER, ZONE, VNET):
        assert words(health[key]) == ("Unknown", "ObservationStale")
        assert "pve2" in health[key].operational.message


def test_within_the_grace_time_after_a_restart_everything_stays_as_it_was(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    before = dict(bench.objects)
    for name in bench.overlay.names:
        bench.overlay.fail(name, settled=False)
    bench.poll()
    assert bench.objects == before


def test_a_node_that_is_switched_off_is_missed_by_no_flood_list(bench: Bench) -> None:
    bench.overlay.fail("pve3")
    bench.overlay.down = {frozenset(("pve3", other)) for other in ("pve1", "pve2", "pve4")}
    members = {**bench.expected.members, "pve3": NodeState("pve3", False, "192.168.16.3")}
    bench.expected = replace(bench.expected, members=members)
    health = bench.poll()
    assert words(health[VNET]) == ("Unknown", "ObservationStale")
    assert words(health[CONTROLLER]) == ("False", "SessionDown")
    assert "pve3" in health[CONTROLLER].operational.message


def test_the_proxmox_api_shows_no_sessions_and_says_so(bench: Bench) -> None:
    observation = ClusterObservation(
        bench.overlay.now,
        {name: NodeObservation(name, "api", bench.overlay.now, mac_ips=()) for name in bench.overlay.names},
    )
    health = bench.poll(observation)
    assert {words(h) for h in health.values()} == {("Unknown", "SourceUnavailable")}
    assert "no BGP sessions" in health[CONTROLLER].operational.message
    assert shown(health[CONTROLLER])["sessions"] is None
    assert shown(health[VNET])["routes"] is None


def test_what_is_wrong_with_the_preferred_source_is_said_on_every_object(bench: Bench) -> None:
    for name in bench.overlay.names:
        bench.overlay.fall_back(name, "it does not have the pinned host key")
    health = bench.poll()
    assert {words(h) for h in health.values()} == {("Unknown", "ObservationStale")}
    for key in (node_key("pve1"), CONTROLLER, VNET, ZONE):
        assert health[key].operational.message.startswith(
            "pve1 cannot be observed by ssh: it does not have the pinned host key"
        )
    assert health[NIC].operational.message == "pve4: ssh: it does not have the pinned host key"
    node = shown(health[node_key("pve1")])
    assert (node["source"], node["problems"]) == ("api", ["ssh: it does not have the pinned host key"])
    assert bench.assessment.sight[node_key("pve1")] == health[node_key("pve1")].operational.message


def test_what_two_sources_see_of_a_node_is_judged_together(bench: Bench) -> None:
    """frr_exporter has the sessions, the Proxmox API a route of the guest."""
    bench.overlay.speak(VM1, "pve4")
    row = MacIp("EVPN1", VM1, "10.60.0.100", "192.168.16.4", bench.overlay.now)
    nodes = {}
    for name, look in bench.overlay.seen().answered().items():
        counted = replace(look, source="frrExporter", routes=None, macs=None, bgp_vnis=None)
        api = NodeObservation(name, "api", look.at, mac_ips=(row,) if name == "pve1" else ())
        nodes[name] = counted.filled_from(api)
    health = bench.poll(ClusterObservation(bench.overlay.now, nodes))
    assert words(health[CONTROLLER]) == ("True", "Operational")
    assert words(health[NIC]) == ("True", "Advertised")
    assert {shown(h)["source"] for h in health.values()} == {"frrExporter, api"}


# --- VNIs --------------------------------------------------------------------------------------------------------


def test_a_gap_in_a_flood_list_is_said_once_per_missing_node(bench: Bench) -> None:
    bench.overlay.flood_gaps = {("pve1", "pve2"), ("pve3", "pve2")}
    health = bench.poll()[VNET]
    assert words(health) == ("False", "VtepMissing")
    assert health.operational.message == "pve2 is missing from the flood list of pve1 and pve3"
    assert health.rows["pve1"].missing_vteps == ["pve2"]
    assert health.rows["pve2"].missing_vteps is None


def test_an_empty_flood_list_has_its_own_reason(bench: Bench) -> None:
    bench.overlay.flood_gaps = {("pve1", other) for other in ("pve2", "pve3", "pve4")}
    health = bench.poll()[VNET]
    assert words(health) == ("False", "NoRemoteVteps")
    assert health.operational.message == "pve1 has no other VTEP in its flood list"


RMAC = "62:ae:00:00:00:0a"


@pytest.mark.parametrize(
    ("hop", "router_mac", "complaint"),
    [
        ("192.168.16.4", RMAC, ""),
        ("192.0.2.7", RMAC, ""),
        ("192.0.2.7", None, "has next hop 192.0.2.7, which is no node's VTEP, and the route has no router MAC"),
        ("10.0.9.4", RMAC, "has next hop 10.0.9.4, an address of pve4 that is not its VTEP"),
    ],
    ids=["a node's VTEP", "a VTEP outside of the cluster", "no VTEP", "another address of a node"],
)
def test_a_type_5_route_that_leads_to_no_vtep_is_said_on_its_zone(
    bench: Bench, hop: str, router_mac: str | None, complaint: str
) -> None:
    members = bench.expected.members
    pve4 = replace(members["pve4"], addresses=("192.168.16.4/24", "10.0.9.4/24"))
    bench.expected = replace(bench.expected, members={**members, "pve4": pve4})
    poll = bench.overlay.seen()
    learnt = EvpnRoute(5, "[5]:y", "x:1", L3_VNI, L3_VNI, None, "10.7.0.0", 16, hop, best=True, router_mac=router_mac)
    well = learnt._replace(ip="10.8.0.0", next_hop="192.168.16.2", router_mac=RMAC)
    pve1 = poll.nodes["pve1"]
    assert isinstance(pve1, NodeObservation)
    seen = replace(pve1, routes=(*(pve1.routes or ()), learnt, well))
    zone = bench.poll(replace(poll, nodes={**poll.nodes, "pve1": seen}))[ZONE].operational
    if complaint:
        assert (zone.word, zone.reason) == ("False", "NextHopNotVtep")
        assert zone.message == f"the type-5 route 10.7.0.0/16 {complaint}"
    else:
        assert zone.word == "True"


@pytest.mark.parametrize(("vni", "key"), [(VNI, VNET), (L3_VNI, ZONE)])
def test_a_node_without_the_vni_is_named(bench: Bench, vni: int, key: ObjectKey) -> None:
    bench.overlay.without = {("pve3", vni)}
    health = bench.poll()
    assert words(health[key]) == ("False", "VniMissing")
    assert "pve3 does not have" in health[key].operational.message


@pytest.mark.parametrize(("mtu", "word"), [(1450, "True"), (1451, "False"), (8950, "False")])
def test_an_mtu_that_does_not_fit_into_the_underlays(bench: Bench, mtu: int, word: str) -> None:
    member = replace(bench.expected.members["pve3"], mtus={"192.168.16.3": 1500})
    zone = replace(bench.expected.zones[0], mtu=mtu)
    bench.expected = replace(bench.expected, members={**bench.expected.members, "pve3": member}, zones=(zone,))
    health = bench.poll()[ZONE]
    assert health.operational.word == word
    if word == "False":
        assert health.operational.reason == "MtuTooBig"
        assert health.operational.message == (
            f"MTU {mtu} needs {mtu + 50} in the underlay, and pve3 has 1500 at 192.168.16.3"
        )


def test_counts_alone_still_show_a_gap(bench: Bench) -> None:
    """frr_exporter counts VTEPs and does not name them."""
    bench.overlay.flood_gaps = {("pve1", "pve2")}
    observation = bench.overlay.seen()
    counted = {}
    for name, look in observation.answered().items():
        vnis = tuple(replace(row, remote_vteps=None) for row in look.vnis or ())
        counted[name] = replace(look, source="frrExporter", vnis=vnis, routes=None, macs=None, bgp_vnis=None)
    health = bench.poll(ClusterObservation(bench.overlay.now, counted))[VNET]
    assert words(health) == ("False", "VtepMissing")
    assert health.operational.message == "pve1 has 2 of 3 VTEPs in its flood list"


def test_a_single_node_needs_no_other() -> None:
    bench = Bench(1)
    health = bench.poll()
    assert words(health[VNET]) == words(health[CONTROLLER]) == ("True", "Operational")
    assert shown(health[CONTROLLER])["sessionsSummary"] == "0/0"


# --- real recordings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", recorded.VERSIONS)
def test_the_story_of_vm1_as_frr_told_it(bench: Bench, version: str) -> None:
    told = []
    for state, home in (
        (recorded.NO_GUEST, "pve4"),
        (recorded.SPEAKS, "pve4"),
        (recorded.SILENT, "pve4"),
        (recorded.SPEAKS, "pve4"),
        (recorded.MOVED, "pve3"),
    ):
        bench.home(home)
        observation = recorded.cluster(version, state)
        if state == recorded.NO_GUEST:  # recorded on pve1 only, and pve4 had nothing either
            observation = ClusterObservation(
                observation.at, {**observation.nodes, "pve4": recorded.seen(version, recorded.SILENT, "pve4")}
            )
        evpn = bench.nic(observation)
        told.append((evpn["verdict"], evpn.get("announcedBy"), evpn.get("mobilitySequence")))
    assert told == [
        ("NeverSeen", None, None),
        ("Advertised", "pve4", 0),
        ("Silent", None, None),
        ("Advertised", "pve4", 0),
        ("Advertised", "pve3", 1),
    ]


@pytest.mark.parametrize("version", recorded.VERSIONS)
def test_a_recorded_disaster_is_told_in_full(bench: Bench, version: str) -> None:
    """bgpd of pve2 killed, pve4 shut down by pve1; pve3 was not recorded."""
    bench.expected = replace(bench.expected, zones=(replace(bench.expected.zones[0], vni=9000),))
    observation = recorded.cluster(version, recorded.DOWN)
    health = bench.poll(observation)
    assert words(health[CONTROLLER]) == ("False", "SessionDown")
    assert "BGP EVPN is not running on pve2" in health[CONTROLLER].operational.message
    assert "pve1 to pve4 (192.168.16.4) is Idle (Admin): Admin. shutdown" in health[CONTROLLER].operational.message
    node = shown(health[node_key("pve4")])
    assert node["sessions"] == "1/3"
    assert node["peers"][0]["lastError"] == "BGP Notification received: Cease/Administrative Shutdown"
    assert node["vnis"][0]["remoteVteps"] == 1
    assert [(peer["node"], peer["bfd"]) for peer in node["peers"]] == [
        ("pve1", "up"), ("pve2", "down"), ("pve3", "up"),
    ]  # fmt: skip
    assert {(row["protocol"], row["neighbour"], row["state"]) for row in node["fabricNeighbours"]} >= {
        ("ospf", "192.168.16.1", "Full/DROther")
    }
