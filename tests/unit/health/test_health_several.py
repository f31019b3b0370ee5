"""Two controllers on the same nodes, each in an underlay of its own: every VNI is judged by its own addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pve_evpn.domain.health.expected import ExpectedController, ExpectedVNet, ExpectedZone
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import BgpVniRow, ClusterObservation, NodeResult, PeerState, VniRow
from tests.unit.health.overlay import VM1
from tests.unit.health.test_health import CONTROLLER, NIC, VNET, Bench, node_key, resource, shown, words

CONTROLLER2 = ObjectKey("EvpnController", "", "evpn2")
VNET2 = ObjectKey("VNet", "default", "evpn2")
VNI2 = 6001


def second(name: str) -> str:
    """The node's address in the second controller's underlay."""
    return f"10.1.0.{name.removeprefix('pve')}"


def two_controllers() -> Bench:
    """Each with an underlay, a zone and a VNet of its own, all on the same nodes."""
    bench = Bench()
    names = tuple(bench.overlay.names)
    first, zone, vnet = bench.expected.controllers[0], bench.expected.zones[0], bench.expected.vnets[0]
    other = ExpectedController(CONTROLLER2, "evpn2", None, {name: (second(name),) for name in names})
    bench.expected = replace(
        bench.expected,
        controllers=(first, other),
        zones=(
            replace(zone, controller="evpn1"),
            ExpectedZone(ObjectKey("EvpnZone", "", "z2"), "z2", 100002, names, controller="evpn2"),
        ),
        vnets=(vnet, ExpectedVNet(VNET2, "EVPN2", VNI2, "z2", names)),
    )
    for key in (CONTROLLER2, VNET2, ObjectKey("EvpnZone", "", "z2")):
        bench.objects[key] = resource(key)
    return bench


def in_both(bench: Bench, *, bgp_vnis: bool = True) -> ClusterObservation:
    """What the nodes say with both controllers."""
    observation = bench.overlay.seen()
    nodes: dict[str, NodeResult] = dict(observation.nodes)
    for name, look in observation.answered().items():
        others = [second(other) for other in bench.overlay.names if other != name]
        row = BgpVniRow(VNI2, "L2", originator_ip=second(name))
        nodes[name] = replace(
            look,
            peers=(*(look.peers or ()), *(PeerState(address, "Established") for address in others)),
            vnis=(*(look.vnis or ()), VniRow(VNI2, "L2", "vxlan_6001", 0, 0, tuple(others), len(others))),
            bgp_vnis=(*(look.bgp_vnis or ()), row) if bgp_vnis else None,
        )
    return replace(observation, nodes=nodes)


@pytest.mark.parametrize("bgp_vnis", [True, False], ids=["as the nodes say", "as configured"])
def test_each_vni_is_flooded_between_its_own_controllers_addresses(bgp_vnis: bool) -> None:
    bench = two_controllers()
    bench.overlay.speak(VM1, "pve4")
    observation = in_both(bench, bgp_vnis=bgp_vnis)
    if not bgp_vnis:  # nor is there any type-3 route to tell
        nodes = {name: replace(look, routes=None) for name, look in observation.answered().items()}
        observation = replace(observation, nodes=nodes)
    health = bench.poll(observation)
    assert {words(health[key]) for key in (CONTROLLER, CONTROLLER2, VNET, VNET2)} == {("True", "Operational")}
    assert words(health[NIC]) == ("True", "Advertised")
    assert [peer.get("node") for peer in shown(health[node_key("pve1")])["peers"]] == ["pve2", "pve3", "pve4"] * 2


def test_a_node_of_two_controllers_that_cannot_be_read_is_known_by_both_addresses() -> None:
    bench = two_controllers()
    bench.overlay.speak(VM1, "pve4")
    bench.poll(in_both(bench))
    bench.overlay.fail("pve4")
    for _ in range(2):
        health = bench.poll(in_both(bench))
    assert words(health[NIC]) == ("True", "Advertised")
