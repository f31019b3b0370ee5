"""Which changes are told, in which words, and that nothing is told twice or for a flicker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pve_evpn.api.events import EventReason
from pve_evpn.domain.health.transitions import (
    HOLD,
    LONGEST_HOLD,
    Debounce,
    EventText,
    Fact,
    Facts,
    Subject,
    event_of,
    facts,
    facts_before,
)
from tests.unit.health.overlay import START, VM1
from tests.unit.health.test_health import CONTROLLER, NIC, VNET, Bench, node_key


class Telling:
    """A bench whose polls are told to a damper without patience."""

    def __init__(self, hold: timedelta = timedelta(0)) -> None:
        self.bench = Bench()
        self.overlay = self.bench.overlay
        self.damper: Debounce[Subject, Fact] = Debounce(hold)
        self.poll()

    def facts(self) -> Facts:
        """Those of the last poll."""
        return facts(self.bench.assessment, self.overlay.seen())

    def poll(self) -> list[EventText]:
        """One poll; what is told of it."""
        self.bench.poll()
        told = self.damper.observe(self.facts(), self.overlay.now)
        return [event_of(transition) for transition in told]

    def told(self) -> list[tuple[str, str, str]]:
        return [(told.about.kind, told.reason.type, told.reason) for told in self.poll()]


@pytest.fixture
def telling() -> Telling:
    return Telling()


def test_nothing_is_told_of_a_quiet_overlay(telling: Telling) -> None:
    for _ in range(5):
        assert telling.poll() == []


def test_a_dead_bgpd_is_one_event_and_not_one_per_session(telling: Telling) -> None:
    telling.overlay.stopped = {"pve2"}
    (told,) = telling.poll()
    assert told.reason.type == "Warning"
    assert told == EventText(
        CONTROLLER,
        EventReason.SESSION_DOWN,
        "BGP EVPN is not running on pve2; none of pve1, pve3, pve4 has a session with it",
    )
    telling.overlay.stopped = set()
    (told,) = telling.poll()
    assert (told.reason.type, told.reason, told.message) == (
        "Normal", "SessionUp", "pve2 has sessions with the other nodes",
    )  # fmt: skip


def test_a_single_session_is_told_once_for_both_ends(telling: Telling) -> None:
    telling.overlay.down = {frozenset(("pve1", "pve3"))}
    told, flooding = telling.poll()
    assert (told.about, told.reason) == (CONTROLLER, "SessionDown")
    assert told.message == "pve1 to pve3 (192.168.16.3) is Active: BFD down received"
    assert (flooding.about, flooding.reason) == (VNET, "VtepMissing")
    telling.overlay.down = set()
    told, flooding = telling.poll()
    assert (told.reason, told.message) == ("SessionUp", "the session between pve1 and pve3 is established")
    assert flooding.reason == "VtepsComplete"


def test_a_gap_in_the_flood_lists(telling: Telling) -> None:
    telling.overlay.flood_gaps = {("pve1", "pve2")}
    (told,) = telling.poll()
    assert (told.about, told.reason.type, told.reason) == (VNET, "Warning", "VtepMissing")
    assert told.message == "pve2 is missing from the flood list of pve1"
    telling.overlay.flood_gaps = set()
    assert telling.told() == [("VNet", "Normal", "VtepsComplete")]


def test_an_mtu_that_is_too_big(telling: Telling) -> None:
    scene = telling.bench.expected
    member = replace(scene.members["pve3"], mtus={"192.168.16.3": 1500})
    members = {**scene.members, "pve3": member}
    telling.bench.expected = replace(scene, members=members, zones=(replace(scene.zones[0], mtu=9000),))
    assert telling.told() == [("EvpnZone", "Warning", "MtuTooBig")]
    telling.bench.expected = scene
    assert telling.told() == [("EvpnZone", "Normal", "MtuFits")]


def test_a_node_that_cannot_be_seen_is_told_and_nothing_else_is(telling: Telling) -> None:
    telling.overlay.fail("pve2")
    (told,) = telling.poll()
    assert (told.about, told.reason.type, told.reason) == (node_key("pve2"), "Warning", "ObservationStale")
    telling.overlay.failed.clear()
    assert telling.told() == [("EvpnNode", "Normal", "ObservationResumed")]


def test_a_preferred_source_that_fails_is_told_though_another_one_stands_in(telling: Telling) -> None:
    telling.overlay.fall_back("pve2", "the key is refused", settled=False)
    assert telling.poll() == []  # within the grace time it may come back
    telling.overlay.fall_back("pve2", "the key is refused")
    (told,) = telling.poll()
    assert (told.about, told.reason.type, told.reason) == (node_key("pve2"), "Warning", "ObservationStale")
    assert told.message == "pve2 cannot be observed by ssh: the key is refused"
    telling.overlay.fallen_back.clear()
    assert telling.told() == [("EvpnNode", "Normal", "ObservationResumed")]


@pytest.mark.parametrize("sessions", [False, True], ids=["api stands in", "frrExporter stands in"])
def test_after_a_restart_a_failing_source_is_no_news(telling: Telling, sessions: bool) -> None:
    bench, overlay = telling.bench, telling.overlay
    peers = overlay.seen().answered()["pve2"].peers
    overlay.fall_back("pve2", "the key is refused")
    observation = overlay.seen()
    if sessions:
        exporter = replace(observation.answered()["pve2"], source="frrExporter", peers=peers)
        observation = replace(observation, nodes={**observation.nodes, "pve2": exporter})
    bench.poll(observation)
    fresh = facts(bench.assess(observation), observation)
    damper: Debounce[Subject, Fact] = Debounce(timedelta(0), facts_before(fresh, bench.objects))
    assert damper.observe(fresh, overlay.now) == []
    overlay.fallen_back.clear()
    seen = overlay.seen()
    told = damper.observe(facts(bench.assess(seen), seen), overlay.now)
    assert [event_of(transition).reason for transition in told] == ["ObservationResumed"]


def test_the_life_of_a_mac(telling: Telling) -> None:
    overlay = telling.overlay
    overlay.speak(VM1, "pve4")
    assert telling.told() == [("NicAttachment", "Normal", "MacAdvertised")]
    overlay.speakers.clear()
    (told,) = telling.poll()
    assert (told.about, told.reason.type, told.reason) == (NIC, "Warning", "MacWithdrawn")
    overlay.speak(VM1, "pve4")
    assert telling.told() == [("NicAttachment", "Normal", "MacAdvertised")]
    overlay.speak(VM1, "pve3", mobility=1)
    telling.bench.home("pve3")
    (told,) = telling.poll()
    assert (told.reason, told.message) == ("MacMoved", "advertised by pve3, before by pve4")
    overlay.speakers[VM1].nodes = ("pve1", "pve3")
    for _ in range(4):
        assert telling.told() == []  # the route of the node it has left may still be there
    assert telling.told() == [("NicAttachment", "Warning", "MacDuplicate")]
    overlay.speakers[VM1].nodes = ("pve3",)
    overlay.speakers[VM1].zombie = True
    assert telling.told() == [("NicAttachment", "Warning", "MacZombie")]


def test_what_becomes_unknown_is_neither_told_nor_forgotten(telling: Telling) -> None:
    telling.overlay.speak(VM1, "pve4")
    telling.poll()
    telling.overlay.fail("pve4")
    telling.overlay.speakers.clear()
    assert telling.told() == [("EvpnNode", "Warning", "ObservationStale")]
    telling.overlay.failed.clear()
    telling.overlay.speak(VM1, "pve4")
    assert telling.told() == [("EvpnNode", "Normal", "ObservationResumed")]


def test_a_change_during_a_restart_is_told_afterwards(telling: Telling) -> None:
    telling.overlay.speak(VM1, "pve4")
    telling.poll()
    telling.overlay.speakers.clear()
    telling.overlay.stopped = {"pve2"}
    observation = telling.overlay.seen()
    fresh = facts(telling.bench.assess(observation), observation)
    damper: Debounce[Subject, Fact] = Debounce(timedelta(0), facts_before(fresh, telling.bench.objects))
    told = [event_of(transition).reason for transition in damper.observe(fresh, telling.overlay.now)]
    assert sorted(told) == ["MacWithdrawn", "SessionDown"]


# --- damping -----------------------------------------------------------------------------------------------------


def test_a_change_is_told_when_it_has_lasted() -> None:
    damper: Debounce[str, str] = Debounce()
    assert damper.observe({"a": "up"}, START) == []
    assert damper.observe({"a": "down"}, START + timedelta(seconds=1)) == []
    assert damper.observe({"a": "down"}, START + timedelta(seconds=30)) == []
    (told,) = damper.observe({"a": "down"}, START + timedelta(seconds=31))
    assert (told.old, told.new, told.since) == ("up", "down", START + timedelta(seconds=1))


def test_a_flicker_is_not_told() -> None:
    damper: Debounce[str, str] = Debounce()
    for second in range(0, 600, 10):
        assert damper.observe({"a": "down" if second % 20 else "up"}, START + timedelta(seconds=second)) == []


def test_what_keeps_flapping_slowly_is_told_ever_more_rarely_and_what_stays_is_told() -> None:
    damper: Debounce[str, str] = Debounce()
    damper.observe({"a": "up"}, START)
    told, now = 0, START
    for flap in range(60):
        for _ in range(5):
            now += timedelta(seconds=10)
            told += len(damper.observe({"a": "down" if flap % 2 else "up"}, now))
    assert 1 <= told <= 4
    last = "down" if told % 2 else "up"
    other = "up" if last == "down" else "down"
    damper.observe({"a": other}, now)
    (final,) = damper.observe({"a": other}, now + LONGEST_HOLD)
    assert final.new == other


def test_the_first_sight_is_no_news_unless_it_was_otherwise_before() -> None:
    damper: Debounce[str, str] = Debounce(known={"a": "up"})
    damper.observe({"a": "down", "b": "down"}, START)
    (told,) = damper.observe({"a": "down", "b": "down"}, START + HOLD)
    assert told.key == "a"


def test_what_is_gone_is_forgotten() -> None:
    damper: Debounce[str, str] = Debounce(timedelta(0))
    damper.observe({"a": "up"}, START)
    damper.keep_only(lambda key: key != "a")
    assert damper.observe({"a": "down"}, START) == []
