"""From a plan to a transaction, and from its result to what it means for the objects.

One Applier per cluster. It keeps what has to be remembered between transactions: since when another client holds the
lock, and which objects failed. What a transaction does is in ``engine.transaction``, what it may do in
``domain.plan.apply_policy``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.cluster import LockStatus
from pve_evpn.api.conditions import Reason
from pve_evpn.api.events import EventReason
from pve_evpn.domain.conditions import Problem, timestamp
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan import apply_policy
from pve_evpn.domain.plan.apply_policy import class_counts, see, summary
from pve_evpn.domain.plan.deletion import way_out
from pve_evpn.domain.plan.hidden import without_foreign
from pve_evpn.domain.plan.outcome import Outcome, Result
from pve_evpn.domain.sdn import SdnRef
from pve_evpn.engine.claim import claim
from pve_evpn.engine.confirm import Network
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.failures import Failures
from pve_evpn.engine.journal import ClusterJournal
from pve_evpn.engine.lock import SdnLock
from pve_evpn.engine.planner import Planner
from pve_evpn.engine.spacing import ApplySpacing, interval_of
from pve_evpn.engine.staging import ServerSilent
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.transaction import Transaction
from pve_evpn.text import some_of

log = logging.getLogger(__name__)

_APPLIES = frozenset({Outcome.APPLIED, Outcome.PARTIALLY_APPLIED, Outcome.APPLY_FAILED, Outcome.REVERTED})
#: Steps named in an Event, which has 1 KiB, and in a line of the log.
_STEPS_SHOWN, _STEPS_LOGGED = 8, 50


class Applier:
    """The transactions of one cluster."""

    def __init__(
        self,
        context: ClusterContext,
        journal: ClusterJournal,
        planner: Planner,
        network: Network,
        failures: Failures,
    ) -> None:
        self._context = context
        self._journal = journal
        self._planner = planner
        self._network = network
        self._failures = failures
        self._locked_since: datetime | None = None
        self._spaced: ApplySpacing | None = None

    async def apply(self, sync: Sync) -> Sync:
        """Carry out the plan if there is something to do and nothing forbids it; also finish what was interrupted.

        ``sync`` then says what came of it: ``result``, ``reloads``, and what is ``held`` or ``waiting`` and why.
        """
        cluster = sync.desired.cluster
        if not self._context.is_leader():
            return sync
        if apply_policy.is_read_only(cluster):
            if self._journal.entry.lock_token:
                await SdnLock(self._context, sync.gateway, self._journal).give_back()
            return replace(sync, lock=self._lock)
        await claim(self._context, sync.plan, existing=True)
        permission = apply_policy.permit(cluster, sync.state, sync.plan, self._context.clock.now())
        spacing = self._spacing(cluster)
        if not permission.plan.needs_apply and not self._journal.entry.interrupted:
            self._locked_since = None
            return replace(sync, held=permission.problem, waiting=permission.waiting, lock=self._lock)
        exempt = self._journal.entry.interrupted or permission.approved
        if not exempt and (problem := spacing.problem(permission.plan, self._context.clock.now())):
            return replace(sync, held=problem, waiting=permission.waiting, lock=self._lock)
        sync, transaction, result = await self._run(sync)
        self._failures.succeeded(key for key, decision in sync.plan.decisions.items() if decision.in_sync)
        if result.culprit:
            result = replace(result, message=way_out(result.message, result.culprit, sync.state.sdn))
        result = self._counted(cluster, result)
        held = await self._consequence(cluster, result, sync)
        return replace(
            sync,
            journal=self._journal.entry,
            result=result,
            reloads=result.nodes,
            held=held or transaction.permission.problem,
            waiting=transaction.permission.waiting or permission.waiting,
            lock=self._lock,
        )

    async def _run(self, sync: Sync) -> tuple[Sync, Transaction, Result]:
        """Run the transaction; where a server outside does not answer Proxmox, another one without what needs it.

        The second one takes a new lock, with which Proxmox refuses what may still be on its way.
        """
        while True:
            transaction = Transaction(self._context, self._journal, self._planner, self._network, sync)
            try:
                return sync, transaction, await transaction.run()
            except ServerSilent as error:
                silent = self._planner.silent
                again = silent.active(sync.desired).keys() & error.servers
                silent.record(error.servers, error.seconds, sync.desired)
                await self._record_silence(sync, error)
                if again:  # it was asked although nothing is planned that needs it: to take something back
                    raise
                sync = await self._planner.refresh(replace(sync, journal=self._journal.entry))

    async def _record_silence(self, sync: Sync, error: ServerSilent) -> None:
        """In the log, and an Event for the VNet whose subnet was not written."""
        log.warning("%s: %s", self._context.cluster, error)
        owner = sync.plan.owners().get(error.step.ref)
        if owner and (vnet := self._context.cache.get(owner)):
            await self._context.writer.record(vnet, EventReason.STAGING_FAILED, str(error))

    @property
    def _lock(self) -> LockStatus | None:
        """``status.lock``: who holds the SDN lock between transactions, if anyone does."""
        entry = self._journal.entry
        if self._locked_since:
            return LockStatus(holder="Other", since=self._locked_since)
        if entry.lock_token and (since := entry.apply_started_at or entry.lock_requested_at):
            return LockStatus(holder="Self", since=datetime.fromtimestamp(since, UTC))
        return None

    def seconds_to_next(self) -> float | None:
        """Until an apply that was put off is due; None where none was."""
        due = self._spaced.due if self._spaced else None
        return max(0.0, (due - self._context.clock.now()).total_seconds()) if due else None

    def _spacing(self, cluster: Resource[Any]) -> ApplySpacing:
        interval = interval_of(cluster)
        if self._spaced is None:
            self._spaced = ApplySpacing(interval, cluster.status.last_transaction)
        self._spaced.interval, self._spaced.due = interval, None
        return self._spaced

    def _counted(self, cluster: Resource[Any], result: Result) -> Result:
        """Count an apply for the namespaces whose changes it had, a refused change for the namespace it came from."""
        refs: frozenset[SdnRef] = frozenset()
        if result.outcome in _APPLIES:
            refs = result.plan.refs
        elif result.outcome is Outcome.STAGING_FAILED and result.culprit:
            refs = frozenset({result.culprit})
        spacing = self._spacing(cluster)
        due = spacing.count({key.namespace for key in result.plan.keys_of(refs)}, self._context.clock.now())
        return replace(result, next_apply_after=due)

    # --- what a result means ------------------------------------------------------------------------------------

    async def _consequence(self, cluster: Resource[Any], result: Result, sync: Sync) -> Problem | None:
        """Record what happened; the problem that the objects of the plan now wait for."""
        log.info("%s: transaction %s: %s", self._context.cluster, result.id, _in_words(result))
        if result.outcome is Outcome.LOCKED:
            return await self._locked(cluster, result)
        self._locked_since = None
        match result.outcome:
            case Outcome.REFUSED:
                return result.objection
            case Outcome.STAGING_FAILED:
                return await self._staging_failed(cluster, result, sync)
            case Outcome.APPLY_FAILED:
                await self._record(cluster, EventReason.APPLY_FAILED, result)
                message = f"the apply failed; {see(cluster)}"
                return Problem(Reason.APPLY_FAILED, message, retryable=True, detail=_with_rest(result))
            case Outcome.REVERTED:
                await self._reverted(cluster, result)
            case Outcome.PARTIALLY_APPLIED:
                await self._record(cluster, EventReason.PARTIALLY_APPLIED, result)
            case Outcome.CORRECTED:
                message = "another client's edits of managed objects were unstaged; nothing had to be applied"
                await self._record(cluster, EventReason.CORRECTED, replace(result, message=message))
            case Outcome.APPLIED:
                count = max(len(result.plan.steps), len(result.plan.own_pending))
                seconds = result.finished - result.started
                classes = f" ({class_counts(result.plan)})" if result.plan.classes else ""
                applied = f"{count} change{'s' if count != 1 else ''} applied on every node in {seconds:.0f} s{classes}"
                steps = some_of(summary(result.plan), most=_STEPS_SHOWN, separator="; ")
                message = "; ".join(part for part in (f"{applied}: {steps}", result.message) if part)
                await self._record(cluster, EventReason.APPLIED, replace(result, message=message))
        return None

    async def _locked(self, cluster: Resource[Any], result: Result) -> Problem:
        """Another client holds the lock. The status keeps since when, so that a restart does not reset it."""
        if self._locked_since is None:
            known = cluster.status.lock
            self._locked_since = known.since if known else self._context.clock.now()
        if result.left:
            await self._record(cluster, EventReason.SDN_LOCK_TAKEN, result)
        since = timestamp(self._locked_since.astimezone(UTC))
        more = (
            f". Seen held since {since}; the operator waits and never removes it by force. If no client is at work, "
            "docs/safety.md says how to remove it"
        )
        return Problem(Reason.SDN_LOCKED, result.message + more, retryable=True, detail=_with_rest(result) + more)

    async def _staging_failed(self, cluster: Resource[Any], result: Result, sync: Sync) -> Problem:
        """The culprit is left out for a while; the others' steps are due without it."""
        await self._record(cluster, EventReason.STAGING_FAILED, result)
        detail = f"Proxmox refused: {_with_rest(result)}"
        if result.culprit is None:
            message = f"Proxmox refused a change; {see(cluster)}"
            return Problem(Reason.STAGING_FAILED, message, retryable=True, detail=detail)
        own = {ref for key in result.plan.keys_of({result.culprit}) for ref in result.plan.refs_of(key)}
        message = f"Proxmox refused: {without_foreign(result.message, own, sync.state.sdn)}"
        problem = Problem(Reason.STAGING_FAILED, message, retryable=True, detail=detail)
        self._leave_out(result, {result.culprit}, problem)
        return Problem(
            Reason.PENDING_APPLY, "another object's change was refused; applying again without it", retryable=True
        )

    async def _reverted(self, cluster: Resource[Any], result: Result) -> None:
        await self._record(cluster, EventReason.REVERTED, result)
        message, detail = (
            f"{what}. It is tried again when the spec changes, or when the annotation "
            f"{kinds.ANNOTATION_RECONCILE} gets a new value"
            for what in (f"the network was worse after the apply, which was taken back; {see(cluster)}", result.message)
        )
        self._leave_out(result, result.plan.refs, Problem(Reason.REVERTED, message, detail=detail))

    def _leave_out(self, result: Result, refs: Iterable[SdnRef], problem: Problem) -> None:
        for key in result.plan.keys_of(refs):
            if resource := self._context.cache.get(key):
                self._failures.record(resource, problem)

    async def _record(self, cluster: Resource[Any], reason: EventReason, result: Result) -> None:
        # The same failure of a later attempt is the same cause; the id is that of the first one.
        message = _with_rest(result)
        await self._context.writer.record(cluster, reason, f"{message} (transaction {result.id})", cause=message)


def _with_rest(result: Result) -> str:
    if not result.left:
        return result.message
    return f"{result.message}; this could not be unstaged: {'; '.join(result.left)}"


def _in_words(result: Result) -> str:
    """The outcome as a line of the log."""
    count, seconds = len(result.plan.steps), result.finished - result.started
    words = f"{result.outcome}, {count} changes in {seconds:.1f} s"
    steps = some_of(summary(result.plan), most=_STEPS_LOGGED, separator="; ")
    return ": ".join(part for part in (words, steps, result.message) if part)
