"""The whole engine in one process and without waiting: a lab, a fake Kubernetes, and a reconciler between them.

The reconciler, the transaction, the plan and the gateway are the real ones; what is left out is HTTP and time. Calls
go straight into the lab's dispatch, tasks end at once, and the clock is moved by the test. ``interrupt`` may raise
in any call to Proxmox or to Kubernetes, before or after it took effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.cache import Cache
from pve_evpn.engine.clock import Pace, SystemClock
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.reconciler import Reconciler
from pve_evpn.engine.supervisor import Supervisor
from pve_evpn.engine.sync import Sync
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway
from pve_lab.dispatch import answer_without_faults
from pve_lab.faults import ErrorAnswer
from pve_lab.guests import Guest
from pve_lab.lab import Lab, seed
from pve_lab.request import Answer, Request
from tests.engine.fake_kube import FakeKube

CLUSTER = ObjectKey("ProxmoxCluster", "", "pve")
CONTROLLER = ObjectKey("EvpnController", "", "evpn1")
ZONE = ObjectKey("EvpnZone", "", "zone1")
INSTANT = Pace(poll=0, poll_max=0, timeout=5, settle=0)


class WorldClock(SystemClock):
    """The world's time of day. How long something takes is measured by the machine's clock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.now

    def monotonic(self) -> float:
        return super().monotonic() + self._world.skipped


class Killed(BaseException):
    """The operator's process is gone. Not an Exception: nothing in it may tidy up after this."""


def document(kind: str, name: str, spec: Mapping[str, Any], **annotations: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": name, "annotations": {f"pve-evpn.dev/{k}": v for k, v in annotations.items()}},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def cluster(**spec: Any) -> dict[str, Any]:
    base = {"endpoints": ["https://pve1:8006"], "credentialsSecretRef": {"name": "c"}}
    return document("ProxmoxCluster", "pve", {**base, **spec})


def controller(name: str = "evpn1", **spec: Any) -> dict[str, Any]:
    base = {"clusterRef": {"name": "pve"}, "asn": 65001, "underlay": {"fabric": "Fabric1"}}
    return document("EvpnController", name, {**base, **spec})


def zone(name: str = "zone1", **spec: Any) -> dict[str, Any]:
    base = {
        "clusterRef": {"name": "pve"},
        "controllerRef": {"name": "evpn1"},
        "vrfVni": 100001,
        "allowedNamespaces": {"from": "All"},
    }
    return document("EvpnZone", name, {**base, **spec})


def vnet(name: str, vni: int | None = None, *cidrs: str, **spec: Any) -> dict[str, Any]:
    subnets = [{"cidr": cidr} for cidr in cidrs] or None
    return document("VNet", name, {"zoneRef": {"name": "zone1"}, "vni": vni, "subnets": subnets, **spec})


def key(document: Mapping[str, Any]) -> ObjectKey:
    namespace = "default" if document["kind"] in ("VNet", "NicAttachment") else ""
    return ObjectKey(document["kind"], namespace, document["metadata"]["name"])


SEED = (cluster(), controller(), zone(), vnet("net1", 5001, "10.1.0.0/24"))
NET1 = ObjectKey("VNet", "default", "net1")


async def programmed(*more: Mapping[str, Any], nodes: int = 3, **spec: Any) -> World:
    """A world in which the seed topology (and ``more``) is programmed; ``spec`` is the cluster's."""
    world = World(nodes)
    world.apply(cluster(**spec), *SEED[1:], *more)
    await world.settle()
    assert world.complaints() == []
    assert world.lab.applies == 1
    return world


class Unseeing:
    """An observer that sees nothing, which is what the engine must be able to live with."""

    async def polls(self) -> AsyncGenerator[Any, None]:
        """Nothing to poll."""
        for poll in ():
            yield poll

    async def expect(self, sync: Sync) -> Sync:
        """Nothing is seen of it."""
        return sync

    def view(self) -> None:
        return None

    def poll_soon(self, _sync: Sync) -> None:
        """Nothing to poll."""

    def lost(self) -> None:
        """Nothing to lose."""

    def health(self) -> dict[ObjectKey, Any]:
        return {}

    def helper(self) -> None:
        return None


class DirectGateway(Gateway):
    """The real gateway; where it would open a connection, it calls the lab."""

    world: World

    def remember_for(self, seconds: float) -> None:
        """Most tests change guests and subnets behind the API, where nothing hints at it."""
        super().remember_for(seconds if self.world.remembers else 0)

    async def call(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return self._call(method, path, params)

    def _session(self, index: int) -> Any:
        return _DirectSession(self.world, self._endpoints[index])


class _DirectSession:
    def __init__(self, world: World, endpoint: str) -> None:
        self._world = world
        self._endpoint = endpoint

    @property
    def clock_offset(self) -> float:
        return self._world.lab.now() - self._world.now.timestamp()

    def call(self, method: str, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One request as the session would make it: values as texts, errors by meaning."""
        world, write = self._world, method != "GET"
        sent = {k: [str(v) for v in value] if isinstance(value, list) else str(value) for k, value in params.items()}
        request = Request(method, path, sent, user="root@pam!tok")
        world.interrupt("before", method, path)
        given = world.lab.answer(request)
        world.calls.append((method, _named(method, path, params), given.status))
        world.lab.journal.append((method, path, given.status))
        world.interrupt("after", method, path)
        if given.drop:
            raise (errors.OutcomeUnknown if write else errors.Unreachable)("the connection was cut")
        if given.status >= 400:
            body = given.body or {}
            raise errors.from_answer(given.status, str(body.get("message", "")), body.get("errors"), write=write)
        return json.loads(json.dumps(given.body))


def _named(method: str, path: str, params: Mapping[str, Any]) -> str:
    """The path, with the name of what a POST makes."""
    name = params.get(path.rsplit("/", 1)[-1].removesuffix("s"))
    return f"{path}/{name}" if method == "POST" and name else path


class World:
    """One lab, one Kubernetes, at most one living operator."""

    def __init__(self, nodes: int = 3, **lab: Any) -> None:
        self.now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
        clock = lambda: self.now.timestamp()  # noqa: E731
        self.lab = Lab([f"pve{n}" for n in range(1, nodes + 1)], task_seconds=0, clock=clock, **lab)
        seed(self.lab)
        self.skipped = 0.0
        """Seconds by which the monotonic clock is ahead of the machine's."""
        self.kube = FakeKube()
        self.kube.secrets["c"] = {"tokenId": "root@pam!tok", "token": "secret"}
        self.interrupt: Callable[[str, str, str], None] = lambda _when, _method, _path: None
        self.calls: list[tuple[str, str, int]] = []
        self.is_leader = True
        self.remembers = False
        """Whether the gateway remembers what it need not read again; else it reads everything each time."""
        self.observer: Any = Unseeing()
        self.gateway: type[Gateway] | None = None
        self.operator: Reconciler | None = None
        self.cache: Cache | None = None
        logging.getLogger("pve_evpn").setLevel(logging.ERROR)

    # --- the operator -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process: nothing remembered but what Kubernetes and Proxmox hold."""
        gateway = self.gateway or type("Gateway", (DirectGateway,), {"world": self})
        self.cache = self.kube.fresh_cache()
        context = self.context(self.cache)
        self.operator = Reconciler(context, self.observer, partial(gateway, is_leader=lambda: self.is_leader))
        self.supervisor = Supervisor(self.cache, self.kube.ports, lambda _name: self.operator, context.clock)
        self.cache.changed = lambda _key: self.operator.wake() if self.operator else None

    def context(self, cache: Cache, name: str = "pve") -> ClusterContext:
        return ClusterContext(name, cache, self.kube.ports, WorldClock(self), INSTANT, lambda: self.is_leader)

    def once(self, when: str, method: str, path: str, act: Callable[[], object]) -> None:
        """Do this one time, before or after Proxmox gets such a request."""

        def interrupt(*moment: str) -> None:
            if moment == (when, method, path):
                self.interrupt = lambda *_: None
                act()

        self.interrupt = interrupt

    def die(self) -> None:
        """``kill -9``: whatever it remembered is gone."""
        self.operator, self.kube.cache = None, None

    async def one_pass(self) -> float:
        """One pass; a dead operator stays dead."""
        assert self.operator is not None
        pause = await self.operator.run_once()
        await self.supervisor.report_unowned()
        return pause

    async def settle(self, most: int = 30) -> int:
        """Passes until nothing is left to do: the last one woke nobody and says so. Time passes in between.

        Returns how many passes it took. Raises AssertionError where it never comes to rest.
        """
        if self.operator is None:
            self.start()
        assert self.operator is not None
        for count in range(1, most + 1):
            if CLUSTER not in self.kube.objects:
                return count
            pause = await self.one_pass()
            if self.operator.is_at_rest:
                return count
            self.now += timedelta(seconds=pause)
        raise AssertionError(f"not at rest after {most} passes: {self.complaints()}")

    async def settle_or_wait(self) -> None:
        """Settle, or stop where passing time changes nothing: the operator waits for somebody."""
        with contextlib.suppress(AssertionError):
            await self.settle(most=4)

    async def run_until_killed(self) -> bool:
        """Settle, or be killed on the way; whether it was."""
        with contextlib.suppress(Killed):
            await self.settle()
            return False
        self.die()
        return True

    async def run_until_killed_or_stuck(self) -> None:
        """Settle, be killed, or stop where it waits for somebody."""
        with contextlib.suppress(Killed):
            await self.settle_or_wait()

    # --- what others do -----------------------------------------------------------------------------------------

    def by_hand(self, method: str, path: str, **params: Any) -> Answer:
        """A person at Proxmox."""
        return answer_without_faults(self.lab, Request(method, path, params))

    def refuse(self, method: str, path: str, message: str, status: int = 500, times: int = 0) -> ErrorAnswer:
        """Proxmox answers so instead of executing it, for the next ``times`` such calls (0: until removed)."""
        fault = ErrorAnswer(method=method, path=path, user="tok", status=status, message=message, times=times)
        return self.lab.faults.add(fault)

    # --- what a test asks ---------------------------------------------------------------------------------------

    def apply(self, *documents: Mapping[str, Any]) -> list[ObjectKey]:
        return [self.kube.apply(doc) for doc in documents]

    def ready(self, key: ObjectKey) -> dict[str, Any]:
        return self.kube.condition(key, "Ready")

    def complaints(self) -> list[str]:
        """Every object that is not Ready, and why."""
        found = []
        for key in self.kube.objects:
            if key.kind != "EvpnNode" and (ready := self.ready(key)).get("status") != "True":
                found.append(f"{key}: {ready.get('reason')}: {ready.get('message')}")
        return found

    def events(self, reason: str) -> list[str]:
        return [event.message for event in self.kube.events if event.reason == reason]

    def programmed(self, key: ObjectKey = CLUSTER) -> tuple[str, str]:
        """Reason and message."""
        condition = self.kube.condition(key, "Programmed")
        return condition["reason"], condition["message"]

    def writes(self) -> list[tuple[str, str]]:
        """What was written to Proxmox so far and not refused."""
        return [(method, path) for method, path, status in self.calls if method != "GET" and status < 400]

    def add_guest(self, vmid: int, bridge: str, node: str = "pve1") -> None:
        self.lab.guests[vmid] = Guest(
            vmid, "qemu", node, f"vm{vmid}", {"net0": f"virtio=BC:24:11:00:00:01,bridge={bridge}"}
        )
