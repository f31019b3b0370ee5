"""Objects come and go for days: what the operator remembers of an object goes with it.

Rounds of VNets (with subnets and firewalls) and NICs are made, polled and deleted; some are refused by Proxmox, some
changed by another client. After each round the operator must be as big as after the one before: by every container that
any of its parts has, by its own objects that are alive, and by its metrics' series.
``CHURN_OBJECTS=5000 pytest tests/engine/test_churn.py -s`` makes and deletes so many and shows the memory.
"""

from __future__ import annotations

import functools
import gc
import os
from collections import Counter, deque
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pve_evpn import metrics
from pve_evpn.engine.observer import Observer
from pve_lab.guests import Guest
from tests.engine.test_nics import ACCESS, nic
from tests.engine.test_observer import Nodes, _Late
from tests.engine.world import CLUSTER, World, cluster, controller, vnet, zone
from tests.unit.health.overlay import Overlay

OBJECTS = int(os.environ.get("CHURN_OBJECTS", "160"))
#: Of each round: VNets, and guests with a NIC on them.
VNETS, NICS = 30, 10
ROUNDS = max(3, OBJECTS // (VNETS + NICS))
#: Containers that forget by size, not with the object: the most entries they may have.
BOUNDED = {("TaskMemory", "_ended"): 2000, ("TaskMemory", "_own"): 2000}

pytestmark = [pytest.mark.redteam, pytest.mark.timeout(3600)]


class Churn(World):
    """A world that remembers, observes, and counts what is kept."""

    def __init__(self) -> None:
        super().__init__(nodes=4)
        self.remembers = True
        self.overlay = Overlay(4)

    def start(self) -> None:
        context = self.context(_Late(self))  # type: ignore[arg-type]
        nodes = Nodes(self.overlay)
        self.observer = Observer(context, sources=nodes, hold=timedelta(0))  # type: ignore[arg-type]
        super().start()

    async def poll(self) -> None:
        assert self.operator is not None
        self.now += timedelta(seconds=15)
        self.overlay.now = self.now
        poll = await self.observer.poll()
        assert poll is not None
        await self.operator._report(poll)
        await self.observer.record(poll)

    async def passes(self, count: int) -> None:
        for _ in range(count):
            self.now += timedelta(seconds=await self.one_pass())

    async def round(self, number: int) -> None:
        """Objects with names and numbers that were never there before are made, disturbed and deleted."""
        first = number * VNETS
        rules = {"enabled": True, "rules": [{"action": "ACCEPT", "source": "10.0.0.1"}]}
        vnets = [
            vnet(
                f"net{n}", 10000 + n, f"10.{n // 250 % 250}.{n % 250}.0/24", id=f"n{n}",
                **({"firewall": rules} if n % 5 == 0 else {}),
            )
            for n in range(first, first + VNETS)
        ]  # fmt: skip
        refused = self.refuse("POST", f"/cluster/sdn/vnets/n{first + 1}/subnets", "no", times=0)
        nics = []
        for n in range(NICS):
            vmid = 1000 + number * NICS + n
            config = {
                "net0": f"virtio=BC:24:11:{vmid >> 16 & 255:02X}:{vmid >> 8 & 255:02X}:{vmid & 255:02X},bridge=vmbr0"
            }
            self.lab.guests[vmid] = Guest(vmid, "qemu", "pve1", f"vm{vmid}", config)
            nics.append(nic(vmid, vnetRef={"name": f"net{first + n}"}))
        keys = self.apply(*vnets, *nics)
        await self.passes(3)
        await self.poll()
        self.by_hand("PUT", f"/cluster/sdn/vnets/n{first + 2}", alias="theirs")
        self.by_hand("PUT", "/cluster/sdn")
        await self.passes(2)
        done = [one for one in keys if self.kube.condition(one, "Programmed").get("status") == "True"]
        assert len(done) >= len(keys) - 3, "\n".join(self.complaints())
        for one in reversed(keys):
            self.kube.delete(one)
        self.lab.faults.remove(refused)
        for _ in range(12):
            await self.passes(1)
            if not any(one in self.kube.objects for one in keys):
                break
            self.now += timedelta(minutes=15)
        left = [str(one) for one in keys if one in self.kube.objects]
        assert left == [], self.complaints()
        for guest in [vmid for vmid in self.lab.guests if vmid >= 1000]:
            del self.lab.guests[guest]
        await self.poll()
        await self.settle()
        # What the rig keeps, not the operator.
        self.calls.clear()
        self.kube.writes.clear()
        self.kube.events.clear()
        self.lab.journal.clear()

    def containers(self) -> Counter[tuple[str, str]]:
        """Entries of every container of every part of the operator, by class and attribute."""
        found: Counter[tuple[str, str]] = Counter()
        for part in parts([self.operator, self.supervisor, self.cache, self.observer]):
            for name, value in attributes(part):
                if isinstance(value, dict | list | set | frozenset | deque):
                    found[type(part).__name__, name] += len(value)
        return found


def parts(roots: Iterable[Any]) -> list[Any]:
    """Every object of the operator's own classes that can be reached, through containers and bound methods."""
    seen: dict[int, Any] = {}
    left = list(roots)
    found = []
    while left:
        one = left.pop()
        if id(one) in seen or one is None or isinstance(one, str | int | float | bytes | type):
            continue
        seen[id(one)] = one
        if str(type(one).__module__).startswith("pve_evpn."):
            found.append(one)
            left += [value for _, value in attributes(one)]
        elif isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset | deque):
            left += list(one)
        elif hasattr(one, "__self__"):
            left.append(one.__self__)
    return found


def attributes(one: Any) -> list[tuple[str, Any]]:
    """Names and values, of slots too."""
    slots = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
    return [
        *getattr(one, "__dict__", {}).items(),
        *((name, getattr(one, name)) for name in slots if hasattr(one, name)),
    ]


def alive() -> Counter[str]:
    """The operator's own objects that are alive, by class, without those in caches that forget by size."""
    for one in gc.get_objects():
        if isinstance(one, functools._lru_cache_wrapper) and str(one.__module__).startswith("pve_evpn."):
            one.cache_clear()
    gc.collect()
    return Counter(
        type(one).__qualname__ for one in gc.get_objects() if str(type(one).__module__).startswith("pve_evpn.")
    )


def series() -> int:
    return sum(len(metric.samples) for metric in metrics.REGISTRY.collect())


def resident() -> float:
    """Of this process, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_what_is_remembered_of_an_object_goes_with_it() -> None:
    world = Churn()
    world.apply(
        cluster(guestAccess=ACCESS, apply={"minIntervalSeconds": 0}),
        controller(),
        zone(id="EZone1"),
        vnet("evpn1", 5001, id="EVPN1"),
    )
    await world.settle()
    for number in range(2):  # until everything was there once
        await world.round(number)
    containers, living, metric_series, memory = world.containers(), alive(), series(), resident()
    for number in range(2, ROUNDS):
        await world.round(number)
        if number % 25 == 0:
            print(f"{number * (VNETS + NICS)} objects: {resident():.0f} MiB", flush=True)
    grown = {
        where: (containers[where], count) for where, count in world.containers().items() if count > containers[where]
    }
    for where, most in BOUNDED.items():
        if where in grown:
            assert grown.pop(where)[1] <= most
    assert grown == {}
    more = {name: (living[name], count) for name, count in alive().items() if count > living[name] + 2}
    assert more == {}
    assert series() <= metric_series
    print(f"{ROUNDS * (VNETS + NICS)} objects made and deleted: {memory:.0f} MiB before, {resident():.0f} MiB after")


async def test_what_is_counted_of_a_cluster_goes_with_it() -> None:
    world = Churn()
    world.apply(cluster(), controller(), zone())
    await world.settle()
    assert world.operator is not None
    assert _series_of("pve")
    for one in list(world.kube.objects):
        world.kube.delete(one)
    await world.settle()
    assert CLUSTER not in world.kube.objects
    await world.operator.run()
    assert _series_of("pve") == []


def _series_of(name: str) -> list[str]:
    samples = [sample for metric in metrics.REGISTRY.collect() for sample in metric.samples]
    return sorted({sample.name for sample in samples if sample.labels.get("cluster") == name})
