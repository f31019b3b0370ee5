"""One poll: best source first, per node, filled up by others; a failing one is trusted for a while; nobody waits."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pve_evpn.domain.observation import (
    EvpnRoute,
    MacIp,
    NodeObservation,
    NodeResult,
    ObservationFailure,
    PeerState,
    SourceName,
    VniRow,
)
from pve_evpn.observe.fallback import PARALLEL, Chain
from pve_evpn.observe.source import NodeTarget, NodeUnreadable

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NODES = [NodeTarget(f"pve{i}", f"192.168.16.{i}") for i in (1, 2, 3, 4)]
GRACE = timedelta(seconds=60)
PEERS = (PeerState("192.168.16.9", "Established"),)
VNIS = (VniRow(5001, "L2", macs=3),)
MAC_IPS = (MacIp("EVPN1", "bc:24:11:11:11:11", "10.0.0.9", "192.168.16.4", START),)
ROUTES = (EvpnRoute(3, "[3]:x", "192.168.16.4:2"),)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeSource:
    """Answers what such a source sees, unless told otherwise; `hanging` nodes answer when released."""

    def __init__(self, name: SourceName, clock: Clock) -> None:
        self.name: SourceName = name
        self.clock = clock
        self.dead: set[str] = set()
        self.why = "Unreachable"
        self.sees: dict[str, Any] = {
            "ssh": {"bgp_running": True, "peers": PEERS, "vnis": VNIS, "routes": ROUTES, "macs": ()},
            "frrExporter": {"bgp_running": True, "peers": PEERS, "vnis": VNIS},
            "api": {"mac_ips": MAC_IPS},
        }[name]
        self.hanging: dict[str, asyncio.Event] = {}
        self.broken = False
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.closed = False

    async def read(self, node: NodeTarget) -> NodeObservation:
        self.asked.append(node.name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if node.name in self.hanging:
                await self.hanging[node.name].wait()
        finally:
            self.at_once -= 1
        if self.broken:
            raise RuntimeError("a defect")
        if node.name in self.dead:
            raise NodeUnreadable(self.why, f"no SSH connection to {node.address}")
        return NodeObservation(node.name, self.name, self.clock(), **self.sees)

    async def close(self) -> None:
        self.closed = True


def chain_of(*sources: FakeSource, grace: timedelta = GRACE, timeout: float = 5) -> Chain:
    return Chain(sources, grace, timeout, sources[0].clock)


def by(look: NodeResult) -> str:
    if isinstance(look, NodeObservation):
        return "+".join(look.sources)
    return f"{look.reason}{'' if look.settled else '?'}"


async def test_every_node_is_read_once_by_the_best_source() -> None:
    clock = Clock()
    best, other = FakeSource("ssh", clock), FakeSource("api", clock)
    looks = await chain_of(best, other).poll(NODES)
    assert {by(look) for look in looks.nodes.values()} == {"ssh"}
    assert sorted(best.asked) == ["pve1", "pve2", "pve3", "pve4"]
    assert other.asked == []


async def test_a_node_without_the_best_source_falls_back_alone() -> None:
    clock = Clock()
    sources = [FakeSource("ssh", clock), FakeSource("frrExporter", clock), FakeSource("api", clock)]
    sources[0].dead = {"pve2", "pve3"}
    sources[1].dead = {"pve3"}
    looks = await chain_of(*sources).poll(NODES)
    assert [by(looks.nodes[node.name]) for node in NODES] == ["ssh", "frrExporter+api", "api", "ssh"]


async def test_within_the_grace_time_the_last_look_of_the_better_source_counts_more() -> None:
    clock = Clock()
    best, other = FakeSource("ssh", clock), FakeSource("api", clock)
    chain = chain_of(best, other)
    await chain.poll(NODES)
    best.dead = {"pve2"}
    clock.pass_(59)
    look = (await chain.poll(NODES)).nodes["pve2"]
    assert isinstance(look, NodeObservation)
    assert (look.source, look.at) == ("ssh", START)
    clock.pass_(1)
    assert by((await chain.poll(NODES)).nodes["pve2"]) == "api"
    best.dead = set()
    assert by((await chain.poll(NODES)).nodes["pve2"]) == "ssh"


async def test_a_node_nobody_sees_has_failed_once_the_grace_time_is_over() -> None:
    clock = Clock()
    only = FakeSource("ssh", clock)
    only.dead = {"pve2"}
    chain = chain_of(only)
    assert by((await chain.poll(NODES)).nodes["pve2"]) == "Unreachable?"
    clock.pass_(60)
    look = (await chain.poll(NODES)).nodes["pve2"]
    assert isinstance(look, ObservationFailure)
    assert (look.settled, look.source, look.message) == (True, "ssh", "no SSH connection to 192.168.16.2")
    only.dead = set()
    assert by((await chain.poll(NODES)).nodes["pve2"]) == "ssh"
    only.dead = {"pve2"}
    assert by((await chain.poll(NODES)).nodes["pve2"]) == "ssh"


async def test_without_grace_a_failure_is_settled_at_once() -> None:
    only = FakeSource("ssh", Clock())
    only.dead = {"pve2"}
    assert by((await chain_of(only, grace=timedelta(0)).poll(NODES)).nodes["pve2"]) == "Unreachable"


# --- several sources for one node --------------------------------------------------------------------------------


async def test_what_stands_in_for_the_preferred_source_says_what_is_wrong_with_that() -> None:
    clock = Clock()
    best, other = FakeSource("ssh", clock), FakeSource("api", clock)
    best.dead, best.why = {"pve2"}, "HostKeyMismatch"
    chain = chain_of(best, other)
    looks = (await chain.poll(NODES)).answered()
    assert (looks["pve1"].problems, looks["pve1"].instead_of) == ((), None)
    failure = looks["pve2"].instead_of
    assert failure is not None
    assert (failure.source, failure.reason, failure.settled) == ("ssh", "HostKeyMismatch", False)
    assert looks["pve2"].problems == ("ssh: no SSH connection to 192.168.16.2",)
    clock.pass_(60)
    failure = (await chain.poll(NODES)).answered()["pve2"].instead_of
    assert failure is not None
    assert failure.settled


async def test_a_failure_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="pve_evpn.observe.fallback")

    def said() -> list[str]:
        return [record.message for record in caplog.records if record.name == "pve_evpn.observe.fallback"]

    clock = Clock()
    best, other = FakeSource("ssh", clock), FakeSource("api", clock)
    chain = chain_of(best, other)
    await chain.poll(NODES)
    best.dead = {"pve2"}
    for _ in range(10):
        clock.pass_(15)
        await chain.poll(NODES)
    assert said() == ["pve2 cannot be observed by ssh: no SSH connection to 192.168.16.2"]
    best.why = "AuthenticationFailed"
    for _ in range(2):
        await chain.poll(NODES)
    assert len(said()) == 2
    best.dead = set()
    for _ in range(2):
        await chain.poll(NODES)
    assert said()[2:] == ["pve2 can be observed by ssh again"]


async def test_a_source_fills_up_what_the_one_before_could_not_see() -> None:
    clock = Clock()
    exporter, api = FakeSource("frrExporter", clock), FakeSource("api", clock)
    look = (await chain_of(exporter, api).poll(NODES)).answered()["pve1"]
    assert (look.source, look.also) == ("frrExporter", ("api",))
    assert (look.peers, look.vnis, look.mac_ips, look.instead_of) == (PEERS, VNIS, MAC_IPS, None)


async def test_a_part_that_cannot_be_read_is_filled_up_and_named() -> None:
    clock = Clock()
    best, other = FakeSource("ssh", clock), FakeSource("frrExporter", clock)
    best.sees |= {"peers": None, "problems": ("the summary cannot be read",)}
    look = (await chain_of(best, other).poll(NODES)).answered()["pve1"]
    assert (look.source, look.also, look.peers, look.routes) == ("ssh", ("frrExporter",), PEERS, ROUTES)
    assert look.problems == ("the summary cannot be read",)
    other.dead = {"pve1"}
    look = (await chain_of(best, other).poll(NODES)).answered()["pve1"]
    assert (look.also, look.peers, look.instead_of) == ((), None, None)
    assert look.problems == ("the summary cannot be read", "frrExporter: no SSH connection to 192.168.16.1")


async def test_where_bgpd_is_dead_nobody_else_is_asked() -> None:
    clock = Clock()
    best, other = FakeSource("ssh", clock), FakeSource("frrExporter", clock)
    best.sees = {"bgp_running": False, "peers": ()}
    look = (await chain_of(best, other).poll(NODES)).answered()["pve1"]
    assert (look.also, look.vnis) == ((), None)
    assert other.asked == []


async def test_a_poll_that_hangs_is_filled_up_from_the_last_looks_too() -> None:
    clock = Clock()
    exporter, api = FakeSource("frrExporter", clock), FakeSource("api", clock)
    chain = chain_of(exporter, api, timeout=0.02)
    await chain.poll(NODES)
    api.hanging["pve3"] = asyncio.Event()
    clock.pass_(15)
    assert by((await chain.poll(NODES)).nodes["pve3"]) == "frrExporter+api"
    await chain.close()


def test_nothing_is_filled_into_what_a_dead_bgpd_makes_forget() -> None:
    dead = NodeObservation("pve1", "ssh", START, bgp_running=False)
    other = NodeObservation("pve1", "frrExporter", START, bgp_running=True, peers=PEERS, vnis=VNIS, macs=())
    filled = dead.filled_from(other)
    assert (filled.bgp_running, filled.peers, filled.vnis, filled.macs) == (False, PEERS, None, None)
    assert filled.sources == ("ssh", "frrExporter")
    assert other.filled_from(replace(dead, at=START + GRACE)) is other


async def test_the_preferred_source_says_why() -> None:
    clock = Clock()
    best, other = FakeSource("ssh", clock), FakeSource("frrExporter", clock)
    best.dead = other.dead = {"pve1"}
    look = (await chain_of(best, other).poll(NODES)).nodes["pve1"]
    assert isinstance(look, ObservationFailure)
    assert look.source == "ssh"


async def test_nobody_waits_for_a_node_that_hangs_and_its_answer_counts_later() -> None:
    clock = Clock()
    only = FakeSource("ssh", clock)
    release = only.hanging["pve3"] = asyncio.Event()
    chain = chain_of(only, timeout=0.05)
    looks = await chain.poll(NODES)
    assert [by(looks.nodes[node.name]) for node in NODES] == ["ssh", "ssh", "Timeout?", "ssh"]
    looks = await chain.poll(NODES)
    assert only.asked.count("pve3") == 1  # not asked again while it owes an answer
    release.set()
    await asyncio.sleep(0.01)
    assert by((await chain.poll(NODES)).nodes["pve3"]) == "ssh"
    await chain.close()


async def test_a_node_that_hangs_stays_what_it_was_for_the_grace_time() -> None:
    clock = Clock()
    only = FakeSource("ssh", clock)
    chain = chain_of(only, timeout=0.02)
    await chain.poll(NODES)
    only.hanging["pve3"] = asyncio.Event()
    clock.pass_(30)
    assert by((await chain.poll(NODES)).nodes["pve3"]) == "ssh"
    clock.pass_(30)  # the last look counts no longer, and the node has failed for 30 s
    assert by((await chain.poll(NODES)).nodes["pve3"]) == "Timeout?"
    clock.pass_(30)
    assert by((await chain.poll(NODES)).nodes["pve3"]) == "Timeout"
    await chain.close()


async def test_unknown_comes_one_grace_time_after_the_first_failed_look() -> None:
    clock = Clock()
    only = FakeSource("ssh", clock)
    chain = chain_of(only)
    await chain.poll(NODES)
    only.dead = {"pve2"}
    told = []
    for _ in range(6):
        clock.pass_(15)
        told.append(by((await chain.poll(NODES)).nodes["pve2"]))
    assert told == ["ssh", "ssh", "ssh", "Unreachable?", "Unreachable", "Unreachable"]


async def test_a_node_that_hangs_again_and_again_says_why_in_the_same_words() -> None:
    """Its source gives up after the poll did, so every other poll has no answer of it."""
    clock = Clock()
    only = FakeSource("ssh", clock)
    only.dead = {"pve3"}
    chain = chain_of(only, timeout=0.02)
    await chain.poll(NODES)
    release = only.hanging["pve3"] = asyncio.Event()
    told = []
    for _ in range(3):
        told.append((await chain.poll(NODES)).nodes["pve3"])
        release.set()
        await asyncio.wait(chain._tasks.values())
        told.append((await chain.poll(NODES)).nodes["pve3"])
        release.clear()
    assert {look.message for look in told if isinstance(look, ObservationFailure)} == {
        "no SSH connection to 192.168.16.3"
    }
    await chain.close()


async def test_a_defect_in_a_source_ends_no_poll() -> None:
    clock = Clock()
    best, other = FakeSource("ssh", clock), FakeSource("api", clock)
    best.broken = True
    looks = await chain_of(best, other).poll(NODES)
    assert {by(look) for look in looks.nodes.values()} == {"api"}


async def test_a_large_cluster_is_read_side_by_side_within_a_limit() -> None:
    only = FakeSource("ssh", Clock())
    many = [NodeTarget(f"n{i}", "") for i in range(3 * PARALLEL)]
    looks = await chain_of(only).poll(many)
    assert len(looks.answered()) == len(many)
    assert 1 < only.most_at_once <= PARALLEL


async def test_nodes_that_left_are_forgotten_and_closing_ends_what_is_under_way() -> None:
    clock = Clock()
    only = FakeSource("ssh", clock)
    only.hanging["pve4"] = asyncio.Event()
    chain = chain_of(only, timeout=0.02)
    await chain.poll(NODES)
    looks = await chain.poll(NODES[:2])
    assert list(looks.nodes) == ["pve1", "pve2"]
    await chain.close()
    assert only.closed
    assert only.at_once == 0
