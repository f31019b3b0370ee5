"""Everything that can go wrong, on demand.

A fault is begun and ended: ``lab.faults.add(NodeOffline("pve3"))`` in a test, ``--fault node-offline:node=pve3`` on the
command line, ``POST /faults`` on the admin port; the same names and parameters everywhere. Three sorts:

* around requests (:class:`RequestFault`): which of them is said by method, path and user, how often by ``times``,
  ``skip`` and ``share``. Chance depends on the seed and on how often that very request came before, not on which
  thread was quicker, so that a run can be repeated.
* asked by the lab where it matters: reloads of nodes, tasks, the plugging of NICs.
* things that somebody else does, once: edits, locks, migrations, reboots. They go through the API like anybody's.

Beside the faults there are two lists of hooks, ``before`` and ``after``, called around every request.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pve_lab.dispatch import Answer, Request, answer_plainly

if TYPE_CHECKING:
    from pve_lab.cluster import Lab

Proceed = Callable[[], Answer]
DROPPED = Answer(0, "", drop=True)
#: Who it is that interferes. A person with a root shell is not kept out by anybody's lock token.
SOMEBODY = "root@pam"


@dataclass(kw_only=True)
class Fault:
    """One thing that is wrong, from :meth:`begin` to :meth:`end`."""

    name: ClassVar[str] = ""
    id: int = field(default=0, init=False)

    def begin(self, lab: Lab) -> None:
        """Make it so."""

    def end(self, lab: Lab) -> None:
        """Take it back, as far as one can."""

    def shown(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if not f.name.startswith("_")}
        return {"fault": self.name, **values}


KINDS: dict[str, type[Fault]] = {}
F = TypeVar("F", bound=type[Fault])


def named(name: str) -> Callable[[F], F]:
    """Give a fault the name that the command line and the admin port know it by."""

    def register(kind: F) -> F:
        kind.name = name
        KINDS[name] = kind
        return kind

    return register


# --- around requests ----------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class RequestFault(Fault):
    """Meets requests: ``method`` and ``path`` are regular expressions for the whole, ``user`` a part of the sender.

    The first ``skip`` matching requests are left alone, then ``times`` of them are met (0: all), each with a
    probability of ``share``.
    """

    method: str = ".*"
    path: str = ".*"
    user: str = ""
    skip: int = 0
    times: int = 0
    share: float = 1.0
    _seen: int = field(default=0, init=False)
    _met: int = field(default=0, init=False)
    _repeats: Counter[tuple[str, str]] = field(default_factory=Counter, init=False)

    def meets(self, request: Request, seed: int) -> bool:
        """Whether this request is one; counts it if so."""
        wanted = (
            re.fullmatch(self.method, request.method)
            and re.fullmatch(self.path, request.path)
            and self.user in request.user
        )
        if not wanted or (self.times and self._met >= self.times):
            return False
        self._seen += 1
        if self._seen <= self.skip:
            return False
        if self.share < 1.0:
            key = (request.method, request.path)
            self._repeats[key] += 1
            draw = random.Random(f"{seed}:{self.name}:{self.id}:{key}:{self._repeats[key]}").random()
            if draw >= self.share:
                return False
        self._met += 1
        return True

    def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
        """What becomes of a request that is met; every kind says it for itself."""
        raise NotImplementedError


@named("latency")
@dataclass(kw_only=True)
class Latency(RequestFault):
    """Answers come late by ``seconds``."""

    seconds: float = 0.5

    def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
        lab.sleep(self.seconds)
        return proceed()


@named("drop-before")
@dataclass(kw_only=True)
class DropBefore(RequestFault):
    """The connection is cut; nothing was executed."""

    def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
        return DROPPED


@named("drop-after")
@dataclass(kw_only=True)
class DropAfter(RequestFault):
    """The request is executed, then the connection is cut before the answer."""

    def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
        proceed()
        return DROPPED


@named("error")
@dataclass(kw_only=True)
class ErrorAnswer(RequestFault):
    """An answer of 5xx (or any other) instead of an execution."""

    status: int = 500
    message: str = "got no worker upid - start worker failed"

    def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
        body = {"data": None, "message": self.message + "\n"}
        return Answer(self.status, self.message, body)


@named("gateway")
@dataclass(kw_only=True)
class GatewayError(RequestFault):
    """pveproxy gives up on pvedaemon or on another node: 595 (no connection) or 596 (no answer in time).

    ``outcome`` says what became of the request: ``lost`` (not executed), ``done``, or ``late`` (executed ``seconds``
    after the answer, which was measured to happen).
    """

    status: int = 596
    outcome: str = "lost"
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.outcome not in ("lost", "done", "late"):
            raise ValueError(f"outcome: {self.outcome!r} is none of lost, done, late")

    def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
        if self.outcome == "done":
            proceed()
        elif self.outcome == "late":
            lab.agenda.at(lab.now() + self.seconds, lambda _: _forget(proceed()))
        return Answer(self.status, {595: "Connection refused", 596: "Connection timed out"}[self.status])


def _forget(_: Answer) -> None:
    """Nobody waits for the answer any more."""


@named("cfs-lock-busy")
@dataclass(kw_only=True)
class CfsLockBusy(RequestFault):
    """Another writer holds the cluster file system's lock longer than the ten seconds Proxmox waits for it."""

    method: str = "POST|PUT|DELETE"
    path: str = "/cluster/sdn.*"

    def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
        text = "cfs-lock 'domain-sdn' error: got lock request timeout\n"
        return _refused(f"{_prefix(request)}: {text}")


@named("token-expired")
@dataclass(kw_only=True)
class TokenExpired(RequestFault):
    """The credentials are no longer valid (``user`` is part of the token's name)."""

    def around(self, lab: Lab, request: Request, proceed: Proceed) -> Answer:
        return Answer(401, "Authentication failed!")


# --- the cluster and its nodes --------------------------------------------------------------------------------------


@named("no-quorum")
@dataclass(kw_only=True)
class NoQuorum(Fault):
    """The cluster file system is read-only; the nodes themselves answer."""

    def begin(self, lab: Lab) -> None:
        lab.quorum_lost = True

    def end(self, lab: Lab) -> None:
        lab.quorum_lost = False


@dataclass(kw_only=True)
class NodeFault(Fault):
    """Something with one node."""

    node: str

    def begin(self, lab: Lab) -> None:
        if self.node not in lab.nodes:
            raise ValueError(f"node: there is no {self.node!r}; there are {', '.join(lab.nodes)}")


@named("node-offline")
@dataclass(kw_only=True)
class NodeOffline(NodeFault):
    """A node is not reachable: 595 for what is asked of it, offline in the status, passed over by an apply."""

    def begin(self, lab: Lab) -> None:
        super().begin(lab)
        lab.nodes[self.node].online = False

    def end(self, lab: Lab) -> None:
        lab.nodes[self.node].online = True


@named("node-hangs")
@dataclass(kw_only=True)
class NodeHangs(NodeFault):
    """A node is a member as always, but requests for it get no answer in time (596) and is not executed."""

    def meets(self, request: Request) -> bool:
        return request.path.startswith(f"/nodes/{self.node}/")


@named("node-reboot")
@dataclass(kw_only=True)
class NodeReboot(NodeFault):
    """A node goes down, is back after ``seconds``, and at boot commits whatever is staged, asking no lock.

    Host-network edits that waited on it come into force too.
    """

    seconds: float = 0.0

    def begin(self, lab: Lab) -> None:
        super().begin(lab)
        lab.reboot(lab.nodes[self.node], self.seconds)


@dataclass(kw_only=True)
class ReloadFault(NodeFault):
    """Meets the network reloads of one node, ``times`` of them (0: all)."""

    times: int = 0
    _met: int = field(default=0, init=False)

    def meets(self, node: str) -> bool:
        if node != self.node or (self.times and self._met >= self.times):
            return False
        self._met += 1
        return True


@named("reload-fails")
@dataclass(kw_only=True)
class ReloadFails(ReloadFault):
    """ifreload fails: FRR is not regenerated, the node keeps what it had."""

    error: str = "command 'ifreload -a' failed: exit code 1"


@named("reload-warns")
@dataclass(kw_only=True)
class ReloadWarns(ReloadFault):
    """The reload works, with a warning: ``frr-reload`` failed and FRR was restarted instead."""

    text: str = "frr reload command fail. Restarting frr."


@named("reload-slow")
@dataclass(kw_only=True)
class ReloadSlow(ReloadFault):
    """The reload takes ``seconds``."""

    seconds: float = 10.0


@named("reload-hangs")
@dataclass(kw_only=True)
class ReloadHangs(ReloadFault):
    """The reload does not end, nor does the apply that waits for it, until the fault is taken back."""

    _waiting: list[Callable[[], None]] = field(default_factory=list, init=False)

    def hold(self, go_on: Callable[[], None]) -> None:
        self._waiting.append(go_on)

    def end(self, lab: Lab) -> None:
        while self._waiting:
            self._waiting.pop(0)()


@dataclass(kw_only=True)
class TaskFault(Fault):
    """Meets tasks of a type (``reloadnetworkall``, ``srvreload``, ``qmconfig``, ``qmigrate``...), ``times`` of them."""

    type: str
    times: int = 0
    _met: int = field(default=0, init=False)

    def meets(self, type_: str) -> bool:
        if type_ != self.type or (self.times and self._met >= self.times):
            return False
        self._met += 1
        return True


@named("task-warns")
@dataclass(kw_only=True)
class TaskWarns(TaskFault):
    """The task ends with ``WARNINGS: 1``."""

    text: str = "something is not quite right"


@named("task-fails")
@dataclass(kw_only=True)
class TaskFails(TaskFault):
    """The task ends with an error, though it did its work."""

    error: str = "unexpected status"


# --- what somebody else does ----------------------------------------------------------------------------------------


@named("foreign-lock")
@dataclass(kw_only=True)
class ForeignLock(Fault):
    """Somebody else holds the SDN lock; whoever held it before holds it no longer."""

    token: str = "01936000-0000-7000-b000-00000000f0e1"

    def begin(self, lab: Lab) -> None:
        lab.sdn.lock = self.token

    def end(self, lab: Lab) -> None:
        if lab.sdn.lock == self.token:
            lab.sdn.lock = None


@dataclass(kw_only=True)
class Edit(Fault):
    """An edit by somebody else through the API: ``object`` is a path below ``/cluster/sdn``, ``set`` its properties.

    An object that is there is changed, one that is not is created; ``delete`` removes it.
    """

    object: str = "zones/alien"
    set: str = "type=simple"
    delete: bool = False

    def begin(self, lab: Lab) -> None:
        somebody_edits(lab, self.object, dict(pair.split("=", 1) for pair in self.set.split(";") if pair), self.delete)


@named("foreign-change")
@dataclass(kw_only=True)
class ForeignChange(Edit):
    """Somebody else's edit is pending. Taken back, the whole configuration is rolled back."""

    def end(self, lab: Lab) -> None:
        somebody(lab, "POST", "/cluster/sdn/rollback", **_token(lab))


@named("out-of-band-edit")
@dataclass(kw_only=True)
class OutOfBandEdit(Edit):
    """Somebody else edited and applied (which publishes whatever else was staged)."""

    def begin(self, lab: Lab) -> None:
        super().begin(lab)
        somebody(lab, "PUT", "/cluster/sdn", **_token(lab))


@named("host-edit")
@dataclass(kw_only=True)
class HostEdit(NodeFault):
    """Somebody's edit of a node's own network waits for the next reload, whoever causes that."""

    iface: str = "vmbr7"

    def begin(self, lab: Lab) -> None:
        super().begin(lab)
        somebody(lab, "POST", f"/nodes/{self.node}/network", iface=self.iface, type="bridge", autostart="1")

    def end(self, lab: Lab) -> None:
        somebody(lab, "DELETE", f"/nodes/{self.node}/network")


# --- guests -----------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class GuestFault(Fault):
    """Something with one guest."""

    vmid: int

    def begin(self, lab: Lab) -> None:
        if self.vmid not in lab.guests:
            raise ValueError(f"vmid: there is no guest {self.vmid}")


@named("guest-locked")
@dataclass(kw_only=True)
class GuestLocked(GuestFault):
    """A backup, a snapshot or a migration has the guest's configuration locked."""

    lock: str = "backup"

    def begin(self, lab: Lab) -> None:
        super().begin(lab)
        lab.guests[self.vmid].config["lock"] = self.lock

    def end(self, lab: Lab) -> None:
        lab.guests[self.vmid].config.pop("lock", None)


@named("guest-edited")
@dataclass(kw_only=True)
class GuestEdited(GuestFault):
    """Somebody else writes the guest's configuration; ``set`` is like ``description=text;net0=virtio,bridge=vmbr0``."""

    set: str = "description=edited by somebody else"

    def begin(self, lab: Lab) -> None:
        super().begin(lab)
        guest = lab.guests[self.vmid]
        params = dict(pair.split("=", 1) for pair in self.set.split(";") if pair)
        somebody(lab, "PUT", f"/nodes/{guest.node}/{guest.kind}/{guest.vmid}/config", **params)


@named("guest-moves")
@dataclass(kw_only=True)
class GuestMoves(GuestFault):
    """The guest migrates to another node (at once: what takes its time is ``POST .../migrate``)."""

    target: str

    def begin(self, lab: Lab) -> None:
        super().begin(lab)
        if self.target not in lab.nodes:
            raise ValueError(f"target: there is no {self.target!r}; there are {', '.join(lab.nodes)}")
        lab.move(lab.guests[self.vmid], self.target)


@named("hotplug-fails")
@dataclass(kw_only=True)
class HotplugFails(GuestFault):
    """A running guest's NIC cannot be plugged."""

    text: str = "error on hot-unplugging device 'net0' - still busy in guest?"


F0 = TypeVar("F0", bound=Fault)
F1 = TypeVar("F1", bound=Fault)


# --- all of them ------------------------------------------------------------------------------------------------------


class Faults:
    """What is wrong at present, and the hooks. Owned by the lab."""

    def __init__(self, lab: Lab, seed: int = 0) -> None:
        self.lab = lab
        self.seed = seed
        self.active: list[Fault] = []
        self.before: list[Callable[[Request], None]] = []
        self.after: list[Callable[[Request, Answer], None]] = []
        self._numbers = itertools.count(1)

    # --- beginning and ending -----------------------------------------------------------------------------------

    def add(self, fault: F0) -> F0:
        """Begin a fault; it stays until :meth:`remove`."""
        with self.lab.mutex:
            fault.id = next(self._numbers)
            fault.begin(self.lab)
            self.active.append(fault)
        return fault

    def remove(self, fault: Fault | int) -> None:
        """End a fault, given itself or its number."""
        with self.lab.mutex:
            found = next((f for f in self.active if f is fault or f.id == fault), None)
            if found is None:
                raise KeyError(f"there is no fault {fault}")
            self.active.remove(found)
            found.end(self.lab)

    def clear(self) -> None:
        """End all faults, the newest first."""
        for fault in list(reversed(self.active)):
            self.remove(fault)

    # --- asked by the lab ---------------------------------------------------------------------------------------

    def of(self, kind: type[F1]) -> Iterator[F1]:
        return (fault for fault in self.active if isinstance(fault, kind))

    def for_reload(self, node: str) -> list[ReloadFault]:
        """What happens to a reload that begins now."""
        return [fault for fault in self.of(ReloadFault) if fault.meets(node)]

    def for_task(self, type_: str) -> list[TaskFault]:
        """What happens to a task that ends now."""
        return [fault for fault in self.of(TaskFault) if fault.meets(type_)]

    def for_plug(self, vmid: int) -> str:
        """Why a guest's NIC cannot be plugged now; empty if it can."""
        return next((fault.text for fault in self.of(HotplugFails) if fault.vmid == vmid), "")

    # --- around every request -----------------------------------------------------------------------------------

    def intercept(self, request: Request, proceed: Proceed) -> Answer:
        """Call the hooks and let every fault that meets the request have its say, the newest outermost."""
        with self.lab.mutex:
            self.lab.settle()
            met = [fault for fault in self.of(RequestFault) if fault.meets(request, self.seed)]
            hanging = any(fault.meets(request) for fault in self.of(NodeHangs))
        for hook in self.before:
            hook(request)
        for fault in met:
            proceed = _bound(fault, self.lab, request, proceed)
        answer = self._checked(request, proceed, hanging)
        for later in self.after:
            later(request, answer)
        return answer

    def _checked(self, request: Request, proceed: Proceed, hanging: bool) -> Answer:
        if hanging:
            return Answer(596, "Connection timed out")
        if request.method != "GET" and not self.lab.quorate and (refusal := _without_quorum(request)):
            return refusal
        return proceed()


def _bound(fault: RequestFault, lab: Lab, request: Request, proceed: Proceed) -> Proceed:
    return lambda: fault.around(lab, request, proceed)


def _refused(text: str) -> Answer:
    return Answer(500, text.split("\n")[0], {"data": None, "message": text})


_VERB = {"POST": "create", "PUT": "update", "DELETE": "delete"}


def _prefix(request: Request) -> str:
    """What Proxmox puts before an error inside of its configuration lock."""
    whole = {
        ("PUT", "/cluster/sdn"): "could not commit SDN config",
        ("POST", "/cluster/sdn/lock"): "could not acquire lock for SDN config",
        ("DELETE", "/cluster/sdn/lock"): "could not release lock",
        ("POST", "/cluster/sdn/rollback"): "could not rollback SDN configuration",
    }
    if text := whole.get((request.method, request.path)):
        return text
    kind = "subnet" if "/subnets" in request.path else request.path.split("/")[3].removesuffix("s")
    return f"{_VERB[request.method]} sdn {kind} object failed"


def _without_quorum(request: Request) -> Answer | None:
    """The refusal of a write into the read-only cluster file system; None for what does not write there."""
    if request.path.startswith("/cluster/sdn"):
        creates = request.method == "POST" and request.path not in ("/cluster/sdn/lock", "/cluster/sdn/rollback")
        if creates:
            return _refused("cluster not ready - no quorum?\n")
        return _refused(f"{_prefix(request)}: cfs-lock 'domain-sdn' error: no quorum!\n")
    if match := re.fullmatch(r"/nodes/([^/]+)/(qemu|lxc)/(\d+)/(config|migrate)", request.path):
        node, kind, vmid, _ = match.groups()
        folder = "qemu-server" if kind == "qemu" else "lxc"
        path = f"/etc/pve/nodes/{node}/{folder}/{vmid}.conf.tmp.{1000 + int(vmid)}"
        return _refused(f"unable to open file '{path}' - Permission denied\n")
    return None


# --- somebody else ----------------------------------------------------------------------------------------------------


def somebody(lab: Lab, method: str, path: str, **params: str) -> Any:
    """A request by somebody else: no fault meets it and it is not in the journal. Raises ValueError if refused."""
    got = answer_plainly(lab, Request(method, path, dict(params), SOMEBODY))
    if got.status != 200:
        raise ValueError(f"{method} {path}: {got.status} {(got.body or {}).get('message', got.reason)}")
    return (got.body or {}).get("data")


def somebody_edits(lab: Lab, object_: str, props: Mapping[str, str], delete: bool = False) -> None:
    """Create, change or delete one SDN object, whoever holds the lock."""
    path, token = f"/cluster/sdn/{object_}", _token(lab)
    there = answer_plainly(lab, Request("GET", path, {}, SOMEBODY)).status == 200
    if delete:
        somebody(lab, "DELETE", path, **token)
    elif there:
        somebody(lab, "PUT", path, **{k: v for k, v in props.items() if k != "type"}, **token)
    else:
        collection, _, id_ = path.rpartition("/")
        key = _ID_PARAMETER.get(collection.split("/")[-1], "id")
        somebody(lab, "POST", collection, **{key: id_}, **props, **token)


_ID_PARAMETER = {"zones": "zone", "vnets": "vnet", "controllers": "controller", "subnets": "subnet"}


def _token(lab: Lab) -> dict[str, str]:
    return {"lock-token": lab.sdn.lock} if lab.sdn.lock else {}


# --- from text and JSON -----------------------------------------------------------------------------------------------


def parse(text: str) -> Fault:
    """``name`` or ``name:key=value,key=value``; raises ValueError that names what is wrong."""
    name, _, rest = text.partition(":")
    params: dict[str, str] = {}
    last = ""
    for part in filter(None, rest.split(",")):
        key, separator, value = part.partition("=")
        if last == "set" and key not in ("object", "delete", "vmid"):
            # What is set may have commas of its own.
            params[last] += f",{part}"
            continue
        if not separator:
            raise ValueError(f"{part!r} is not key=value")
        params[key] = value
        last = key
    return make(name, params)


def make(name: str, params: Mapping[str, Any]) -> Fault:
    """A fault from its name and its parameters as text or JSON."""
    if name not in KINDS:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(sorted(KINDS))}")
    kind = KINDS[name]
    known = parameters(kind)
    if unknown := params.keys() - known.keys():
        raise ValueError(f"{name}: no parameter {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    try:
        return kind(**{key: _converted(name, key, known[key], value) for key, value in params.items()})
    except TypeError as problem:
        raise ValueError(f"{name}: {str(problem).split(') ')[-1]}") from None


def parameters(kind: type[Fault]) -> dict[str, str]:
    """Names and types of a fault's parameters."""
    return {f.name: str(f.type) for f in dataclasses.fields(kind) if f.init}


def _converted(name: str, key: str, type_: str, value: Any) -> Any:
    if type_ == "bool":
        return str(value).lower() in ("1", "true", "yes")
    try:
        return {"int": int, "float": float}.get(type_, str)(value)
    except ValueError:
        raise ValueError(f"{name}: {key}={value!r} is no {type_}") from None
