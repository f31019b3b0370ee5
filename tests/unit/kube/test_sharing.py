"""Replicas that share clusters, on an API server and clocks of the test's own: who may write for which, and when."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pve_evpn.engine.supervisor import UNOWNED
from pve_evpn.kube.leader import SHARED, Lease, ReplicaLease, SharedLease
from pve_evpn.kube.members import LABEL_REPLICA, Members
from pve_evpn.kube.ownership import ClusterLeases, lease_name
from pve_evpn.kube.sharing import Leases, Sharing
from pve_evpn.settings import Timing
from tests.unit.kube.leases import LeaseServer

pytestmark = pytest.mark.asyncio

RELEASE = "operator"
NAMES = frozenset(f"cluster-{number}" for number in range(12))
_numbers = itertools.count(1)


class Running:
    """What a replica runs for clusters. ``busy``: clusters in the middle of a sync, which they end first."""

    def __init__(self) -> None:
        self.sharing: Sharing
        self.running: set[str] = set()
        self.busy: set[str] = set()

    def match(self) -> None:
        for cluster in (*NAMES, UNOWNED):
            if self.sharing.serves(cluster):
                self.running.add(cluster)
            elif cluster not in self.busy:
                self.running.discard(cluster)

    def works_for(self, cluster: str) -> bool:
        return cluster in self.running

    def finish(self) -> None:
        """The syncs end."""
        self.busy.clear()
        self.match()


class Replica:
    """One process with a clock of its own."""

    def __init__(self, server: LeaseServer, clusters: frozenset[str] = NAMES) -> None:
        self.identity = f"replica-{next(_numbers):03}"
        self.clock = SimpleNamespace(now=1000.0)
        self.clusters = clusters
        self.reads = 0
        self.work = Running()
        api: Any = server
        now = lambda: self.clock.now  # noqa: E731
        own = ReplicaLease(api, "system", f"{RELEASE}-replica-{self.identity}", self.identity, Timing(), clock=now)
        own.labels[LABEL_REPLICA] = RELEASE
        self.leases = Leases(
            own,
            SharedLease(api, "system", RELEASE, Timing(), clock=now),
            Members(api, "system", RELEASE, self.identity, 15.0, clock=now),
            ClusterLeases(api, "system", RELEASE, self.identity, 15.0),
        )
        self.sharing = self.work.sharing = Sharing(self.leases, lambda: self.clusters, self._read, 2.0)

    async def _read(self) -> None:
        self.reads += 1

    async def join(self) -> bool:
        """Whether it joined: not where an older process leads."""
        assert await self.leases.replica._attempt()
        if not await self.leases.shared._attempt():
            return False
        await self.sharing.begin(self.work)
        self.sharing._offer(takes=True)
        await self.renew()
        return True

    async def renew(self) -> bool:
        """One renewal of its own Lease; False where it is lost."""
        lease = self.leases.replica
        return lease.is_held and await lease._attempt()

    async def turn(self) -> None:
        """One renewal and one round."""
        if await self.renew():
            await self.leases.shared._attempt()
            await self.sharing._round()

    async def leave(self) -> None:
        """A graceful stop, as kube.app does it."""
        self.sharing.leave()
        await self.renew()
        await self.sharing._round()
        self.work.finish()
        await self.sharing._round()
        await self.sharing.close()
        await self.leases.replica.release()
        await self.leases.shared.release_if(self.leases.members.are_none_left)

    @property
    def is_joined(self) -> bool:
        return self.leases.replica.is_held and self.leases.shared.is_held

    @property
    def held(self) -> frozenset[str]:
        return self.sharing.held - {UNOWNED}


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


async def joined(server: LeaseServer, count: int, clusters: frozenset[str] = NAMES) -> list[Replica]:
    """So many replicas, one after the other, that have settled."""
    replicas = []
    for _ in range(count):
        replicas.append(Replica(server, clusters))
        assert await replicas[-1].join()
        await settle(*replicas)
    return replicas


async def settle(*replicas: Replica, rounds: int = 5) -> None:
    for _ in range(rounds):
        await sleep(2.0, *replicas)
        for replica in replicas:
            await replica.turn()


async def sleep(seconds: float, *replicas: Replica) -> None:
    for replica in replicas:
        replica.clock.now += seconds


def holders(*replicas: Replica) -> dict[str, list[str]]:
    return {name: [each.identity for each in replicas if each.sharing.may_write(name)] for name in (*NAMES, UNOWNED)}


def assert_one_writer_each(*replicas: Replica) -> None:
    assert {name: found for name, found in holders(*replicas).items() if len(found) != 1} == {}


async def test_one_replica_holds_everything(server: LeaseServer) -> None:
    (only,) = await joined(server, 1)
    assert only.sharing.held == NAMES | {UNOWNED}
    assert only.work.running == NAMES | {UNOWNED}
    assert only.reads == 1


async def test_three_replicas_share_evenly(server: LeaseServer) -> None:
    replicas = await joined(server, 3)
    assert [len(each.held) for each in replicas] == [4, 4, 4]
    assert_one_writer_each(*replicas)


async def test_a_replica_names_the_other_one_that_holds_a_cluster(server: LeaseServer) -> None:
    one, other = await joined(server, 2)
    assert {other.sharing.holder(name) for name in NAMES if one.sharing.may_write(name)} == {one.identity}
    assert {one.sharing.holder(name) for name in NAMES if one.sharing.may_write(name)} == {""}
    assert other.sharing.holder("unheard-of") == ""


async def test_at_rest_no_cluster_costs_a_request(server: LeaseServer) -> None:
    replicas = await joined(server, 3)
    server.requests.clear()
    for replica in replicas:
        await replica.turn()
    verbs = Counter(verb for verb, _ in server.requests)
    # Its own Lease and the shared one, which is read before it is written; and one list of the replicas.
    assert verbs == {"update": 6, "get": 3, "list": 3}


async def test_what_runs_is_ended_before_a_cluster_is_handed_over(server: LeaseServer) -> None:
    (old,) = await joined(server, 1)
    old.work.busy = set(NAMES)
    new = Replica(server)
    await new.join()
    await settle(old, new)
    assert new.held == frozenset(), "every sync still runs"
    assert len(old.held) == 12
    old.work.finish()
    await settle(old, new)
    assert (len(old.held), len(new.held)) == (6, 6)
    assert_one_writer_each(old, new)


async def test_the_new_holder_reads_everything_before_it_begins(server: LeaseServer) -> None:
    (old,) = await joined(server, 1)
    new = Replica(server)
    await new.join()
    serving: list[frozenset[str]] = []

    async def read() -> None:
        serving.append(frozenset(name for name in NAMES if new.sharing.serves(name)))
        assert new.held, "it holds them already, so that no other replica writes after what is read here"

    new.sharing._read = read
    await settle(old, new)
    assert serving == [frozenset()]
    assert len(new.work.running) == 6


async def test_a_dead_replicas_clusters_move_after_its_silence_and_not_before(server: LeaseServer) -> None:
    dead, *others = await joined(server, 3)
    await sleep(2.0, *others)
    for each in others:
        await each.turn()
    for _ in range(6):  # 12 more seconds
        await sleep(2.0, *others)
        for each in others:
            await each.turn()
    assert sum(len(each.held) for each in others) == 8
    await settle(*others, rounds=3)
    assert [len(each.held) for each in others] == [6, 6]
    assert_one_writer_each(*others)
    assert dead.leases.replica.name not in server.stored


async def test_a_replica_that_speaks_while_it_is_being_ended_lives_on(server: LeaseServer) -> None:
    slow, other = await joined(server, 2)
    await settle(other, rounds=7)

    async def renew_first(verb: str) -> None:
        if verb == "delete":
            server.before = None
            await slow.renew()

    server.before = renew_first
    await settle(other, rounds=2)
    assert server.before is None
    assert slow.leases.replica.name in server.stored
    assert_one_writer_each(slow, other)


async def test_a_replica_that_slept_is_lost_for_good_when_it_wakes(server: LeaseServer) -> None:
    sleeper, *others = await joined(server, 3)
    await settle(*others, rounds=12)
    sleeper.clock.now += 24
    assert sleeper.held == frozenset()
    assert not await sleeper.renew()
    assert sleeper.leases.replica.name not in server.stored
    assert_one_writer_each(sleeper, *others)


async def test_a_replica_that_slept_with_its_clock_is_refused_at_its_next_renewal(server: LeaseServer) -> None:
    sleeper, *others = await joined(server, 3)
    await settle(*others, rounds=12)
    assert sleeper.leases.replica.is_held, "by a clock that stood still"
    assert not await sleeper.renew()
    assert not sleeper.leases.replica.is_held
    assert_one_writer_each(sleeper, *others)


async def test_a_replica_is_not_gone_because_its_lease_was_deleted(server: LeaseServer) -> None:
    """A user deleted it: the replica may still believe in it for as long as its renew deadline."""
    first, second = await joined(server, 2)
    del server.stored[first.leases.replica.name]
    await second.turn()
    await sleep(9.0, first, second)
    await second.turn()
    assert len(second.held) == 6
    assert first.leases.replica.is_held
    await sleep(7.0, first, second)
    await second.turn()
    assert len(second.held) == 12
    assert first.held == frozenset()


async def test_a_replica_that_leaves_hands_over_at_once(server: LeaseServer) -> None:
    first, second = await joined(server, 2)
    await first.leave()
    await second.turn()
    assert second.sharing.held == NAMES | {UNOWNED}
    assert first.leases.replica.name not in server.stored
    assert server.holder(RELEASE) == SHARED, "the other replica still needs it"


async def test_the_last_replica_leaves_the_shared_lease_free(server: LeaseServer) -> None:
    first, second = await joined(server, 2)
    await first.leave()
    await second.turn()
    await second.leave()
    assert server.holder(RELEASE) == ""
    assert [name for name in NAMES if server.holder(lease_name(RELEASE, name))] == []


async def test_a_replica_that_joins_while_the_last_one_leaves_is_seen(server: LeaseServer) -> None:
    """Either the Lease stays, or the newcomer knows that it is free."""
    (last,) = await joined(server, 1)
    new = Replica(server)
    is_none_left = last.leases.members.are_none_left

    async def while_it_is_asked() -> bool:
        answer = await is_none_left()
        assert await new.leases.replica._attempt()
        assert await new.leases.shared._attempt()
        return answer

    await last.leases.shared.release_if(while_it_is_asked)
    assert server.holder(RELEASE) == SHARED
    assert new.leases.shared.is_held


async def test_a_replica_that_cannot_take_clusters_is_given_none(server: LeaseServer) -> None:
    first, second = await joined(server, 2)
    second.sharing._offer(takes=False)
    await second.renew()
    first.clusters = second.clusters = NAMES | {"new"}
    await first.turn()
    assert first.sharing.may_write("new")


async def test_a_cluster_that_is_deleted_loses_its_lease_and_may_come_again(server: LeaseServer) -> None:
    (only,) = await joined(server, 1)
    gone = "cluster-0"
    only.work.busy = {gone}
    only.clusters = NAMES - {gone}
    await settle(only)
    assert lease_name(RELEASE, gone) in server.stored, "its sync still runs"
    only.work.finish()
    await settle(only)
    assert lease_name(RELEASE, gone) not in server.stored
    only.clusters = NAMES
    await settle(only)
    assert only.sharing.serves(gone)


async def test_a_lease_that_another_client_edited_ends_the_writing(server: LeaseServer) -> None:
    (only,) = await joined(server, 1)
    edited = server.stored[lease_name(RELEASE, "cluster-0")]
    edited.spec.holder_identity = "a-person"
    only.sharing._is_settled = False
    await only.turn()
    assert not only.sharing.may_write("cluster-0")


async def test_a_request_that_was_given_up_and_executed_later_leaves_no_cluster_behind(server: LeaseServer) -> None:
    """The Lease names a replica that knows nothing of it, and lives."""
    first, second = await joined(server, 2)
    theirs = next(iter(second.held))
    server.stored[lease_name(RELEASE, theirs)].spec.holder_identity = first.identity
    for each in (first, second):
        each.sharing._is_settled = False
    await settle(first, second)
    assert_one_writer_each(first, second)


async def test_an_api_server_that_fails_moves_nothing(server: LeaseServer) -> None:
    first, second = await joined(server, 2)
    before = holders(first, second)
    server.down = True
    for each in (first, second):
        with pytest.raises(OSError, match="refused"):
            await each.sharing._round()
    server.down = False
    await settle(first, second)
    assert holders(first, second) == before


async def test_long_names_of_clusters_fit() -> None:
    assert len(lease_name("x" * 50, "y" * 253)) <= 253
    assert lease_name("x" * 50, "y" * 253) != lease_name("x" * 50, "y" * 252)


# --- beside a release that let one replica lead --------------------------------------------------------------------


def older(server: LeaseServer) -> tuple[Lease, SimpleNamespace]:
    """A process of it: it competes for the one Lease and writes for every cluster while it holds that."""
    clock = SimpleNamespace(now=1000.0)
    api: Any = server
    return Lease(api, "system", RELEASE, "older", Timing(), clock=lambda: clock.now), clock


async def test_no_replica_writes_while_an_older_process_leads(server: LeaseServer) -> None:
    old, clock = older(server)
    assert await old._attempt()
    new = Replica(server)
    assert not await new.join()
    for _ in range(20):
        clock.now += 2
        new.clock.now += 2
        assert await old._attempt()
        assert await new.renew()
        assert not await new.leases.shared._attempt()
    assert new.sharing.held == frozenset()
    assert new.leases.shared.holder == "older"
    await old.release()
    assert await new.join()
    assert new.held == NAMES


async def test_an_older_process_never_leads_while_a_replica_lives(server: LeaseServer) -> None:
    old, clock = older(server)
    first, second = await joined(server, 2)
    assert not await old._attempt()
    for _ in range(40):  # 80 seconds; the replica that renewed last dies on the way
        clock.now += 2
        second.clock.now += 2
        await second.turn()
        assert not await old._attempt()
    assert second.held == NAMES
    assert first.leases.replica.name not in server.stored


async def test_an_older_process_leads_after_replicas_that_died_and_they_know_it_before(server: LeaseServer) -> None:
    old, clock = older(server)
    first, second = await joined(server, 2)
    assert not await old._attempt()
    for seconds in range(60):
        assert not await old._attempt()
        assert old.is_held is False
        clock.now += 1
        await sleep(1.0, first, second)
        if seconds >= 40:
            assert first.held | second.held == frozenset()
    assert await old._attempt()


# --- everything at random --------------------------------------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """Replicas come, work, stop at any moment, sleep, leave and are killed; an older process competes.

    Several turns at once are interleaved request by request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.server = LeaseServer()
        self.replicas: list[Replica] = []
        self.asleep: set[str] = set()
        self.old, self.old_clock = older(self.server)

    @initialize()
    def first(self) -> None:
        self.come()

    @rule()
    def come(self) -> None:
        if len(self.replicas) < 4:
            replica = Replica(self.server)
            self._run(replica.join())
            self.replicas.append(replica)

    @rule(seconds=st.sampled_from([0.5, 2.0, 3.0, 16.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        for replica in self.replicas:
            replica.clock.now += seconds
        self.old_clock.now += seconds

    @rule(data=st.data())
    def turn(self, data: st.DataObject) -> None:
        if awake := self._awake():
            self._turns(data.draw(st.sampled_from(awake)))

    @rule()
    def turns_at_once(self) -> None:
        self._turns(*self._awake())

    def _turns(self, *replicas: Replica) -> None:
        async def together() -> None:
            older = self.old._attempt()
            await asyncio.gather(older, *(each.turn() for each in replicas if each.is_joined))

        self._run(together())
        for replica in replicas:
            if not replica.is_joined:
                self.replicas.remove(replica)  # it ends

    def _awake(self) -> list[Replica]:
        return [each for each in self.replicas if each.identity not in self.asleep]

    @rule(data=st.data())
    def a_sync_begins(self, data: st.DataObject) -> None:
        if self.replicas:
            replica = data.draw(st.sampled_from(self.replicas))
            replica.work.busy = set(replica.work.running)

    @rule(data=st.data())
    def syncs_end(self, data: st.DataObject) -> None:
        if self.replicas:
            data.draw(st.sampled_from(self.replicas)).work.finish()

    @rule(data=st.data())
    def is_stopped_or_goes_on(self, data: st.DataObject) -> None:
        if self.replicas:
            self.asleep ^= {data.draw(st.sampled_from(self.replicas)).identity}

    @rule(data=st.data())
    def is_killed(self, data: st.DataObject) -> None:
        if self.replicas:
            self.replicas.remove(data.draw(st.sampled_from(self.replicas)))

    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        if awake := self._awake():
            replica = data.draw(st.sampled_from(awake))
            if replica.is_joined:
                self._run(replica.leave())
                self.replicas.remove(replica)

    @rule()
    def an_older_process_tries(self) -> None:
        self._run(self.old._attempt())

    @rule()
    def the_older_process_ends(self) -> None:
        self._run(self.old.release())

    @invariant()
    def no_cluster_has_two_writers(self) -> None:
        writers = Counter[str]()
        for replica in self.replicas:
            writers.update(replica.sharing.held)
        if self.old.is_held:
            writers.update((*NAMES, UNOWNED))
        assert [name for name, count in writers.items() if count > 1] == []

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run(work)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
