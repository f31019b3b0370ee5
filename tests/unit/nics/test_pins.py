"""Pins, case by case: where they belong, when they go, and what is asked of the nodes for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pve_evpn.api import kinds
from pve_evpn.api.status import as_written
from pve_evpn.domain.nics import plan_nics
from pve_evpn.domain.nics.pins import Pin, PinPlan, Zombie, pin_of, plan_pins
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import ClusterObservation, MacRow, NodeObservation
from pve_evpn.domain.plan import plan
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.pins import HELD, PinWriter
from pve_evpn.engine.sync import Sync
from pve_evpn.observe.source import NodeTarget, NodeUnreadable
from tests.unit.nics.test_plan_nics import MAC, ON_VNET, World, attached, nic, vm
from tests.unit.plan.world import NODES, vnet, with_status

SSH = {
    "sources": ["ssh"],
    "ssh": {"keySecretRef": {"name": "k", "key": "k"}, "knownHosts": ["pve1 ssh-ed25519 AAAA"], "pinning": True},
}
LOW = MAC.lower()
PIN = Pin("pve4", "net1", 100, "net0", LOW)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def silent(name: str = "meter", **spec: Any) -> Resource[Any]:
    status = spec.pop("status", {})
    return attached(nic(name, silentHost="Pin", **spec), device="net0", **status)


def pinned(name: str = "meter", pin: Pin = PIN, **spec: Any) -> Resource[Any]:
    item = silent(name, **spec)
    return with_status(item, {"pinned": True, "pin": pin.status()})


def on_vnet(**changes: Any) -> Any:
    return vm(**{"nics": {"net0": ON_VNET}, **changes})


def world(*guests: Any, zone_spec: dict[str, Any] | None = None, observe: Any = SSH) -> World:
    return World(*(guests or (on_vnet(),)), zone_spec=zone_spec, observe=observe)


def polled(*rows: MacRow, node: str = "pve4", at: datetime = NOW) -> ClusterObservation:
    return ClusterObservation(at, {node: NodeObservation(node, "ssh", at, macs=rows)})


def pins(made: World, *nics: Resource[Any], seen: ClusterObservation | None = None) -> PinPlan:
    wanted = made.desired(*nics)
    planned = plan(wanted, made.observed)
    return plan_pins(wanted, made.observed, planned, plan_nics(wanted, made.observed, planned.decisions), seen)


# --- where a pin belongs ------------------------------------------------------------------------------------------


def test_a_silent_host_is_pinned_where_it_runs() -> None:
    item = silent()
    assert pins(world(), item).desired == {item.key: PIN}
    assert pins(world(on_vnet(node="pve2")), item).desired == {item.key: replace(PIN, node="pve2")}


def test_no_other_is_pinned() -> None:
    assert pins(world(), attached(nic())).desired == {}


def test_it_needs_to_be_allowed() -> None:
    item = silent()
    for observe in (None, {**SSH, "ssh": {**SSH["ssh"], "pinning": False}}, {**SSH, "sources": ["api"]}):
        made = pins(world(observe=observe), item)
        assert made.desired == {}
        assert made.states[item.key].pinned is False
        assert "bridgeMacLearning" in made.states[item.key].note
        assert "pinning" in made.states[item.key].note


@pytest.mark.parametrize(
    ("guest", "why"),
    [
        ({"running": False}, "stopped"),
        ({"lock": "migrate"}, "migrates"),
        ({"nics": {"net0": f"{ON_VNET},link_down=1"}}, "link"),
        ({"pending": {"net0": ON_VNET.replace("00:01", "00:09")}}, "connected as specified"),
        ({"pending": {"net0": None}}, "connected as specified"),
        ({"nics": {"net0": ON_VNET.replace("net1", "vmbr0")}}, "before it is connected"),
    ],
)
def test_a_pin_goes_while_it_does_not_belong(guest: dict[str, Any], why: str) -> None:
    item = pinned()
    made = pins(world(on_vnet(**guest)), item)
    assert made.desired == {}
    assert made.stale == {item.key: PIN}
    assert why in made.states[item.key].note


@pytest.mark.parametrize(
    ("guest", "spec"),
    [
        ({"lock": "backup"}, {}),
        ({"lock": "backup"}, {"rateLimitMBps": 10}),
        ({"lock": "backup"}, {"vnetRef": {"name": "other"}}),
        ({"pending": {"net0": ON_VNET.replace("virtio", "e1000")}}, {}),
    ],
    ids=["a lock", "an edit that waits", "a move that waits", "a model that waits for a restart"],
)
def test_what_leaves_the_nic_where_it_is_is_no_reason_to_unpin(guest: dict[str, Any], spec: dict[str, Any]) -> None:
    item = pinned(**spec)
    other = vnet("other", vni=5002)
    made = world(on_vnet(**guest))
    made.base = (*made.base, other)
    planned = pins(made, item)
    assert (planned.desired, planned.stale) == ({item.key: PIN}, {})


def test_a_read_that_failed_is_no_reason_to_unpin() -> None:
    item = pinned()
    unread, silent_node = world(on_vnet(nics=None)), world(on_vnet(running=False, known=False))
    no_guests = world()
    no_guests.observed = replace(no_guests.observed, guests=None)
    for made in (unread, silent_node, no_guests):
        planned = pins(made, item)
        assert (planned.desired, planned.stale) == ({}, {})
        assert (planned.states[item.key].pinned, planned.states[item.key].pin) == (True, PIN)


def test_a_guest_whose_node_does_not_answer_keeps_its_name() -> None:
    item = pinned(guest={"name": "web"})
    assert pins(world(on_vnet(name="", running=False, known=False)), item).stale == {}
    assert pins(world(on_vnet(name="renamed")), item).stale == {item.key: PIN}


@pytest.mark.parametrize(
    "now",
    [{"node": "pve2"}, {"nics": {"net0": ON_VNET.replace("00:01", "00:05")}}],
    ids=["moved", "new MAC"],
)
def test_what_changes_is_unpinned_as_it_was_and_pinned_as_it_is(now: dict[str, Any]) -> None:
    item = pinned()
    made = pins(world(on_vnet(**now)), item)
    assert made.stale == {item.key: PIN}
    assert made.desired[item.key] != PIN


def test_what_is_no_longer_asked_for_is_unpinned() -> None:
    item = pinned()
    observe = replace(item, spec=item.spec.model_copy(update={"silent_host": "Observe"}))
    going = replace(item, deleting=True)
    orphan = replace(going, spec=item.spec.model_copy(update={"deletion_policy": "Orphan"}))
    for changed in (observe, going, orphan):
        assert pins(world(), changed).stale == {item.key: PIN}
    assert pins(world(observe=None), item).stale == {item.key: PIN}
    assert pins(World(on_vnet(), guestAccess=None, observe=SSH), item).stale == {item.key: PIN}


def test_while_paused_a_pin_stays_and_none_is_made() -> None:
    item = pinned(annotations={kinds.ANNOTATION_PAUSED: "true"})
    made = pins(world(), item)
    assert (made.desired, made.stale) == ({}, {})
    assert made.states[item.key].pin == PIN
    fresh = silent(annotations={kinds.ANNOTATION_PAUSED: "true"})
    assert pins(world(), fresh).desired == {}


# --- zones that pin by themselves ---------------------------------------------------------------------------------

ZONE = {"bridgeMacLearning": False}


@pytest.mark.parametrize(
    ("verdict", "state"), [("Advertised", True), ("Silent", False), ("NeverSeen", False), ("Unknown", None)]
)
def test_a_zone_without_learning_pins_and_is_checked(verdict: str, state: bool | None) -> None:
    item = attached(nic(), device="net0", evpn={"verdict": verdict})
    made = pins(world(zone_spec=ZONE, observe=None), item)
    assert made.states[item.key].pinned is state
    assert ("stop and start" in made.states[item.key].note) is (state is False)


def test_further_macs_of_a_guest_are_warned_of() -> None:
    rows = [MacRow(5001, LOW, "local", "tap100i0"), MacRow(5001, "aa:00:00:00:00:01", "local", "fwpr100p0")]
    item = silent(status={"evpn": {"verdict": "Advertised"}})
    for made in (world(observe=None), world(zone_spec=ZONE, observe=None)):
        assert "aa:00:00:00:00:01" in pins(made, item, seen=polled(*rows)).states[item.key].note
        assert "further" not in pins(made, item, seen=polled(rows[0])).states[item.key].note
        elsewhere = polled(MacRow(5001, "aa:00:00:00:00:01", "local", "tap101i0"))
        assert "further" not in pins(made, item, seen=elsewhere).states[item.key].note


def test_a_pin_that_is_the_zones_too_is_forgotten_and_not_taken_away() -> None:
    item = pinned()
    observe = replace(item, spec=item.spec.model_copy(update={"silent_host": None}))
    made = pins(world(zone_spec=ZONE), observe)
    assert made.stale == {}
    assert made.states[item.key].pin is None


@pytest.mark.parametrize("change", ["orphaned", "no longer permitted", "moved"])
def test_a_zone_that_pins_loses_no_entry_through_us(change: str) -> None:
    """With learning off, nothing would bring the MAC back before its NIC is plugged in again."""
    item, made = pinned(), world(zone_spec=ZONE)
    match change:
        case "orphaned":
            item = replace(item, deleting=True, spec=item.spec.model_copy(update={"deletion_policy": "Orphan"}))
        case "no longer permitted":
            made = World(on_vnet(), guestAccess=None, observe=SSH, zone_spec=ZONE)
        case "moved":
            made = world(on_vnet(node="pve2"), zone_spec=ZONE)
    assert pins(made, item).stale == {}


# --- zombies ------------------------------------------------------------------------------------------------------

DEAD = MacRow(5001, "bc:24:11:00:00:66", "local", None)


def test_dead_macs_of_our_own_vnets_are_healed_where_pinning_is_allowed() -> None:
    foreign = replace(DEAD, vni=99)
    alive = replace(DEAD, interface="tap100i0")
    seen = polled(DEAD, foreign, alive, replace(DEAD, type="remote"))
    assert pins(world(), seen=seen).zombies == {Zombie("pve4", "net1", DEAD.mac)}
    assert pins(world(observe=None), seen=seen).zombies == frozenset()


def test_a_dead_mac_that_is_about_to_be_pinned_needs_no_healing() -> None:
    assert pins(world(), silent(), seen=polled(replace(DEAD, mac=LOW))).zombies == frozenset()


# --- asking the nodes ---------------------------------------------------------------------------------------------


class Nodes:
    """Nodes that answer by a table of requests; a request that is not in it did what it asked for."""

    def __init__(self, **answers: str) -> None:
        self.answers = {request.replace("_", " "): answer for request, answer in answers.items()}
        self.unreadable: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.observe_only = False
        self.addresses: dict[str, str] = {}

    async def ask(self, node: NodeTarget, command: str, request: str) -> str:
        assert command == "pins"
        self.addresses[node.name] = node.address
        if node.name in self.unreadable:
            raise NodeUnreadable("Unreachable", self.unreadable[node.name])
        if self.observe_only:
            return "pve-evpn-observe 1\npve-evpn-observe end\n"
        lines = request.splitlines()
        self.asked += [(node.name, line) for line in lines]
        answers = [self.answers.get(line.split()[0], "done") for line in lines]
        return "\n".join(["pve-evpn-pin 1", *answers, "pve-evpn-pin end"]) + "\n"


class Rig:
    """The engine's part with a store that takes what is remembered, and a list of Events."""

    def __init__(self, nodes: Nodes | None, made: World) -> None:
        self.world = made
        self.cache = Cache()
        self.nodes = nodes
        self.events: list[tuple[str, str]] = []
        self.log: list[tuple[ObjectKey, Mapping[str, Any]]] = []
        self.now = 0.0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        ports: Any = SimpleNamespace(objects=self, events=self)
        self.pinning = PinWriter(ClusterContext("pve", self.cache, ports, clock), lambda: self.nodes)

    async def post(self, key: ObjectKey, uid: str, kind: str, reason: str, message: str, cause: str = "") -> None:
        self.events.append((key.name, reason))

    async def patch_status(self, key: ObjectKey, status: Mapping[str, Any]) -> None:
        self.log.append((key, status))
        resource = self.cache._resources[key]
        self.put(with_status(resource, status))

    def put(self, *resources: Resource[Any]) -> None:
        for resource in resources:
            self.cache._resources[resource.key] = resource

    def one_sync(self, *nics: Resource[Any], seen: ClusterObservation | None = None) -> Any:
        self.put(*nics, *self.world.base)
        current = [self.cache.get(item.key) for item in nics]
        wanted = self.world.desired(*[item for item in current if item])
        planned = plan(wanted, self.world.observed)
        decided = plan_nics(wanted, self.world.observed, planned.decisions)
        gateway: Any = None
        sync = Sync(gateway, wanted, self.world.observed, planned, nics=decided, observation=seen)
        return asyncio.run(self.pinning.write(sync)).pins

    def stored(self, item: Resource[Any]) -> Resource[Any]:
        found = self.cache.get(item.key)
        assert found is not None
        return found


def test_a_pin_is_remembered_before_it_is_made_and_asserted_again_without_a_word() -> None:
    nodes, item = Nodes(), silent()
    rig = Rig(nodes, world())
    said = rig.one_sync(item)
    assert nodes.asked == [("pve4", f"pin net1 100 0 {LOW}")]
    assert rig.log == [(item.key, {"pin": as_written(PIN.status())})]
    assert (said[item.key].pinned, said[item.key].pin) == (True, PIN)
    nodes.answers["pin"] = "there"
    again = rig.one_sync(rig.stored(item))
    assert again == said
    assert len(rig.log) == 1
    assert rig.events == [("meter", "Pinned")]


def test_a_moved_guest_is_unpinned_there_before_it_is_pinned_here() -> None:
    nodes, item = Nodes(), pinned()
    rig = Rig(nodes, world(on_vnet(node="pve2")))
    said = rig.one_sync(item)
    assert nodes.asked == [("pve4", f"unpin net1 100 0 {LOW}"), ("pve2", f"pin net1 100 0 {LOW}")]
    assert said[item.key].pin == replace(PIN, node="pve2")
    assert rig.events == [("meter", "Unpinned"), ("meter", "Pinned")]


def test_a_guest_that_left_a_dead_node_is_pinned_where_it_is() -> None:
    nodes, item = Nodes(), pinned()
    nodes.unreadable["pve4"] = "no SSH connection"
    said = Rig(nodes, world(on_vnet(node="pve2"))).one_sync(item)
    assert said[item.key].pin == replace(PIN, node="pve2")


def test_a_pin_that_cannot_be_taken_away_is_not_forgotten() -> None:
    nodes, item = Nodes(), pinned()
    nodes.unreadable["pve4"] = "no SSH connection"
    rig = Rig(nodes, world(on_vnet(running=False)))
    said = rig.one_sync(item)
    assert said[item.key].pin == PIN
    assert said[item.key].pinned is None
    assert pin_of(rig.stored(item)) == PIN
    nodes.unreadable.clear()
    assert rig.one_sync(rig.stored(item))[item.key].pin is None
    assert pin_of(rig.stored(item)) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [("no remote", "another node"), ("no absent", "no port"), ("no elsewhere", "is moving"), ("no what", "release")],
)
def test_what_the_node_refuses_is_said_and_not_reported_as_pinned(answer: str, words: str) -> None:
    item = silent()
    state = Rig(Nodes(pin=answer), world()).one_sync(item)[item.key]
    assert (state.pinned, state.pin) == (False, None)
    assert words in state.note


def test_a_key_that_may_only_read_is_recognised() -> None:
    nodes, item = Nodes(), silent()
    nodes.observe_only = True
    state = Rig(nodes, world()).one_sync(item)[item.key]
    assert state.pinned is None
    assert "pve-evpn-pin" in state.note


def test_without_a_way_to_the_nodes_nothing_is_known() -> None:
    item = silent()
    state = Rig(None, world()).one_sync(item, seen=polled())[item.key]
    assert state.pinned is None
    assert "spec.observe.ssh" in state.note


def test_before_the_first_poll_everything_stays_as_it_was() -> None:
    kept, fresh = pinned(), silent("fresh", guest={"vmid": 101}, status={"vmid": 101})
    nics = {"net0": ON_VNET.replace("00:01", "00:07")}
    rig = Rig(None, world(on_vnet(), on_vnet(vmid=101, nics=nics)))
    said = rig.one_sync(kept, fresh)
    assert (said[kept.key].pinned, said[kept.key].pin) == (True, PIN)
    assert (said[fresh.key].pinned, said[fresh.key].pin) == (None, None)
    assert rig.log == []


def test_before_a_nic_changes_its_pin_goes() -> None:
    nodes, item, other = Nodes(), pinned(), attached(nic("other", age=1, guest={"vmid": 101}))
    rig = Rig(nodes, world())
    rig.put(item, other)
    assert asyncio.run(rig.pinning.before_write([item.key, other.key], rig.world.observed)) == {}
    assert nodes.asked == [("pve4", f"unpin net1 100 0 {LOW}")]
    assert nodes.addresses == {"pve4": NODES["pve4"].address}, "known without a pass before"
    assert pin_of(rig.stored(item)) is None


def test_before_a_nic_changes_its_pin_is_left_to_a_zone_that_pins() -> None:
    nodes, item = Nodes(), pinned()
    rig = Rig(nodes, world(zone_spec=ZONE))
    rig.put(item)
    assert asyncio.run(rig.pinning.before_write([item.key], rig.world.observed)) == {}
    assert nodes.asked == []


def test_a_pin_that_cannot_be_taken_away_holds_its_nic_for_a_while() -> None:
    nodes, item = Nodes(), pinned()
    nodes.unreadable["pve4"] = "no SSH connection"
    rig = Rig(nodes, world())
    rig.put(item)

    def held() -> Any:
        return asyncio.run(rig.pinning.before_write([item.key], rig.world.observed))

    assert "pve4" in held()[item.key].message
    rig.now += HELD - 1
    assert held()
    rig.now += 2
    assert held() == {}


def test_a_pin_on_a_node_that_is_off_holds_nothing() -> None:
    nodes, item = Nodes(), pinned()
    nodes.unreadable["pve4"] = "no SSH connection"
    rig = Rig(nodes, world())
    off = {**rig.world.observed.nodes, "pve4": replace(NODES["pve4"], online=False)}
    rig.world.observed = replace(rig.world.observed, nodes=off)
    rig.put(item)
    assert asyncio.run(rig.pinning.before_write([item.key], rig.world.observed)) == {}


@pytest.mark.parametrize("way", ["none yet", "broken"])
def test_an_object_is_not_let_go_before_its_pin(way: str) -> None:
    item = replace(pinned(), deleting=True)
    item = replace(item, spec=item.spec.model_copy(update={"deletion_policy": "Orphan"}))
    nodes = Nodes()
    nodes.unreadable["pve4"] = "no SSH connection"
    rig = Rig(None if way == "none yet" else nodes, world())
    assert rig.one_sync(item)[item.key].holds
    nodes.unreadable.clear()
    rig.nodes = nodes
    assert item.key not in rig.one_sync(rig.stored(item))
    assert pin_of(rig.stored(item)) is None
    assert nodes.asked == [("pve4", f"unpin net1 100 0 {LOW}")]


def test_one_command_per_node_whatever_the_number_of_pins() -> None:
    calls: list[str] = []

    class Counting(Nodes):
        async def ask(self, node: NodeTarget, command: str, request: str) -> str:
            calls.append(node.name)
            return await super().ask(node, command, request)

    guests = [
        on_vnet(vmid=100 + n, node=f"pve{n % 4 + 1}", nics={"net0": ON_VNET.replace("00:01", f"01:{n:02X}")})
        for n in range(80)
    ]
    items = [silent(f"m{n}", age=n, guest={"vmid": 100 + n}, status={"vmid": 100 + n}) for n in range(80)]
    said = Rig(Counting(), world(*guests)).one_sync(*items)
    assert sorted(calls) == ["pve1", "pve2", "pve3", "pve4"]
    assert all(state.pinned for state in said.values())


def test_a_dead_mac_is_healed_when_two_polls_agree() -> None:
    nodes = Nodes()
    rig = Rig(nodes, world())
    rig.one_sync(seen=polled(DEAD))
    rig.one_sync(seen=polled(DEAD))
    assert nodes.asked == [], "the same poll twice is one poll"
    rig.one_sync(seen=polled(DEAD, at=NOW + timedelta(seconds=15)))
    assert nodes.asked == [("pve4", f"heal net1 {DEAD.mac}")]
    assert rig.events == [("net1", "Healed")]
    rig.one_sync(seen=polled(at=NOW + timedelta(seconds=30)))
    rig.one_sync(seen=polled(DEAD, at=NOW + timedelta(seconds=45)))
    assert len(nodes.asked) == 1, "a MAC that was alive in between begins anew"
