"""The SDN lock: never forced, never kept, and of writes whose end nobody saw nothing is lost or done twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pve_evpn.engine.journal import JournalEntry
from pve_lab.faults import CfsLockBusy, DropAfter, DropBefore, ForeignLock, GatewayError
from tests.engine.world import CLUSTER, Killed, World, key, programmed, vnet, zone

NEW = vnet("net2", 5002, "10.2.0.0/24")


async def test_a_lock_of_somebody_else_is_waited_for_and_named_with_since_when() -> None:
    world = await programmed()
    fault = world.lab.faults.add(ForeignLock())
    world.apply(NEW)
    await world.settle_or_wait()
    reason, message = world.programmed()
    since = world.kube.status(CLUSTER)["lock"]["since"]
    assert (reason, since in message) == ("SdnLocked", True)
    world.start()
    await world.settle_or_wait()
    assert world.kube.status(CLUSTER)["lock"]["since"] == since, "a restart does not forget since when"
    assert world.lab.sdn.lock == fault.token
    world.lab.faults.remove(fault)
    await world.settle()
    assert world.complaints() == []
    assert "lock" not in world.kube.status(CLUSTER)


async def test_waiting_for_a_lock_gets_slower_and_is_never_in_step() -> None:
    world = await programmed()
    world.lab.faults.add(ForeignLock())
    world.apply(NEW)
    pauses = [await world.one_pass() for _ in range(6)]
    assert 0.8 <= pauses[0] <= 1.2
    assert pauses[4] > 4 * pauses[0]
    assert max(pauses) <= 15 * 1.2, "no slower than looks are taken anyway"
    assert len({round(pause / 2**n, 6) for n, pause in enumerate(pauses)}) > 1, "jitter"


async def test_a_lock_taken_from_us_by_force_ends_the_transaction_and_says_what_is_left() -> None:
    world = await programmed()
    world.apply(NEW)

    def steal(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("after", "POST", "/cluster/sdn/vnets"):
            world.lab.faults.add(ForeignLock())

    world.interrupt = steal
    await world.settle_or_wait()
    assert world.programmed()[0] == "SdnLocked"
    assert "create vnet net2" in world.events("SdnLockTaken")[0]
    assert world.lab.sdn.lock == ForeignLock.token
    world.interrupt = lambda *_: None
    world.lab.faults.clear()
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 2


async def test_what_another_client_makes_under_our_name_after_that_is_not_ours() -> None:
    world = await programmed()
    world.apply(NEW, vnet("net3", 5003))

    def steal(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("after", "POST", "/cluster/sdn/vnets"):
            world.interrupt = lambda *_: None
            world.lab.faults.add(ForeignLock())
            world.lab.sdn.rollback()
            for name, tag in (("net2", 77), ("net3", 78)):
                world.lab.sdn.edited["vnets"][name] = {"zone": "zone1", "tag": tag}
            world.lab.commit()

    world.interrupt = steal
    await world.settle_or_wait()
    world.lab.faults.clear()
    await world.settle_or_wait()
    assert {name: world.lab.sdn.running["vnets"][name]["tag"] for name in ("net2", "net3")} == {"net2": 77, "net3": 78}
    for name in ("net2", "net3"):
        document = {"kind": "VNet", "metadata": {"name": name}}
        assert world.ready(key(document))["status"] == "False"
        world.kube.delete(key(document))
    await world.settle_or_wait()
    assert {"net2", "net3"} <= world.lab.sdn.running["vnets"].keys()


async def test_a_lock_that_cannot_be_given_back_is_given_back_later() -> None:
    world = await programmed()
    world.refuse("DELETE", "/cluster/sdn/lock", "Connection refused", 595, times=3)
    world.apply(NEW)
    await world.settle()
    assert world.complaints() == []
    assert world.lab.sdn.lock is None
    assert world.lab.applies == 2
    assert world.kube.status(CLUSTER)["lastTransaction"]["outcome"] == "Applied"
    assert not world.kube.journal["pve"].interrupted


async def test_a_lock_whose_token_was_lost_says_that_it_may_be_our_own() -> None:
    world = await programmed()
    world.apply(NEW)
    world.lab.faults.add(DropAfter(method="POST", path="/cluster/sdn/lock", times=1))
    await world.settle_or_wait()
    reason, message = world.programmed()
    assert reason == "SdnLocked"
    assert "This operator was interrupted at 2026-01-05T12:00" in message
    world.lab.sdn.lock = None
    await world.settle()
    assert world.complaints() == []


REFUSALS = {
    "busy": (500, "could not acquire lock for SDN config: cfs-lock 'domain-sdn' error: got lock request timeout"),
    "no quorum": (500, "cluster not ready - no quorum?"),
    "forbidden": (403, "Permission check failed (/sdn, SDN.Allocate)"),
    "token expired": (401, "Authentication failed!"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_lock_that_was_refused_leaves_no_claim_to_it_nor_to_what_was_to_be_created(refusal: str) -> None:
    """Somebody else takes the lock next, and makes an object of the same name: both are his."""
    world = await programmed()
    status, message = REFUSALS[refusal]
    world.refuse("POST", "/cluster/sdn/lock", message, status, times=1)
    new = world.apply(NEW)[0]
    await world.one_pass()
    assert world.kube.journal["pve"] == JournalEntry()
    theirs = world.lab.faults.add(ForeignLock())
    await world.settle_or_wait()
    assert world.programmed()[0] == "SdnLocked"
    assert "interrupted" not in world.programmed()[1]
    token = {"lock-token": theirs.token}
    assert world.by_hand("POST", "/cluster/sdn/vnets", vnet="net2", zone="zone1", tag="777", **token).status == 200
    assert world.by_hand("PUT", "/cluster/sdn", **token).status == 200
    world.lab.faults.remove(theirs)
    world.now += timedelta(minutes=10)
    await world.settle_or_wait()
    assert world.programmed(new)[0] == "ForeignObject"
    assert world.lab.sdn.running["vnets"]["net2"]["tag"] == 777


async def test_a_lock_held_by_somebody_leaves_no_claim_either() -> None:
    world = await programmed()
    world.lab.faults.add(ForeignLock())
    world.apply(NEW)
    await world.settle_or_wait()
    assert world.kube.journal["pve"] == JournalEntry()


async def test_a_lock_that_was_perhaps_taken_stays_perhaps_our_own_though_a_later_request_is_refused() -> None:
    world = await programmed()
    world.apply(NEW)
    world.lab.faults.add(DropAfter(method="POST", path="/cluster/sdn/lock", times=1))
    await world.one_pass()
    world.lab.faults.add(CfsLockBusy(times=1))
    await world.settle_or_wait()
    assert "may be its own" in world.programmed()[1]


async def test_a_change_staged_just_before_our_lock_is_no_lock_of_somebody() -> None:
    world = await programmed()
    world.apply(NEW)

    def stage(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("before", "POST", "/cluster/sdn/lock"):
            world.by_hand("POST", "/cluster/sdn/zones", zone="theirs", type="simple")

    world.interrupt = stage
    await world.one_pass()
    reason, message = world.programmed()
    assert (reason, "at this moment" in message) == ("ForeignPendingChanges", True)
    assert "lock" not in world.kube.status(CLUSTER)


async def test_a_lock_left_by_a_crash_is_given_back_even_while_the_cluster_is_paused() -> None:
    world = await programmed()
    world.apply(NEW)
    world.interrupt = _die_at(world, "POST", "/cluster/sdn/vnets")
    assert await world.run_until_killed()
    world.interrupt = lambda *_: None
    world.kube.annotate(CLUSTER, "pve-evpn.dev/paused", "true")
    assert world.lab.sdn.lock is not None
    world.start()
    await world.settle_or_wait()
    assert world.lab.sdn.lock is None
    assert "net2" not in world.lab.sdn.running["vnets"]


def _die_at(world: World, method: str, path: str, when: str = "before"):
    dead = False

    def interrupt(when_: str, method_: str, path_: str) -> None:
        nonlocal dead
        dead = dead or (when_, method_, path_) == (when, method, path)
        if dead:
            raise Killed

    return interrupt


WRITES = {
    "lock": ("POST", "/cluster/sdn/lock"),
    "create": ("POST", "/cluster/sdn/vnets"),
    "subnet": ("POST", "/cluster/sdn/vnets/net2/subnets"),
    "update": ("PUT", "/cluster/sdn/zones/zone1"),
    "apply": ("PUT", "/cluster/sdn"),
    "unlock": ("DELETE", "/cluster/sdn/lock"),
}
LOST = {
    "cut before": lambda m, p: DropBefore(method=m, path=p, times=1),
    "cut after": lambda m, p: DropAfter(method=m, path=p, times=1),
    "595": lambda m, p: GatewayError(method=m, path=p, times=1, status=595),
    "596, lost": lambda m, p: GatewayError(method=m, path=p, times=1),
    "596, executed": lambda m, p: GatewayError(method=m, path=p, times=1, outcome="done"),
    "596, executed late": lambda m, p: GatewayError(method=m, path=p, times=1, outcome="late", seconds=4),
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("write", WRITES)
async def test_after_a_write_of_unknown_outcome_the_end_is_right_and_nothing_is_done_twice(
    write: str, lost: str
) -> None:
    world = await programmed()
    world.apply(NEW, zone(mtu=1400))
    world.lab.faults.add(LOST[lost](*WRITES[write]))
    await world.settle_or_wait()
    if write == "lock" and world.lab.sdn.lock and world.programmed()[0] == "SdnLocked":
        assert "interrupted" in world.programmed()[1]
        world.lab.sdn.lock = None  # a person, having read that
    await world.settle()
    assert world.complaints() == []
    assert world.lab.sdn.edited == world.lab.sdn.running
    assert world.lab.sdn.running["vnets"]["net2"]["tag"] == 5002
    assert world.lab.sdn.running["zones"]["zone1"]["mtu"] == 1400
    assert world.lab.sdn.lock is None
    assert world.lab.applies == 2
    world.now = world.now.replace(hour=13)
    world.lab.settle()
    if (write, lost) != ("lock", "596, executed late"):
        assert world.lab.sdn.lock is None, "a late write found a new lock, or its object, in its way"
    assert world.lab.applies == 2


async def test_a_lock_request_that_is_executed_late_finds_a_lock_in_its_way() -> None:
    world = await programmed()
    world.apply(NEW)
    world.lab.faults.add(GatewayError(method="POST", path="/cluster/sdn/lock", times=1, outcome="late", seconds=8))
    await world.one_pass()
    world.now += timedelta(seconds=1)
    await world.one_pass()
    assert world.lab.sdn.running["vnets"]["net2"]
    token = world.kube.journal["pve"].lock_token
    assert token == world.lab.sdn.lock is not None
    assert world.kube.status(CLUSTER)["lock"]["holder"] == "Self"
    world.now += timedelta(seconds=10)
    world.lab.settle()
    assert world.lab.sdn.lock == token
    world.apply(vnet("net3", 5003))
    await world.one_pass()
    assert world.lab.sdn.running["vnets"]["net3"], "the lock that is kept does not hold up the operator itself"
    assert world.lab.sdn.lock == token
    world.now += timedelta(seconds=90)
    await world.settle()
    assert world.lab.sdn.lock is None
    assert world.complaints() == []


async def test_a_lock_request_that_was_executed_is_waited_for_no_longer_once_its_lock_is_gone() -> None:
    world = await programmed()
    world.apply(NEW)
    world.lab.faults.add(GatewayError(method="POST", path="/cluster/sdn/lock", times=1, outcome="done"))
    await world.one_pass()
    world.now += timedelta(seconds=1)
    await world.one_pass()
    assert "may be its own" in world.programmed()[1]
    world.lab.sdn.lock = None
    await world.one_pass()
    assert world.lab.sdn.running["vnets"]["net2"]
    assert world.lab.sdn.lock is None
    await world.settle()
    assert world.complaints() == []


async def test_after_an_apply_of_unknown_outcome_the_lock_stays_until_it_can_no_longer_come() -> None:
    world = await programmed()
    world.apply(NEW)
    late = GatewayError(method="PUT", path="/cluster/sdn", times=1, outcome="late", seconds=60)
    world.lab.faults.add(late)
    for _ in range(3):
        world.now += timedelta(seconds=await world.one_pass())
    assert world.lab.applies == 2
    assert world.kube.status(CLUSTER)["lock"]["holder"] == "Self"
    assert world.by_hand("POST", "/cluster/sdn/vnets", vnet="theirs", zone="zone1", tag="99").status == 500
    await world.settle()
    assert world.lab.applies == 2, "the late one was refused"
    assert world.lab.sdn.lock is None
    assert world.complaints() == []


async def test_what_passes_by_itself_is_tried_again_soon() -> None:
    world = await programmed()
    world.lab.faults.add(CfsLockBusy(times=2))
    world.apply(NEW)
    await world.settle()
    assert world.complaints() == []


async def test_the_journal_forgets_what_the_statuses_say() -> None:
    world = await programmed(NEW)
    assert world.kube.journal["pve"] == JournalEntry()
