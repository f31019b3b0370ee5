"""The brake on drift correction: against a client that writes another value every time, each apply reloads every node.

Every field of every object has a backoff of its own. A field that drifts for the first time is written back at once;
one that drifts again soon after is left as it is until its backoff has passed, also across a restart: the journal has
it. From the third correction on, the object says ``DriftFight``, with the user of the last apply that was not the
operator's, where Proxmox names it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.events import EventReason
from pve_evpn.domain.conditions import Problem, timestamp
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan.outcome import Outcome
from pve_evpn.engine.backoff import Backoff
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.journal import ClusterJournal, Correction
from pve_evpn.engine.sync import Sync
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import ForeignApply

#: Seconds from one correction of a field to the next; and how long the field must keep its value to begin anew.
FIRST, LONGEST, CALM = 30.0, 3600.0, 7200.0
#: So many corrections of one field are a fight.
FIGHT = 3
#: So many fields are kept in the journal, which is one Kubernetes object.
_KEPT = 100

#: The name of a VNet's firewall among its fields.
FIREWALL = "firewall"
#: An object and one of its fields.
_Place = tuple[ObjectKey, str]

_CORRECTED = frozenset({Outcome.APPLIED, Outcome.PARTIALLY_APPLIED, Outcome.CORRECTED})


@dataclass(slots=True)
class _Field:
    """One field that was written back: when last, and when it may be again."""

    corrected: datetime
    next: datetime
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST, LONGEST))


class DriftBrake:
    """The corrections of one cluster's SDN objects."""

    def __init__(self, context: ClusterContext, journal: ClusterJournal) -> None:
        self._context = context
        self._journal = journal
        self._fields: dict[_Place, _Field] = {}
        self._fighting: set[ObjectKey] = set()
        self._fighting_firewalls: set[ObjectKey] = set()
        self.held: Mapping[ObjectKey, Problem] = {}
        """Objects that are left out of the plan at present, and why."""

    async def hold(self, sync: Sync) -> bool:
        """Decide which drifted objects are not corrected now; whether that differs from before."""
        before, drifted = self.held, self._drifted(sync)
        self._remember()
        self._forget(sync)
        places = {key: [(key, name) for name in _names(drift)] for key, drift in drifted.items()}
        waiting = {key: until for key, fields in places.items() if (until := self._until(fields))}
        fights = {key for key in waiting if self._most(places[key]) >= FIGHT}
        foreign = await self._foreign_apply(sync) if fights else ""
        self.held = {
            key: self._problem(drifted[key], until, foreign if key in fights else "", fight=key in fights)
            for key, until in waiting.items()
        }
        for key in fights - self._fighting:
            resource = self._context.cache.get(key)
            if resource and resource.status.reason(ConditionType.DRIFTED) != Reason.DRIFT_FIGHT:
                message = self.held[key].message if key.namespace else self.held[key].full
                await self._context.writer.record(resource, EventReason.DRIFT_FIGHT, message)
        self._fighting = fights
        return self.held != before

    async def corrected(self, sync: Sync) -> None:
        """Count what this sync wrote back, and write that into the journal."""
        result, drift = sync.result, dict(sync.corrected)
        if result is not None and result.outcome in _CORRECTED:
            keys = result.plan.keys_of(step.ref for step in result.plan.steps)
            drift |= {key: result.plan.decisions[key].drift for key in keys}
        await self._count_corrections([(key, name) for key, drifts in drift.items() for name in _names(drifts)])

    async def hold_firewall(self, key: ObjectKey, drift: Iterable[str]) -> Problem | None:
        """Why a VNet's firewall is not written back now; None where it is. A firewall counts as one field."""
        places = [(key, FIREWALL)]
        self._remember()
        if (until := self._until(places)) is None:
            self._fighting_firewalls.discard(key)
            return None
        fight = self._most(places) >= FIGHT
        problem = self._problem(drift, until, "", fight=fight)
        resource = self._context.cache.get(key)
        if fight and resource and key not in self._fighting_firewalls:
            self._fighting_firewalls.add(key)
            if resource.status.reason(ConditionType.DRIFTED) != Reason.DRIFT_FIGHT:
                await self._context.writer.record(resource, EventReason.DRIFT_FIGHT, problem.message)
        return problem

    async def corrected_firewalls(self, keys: Iterable[ObjectKey]) -> None:
        """Count the firewalls that were written back."""
        await self._count_corrections([(key, FIREWALL) for key in keys])

    async def _count_corrections(self, written: Collection[_Place]) -> None:
        now = self._context.clock.now()
        for place in written:
            known = self._fields.setdefault(place, _Field(now, now))
            known.corrected, known.next = now, now + timedelta(seconds=known.backoff.failed())
        if written:
            newest = sorted(self._fields.items(), key=lambda item: item[1].corrected, reverse=True)[:_KEPT]
            await self._journal.update(corrections=tuple(_stored(*item) for item in newest))

    def _remember(self) -> None:
        """Take from the journal what another process has corrected."""
        for stored in self._journal.entry.corrections:
            at, known = datetime.fromtimestamp(stored.at, UTC), self._fields.get((stored.key, stored.field))
            if known is None or known.backoff.failures < stored.count:
                backoff = Backoff(FIRST, LONGEST, stored.count)
                next_ = datetime.fromtimestamp(stored.next, UTC)
                self._fields[stored.key, stored.field] = _Field(at, next_, backoff)

    def _drifted(self, sync: Sync) -> dict[ObjectKey, tuple[str, ...]]:
        if getattr(sync.desired.cluster.spec, "drift", None) == "Report":
            return {}
        decisions = sync.plan.decisions.items()
        return {key: decision.drift for key, decision in decisions if decision.drift and decision.managed}

    def _forget(self, sync: Sync) -> None:
        """A field that has kept its value for long begins anew, and so does one of an object that is gone."""
        now = self._context.clock.now()
        self._fields = {
            (key, name): known
            for (key, name), known in self._fields.items()
            if key in sync.plan.decisions and now - known.corrected < timedelta(seconds=CALM)
        }

    def _until(self, places: Iterable[_Place]) -> datetime | None:
        """When all of these may be corrected again; None if now."""
        now = self._context.clock.now()
        found = (self._fields.get(place) for place in places)
        return max((known.next for known in found if known and known.next > now), default=None)

    def _most(self, places: Iterable[_Place]) -> int:
        """How often the most corrected one of these was."""
        known = map(self._fields.get, places)
        return max((one.backoff.failures for one in known if one), default=0)

    async def _foreign_apply(self, sync: Sync) -> str:
        """The last apply of another client, in words; empty where Proxmox names none."""
        try:
            last: ForeignApply | None = await sync.gateway.last_foreign_apply()
        except errors.PveError:
            return ""
        return f"; the last other apply was {last.user}'s (task {last.upid})" if last else ""

    def _problem(self, drift: Iterable[str], until: datetime, foreign: str, *, fight: bool) -> Problem:
        differences, moment = "; ".join(drift), timestamp(until)
        if not fight:
            message = f"{differences}: it was written back a moment ago, and is again at {moment}"
            return Problem(Reason.FIELDS_DIFFER, message, retryable=True)
        message, detail = (
            f"another client writes another value again and again: {differences}{named}. The operator writes its "
            f"own back at {moment}. Stop the other client, change the spec, or set drift: Report on the ProxmoxCluster"
            for named in ("", foreign)
        )
        return Problem(Reason.DRIFT_FIGHT, message, retryable=True, detail=detail)


def _stored(place: _Place, known: _Field) -> Correction:
    at, next_ = int(known.corrected.timestamp()), int(known.next.timestamp())
    return Correction(*place, count=known.backoff.failures, at=at, next=next_)


def _names(drift: Iterable[str]) -> set[str]:
    """The fields of differences like ``alias is theirs, specified ours``."""
    return {difference.split(" is ", 1)[0] for difference in drift}
