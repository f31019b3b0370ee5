"""Whether a node is among a controller's peers: what the nodes say counts, and addresses alone prove nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pve_evpn.domain.health.expected import ExpectedController
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import ClusterObservation, NodeObservation, NodeResult, PeerState, SourceName
from tests.unit.health.test_health import CONTROLLER, Bench, node_key, shown, words

REFLECTORS = ("10.0.0.1", "10.0.0.2")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def management(name: str) -> tuple[str, ...]:
    """Addresses that Proxmox lists and BGP does not use."""
    return (f"172.16.0.{name.removeprefix('pve')}",)


def expect(bench: Bench, peers: tuple[str, ...]) -> None:
    addresses = {name: management(name) for name in bench.overlay.names}
    bench.expected = replace(
        bench.expected, controllers=(ExpectedController(CONTROLLER, "evpn1", peers, addresses),), nics=()
    )


def with_peers(
    bench: Bench, peers: dict[str, dict[str, str]], source: SourceName = "ssh", router_ids: bool = True
) -> ClusterObservation:
    """One poll in which the nodes have these sessions (state by address) and no VNI yet."""
    nodes: dict[str, NodeResult] = {}
    for name in bench.overlay.names:
        sessions = tuple(PeerState(address, state) for address, state in peers[name].items())
        router_id = bench.overlay.address(name) if router_ids else None
        nodes[name] = NodeObservation(
            name, source, bench.overlay.now, router_id=router_id, bgp_running=True, peers=sessions, vnis=(), bgp_vnis=()
        )
    return ClusterObservation(bench.overlay.now, nodes)


def controller(bench: Bench, observation: ClusterObservation) -> tuple[tuple[str, str], str, str]:
    health = bench.assess(observation).health[CONTROLLER]
    return words(health), shown(health).get("sessionsSummary", ""), health.operational.message


def test_nodes_with_two_route_reflectors_are_in_the_overlay(bench: Bench) -> None:
    expect(bench, REFLECTORS)
    sessions = {name: dict.fromkeys(REFLECTORS, "Established") for name in bench.overlay.names}
    condition, summary, _ = controller(bench, with_peers(bench, sessions))
    assert (condition, summary) == (("True", "Operational"), "8/8")
    for name in bench.overlay.names:
        assert words(bench.assess(with_peers(bench, sessions)).health[node_key(name)]) == ("True", "Operational")


def test_a_session_with_a_reflector_that_is_down_is_one_of_the_nodes(bench: Bench) -> None:
    expect(bench, REFLECTORS)
    sessions = {name: dict.fromkeys(REFLECTORS, "Established") for name in bench.overlay.names}
    sessions["pve2"]["10.0.0.2"] = "Active"
    condition, summary, message = controller(bench, with_peers(bench, sessions))
    assert (condition, summary) == (("False", "SessionDown"), "7/8")
    assert message == "pve2 to 10.0.0.2, which is no node of the cluster, is Active"


@pytest.mark.parametrize("down", [("pve2",), ("pve1", "pve2", "pve3", "pve4")])
def test_a_node_that_has_lost_all_reflectors_is_not_missing_from_the_peers(bench: Bench, down: tuple[str, ...]) -> None:
    expect(bench, REFLECTORS)
    sessions = {
        name: dict.fromkeys(REFLECTORS, "Active" if name in down else "Established") for name in bench.overlay.names
    }
    condition, summary, message = controller(bench, with_peers(bench, sessions))
    assert (condition, summary) == (("False", "SessionDown"), f"{8 - 2 * len(down)}/8")
    assert message.startswith(f"{down[0]} to 10.0.0.1, which is no node of the cluster, is Active")


def test_two_nodes_that_are_the_reflectors_of_the_others(bench: Bench) -> None:
    first, second = bench.overlay.address("pve1"), bench.overlay.address("pve2")
    expect(bench, (first, second))
    both = {first: "Established", second: "Established"}
    sessions = {"pve1": {second: "Established"}, "pve2": {first: "Established"}, "pve3": both, "pve4": both}
    condition, summary, _ = controller(bench, with_peers(bench, sessions))
    assert (condition, summary) == (("True", "Operational"), "6/6")


def mesh(bench: Bench) -> dict[str, dict[str, str]]:
    names = bench.overlay.names
    return {name: {bench.overlay.address(other): "Established" for other in names if other != name} for name in names}


def test_a_router_id_among_the_peers_proves_membership(bench: Bench) -> None:
    """The VTEPs are on a loopback that Proxmox does not list, and no VNI is there yet that would name them."""
    expect(bench, tuple(map(bench.overlay.address, bench.overlay.names)))
    sessions = mesh(bench)
    for state in ("Established", "Active"):
        sessions["pve1"] = dict.fromkeys(sessions["pve1"], state)
        condition, summary, _ = controller(bench, with_peers(bench, sessions))
        assert condition[1] != "NodeMissingFromPeers"
        assert summary.endswith("/12")


def test_the_peer_a_node_has_left_out_is_its_own_address(bench: Bench) -> None:
    """frr_exporter shows neither router ids nor names."""
    expect(bench, tuple(map(bench.overlay.address, bench.overlay.names)))
    seen = with_peers(bench, mesh(bench), "frrExporter", router_ids=False)
    condition, summary, _ = controller(bench, seen)
    assert (condition, summary) == (("True", "Operational"), "12/12")


def test_a_peer_that_no_node_has_yet_is_nobodys_own_address(bench: Bench) -> None:
    """A third reflector is listed and not applied."""
    expect(bench, (*REFLECTORS, "10.0.0.3"))
    sessions = {name: dict.fromkeys(REFLECTORS, "Established") for name in bench.overlay.names}
    condition, summary, _ = controller(bench, with_peers(bench, sessions))
    assert (condition, summary) == (("False", "SessionDown"), "8/12")


def test_without_any_session_a_node_whose_addresses_are_no_peer_is_missing(bench: Bench) -> None:
    expect(bench, tuple(map(bench.overlay.address, bench.overlay.names[:3])))
    sessions = mesh(bench)
    sessions["pve4"] = dict.fromkeys(sessions["pve4"], "Active")
    for name in bench.overlay.names[:3]:
        del sessions[name]["192.168.16.4"]
    condition, _, message = controller(bench, with_peers(bench, sessions))
    assert condition == ("False", "NodeMissingFromPeers")
    assert message.startswith("pve4 is in the overlay but not among the peers")


@pytest.mark.parametrize("source", ["api", "none"])
def test_addresses_alone_prove_nothing(bench: Bench, source: str) -> None:
    """No source shows sessions, so it is not known whether the nodes are among the peers."""
    expect(bench, REFLECTORS)
    at = bench.overlay.now
    nodes = {name: NodeObservation(name, "api", at) for name in bench.overlay.names} if source == "api" else {}
    assessed = bench.assess(ClusterObservation(at, nodes)).health
    assert words(assessed[CONTROLLER])[0] == "Unknown"
    keys: list[ObjectKey] = [node_key(name) for name in bench.overlay.names]
    assert {words(assessed[key])[0] for key in keys} == {"Unknown"}


def test_a_node_of_a_fabric_whose_address_proxmox_does_not_list_is_in_it(bench: Bench) -> None:
    """It has sessions with the fabric's addresses of the others."""
    addresses = {name: (bench.overlay.address(name),) for name in bench.overlay.names[:3]} | {"pve4": ()}
    found = ExpectedController(CONTROLLER, "evpn1", None, addresses)
    bench.expected = replace(bench.expected, controllers=(found,), nics=())
    condition, summary, _ = controller(bench, with_peers(bench, mesh(bench)))
    assert (condition, summary) == (("True", "Operational"), "12/12")
    sessions = mesh(bench)
    sessions["pve4"] = {}
    for name in bench.overlay.names[:3]:
        del sessions[name]["192.168.16.4"]
    assert controller(bench, with_peers(bench, sessions))[0] == ("False", "NodeMissingFromPeers")


def test_without_bgpd_a_node_is_not_missing_from_the_peers(bench: Bench) -> None:
    expect(bench, REFLECTORS)
    sessions = {name: dict.fromkeys(REFLECTORS, "Established") for name in bench.overlay.names}
    seen = with_peers(bench, sessions)
    stopped = NodeObservation("pve1", "ssh", bench.overlay.now, bgp_running=False, peers=())
    condition, _, message = controller(bench, replace(seen, nodes={**seen.nodes, "pve1": stopped}))
    assert condition == ("False", "SessionDown")
    assert message == "BGP EVPN is not running on pve1"
