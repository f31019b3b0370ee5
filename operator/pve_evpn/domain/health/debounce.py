"""Which changes are worth an Event: those that last.

Pure. Status always says what is; an Event is sent only when a new value has held for a while, so a session that
flaps within that time causes none, and one that keeps flapping causes ever fewer. It is not a log and knows nothing
of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

HOLD = timedelta(seconds=30)
#: However much something flaps, what finally stays is told after this long.
LONGEST_HOLD = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Transition(Generic[Key, Value]):
    """A value that changed and stayed. `since`: when the new value was first seen."""

    key: Key
    old: Value
    new: Value
    since: datetime


@dataclass(slots=True)
class _Track(Generic[Value]):
    told: Value
    hold: timedelta
    told_at: datetime
    candidate: Value
    candidate_since: datetime


class Debounce(Generic[Key, Value]):
    """Remembers per key what was told last. First sight of a key is its baseline and tells nothing.

    After a restart the baseline can be given as `known`, usually from status, so that a change during the restart
    is told too.
    """

    def __init__(self, hold: timedelta = HOLD, known: Mapping[Key, Value] | None = None) -> None:
        self._hold = hold
        self._known = dict(known or {})
        self._tracks: dict[Key, _Track[Value]] = {}

    def observe(self, values: Mapping[Key, Value], now: datetime) -> list[Transition[Key, Value]]:
        """Take in the values of one poll; give the transitions that are to be told. Keys not in it are kept."""
        return [told for key, value in values.items() if (told := self._observe(key, value, now)) is not None]

    def keep_only(self, there: Callable[[Key], bool]) -> None:
        """Drop keys whose objects are gone."""
        self._tracks = {key: track for key, track in self._tracks.items() if there(key)}
        self._known = {key: value for key, value in self._known.items() if there(key)}

    def _observe(self, key: Key, value: Value, now: datetime) -> Transition[Key, Value] | None:
        track = self._tracks.get(key)
        if track is None:
            told = self._known.pop(key, value)
            track = _Track(told, self._hold, now - LONGEST_HOLD, told, now)
            self._tracks[key] = track
        if value != track.candidate:
            track.candidate, track.candidate_since = value, now
        if value == track.told or now - track.candidate_since < track.hold:
            return None
        # Told again soon after the last time: it flaps, so the next one has to last twice as long.
        soon = now - track.told_at < LONGEST_HOLD
        track.hold = min(track.hold * 2, LONGEST_HOLD) if soon else self._hold
        transition = Transition(key, track.told, value, track.candidate_since)
        track.told, track.told_at = value, now
        return transition
