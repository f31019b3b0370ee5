"""What an observation means for NICs: who announces them, and what the samples of the Proxmox API are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pve_evpn.domain.health.expected import ExpectedController
from pve_evpn.domain.observation import ClusterObservation, MacIp, MacRow, NodeObservation, NodeResult
from tests.unit.health.overlay import VM1, VNI
from tests.unit.health.test_health import CONTROLLER, NIC, VNET, Bench, shown, words


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_guest_speaks_falls_silent_and_speaks_again(bench: Bench) -> None:
    assert bench.nic()["verdict"] == "NeverSeen"
    bench.overlay.speak(VM1, "pve4", "10.60.0.100")
    assert bench.nic()["verdict"] == "Advertised"
    bench.overlay.speakers.clear()
    silent = bench.nic()
    assert silent == {"verdict": "Silent", "since": "2026-01-05T12:00:45Z", "lastAnnouncedBy": "pve4"}
    assert bench.nic() == silent
    bench.overlay.speak(VM1, "pve4", "10.60.0.100")
    assert bench.nic()["verdict"] == "Advertised"


def test_a_move_changes_the_node_and_counts(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.nic()
    bench.overlay.speak(VM1, "pve3", mobility=1)
    bench.home("pve3")
    moved = bench.nic()
    assert (moved["verdict"], moved["announcedBy"], moved["mobilitySequence"]) == ("Advertised", "pve3", 1)
    assert moved["since"] == "2026-01-05T12:00:30Z"


def test_a_guest_that_moves_before_proxmox_says_so_is_not_on_the_wrong_node(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.nic()
    bench.overlay.speak(VM1, "pve3", mobility=1)
    assert bench.nic()["verdict"] == "Advertised"
    assert bench.suspects.keys() == {NIC}
    wrong = bench.poll()[NIC]
    assert words(wrong) == ("False", "WrongNode")
    assert wrong.operational.message == "pve3 advertises this MAC while the guest runs on pve4"


def test_two_nodes_with_the_same_mac_are_a_duplicate(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.overlay.speakers[VM1].nodes = ("pve2", "pve4")
    bench.poll()
    health = bench.poll(seconds=60)[NIC]
    assert words(health) == ("False", "Duplicate")
    assert "pve2, pve4" in health.operational.message


def test_a_stale_route_right_after_a_move_is_no_duplicate(bench: Bench) -> None:
    """The node the guest has left withdraws its route a moment later: nothing is reported, not even for one poll."""
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    bench.home("pve3")
    bench.overlay.speak(VM1, "pve3")
    bench.overlay.speakers[VM1].nodes = ("pve3", "pve4")
    for _ in range(3):
        assert words(bench.poll()[NIC]) == ("True", "Advertised")
    bench.overlay.speak(VM1, "pve3")
    moved = bench.poll()[NIC]
    assert words(moved) == ("True", "Advertised")
    assert shown(moved)["evpn"]["announcedBy"] == "pve3"
    assert bench.suspects == {}


def test_what_stays_with_equal_mobility_is_a_duplicate_after_a_minute(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    bench.overlay.speakers[VM1].nodes = ("pve3", "pve4")
    found = [words(bench.poll()[NIC])[1] for _ in range(6)]
    assert found == ["Advertised"] * 4 + ["Duplicate"] * 2


def test_a_mac_that_frr_has_seen_moving_too_often_needs_no_minute(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    bench.overlay.speakers[VM1].duplicate = True
    found = [words(bench.poll()[NIC])[1] for _ in range(2)]
    assert found == ["Advertised", "Duplicate"]


def test_the_same_observation_assessed_again_is_no_second_poll(bench: Bench) -> None:
    """Between two polls a sync asks for the health of the last one."""
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    bench.overlay.speak(VM1, "pve3", mobility=1)
    bench.poll()
    assert words(bench.assess().health[NIC]) == ("True", "Advertised")


def test_of_two_nodes_one_without_a_port_is_a_zombie_and_no_second_guest(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    bench.overlay.speakers[VM1].nodes = ("pve3", "pve4")
    seen = bench.overlay.seen()
    gone = replace(seen.answered()["pve3"], macs=(MacRow(VNI, VM1, "local"),))
    for _ in range(2):
        seen = replace(seen, at=seen.at + timedelta(seconds=15), nodes={**seen.nodes, "pve3": gone})
        health = bench.poll(seen)[NIC]
    assert words(health) == ("False", "Zombie")
    assert health.operational.message == "pve3 still advertises this MAC though it has no port for it any more"


def unplaced(bench: Bench, *, rd: str | None = None) -> ClusterObservation:
    """Each node has the route, with a route target that tells nothing; `rd`: pve4 says which VNI it is of."""
    observation = bench.overlay.seen()
    nodes: dict[str, NodeResult] = {}
    for name, node in observation.answered().items():
        routes = tuple(
            route._replace(vni=None, route_targets=("65000:100",)) if route.route_type == 2 else route
            for route in node.routes or ()
        )
        rows = node.bgp_vnis or ()
        if rd and name == "pve4":
            rows = tuple(replace(row, rd=rd) if row.vni == VNI else row for row in rows)
        nodes[name] = replace(node, routes=routes, bgp_vnis=rows)
    return replace(observation, nodes=nodes)


def test_a_route_whose_vni_cannot_be_told_is_unknown_and_not_withdrawn(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    health = bench.poll(unplaced(bench))[NIC]
    assert words(health) == ("Unknown", "SourceUnavailable")
    assert "65000:100" in health.operational.message
    assert shown(health)["evpn"]["lastAnnouncedBy"] == "pve4"
    assert "type2" not in shown(bench.poll(unplaced(bench))[VNET])["routes"]


def test_the_node_that_advertises_a_route_tells_the_others_its_vni(bench: Bench) -> None:
    """By its route distinguisher, where no node has a VNI that imports the route."""
    bench.overlay.speak(VM1, "pve4")
    found = bench.nic(unplaced(bench, rd="192.168.16.4:2"))
    assert (found["verdict"], found["announcedBy"], found["seenBy"]) == ("Advertised", "pve4", 4)


def test_a_route_whose_port_is_gone_is_a_zombie(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.overlay.speakers[VM1].zombie = True
    assert words(bench.poll()[NIC]) == ("False", "Zombie")


@pytest.mark.parametrize(("running", "message"), [(False, "the guest is not running"), (True, "its link is down")])
def test_nothing_is_expected_of_a_guest_that_cannot_speak(bench: Bench, running: bool, message: str) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    bench.overlay.speakers.clear()
    bench.home("pve4", running=running, advertises=False)
    health = bench.poll()[NIC]
    assert words(health) == ("Unknown", "NothingToAnnounce")
    assert health.operational.message == message
    assert shown(health)["evpn"]["verdict"] == "Silent"


def test_a_nic_on_a_node_that_cannot_be_read_is_unknown_and_never_silent(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    bench.overlay.speakers.clear()
    bench.overlay.fail("pve4")
    health = bench.poll()[NIC]
    assert words(health) == ("Unknown", "ObservationStale")
    assert shown(health)["evpn"]["verdict"] == "Unknown"
    assert shown(health)["evpn"]["lastAnnouncedBy"] == "pve4"


def test_a_nic_on_a_node_without_bgpd_is_withdrawn_with_the_cause(bench: Bench) -> None:
    bench.overlay.speak(VM1, "pve4")
    bench.poll()
    bench.overlay.stopped = {"pve4"}
    health = bench.poll()[NIC]
    assert words(health) == ("False", "Silent")
    assert health.operational.message == "bgpd is not running on pve4"


def test_the_api_knows_what_it_sees_and_nothing_of_what_it_does_not(bench: Bench) -> None:
    def look(*rows: MacIp) -> ClusterObservation:
        at = bench.overlay.now
        nodes: Mapping[str, NodeObservation] = {
            name: NodeObservation(name, "api", at, mac_ips=rows if name == "pve1" else ())
            for name in bench.overlay.names
        }
        return ClusterObservation(at, nodes)

    seen = bench.nic(look(MacIp("EVPN1", VM1, "10.60.0.100", "192.168.16.4", bench.overlay.now)))
    assert (seen["verdict"], seen["announcedBy"], seen["ips"]) == ("Advertised", "pve4", ["10.60.0.100"])
    assert "seenBy" not in seen
    health = bench.poll(look())[NIC]
    assert words(health) == ("Unknown", "SourceUnavailable")
    assert "no route with an IP address" in health.operational.message


def sampled(bench: Bench, node: str, read: datetime, address: str = "192.168.16.4") -> NodeObservation:
    """A node that only the Proxmox API shows; pve1 is where the VNet's table was read."""
    row = MacIp("EVPN1", VM1, "10.60.0.100", address, read)
    return NodeObservation(node, "api", bench.overlay.now, mac_ips=(row,) if node == "pve1" else ())


def only_api(bench: Bench, read: datetime, address: str = "192.168.16.4") -> ClusterObservation:
    """The poll that is due next, and when the VNet's table was read."""
    nodes = {name: sampled(bench, name, read, address) for name in bench.overlay.names}
    return ClusterObservation(bench.overlay.now + timedelta(seconds=15), nodes)


def test_an_old_sample_does_not_contradict_where_the_guest_is_now(bench: Bench) -> None:
    """With more tables than are read per poll a row is minutes old, and the guest has moved meanwhile."""
    read = bench.overlay.now
    assert bench.nic(only_api(bench, read))["announcedBy"] == "pve4"
    bench.home("pve3")
    for _ in range(5):
        health = bench.poll(only_api(bench, read))[NIC]
        assert words(health) == ("True", "Advertised")
    assert shown(health)["evpn"]["announcedBy"] == "pve4"
    read = bench.overlay.now
    assert bench.nic(only_api(bench, read, "192.168.16.3"))["announcedBy"] == "pve3"


def test_an_old_sample_still_confirms(bench: Bench) -> None:
    read = bench.overlay.now - timedelta(minutes=5)
    assert bench.nic(only_api(bench, read))["verdict"] == "Advertised"
    bench.home("pve3")
    fresh = Bench()
    fresh.home("pve3")
    assert fresh.nic(only_api(fresh, read))["verdict"] == "Unknown"  # it was never known otherwise


def test_a_sample_of_now_contradicts(bench: Bench) -> None:
    bench.nic(only_api(bench, bench.overlay.now))
    bench.home("pve3")
    for _ in range(2):  # as always not at first sight
        health = bench.poll(only_api(bench, bench.overlay.now))[NIC]
    assert words(health) == ("False", "WrongNode")


@pytest.mark.parametrize("speaks", [True, False])
def test_samples_do_not_count_beside_the_nodes_own_tables(bench: Bench, speaks: bool) -> None:
    """One node is read through the API only, which has a row from before the guest started anew on pve3."""
    bench.home("pve3")
    if speaks:
        bench.overlay.speak(VM1, "pve3")
    before = bench.nic()["verdict"]
    for _ in range(3):
        observation = bench.overlay.seen()
        nodes = {**observation.nodes, "pve1": sampled(bench, "pve1", bench.overlay.now)}
        assert bench.nic(replace(observation, nodes=nodes))["verdict"] == before
    assert before == ("Advertised" if speaks else "NeverSeen")


def test_of_two_samples_the_newer_one_counts(bench: Bench) -> None:
    """The table is read through another node since the first one was switched off."""
    bench.home("pve3")
    now = bench.overlay.now
    observation = only_api(bench, now - timedelta(seconds=60))
    newer = MacIp("EVPN1", VM1, "10.60.0.100", "192.168.16.3", now)
    nodes = {**observation.nodes, "pve2": NodeObservation("pve2", "api", now, mac_ips=(newer,))}
    assert bench.nic(replace(observation, nodes=nodes))["announcedBy"] == "pve3"


def test_an_address_nobody_knows_may_be_that_of_the_guests_node(bench: Bench) -> None:
    names = bench.overlay.names
    peers = tuple(bench.overlay.address(name) for name in names)
    bench.expected = replace(
        bench.expected, controllers=(ExpectedController(CONTROLLER, "evpn1", peers, dict.fromkeys(names)),)
    )
    for _ in range(3):
        health = bench.poll(only_api(bench, bench.overlay.now))[NIC]
    assert words(health) == ("Unknown", "SourceUnavailable")
    assert health.operational.message == (
        "192.168.16.4 advertises this MAC, which may be pve4: its VTEP address is not known"
    )
    known = {**dict.fromkeys(names), "pve4": ("192.168.16.9",)}
    peers = (*peers[:3], "192.168.16.9")
    bench.expected = replace(bench.expected, controllers=(ExpectedController(CONTROLLER, "evpn1", peers, known),))
    for _ in range(2):
        health = bench.poll(only_api(bench, bench.overlay.now))[NIC]
    assert words(health) == ("False", "WrongNode")  # whoever that is, pve4 it is not


def test_a_node_of_unknown_address_that_announces_itself_is_no_duplicate(bench: Bench) -> None:
    """Its zebra was read, and its BGP tables were not; the others know the route by an address."""
    names = bench.overlay.names
    peers = tuple(bench.overlay.address(name) for name in names)
    bench.expected = replace(
        bench.expected, controllers=(ExpectedController(CONTROLLER, "evpn1", peers, dict.fromkeys(names)),)
    )
    bench.overlay.speak(VM1, "pve4")
    observation = bench.overlay.seen()
    partly = replace(observation.answered()["pve4"], routes=None, bgp_vnis=None)
    assert bench.nic(replace(observation, nodes={**observation.nodes, "pve4": partly}))["verdict"] == "Advertised"
