"""Commit confirmed: whether an apply left the network worse, judged by what worked before it.

What worked is recorded in the journal before the apply, together with the objects as they ran, so that a crash in
between loses neither. Afterwards the nodes are polled until everything recorded is back, or until the time is over.
What is compared, and with how much patience, is decided in ``domain.health.confirm``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pydantic import ValidationError

from pve_evpn.domain.health.confirm import Comparison, compare, lasting
from pve_evpn.domain.health.context import listed
from pve_evpn.domain.health.expected import ExpectedOverlay
from pve_evpn.domain.health.network_record import NetworkRecord, record_network
from pve_evpn.domain.observation import ClusterObservation
from pve_evpn.domain.plan.model import carried_out
from pve_evpn.domain.plan.step_class import StepClass
from pve_evpn.domain.sdn import SdnRef
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.journal import ClusterJournal, PendingConfirm, StoredObject
from pve_evpn.engine.planner import Planner
from pve_evpn.engine.sync import Sync
from pve_evpn.pve import errors

log = logging.getLogger(__name__)

#: How long the network is compared after an apply, where the ProxmoxCluster does not say.
SECONDS = 90
#: Seconds from one poll to the next while comparing; and how long to wait for polls that do not come.
POLL_EVERY, SILENCE = 10.0, 60.0


@dataclass(frozen=True, slots=True)
class NetworkView:
    """The last poll of the nodes, and what it should show."""

    expected: ExpectedOverlay
    observation: ClusterObservation


class Network(Protocol):
    """What the nodes show. The observer polls them beside the transaction."""

    def view(self) -> NetworkView | None:
        """The last poll; None before the first, and where no source sees the nodes."""

    def poll_soon(self, sync: Sync) -> None:
        """Poll at once instead of at the interval."""


class Confirmation:
    """The confirmation of one transaction's apply. ``seconds``: how long the network is compared after it."""

    def __init__(
        self, context: ClusterContext, journal: ClusterJournal, planner: Planner, network: Network, seconds: int
    ) -> None:
        self._context = context
        self._journal = journal
        self._planner = planner
        self._network = network
        self._seconds = seconds

    async def record(self, sync: Sync, refs: Iterable[SdnRef]) -> None:
        """Record what works before an apply that publishes the plan, and how the objects ``refs`` run."""
        running, view, record = sync.state.sdn.running, self._network.view(), ""
        if view is not None:
            published = carried_out(sync.state.sdn.edited, sync.plan.steps)
            record = record_network(view.observation, view.expected, running, published).dump()
        before = tuple(StoredObject.of(ref, running.get(ref)) for ref in sorted(refs, key=str))
        await self._journal.update(confirm=PendingConfirm(record=record, before=before))

    async def evidence(self, sync: Sync) -> tuple[Sync, str]:
        """Compare until the network is well or the time is over; the last refresh, and what is worse, in words.

        An apply that only adds or describes is confirmed as soon as everything recorded is back. One that may stop
        sessions is watched for the whole time.
        """
        pending = await self._begun()
        record = _loaded(pending)
        if record is None or record.empty:
            return sync, ""
        applied_at = datetime.fromtimestamp(pending.applied_at, UTC)
        end = applied_at + timedelta(seconds=self._seconds)
        early = sync.plan.step_class in (StepClass.NONE, StepClass.RELOAD)
        clock = self._context.clock
        silent_at = clock.monotonic() + self._seconds + SILENCE
        earlier, seen, asked = Comparison(), applied_at, float("-inf")
        while clock.monotonic() < silent_at:
            view = self._network.view()
            if view is not None and view.observation.at > seen:
                seen = view.observation.at
                with contextlib.suppress(errors.Unreachable):
                    sync = await self._planner.refresh(sync)
                found = compare(record, view.observation, sync.state.nodes, applied_at)
                if worse := lasting(earlier, found):
                    return sync, listed(worsening.message for worsening in worse)
                if (found.complete and early) or (seen >= end and not found.worse):
                    return sync, ""
                earlier = found
            if clock.monotonic() - asked >= POLL_EVERY:
                asked = clock.monotonic()
                self._network.poll_soon(sync)
            await asyncio.sleep(self._context.pace.poll_max)
        log.warning("%s: the nodes were not polled after the apply, so it is not compared", self._context.cluster)
        return sync, ""

    async def decided(self, evidence: str) -> None:
        """The apply is to be reverted: a crash from here on does not change that."""
        if pending := self._journal.entry.confirm:
            await self._journal.update(confirm=replace(pending, evidence=evidence))

    async def _begun(self) -> PendingConfirm:
        """The record, with the time from which patience counts: the apply's end, or a restart after it."""
        pending = self._journal.entry.confirm or PendingConfirm()
        if not pending.applied_at:
            pending = replace(pending, applied_at=int(self._context.clock.now().timestamp()))
            await self._journal.update(confirm=pending)
        return pending


def _loaded(pending: PendingConfirm) -> NetworkRecord | None:
    if not pending.record:
        return None
    try:
        return NetworkRecord.load(pending.record)
    except ValidationError as error:  # of another release
        log.warning("the record of the network before an apply cannot be read: %s", error)
        return None
