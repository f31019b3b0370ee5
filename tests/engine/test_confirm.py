"""Commit confirmed: an apply that leaves the network worse is reverted with the evidence, also across a crash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest

from pve_evpn.domain.health.expected import ExpectedOverlay
from pve_evpn.domain.health.overlay import expected_overlay
from pve_evpn.engine.confirm import NetworkView
from pve_evpn.engine.sync import Sync
from tests.engine.world import CLUSTER, ZONE, Killed, Unseeing, World, cluster, controller, vnet, zone
from tests.unit.health.overlay import VM1, Overlay

POLL = timedelta(seconds=15)
BAD = zone(id="EZone1", mtu=1300)


class Seeing(Unseeing):
    """An observer over an overlay that the test changes. Each poll takes 15 seconds of the world's time."""

    def __init__(self, world: Network) -> None:
        self._world = world
        self._expected: ExpectedOverlay | None = None
        self.at_poll: Callable[[], None] = lambda: None

    async def expect(self, sync: Sync) -> Sync:
        self._expected = expected_overlay(sync.desired, sync.state, sync.plan, sync.nics, self._expected)
        return sync

    def view(self) -> Any:
        return NetworkView(self._expected, self._world.overlay.seen()) if self._expected else None

    def poll_soon(self, sync: Sync) -> None:
        self._expected = self._expected or expected_overlay(sync.desired, sync.state, sync.plan, sync.nics, None)
        self._world.now += POLL
        self._world.skipped += POLL.total_seconds()
        self._world.overlay.now = self._world.now
        self.at_poll()


class Network(World):
    """A world with an overlay of four nodes. ``effects`` happen after each apply, in turn."""

    def __init__(self) -> None:
        super().__init__(nodes=4)
        self.overlay = Overlay(4)
        self.overlay.now = self.now
        self.overlay.speak(VM1, "pve1")
        self.effects: list[Callable[[], None]] = []
        self.kill_at: tuple[str, str] | None = None
        self.interrupt = self._happen

    def start(self) -> None:
        self.observer = Seeing(self)
        super().start()

    def _happen(self, when: str, method: str, path: str) -> None:
        if (when, method, path) == ("after", "PUT", "/cluster/sdn") and self.effects:
            self.effects.pop(0)()
        if when == "before" and self.kill_at == (method, path):
            self.kill_at = None
            raise Killed

    def lose_sessions(self) -> None:
        self.overlay.down = {frozenset(pair) for pair in combinations(self.overlay.names, 2)}

    def regain_sessions(self) -> None:
        self.overlay.down = set()

    @property
    def mtu(self) -> Any:
        return self.lab.sdn.running["zones"]["EZone1"].get("mtu")


@pytest.fixture
async def world() -> Network:
    world = Network()
    policy = {"onFailure": "Revert"}
    world.apply(cluster(apply=policy), controller(), zone(id="EZone1"), vnet("evpn1", 5001, id="EVPN1"))
    await world.settle()
    assert world.complaints() == []
    return world


def reverted(world: Network) -> str:
    """The message of the revert."""
    condition = world.kube.condition(ZONE, "Programmed")
    assert condition["reason"] == "Reverted"
    return str(condition["message"])


async def test_sessions_that_stay_down_are_a_reason_to_revert(world: Network) -> None:
    applies = world.lab.applies
    world.effects = [world.lose_sessions, world.regain_sessions]
    world.apply(BAD)
    await world.settle_or_wait()
    assert "has lost its session with" in reverted(world)
    assert (world.lab.applies - applies, world.mtu) == (2, None)
    assert world.lab.sdn.lock is None
    assert world.kube.journal["pve"].confirm is None
    assert world.kube.status(CLUSTER)["lastTransaction"]["outcome"] == "Reverted"


async def test_host_network_edits_that_went_live_with_it_are_said_to_stay(world: Network) -> None:
    """Also where they were staged after the host networks were read, which are remembered for a minute."""
    world.remembers = True
    world.apply(cluster(apply={"onFailure": "Revert", "foreignPending": "Include"}))
    await world.settle()
    world.lab.nodes["pve2"].network.update("vmbr0", {"type": "bridge", "mtu": "9000"}, ())
    world.effects = [world.lose_sessions, world.regain_sessions]
    world.apply(BAD)
    await world.settle_or_wait()
    assert "; the host-network edits of pve2, which went live with it, stay)" in reverted(world)


async def test_an_interruption_that_passes_is_none(world: Network) -> None:
    world.effects = [world.lose_sessions]
    polls = iter(range(100))
    world.observer.at_poll = lambda: world.regain_sessions() if next(polls) == 2 else None
    world.apply(BAD)
    await world.settle()
    assert (world.complaints(), world.mtu) == ([], 1300)


async def test_a_guest_that_falls_silent_or_moves_is_none(world: Network) -> None:
    world.effects = [world.overlay.speakers.clear]
    world.apply(BAD)
    await world.settle()
    assert world.mtu == 1300
    world.overlay.speak(VM1, "pve1")
    world.effects = [lambda: world.overlay.speak(VM1, "pve3", mobility=1)]
    world.apply(zone(id="EZone1", mtu=1400))
    await world.settle()
    assert (world.complaints(), world.mtu) == ([], 1400)


async def test_what_was_bad_before_is_none(world: Network) -> None:
    world.lose_sessions()
    world.apply(BAD)
    await world.settle()
    assert world.mtu == 1300


async def test_an_addition_is_confirmed_as_soon_as_all_is_well(world: Network) -> None:
    before = world.now
    world.apply(vnet("more", 5002, id="more"))
    await world.one_pass()
    assert world.now - before <= 2 * POLL
    assert "more" in world.lab.sdn.running["vnets"]


async def test_a_crash_while_comparing_goes_on_where_it_was(world: Network) -> None:
    world.effects = [world.lose_sessions, world.regain_sessions]

    def die() -> None:
        raise Killed

    world.observer.at_poll = die
    world.apply(BAD)
    assert await world.run_until_killed()
    assert world.mtu == 1300
    await world.settle_or_wait()
    assert "has lost its session with" in reverted(world)
    assert world.mtu is None
    assert world.lab.sdn.lock is None


@pytest.mark.parametrize("moment", [("PUT", "/cluster/sdn/zones/EZone1"), ("PUT", "/cluster/sdn")])
async def test_a_crash_in_the_middle_of_reverting_is_completed(world: Network, moment: tuple[str, str]) -> None:
    def lose_and_die_later() -> None:
        world.lose_sessions()
        world.kill_at = moment

    world.effects = [lose_and_die_later, world.regain_sessions]
    world.apply(BAD)
    assert await world.run_until_killed()
    await world.settle_or_wait()
    assert "has lost its session with" in reverted(world)
    assert (world.mtu, world.lab.sdn.lock) == (None, None)
    assert world.lab.sdn.edited == world.lab.sdn.running


async def test_hold_compares_nothing(world: Network) -> None:
    world.apply(cluster(apply={"onFailure": "Hold"}))
    world.effects = [world.lose_sessions]
    world.apply(BAD)
    await world.settle()
    assert world.mtu == 1300


async def test_zero_seconds_compare_nothing(world: Network) -> None:
    world.apply(cluster(apply={"onFailure": "Revert", "confirmSeconds": 0}))
    world.effects = [world.lose_sessions]
    world.apply(BAD)
    await world.settle()
    assert world.mtu == 1300
