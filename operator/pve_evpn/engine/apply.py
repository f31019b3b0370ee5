"""From a plan to a transaction and back to what it means for the objects: permission, claim, run, report.

One per cluster. It keeps what has to be remembered between transactions: since when the lock is somebody else's, and
which objects failed. What a transaction does is in ``engine.transaction``, what it may do in
``domain.plan.apply_policy``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.api.events import EventReason
from pve_evpn.domain.conditions import Problem, timestamp
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.plan import apply_policy
from pve_evpn.domain.plan.apply_policy import ApplyPermission
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.domain.plan.outcome import Outcome, Result
from pve_evpn.domain.state import ClusterState
from pve_evpn.engine.backoff import Backoff
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.ports import JournalEntry
from pve_evpn.engine.transaction import Transaction
from pve_evpn.pve.gateway import Gateway

log = logging.getLogger(__name__)

Look = Callable[[], Awaitable[tuple[ClusterState, Plan]]]

_BUSY = Problem(Reason.PENDING_APPLY, "objects were changed at this moment; planning again", retryable=True)


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of a plan: why it (or a part of it) waits, the transaction's result if there was one."""

    held: Problem | None = None
    result: Result | None = None
    waiting: Plan | None = None


class Applier:
    """The transactions of one cluster. ``journal`` is what the durable journal holds at present."""

    def __init__(self, context: ClusterContext) -> None:
        self._context = context
        self._cluster = context.cluster
        self._cache = context.cache
        self._pace = context.pace
        self.failures = Backoff(context.clock)
        self.journal = JournalEntry()
        self.locked_since: datetime | None = None

    @property
    def lock(self) -> dict[str, str] | None:
        """``status.lock``: whose the SDN lock is between transactions, if it stands in somebody's way."""
        if self.locked_since:
            return {"holder": "Other", "since": timestamp(self.locked_since.astimezone(UTC))}
        if self.journal.token and self.journal.started:
            return {"holder": "Self", "since": timestamp(datetime.fromtimestamp(self.journal.started, UTC))}
        return None

    async def load(self) -> None:
        """Read the journal; every pass begins with it."""
        self.journal = await self._context.ports.journal.load(self._cluster)

    async def carry_out(
        self, gateway: Gateway, desired: Desired, state: ClusterState, plan: Plan, look: Look
    ) -> Carried:
        """Carry out the plan if it has work and nothing objects; also put in order what was interrupted."""
        cluster = desired.cluster
        if not self._context.is_leader():
            return Carried()
        if self.may_not_write(cluster):
            if self.journal.token:
                await self._transaction(gateway, look).give_back(self.journal)
                await self.load()
            return Carried()
        await self._claim(plan, there_already=True)
        permission = apply_policy.permit(cluster, state, plan, self._context.clock.now())
        if not permission.plan.needs_apply and not self.journal.interrupted:
            self.locked_since = None
            return Carried(permission.problem, None, permission.waiting)
        transaction = self._transaction(gateway, look)
        over_pending = bool(state.sdn.pending) or apply_policy.includes_foreign(cluster)
        try:
            result = await transaction.run(self.journal, over_pending=over_pending)
        finally:
            self.journal = transaction.entry
        held = await self._judge(cluster, result)
        self.failures.succeeded(key for key, decision in plan.decisions.items() if decision.in_sync)
        return Carried(
            held or transaction.permission.problem, result, transaction.permission.waiting or permission.waiting
        )

    @staticmethod
    def may_not_write(cluster: Resource[Any]) -> bool:
        """Whether the user asks that nothing is written to this cluster."""
        return cluster.paused or getattr(cluster.spec, "management_policy", None) == "ObserveOnly"

    async def remembered(self) -> None:
        """The statuses now say what is ours: the journal need not, unless something is still staged."""
        if self.journal.creating and not self.journal.interrupted:
            self.journal = replace(self.journal, creating=frozenset())
            await self._context.ports.journal.save(self._cluster, self.journal)

    # --- before -------------------------------------------------------------------------------------------------

    def _transaction(self, gateway: Gateway, look: Look) -> Transaction:
        cluster = self._newest()
        policy = cluster.spec.apply if cluster and cluster.spec else None
        return Transaction(
            gateway,
            self._context.ports.journal,
            replan=look,
            gate=self._leave,
            stranger=lambda state, plan: apply_policy.safety_problem(self._newest(), state, plan),
            revert=bool(policy and policy.on_failure == "Revert"),
            now=lambda: self._context.clock.now().timestamp(),
            pace=self._pace
            if policy is None or policy.task_timeout_seconds is None
            else replace(self._pace, timeout=policy.task_timeout_seconds),
        )

    async def _leave(self, state: ClusterState, plan: Plan) -> ApplyPermission:
        """The gate under the lock; what it lets through is marked as ours before Proxmox hears of it."""
        permission = apply_policy.permit(self._newest(), state, plan, self._context.clock.now())
        if permission.plan.needs_apply and not await self._claim(permission.plan, there_already=False):
            return ApplyPermission(replace(plan, steps=(), own_pending=()), _BUSY)
        return permission

    def _newest(self) -> Resource[Any]:
        resource = self._cache.get(ObjectKey("ProxmoxCluster", "", self._cluster))
        if resource is None:
            raise LookupError(f"ProxmoxCluster {self._cluster} is gone")
        return resource

    async def _claim(self, plan: Plan, *, there_already: bool) -> bool:
        """Finalizers, origins and allocated numbers, before Proxmox knows of anything: a crash must not make us forget.

        What is to be created is announced under the lock only, when it is certain that nobody else made it first.
        """
        creating = {step.ref for step in plan.steps if step.action == "create"}
        marked = []
        for decision in plan.decisions.values():
            resource = self._cache.get(decision.key)
            if resource is None or not _is_claimable(resource, decision):
                continue
            if there_already == bool(creating & {want.ref for want in decision.wanted[:1]}):
                continue
            marked.append(self._context.writer.claim(resource, _announcement(resource, decision)))
        return all(await asyncio.gather(*marked))

    # --- after --------------------------------------------------------------------------------------------------

    async def _judge(self, cluster: Resource[Any], result: Result) -> Problem | None:
        """What a result means for those who wait for it."""
        log.info("%s: transaction %s: %s", self._cluster, result.id, _told(result))
        if result.outcome is Outcome.LOCKED:
            return await self._locked(cluster, result)
        self.locked_since = None
        match result.outcome:
            case Outcome.REFUSED:
                return result.objection
            case Outcome.STAGING_FAILED:
                return await self._staging_failed(cluster, result)
            case Outcome.APPLY_FAILED:
                await self._event(cluster, EventReason.APPLY_FAILED, result)
                return Problem(Reason.APPLY_FAILED, _with_rest(result), retryable=True)
            case Outcome.REVERTED:
                await self._reverted(cluster, result)
            case Outcome.PARTIALLY_APPLIED:
                await self._event(cluster, EventReason.PARTIALLY_APPLIED, result)
            case Outcome.CORRECTED:
                message = "edits staged on our objects were taken back; nothing had to be applied"
                await self._event(cluster, EventReason.CORRECTED, replace(result, message=message))
            case Outcome.APPLIED:
                count = max(len(result.plan.steps), len(result.plan.own_pending))
                told = f"{count} change{'s' if count != 1 else ''} applied on every node"
                message = f"{told}; {result.message}" if result.message else told
                await self._event(cluster, EventReason.APPLIED, replace(result, message=message))
        return None

    async def _locked(self, cluster: Resource[Any], result: Result) -> Problem:
        """Held by somebody else: since when is kept in the status, so that a restart does not reset it."""
        if self.locked_since is None:
            known = cluster.status.lock
            self.locked_since = known.since if known else self._context.clock.now()
        if result.left:
            await self._event(cluster, EventReason.SDN_LOCK_TAKEN, result)
        since = timestamp(self.locked_since.astimezone(UTC))
        message = (
            f"{_with_rest(result)}. Seen held since {since}; it is waited for and never removed by force. If nobody is "
            "at work, docs/safety.md says how to remove it"
        )
        return Problem(Reason.SDN_LOCKED, message, retryable=True)

    async def _staging_failed(self, cluster: Resource[Any], result: Result) -> Problem | None:
        """The culprit is left out for a while; the others' steps are due without it."""
        await self._event(cluster, EventReason.STAGING_FAILED, result)
        problem = Problem(Reason.STAGING_FAILED, f"Proxmox refused: {_with_rest(result)}", retryable=True)
        if result.culprit is None:
            return problem
        await self._record(result, {result.culprit}, problem)
        return Problem(
            Reason.PENDING_APPLY, "another object's change was refused; applying again without it", retryable=True
        )

    async def _reverted(self, cluster: Resource[Any], result: Result) -> None:
        await self._event(cluster, EventReason.REVERTED, result)
        message = (
            f"{result.message}. It is tried again when the spec changes, or when the annotation "
            f"{kinds.ANNOTATION_RECONCILE} gets a new value"
        )
        refs = {step.ref for step in result.plan.steps} | {change.ref for change in result.plan.own_pending}
        await self._record(result, refs, Problem(Reason.REVERTED, message))

    async def _record(self, result: Result, refs: set[Any], problem: Problem) -> None:
        for key in result.plan.keys_of(refs):
            if resource := self._cache.get(key):
                self.failures.record(resource, problem)

    async def _event(self, cluster: Resource[Any], reason: EventReason, result: Result) -> None:
        await self._context.writer.record(cluster, reason, f"{_with_rest(result)} (transaction {result.id})")


def _announcement(resource: Resource[Any], decision: Decision) -> dict[str, str]:
    annotations = {kinds.ANNOTATION_ORIGIN: str(decision.origin)} if decision.origin else {}
    given = getattr(resource.spec, "vni", None) or getattr(resource.spec, "vrf_vni", None)
    if decision.vni is not None and given is None:
        annotations[kinds.ANNOTATION_VNI] = str(decision.vni)
    return annotations


def _is_claimable(resource: Resource[Any], decision: Decision) -> bool:
    settled = decision.refused is None and decision.waiting is None
    return bool(decision.managed and not resource.deleting and decision.wanted and settled)


def _with_rest(result: Result) -> str:
    if not result.left:
        return result.message
    return f"{result.message}; this could not be taken back: {'; '.join(result.left)}"


def _told(result: Result) -> str:
    """The outcome as a line of the log."""
    words = f"{result.outcome}, {len(result.plan.steps)} changes in {result.finished - result.started:.1f} s"
    return f"{words}: {result.message}" if result.message else words
