"""Replicas share clusters: real processes, twelve labs, one process killed and one stopped."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pve_lab.lab import Lab
from tests.e2e.process import NAMESPACE, Operator
from tests.e2e.stack import Stack
from tests.ha.conftest import Replicas, clear
from tests.ha.fleet import STAGED, Fleet, LeaseHistory, Member, writers
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

pytestmark = pytest.mark.kube

CLUSTERS = 12
#: What the documents promise, in seconds.
MOVED_WITHIN = 20.0


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    made = Fleet(CLUSTERS)
    yield made
    made.close()


@pytest.fixture
def sharing(cluster: ControlPlane, tmp_path: Path) -> Iterator[Replicas]:
    stack = Stack(cluster, Lab(["unused"]), tmp_path)
    stack.prepare()
    made = Replicas(stack)
    yield made
    for operator in made.running:
        print(f"--- {operator.name}\n" + "\n".join(operator.log.read_text().splitlines()[-60:]))
        operator.stop(9)
    clear(cluster)
    stack.close()


def await_shares(history: LeaseHistory, *operators: Operator, seconds: float = 60) -> dict[str, set[str]]:
    """Wait until they lead for all clusters, each for as many; who for which."""
    share = CLUSTERS // len(operators)

    def shares() -> dict[str, set[str]] | None:
        found = history.shares()
        return found if {name: len(found[name]) for name in found} == dict.fromkeys(names, share) else None

    names = {operator.name for operator in operators}
    found = await_(f"{len(operators)} replicas lead for {share} clusters each", shares, seconds)
    assert found is not None
    return found


class Interruption:
    """Sends a signal to a process as soon as it has staged so many VNets in one cluster, before Proxmox' answer."""

    def __init__(self, operator: Operator, cluster: str, number: int, staged: int = 3) -> None:
        self.operator, self.cluster, self.number, self.left = operator, cluster, number, staged
        self.at = 0.0
        self.done = threading.Event()

    def sees(self, member: Member, process: str, request: tuple[str, str]) -> None:
        if (member.name, process, request) != (self.cluster, self.operator.name, STAGED):
            return
        self.left -= 1
        if self.left == 0:
            self.operator.send(self.number)
            self.at = time.time()
            self.done.set()


def start(replicas: Replicas, fleet: Fleet) -> Operator:
    operator = replicas.start(environment={})
    fleet.follow(operator)
    return operator


def await_vnets(fleet: Fleet, names: set[str], seconds: float = 60) -> None:
    """Wait until these VNets run in every cluster, and nothing is left of a transaction."""
    for member in fleet.members.values():
        await_(f"{member.name} has {sorted(names)}", lambda m=member: m.running == names and m.is_tidy, seconds)


def test_three_replicas_share_twelve_clusters_and_each_has_one_writer(sharing: Replicas, fleet: Fleet) -> None:
    """With the shipped timing. One replica is killed and one is stopped, each in the middle of a transaction."""
    plane, members = sharing.stack.plane, fleet.members
    history = LeaseHistory(plane)
    try:
        sharing.stack.apply(*(document for member in members.values() for document in member.documents()))
        first, second, third = (start(sharing, fleet) for _ in range(3))
        shares = await_shares(history, first, second, third)
        for member in members.values():
            await_(f"{member.name} has its zone", lambda m=member: "z1" in m.lab.sdn.running["zones"] and m.is_tidy)

        # One cluster of each that goes, and all of the one that stays, are in a transaction then.
        killed = Interruption(first, min(shares[first.name]), signal.SIGKILL)
        stopped = Interruption(second, min(shares[second.name]), signal.SIGSTOP)

        def on_write(member: Member, process: str, request: tuple[str, str]) -> None:
            killed.sees(member, process, request)
            stopped.sees(member, process, request)

        fleet.on_write = on_write
        busy = {killed.cluster, stopped.cluster, *shares[third.name]}
        sharing.stack.apply(*(vnet for name in busy for vnet in members[name].vnets(0, 4)))
        assert killed.done.wait(30)
        assert stopped.done.wait(30)
        sharing.kill(first, signal.SIGKILL)
        assert members[killed.cluster].lab.sdn.lock, "it was in the middle of a transaction"
        assert members[stopped.cluster].lab.sdn.lock, "it was in the middle of a transaction"
        sharing.stack.apply(*(vnet for name in members.keys() - busy for vnet in members[name].vnets(0, 4)))
        await_shares(history, third)
        for went in (killed, stopped):
            for name in shares[went.operator.name]:
                moved = history.of(name)[-1].since - went.at
                print(f"{name} moved after {moved:.1f} s")
                assert moved < MOVED_WITHIN
        vnets = {f"n{number}" for number in range(4)}
        await_vnets(fleet, vnets)

        went_on = time.time()
        second.send(signal.SIGCONT)
        await_("the stopped one ends", lambda: second.ended is not None)
        assert second.ended == 1
        sharing.running.remove(second)
        late = [write for member in members.values() for write in member.writes if write.at >= went_on]
        assert second.name not in {fleet.processes.get(write.process) for write in late}

        # Two new ones get their shares, while every cluster has something to do.
        fourth, fifth = start(sharing, fleet), start(sharing, fleet)
        await_("a cluster moves to one of them", lambda: history.shares().keys() & {fourth.name, fifth.name})
        sharing.stack.apply(*(vnet for member in members.values() for vnet in member.vnets(4, 2)))
        await_shares(history, third, fourth, fifth)
        await_vnets(fleet, vnets | {"n4", "n5"})
        assert sharing.kill(third, signal.SIGTERM) == 0
        await_shares(history, fourth, fifth)

        for member in members.values():
            for write in member.writes:
                name = fleet.processes.get(write.process, "unknown")
                if write.status == 200:  # a request on its way when a process was stopped is refused by Proxmox
                    assert history.holder_at(member.name, write.at) == name, (member.name, write)
            holders = [tenure.holder for tenure in history.of(member.name) if tenure.holder]
            assert len(writers(member, fleet.processes)) <= len(holders), "no two of them wrote by turns"
    finally:
        history.close()


def test_while_a_process_of_an_earlier_release_leads_no_replica_writes(replicas: Replicas) -> None:
    """The earlier release is played by its Lease: one holder, renewed, 15 seconds."""
    stack = replicas.stack
    stack.plane.kubectl("apply", "-f", "-", stdin=OLDER)
    new = replicas.start()
    await_("it waits", lambda: new.readiness == "200 standby; older_process leads")
    stack.apply(*stack.seed()[:3])
    for _ in range(3):
        stack.plane.kubectl("patch", "lease", "pve-evpn-operator", "-n", NAMESPACE, "--type=merge", "-p", renewal())
        assert not new.leads
        time.sleep(0.5)
    assert [request for request in stack.lab.journal if request[1] != "/version"] == []
    stack.plane.kubectl(
        "patch", "lease", "pve-evpn-operator", "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"holderIdentity":""}}'
    )
    replicas.await_leader(new)
    stack.await_ready(*stack.seed()[:3])
    shared = replicas.lease("pve-evpn-operator")
    assert (shared["holderIdentity"], shared["leaseDurationSeconds"]) == ("shared-by-replicas", 24)
    assert replicas.kill(new, signal.SIGTERM) == 0
    assert replicas.lease("pve-evpn-operator").get("holderIdentity", "") == "", "an older process may lead again"


OLDER = f"""
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: pve-evpn-operator, namespace: {NAMESPACE}}}
spec:
  holderIdentity: older_process
  leaseDurationSeconds: 15
  renewTime: "2026-01-01T00:00:00.000001Z"
"""


def renewal() -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1000000:06}Z"
    return f'{{"spec":{{"renewTime":"{stamp}"}}}}'
