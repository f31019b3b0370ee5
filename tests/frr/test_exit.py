"""Two exit nodes and a router outside: what the operator says of them, and how long a failover of the primary takes.

With VRF devices a guest sends real packets to an address behind the router outside while the primary fails. Without
them the zone is in the default VRF: the sessions, the nodes' own default routes and the advertised subnets are there,
the default route by EVPN and the effect of a primary are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from pve_evpn.api.zone import Exit, ExitNode
from pve_evpn.domain.health import assess
from pve_evpn.domain.health.expected import (
    ExpectedController,
    ExpectedExit,
    ExpectedOverlay,
    ExpectedRouter,
    ExpectedZone,
)
from pve_evpn.domain.health.overlay import networks_to_advertise
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.state import NodeState
from pve_evpn.observe.fallback import Chain
from pve_evpn.observe.source import NodeTarget
from pve_evpn.observe.ssh import SshSource
from pve_lab.frr.guests import Nic
from pve_lab.frr.namespaces import inside, run
from pve_lab.frr.outside import INTERNET, Outside
from pve_lab.frr.topology import Topology
from pve_lab.running_config import RunningConfig
from tests.frr.world import NODES, VM1, VNET, await_full_mesh, seed
from tests.waiting import await_

UPLINKS = {"pve1": "192.0.2.2/30", "pve2": "192.0.2.6/30"}
ROUTERS = {"pve1": "192.0.2.1", "pve2": "192.0.2.5"}
SUBNET, GATEWAY, L3_VNI = "10.50.1.0/24", "10.50.1.1", 100001
ZONE = ObjectKey("EvpnZone", "", "ezone1")
CONTROLLER = ObjectKey("EvpnController", "", "evpn1")
VM = Nic(100, 0, VNET, VM1, ip="10.50.1.11/24")
#: Seconds between two probes, and after how many an answer that is still missing counts as lost.
EVERY, LATE = 0.1, 2.0
#: Seconds that no failover takes: BGP's hold time where no timer is configured at all (RFC 4271).
BOUND = 180.0
#: Seconds for one read of all nodes: user-mode Linux is slow.
_PATIENCE = 240.0
#: Nothing goes out to the routers outside.
SILENT = ({"route-map-id": "silent", "order": 1, "action": "deny"},)


def leaving(**edge: str) -> RunningConfig:
    """pve1 is the primary and pve2 stands by, each with a BGP controller; ``edge`` is set on pve2's."""
    own = {
        f"edge-{name}": {"type": "bgp", "asn": 65001, "node": name, "peers": router, "ebgp": 1}
        for name, router in ROUTERS.items()
    }
    one = seed(**{"exitnodes": "pve1,pve2", "exitnodes-primary": "pve1", "mac": "bc:24:11:00:00:01"})
    return replace(
        one,
        controllers={**one.controllers, **own, "edge-pve2": {**own["edge-pve2"], **edge}},
        subnets={"EZone1-10.50.1.0-24": {"vnet": VNET, "gateway": GATEWAY}},
        route_map_entries=SILENT if edge else (),
    )


class Reader:
    """Reads the nodes by ssh, as the operator does, and assesses what they show of the zone's exit nodes."""

    def __init__(self, lab: Topology) -> None:
        self._loop = asyncio.new_event_loop()
        access = lab.ssh
        ssh = SshSource(
            access.private_key, access.known_hosts, user=access.user, port=access.port, addresses=access.addresses,
            connect_timeout=_PATIENCE, read_timeout=_PATIENCE,
        )  # fmt: skip
        self._chain = Chain([ssh], timedelta(0), _PATIENCE)
        self._expected = ExpectedOverlay(
            members={name: NodeState(name, True, address) for name, address in NODES.items()},
            controllers=(
                ExpectedController(CONTROLLER, "evpn1", None, {name: (own,) for name, own in NODES.items()}),
            ),
            routers=tuple(
                ExpectedRouter(ObjectKey("BgpController", "", f"edge-{name}"), name, (router,))
                for name, router in ROUTERS.items()
            ),
            zones=(
                ExpectedZone(
                    ZONE, "EZone1", L3_VNI, tuple(NODES), exit_known=True,
                    exit=ExpectedExit(("pve1", "pve2"), "pve1", routed=(SUBNET,)),
                ),
            ),
        )  # fmt: skip

    def close(self) -> None:
        self._loop.run_until_complete(self._chain.close())
        self._loop.close()

    def exit(self) -> Exit:
        networks = networks_to_advertise(self._expected)
        targets = [NodeTarget(name, address, networks.get(name, ())) for name, address in NODES.items()]
        observation = self._loop.run_until_complete(self._chain.poll(targets))
        assert observation.failed() == {}
        status = assess(self._expected, observation, {}).health[ZONE].status
        found = getattr(status, "exit", None)
        assert isinstance(found, Exit)
        return found

    def node(self, name: str) -> ExitNode:
        return next(row for row in self.exit().nodes or () if row.name == name)

    def await_exit(self, what: str, check: Callable[[Exit], bool]) -> Exit:
        found: list[Exit] = []

        def seen() -> bool:
            found.append(self.exit())
            return check(found[-1])

        try:
            await_(what, seen, 2 * _PATIENCE)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; it says {[each.model_dump(exclude_none=True) for each in found[-1:]]}"
            ) from None
        return found[-1]


@pytest.fixture(scope="module")
def lab() -> Iterator[Topology]:
    with Topology(NODES, outside=Outside(UPLINKS)) as lab:
        lab.apply(leaving())
        await_full_mesh(lab)
        lab.plug("pve4", VM)
        run("ip", "-n", lab.folder.name("vm100"), "route", "replace", "default", "via", GATEWAY, "dev", "eth0")
        lab.speak(100)
        yield lab


@pytest.fixture(scope="module")
def reader(lab: Topology) -> Iterator[Reader]:
    with contextlib.closing(Reader(lab)) as reader:
        yield reader


def in_order(found: Exit) -> bool:
    return (
        found.summary == "2/2"
        and not found.problems
        and all(
            [(peer.address, peer.advertised) for peer in row.peers or ()] == [(ROUTERS[row.name], 1)]
            for row in found.nodes or ()
        )
    )


def test_both_exit_nodes_in_order(lab: Topology, reader: Reader) -> None:
    found = reader.await_exit("both exit nodes are usable and advertise the subnet", in_order)
    one, two = found.nodes or ()
    assert (one.role, two.role, one.rp_filter, two.rp_filter) == ("Primary", "Standby", "Off", "Off")
    for row in (one, two):
        assert row.default_route is not None
        # The standby's own table imports the VRF's routes, and the default route by the primary has a shorter AS path.
        hop = NODES["pve1"] if lab.vrf and row is two else ROUTERS[row.name]
        assert (row.default_route.protocol, row.default_route.next_hops) == ("bgp", [hop])
    assert lab.world is not None
    assert SUBNET in lab.world.vtysh("show ip route bgp")
    assert any("answers may come back by pve2" in risk for risk in found.risks or ())
    if not lab.vrf:
        assert (one.vrf_default_route, found.without_default_route) == (None, None)
        return
    assert (one.originates, two.originates, found.without_default_route) == (True, True, [])
    assert one.vrf_default_route is not None
    assert two.vrf_default_route is not None
    assert (one.vrf_default_route.state, two.vrf_default_route.next_hops) == ("Absent", [NODES["pve1"]])


def test_a_strict_rp_filter_is_named(lab: Topology, reader: Reader) -> None:
    lab.nodes["pve2"].space.sysctl(ipv4__conf__vrfbr_EZone1__rp_filter=1)
    try:
        found = reader.exit()
    finally:
        lab.nodes["pve2"].space.sysctl(ipv4__conf__vrfbr_EZone1__rp_filter=0)
    assert [text.split(" (")[0] for text in found.problems or ()] == ["pve2: rp_filter of vrfbr_EZone1 is 1"]


def test_a_route_map_that_keeps_the_subnet_back_is_seen(lab: Topology, reader: Reader) -> None:
    lab.apply(leaving(**{"route-map-out": "silent"}))
    try:
        found = reader.await_exit(
            "pve2 advertises the subnet to no router outside",
            lambda found: any("pve2 advertises 10.50.1.0/24 to no router" in risk for risk in found.risks or ()),
        )
    finally:
        lab.apply(leaving())
    (peer,) = (found.nodes or ())[1].peers or ()
    assert (peer.address, peer.missing) == (ROUTERS["pve2"], [SUBNET])
    reader.await_exit("all is in order again", in_order)


def test_a_router_outside_that_is_gone_takes_the_default_route_along(lab: Topology, reader: Reader) -> None:
    """The primary's: it has no default route of its own any more, and still originates one for the others."""
    where = ("configure terminal", "router bgp 65100")
    assert lab.world is not None
    lab.world.vtysh(*where, "neighbor 192.0.2.2 shutdown")
    try:
        found = reader.await_exit(
            "pve1 has no default route",
            lambda found: (
                "pve1 has no default route of its own, so packets that leave by it are dropped"
                in (found.problems or ())
            ),
        )
        assert found.summary == "1/2"
    finally:
        lab.world.vtysh(*where, "no neighbor 192.0.2.2 shutdown")
    reader.await_exit("all is in order again", in_order)


# --- failover, with packets ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """The longest time between two probes that were answered, less the usual; and how many were not."""

    seconds: float
    probes: int
    of: int

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s without an answer, {self.probes} of {self.of} probes lost"


@dataclass
class Probes:
    """Datagrams of the guest to the address behind the router outside, which sends them back."""

    lab: Topology
    sent: list[float] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        assert self.lab.world is not None
        outside = inside(self.lab.world.space.netns, lambda: _socket(INTERNET, 7007))
        guest = inside(self.lab.folder.name("vm100"), lambda: _socket("10.50.1.11", 7007))
        for work, wire in ((self._echo, outside), (self._send, guest), (self._receive, guest)):
            thread = threading.Thread(target=work, args=(wire,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def flowing(self) -> bool:
        """Whether the last probes that had time to be answered were."""
        newest = len(self.sent) - int(LATE / EVERY)
        return newest >= 5 and all(number in self.answered for number in range(newest - 5, newest))

    def lost(self, since: float) -> Loss:
        """What was lost since a moment, of the probes that had time to be answered."""
        settled = list(enumerate(self.sent))[: -int(LATE / EVERY)]
        recent = [(at, number in self.answered) for number, at in settled if at >= since - 1]
        gaps = [then - at for at, then in itertools.pairwise(at for at, back in recent if back)]
        longest = max(0.0, max(gaps, default=0.0) - EVERY)
        return Loss(longest, sum(not back for _, back in recent), len(recent))

    def _echo(self, wire: socket.socket) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                wire.sendto(*wire.recvfrom(64))

    def _send(self, wire: socket.socket) -> None:
        while not self._ended.wait(EVERY):
            number = len(self.sent)
            self.sent.append(time.monotonic())
            with contextlib.suppress(OSError):
                wire.sendto(str(number).encode(), (INTERNET, 7007))

    def _receive(self, wire: socket.socket) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                self.answered.add(int(wire.recv(64)))


def _socket(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(0.5)
    made.bind((address, port))
    return made


@pytest.fixture
def probes(lab: Topology, reader: Reader) -> Iterator[Probes]:
    reader.await_exit("both exit nodes are in order", in_order)
    probes = Probes(lab)
    probes.start()
    try:
        await_("the guest's packets come back", probes.flowing, BOUND)
        yield probes
    finally:
        probes.stop()


def way_out(lab: Topology) -> set[str]:
    """The next hops of the default route in the VRF of the guest's node."""
    rows = lab.tables("pve4").json("show ip route vrf vrf_EZone1").get("0.0.0.0/0", ())
    return {str(hop.get("ip")) for row in rows if row.get("selected") for hop in row["nexthops"]}


def cut(lab: Topology) -> Callable[[], None]:
    lab.cut("pve1")
    return lambda: lab.mend("pve1")


def kill_bgpd(lab: Topology) -> Callable[[], None]:
    lab.nodes["pve1"].kill_daemon("bgpd")
    return lambda: lab.nodes["pve1"].start_daemon("bgpd")


def shut_uplink(lab: Topology) -> Callable[[], None]:
    """The session with the router outside alone: Proxmox' exit node goes on originating the default route."""
    where = ("configure terminal", "router bgp 65001")
    lab.vtysh("pve1", *where, "neighbor 192.0.2.1 shutdown")
    return lambda: (lab.vtysh("pve1", *where, "no neighbor 192.0.2.1 shutdown"), None)[1]


@pytest.mark.frr_long
@pytest.mark.frr_vrf
@pytest.mark.parametrize("fail", [cut, kill_bgpd])
def test_failover_of_the_primary(
    lab: Topology, reader: Reader, probes: Probes, fail: Callable[[Topology], Callable[[], None]]
) -> None:
    await_("pve4 leaves by pve1 alone", lambda: way_out(lab) == {NODES["pve1"]}, BOUND)
    failed = time.monotonic()
    heal = fail(lab)
    try:
        await_("pve4 leaves by pve2", lambda: way_out(lab) == {NODES["pve2"]}, BOUND)
        await_("the guest's packets come back", probes.flowing, BOUND)
    finally:
        lost = probes.lost(failed)
        healed = time.monotonic()
        heal()
    await_("pve4 leaves by pve1 again", lambda: way_out(lab) == {NODES["pve1"]}, BOUND)
    mark = len(probes.sent)
    await_("probes show what the way back costs", lambda: len(probes.sent) >= mark + 50, BOUND)
    await_("the guest's packets come back", probes.flowing, BOUND)
    back = probes.lost(healed)
    print(f"\nprimary fails ({fail.__name__}): {lost}; it comes back: {back}", flush=True)
    assert max(lost.seconds, back.seconds) < BOUND
    reader.await_exit("all is in order again", in_order)


@pytest.mark.frr_long
@pytest.mark.frr_vrf
def test_a_primary_that_lost_its_uplink_loses_the_packets_and_the_operator_says_so(
    lab: Topology, reader: Reader, probes: Probes
) -> None:
    """No failover: an exit node originates the default route whether it has one itself or not."""
    heal = shut_uplink(lab)
    try:
        await_("the guest's packets do not come back", lambda: not probes.flowing(), BOUND)
        found = reader.await_exit("pve1 is unusable", lambda found: found.summary == "1/2")
        assert way_out(lab) == {NODES["pve1"]}
        assert "pve1 has no default route of its own, so packets that leave by it are dropped" in (found.problems or ())
    finally:
        heal()
    await_("the guest's packets come back", probes.flowing, BOUND)
