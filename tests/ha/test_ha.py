"""Several replicas, real processes, real signals: one leads, and what it leaves behind the next one sorts out."""

from __future__ import annotations

import base64
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pve_lab.dispatch import answer_without_faults
from pve_lab.request import Request
from tests.e2e.process import NAMESPACE, Operator
from tests.e2e.stack import Stack
from tests.ha.conftest import QUICK, Replicas
from tests.ha.proxy import Proxy
from tests.waiting import await_

pytestmark = pytest.mark.kube

LOCK = ("POST", "/cluster/sdn/lock")


def vnets(stack: Stack, count: int, first: int = 0) -> list[dict[str, Any]]:
    """So many VNets in the seed's zone."""
    like = stack.seed()[3]
    return [
        {
            **like,
            "metadata": {"name": f"net{n}", "namespace": "default"},
            "spec": {**like["spec"], "id": f"n{n}", "vni": 6000 + n},
        }
        for n in range(first, first + count)
    ]


class Tripwire(list[tuple[str, str, int]]):
    """A lab's journal that acts once: as soon as so many VNets are staged, before Proxmox' answer is sent.

    ``path`` is where else than to the VNets it waits for as many POSTs.
    """

    def __init__(self, stack: Stack, count: int, act: Callable[[], None], path: str = "/cluster/sdn/vnets") -> None:
        super().__init__(stack.lab.journal)
        self._left = count
        self._act = act
        self._path = path
        self.tripped = threading.Event()
        stack.lab.journal = self

    def append(self, entry: tuple[str, str, int]) -> None:
        super().append(entry)
        if entry[:2] == ("POST", self._path):
            self._left -= 1
            if self._left == 0:
                self._act()
                self.tripped.set()


class OnCall:
    """A person who does what docs/safety.md says about a lock that the operator was interrupted at, and nothing else.

    He removes it when, and only when, the operator says that it may be its own and somebody who lives has been refused
    it since it was taken: the lock is then nobody's who is at work. Once: while nobody is killed, no other is left.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._cluster = stack.seed()[0]
        self.has_removed_it = False

    def looks(self) -> None:
        programmed = self._stack.condition(self._cluster, "Programmed")
        called = programmed.get("reason") == "SdnLocked" and "may be its own" in programmed["message"]
        if self.has_removed_it or not called or not self._nobody_at_work():
            return
        assert self._stack.lab.sdn.lock != self._recorded(), "the operator knows this one, and gives it back by itself"
        request = Request("DELETE", "/cluster/sdn/lock", {"force": "1"})
        assert answer_without_faults(self._stack.lab, request).status == 200
        self.has_removed_it = True

    def _nobody_at_work(self) -> bool:
        """Whether the last to ask for the lock, who is the one leader alive, was refused."""
        asked = [status for method, path, status in self._stack.lab.journal if (method, path) == LOCK]
        return self._stack.lab.sdn.lock is not None and asked[-1] != 200

    def _recorded(self) -> str:
        """The token in the operator's journal."""
        name = f"pve-evpn-journal-{self._cluster['metadata']['name']}"
        text = self._stack.plane.kubectl("get", "secret", name, "-n", NAMESPACE, "-o", "jsonpath={.data.entry}")
        return str(json.loads(base64.b64decode(text))["token"])


def assert_tidy(stack: Stack) -> None:
    """No lock, nothing pending."""
    assert stack.lab.sdn.lock is None
    assert stack.lab.sdn.edited == stack.lab.sdn.running


def await_tidy(stack: Stack) -> None:
    """The same in a while: after an interruption the lock is taken now and then to see that nothing was left."""
    await_("the lock is given back", lambda: stack.lab.sdn.lock is None)
    assert stack.lab.sdn.edited == stack.lab.sdn.running


def await_standby(operator: Operator) -> None:
    await_(f"{operator.name} is a standby", lambda: operator.readiness.startswith("200 standby"))


def a_pair(replicas: Replicas, environment: Mapping[str, str] = QUICK) -> tuple[Operator, Operator]:
    """One that leads, and one that would."""
    leader = replicas.start(environment)
    replicas.await_leader(leader)
    standby = replicas.start(environment)
    await_standby(standby)
    return leader, standby


def test_only_the_leader_speaks_to_proxmox(replicas: Replicas) -> None:
    stack = replicas.stack
    leader, standby = a_pair(replicas)
    stack.apply(*stack.seed())
    stack.await_ready(*stack.seed())
    assert (leader.metric("pve_evpn_leader"), standby.metric("pve_evpn_leader")) == (1, 0)
    assert leader.metric("pve_evpn_api_requests_total") > 0
    assert standby.metric("pve_evpn_api_requests_total") == 0
    assert replicas.lease()["holderIdentity"].startswith(leader.name)


def test_after_kill_9_a_standby_takes_over_within_20_seconds_and_finishes(replicas: Replicas) -> None:
    """With the shipped timing, killed between the first staged object and the apply."""
    stack = replicas.stack
    seed, many = stack.seed(), vnets(stack, 20)
    leader, standby = a_pair(replicas, environment={})
    stack.apply(*seed[:3])
    stack.await_ready(*seed[:3])
    applies = stack.lab.applies
    wire = Tripwire(stack, 3, lambda: leader.send(signal.SIGKILL))
    stack.apply(*many)
    assert wire.tripped.wait(30)
    killed = time.monotonic()
    replicas.kill(leader, signal.SIGKILL)
    assert stack.lab.sdn.lock is not None
    assert stack.lab.applies == applies
    replicas.await_leader(standby, seconds=20 - (time.monotonic() - killed))
    stack.await_ready(*many)
    assert_tidy(stack)
    assert len(stack.lab.sdn.running["vnets"]) == len(many)


def test_a_graceful_stop_ends_the_running_transaction_and_hands_over(replicas: Replicas) -> None:
    stack = replicas.stack
    stack.lab.task_seconds = 2
    seed = stack.seed()
    leader, standby = a_pair(replicas)
    stack.apply(*seed[:4])
    await_("the apply runs", lambda: stack.lab.applies == 1)
    assert replicas.kill(leader, signal.SIGTERM) == 0
    assert_tidy(stack)
    assert "EVPN1" in stack.lab.sdn.running["vnets"]
    writes = stack.writes()
    replicas.await_leader(standby)
    stack.await_ready(*seed[:4])
    assert stack.writes() == writes, "there was nothing left to do"
    assert replicas.lease()["leaseTransitions"] >= 1


def test_a_stopped_standby_leaves_the_leader_alone(replicas: Replicas) -> None:
    leader, standby = a_pair(replicas)
    assert replicas.kill(standby, signal.SIGTERM) == 0
    assert replicas.lease("pve-evpn-operator-unowned")["holderIdentity"].startswith(leader.name)
    assert replicas.lease("pve-evpn-operator")["holderIdentity"], "the leader still needs it"
    assert leader.leads


def test_a_frozen_leader_writes_nothing_when_it_thaws(replicas: Replicas) -> None:
    """The machine sleeps in mid-transaction; a standby leads meanwhile."""
    stack = replicas.stack
    seed, many = stack.seed(), vnets(stack, 20)
    leader, standby = a_pair(replicas)
    stack.apply(*seed[:3])
    stack.await_ready(*seed[:3])
    wire = Tripwire(stack, 3, lambda: leader.send(signal.SIGSTOP))
    stack.apply(*many)
    assert wire.tripped.wait(30)
    assert stack.lab.sdn.lock is not None
    replicas.await_leader(standby)
    stack.await_ready(*many)
    writes = stack.writes()
    leader.send(signal.SIGCONT)
    await_("the former leader ends", lambda: leader.ended is not None)
    assert leader.ended == 1
    replicas.running.remove(leader)
    assert stack.writes() == writes
    assert_tidy(stack)


def test_a_leader_cut_off_from_kubernetes_stops_by_itself(replicas: Replicas) -> None:
    stack = replicas.stack
    seed = stack.seed()
    with Proxy(stack.plane.url) as proxy:
        leader = replicas.start(server=proxy.url)
        replicas.await_leader(leader)
        stack.apply(*seed[:4])
        stack.await_ready(*seed[:4])
        standby = replicas.start()
        await_standby(standby)
        proxy.cut()
        await_("the former leader ends", lambda: leader.ended is not None)
    assert leader.ended == 1
    replicas.running.remove(leader)
    replicas.await_leader(standby)
    stack.apply(*vnets(stack, 1))
    stack.await_ready(*vnets(stack, 1))
    assert_tidy(stack)


def test_a_lock_that_a_killed_leader_could_not_record_is_named_and_a_person_removes_it(replicas: Replicas) -> None:
    """Killed after Proxmox has given the lock and before its answer came: nobody can prove whose it is."""
    stack = replicas.stack
    seed, new = stack.seed(), vnets(stack, 2)
    leader, standby = a_pair(replicas)
    stack.apply(*seed[:3])
    stack.await_ready(*seed[:3])
    wire = Tripwire(stack, 1, lambda: leader.send(signal.SIGKILL), "/cluster/sdn/lock")
    stack.apply(*new)
    assert wire.tripped.wait(30)
    replicas.kill(leader, signal.SIGKILL)
    lock = stack.lab.sdn.lock
    assert lock is not None
    replicas.await_leader(standby)
    message = stack.await_condition(seed[0], "Programmed", "SdnLocked")
    assert "This operator was interrupted at" in message
    assert "it may be its own" in message
    assert "docs/safety.md" in message
    assert stack.lab.sdn.lock == lock, "it is never removed by force"
    person = OnCall(stack)
    await_("a person removes it", lambda: person.looks() or person.has_removed_it)
    stack.await_ready(*new)
    await_tidy(stack)


def test_kills_at_random_moments_leave_nothing_half_done(replicas: Replicas) -> None:
    """Each leader is killed somewhere in its work; what was asked for comes true in the end, once.

    One of the moments is between Proxmox' giving the lock and the journal's record of it. Then, and only then, a person
    is needed, and the operator says so.
    """
    seed_number = random.randrange(10**6)
    print(f"seed of the random moments: {seed_number}")
    moments = random.Random(seed_number)
    stack = replicas.stack
    seed = stack.seed()
    replicas.start()
    stack.apply(*seed)
    wanted: dict[int, dict[str, Any]] = {}
    for round_ in range(4):
        replicas.start()  # the standby
        leader = replicas.await_leader()
        new = vnets(stack, 4, first=4 * round_)
        wanted.update({4 * round_ + n: vnet for n, vnet in enumerate(new)})
        stack.apply(*new)
        if round_ % 2:
            gone = [wanted.pop(number) for number in sorted(wanted)[:2]]
            stack.delete(*gone, wait=False)
        time.sleep(moments.uniform(0, 2.5))
        replicas.kill(leader, signal.SIGKILL)
    person = OnCall(stack)
    for document in (*seed, *wanted.values()):
        name = f"{document['kind']} {document['metadata']['name']}"
        await_(f"{name} is Ready", lambda d=document: person.looks() or stack.is_ready(d), 90)
    print(f"a person had to remove a lock: {person.has_removed_it}")
    vnets_wanted = {"EVPN1", *(vnet["spec"]["id"] for vnet in wanted.values())}
    await_("what was deleted is gone", lambda: set(stack.lab.sdn.running["vnets"]) == vnets_wanted)
    await_tidy(stack)
