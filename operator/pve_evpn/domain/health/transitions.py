"""Changes of the overlay that are worth an Event: sessions, flood lists, MACs, and whether nodes can be observed.

Pure. An assessment gives facts, `Debounce` those that changed and lasted, and `event_of` the Event about each.
What is unknown is no fact: it is neither reported nor forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.events import EventReason
from pve_evpn.api.nic import MacState
from pve_evpn.domain.conditions import ConditionValue, from_condition
from pve_evpn.domain.health import Assessment
from pve_evpn.domain.health.context import Reported
from pve_evpn.domain.health.expected import ExpectedSessions
from pve_evpn.domain.health.macs import MEANING, MacAssessment, assessment_before
from pve_evpn.domain.health.sessions import Sessions, established
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import SOURCES, ClusterObservation

GOOD = "good"
HOLD = timedelta(seconds=30)
#: However much something flaps, what finally stays is reported after this long.
LONGEST_HOLD = timedelta(minutes=10)

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Topic(StrEnum):
    """What a fact is about, and with it which reasons an Event about it has."""

    SESSION = "session"
    """Between two nodes."""
    SPEAKER = "speaker"
    """One node with all others."""
    MEMBERSHIP = "membership"
    """One node among the peers."""
    FLOODING = "flooding"
    """One VNet."""
    MTU = "mtu"
    """One EvpnZone in its underlay."""
    SIGHT = "sight"
    """One EvpnNode, by its preferred source."""
    MAC = "mac"
    """One NicAttachment."""


#: Reasons of the Event for the bad and for the good direction.
_REASONS: Mapping[Topic, tuple[EventReason, EventReason]] = {
    Topic.SESSION: (EventReason.SESSION_DOWN, EventReason.SESSION_UP),
    Topic.SPEAKER: (EventReason.SESSION_DOWN, EventReason.SESSION_UP),
    Topic.MEMBERSHIP: (EventReason.NODE_MISSING_FROM_PEERS, EventReason.NODE_AMONG_PEERS),
    Topic.FLOODING: (EventReason.VTEP_MISSING, EventReason.VTEPS_COMPLETE),
    Topic.MTU: (EventReason.MTU_TOO_BIG, EventReason.MTU_FITS),
    Topic.SIGHT: (EventReason.OBSERVATION_STALE, EventReason.OBSERVATION_RESUMED),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that can change: the object its Events are about, and which part of it."""

    topic: Topic
    about: ObjectKey
    part: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """The present value of a subject. Two facts are equal if their values are; the message is for people."""

    value: str
    message: str = field(default="", compare=False)


Facts = dict[Subject, Fact]


@dataclass(frozen=True, slots=True)
class EventText:
    """One Event, without its time. Its type follows from the reason."""

    about: ObjectKey
    reason: EventReason
    message: str


# --- debouncing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transition(Generic[Key, Value]):
    """A value that changed and stayed. `since`: when the new value was first seen."""

    key: Key
    old: Value
    new: Value
    since: datetime


@dataclass(slots=True)
class _Track(Generic[Value]):
    reported: Value
    hold: timedelta
    reported_at: datetime
    candidate: Value
    candidate_since: datetime


class Debounce(Generic[Key, Value]):
    """Reports values that changed and stayed so for `hold`; what keeps flapping is reported ever more rarely.

    It remembers per key what was reported last. First sight of a key is its baseline and no transition. After a restart
    the baseline can be given as `known`, usually from statuses, so that a change meanwhile is reported too.
    """

    def __init__(self, hold: timedelta = HOLD, known: Mapping[Key, Value] | None = None) -> None:
        self._hold = hold
        self._known = dict(known or {})
        self._tracks: dict[Key, _Track[Value]] = {}

    def observe(self, values: Mapping[Key, Value], now: datetime) -> list[Transition[Key, Value]]:
        """Take in the values of one poll; give the transitions that are due. Keys not in it keep their value."""
        return [found for key, value in values.items() if (found := self._observe(key, value, now)) is not None]

    def keep_only(self, exists: Callable[[Key], bool]) -> None:
        """Drop keys whose objects are gone."""
        self._tracks = {key: track for key, track in self._tracks.items() if exists(key)}
        self._known = {key: value for key, value in self._known.items() if exists(key)}

    def _observe(self, key: Key, value: Value, now: datetime) -> Transition[Key, Value] | None:
        track = self._tracks.get(key)
        if track is None:
            reported = self._known.pop(key, value)
            track = _Track(reported, self._hold, now - LONGEST_HOLD, reported, now)
            self._tracks[key] = track
        if value != track.candidate:
            track.candidate, track.candidate_since = value, now
        if value == track.reported or now - track.candidate_since < track.hold:
            return None
        # Reported again soon after the last time: it flaps, so the next one has to last twice as long.
        soon = now - track.reported_at < LONGEST_HOLD
        track.hold = min(track.hold * 2, LONGEST_HOLD) if soon else self._hold
        transition = Transition(key, track.reported, value, track.candidate_since)
        track.reported, track.reported_at = value, now
        return transition


# --- facts and their Events ---------------------------------------------------------------------------------------


def facts(assessment: Assessment, observation: ClusterObservation) -> Facts:
    """Everything that is known after one poll."""
    found: Facts = {}
    for key, sessions in assessment.sessions.items():
        found |= _session_facts(key, sessions, assessment.expected[key], observation)
    for key, health in assessment.health.items():
        if key.kind == "VNet":
            found |= _flooding(key, health.operational)
        elif key.kind == "EvpnZone":
            found |= _mtu(key, health.operational)
    for key, why_not in assessment.sight.items():
        found |= _sight(key, why_not)
    for key, mac in assessment.macs.items():
        found |= _mac(key, mac)
    return found


def facts_before(fresh: Facts, reported: Reported) -> Facts:
    """The facts of `fresh` before a restart, as far as the statuses have them: a change meanwhile is then reported."""
    found: Facts = {}
    for subject in fresh:
        resource = reported.get(subject.about)
        if resource is None:
            continue
        if subject.topic is Topic.MAC:
            if before := assessment_before(resource):
                found |= _mac(subject.about, before)
        elif (condition := _operational_before(resource)) is None:
            continue
        elif subject.topic is Topic.FLOODING:
            found |= _flooding(subject.about, condition)
        elif subject.topic is Topic.MTU:
            found |= _mtu(subject.about, condition)
        elif subject.topic is Topic.SIGHT:
            found |= _sight_before(resource, condition)
        elif condition.status is True:
            found[subject] = Fact(GOOD)
    return found


def event_of(transition: Transition[Subject, Fact]) -> EventText:
    """The Event that a transition is worth."""
    subject, new = transition.key, transition.new
    if subject.topic is Topic.MAC:
        return _mac_event(transition)
    bad, good = _REASONS[subject.topic]
    return EventText(subject.about, good if new.value == GOOD else bad, new.message)


def _session_facts(
    key: ObjectKey, found: Sessions, expected: ExpectedSessions, observation: ClusterObservation
) -> Facts:
    """A node that no other has a session with is one fact, and its single sessions are none."""
    facts_: Facts = {}
    isolated = {problem.node: problem for problem in found.problems if problem.node in found.isolated}
    for node in {*expected.sessions, *expected.missing}:
        message = f"{node} is not among the peers" if node in expected.missing else f"{node} is among the peers"
        value = "missing" if node in expected.missing else GOOD
        facts_[Subject(Topic.MEMBERSHIP, key, node)] = Fact(value, message)
    ends = dict(_ends(expected, observation))
    for node in expected.vteps:
        subject = Subject(Topic.SPEAKER, key, node)
        if node in isolated:
            facts_[subject] = Fact("down", isolated[node].message)
        elif any(up for pair, up in ends.items() if node in pair):
            facts_[subject] = Fact(GOOD, f"{node} has sessions with the other nodes")
    problems = {(problem.node, problem.peer_node): problem.message for problem in found.problems}
    for (one, other), up in ends.items():
        if one in isolated or other in isolated:
            continue
        if up:
            fact = Fact(GOOD, f"the session between {one} and {other} is established")
        else:
            why = problems.get((one, other)) or problems.get((other, one))
            fact = Fact("down", why or f"no session between {one} and {other}")
        facts_[Subject(Topic.SESSION, key, f"{one} {other}")] = fact
    return facts_


def _ends(expected: ExpectedSessions, observation: ClusterObservation) -> Iterator[tuple[tuple[str, str], bool]]:
    """Pairs of nodes that should have a session, of which at least one was seen, and whether they have it."""
    answered = observation.answered()
    pairs = {
        (min(node, peer), max(node, peer))
        for node, peers in expected.sessions.items()
        for peer in peers.values()
        if peer
    }
    for one, other in sorted(pairs):
        ends = [
            up
            for node, peer in ((one, other), (other, one))
            if (up := established(answered.get(node), expected.vteps.get(peer))) is not None
        ]
        if ends:
            yield (one, other), all(ends)


def _flooding(key: ObjectKey, condition: ConditionValue) -> Facts:
    subject = Subject(Topic.FLOODING, key)
    if condition.status is True:
        return {subject: Fact(GOOD, condition.message)}
    if condition.reason in (Reason.VTEP_MISSING, Reason.NO_REMOTE_VTEPS):
        return {subject: Fact(condition.message, condition.message)}
    return {}


def _mtu(key: ObjectKey, condition: ConditionValue) -> Facts:
    subject = Subject(Topic.MTU, key)
    if condition.status is True:
        return {subject: Fact(GOOD, "the MTU fits into the underlay")}
    if condition.reason is Reason.MTU_TOO_BIG:
        return {subject: Fact("too big", condition.message)}
    return {}


def _sight(key: ObjectKey, why_not: str) -> Facts:
    fact = Fact("stale", why_not) if why_not else Fact(GOOD, "the node can be observed again")
    return {Subject(Topic.SIGHT, key): fact}


def _sight_before(node: Resource[Any], condition: ConditionValue) -> Facts:
    """Where another source stood in, the status' problems begin with the name of the preferred one, which failed."""
    problem = next(iter(node.status.problems or ()), "")
    if condition.reason is Reason.OBSERVATION_STALE or problem.startswith(tuple(f"{source}: " for source in SOURCES)):
        return _sight(node.key, problem or condition.message)
    if condition.reason in (Reason.OPERATIONAL, Reason.SESSION_DOWN, Reason.NODE_MISSING_FROM_PEERS):
        return _sight(node.key, "")
    return {}


def _mac(key: ObjectKey, mac: MacAssessment) -> Facts:
    if mac.state is MacState.UNKNOWN:
        return {}
    where = f" {mac.node}" if mac.state in (MacState.ADVERTISED, MacState.WRONG_NODE) else ""
    return {Subject(Topic.MAC, key): Fact(f"{mac.state}{where}", mac.message)}


def _mac_event(transition: Transition[Subject, Fact]) -> EventText:
    old_state, _, old_node = transition.old.value.partition(" ")
    state, _, node = transition.new.value.partition(" ")
    if state == old_state == MacState.ADVERTISED and node != old_node:
        return EventText(transition.key.about, EventReason.MAC_MOVED, f"advertised by {node}, before by {old_node}")
    reason = MEANING[MacState(state)].event
    assert reason is not None
    return EventText(transition.key.about, reason, transition.new.message)


def _operational_before(resource: Resource[Any]) -> ConditionValue | None:
    condition = resource.status.condition(ConditionType.OPERATIONAL)
    return from_condition(ConditionType.OPERATIONAL, condition) if condition else None
