"""The observer within the engine: what it costs when nothing happens, and that it goes on when other things stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from pve_evpn import metrics
from pve_evpn.api.observe import Observe
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.engine.observer import Observer
from pve_evpn.observe.source import NodeTarget
from pve_evpn.pve import errors
from tests.engine.world import CONTROLLER, ZONE, World, cluster, controller, document, vnet, zone
from tests.unit.health.overlay import VM1, Overlay

NIC = ObjectKey("NicAttachment", "default", "vm1-net0")
VNET = ObjectKey("VNet", "default", "evpn1")
NODE2 = ObjectKey("EvpnNode", "", "pve-pve2")


class Nodes:
    """In the place of the sources: the overlay answers at once. Counts its looks."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.polls = 0
        self.ssh = None
        self.targets: list[NodeTarget] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def chain(self, _observe: Observe, _interval: float, _grace: timedelta, _endpoints: Sequence[str]) -> Nodes:
        return self

    async def poll(self, nodes: Sequence[NodeTarget]) -> ClusterObservation:
        self.polls += 1
        self.targets = list(nodes)
        await self.gate.wait()
        return self.overlay.seen()

    async def close(self) -> None:
        pass


class Watched(World):
    """A world with an overlay behind it, and the seed topology in it."""

    def __init__(self) -> None:
        super().__init__(nodes=4)
        self.overlay = Overlay(4)
        self.nodes = Nodes(self.overlay)
        self.lab.guests[100].running = True

    def start(self) -> None:
        context = self.context(_Late(self))  # type: ignore[arg-type]
        self.observer = Observer(context, sources=self.nodes, hold=timedelta(0))  # type: ignore[arg-type]
        super().start()

    async def seed(self) -> None:
        access = [{"namespaces": {}, "guests": {"vmids": [{"from": 100, "to": 199}]}}]
        nic = {
            "clusterRef": {"name": "pve"}, "guest": {"vmid": 100}, "device": "net0", "vnetRef": {"name": "evpn1"},
            "macAddress": VM1,
        }  # fmt: skip
        self.apply(
            cluster(guestAccess=access),
            controller(),
            zone(id="EZone1"),
            vnet("evpn1", 5001, id="EVPN1"),
            document("NicAttachment", "vm1-net0", nic),
        )
        await self.settle()

    async def poll(self, seconds: int = 15) -> None:
        """One poll of the observer, as its own loop would do it."""
        assert self.operator is not None
        self.now += timedelta(seconds=seconds)
        self.overlay.now = self.now
        poll = await self.observer.poll()
        assert poll is not None
        await self.operator._report(poll)
        await self.observer.record(poll)

    def told(self) -> list[tuple[str, str]]:
        """Events since the last time."""
        events, self.kube.events[:] = [(e.key.kind, e.reason) for e in self.kube.events], []
        return events


class _Late:
    """The store of the operator that runs now: the observer is made before it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.cache, name)


@pytest.fixture
async def world() -> Watched:
    world = Watched()
    world.start()
    await world.seed()
    world.overlay.speak(VM1, "pve4", "10.60.0.100")
    await world.poll()
    world.told()
    return world


def operational(world: World, key: ObjectKey) -> tuple[str, str]:
    condition = world.kube.condition(key, "Operational")
    return condition["status"], condition["reason"]


async def test_everything_is_seen_and_asked_for_by_its_own_address(world: Watched) -> None:
    assert [operational(world, key) for key in (CONTROLLER, ZONE, VNET, NODE2)] == [("True", "Operational")] * 4
    assert operational(world, NIC) == ("True", "Advertised")
    assert world.complaints() == []
    assert world.nodes.targets == [NodeTarget(f"pve{i}", f"192.168.16.{i}") for i in (1, 2, 3, 4)]


async def test_a_quiet_network_causes_no_write_over_fifty_polls(world: Watched) -> None:
    writes = len(world.kube.writes)
    for turn in range(50):
        await world.poll(seconds=7)
        if turn % 5 == 0:
            await world.one_pass()
    assert world.kube.writes[writes:] == []
    assert world.told() == []


async def test_a_restart_writes_nothing_either(world: Watched) -> None:
    writes = len(world.kube.writes)
    world.start()
    await world.one_pass()
    await world.poll()
    await world.one_pass()
    assert world.kube.writes[writes:] == []
    assert world.told() == []


async def test_a_poll_costs_one_look_and_no_call_to_proxmox(world: Watched) -> None:
    """However many VNets and NICs there are."""
    for number in range(40):
        world.apply(vnet(f"net{number}", 6000 + number))
    await world.settle()
    calls, polls = len(world.lab.journal), world.nodes.polls
    await world.poll()
    assert len(world.lab.journal) == calls
    assert world.nodes.polls == polls + 1


async def test_changes_are_told_between_two_passes(world: Watched) -> None:
    world.overlay.stopped = {"pve2"}
    await world.poll()
    assert operational(world, CONTROLLER) == ("False", "SessionDown")
    assert operational(world, NODE2) == ("False", "SessionDown")
    assert world.told() == [("EvpnController", "SessionDown")]
    world.overlay.stopped = set()
    await world.poll()
    assert operational(world, CONTROLLER) == ("True", "Operational")
    assert world.told() == [("EvpnController", "SessionUp")]


async def test_a_guest_that_falls_silent(world: Watched) -> None:
    world.overlay.speakers.clear()
    await world.poll()
    evpn = world.kube.status(NIC)["evpn"]
    assert (evpn["verdict"], evpn["lastAnnouncedBy"]) == ("Silent", "pve4")
    assert "announcedBy" not in evpn
    assert world.ready(NIC)["reason"] == "Silent"
    assert world.told() == [("NicAttachment", "MacWithdrawn")]


async def test_a_move_that_proxmox_has_not_told_yet_asks_for_a_pass(world: Watched) -> None:
    world.overlay.speak(VM1, "pve3", mobility=1)
    world.lab.guests[100].node = "pve3"
    assert world.operator.is_at_rest  # type: ignore[union-attr]
    await world.poll()
    assert operational(world, NIC) == ("True", "Advertised")
    assert not world.operator.is_at_rest  # type: ignore[union-attr]
    await world.one_pass()
    await world.poll()
    status = world.kube.status(NIC)
    assert (status["node"], status["evpn"]["announcedBy"], status["evpn"]["mobilitySequence"]) == ("pve3", "pve3", 1)
    assert ("NicAttachment", "MacMoved") in world.told()


def _no_proxmox(_when: str, _method: str, _path: str) -> None:
    raise errors.Unreachable("connection refused")


async def test_while_proxmox_does_not_answer_the_nodes_still_tell(world: Watched) -> None:
    world.interrupt = _no_proxmox
    world.skipped = 3600.0  # the grace time has passed
    await world.one_pass()
    assert world.kube.condition(VNET, "Programmed")["reason"] == "ClusterUnreachable"
    assert operational(world, VNET) == ("True", "Operational")
    world.overlay.flood_gaps = {("pve1", "pve2")}
    world.overlay.speakers.clear()
    await world.poll()
    assert operational(world, VNET) == ("False", "VtepMissing")
    assert operational(world, NIC) == ("False", "Silent")
    await world.one_pass()
    assert operational(world, VNET) == ("False", "VtepMissing")
    rows = {row["name"]: row for row in world.kube.status(VNET)["nodes"]}
    assert rows["pve1"]["missingVteps"] == ["pve2"]


async def test_a_restart_while_proxmox_does_not_answer_goes_by_what_the_statuses_remember(world: Watched) -> None:
    world.interrupt = _no_proxmox
    world.start()
    await world.one_pass()
    world.overlay.speakers.clear()
    await world.poll()
    assert operational(world, NODE2) == ("True", "Operational")
    assert operational(world, VNET) == ("True", "Operational")
    assert operational(world, NIC) == ("False", "Silent")
    assert world.kube.condition(NIC, "Programmed")["status"] == "Unknown"
    # The silence began during the restart and is told all the same.
    assert world.told() == [("NicAttachment", "MacWithdrawn")]


async def test_a_pause_stops_no_observation(world: Watched) -> None:
    world.kube.annotate(ObjectKey("ProxmoxCluster", "", "pve"), "pve-evpn.dev/paused", "true")
    await world.one_pass()
    world.overlay.stopped = {"pve2"}
    await world.poll()
    assert operational(world, CONTROLLER) == ("False", "SessionDown")


async def test_the_loops_of_pass_and_polls_run_side_by_side(world: Watched) -> None:
    """A poll that hangs holds up no pass."""
    world.nodes.gate.clear()
    polling = asyncio.create_task(world.poll())
    await asyncio.sleep(0)
    await world.one_pass()
    assert not polling.done()
    world.nodes.gate.set()
    await polling


async def test_the_observer_waits_for_the_first_pass_and_ends_with_the_reconciler() -> None:
    world = Watched()
    world.start()
    await world.seed()
    assert world.operator is not None
    running = asyncio.create_task(world.operator.run())
    world.operator.wake()
    await _until(lambda: world.nodes.polls > 0)
    world.operator.stop()
    await running
    polls = world.nodes.polls
    await asyncio.sleep(0)
    assert world.nodes.polls == polls


async def test_whoever_asks_for_a_look_does_not_wait_for_the_interval() -> None:
    world = Watched()
    world.start()
    await world.seed()
    assert world.operator is not None
    running = asyncio.create_task(world.operator.run())
    await _until(lambda: world.nodes.polls > 0)
    polls = world.nodes.polls
    world.kube.annotate(ObjectKey("ProxmoxCluster", "", "pve"), "pve-evpn.dev/reconcile-requested-at", "now")
    await _until(lambda: world.nodes.polls > polls)
    world.operator.stop()
    await running


async def _until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.01)


async def test_an_evpnnode_that_somebody_else_made_is_reported_and_never_deleted(world: Watched) -> None:
    mine = ObjectKey("EvpnNode", "", "mine")
    gone = ObjectKey("EvpnNode", "", "gone")
    world.apply(
        document("EvpnNode", mine.name, {"clusterRef": {"name": "pve"}, "node": "pve2"}),
        document("EvpnNode", gone.name, {"clusterRef": {"name": "pve"}, "node": "pve9"}),
    )
    await world.one_pass()
    await world.poll()
    assert operational(world, mine) == ("True", "Operational")
    assert operational(world, gone) == ("Unknown", "SourceUnavailable")
    del world.lab.nodes["pve3"]
    await world.one_pass()
    assert {key.name for key in world.kube.objects if key.kind == "EvpnNode"} == {
        "mine", "gone", "pve-pve1", "pve-pve2", "pve-pve4",
    }  # fmt: skip


# --- metrics -----------------------------------------------------------------------------------------------------


def series(name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
        if sample.name == f"pve_evpn_{name}" and sample.labels.get("cluster") == "pve"
    }


async def test_metrics_say_what_was_seen(world: Watched) -> None:
    up = series("bgp_session_up")
    assert len(up) == 12
    assert up["pve", "pve1", "192.168.16.2", "default"] == 1
    assert series("vni_remote_vteps")["pve", "pve1", "5001", "L2"] == 3
    assert series("bgp_prefixes")["pve", "pve1", "192.168.16.2", "default", "received"] == 1
    assert set(series("vni_missing_vteps").values()) == {0}
    since = series("bgp_session_established_timestamp_seconds")
    assert len(since) == 12


async def test_without_bgpd_a_node_has_its_sessions_down_and_not_none(world: Watched) -> None:
    world.overlay.stopped = {"pve2"}
    await world.poll()
    up = series("bgp_session_up")
    assert len(up) == 12
    assert {labels[2]: value for labels, value in up.items() if labels[1] == "pve2"} == {
        "192.168.16.1": 0, "192.168.16.3": 0, "192.168.16.4": 0,
    }  # fmt: skip
    assert not any(labels[1] == "pve2" for labels in series("bgp_session_established_timestamp_seconds"))


async def test_before_the_controller_is_applied_no_session_is_missing() -> None:
    """The plan waits for approval, and FRR has not heard of EVPN."""
    metrics.forget_cluster("pve")
    world = Watched()
    world.overlay.stopped = set(world.overlay.names)
    world.start()
    world.apply(cluster(apply={"policy": "Manual"}), controller(), zone(id="EZone1"))
    await world.settle_or_wait()
    await world.poll()
    assert series("bgp_session_up") == {}


async def test_series_of_what_is_no_longer_seen_go_and_the_last_sight_stays(world: Watched) -> None:
    world.overlay.fail("pve1")
    before = series("last_successful_observation_timestamp_seconds")["pve", "pve1"]
    world.overlay.down = {frozenset(("pve3", "pve4"))}
    await world.poll()
    up = series("bgp_session_up")
    assert {labels[1] for labels in up} == {"pve2", "pve3", "pve4"}
    assert up["pve", "pve3", "192.168.16.4", "default"] == 0
    assert ("pve", "pve3", "192.168.16.4", "default") not in series("bgp_session_established_timestamp_seconds")
    assert {labels[1] for labels in series("vni_macs")} == {"pve2", "pve3", "pve4"}
    assert series("last_successful_observation_timestamp_seconds")["pve", "pve1"] == before


async def test_what_only_another_source_sees_makes_no_sight_fresh(world: Watched) -> None:
    """Else no alert could fire while ssh, which alone shows the sessions, does not work."""
    before = series("last_successful_observation_timestamp_seconds")
    for name in world.overlay.names:
        world.overlay.fall_back(name, "the key is refused")
    await world.poll()
    assert series("bgp_session_up") == {}
    assert series("last_successful_observation_timestamp_seconds") == before
    assert world.told() == [("EvpnNode", "ObservationStale")] * 4
    assert "the key is refused" in world.kube.condition(NODE2, "Operational")["message"]


async def test_a_node_that_was_never_seen_has_an_age_too(world: Watched) -> None:
    metrics.forget_cluster("pve")
    world.overlay.fail("pve1")
    for _ in range(3):
        await world.poll()
    ages = series("last_successful_observation_timestamp_seconds")
    assert ages["pve", "pve2"] - ages["pve", "pve1"] == 30


async def test_what_evpn_makes_of_nics_is_counted(world: Watched) -> None:
    """Withdrawn, back, and moved: once each, and nothing that happened to other objects."""
    before = series("nic_changes_total")
    world.overlay.stopped = {"pve2"}
    speakers = dict(world.overlay.speakers)
    world.overlay.speakers.clear()
    await world.poll()
    world.overlay.speakers.update(speakers)
    await world.poll()
    world.overlay.speak(VM1, "pve3", mobility=1)
    world.lab.guests[100].node = "pve3"
    await world.poll()
    await world.one_pass()
    await world.poll()
    counted = {labels[1]: n - before.get(labels, 0) for labels, n in series("nic_changes_total").items()}
    told = Counter(reason.lower() for kind, reason in world.told() if kind == "NicAttachment")
    assert {"macwithdrawn", "macadvertised", "macmoved", "moved"} <= told.keys()
    assert {change: n for change, n in counted.items() if n} == told


async def test_a_cluster_that_is_gone_leaves_no_series(world: Watched) -> None:
    metrics.forget_cluster("pve")
    assert series("bgp_session_up") == series("vni_macs") == {}
