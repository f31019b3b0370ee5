"""Requests to one Proxmox cluster: which endpoint takes them, in which thread, under whose leadership, how long.

The client sends each request once to the endpoint that worked last, and to the next one only where the request was not
delivered. It retries no write and knows no path: :mod:`pve_evpn.pve.gateway` has the typed calls. Blocking requests run
in the client's own few threads, so that a dead cluster holds up no other cluster.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pve_evpn import metrics
from pve_evpn.leadership import IsLeader, NotLeader
from pve_evpn.pve import errors
from pve_evpn.pve.credentials import Credentials
from pve_evpn.pve.session import PveSession
from pve_evpn.pve.transport import Trust
from pve_evpn.text import from_outside

log = logging.getLogger(__name__)

_THREADS = 8
#: What a path of ours is made of: node names, ids, UPIDs with user@realm!token. No segment is empty, "." or "..":
#: ids come from answers too, and a path is sent with the operator's rights.
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9@:._!+=~-]+)+")
_CLOSED = "the connection was replaced: credentials or endpoints have changed"


class PveClient:
    """All requests to one cluster. Create it in the event loop; :meth:`close` it when credentials or endpoints change.

    Args:
        cluster: Name of the ProxmoxCluster, for metrics and messages.
        endpoints: Base URLs, the preferred one first.
        timeout: Seconds a request may take.
        is_leader: Asked before each write, in the thread that sends it.
    """

    def __init__(
        self,
        cluster: str,
        endpoints: Iterable[str],
        credentials: Credentials,
        trust: Trust,
        *,
        timeout: float = 30.0,
        is_leader: IsLeader = lambda: True,
    ) -> None:
        self.cluster = cluster
        self.credentials = credentials
        self._is_leader = is_leader
        self._endpoints = tuple(endpoints)
        self._trust = trust
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"pve-{cluster}")
        self._local = threading.local()
        #: Guards what the threads share: the four fields below.
        self._shared = threading.Lock()
        self._preferred = 0
        self._sessions: list[PveSession] = []
        self.calls = 0
        self._clock_offset = 0.0
        self._closed = False

    @property
    def active_endpoint(self) -> str:
        """The endpoint that took the last request."""
        return self._endpoints[self._preferred]

    @property
    def clock_offset(self) -> float:
        """Seconds by which Proxmox' clock is ahead of this machine's, by the last answer's ``Date``."""
        return self._clock_offset

    def close(self) -> None:
        """End the threads once their present requests are over; does not wait for a hanging server.

        Requests that wait for a thread are not sent and raise :class:`errors.Unreachable`.
        """
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._shared:
            sessions = tuple(self._sessions)
        for session in sessions:
            session.close()

    async def call(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        """One request, the whole answer. Raises :class:`errors.PveError`, and NotLeader for a write kept back."""
        if self._closed:
            raise errors.Unreachable(_CLOSED)
        try:
            return await asyncio.wrap_future(self._threads.submit(self._call, method, path, params))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise errors.Unreachable(_CLOSED) from None
            raise

    async def get(self, path: str, **params: Any) -> Any:
        """The ``data`` of a GET."""
        return (await self.call("GET", path, **params)).get("data")

    async def get_if_answered(self, path: str, **params: Any) -> dict[str, Any] | None:
        """The whole answer of a GET; None where the node does not answer or refuses."""
        try:
            return await self.call("GET", path, **params)
        except (errors.Unreachable, errors.Refused):
            return None

    def _call(self, method: str, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Try each endpoint once, beginning with the one that worked last.

        Another endpoint is tried only when the request was not delivered at all; then even a write is safe.
        """
        first, error = self._preferred, errors.Unreachable("no endpoint is configured")
        for offset in range(len(self._endpoints)):
            index = (first + offset) % len(self._endpoints)
            try:
                answer = self._ask(index, method, path, params)
            except errors.OutcomeUnknown:
                # This endpoint reads well and writes badly (its pvedaemon may be gone): ask another one next time.
                self._prefer((index + 1) % len(self._endpoints))
                raise
            except errors.Unreachable as failure:
                error = errors.Unreachable(f"{self._endpoints[index]}: {failure}")
                if isinstance(failure, errors.TlsRejected):
                    error = errors.TlsRejected(str(error))
                continue
            self._prefer(index)
            return answer
        raise error

    def _prefer(self, index: int) -> None:
        with self._shared:
            self._preferred = index

    def _ask(self, index: int, method: str, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if not _PATH.fullmatch(path):
            raise errors.Refused(f"not sent: {from_outside(path)} is no path of the Proxmox API", status=400)
        # Here and nowhere earlier: the call may have waited for a thread while the Lease ran out.
        if method != "GET" and not self._is_leader():
            raise NotLeader(f"{method} {path} to Proxmox cluster {self.cluster}")
        with self._shared:
            self.calls += 1
        began, code = time.monotonic(), "ok"
        try:
            session = self._session(index)
            answer = session.call(method, path, params)
            with self._shared:
                self._clock_offset = session.clock_offset
            return answer
        except errors.PveError as error:
            code = type(error).__name__
            raise
        finally:
            seconds = time.monotonic() - began
            metrics.API_REQUESTS.labels(self.cluster, method, code).inc()
            metrics.API_SECONDS.labels(self.cluster, method).observe(seconds)
            log.debug("%s %s: %s in %.0f ms", method, path, code, seconds * 1000, extra={"cluster": self.cluster})

    def _session(self, index: int) -> PveSession:
        """requests' sessions are not made for several threads, so each thread has its own."""
        mine: dict[int, PveSession] = self._local.__dict__.setdefault("sessions", {})
        if index not in mine:
            mine[index] = PveSession(self._endpoints[index], self.credentials, self._trust, self._timeout)
            with self._shared:
                self._sessions.append(mine[index])
        return mine[index]
