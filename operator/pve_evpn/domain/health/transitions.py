"""What can happen to an overlay, as facts that change: sessions, flood lists, MACs, and whether nodes can be seen.

Pure: a judgement in, facts out; and from a fact that changed to the words of an Event. When a change is worth telling
is decided in `domain.damping`. What is unknown is no fact, so it is neither told nor forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.domain.conditions import ConditionValue, from_condition
from pve_evpn.domain.health import Judgement
from pve_evpn.domain.health.debounce import Transition
from pve_evpn.domain.health.mac_health import verdict_before
from pve_evpn.domain.health.macs import MacAssessment, MacState
from pve_evpn.domain.health.sessions import ExpectedSessions, Sessions
from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.observation import SOURCES, ClusterObservation, NodeObservation
from pve_evpn.domain.state import same_form

GOOD = "good"


class Topic(StrEnum):
    """What a fact is about, and with it which words an Event about it uses."""

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


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that can change: about which object it is told, and which part of it."""

    topic: Topic
    about: ObjectKey
    part: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """How it is. Two facts are equal if their values are; the message is for people."""

    value: str
    message: str = field(default="", compare=False)


Facts = dict[Subject, Fact]


@dataclass(frozen=True, slots=True)
class EventText:
    """One Event, without its time. `type` is Normal or Warning."""

    about: ObjectKey
    type: str
    reason: str
    message: str


#: Reasons for the bad and the good direction, and the type of the bad one.
_WORDS: Mapping[Topic, tuple[str, str]] = {
    Topic.SESSION: ("SessionDown", "SessionUp"),
    Topic.SPEAKER: ("SessionDown", "SessionUp"),
    Topic.MEMBERSHIP: ("NodeMissingFromPeers", "NodeAmongPeers"),
    Topic.FLOODING: ("VtepMissing", "VtepsComplete"),
    Topic.MTU: ("MtuTooBig", "MtuFits"),
    Topic.SIGHT: ("ObservationStale", "ObservationResumed"),
}
_MAC_WORDS: Mapping[MacState, tuple[str, str]] = {
    MacState.ADVERTISED: ("Normal", "MacAdvertised"),
    MacState.SILENT: ("Warning", "MacWithdrawn"),
    MacState.NEVER_SEEN: ("Warning", "MacWithdrawn"),
    MacState.WRONG_NODE: ("Warning", "MacOnWrongNode"),
    MacState.DUPLICATE: ("Warning", "MacDuplicate"),
    MacState.ZOMBIE: ("Warning", "MacZombie"),
}


def facts(judgement: Judgement, looks: ClusterObservation) -> Facts:
    """Everything that is known after one poll."""
    found: Facts = {}
    for key, sessions in judgement.sessions.items():
        found |= _session_facts(key, sessions, judgement.expected[key], looks)
    for key, health in judgement.health.items():
        if key.kind == "VNet":
            found |= _flooding(key, health.operational)
        elif key.kind == "EvpnZone":
            found |= _mtu(key, health.operational)
    for key, why_not in judgement.sight.items():
        found |= _sight(key, why_not)
    for key, verdict in judgement.nics.items():
        found |= _mac(key, verdict)
    return found


def remembered(fresh: Facts, previous: Callable[[ObjectKey], Resource[Any] | None]) -> Facts:
    """What was so before a restart, as far as the statuses tell: a change meanwhile is then told too."""
    found: Facts = {}
    for subject in fresh:
        resource = previous(subject.about)
        if resource is None:
            continue
        if subject.topic is Topic.MAC:
            if before := verdict_before(resource):
                found |= _mac(subject.about, before)
        elif (verdict := _operational_before(resource)) is None:
            continue
        elif subject.topic is Topic.FLOODING:
            found |= _flooding(subject.about, verdict)
        elif subject.topic is Topic.MTU:
            found |= _mtu(subject.about, verdict)
        elif subject.topic is Topic.SIGHT:
            found |= _sight_before(resource, verdict)
        elif verdict.status is True:
            found[subject] = Fact(GOOD)
    return found


def announcement(transition: Transition[Subject, Fact]) -> EventText:
    """How a change is told."""
    subject, new = transition.key, transition.new
    if subject.topic is Topic.MAC:
        return _mac_announcement(transition)
    bad, good = _WORDS[subject.topic]
    well = new.value == GOOD
    return EventText(subject.about, "Normal" if well else "Warning", good if well else bad, new.message)


# --- one kind of fact each --------------------------------------------------------------------------------------


def _session_facts(key: ObjectKey, found: Sessions, expected: ExpectedSessions, looks: ClusterObservation) -> Facts:
    """A node that nobody has a session with is one fact, and its single sessions are none."""
    facts_: Facts = {}
    lonely = {problem.node: problem for problem in found.problems if problem.node in found.lonely}
    for node in {*expected.sessions, *expected.missing}:
        message = f"{node} is not among the peers" if node in expected.missing else f"{node} is among the peers"
        value = "missing" if node in expected.missing else GOOD
        facts_[Subject(Topic.MEMBERSHIP, key, node)] = Fact(value, message)
    ends = dict(_ends(expected, looks))
    for node in expected.vteps:
        subject = Subject(Topic.SPEAKER, key, node)
        if node in lonely:
            facts_[subject] = Fact("down", lonely[node].message)
        elif any(up for pair, up in ends.items() if node in pair):
            facts_[subject] = Fact(GOOD, f"{node} has sessions with the other nodes")
    told = {(problem.node, problem.peer_node): problem.message for problem in found.problems}
    for (one, other), up in ends.items():
        if one in lonely or other in lonely:
            continue
        if up:
            fact = Fact(GOOD, f"the session between {one} and {other} is established")
        else:
            message = told.get((one, other)) or told.get((other, one)) or f"no session between {one} and {other}"
            fact = Fact("down", message)
        facts_[Subject(Topic.SESSION, key, f"{one} {other}")] = fact
    return facts_


def _ends(expected: ExpectedSessions, looks: ClusterObservation) -> Iterator[tuple[tuple[str, str], bool]]:
    """Pairs of nodes that should have a session, of which at least one was seen, and whether they have it."""
    observed = looks.answered()
    pairs = {
        (min(node, peer), max(node, peer))
        for node, peers in expected.sessions.items()
        for peer in peers.values()
        if peer
    }
    for one, other in sorted(pairs):
        views = [
            view
            for node, peer in ((one, other), (other, one))
            if (view := _view(observed.get(node), expected.vteps.get(peer))) is not None
        ]
        if views:
            yield (one, other), all(views)


def _view(look: NodeObservation | None, address: str | None) -> bool | None:
    """Whether a node says that it has a session with `address`; None if it cannot be known."""
    if look is None or address is None or look.peers is None:
        return None
    return any(same_form(peer.address) == address and peer.established for peer in look.peers)


def _flooding(key: ObjectKey, verdict: ConditionValue) -> Facts:
    subject = Subject(Topic.FLOODING, key)
    if verdict.status is True:
        return {subject: Fact(GOOD, verdict.message)}
    if verdict.reason in (Reason.VTEP_MISSING, Reason.NO_REMOTE_VTEPS):
        return {subject: Fact(verdict.message, verdict.message)}
    return {}


def _mtu(key: ObjectKey, verdict: ConditionValue) -> Facts:
    subject = Subject(Topic.MTU, key)
    if verdict.status is True:
        return {subject: Fact(GOOD, "the MTU fits into the underlay")}
    if verdict.reason is Reason.MTU_TOO_BIG:
        return {subject: Fact("too big", verdict.message)}
    return {}


def _sight(key: ObjectKey, why_not: str) -> Facts:
    fact = Fact("stale", why_not) if why_not else Fact(GOOD, "the node can be observed again")
    return {Subject(Topic.SIGHT, key): fact}


def _sight_before(node: Resource[Any], verdict: ConditionValue) -> Facts:
    """Another source's look begins its problems with the name of the preferred one, which failed."""
    problem = next(iter(node.status.problems or ()), "")
    if verdict.reason is Reason.OBSERVATION_STALE or problem.startswith(tuple(f"{source}: " for source in SOURCES)):
        return _sight(node.key, problem or verdict.message)
    if verdict.reason in (Reason.OPERATIONAL, Reason.SESSION_DOWN, Reason.NODE_MISSING_FROM_PEERS):
        return _sight(node.key, "")
    return {}


def _mac(key: ObjectKey, verdict: MacAssessment) -> Facts:
    if verdict.word is MacState.UNKNOWN:
        return {}
    where = f" {verdict.node}" if verdict.word in (MacState.ADVERTISED, MacState.WRONG_NODE) else ""
    return {Subject(Topic.MAC, key): Fact(f"{verdict.word}{where}", verdict.message)}


def _mac_announcement(transition: Transition[Subject, Fact]) -> EventText:
    old_word, _, old_node = transition.old.value.partition(" ")
    word, _, node = transition.new.value.partition(" ")
    type_, reason = _MAC_WORDS[MacState(word)]
    message = transition.new.message
    if word == old_word == MacState.ADVERTISED and node != old_node:
        reason, message = "MacMoved", f"announced by {node}, before by {old_node}"
    return EventText(transition.key.about, type_, reason, message)


def _operational_before(resource: Resource[Any]) -> ConditionValue | None:
    condition = resource.status.condition(ConditionType.OPERATIONAL)
    return from_condition(ConditionType.OPERATIONAL, condition) if condition else None
