"""``underlay.clusterNodes``, and an overlay one of whose nodes is switched off: it stays a peer, and keeps its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.domain.health.expected import ExpectedController, ExpectedOverlay
from pve_evpn.domain.health.overlay import expected_overlay, remembered_overlay
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState, NodeState
from tests.unit.plan.world import carry_out, controller, desired, observed, reported, sdn, with_status, zone

CONTROLLER = SdnRef(SdnKind.CONTROLLER, "evpn1")
PEERS = tuple(f"192.168.16.{i}" for i in (1, 2, 3, 4))
NETWORK = {"clusterNodes": {"cidr": "192.168.16.0/24"}}
WIDE = {"clusterNodes": {"cidr": "0.0.0.0/0"}}


def node(number: int, *, online: bool = True) -> NodeState:
    """The cluster knows it by an address of another network than the underlay's."""
    addresses = (f"192.168.16.{number}/24", f"10.9.9.{number}/24")
    return NodeState(f"pve{number}", online, f"10.9.9.{number}", addresses=addresses if online else None)


def nodes(*off: int, last: int = 4) -> dict[str, NodeState]:
    return {f"pve{i}": node(i, online=i not in off) for i in range(1, last + 1)}


def programmed(item: Resource[Any]) -> tuple[Resource[Any], ClusterState]:
    """In Proxmox and reported, with every node on."""
    look = observed(nodes=nodes())
    first = plan(desired(item), look)
    return reported(item, first), replace(look, sdn=carry_out(look.sdn, first))


def running(item: Resource[Any]) -> ClusterState:
    return programmed(item)[1]


def mesh(underlay: dict[str, Any] | None = None, **spec: Any) -> Resource[Any]:
    return controller(underlay=underlay or NETWORK, **spec)


def scene(item: Resource[Any], look: ClusterState, before: ExpectedOverlay | None = None) -> ExpectedOverlay:
    wanted = desired(item)
    return expected_overlay(wanted, look, plan(wanted, look), NicPlan({}), before)


def overlay(item: Resource[Any], look: ClusterState, before: ExpectedOverlay | None = None) -> ExpectedController:
    (found,) = scene(item, look, before).controllers
    return found


def known(found: ExpectedController) -> dict[str, tuple[str, ...] | None]:
    return dict(found.addresses)


# --- what is written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("underlay", "peers"), [(NETWORK, PEERS), ({"clusterNodes": {}}, tuple(f"10.9.9.{i}" for i in (1, 2, 3, 4)))]
)
def test_the_clusters_nodes_are_the_peers(underlay: dict[str, Any], peers: tuple[str, ...]) -> None:
    assert running(mesh(underlay)).sdn.running_peers(CONTROLLER) == peers


def test_only_the_nodes_of_the_controller_are() -> None:
    assert running(mesh(nodes=["pve1", "pve3"])).sdn.running_peers(CONTROLLER) == ("192.168.16.1", "192.168.16.3")


@pytest.mark.parametrize("underlay", [NETWORK, WIDE, {"clusterNodes": {}}])
@pytest.mark.parametrize("off", [(4,), (3, 4)])
def test_nodes_that_are_switched_off_stay_peers(underlay: dict[str, Any], off: tuple[int, ...]) -> None:
    """In a wide network the address the cluster knows them by would do too, and is another one."""
    item, look = programmed(mesh(underlay))
    made = plan(desired(item), replace(look, nodes=nodes(*off)))
    assert made.decisions[item.key].refused is None
    assert made.steps == ()


def test_what_changes_while_one_is_off_is_written_with_all_peers() -> None:
    item, look = programmed(mesh())
    changed = replace(item, spec=mesh(asn=65002).spec, generation=2)
    (step,) = plan(desired(changed), replace(look, nodes=nodes(4))).steps
    assert step.action == "update"
    assert [change.key for change in step.diff] == ["asn"]


def test_one_that_left_the_cluster_is_no_peer_any_more() -> None:
    item, look = programmed(mesh())
    (step,) = plan(desired(item), replace(look, nodes=nodes(last=3))).steps
    assert step.action == "update"
    assert [(change.key, change.want) for change in step.diff] == [("peers", PEERS[:3])]


def test_one_that_joins_and_is_off_waits_until_it_can_be_read() -> None:
    item, look = programmed(mesh())
    made = plan(desired(item), replace(look, nodes=nodes(5, last=5)))
    assert (made.decisions[item.key].refused, made.steps) == (None, ())
    (step,) = plan(desired(item), replace(look, nodes=nodes(last=5))).steps
    assert step.action == "update"
    assert [(change.key, change.want) for change in step.diff] == [("peers", (*PEERS, "192.168.16.5"))]


def test_one_that_has_no_address_in_the_network_is_named() -> None:
    item = mesh()
    elsewhere = replace(node(3), addresses=("10.9.9.3/24",))
    problem = plan(desired(item), observed(nodes={**nodes(), "pve3": elsewhere})).decisions[item.key].refused
    assert problem is not None
    assert (problem.message, problem.retryable) == (
        "underlay.clusterNodes: no address in 192.168.16.0/24 on pve3",
        True,
    )


def test_to_begin_with_the_address_the_cluster_knows_is_good_enough() -> None:
    item = mesh({"clusterNodes": {"cidr": "10.9.9.0/24"}})
    look = observed(nodes=nodes(4))
    assert carry_out(sdn(), plan(desired(item), look)).running_peers(CONTROLLER)[3] == "10.9.9.4"


# --- what is expected of it --------------------------------------------------------------------------------------


def test_a_node_that_is_off_is_still_known_by_its_peer() -> None:
    item = mesh()
    found = overlay(item, replace(running(item), nodes=nodes(4)))
    assert known(found) == {f"pve{i}": (f"192.168.16.{i}",) for i in (1, 2, 3, 4)}
    assert found.peers is None


def test_of_two_that_are_off_it_is_known_that_they_are_peers_and_remembered_which() -> None:
    item = mesh()
    look = running(item)
    off = replace(look, nodes=nodes(3, 4))
    found = overlay(item, off)
    assert found.peers == PEERS
    assert (known(found)["pve3"], known(found)["pve4"]) == (None, None)
    before = scene(item, look)
    assert known(overlay(item, off, before))["pve4"] == ("192.168.16.4",)


def test_while_proxmox_does_not_answer_nothing_is_said_of_addresses_nobody_remembers() -> None:
    cluster = desired().cluster
    rows = [{"name": name, "online": True, "address": info.address} for name, info in nodes().items()]
    remembered = remembered_overlay(desired(with_status(cluster, {"nodes": rows}), mesh(WIDE)))
    assert known(remembered.controllers[0]) == dict.fromkeys(nodes())


def test_zones_know_whose_addresses_are_theirs() -> None:
    wanted = desired(mesh(), zone())
    look = observed(nodes=nodes())
    look = replace(look, sdn=carry_out(look.sdn, plan(wanted, look)))
    (seen,) = expected_overlay(wanted, look, plan(wanted, look), NicPlan({})).zones
    assert seen.controller == "evpn1"
    status = {"id": "zone1", "vrfVni": 100001}
    remembered = remembered_overlay(desired(mesh(), with_status(zone(), status)))
    assert remembered.zones[0].controller == "evpn1"


def listed(*peers: str) -> Resource[Any]:
    return controller(underlay={"peers": list(peers)})


def test_with_listed_peers_the_address_the_cluster_knows_is_one_of_them_or_says_nothing() -> None:
    mine, other = tuple(f"10.9.9.{i}" for i in (1, 2, 3, 4)), PEERS
    assert known(overlay(listed(*mine), observed(nodes=nodes(4))))["pve4"] == ("10.9.9.4",)
    assert known(overlay(listed(*other), observed(nodes=nodes(4))))["pve4"] is None
    before = scene(listed(*other), observed(nodes=nodes()))
    assert known(overlay(listed(*other), observed(nodes=nodes(4)), before))["pve4"] == (
        "192.168.16.4/24", "10.9.9.4/24", "10.9.9.4",
    )  # fmt: skip


def test_nodes_the_controller_is_not_on_are_known_by_their_addresses() -> None:
    item = controller(underlay={"peers": list(PEERS)}, nodes=["pve1", "pve2", "pve3"])
    found = overlay(item, observed(nodes=nodes()))
    assert found.outsiders == {"192.168.16.4": "pve4", "10.9.9.4": "pve4"}
