"""Who sends a request and whether they may: TokenReview and SubjectAccessReview, as the API server's own webhooks.

The answers are kept for ``KEPT_SECONDS``, those that refuse too, and requests that ask the same at the same time share
one review. Tokens are kept as keyed digests only. A flood of other tokens is refused here, so that it never becomes a
flood at the API server.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.kinds import GROUP

log = logging.getLogger(__name__)

#: Seconds for which an answer counts: a token that was revoked, or a right that was taken away, counts as long.
KEPT_SECONDS = 10.0
#: Answers that are kept, and callers whose requests are counted.
_KEPT = 512
#: Reviews at the same time, and per second in the long run and at once.
_AT_ONCE, _PER_SECOND, _BURST = 4, 10.0, 20.0
#: Seconds that one review may take.
_REVIEW_SECONDS = 5.0

_Value = TypeVar("_Value")


class Busy(Exception):
    """There are more requests than are served."""


class ReviewFailed(Exception):
    """The API server did not answer a review."""


class Posts(Protocol):
    """Creates a review; returns it with its status. Raises ApiException as the client does."""

    async def review(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it is. ``extra`` goes with every question about the caller's rights."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """One ``get`` of a subresource of this group."""

    resource: str
    subresource: str
    name: str
    namespace: str = ""


class Bucket:
    """A token bucket: ``rate`` per second in the long run, ``burst`` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._at = burst, clock()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass
class _Kept(Generic[_Value]):
    """Answers by question, the oldest first."""

    clock: Callable[[], float]
    answers: OrderedDict[Hashable, tuple[float, asyncio.Task[_Value]]] = field(default_factory=OrderedDict)

    async def of(self, question: Hashable, ask: Callable[[], Awaitable[_Value]]) -> _Value:
        now = self.clock()
        until, task = self.answers.get(question, (0.0, None))
        if task is None or now >= until:
            task = asyncio.ensure_future(_awaited(ask))
            self.answers[question] = now + KEPT_SECONDS, task
            self.answers.move_to_end(question)
            task.add_done_callback(lambda done: self._forget_failure(question, done))
            while len(self.answers) > _KEPT:
                self.answers.popitem(last=False)
        return await asyncio.shield(task)

    def _forget_failure(self, question: Hashable, done: asyncio.Task[_Value]) -> None:
        if (done.cancelled() or done.exception()) and self.answers.get(question, (0.0, None))[1] is done:
            del self.answers[question]


async def _awaited(ask: Callable[[], Awaitable[_Value]]) -> _Value:
    return await ask()


class Reviews:
    """Asks the API server about callers.

    Args:
        posts: Creates reviews.
        audiences: The token must be for one of these; empty: for the API server itself, as those of a kubeconfig are.
    """

    def __init__(
        self, posts: Posts, audiences: Sequence[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._posts = posts
        self._audiences = tuple(audiences)
        self._key = secrets.token_bytes(32)
        self._callers: _Kept[Caller | None] = _Kept(clock)
        self._rights: _Kept[bool] = _Kept(clock)
        self._bucket = Bucket(_PER_SECOND, _BURST, clock)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def caller(self, token: str) -> Caller | None:
        """Whose token it is; None if the API server knows it not, or not for this server. Raises Busy, ReviewFailed."""
        digest = hashlib.blake2b(token.encode(), key=self._key).digest()
        return await self._callers.of(digest, lambda: self._authenticate(token))

    async def may(self, caller: Caller, access: Access) -> bool:
        """Whether the caller has the right. Raises Busy, ReviewFailed."""
        return await self._rights.of((caller, access), lambda: self._authorise(caller, access))

    async def _authenticate(self, token: str) -> Caller | None:
        spec: dict[str, Any] = {"token": token}
        if self._audiences:
            spec["audiences"] = list(self._audiences)
        status = await self._review("authentication.k8s.io", "TokenReview", "tokenreviews", spec)
        if status.get("authenticated") is not True or status.get("error"):
            return None
        # An authenticator that knows nothing of audiences names none: its token is for the API server.
        if self._audiences and not set(self._audiences) & set(status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        extra = tuple(sorted((key, tuple(values)) for key, values in (user.get("extra") or {}).items()))
        name = str(user.get("username") or "")
        return Caller(name, str(user.get("uid") or ""), tuple(user.get("groups") or ()), extra) if name else None

    async def _authorise(self, caller: Caller, access: Access) -> bool:
        attributes = {
            "group": GROUP,
            "version": "*",
            "verb": "get",
            "resource": access.resource,
            "subresource": access.subresource,
            "name": access.name,
            "namespace": access.namespace,
        }
        spec = {
            "resourceAttributes": attributes,
            "user": caller.name,
            "uid": caller.uid,
            "groups": list(caller.groups),
            "extra": {key: list(values) for key, values in caller.extra},
        }
        status = await self._review("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", spec)
        return status.get("allowed") is True and not status.get("denied")

    async def _review(self, group: str, kind: str, plural: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        if not self._bucket.take():
            raise Busy
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": dict(spec)}
        async with self._slots:
            try:
                async with asyncio.timeout(_REVIEW_SECONDS):
                    answer = await self._posts.review(f"/apis/{group}/v1/{plural}", body)
            except (ApiException, aiohttp.ClientError, OSError, TimeoutError) as error:
                # Never the error's own words: they may quote the review, and with it the token.
                status = getattr(error, "status", None)
                log.warning("the API server answered no %s: %s", kind, status or type(error).__name__)
                raise ReviewFailed from None
        return dict(answer.get("status") or {})
