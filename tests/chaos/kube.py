"""Chaos on the side of Kubernetes: two real replicas, a real API server, and a proxy between them that injects faults.

The replicas live from run to run. Each run draws its deeds from its seed: what users do, which requests meet a fault,
what happens to the Lease, to etcd, to the API server, to the clock, to the leader's process. Then everything is healed,
and what is left must be what the users asked for. All the while no request that writes may reach Proxmox from a replica
whose Lease has ended.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import yaml

from pve_lab.lab import Lab, seed
from pve_lab.request import Request
from tests.chaos.api_proxy import FAULTS, ApiProxy
from tests.e2e.process import NAMESPACE, Operator
from tests.e2e.stack import Stack
from tests.kube.controlplane import ControlPlane
from tests.waiting import await_

DURATION, DEADLINE, RETRY = 5.0, 3.5, 0.4
TIMING = {
    "PVE_EVPN_LEASE_DURATION": str(DURATION),
    "PVE_EVPN_LEASE_RENEW_DEADLINE": str(DEADLINE),
    "PVE_EVPN_LEASE_RETRY_PERIOD": str(RETRY),
}
#: Seconds that a request may take from the replica, which asks the Lease before it sends, to Proxmox.
ON_ITS_WAY = 1.0
NAMES = [f"net{n}" for n in range(6)]
FOREIGN = {"zone": "theirs", "type": "simple"}
GROUP = "/apis/pve-evpn.dev/v1alpha1"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
#: Which Leases are edited: a replica's own, the one that all replicas share, the cluster's.
LEASE_KINDS = {"replica": "-replica-", "shared": "pve-evpn-operator", "cluster": "-cluster-pve"}
MERGE = {"Content-Type": "application/merge-patch+json"}
_JUMPING = Path(__file__).with_name("jumping_clock.py")


class Api:
    """The API server as its administrator, past the proxy."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._session = requests.Session()
        self._session.trust_env = False  # a CA of the environment would win over ours
        self._session.cert = (str(plane.folder / "admin.crt"), str(plane.folder / "admin.key"))
        self._session.verify = str(plane.folder / "ca.crt")

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """One request, until the API server answers it; empty where there is no such object."""

        def ask() -> list[requests.Response]:
            with contextlib.suppress(requests.RequestException):
                answer = self._session.request(method, self._plane.url + path, json=body, headers=headers, timeout=5)
                return [answer] if answer.status_code < 500 and answer.status_code != 429 else []
            return []

        (answer,) = await_(f"{method} {path} is answered", ask)
        if answer.status_code == 404:
            return {}
        assert answer.status_code < 400 or answer.status_code == 409, answer.text
        return dict(answer.json())


class Arena:
    """One control plane, one lab, two replicas behind the proxy; for many runs."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.lab = Lab(["pve1", "pve2", "pve3"], task_seconds=0.05)
        seed(self.lab)
        self.stack = Stack(plane, self.lab, folder)
        self.stack.prepare()
        self.api = Api(plane)
        self.proxy = ApiProxy(plane.url, plane.folder)
        self.proxy.__enter__()
        self.clock = folder / "clock"
        self.clock.write_text("0")
        self.replicas: list[Operator] = []
        self.writes: list[tuple[float, str, str]] = []
        self.on_write: Callable[[], None] = lambda: None
        self.lab.faults.before.append(self._sees)
        self.seen: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.wanted: dict[str, dict[str, Any]] = {}
        self._count = 0
        self._begin()

    def close(self) -> None:
        """End everything, and take it out of Kubernetes again."""
        for replica in self.replicas:
            replica.stop(signal.SIGKILL)
        self.proxy.__exit__()
        self.stack.remove()
        self.stack.close()

    def _begin(self) -> None:
        """The seed's cluster, controller and zone; a zone of another client, which no one may touch."""
        for path, more in (("/cluster/sdn/zones", FOREIGN), ("/cluster/sdn", None)):
            method = "POST" if more else "PUT"
            assert self.lab.answer(Request(method, path, dict(more or {}), user="root@pam")).status == 200
        await_("the other client's apply has ended", lambda: self.foreign() is not None)
        self.theirs = copy.deepcopy(self.foreign())
        documents = self.stack.seed()[:3]
        documents[0]["spec"]["apply"] = {"minIntervalSeconds": 0}  # the same namespace changes again and again
        self.like = self.stack.seed()[3]
        self.stack.apply(*documents)
        self.keep_two_replicas()
        await_("one replica leads", lambda: self.leader)
        self.stack.await_ready(*documents)

    def foreign(self) -> dict[str, Any] | None:
        return self.lab.sdn.running["zones"].get(FOREIGN["zone"])

    def _sees(self, request: Request) -> None:
        if request.method != "GET" and request.user != "root@pam":
            self.writes.append((time.monotonic(), request.method, request.path))
            self.on_write()

    # --- the replicas -----------------------------------------------------------------------------------------------

    @property
    def leader(self) -> Operator | None:
        return next((one for one in self.replicas if one.ended is None and _serves(one)), None)

    def keep_two_replicas(self) -> None:
        """What a Deployment does: those that ended are replaced."""
        for replica in [one for one in self.replicas if one.ended is not None]:
            self.ends[str(replica.ended)] += 1
            self.replicas.remove(replica)
        while len(self.replicas) < 2:
            self._count += 1
            path = self.plane.kubeconfig_for(NAMESPACE, "pve-evpn-operator")
            config = yaml.safe_load(path.read_text())
            config["clusters"][0]["cluster"]["server"] = self.proxy.url
            path = self.stack.folder / f"replica-{self._count}.kubeconfig"
            path.write_text(yaml.safe_dump(config))
            # Both have one name, as two installations by mistake, or pods of one hostname.
            environment = {**TIMING, "CHAOS_CLOCK": str(self.clock), "POD_NAME": "replica"}
            replica = Operator(path, self.stack.folder, f"replica-{self._count}", environment)
            replica.program = [sys.executable, str(_JUMPING)]
            replica.start()
            self.replicas.append(replica)

    # --- a run ------------------------------------------------------------------------------------------------------

    def run(self, number: int) -> None:
        """One run. Raises AssertionError that names what was done."""
        chance = random.Random(number)
        self.deeds: list[str] = []
        self.writes.clear()
        try:
            for _ in range(chance.randint(1, 4)):
                self._trouble(chance)
                self._users(chance)
                time.sleep(chance.choice([0, 0.1, 0.4, 0.8]))
            self._heal()
            self._at_rest()
            if chance.random() < 0.1:
                self._frozen_leader(chance)
                self._at_rest()
            self._invariants()
        except AssertionError as error:
            raise AssertionError(f"run {number}: {'; '.join(self.deeds)}: {error}") from error

    def _users(self, chance: random.Random) -> None:
        """Create, change and delete VNets."""
        for name in chance.sample(NAMES, chance.randint(1, 4)):
            where = f"{GROUP}/namespaces/default/vnets"
            if name in self.wanted and chance.random() < 0.4:
                self.api("DELETE", f"{where}/{name}")
                del self.wanted[name]
                self.deeds.append(f"delete {name}")
                continue
            spec = {"zoneRef": self.like["spec"]["zoneRef"], "vni": 6000 + NAMES.index(name), "id": name}
            spec |= {"alias": chance.choice(["a", "b", "c"]), "subnets": [{"cidr": f"10.9.{NAMES.index(name)}.0/24"}]}
            if name in self.wanted:
                self.api("PATCH", f"{where}/{name}", {"spec": {"alias": spec["alias"]}}, **MERGE)
            elif self.api("GET", f"{where}/{name}"):
                continue  # its deletion has not ended
            else:
                document = {**self.like, "metadata": {"name": name, "namespace": "default"}, "spec": spec}
                self.api("POST", where, document)
            self.wanted[name] = spec
            self.deeds.append(f"apply {name}")

    def _trouble(self, chance: random.Random) -> None:
        names = [*FAULTS] * 4 + ["watches dropped"] * 4 + ["away", "clock"] * 2
        names += ["Lease edited"] * 2 + ["Lease stolen", "Lease deleted", "etcd stops", "API server restarts"]
        name = chance.choice(names)
        self.seen[name] += 1
        self.deeds.append(name)
        if name in FAULTS:
            self.proxy.add(FAULTS[name](chance))
        elif name == "watches dropped":
            self.proxy.drop_watches()
        elif name == "away":
            self.proxy.away(True)
        elif name == "clock":
            self.clock.write_text(str(chance.choice([-86400, -3600, -61, 0, 61, 3600, 86400, 315360000])))
        elif name.startswith("Lease"):
            self._lease(name, chance)
        elif name == "etcd stops":
            self._stopped("etcd", chance.choice([1.0, DEADLINE + 2]))
        else:
            self.plane.restart_api_server()

    def _lease(self, name: str, chance: random.Random) -> None:
        """Another client edits, takes or deletes one of the Leases."""
        kind = chance.choice([*LEASE_KINDS] * 3 + ["replica"])
        names = sorted(item["metadata"]["name"] for item in self.api("GET", LEASES)["items"])
        mark = LEASE_KINDS[kind]
        found = [one for one in names if one == mark or (mark.startswith("-") and mark in one)]
        self.deeds[-1] += f" ({kind})"
        if not found:
            return
        path = f"{LEASES}/{chance.choice(found)}"
        if name == "Lease deleted":
            self.api("DELETE", path)
            return
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        thief = {"holderIdentity": "thief", "leaseDurationSeconds": 2, "renewTime": now, "acquireTime": now}
        edits = [{"leaseDurationSeconds": 1}, {"renewTime": "2020-01-01T00:00:00.000000Z"}, {"leaseTransitions": 99}]
        spec = thief if name == "Lease stolen" else chance.choice(edits)
        self.api("PATCH", path, {"spec": spec, "metadata": {"annotations": {"edited": now}}}, **MERGE)

    def _stopped(self, program: str, seconds: float) -> None:
        """A part of the control plane stands still for a while, as if its disk did."""
        pid = self.plane.pid(program)
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(seconds, os.kill, (pid, signal.SIGCONT)).start()

    def _frozen_leader(self, chance: random.Random) -> None:
        """SIGSTOP before one of the leader's writes; it thaws when another one leads and has done the work."""
        leader = self.leader
        assert leader is not None
        self.seen["frozen"] += 1
        self.deeds.append("leader frozen")
        left = chance.randint(1, 5)
        frozen = threading.Event()

        def freeze() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                leader.send(signal.SIGSTOP)
                frozen.set()

        self.on_write = freeze
        try:
            self._users(chance)
            if not frozen.wait(10):
                return  # fewer writes than that
            others = [one for one in self.replicas if one is not leader]
            await_("another replica leads", lambda: any(map(_serves, others)), 40)
            self._at_rest(frozen=leader)
            writes = len(self.writes)
        finally:
            self.on_write = lambda: None
            leader.send(signal.SIGCONT)
        await_("the frozen leader ends", lambda: leader.ended is not None)
        assert leader.ended == 1
        assert len(self.writes) == writes, f"a frozen leader wrote: {self.writes[writes:]}"

    def _heal(self) -> None:
        self.proxy.heal()
        self.clock.write_text("0")

    # --- what must hold ---------------------------------------------------------------------------------------------

    def _at_rest(self, frozen: Operator | None = None) -> None:
        """Every VNet is as its users want it, and a replica leads."""

        def rest() -> bool:
            if frozen is None:
                self.keep_two_replicas()
            self._person_removes_a_lock_that_cannot_be_proven()
            return self.problem() == ""

        try:
            await_("everything is as wanted", rest, 120)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.problem()}") from error

    def problem(self) -> str:
        """Why it is not at rest; empty if it is."""
        items = self.api("GET", f"{GROUP}/vnets")["items"]
        there = {item["metadata"]["name"]: item for item in items}
        if there.keys() != self.wanted.keys():
            return f"VNets in Kubernetes: {sorted(there)}, wanted {sorted(self.wanted)}"
        for name, item in there.items():
            ready = next((c for c in item.get("status", {}).get("conditions", ()) if c["type"] == "Ready"), {})
            if ready.get("status") != "True" or ready.get("observedGeneration") != item["metadata"]["generation"]:
                return f"{name}: {ready}"
        with self.lab.mutex:
            sdn = copy.deepcopy(self.lab.sdn)
        if sdn.lock is not None:
            return "the lock is held"
        if sdn.edited != sdn.running:
            return "something is pending"
        running = {name: (props["tag"], props.get("alias")) for name, props in sdn.running["vnets"].items()}
        wanted = {name: (spec["vni"], spec["alias"]) for name, spec in self.wanted.items()}
        if running != wanted:
            return f"Proxmox runs {running}, wanted {wanted}"
        return "" if self.leader else "no replica leads"

    def _person_removes_a_lock_that_cannot_be_proven(self) -> None:
        """What docs/safety.md asks of a person: where the operator says that a lock may be its own."""
        (item,) = self.api("GET", f"{GROUP}/proxmoxclusters")["items"]
        conditions = item.get("status", {}).get("conditions", ())
        programmed = next((c for c in conditions if c["type"] == "Programmed"), {})
        if programmed.get("reason") != "SdnLocked" or "may be its own" not in programmed.get("message", ""):
            return
        journal = self.api("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/pve-evpn-journal-pve")
        token = json.loads(base64.b64decode(journal["data"]["entry"]))["token"]
        if self.lab.sdn.lock is not None and self.lab.sdn.lock != token:
            self.seen["lock removed by a person"] += 1
            self.deeds.append("a person removes the lock")
            self.lab.answer(Request("DELETE", "/cluster/sdn/lock", {"force": "1"}, user="root@pam"))

    def _invariants(self) -> None:
        assert self.foreign() == self.theirs, "another client's zone was changed"
        late = [
            (method, path)
            for moment, method, path in self.writes
            if not self.proxy.renewals.held_by(moment, DEADLINE + ON_ITS_WAY)
        ]
        assert late == [], f"written without a Lease: {late}"
        journal = self.api("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/pve-evpn-journal-pve")
        entry = json.loads(base64.b64decode(journal["data"]["entry"]))
        assert not any(entry.get(name) for name in ("token", "asked", "dirty", "started")), entry
        assert self.stack.undeclared == []


def _serves(replica: Operator) -> bool:
    """Whether it writes for the cluster; a replica that ends at this moment does not."""
    with contextlib.suppress(AssertionError):
        return replica.readiness.startswith("200 leading for 1 ")
    return False


@contextlib.contextmanager
def arena(plane: ControlPlane, folder: Path) -> Iterator[Arena]:
    """An arena for some runs; the end of its replicas' logs is shown if one fails."""
    made = Arena(plane, folder)
    try:
        yield made
    except BaseException:
        for replica in made.replicas:
            sys.stderr.write(f"--- {replica.name}\n" + "\n".join(replica.log.read_text().splitlines()[-40:]) + "\n")
        raise
    finally:
        made.close()
