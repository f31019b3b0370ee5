"""The whole operator on real FRR: it sees what BGP sees, by ssh, and keeps silent hosts announced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pve_lab.frr.namespaces import run
from pve_lab.guests import Guest
from tests.frr.by_ssh import evpn_node
from tests.frr.conftest import Observing
from tests.frr.world import NODES, VM1, VNET, VNI, await_full_mesh
from tests.waiting import await_

METER = "bc:24:11:00:00:10"


@dataclass
class Silent:
    """A guest that never speaks, and its NicAttachment."""

    observing: Observing
    document: dict[str, Any]

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.observing.stack.get(self.document).get("status") or {})

    @property
    def announced_by(self) -> str | None:
        """The node pve1 reaches it through."""
        route = self.observing.frr.tables("pve1").mac_route(METER)
        return next((name for name, address in NODES.items() if route and address == route.nexthop), None)


def verdict(observing: Observing) -> str:
    return str(evpn(observing).get("verdict"))


def evpn(observing: Observing) -> dict[str, Any]:
    return dict(observing.status("NicAttachment").get("evpn") or {})


def test_the_status_is_what_vtysh_says(observing: Observing) -> None:
    await_("all sessions are counted", lambda: observing.status("EvpnController").get("sessionsSummary") == "12/12")
    await_("VM1 is announced", lambda: verdict(observing) == "Advertised")
    observing.agree()
    assert evpn(observing)["announcedBy"] == "pve4"
    assert observing.status("VNet")["routes"]["type3"] == 4
    for node in NODES:
        status = evpn_node(observing.stack, node)
        assert status["sessions"] == "3/3"
        assert {peer["node"] for peer in status["peers"]} == set(NODES) - {node}
        assert status["frrVersion"] in observing.frr.vtysh(node, "show version")


@pytest.mark.frr_long
def test_a_quiet_network_causes_no_patches(observing: Observing) -> None:
    observing.agree()
    # OSPF and BFD are still settling while BGP stands already, and the statuses tell of them too.
    await_("two polls without a write", lambda: _writes_during(observing, polls=2) == 0)
    assert _writes_during(observing, polls=5) == 0


def _writes_during(observing: Observing, polls: int) -> float:
    """Writes to Kubernetes while all four nodes are looked at ``polls`` times, every two seconds."""
    looked_at = "pve_evpn_last_successful_observation_timestamp_seconds"  # of four nodes, summed up
    before, writes = observing.stack.metric(looked_at), observing.stack.metric("pve_evpn_k8s_requests_total")
    await_(f"{polls} more polls", lambda: observing.stack.metric(looked_at) >= before + 4 * polls * 2)
    return observing.stack.metric("pve_evpn_k8s_requests_total") - writes


def test_a_dead_bgpd_is_named_within_two_polls_on_the_right_objects_and_recovers(observing: Observing) -> None:
    observing.frr.nodes["pve2"].kill_daemon("bgpd")
    polls = _polls(observing)
    await_("pve2 is named", lambda: "not running on pve2" in _message(observing))
    # The poll that was under way when bgpd died, two more, and one that may have begun since the status was written.
    assert _polls(observing) - polls <= 4
    assert observing.reason("EvpnController") == "SessionDown"
    await_("pve2's node says it", lambda: _node(observing, "pve2")["message"] == "BGP EVPN is not running on pve2")
    await_("pve1 counts two", lambda: evpn_node(observing.stack, "pve1").get("sessions") == "2/3")
    peers = {peer["node"]: peer["state"] for peer in evpn_node(observing.stack, "pve1")["peers"]}
    assert peers["pve2"] != "Established"
    assert (peers["pve3"], peers["pve4"]) == ("Established", "Established")

    observing.frr.nodes["pve2"].start_daemon("bgpd")
    await_full_mesh(observing.frr)
    await_("all is well", lambda: observing.status("EvpnController").get("sessionsSummary") == "12/12")
    await_("the controller is operational", lambda: observing.reason("EvpnController") == "Operational")
    observing.agree()


def _polls(observing: Observing) -> int:
    """How often the operator has read pve1."""
    log = observing.frr.nodes["pve1"].space.folder / "log" / "sshd.log"
    return log.read_text().count("Starting session: forced-command")


def _message(observing: Observing) -> str:
    """What the controller says of its sessions."""
    return str(observing.stack.condition(observing.document("EvpnController"), "Operational").get("message"))


def _node(observing: Observing, node: str) -> dict[str, str]:
    """Condition Operational of a node's EvpnNode."""
    conditions = evpn_node(observing.stack, node).get("conditions") or ()
    return next((c for c in conditions if c["type"] == "Operational"), {"status": "", "reason": "", "message": ""})


@pytest.mark.frr_long
def test_a_guest_that_falls_silent_and_speaks_again(observing: Observing) -> None:
    await_("VM1 is announced", lambda: verdict(observing) == "Advertised")
    observing.lab.guests[100].speaks = False
    await_("its MAC has aged out of FRR", lambda: observing.frr.tables("pve1").mac_route(VM1) is None)
    await_("VM1 is silent", lambda: verdict(observing) == "Silent")
    silent = evpn(observing)
    assert silent["lastAnnouncedBy"] == "pve4"
    assert "announcedBy" not in silent
    assert silent["since"]
    observing.lab.guests[100].speaks = True
    await_("VM1 is announced again", lambda: verdict(observing) == "Advertised")
    observing.agree()


def test_a_guest_that_moves(observing: Observing) -> None:
    await_("VM1 is announced", lambda: verdict(observing) == "Advertised")
    observing.lab.move(observing.lab.guests[100], "pve3")
    await_("pve3 announces VM1", lambda: evpn(observing).get("announcedBy") == "pve3")
    await_("its status is pve3's", lambda: observing.status("NicAttachment").get("node") == "pve3")
    await_("the move is counted", lambda: evpn(observing).get("mobilitySequence") == 1)
    assert verdict(observing) == "Advertised"
    observing.agree()


@pytest.mark.frr_long
def test_a_node_that_ssh_does_not_reach_is_unknown_and_never_down(observing: Observing) -> None:
    """Its neighbours still see its sessions, so nothing is said to be down."""
    observing.frr.sshd["pve3"].stop()
    await_("pve3 is not seen", lambda: _node(observing, "pve3")["status"] == "Unknown", 40)
    assert observing.reason("EvpnController") != "SessionDown"
    assert "vnis" not in evpn_node(observing.stack, "pve3")
    observing.frr.sshd["pve3"].start()
    await_("pve3 is seen again", lambda: _node(observing, "pve3")["status"] == "True")
    observing.agree()


def test_no_key_is_shown_anywhere(observing: Observing) -> None:
    secret = observing.frr.ssh.private_key.splitlines()[1]
    assert secret not in observing.stack.log.read_text()
    for kind in ("pvec", "evpnn", "events.events.k8s.io"):
        assert secret not in observing.stack.plane.kubectl("get", kind, "-A", "-o", "yaml")


@pytest.fixture
def silent(observing: Observing) -> Iterator[Silent]:
    """VM 101 on pve4, which never says a word, and a NicAttachment that wants it pinned, not applied yet."""
    guest = Guest(101, "qemu", "pve4", "meter", {"net0": f"virtio={METER.upper()},bridge=vmbr0"}, speaks=False)
    observing.lab.guests[101] = guest
    attachment = observing.document("NicAttachment")
    spec = {**attachment["spec"], "guest": {"vmid": 101}, "macAddress": METER, "silentHost": "Pin"}
    document = {**attachment, "metadata": {"name": "meter", "namespace": "default"}, "spec": spec}
    yield Silent(observing, document)
    observing.stack.delete(document)
    del observing.lab.guests[101]


@pytest.mark.frr_long
def test_a_host_that_never_speaks_is_pinned_through_the_key_moves_and_leaves_no_zombie(
    observing: Observing, silent: Silent
) -> None:
    cluster = observing.document("ProxmoxCluster")
    ssh = {**observing.stack.observe["ssh"], "pinning": True}
    pinning = {**cluster["spec"], "observe": {**observing.stack.observe, "ssh": ssh}}
    observing.frr.ssh.force("/usr/local/sbin/pve-evpn-pin")
    observing.stack.apply({**cluster, "spec": pinning}, silent.document)
    await_("VM 101 is announced", lambda: silent.announced_by == "pve4")
    await_("the status says so", lambda: silent.status.get("pinned") is True)
    await_("the verdict too", lambda: silent.status["evpn"]["verdict"] == "Advertised")

    observing.lab.move(observing.lab.guests[101], "pve3")
    await_("VM 101 is announced from pve3", lambda: silent.announced_by == "pve3")
    await_("it is pinned there", lambda: silent.status.get("pin", {}).get("node") == "pve3")

    observing.stack.delete(silent.document)
    await_("VM 101 is withdrawn", lambda: silent.announced_by is None)
    assert all(METER not in observing.frr.tables(node).macs(VNI) for node in NODES)
    observing.stack.apply(cluster)
    observing.frr.ssh.force("/usr/local/sbin/pve-evpn-observe")


@pytest.mark.frr_long
def test_a_zone_without_mac_learning_has_proxmox_pin_every_nic(observing: Observing, silent: Silent) -> None:
    """No key that may write is needed, and none is given."""
    zone = observing.document("EvpnZone")
    quiet = {**zone, "spec": {**zone["spec"], "bridgeMacLearning": False}}
    observing.stack.apply(quiet)
    await_("the zone is changed", lambda: observing.frr.nodes["pve4"].bridges.made[VNET].learning is False, 60)
    observing.stack.await_ready(quiet)
    observing.stack.apply(silent.document)
    await_("VM 101 is announced", lambda: silent.announced_by == "pve4")
    await_("the status says so", lambda: silent.status.get("pinned") is True)
    assert "pin" not in silent.status
    observing.stack.delete(silent.document)
    observing.stack.apply(zone)
    await_("the zone is as before", lambda: observing.frr.nodes["pve1"].bridges.made[VNET].learning is True, 60)


@pytest.mark.frr_long
def test_a_node_left_out_of_the_peers_is_found(observing: Observing) -> None:
    """Instead of the fabric, addresses written by hand, and pve2's is forgotten."""
    controller = observing.document("EvpnController")
    forgetful = {**controller, "spec": {**controller["spec"], "underlay": {}}}
    forgetful["spec"]["underlay"] = {"peers": [ip for name, ip in NODES.items() if name != "pve2"]}
    observing.stack.apply(forgetful)
    await_("pve2 is missed", lambda: observing.reason("EvpnController") == "NodeMissingFromPeers", 60)
    assert "pve2" in _message(observing)
    observing.stack.apply(controller)
    await_full_mesh(observing.frr)
    await_("all is well", lambda: observing.status("EvpnController").get("sessionsSummary") == "12/12", 60)


@pytest.fixture
def isis_links(observing: Observing) -> Iterator[tuple[str, ...]]:
    """Two direct links between pve1 and pve2, with addresses: cut at one end, both ends are down."""
    links = ("isis0", "isis1")
    one, two = (observing.frr.nodes[name].space for name in ("pve1", "pve2"))
    for number, link in enumerate(links):
        run(
            "ip",
            "link",
            "add",
            "name",
            link,
            "netns",
            one.netns,
            "type",
            "veth",
            "peer",
            "name",
            link,
            "netns",
            two.netns,
        )
        for end, space in enumerate((one, two), 1):
            space.ip("addr", "add", f"10.77.{number}.{end}/24", "dev", link)
            space.ip("link", "set", "dev", link, "up")
    yield links
    for link in links:
        one.ip("link", "del", "dev", link)


@pytest.mark.frr_long
def test_isis_controllers_say_which_link_is_cut(observing: Observing, isis_links: tuple[str, ...]) -> None:
    stack, (kept, cut) = observing.stack, isis_links
    documents = [
        {
            "apiVersion": observing.document("EvpnController")["apiVersion"],
            "kind": "IsisController",
            "metadata": {"name": f"isis-{node}"},
            "spec": {
                "clusterRef": observing.document("EvpnController")["spec"]["clusterRef"],
                "node": node,
                "domain": "dc1",
                "interfaces": list(isis_links),
                "net": f"49.0001.1921.6801.600{node[-1]}.00",
            },
        }
        for node in ("pve1", "pve2")
    ]
    with contextlib.ExitStack() as undo:
        undo.callback(stack.delete, *documents)
        stack.apply(*documents)
        for document in documents:
            stack.await_condition(document, "Operational", "Operational", 60)
        stack.await_ready(*documents)
        assert [stack.get(document)["status"]["neighboursSummary"] for document in documents] == ["2/2", "2/2"]

        observing.frr.nodes["pve2"].space.ip("link", "set", "dev", cut, "down")
        for document in documents:
            stack.await_condition(document, "Operational", "AdjacencyDown")
            node, ready = document["spec"]["node"], stack.condition(document, "Ready")
            assert (ready["status"], ready["message"]) == ("False", f"{node}: interface {cut} has no neighbour")
            rows = {row["interface"]: row["state"] for row in stack.get(document)["status"]["neighbours"]}
            assert rows == {kept: "Up", cut: "Missing"}

        observing.frr.nodes["pve2"].space.ip("link", "set", "dev", cut, "up")
        for document in documents:
            stack.await_condition(document, "Operational", "Operational", 60)
        stack.await_ready(*documents)
    await_full_mesh(observing.frr)
