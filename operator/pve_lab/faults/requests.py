"""Faults around requests: late, lost, refused or cut off."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pve_lab.cluster import Cluster
from pve_lab.faults.fault import Fault
from pve_lab.request import Answer, Request

Proceed = Callable[[], Answer]
DROPPED = Answer(0, "", drop=True)


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

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        """The answer of a request that the fault meets; every kind defines it."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Latency(RequestFault):
    """Answers come late by ``seconds``."""

    name = "latency"
    seconds: float = 0.5

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        cluster.sleep(self.seconds)
        return proceed()


@dataclass(kw_only=True)
class DropBefore(RequestFault):
    """The connection is cut; nothing was executed."""

    name = "drop-before"

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        return DROPPED


@dataclass(kw_only=True)
class DropAfter(RequestFault):
    """The request is executed, then the connection is cut before the answer."""

    name = "drop-after"

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        proceed()
        return DROPPED


@dataclass(kw_only=True)
class ErrorAnswer(RequestFault):
    """An answer of 5xx (or any other) instead of an execution."""

    name = "error"
    status: int = 500
    message: str = "got no worker upid - start worker failed"

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        body = {"data": None, "message": self.message + "\n"}
        return Answer(self.status, self.message, body)


@dataclass(kw_only=True)
class GatewayError(RequestFault):
    """pveproxy gives up on pvedaemon or on another node: 595 (no connection) or 596 (no answer in time).

    ``outcome`` is that of the request: ``lost`` (not executed), ``done``, or ``late`` (executed ``seconds`` after the
    answer, as measured).
    """

    name = "gateway"
    status: int = 596
    outcome: str = "lost"
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.outcome not in ("lost", "done", "late"):
            raise ValueError(f"outcome: {self.outcome!r} is none of lost, done, late")

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        if self.outcome == "done":
            proceed()
        elif self.outcome == "late":
            cluster.timers.at(cluster.now() + self.seconds, lambda _: _forget(proceed()))
        return Answer(self.status, {595: "Connection refused", 596: "Connection timed out"}[self.status])


def _forget(_: Answer) -> None:
    """The client has got another answer already."""


@dataclass(kw_only=True)
class ApplyWithoutWorker(RequestFault):
    """An apply publishes the configuration and gives the lock back, then no worker starts: 500, and no node reloads.

    Measured: 29 of 600 quick applies on the real code, and every one while the folder of the task logs was full.
    """

    name = "apply-without-worker"
    method: str = "PUT"
    path: str = "/cluster/sdn"

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        with cluster.mutex:
            cluster.workers_start = False
            try:
                return proceed()
            finally:
                cluster.workers_start = True


@dataclass(kw_only=True)
class TokenExpired(RequestFault):
    """The credentials are no longer valid (``user`` is part of the token's name)."""

    name = "token-expired"

    def around(self, cluster: Cluster, request: Request, proceed: Proceed) -> Answer:
        return Answer(401, "Authentication failed!")
