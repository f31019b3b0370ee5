"""Leases that are renewed: who holds one knows by its own clock when it must have stopped.

client-go's protocol, so that it works beside everything that reads Leases: clocks of two machines are never compared;
a candidate waits until the Lease has not changed for its duration *as seen by itself*, and the holder considers it
lost ``renew_deadline`` after it began the last renewal that worked. The difference between the two is the time in
which no replica holds it. What the holder must no longer do then is for the writers to ask (:attr:`Lease.is_held`).

Two kinds are in use: one Lease per replica, and one that all replicas hold together (see ``kube.sharing``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.engine.clock import wait_for_event
from pve_evpn.settings import JITTER, Timing

log = logging.getLogger(__name__)

#: Opens a connection to the API server, for the event loop it is opened in.
Connect = Callable[[], contextlib.AbstractAsyncContextManager[client.CoordinationV1Api]]

#: By which an operator's Leases that are renewed are found, whatever their names and namespace.
LABELS = {"app.kubernetes.io/name": "pve-evpn-operator", "app.kubernetes.io/component": "leader-election"}
#: The holder of the Lease that all replicas hold together.
SHARED = "shared-by-replicas"
#: By how much longer than a replica's own Lease the shared one lasts: another replica takes over its renewal meanwhile.
_SHARED_TIMES = 4.0
_SHARED_ATTEMPTS = 4

FAILURES = (ApiException, aiohttp.ClientError, OSError, TimeoutError)
#: A clock that also runs while the machine is suspended; CLOCK_MONOTONIC, time.monotonic's, does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Seconds on a clock that also runs while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """One candidate. ``identity`` must be unique to the process, not only to the machine."""

    def __init__(
        self,
        api: client.CoordinationV1Api,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing | None = None,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self.api = api
        self.labels = dict(LABELS)
        self.annotations: dict[str, str] = {}
        """Both are written with the next renewal."""
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._timing = timing or Timing()
        self._clock = clock
        self._held_until = float("-inf")
        self._seen: tuple[Any, ...] = ()
        self._seen_at = float("-inf")
        self._object: Any = None
        self._hurry = asyncio.Event()
        self.holder = ""
        """Who holds it, as far as is known; "" if no replica does."""
        self.error = "the Lease has not been read yet"
        """Why the last attempt got no answer; "" if it got one."""

    @property
    def is_held(self) -> bool:
        """Whether this process may act as the leader now. Needs no lock: one comparison of two numbers."""
        return self._clock() < self._held_until

    async def acquire(self) -> None:
        """Return once the Lease is held."""
        while not await self._attempt():
            await asyncio.sleep(self._pause())
        log.info("%s holds the Lease %s/%s", self.identity, self._namespace, self._name)

    async def keep(self) -> None:
        """Renew it, and return once it is lost.

        Lost is lost: a holder that was too late (a machine that slept, say) does not take it again in the belief
        that nothing happened in between.
        """
        self._hurry.clear()
        while self.is_held:
            await wait_for_event(self._hurry, self._timing.retry)
            self._hurry.clear()
            if self.is_held:
                await self._attempt()
        holder = f"{self.holder or 'no replica'} holds it now"
        log.error("the Lease %s/%s is lost: %s", self._namespace, self._name, self.error or holder)

    def hurry(self) -> None:
        """Let :meth:`keep` renew now. To be called in its event loop."""
        self._hurry.set()

    async def release(self) -> None:
        """Let the next candidate have it at once; from here on nothing may be written."""
        if not self.is_held:
            return
        self._held_until = float("-inf")
        try:
            async with asyncio.timeout(self._timing.renew_deadline / 2):
                await self._read()  # a renewal that was cut off may have got through
                if self.holder != self.identity:
                    return
                # As client-go does it: no holder, and outdated in a second for clients that read the time only.
                await self._write(holder="", duration=1)
            log.info("the Lease is released")
        except FAILURES as error:
            log.warning("the Lease could not be released, others wait for it to expire: %s", words(error))

    # --- one attempt --------------------------------------------------------------------------------------------

    async def _attempt(self) -> bool:
        """Take or renew it, if it may be taken. A failure changes nothing: what was held expires by itself."""
        limit = self._timing.renew_deadline / 2  # so that one hanging request leaves time for another
        try:
            async with asyncio.timeout(limit):
                taken = await self._take()
        except FAILURES as error:
            self._object = None
            self.error = words(error)
            log.warning("the Lease %s/%s could not be read or written: %s", self._namespace, self._name, self.error)
            return False
        self.error = ""
        return taken

    async def _take(self) -> bool:
        renewing = self.is_held
        if not (renewing and self._object):
            await self._read()
            if not self._may_be_taken(renewing):
                self._held_until = float("-inf")
                return False
        began = self._clock()
        try:
            await self._write(holder=self.identity, duration=math.ceil(self._timing.duration))
        except ApiException as error:
            if error.status not in (404, 409):
                raise
            self._object = None  # another replica was faster, or it was deleted: the next attempt reads it first
            if renewing:
                await self._read()
                if not self._may_be_taken(renewing):
                    self._held_until = float("-inf")
            return False
        self._held_until = began + self._timing.renew_deadline
        return True

    def _may_be_taken(self, renewing: bool) -> bool:
        """Whether the Lease as just read is ours, free or outdated; while renewing only the first will do."""
        if self._object is None or self.holder == self.identity:
            return True
        return not renewing and (not self.holder or self._clock() >= self._expiry())

    async def _read(self) -> None:
        try:
            self._object = await self.api.read_namespaced_lease(self._name, self._namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            self._object, self.holder = None, ""
            return
        spec = self._object.spec or client.V1LeaseSpec()
        self.holder = spec.holder_identity or ""
        seen = (spec.holder_identity, spec.acquire_time, spec.renew_time, spec.lease_transitions)
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()

    async def _write(self, *, holder: str, duration: int) -> None:
        when = now()
        old = self._object.spec if self._object and self._object.spec else client.V1LeaseSpec()
        changed = (old.holder_identity or "") != holder
        spec = client.V1LeaseSpec(
            holder_identity=holder,
            lease_duration_seconds=duration,
            acquire_time=when if changed else old.acquire_time or when,
            renew_time=when,
            lease_transitions=(old.lease_transitions or 0) + int(changed and bool(holder) and self._object is not None),
        )
        if self._object is None:
            metadata = client.V1ObjectMeta(
                name=self._name, labels=dict(self.labels), annotations=dict(self.annotations) or None
            )
            body = client.V1Lease(metadata=metadata, spec=spec)
            self._object = await self.api.create_namespaced_lease(self._namespace, body)
        else:
            self._object.spec = spec  # with the resourceVersion it was read at: overtaken means refused
            metadata = self._object.metadata
            metadata.labels = {**(metadata.labels or {}), **self.labels}
            if self.annotations:
                metadata.annotations = {**(metadata.annotations or {}), **self.annotations}
            self._object = await self.api.replace_namespaced_lease(self._name, self._namespace, self._object)
        self.holder = holder

    def _expiry(self) -> float:
        """When, by our clock, its holder has been silent for as long as it promised to speak within."""
        spec = self._object.spec if self._object else None
        promised = (spec.lease_duration_seconds if spec else None) or self._timing.duration
        return float(self._seen_at + promised)

    def _pause(self) -> float:
        """Until the next attempt: the usual while, or until a silent holder's time is up."""
        usual = self._timing.retry * random.uniform(1.0, JITTER)  # noqa: S311
        left = self._expiry() - self._clock() if self.holder else usual
        return min(usual, max(left, 0.05))


class ReplicaLease(Lease):
    """The Lease by which one process shows that it lives. ``name`` and ``identity`` are the process's own.

    Another replica takes it away for good by deleting it, once it has been silent for its duration. So a Lease that is
    gone is lost: it is never made again.
    """

    def __init__(self, api: client.CoordinationV1Api, namespace: str, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(api, namespace, name, *args, **kwargs)
        self.name = name

    def _may_be_taken(self, renewing: bool) -> bool:
        if renewing:
            return self._object is not None and self.holder == self.identity
        return super()._may_be_taken(renewing)

    async def release(self) -> None:
        """Delete it; from here on nothing may be written."""
        self._held_until = float("-inf")
        try:
            async with asyncio.timeout(self._timing.renew_deadline / 2):
                await self.api.delete_namespaced_lease(self.name, self._namespace)
        except FAILURES as error:
            if getattr(error, "status", None) != 404:
                log.warning(
                    "the Lease %s could not be deleted, others wait for it to expire: %s", self.name, words(error)
                )


class SharedLease(Lease):
    """A Lease that all replicas hold together, each by renewing it under one identity.

    A process of a release that let one replica lead competes for a Lease of this name: it leads only while this one is
    not held, and this one is held only while it does not lead. It lasts longer than a replica's own Lease, so that the
    replicas go on when the one that renewed it last dies.
    """

    def __init__(
        self,
        api: client.CoordinationV1Api,
        namespace: str,
        name: str,
        timing: Timing | None = None,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        each = timing or Timing()
        longer = Timing(*(seconds * _SHARED_TIMES for seconds in (each.duration, each.renew_deadline, each.retry)))
        super().__init__(api, namespace, name, SHARED, longer, clock)
        self._candidate_retry = each.retry

    async def _take(self) -> bool:
        for _ in range(_SHARED_ATTEMPTS):  # another replica may renew it between our read and our write
            self._object = None
            if await super()._take():
                return True
            if self.holder != self.identity:
                return False
        return False

    def _pause(self) -> float:
        return min(super()._pause(), self._candidate_retry * random.uniform(1.0, JITTER))  # noqa: S311

    async def release_if(self, is_last: Callable[[], Awaitable[bool]]) -> None:
        """Free it for a process of an older release, if ``is_last`` says after it was read that no other replica lives.

        A replica that joins makes its own Lease first and writes this one then: either ``is_last`` sees the one, or
        the write here is refused because of the other.
        """
        self._held_until = float("-inf")
        try:
            async with asyncio.timeout(self._timing.renew_deadline / 2):
                await self._read()
                if self._object is not None and self.holder == self.identity and await is_last():
                    await self._write(holder="", duration=1)
        except FAILURES as error:
            log.warning("the Lease %s/%s was not released: %s", self._namespace, self._name, words(error))


class LeaseKeeper:
    """Renews a held Lease in a thread of its own, so that work that holds up the event loop does not lose it.

    Whether the loop itself is alive is the liveness probe's question, which the loop answers.

    Args:
        lease: Held by this process. Nothing else uses it until :meth:`stop` has returned.
        connect: Opens a connection to the API server in the thread's own event loop.
        lost: Called in the event loop that made the keeper, once the Lease is lost.
    """

    def __init__(self, lease: Lease, connect: Connect, lost: Callable[[], None]) -> None:
        self._lease = lease
        self._connect = connect
        self._lost = lost
        self._caller = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def hurry(self) -> None:
        """Renew now, to write what has changed."""
        self._loop.call_soon_threadsafe(self._lease.hurry)

    async def stop(self) -> None:
        """End the thread; the Lease stays held until it expires or is released."""
        self._loop.call_soon_threadsafe(self._cancel)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    def _cancel(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()

    def _run(self) -> None:
        self._keeping = self._loop.create_task(self._keep())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._keeping)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _keep(self) -> None:
        before = self._lease.api
        try:
            async with self._connect() as api:
                self._lease.api = api
                await self._lease.keep()
        except FAILURES as error:
            log.error("the Lease can no longer be renewed: %s", words(error))
        finally:
            self._lease.api = before
        self._caller.call_soon_threadsafe(self._lost)


def now() -> datetime:
    """Never a whole second: the client then leaves the fraction out, and the API server wants one."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond or 1)


def words(error: BaseException) -> str:
    """What an error says, in one line."""
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return str(error) or type(error).__name__
