"""The Lease against an API server and clocks of the test's own: who leads when, and who only thinks so."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.kube.leader import LABELS, Lease, LeaseKeeper
from pve_evpn.settings import Timing

pytestmark = pytest.mark.asyncio


class Server:
    """One Lease with optimistic concurrency; ``down`` makes every request fail."""

    def __init__(self) -> None:
        self.stored: Any = None
        self.version = 0
        self.down = False
        self.writes = 0

    def _check(self) -> None:
        if self.down:
            raise OSError("connection refused")

    def _cache(self, lease: Any) -> Any:
        self.version += 1
        self.writes += 1
        self.stored = copy.deepcopy(lease)
        self.stored.metadata.resource_version = str(self.version)
        return copy.deepcopy(self.stored)

    async def read_namespaced_lease(self, _name: str, _namespace: str) -> Any:
        self._check()
        if self.stored is None:
            raise ApiException(status=404, reason="Not Found")
        return copy.deepcopy(self.stored)

    async def create_namespaced_lease(self, _namespace: str, lease: Any) -> Any:
        self._check()
        if self.stored is not None:
            raise ApiException(status=409, reason="AlreadyExists")
        return self._cache(lease)

    async def replace_namespaced_lease(self, _name: str, _namespace: str, lease: Any) -> Any:
        self._check()
        if self.stored is None or lease.metadata.resource_version != self.stored.metadata.resource_version:
            raise ApiException(status=409, reason="Conflict")
        return self._cache(lease)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(now=1000.0)


def candidate(server: Server, clock: SimpleNamespace, name: str, **timing: float) -> Lease:
    return Lease(server, "system", "operator", name, Timing(**timing), clock=lambda: clock.now)  # type: ignore[arg-type]


async def attempt(lease: Lease) -> bool:
    return await lease._attempt()


async def test_the_first_creates_it_and_the_second_waits(server: Server, clock: SimpleNamespace) -> None:
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    assert await attempt(first)
    assert first.is_held
    assert not await attempt(second)
    assert (second.is_held, second.holder, second.error) == (False, "a", "")


async def test_a_renewed_lease_is_not_taken_however_much_time_passes(server: Server, clock: SimpleNamespace) -> None:
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    await attempt(first)
    for _ in range(20):
        clock.now += 2
        assert await attempt(first)
        assert not await attempt(second)


async def test_a_silent_holder_is_replaced_after_its_duration_and_not_before(
    server: Server, clock: SimpleNamespace
) -> None:
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    await attempt(first)
    assert not await attempt(second)  # from here on b has seen it
    clock.now += 14.9
    assert not await attempt(second)
    clock.now += 0.2
    assert await attempt(second)
    assert server.stored.spec.lease_transitions == 1


async def test_the_holder_gives_up_before_anybody_can_replace_it(server: Server, clock: SimpleNamespace) -> None:
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    await attempt(first)
    await attempt(second)
    server.down = True
    clock.now += 9.9
    assert not await attempt(first)
    assert first.is_held
    clock.now += 0.2
    assert not first.is_held
    server.down = False
    assert not await attempt(second), "nobody leads between the renew deadline and the end of the duration"


async def test_it_waits_as_long_as_the_holder_promised_not_as_long_as_it_would_itself(
    server: Server, clock: SimpleNamespace
) -> None:
    slow = candidate(server, clock, "a", duration=60, renew_deadline=40)
    await attempt(slow)
    quick = candidate(server, clock, "b")
    await attempt(quick)
    clock.now += 30
    assert not await attempt(quick)


async def test_a_released_lease_is_taken_at_once(server: Server, clock: SimpleNamespace) -> None:
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    await attempt(first)
    await attempt(second)
    await first.release()
    assert not first.is_held
    assert server.stored.spec.holder_identity in (None, "")
    assert await attempt(second)


async def test_release_leaves_anothers_lease_alone(server: Server, clock: SimpleNamespace) -> None:
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    await attempt(first)
    server.stored.spec.holder_identity = "b"
    await first.release()
    assert server.stored.spec.holder_identity == "b"
    assert not second.is_held


async def test_of_two_that_take_it_at_the_same_time_one_gets_it(server: Server, clock: SimpleNamespace) -> None:
    candidates = [candidate(server, clock, name) for name in "abcdef"]
    await asyncio.gather(*(attempt(lease) for lease in candidates))
    assert sum(lease.is_held for lease in candidates) == 1


async def test_a_holder_that_slept_too_long_does_not_lead_when_it_wakes(server: Server, clock: SimpleNamespace) -> None:
    sleeper = candidate(server, clock, "a", duration=15, renew_deadline=10, retry=0.01)
    await attempt(sleeper)
    keeping = asyncio.create_task(sleeper.keep())
    await asyncio.sleep(0)
    clock.now += 60
    writes = server.writes
    await asyncio.wait_for(keeping, 5)
    assert not sleeper.is_held
    assert server.writes == writes, "it must not take the Lease again as if nothing had happened"


async def test_somebody_elses_name_in_the_lease_ends_leading(server: Server, clock: SimpleNamespace) -> None:
    lease = candidate(server, clock, "a", duration=15, renew_deadline=10, retry=0.01)
    await attempt(lease)
    server.stored.spec.holder_identity = "b"
    server.stored.metadata.resource_version = "99"
    await asyncio.wait_for(lease.keep(), 5)
    assert not lease.is_held
    assert lease.holder == "b"


async def test_a_deleted_lease_is_made_again_by_its_holder(server: Server, clock: SimpleNamespace) -> None:
    lease = candidate(server, clock, "a")
    await attempt(lease)
    server.stored = None
    await attempt(lease)  # finds out
    assert await attempt(lease)
    assert server.stored.spec.holder_identity == "a"


async def test_a_hanging_request_leaves_time_for_another(server: Server, clock: SimpleNamespace) -> None:
    lease = candidate(server, clock, "a", duration=3, renew_deadline=0.2, retry=0.05)

    async def hang(*_: Any) -> Any:
        await asyncio.Event().wait()

    server.read_namespaced_lease = hang  # type: ignore[method-assign]
    assert not await asyncio.wait_for(attempt(lease), 5)
    assert lease.error == "TimeoutError"


@pytest.mark.parametrize(
    ("timing", "word"),
    [
        ({"duration": 10, "renew_deadline": 10}, "longer than the renew deadline"),
        ({"renew_deadline": 2.4}, "retry period"),
        ({"duration": 0.5, "renew_deadline": 0.4, "retry": 0.1}, "at least 1 s"),
    ],
    ids=str,
)
async def test_timings_that_would_let_two_lead_are_refused(timing: dict[str, float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Timing(**timing)


async def test_a_holder_that_was_overtaken_knows_it_with_the_refusal(server: Server, clock: SimpleNamespace) -> None:
    """A virtual machine that was paused with its clock: by that, the Lease is still held."""
    first, second = candidate(server, clock, "a"), candidate(server, SimpleNamespace(now=1000.0), "b")
    await attempt(first)
    await attempt(second)
    second._clock = lambda: 2000.0
    assert await attempt(second)
    assert first.is_held
    assert not await attempt(first)
    assert (first.is_held, first.holder) == (False, "b")


async def test_a_holder_whose_renewal_met_another_edit_goes_on_holding(server: Server, clock: SimpleNamespace) -> None:
    first = candidate(server, clock, "a")
    await attempt(first)
    server.stored.metadata.resource_version = "edited"
    assert not await attempt(first)
    assert first.is_held
    assert await attempt(first)


async def test_it_is_found_by_its_labels_also_where_it_was_there_before(server: Server, clock: SimpleNamespace) -> None:
    await attempt(candidate(server, clock, "a"))
    assert server.stored.metadata.labels == LABELS
    server.stored.metadata.labels = {"mine": "yes"}
    server.stored.spec.holder_identity = ""
    await attempt(candidate(server, clock, "b"))
    assert server.stored.metadata.labels == {"mine": "yes", **LABELS}


async def test_its_annotations_are_written_beside_those_of_others(server: Server, clock: SimpleNamespace) -> None:
    lease = candidate(server, clock, "a")
    lease.annotations["port"] = "1"
    assert await attempt(lease)
    assert server.stored.metadata.annotations == {"port": "1"}
    server.stored.metadata.annotations = {"mine": "yes"}
    server.stored.spec.holder_identity = ""
    other = candidate(server, clock, "b")
    other.annotations["port"] = "2"
    assert await attempt(other)
    assert server.stored.metadata.annotations == {"mine": "yes", "port": "2"}


async def test_a_blocked_event_loop_does_not_lose_the_lease(server: Server) -> None:
    """Planning for many objects may hold up the loop for longer than the renew deadline."""
    lease = Lease(server, "system", "operator", "a", Timing(2, 1, 0.1))  # type: ignore[arg-type]
    await lease.acquire()
    lost = asyncio.Event()
    keeper = LeaseKeeper(lease, lambda: contextlib.nullcontext(server), lost.set)  # type: ignore[arg-type, return-value]
    keeper.start()
    time.sleep(1.5)  # noqa: ASYNC251 - the point of the test
    assert lease.is_held
    await keeper.stop()
    assert not lost.is_set()
    await lease.release()
    assert server.stored.spec.holder_identity == ""


async def test_the_keeper_says_that_the_lease_is_lost(server: Server) -> None:
    lease = Lease(server, "system", "operator", "a", Timing(2, 0.5, 0.1))  # type: ignore[arg-type]
    await lease.acquire()
    lost = asyncio.Event()
    keeper = LeaseKeeper(lease, lambda: contextlib.nullcontext(server), lost.set)  # type: ignore[arg-type, return-value]
    keeper.start()
    server.down = True
    async with asyncio.timeout(10):
        await lost.wait()
    assert not lease.is_held
    await keeper.stop()
