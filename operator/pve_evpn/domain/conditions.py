"""Conditions: how they are merged with those of the last report, and how ``Ready`` follows from the others.

The rules are the ecosystem's (Kubernetes API conventions, kstatus): ``lastTransitionTime`` moves only when the status
does, ``Reconciling`` and ``Stalled`` exist only while true, and ``Ready`` names the root cause itself instead of
pointing at another condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pve_evpn.api.conditions import NEVER, Condition, ConditionType, Reason

#: Reasons of what stays as it is until a user changes something: two things that are there contradict each other. All
#: of ``Accepted=False`` but a reference to what may still appear, because objects are applied in any order.
CONTRADICTIONS = frozenset(
    {reason for reason in Reason if "Accepted: False" in reason.explains} - {Reason.REF_NOT_FOUND} | {Reason.REVERTED}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is not so: a reason for programs, a sentence for people.

    ``retryable`` is true where waiting helps (a reference that may still appear); false asks the user to act. The
    reason decides where it can: see :data:`CONTRADICTIONS`.
    ``message`` is for everyone who may read the object. ``detail`` is the same with names that only administrators may
    see (other namespaces' objects, guests, zones of others); empty where the message names all.
    """

    reason: Reason
    message: str
    retryable: bool = False
    detail: str = ""

    def __post_init__(self) -> None:
        if self.reason in CONTRADICTIONS:
            object.__setattr__(self, "retryable", False)

    @property
    def full(self) -> str:
        """The text for administrators."""
        return self.detail or self.message


def all_of(problems: Iterable[Problem]) -> Problem | None:
    """Several problems as one, with the reason of the first, so that a user meets all of them at once."""
    found = list(problems)
    if len(found) < 2:
        return found[0] if found else None
    return Problem(
        found[0].reason,
        "; ".join(problem.message for problem in found),
        retryable=all(problem.retryable for problem in found),
        detail="; ".join(problem.full for problem in found),
    )


@dataclass(frozen=True, slots=True)
class ConditionValue:
    """One condition without its times: ``status`` is True, False, or None for Unknown."""

    type: ConditionType
    status: bool | None
    reason: Reason
    message: str = ""

    @property
    def word(self) -> Literal["True", "False", "Unknown"]:
        return "Unknown" if self.status is None else "True" if self.status else "False"


def from_condition(type_: ConditionType, condition: Condition) -> ConditionValue:
    """The value a reported condition has; a reason this program does not know reads as ``Pending``."""
    reason = next((reason for reason in Reason if reason == condition.reason), Reason.PENDING)
    status = {"True": True, "False": False}.get(condition.status)
    return ConditionValue(type_, status, reason, condition.message)


def from_problem(
    type_: ConditionType, problem: Problem, status: bool | None = False, *, full: bool = False
) -> ConditionValue:
    """A condition that is not true because of ``problem``; ``full`` on objects that only administrators read."""
    return ConditionValue(type_, status, problem.reason, problem.full if full else problem.message)


def ready(values: Iterable[ConditionValue], decisive: Iterable[ConditionType]) -> ConditionValue:
    """``Ready`` from the decisive conditions, in their order of importance.

    The first that is False decides; else the first that is Unknown, except for ``Operational``: what no source can
    see does not make a network unusable.
    """
    by_type = {value.type: value for value in values}
    known = [by_type[type_] for type_ in decisive if type_ in by_type]
    for value in known:
        if value.status is False:
            return ConditionValue(ConditionType.READY, False, value.reason, value.message)
    for value in known:
        if value.status is None and value.type is not ConditionType.OPERATIONAL:
            return ConditionValue(ConditionType.READY, None, value.reason, value.message)
    return ConditionValue(ConditionType.READY, True, Reason.READY)


def progress(ready_: ConditionValue, *, retryable: bool) -> list[ConditionValue]:
    """kstatus' pair: ``Stalled`` where only the user can help, ``Reconciling`` while we can; neither when ready."""
    if ready_.status is True:
        return []
    type_ = ConditionType.RECONCILING if retryable else ConditionType.STALLED
    return [ConditionValue(type_, True, ready_.reason, ready_.message)]


def merge(
    previous: Iterable[Condition] | None, values: Iterable[ConditionValue], generation: int, now: datetime
) -> list[Condition]:
    """The conditions to report: these values, with the times of those whose status did not change."""
    before = {condition.type: condition for condition in previous or ()}
    merged = []
    for value in values:
        old = before.get(value.type.value)
        if old and _same(old, value) and old.observed_generation == generation:
            merged.append(old)
            continue
        kept = old.last_transition_time if old and old.status == value.word else NEVER
        merged.append(
            Condition(
                type=value.type.value,
                status=value.word,
                reason=value.reason.value,
                message=value.message,
                observed_generation=generation,
                last_transition_time=now if kept == NEVER else kept,
            )
        )
    return merged


def _same(condition: Condition, value: ConditionValue) -> bool:
    return (condition.status, condition.reason, condition.message) == (value.word, value.reason.value, value.message)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, UTC, as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
