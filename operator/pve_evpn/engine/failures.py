"""Objects whose steps are left out for a while, so that one bad object does not hold up the others.

Proxmox refused one of their steps, or an apply of theirs was reverted. A refused step is tried again after a backoff.
A reverted one waits until the user changes the spec or asks for a new attempt; that is read from the status too,
because a restart must not repeat a bad apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.engine.backoff import Backoff
from pve_evpn.engine.clock import Clock

#: Seconds until a refused step is tried again.
FIRST, LONGEST = 30.0, 900.0


@dataclass(slots=True)
class _Failure:
    """``attempt`` names what failed: another object, spec or request of the user's is another attempt."""

    attempt: tuple[str, int, str]
    problem: Problem
    until: datetime | None
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST, LONGEST))


class Failures:
    """The failures of one cluster's SDN objects."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[ObjectKey, _Failure] = {}

    def record(self, resource: Resource[Any], problem: Problem) -> None:
        """A step of the object failed. It is tried again only if the problem is retryable."""
        failure = self._known.get(resource.key)
        if failure is None or failure.attempt != _attempt(resource):
            failure = self._known[resource.key] = _Failure(_attempt(resource), problem, None)
        delay = timedelta(seconds=failure.backoff.failed())
        failure.problem, failure.until = problem, self._clock.now() + delay if problem.retryable else None

    def active(self, resources: Iterable[Resource[Any]]) -> Mapping[ObjectKey, Problem]:
        """The objects to leave out at present, and why. Forgets failures of earlier specs."""
        now = self._clock.now()
        present = {resource.key: resource for resource in resources}
        self._known = {
            key: failure
            for key, failure in self._known.items()
            if key in present and failure.attempt == _attempt(present[key])
        }
        found = {
            key: failure.problem for key, failure in self._known.items() if failure.until is None or now < failure.until
        }
        for key, resource in present.items():
            if key not in self._known and (problem := _reverted(resource)):
                found[key] = problem
        return found

    def succeeded(self, keys: Iterable[ObjectKey]) -> None:
        """These objects are in sync."""
        for key in keys:
            self._known.pop(key, None)


def _attempt(resource: Resource[Any]) -> tuple[str, int, str]:
    return resource.uid, resource.generation, _requested(resource)


def _requested(resource: Resource[Any]) -> str:
    return resource.annotations.get(kinds.ANNOTATION_RECONCILE, "")


def _reverted(resource: Resource[Any]) -> Problem | None:
    """What the status says of a reverted apply, unless spec or request are newer."""
    status = resource.status
    if status.observed_generation != resource.generation:
        return None
    if (status.last_handled_reconcile_at or "") != _requested(resource):
        return None
    programmed = status.condition(ConditionType.PROGRAMMED)
    if programmed is None or programmed.reason != Reason.REVERTED:
        return None
    return Problem(Reason.REVERTED, programmed.message)
