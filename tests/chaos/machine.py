"""Everything at once, at random: users, strangers, faults and crashes, and what must hold whatever they do.

A Hypothesis state machine around the engine in one process (see ``tests.engine.world``). Each step is something that
somebody does; after each step the invariants are checked, and in the end everybody stops, the faults are taken back,
and what is left must be what the users asked for.

What must hold:

* nothing of a stranger is changed, and nothing he staged goes live by our hand;
* a VNet with a guest on it still runs after whatever we did, told to delete it or not;
* an object is gone from Kubernetes only when Proxmox has nothing of it that we made, or when somebody said so;
* at rest nothing of ours is pending, no lock of ours is held, the journal is empty, and another pass writes nothing;
* a burst of changes in quiet times costs at most one apply.

VNIs and names are unique here on purpose: an object that takes a number another one gives up has to wait for the
apply that frees it, and would rightly cost a second one.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pve_evpn.domain.objects import ObjectKey
from pve_lab.faults import (
    CfsLockBusy,
    DropAfter,
    DropBefore,
    ErrorAnswer,
    Fault,
    ForeignLock,
    GatewayError,
    HostEdit,
    NodeOffline,
    NoQuorum,
    ReloadFails,
    ReloadWarns,
)
from tests.engine.world import CLUSTER, Killed, World, cluster, controller, document, key, vnet, zone

ZONES = {"zone1": 100001, "zone2": 100002}
VNETS = {f"net{n}": 5000 + n for n in range(1, 5)}
CIDRS = {name: [f"10.{n}.{i}.0/24" for i in range(2)] for n, name in enumerate(VNETS, 1)}
STRANGER = {"theirs1": 91, "theirs2": 92}
FORCE, PAUSED = "pve-evpn.dev/force-orphan", "pve-evpn.dev/paused"
# So that what was orphaned can be adopted again.
ADOPTION = {"adoption": {"namespaces": {}}}

_WRITES = "POST|PUT|DELETE"
_SDN = "/cluster/sdn.*"
FAULTS = {
    "cut before": lambda: DropBefore(method=_WRITES, path=_SDN, user="tok", times=1),
    "cut after": lambda: DropAfter(method=_WRITES, path=_SDN, user="tok", times=1),
    "cut a read": lambda: DropBefore(method="GET", path=_SDN, user="tok", times=1),
    "596 lost": lambda: GatewayError(method=_WRITES, path=_SDN, user="tok", times=1),
    "596 done": lambda: GatewayError(method=_WRITES, path=_SDN, user="tok", times=1, outcome="done"),
    "596 late": lambda: GatewayError(method="PUT|DELETE", path=_SDN, user="tok", times=1, outcome="late", seconds=20),
    "refused": lambda: ErrorAnswer(method="POST", path="/cluster/sdn/(zones|vnets).*", user="tok", times=1),
    "not deleted": lambda: ErrorAnswer(method="DELETE", path="/cluster/sdn/(zones|vnets)/.*", user="tok", times=1),
    "cfs lock": lambda: CfsLockBusy(user="tok", times=1),
    "no quorum": lambda: NoQuorum(),
    "their lock": lambda: ForeignLock(),
    "offline": lambda: NodeOffline(node="pve2"),
    "reload fails": lambda: ReloadFails(node="pve3", times=1),
    "reload warns": lambda: ReloadWarns(node="pve3", times=1),
    "host edit": lambda: HostEdit(node="pve1"),
}


class Chaos(RuleBasedStateMachine):
    """The world, and what a stranger has in it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.world.remembers = True
        self.staged: dict[str, dict[str, Any]] = {}
        self.applied: dict[str, dict[str, Any]] = {}
        self.released: set[ObjectKey] = set()
        self.orphans: set[str] = set()
        self.staged_deletions: set[str] = set()
        self.known: set[ObjectKey] = set()
        self.faults: list[Fault] = []

    def teardown(self) -> None:
        try:
            self.everybody_stops()
        finally:
            self.runner.close()

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize(revert=st.booleans(), drift=st.sampled_from(["Correct", "Report"]))
    def begin(self, revert: bool, drift: str) -> None:
        self.report_only = drift == "Report"
        policy = {"onFailure": "Revert"} if revert else {}
        self.world.apply(
            cluster(apply=policy, drift=drift), controller(), zone(**ADOPTION), vnet("net1", VNETS["net1"])
        )
        self.run(self.world.settle())
        assert self.world.complaints() == []

    # --- users --------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(sorted(ZONES)), mtu=st.sampled_from([None, 1400, 1500]))
    def apply_zone(self, name: str, mtu: int | None) -> None:
        self.world.apply(zone(name, vrfVni=ZONES[name], mtu=mtu, **ADOPTION))

    @rule(
        name=st.sampled_from(sorted(VNETS)),
        alias=st.sampled_from([None, "a", "b"]),
        subnets=st.sets(st.integers(0, 1)),
        data=st.data(),
    )
    def apply_vnet(self, name: str, alias: str | None, subnets: set[int], data: Any) -> None:
        there = self.world.kube.objects.get(key(vnet(name)))
        where = there["spec"]["zoneRef"]["name"] if there else data.draw(st.sampled_from(sorted(ZONES)))
        cidrs = [CIDRS[name][i] for i in sorted(subnets)]
        self.world.apply(vnet(name, VNETS[name], *cidrs, alias=alias, zoneRef={"name": where}))

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        there = sorted(k for k in self.world.kube.objects if k.kind in ("VNet", "EvpnZone"))
        if not there:
            return
        self.world.kube.delete(data.draw(st.sampled_from(there)))

    @rule(data=st.data())
    def pause_or_resume(self, data: Any) -> None:
        there = sorted(k for k in self.world.kube.objects if k.kind == "VNet")
        if not there:
            return
        target = data.draw(st.sampled_from(there))
        paused = self.world.kube.objects[target]["metadata"]["annotations"].get(PAUSED) == "true"
        self.world.kube.annotate(target, PAUSED, None if paused else "true")

    @rule(data=st.data())
    def force(self, data: Any) -> None:
        going = [k for k, raw in self.world.kube.objects.items() if raw["metadata"].get("deletionTimestamp")]
        if not going:
            return
        target = data.draw(st.sampled_from(sorted(going)))
        self.world.kube.annotate(target, FORCE, self.world.kube.objects[target]["metadata"]["uid"])
        self.released.add(target)

    @rule(data=st.data(), and_deletes=st.booleans())
    def plug(self, data: Any, and_deletes: bool) -> None:
        """A guest on a VNet that runs, which somebody may just be deleting, or does now."""
        there = sorted(self.world.lab.sdn.running["vnets"].keys() & VNETS.keys())
        if not there:
            return
        name = data.draw(st.sampled_from(there))
        self.world.add_guest(101, name)
        if and_deletes:
            self.world.kube.delete(key(vnet(name)))

    @rule()
    def unplug(self) -> None:
        self.world.lab.guests.pop(101, None)

    # --- strangers ----------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(sorted(STRANGER)), alias=st.sampled_from(["x", "y"]))
    def a_stranger_stages(self, name: str, alias: str) -> None:
        self.stranger_stages(name, alias)

    def stranger_stages(self, name: str, alias: str) -> None:
        """A zone of his own; without the token, so that our lock keeps him out."""
        if name in self.staged:
            mtu = {"x": "1300", "y": "1310"}[alias]
            answer = self.world.by_hand("PUT", f"/cluster/sdn/zones/{name}", mtu=mtu)
        else:
            answer = self.world.by_hand("POST", "/cluster/sdn/zones", zone=name, type="simple")
        if answer.status == 200:
            self.staged[name] = copy.deepcopy(self.world.lab.sdn.edited["zones"][name])

    @rule(name=st.sampled_from(sorted(STRANGER)))
    def stranger_removes(self, name: str) -> None:
        if name not in self.staged:
            return
        if self.world.by_hand("DELETE", f"/cluster/sdn/zones/{name}").status == 200:
            del self.staged[name]

    @rule()
    def stranger_applies(self) -> None:
        """Which publishes whatever we have staged, too; it is his right."""
        if self.world.by_hand("PUT", "/cluster/sdn").status == 200:
            self.applied = copy.deepcopy(self.staged)

    @rule(name=st.sampled_from(sorted(VNETS)), alias=st.sampled_from(["x", "y"]), and_applies=st.booleans())
    def stranger_edits_ours(self, name: str, alias: str, and_applies: bool) -> None:
        if self.world.by_hand("PUT", f"/cluster/sdn/vnets/{name}", alias=alias).status == 200 and and_applies:
            self.stranger_applies()

    @rule(data=st.data(), and_applies=st.booleans())
    def stranger_deletes_ours(self, data: Any, and_applies: bool) -> None:
        there = sorted(self.world.lab.sdn.edited["vnets"].keys() & VNETS.keys())
        if not there:
            return
        self.stranger_stages_deletion(data.draw(st.sampled_from(there)))
        if and_applies:
            self.stranger_applies()

    def stranger_stages_deletion(self, name: str) -> None:
        """A VNet of ours with its subnets, as the GUI does it: subnets first."""
        for subnet, props in list(self.world.lab.sdn.edited["subnets"].items()):
            if props["vnet"] == name:
                self.world.by_hand("DELETE", f"/cluster/sdn/vnets/{name}/subnets/{subnet}")
        self.world.by_hand("DELETE", f"/cluster/sdn/vnets/{name}")
        self.staged_deletions.add(name)

    @rule()
    def a_person_removes_the_lock(self) -> None:
        """By force, as the documentation tells, whoever's it is; not while a write may still be on its way."""
        if not any(isinstance(fault, ForeignLock) for fault in self.faults) and self.world.lab.timers.next is None:
            self.world.lab.sdn.lock = None

    # --- trouble ------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(sorted(FAULTS)))
    def fault(self, name: str) -> None:
        new = FAULTS[name]()
        if any(type(new) is type(old) and new.name != "gateway" for old in self.faults):
            return
        network = self.world.lab.nodes["pve1"].network
        if isinstance(new, HostEdit) and (network.changes or new.iface in network.running):
            return  # the stranger's apply has activated it
        self.faults.append(self.world.lab.faults.add(new))

    @precondition(lambda self: self.faults)
    @rule(data=st.data())
    def fault_ends(self, data: Any) -> None:
        gone = self.faults.pop(data.draw(st.integers(0, len(self.faults) - 1)))
        self.world.lab.faults.remove(gone)

    # --- the operator -------------------------------------------------------------------------------------------

    @rule(passes=st.integers(1, 3))
    def works(self, passes: int) -> None:
        if self.world.operator is None:
            self.world.start()
        for _ in range(passes):
            with self.guests_keep_their_networks():
                pause = self.run(self.world.one_pass())
            self.world.now += timedelta(seconds=pause)

    @rule(number=st.integers(0, 80), name=st.sampled_from(sorted(STRANGER | VNETS)))
    def works_while_a_stranger_comes_in_between(self, number: int, name: str) -> None:
        """He stages something between any two calls of ours. Our lock keeps him out, where there is one."""
        left = number

        def between(moment: str, _method: str, _path: str) -> None:
            nonlocal left
            left -= moment == "before"
            if left == -1 and name in STRANGER:
                self.stranger_stages(name, "x")
            elif left == -1:
                self.stranger_stages_deletion(name)

        self.world.interrupt = between
        try:
            self.works(2)
        finally:
            self.world.interrupt = lambda *_: None

    @rule(number=st.integers(0, 120), when=st.sampled_from(["before", "after"]))
    def is_killed(self, number: int, when: str) -> None:
        left, dead = number, False

        def proxmox(moment: str, _method: str, _path: str) -> None:
            nonlocal left, dead
            left -= moment == when
            dead = dead or left < 0
            if dead:
                raise Killed

        def kubernetes(_name: str) -> None:
            if dead:
                raise Killed

        if self.world.operator is None:
            self.world.start()
        self.world.interrupt, self.world.kube.around = proxmox, kubernetes
        try:
            with self.guests_keep_their_networks():
                self.run(self.world.run_until_killed_or_stuck())
        finally:
            self.world.interrupt, self.world.kube.around = (lambda *_: None), (lambda _name: None)
        self.world.die()

    @rule(seconds=st.integers(1, 120))
    def time_passes(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)
        self.world.lab.settle()

    # --- what must hold -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def guests_keep_their_networks(self) -> Iterator[None]:
        """While only we are at work, what was told to be deleted and has a guest goes on running.

        A write of ours from before the guest came may still be on its way; Proxmox executes it when it likes.
        """
        world = self.world
        used = {nic.rpartition("bridge=")[2] for guest in world.lab.guests.values() for nic in guest.config.values()}
        before = used & world.lab.sdn.running["vnets"].keys()
        on_its_way = world.lab.timers.next is not None
        yield
        gone = before - world.lab.sdn.running["vnets"].keys()
        assert not gone or on_its_way, f"{gone} was removed under a guest"

    @invariant()
    def nothing_of_a_stranger_is_touched(self) -> None:
        sdn = self.world.lab.sdn
        for name in STRANGER:
            assert sdn.edited["zones"].get(name) == self.staged.get(name), f"{name} was changed by us"
            assert sdn.running["zones"].get(name) == self.applied.get(name), f"{name} went live by our hand"

    @invariant()
    def finalizers_are_honest(self) -> None:
        now = {k for k in self.world.kube.objects if k.kind in ("VNet", "EvpnZone")}
        # What was orphaned and taken up again is adopted, and stays when its object goes.
        for gone in {k for k in self.known - now - self.released if k.name not in self.orphans}:
            kind = {"VNet": "vnets", "EvpnZone": "zones"}[gone.kind]
            assert gone.name not in self.world.lab.sdn.running[kind], f"{gone} is gone, Proxmox still runs it"
            assert gone.name not in self.world.lab.sdn.edited[kind], f"{gone} is gone, Proxmox still has it"
        self.orphans |= {gone.name for gone in self.known & self.released - now}
        self.known = now
        self.released &= now

    # --- in the end ---------------------------------------------------------------------------------------------

    def everybody_stops(self) -> None:
        """No more faults, the stranger settles his own edits, nobody is paused: now everything must come to rest."""
        world = self.world
        if CLUSTER not in world.kube.objects:
            return
        for fault in reversed(self.faults):
            world.lab.faults.remove(fault)
        world.lab.guests.pop(101, None)
        for node in world.lab.nodes.values():
            node.network.revert()
        world.now += timedelta(minutes=30)
        world.lab.settle()
        self.a_person_removes_a_lock_nobody_owns()
        self.stranger_settles()
        for target in [k for k in world.kube.objects if k.kind in ("VNet", "EvpnZone")]:
            if target in world.kube.objects:
                world.kube.annotate(target, PAUSED, None)
                world.kube.annotate(target, "pve-evpn.dev/reconcile-requested-at", "end")
        world.apply(cluster(drift="Correct"))
        if world.operator is None:
            world.start()
        self.run(world.settle(most=60))
        world.now += timedelta(minutes=1)  # nodes that are behind are given time to load by themselves first
        self.run(world.settle(most=60))
        self.finalizers_are_honest()
        self.at_rest()
        self.a_quiet_burst_costs_one_apply()
        self.finalizers_are_honest()

    def a_person_removes_a_lock_nobody_owns(self) -> None:
        """A lock whose token died with the process. The status says so; the person believes it."""
        world = self.world
        entry = world.kube.journal.get("pve")
        if world.lab.sdn.lock is not None and (entry is None or entry.lock_token != world.lab.sdn.lock):
            world.lab.sdn.lock = None

    def stranger_settles(self) -> None:
        """He takes back what he has not applied."""
        sdn = self.world.lab.sdn
        for name in STRANGER:
            if self.staged.get(name) != self.applied.get(name):
                if name in self.applied:
                    sdn.edited["zones"][name] = copy.deepcopy(self.applied[name])
                else:
                    sdn.edited["zones"].pop(name, None)
        self.staged = copy.deepcopy(self.applied)
        for name, props in sdn.edited["vnets"].items():
            if props.get("alias") in ("x", "y"):
                del props["alias"]
                if live := sdn.running["vnets"].get(name, {}).get("alias"):
                    props["alias"] = live
        # What was let go of, too: our half of its deletion may have stayed, and nobody but he can take that back.
        deleted = self.staged_deletions | self.orphans
        for name in deleted & sdn.running["vnets"].keys() - sdn.edited["vnets"].keys():
            if sdn.running["vnets"][name]["zone"] in sdn.edited["zones"]:
                sdn.edited["vnets"][name] = copy.deepcopy(sdn.running["vnets"][name])
        for subnet, props in sdn.running["subnets"].items():
            if props["vnet"] in deleted & sdn.edited["vnets"].keys():
                sdn.edited["subnets"].setdefault(subnet, copy.deepcopy(props))

    def at_rest(self) -> None:
        world, sdn = self.world, self.world.lab.sdn
        wrong = [c for c in world.complaints() if not self.is_waiting_rightly(c)]
        assert not wrong, wrong
        assert sdn.lock is None, "a lock was left"
        assert not world.kube.journal["pve"].interrupted
        assert sdn.edited == sdn.running, "something is still pending"
        wanted = {k.name for k in world.kube.objects if k.kind == "VNet" and world.ready(k)["status"] == "True"}
        assert wanted <= sdn.running["vnets"].keys()
        for name in wanted:
            spec = world.kube.objects[key(vnet(name))]["spec"]
            assert sdn.running["vnets"][name].get("alias") == spec.get("alias", f"default/{name}"), name
        writes, patches = len(world.writes()), len(world.kube.writes)
        self.run(world.settle())
        assert len(world.writes()) == writes, "rest costs writes to Proxmox"
        assert world.kube.writes[patches:] == [], "rest costs writes to Kubernetes"

    def is_waiting_rightly(self, complaint: str) -> bool:
        """Objects whose zone does not exist, or that are being deleted below others that are not."""
        reasons = ("RefNotFound", "DeletionBlocked", "WaitingForDependencies", "ForeignObject")
        return any(f": {reason}:" in complaint for reason in reasons)

    def a_quiet_burst_costs_one_apply(self) -> None:
        world = self.world
        applies = world.lab.applies
        for name in VNETS:
            if key(vnet(name)) in world.kube.objects:
                world.kube.delete(key(vnet(name)))
        world.apply(zone(mtu=1450, **ADOPTION), document("VNet", "quiet", {"zoneRef": {"name": "zone1"}, "vni": 5555}))
        self.run(world.settle(most=60))
        assert world.lab.applies <= applies + 1, "a quiet burst cost more than one apply"
        # One whose zone was let go by force cannot be removed without it, and says so.
        blocked = {k.name for k in world.kube.objects if world.ready(k).get("reason") == "DeletionBlocked"}
        assert not world.lab.sdn.running["vnets"].keys() & VNETS.keys() - self.orphans - blocked
