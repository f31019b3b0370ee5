"""What real FRR shows, assessed: route targets of every form, route reflectors, a network that is worse than before.

The nodes are read by source ssh, as the operator reads them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pve_evpn.domain.health import Assessment, assess
from pve_evpn.domain.health.confirm import PATIENCE, Comparison, compare
from pve_evpn.domain.health.expected import ExpectedController, ExpectedNic, ExpectedOverlay, ExpectedVNet, Nic
from pve_evpn.domain.health.network_record import NetworkRecord, record_network
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.domain.sdn import Canonical, SdnKind, SdnObject, SdnRef
from pve_evpn.domain.state import NodeState
from pve_evpn.observe.fallback import Chain
from pve_evpn.observe.source import NodeTarget
from pve_evpn.observe.ssh import SshSource
from pve_lab.frr.guests import Nic as LabNic
from pve_lab.frr.topology import Topology
from pve_lab.running_config import RunningConfig
from tests.frr.world import NODES, VM1, VNET, VNI, await_full_mesh, seed
from tests.waiting import await_

pytestmark = pytest.mark.frr_long

CONTROLLER = ObjectKey("EvpnController", "", "evpn1")
NIC = ObjectKey("NicAttachment", "default", "vm1-net0")
RFC8365 = 0x10000000
ALL = tuple(NODES)


class Watch:
    """Polls the lab's nodes, and assesses what they show."""

    def __init__(self, lab: Topology) -> None:
        self.lab = lab
        self._loop = asyncio.new_event_loop()
        access = lab.ssh
        ssh = SshSource(
            access.private_key, access.known_hosts, user=access.user, port=access.port, addresses=access.addresses
        )
        self._chain = Chain([ssh], timedelta(0), 20)
        self.nodes = {name: NodeState(name, True, address) for name, address in NODES.items()}
        self.home = "pve4"

    def close(self) -> None:
        self._loop.run_until_complete(self._chain.close())
        self._loop.close()

    def poll(self) -> ClusterObservation:
        targets = [NodeTarget(name, address) for name, address in NODES.items()]
        return self._loop.run_until_complete(self._chain.poll(targets))

    def expected(self, peers: tuple[str, ...] | None = None) -> ExpectedOverlay:
        addresses = {name: (address,) for name, address in NODES.items()}
        return ExpectedOverlay(
            members=self.nodes,
            controllers=(ExpectedController(CONTROLLER, "evpn1", peers, addresses),),
            vnets=(ExpectedVNet(ObjectKey("VNet", "default", "evpn1"), VNET, VNI, "EZone1", ALL),),
            nics=(ExpectedNic(NIC, Nic(VM1, VNI, self.home), VNET),),
        )

    def assess(self, peers: tuple[str, ...] | None = None) -> Assessment:
        return assess(self.expected(peers), self.poll(), {})


@pytest.fixture(scope="module")
def watch(frr_lab: Topology) -> Iterator[Watch]:
    watch = Watch(frr_lab)
    frr_lab.set_ageing(300)
    frr_lab.plug("pve4", LabNic(100, 0, VNET, VM1, ip="10.50.1.11"))
    frr_lab.speak(100)
    yield watch
    frr_lab.unplug(100)
    watch.close()


@pytest.fixture(autouse=True)
def put_back(frr_lab: Topology) -> Iterator[None]:
    yield
    frr_lab.apply(seed())
    await_full_mesh(frr_lab)
    frr_lab.speak(100)


def on_all(lab: Topology, *commands: str) -> None:
    for name in NODES:
        lab.vtysh(name, "configure terminal", *commands)


FORMS = {
    "rfc8365": ("router bgp 65001", "address-family l2vpn evpn", "autort rfc8365-compatible"),
    "manual": (
        "router bgp 65001", "address-family l2vpn evpn", f"vni {VNI}", "route-target import 65000:100",
        "route-target export 65000:100",
    ),
    "an AS of four bytes": (
        "router bgp 65001", "address-family l2vpn evpn", f"vni {VNI}", "route-target import 4200000001:100",
        "route-target export 4200000001:100",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_mac_is_seen_whatever_its_route_targets_look_like(watch: Watch, form: str) -> None:
    on_all(watch.lab, *FORMS[form])

    def targets() -> set[str]:
        nodes = watch.poll().answered()
        return {
            target for node in nodes.values() for route in node.routes or () if route.mac == VM1
            for target in route.route_targets
        }  # fmt: skip

    await_("the routes carry the new targets", lambda: bool(targets()) and f"65001:{VNI}" not in targets())
    await_("the MAC is advertised", lambda: watch.assess().macs[NIC].state == "Advertised")
    found = watch.assess()
    assert (found.macs[NIC].node, found.macs[NIC].seen_by) == ("pve4", 4)
    assert next(iter(found.l2.values())).type3 == 4


def test_nodes_with_route_reflectors_are_in_the_overlay(watch: Watch) -> None:
    """pve1 and pve2 reflect; pve3 and pve4 have sessions with those two only."""
    peers = (NODES["pve1"], NODES["pve2"])
    for name in ("pve1", "pve2"):
        watch.lab.vtysh(
            name, "configure terminal", "router bgp 65001", "address-family l2vpn evpn",
            "neighbor VTEP route-reflector-client",
        )  # fmt: skip
    for name, other in (("pve3", "pve4"), ("pve4", "pve3")):
        watch.lab.vtysh(name, "configure terminal", "router bgp 65001", f"no neighbor {NODES[other]} peer-group VTEP")
    wanted = {"pve3": set(peers), "pve4": set(peers)}
    await_("sessions", lambda: all(watch.lab.tables(name).established() == wanted[name] for name in wanted))
    await_("6 of 6", lambda: watch.assess(peers).health[CONTROLLER].operational.status is True)
    found = watch.assess(peers)
    assert found.health[CONTROLLER].operational.message == "6 of 6 sessions established"
    assert found.expected[CONTROLLER].missing == ()


# --- worse than before --------------------------------------------------------------------------------------------


def sdn(**controller: Canonical) -> dict[SdnRef, SdnObject]:
    """The seed as the operator has it from Proxmox."""
    rows: Mapping[SdnRef, tuple[str, dict[str, Canonical]]] = {
        SdnRef(SdnKind.CONTROLLER, "evpn1"): ("evpn", {"asn": "65001", "fabric": "Fabric1", **controller}),
        SdnRef(SdnKind.ZONE, "EZone1"): ("evpn", {"controller": "evpn1", "vrf-vxlan": "100001"}),
        SdnRef(SdnKind.VNET, VNET): ("vnet", {"zone": "EZone1", "tag": str(VNI)}),
    }
    return {ref: SdnObject(ref, type_, props) for ref, (type_, props) in rows.items()}


def record(watch: Watch, **controller: Canonical) -> NetworkRecord:
    """Taken while all is well, durable as the journal has it."""
    await_("the MAC is known everywhere", lambda: watch.assess().macs[NIC].seen_by == 4)
    found = record_network(watch.poll(), watch.expected(), sdn(), sdn(**controller))
    assert len(found.sessions.nodes) == 4
    assert len(found.macs) == 1
    return NetworkRecord.load(found.dump())


def compared(watch: Watch, before: NetworkRecord) -> Comparison:
    """As if the apply had ended longer ago than anything may take."""
    observation = watch.poll()
    applied = datetime.now(UTC) - max(PATIENCE.values()) - timedelta(minutes=1)
    return compare(before, observation, watch.nodes, applied)


def with_controller(**props: Any) -> RunningConfig:
    running = seed()
    return replace(running, controllers={"evpn1": {**running.controllers["evpn1"], **props}})


def wrong_asn(watch: Watch) -> None:
    """One node reloads with an AS number that the others do not have."""
    watch.lab.apply(with_controller(asn=65002), ["pve2"])


def peers_without_a_node(watch: Watch) -> None:
    peers = ",".join(NODES[name] for name in ALL[:3])
    running = with_controller(peers=peers)
    controllers = {"evpn1": {key: value for key, value in running.controllers["evpn1"].items() if key != "fabric"}}
    watch.lab.apply(replace(running, controllers=controllers))


def route_map(watch: Watch) -> None:
    on_all(watch.lab, "route-map MAP_VTEP_OUT deny 1")


FAULTS: dict[str, tuple[Callable[[Watch], None], str]] = {
    "a wrong ASN": (wrong_asn, "has lost its session with pve"),
    "a peer list without a node": (peers_without_a_node, "has lost its session with pve4"),
    "a route map that drops everything": (route_map, "is no longer in the flood list of"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_worse_than_before(watch: Watch, fault: str) -> None:
    before = record(watch)
    break_, complaint = FAULTS[fault]
    break_(watch)
    await_(f"{fault} shows", lambda: any(complaint in worse.message for worse in compared(watch, before).worse), 60)
    watch.lab.apply(seed())
    await_full_mesh(watch.lab)
    watch.lab.speak(100)
    await_("nothing is worse once it is taken back", lambda: compared(watch, before).complete, 60)


def test_a_guest_that_moves_and_one_that_falls_silent_are_not_worse(watch: Watch) -> None:
    before = record(watch)
    watch.lab.move(100, "pve3")
    await_("pve3 has the MAC", lambda: watch.lab.tables("pve1").mac_route(VM1).nexthop == NODES["pve3"])
    await_("nothing is worse", lambda: compared(watch, before).complete)
    watch.lab.move(100, "pve4")
    watch.lab.set_ageing(1)
    await_("the MAC is withdrawn", lambda: watch.lab.tables("pve1").mac_route(VM1) is None)
    assert compared(watch, before).complete
    watch.lab.set_ageing(300)


@pytest.mark.timeout(1200)
def test_fifty_harmless_applies_are_never_worse_than_before(watch: Watch) -> None:
    """VNets come and go while a guest moves and falls silent: everything recorded is back within its patience."""
    chance = random.Random(18)
    slowest, home = timedelta(0), "pve4"
    for turn in range(50):
        before = record_network(watch.poll(), watch.expected(), sdn(), sdn())
        extra = {f"more{n}": {"type": "vnet", "zone": "EZone1", "tag": 6000 + n} for n in range(chance.randrange(4))}
        watch.lab.apply(replace(seed(), vnets={**seed().vnets, **extra}))
        applied_at = datetime.now(UTC)
        match chance.choice(["speaks", "moves", "falls silent", "nothing"]):
            case "speaks":
                watch.lab.speak(100)
            case "moves":
                home = chance.choice([name for name in ALL if name != home])
                watch.lab.move(100, home)
            case "falls silent":
                watch.lab.nodes[home].space.ip("link", "set", "dev", VNET, "type", "bridge", "fdb_flush")
        while not (found := compare(before, watch.poll(), watch.nodes, applied_at)).complete:
            assert found.worse == (), f"after apply {turn}: {found.message}"
        slowest = max(slowest, datetime.now(UTC) - applied_at)
        print(f"apply {turn}: all back after {(datetime.now(UTC) - applied_at).total_seconds():.1f} s", flush=True)
    print(f"slowest of 50: {slowest.total_seconds():.1f} s")
