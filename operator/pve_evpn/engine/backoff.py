"""Objects whose steps are left out for a while, so that one bad object does not hold up the others.

Proxmox refused a step of theirs, or what an apply did to them had to be taken back. A refusal is tried again after a
while that doubles; what was taken back waits until somebody changes the spec or asks for a new attempt. The latter
is read from the status too, because a restart must not repeat an apply that was bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.engine.clock import Clock

FIRST, LAST = timedelta(seconds=30), timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class _Failure:
    uid: str
    generation: int
    asked: str
    problem: Problem
    attempts: int
    until: datetime | None


class Backoff:
    """The failures of one cluster's SDN objects."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[ObjectKey, _Failure] = {}

    def record(self, resource: Resource[Any], problem: Problem) -> None:
        """A step failed. A problem that does not heal by itself is not tried again."""
        before = self._known.get(resource.key)
        attempts = before.attempts + 1 if before and self._same(before, resource) else 1
        pause = min(LAST, FIRST * 2 ** (attempts - 1))
        until = self._clock.now() + pause if problem.retryable else None
        self._known[resource.key] = _Failure(
            resource.uid, resource.generation, _asked(resource), problem, attempts, until
        )

    def active(self, resources: Iterable[Resource[Any]]) -> Mapping[ObjectKey, Problem]:
        """The objects to leave out at present, and why. Forgets what is about another object or spec."""
        now = self._clock.now()
        there = {resource.key: resource for resource in resources}
        self._known = {
            key: failure
            for key, failure in self._known.items()
            if (resource := there.get(key)) is not None and self._same(failure, resource)
        }
        found = {
            key: failure.problem for key, failure in self._known.items() if failure.until is None or now < failure.until
        }
        for resource in there.values():
            if resource.key not in self._known and (problem := _reverted(resource)):
                found[resource.key] = problem
        return found

    def succeeded(self, keys: Iterable[ObjectKey]) -> None:
        """These are as they should be."""
        for key in keys:
            self._known.pop(key, None)

    def _same(self, failure: _Failure, resource: Resource[Any]) -> bool:
        return (failure.uid, failure.generation, failure.asked) == (
            resource.uid,
            resource.generation,
            _asked(resource),
        )


def _asked(resource: Resource[Any]) -> str:
    return resource.annotations.get(kinds.ANNOTATION_RECONCILE, "")


def _reverted(resource: Resource[Any]) -> Problem | None:
    """What the status says of an apply that was taken back, unless spec or request are newer."""
    status = resource.status
    if status.observed_generation != resource.generation:
        return None
    if (status.last_handled_reconcile_at or "") != _asked(resource):
        return None
    programmed = status.condition(ConditionType.PROGRAMMED)
    if programmed is None or programmed.reason != Reason.REVERTED:
        return None
    return Problem(Reason.REVERTED, programmed.message)
