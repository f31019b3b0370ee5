"""Silent hosts on real FRR: pinned through ssh and the helper by the operator's own plan, and what EVPN makes of it.

Only Proxmox is played: `Operator` says where the guests are, the rest (plan, ssh, helper, kernel, FRR) is real.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from pve_evpn.domain.nics import plan_nics
from pve_evpn.domain.nics.pins import PinState
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.plan import plan
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.pins import PinWriter
from pve_evpn.engine.sync import Sync
from pve_evpn.observe.ssh import SshSource
from pve_lab.frr.guests import Nic
from pve_lab.frr.topology import Topology
from pve_lab.running_config import RunningConfig
from tests.frr.world import NODES, VNI
from tests.unit.nics.test_pins import SSH
from tests.unit.nics.test_plan_nics import World, attached, nic, vm
from tests.unit.plan.world import with_status
from tests.waiting import await_

T = TypeVar("T")
AGEING = 2
METER, CONTROL = "bc:24:11:00:00:10", "bc:24:11:00:00:20"


class Operator:
    """The part of the operator that pins, over a lab's nodes, with guests wherever a test says they are."""

    def __init__(self, lab: Topology) -> None:
        access = lab.ssh
        self._lab = lab
        self._loop = asyncio.new_event_loop()
        self._ssh = SshSource(
            access.private_key, access.known_hosts, user=access.user, port=access.port, addresses=access.addresses
        )
        self.where: dict[int, str] = {}
        self.nics: dict[int, Resource[Any]] = {}
        self.cache = Cache()
        ports: Any = SimpleNamespace(objects=self, events=self)
        self.pinning = PinWriter(ClusterContext("pve", self.cache, ports), lambda: self._ssh)

    def close(self) -> None:
        self.wait(self._ssh.close())
        self._loop.close()

    def wait(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(work)

    async def post(self, key: ObjectKey, uid: str, kind: str, reason: str, message: str, cause: str = "") -> None:
        """Events are told elsewhere."""

    async def patch_status(self, key: ObjectKey, status: Mapping[str, Any]) -> None:
        resource = self.cache._resources[key]
        self.cache._resources[resource.key] = with_status(resource, status)

    def attach(self, guest: Nic, node: str, policy: str = "Pin") -> ObjectKey:
        """Plug a NIC in, and have a NicAttachment for it."""
        self._lab.plug(node, guest)
        self.where[guest.vmid] = node
        item = attached(nic(f"n{guest.vmid}", guest={"vmid": guest.vmid}, silentHost=policy), vmid=guest.vmid)
        item = with_status(item, {"device": "net0", "macAddress": guest.mac})
        self.nics[guest.vmid] = item
        self.cache._resources[item.key] = item
        return item.key

    def one_pass(self) -> Mapping[ObjectKey, PinState]:
        guests = [
            vm(vmid, node=node, name=f"g{vmid}", nics={"net0": f"virtio={self._lab.guests.nic(vmid).mac},bridge=net1"})
            for vmid, node in self.where.items()
        ]
        world = World(*guests, observe=SSH)
        wanted = world.desired(*(self.cache._resources[item.key] for item in self.nics.values()))
        planned = plan(wanted, world.observed)
        decided = plan_nics(wanted, world.observed, planned.decisions)
        gateway: Any = None
        sync = Sync(gateway, wanted, world.observed, planned, nics=decided)
        return self.wait(self.pinning.write(sync)).pins

    def ask(self, vmid: int, policy: str) -> None:
        """Change what the NicAttachment says about silence."""
        item = self.cache._resources[self.nics[vmid].key]
        assert item.spec is not None
        changed = replace(item, spec=item.spec.model_copy(update={"silent_host": policy}))
        self.cache._resources[item.key] = self.nics[vmid] = changed


@pytest.fixture(scope="module")
def lab() -> Iterator[Topology]:
    """The unit tests' world (zone1, net1) on real nodes, whose key may pin."""
    running = RunningConfig(
        controllers={"evpn1": {"type": "evpn", "asn": 65001, "fabric": "Fabric1"}},
        zones={"zone1": {"type": "evpn", "controller": "evpn1", "vrf-vxlan": 100001}},
        vnets={"net1": {"type": "vnet", "zone": "zone1", "tag": VNI}},
        fabrics={"Fabric1": {"id": "Fabric1", "protocol": "ospf", "area": "0"}},
        fabric_nodes=tuple({"fabric_id": "Fabric1", "node_id": name, "ip": ip} for name, ip in NODES.items()),
    )
    with Topology(NODES, ageing_seconds=AGEING) as made:
        made.apply(running)
        for name in NODES:
            await_(f"{name} has its sessions", lambda name=name: len(made.tables(name).established()) == 3)
        made.ssh.force("/usr/local/sbin/pve-evpn-pin")
        yield made


@pytest.fixture
def operator(lab: Topology) -> Iterator[Operator]:
    made = Operator(lab)
    yield made
    for vmid in made.where:
        if lab.guests.where(vmid):
            lab.unplug(vmid)
    await_("no MAC is announced any more", lambda: not lab.tables("pve1").mac_routes())
    made.close()


def announced_by(lab: Topology, mac: str, seen_from: str = "pve1") -> str | None:
    """The node a MAC is reached through, as another node has it."""
    route = lab.tables(seen_from).mac_route(mac)
    return next((name for name, address in NODES.items() if route and address == route.nexthop), None)


def holds(what: str, seconds: float, check: Callable[[], bool]) -> None:
    """Something stays true for a time that means something to the network."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert check(), what
        time.sleep(0.2)


@pytest.mark.parametrize(
    "guest",
    [
        Nic(110, 0, "net1", METER),
        Nic(111, 0, "net1", METER, firewall=True),
        Nic(112, 0, "net1", METER, container=True),
    ],
    ids=["VM", "VM behind the firewall", "container"],
)
def test_a_host_that_never_spoke_is_announced_while_pinned(lab: Topology, operator: Operator, guest: Nic) -> None:
    key = operator.attach(guest, "pve4")
    assert announced_by(lab, METER) is None
    assert operator.one_pass()[key].pinned is True
    await_("the pinned MAC is announced", lambda: announced_by(lab, METER) == "pve4")
    assert operator.one_pass()[key].pinned is True
    operator.ask(guest.vmid, "Observe")
    assert key not in operator.one_pass()
    await_("the un-pinned MAC is withdrawn", lambda: announced_by(lab, METER) is None)


@pytest.mark.frr_long
def test_a_pinned_mac_outlives_five_ageing_times_that_others_do_not(lab: Topology, operator: Operator) -> None:
    operator.attach(Nic(110, 0, "net1", METER), "pve4")
    operator.attach(Nic(120, 0, "net1", CONTROL), "pve4", policy="Observe")
    operator.one_pass()
    lab.speak(120)
    await_("both are announced", lambda: announced_by(lab, METER) == announced_by(lab, CONTROL) == "pve4")
    holds("the pinned MAC stays", 5 * AGEING, lambda: announced_by(lab, METER) == "pve4")
    assert announced_by(lab, CONTROL) is None, "a MAC that is not pinned has aged"


@pytest.mark.frr_long
def test_a_pin_moves_with_its_guest_and_is_not_stolen_back(lab: Topology, operator: Operator) -> None:
    key = operator.attach(Nic(110, 0, "net1", METER), "pve4")
    operator.one_pass()
    await_("pve4 announces it", lambda: announced_by(lab, METER) == "pve4")
    # Its one frame there counts until the operator has asked both nodes, however busy this machine is.
    lab.nodes["pve3"].bridges.set_ageing(60)
    lab.move(110, "pve3")
    # The operator still believes the old place, and the port is there again: it must not take the MAC back.
    left = lab.nodes["pve4"].space
    left.ip("link", "add", "name", "tap110i0", "type", "veth", "peer", "name", "ghost")
    left.ip("link", "set", "dev", "tap110i0", "master", "net1", "up")
    left.ip("link", "set", "dev", "ghost", "up")
    await_("pve3 announces it", lambda: announced_by(lab, METER) == "pve3")
    state = operator.one_pass()[key]
    assert state.pinned is False
    assert "another node" in state.note
    left.ip("link", "del", "dev", "tap110i0")
    operator.where[110] = "pve3"
    state = operator.one_pass()[key]
    assert (state.pinned, state.pin.node if state.pin else None) == (True, "pve3")
    lab.nodes["pve3"].bridges.set_ageing(AGEING)
    holds("it stays on pve3", 3 * AGEING, lambda: announced_by(lab, METER) == "pve3")
    assert operator.one_pass()[key].pinned is True
    entries = lab.nodes["pve4"].space.bridge("fdb", "show", "br", "net1").splitlines()
    assert [line for line in entries if METER in line and "tap" in line] == []


def test_a_guest_that_moves_without_a_word_is_announced_where_it_went(lab: Topology, operator: Operator) -> None:
    key = operator.attach(Nic(110, 0, "net1", METER), "pve4")
    operator.one_pass()
    await_("pve4 announces it", lambda: announced_by(lab, METER) == "pve4")
    lab.move(110, "pve2", gratuitous=False)
    operator.where[110] = "pve2"
    await_("its pin is on pve2", lambda: operator.one_pass()[key].pinned is True)
    await_("pve2 announces it", lambda: announced_by(lab, METER) == "pve2")


def test_a_pinned_nic_that_is_deleted_leaves_no_zombie(lab: Topology, operator: Operator) -> None:
    guests = [Nic(130 + n, 0, "net1", f"bc:24:11:00:01:{n:02x}") for n in range(10)]
    keys = [operator.attach(guest, "pve4") for guest in guests]
    assert all(state.pinned for state in operator.one_pass().values())
    tables = lab.tables("pve1")
    await_("all are announced", lambda: {r.mac for r in tables.mac_routes()} >= {guest.mac for guest in guests})
    assert operator.wait(operator.pinning.before_write(keys, World(observe=SSH).observed)) == {}
    for guest in guests:
        lab.unplug(guest.vmid)
    operator.where.clear()
    await_("all are withdrawn", lambda: not tables.mac_routes())
    for name in NODES:
        assert lab.tables(name).macs(VNI) == {}, f"{name} has forgotten them too"


def test_a_key_that_may_only_read_pins_nothing(lab: Topology, operator: Operator) -> None:
    key = operator.attach(Nic(110, 0, "net1", METER), "pve4")
    lab.ssh.force("/usr/local/sbin/pve-evpn-observe")
    try:
        state = operator.one_pass()[key]
    finally:
        lab.ssh.force("/usr/local/sbin/pve-evpn-pin")
    assert state.pinned is None
    assert METER not in lab.nodes["pve4"].space.bridge("fdb", "show", "br", "net1")
