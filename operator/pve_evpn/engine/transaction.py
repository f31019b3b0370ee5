"""One transaction: the only writer to Proxmox' SDN configuration.

lock, refresh, stage, apply, follow every node, (confirm or revert,) unlock. Before it begins, whatever must outlive a
crash is in the journal; after it ends, nothing of the operator's is staged and the lock is free, or the result says
which is not so and why. It writes no status.

Where a connection breaks in the middle, the lock is kept and the journal with it: the next transaction takes a new
lock first, which makes Proxmox refuse whatever may still be on its way with the old token.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from pve_evpn import metrics
from pve_evpn.api.apply import ApplyPolicy
from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem, timestamp
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan import apply_policy
from pve_evpn.domain.plan.apply_policy import ApplyPermission
from pve_evpn.domain.plan.model import Plan, Step
from pve_evpn.domain.plan.outcome import NodeResult, Outcome, Result
from pve_evpn.domain.plan.revert import taken_back, unstage
from pve_evpn.domain.sdn import PendingChange, PendingState, SdnKind, SdnRef
from pve_evpn.engine.claim import claim
from pve_evpn.engine.confirm import SECONDS, Confirmation, Network
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.journal import ClusterJournal, JournalEntry, PendingConfirm, StoredObject
from pve_evpn.engine.lock import SdnLock
from pve_evpn.engine.planner import Planner
from pve_evpn.engine.publish import Published, Publisher
from pve_evpn.engine.revert import Reverter
from pve_evpn.engine.safety import ApplySafety, with_host_edits
from pve_evpn.engine.staging import BROKEN_OFF, LockLost, Staging, StepRefused, restorations
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import TaskFollower, uninterrupted
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import TaskEnd

_READ_AGAIN = frozenset({SdnKind.CONTROLLER, SdnKind.ZONE, SdnKind.VNET, SdnKind.SUBNET})
_BUSY = Problem(Reason.PENDING_APPLY, "objects were changed at this moment; planning again", retryable=True)


@dataclass(frozen=True, slots=True)
class _Applied:
    """A transaction whose apply was sent: the sync before it, and how it went."""

    before: Sync
    result: Result
    ended: bool


class _Ended(Exception):
    """The transaction has come to its end; ``result`` says how."""

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(result.outcome)


class Transaction:
    """Carries out one plan on one cluster. Make a new one each time.

    ``permission`` is what the apply policy allowed under the lock.
    """

    def __init__(
        self, context: ClusterContext, journal: ClusterJournal, planner: Planner, network: Network, sync: Sync
    ) -> None:
        self._context = context
        self._journal = journal
        self._planner = planner
        self._sync = sync
        self._gateway = sync.gateway
        spec: ProxmoxClusterSpec | None = sync.desired.cluster.spec
        self._policy = (spec.apply if spec else None) or ApplyPolicy()
        pace = context.pace
        if self._policy.task_timeout_seconds is not None:
            pace = replace(pace, timeout=self._policy.task_timeout_seconds)
        self._lock = SdnLock(context, sync.gateway, journal)
        self._staging = Staging(sync, journal, context.clock, planner.silent)
        self._safety = ApplySafety(context)
        tasks = TaskFollower(sync.gateway, pace, context.clock)
        self._publisher = Publisher(context, journal, planner, self._safety, tasks)
        self._reverter = Reverter(context, planner, self._staging, self._publisher, self._safety)
        seconds = self._policy.confirm_seconds
        self._confirmation = Confirmation(context, journal, planner, network, SECONDS if seconds is None else seconds)
        self._began = self._now()
        self.permission = ApplyPermission(Plan())
        self.id = secrets.token_hex(4)

    async def run(self) -> Result:
        """Run it. Raises :class:`errors.PveError` where the connection broke: then Proxmox must be read again, and
        the journal holds what is needed for it."""
        before = self._journal.entry
        if (result := await self._take_lock(before)) is not None:
            return result
        try:
            result = await self._locked(before)
        except _Ended as ended:
            result = ended.result
        except BROKEN_OFF:
            if not self._staging.touched:
                await self._lock.give_back()
            raise
        except BaseException:
            await uninterrupted(self._lock.give_back(finished=False))
            raise
        clean = not (result.left or self._staging.hidden)
        await uninterrupted(self._lock.give_back(clean=clean))
        return result

    async def _take_lock(self, before: JournalEntry) -> Result | None:
        """Take the lock; the result where another client is at work."""
        over_pending = bool(self._sync.state.sdn.pending) or apply_policy.includes_foreign(self._cluster())
        try:
            await uninterrupted(self._lock.take(over_pending=over_pending))
        except asyncio.CancelledError:
            if self._journal.entry.lock_token:
                await uninterrupted(self._lock.give_back(finished=False))
            raise
        except errors.LockHeld:
            return self._result(Outcome.LOCKED, _held_message(before.lock_requested_at))
        except errors.PendingChanges:
            message = "another client staged SDN changes at this moment; reading again"
            problem = Problem(Reason.FOREIGN_PENDING_CHANGES, message, retryable=True)
            return self._result(Outcome.REFUSED, message, objection=problem)
        return None

    async def _locked(self, before: JournalEntry) -> Result:
        """Under the lock. ``before`` is the journal as the transaction found it."""
        sync = await self._planner.refresh(self._sync, locked=True, zones=self._reverts)
        staged = sync.plan.own_pending or taken_back(sync.state.sdn, sync.plan.steps)
        if before.apply_deadline and not before.relocked and not staged:
            await self._journal.update(apply_deadline=0)  # Proxmox has executed it
        self.permission = await self._permit(sync)
        executed = before.apply_started_at and not staged
        if executed:
            await self._consume_approval()
        if (result := await self._resume_confirmation(sync, before.confirm, executed=bool(executed))) is not None:
            return result
        if self.permission.plan.needs_apply:
            return await self._carry_out(replace(sync, plan=self.permission.plan), before)
        if executed:
            return self._applied(Plan(), await self._publisher.resume(sync))
        if self.permission.problem is None:
            return self._result(Outcome.NOTHING_TO_DO, plan=sync.plan)
        left = await self._staging.unstage(sync.plan, sync) if before.interrupted else ()
        self._refuse(self.permission.problem, sync.plan, left)

    async def _permit(self, sync: Sync) -> ApplyPermission:
        """What of the plan may be applied; it is claimed before Proxmox is written."""
        permission = apply_policy.permit(self._cluster(), sync.state, sync.plan, self._context.clock.now())
        if permission.plan.needs_apply and not await claim(self._context, permission.plan, existing=False):
            return ApplyPermission(replace(sync.plan, steps=(), own_pending=()), _BUSY)
        return permission

    async def _carry_out(self, sync: Sync, before: JournalEntry) -> Result:
        """Stage, apply, and verify."""
        creating = {step.ref for step in sync.plan.steps if step.action == "create"}
        entry = self._journal.entry
        await self._journal.update(
            creating=entry.creating | creating,
            changed=entry.changed | sync.plan.changing(),
            dirty=True,
            approval=self.permission.approved,
        )
        await self._stage(sync)
        sync = await self._uncover(sync)
        if not sync.plan.own_pending:
            # The steps took back what was staged on the operator's objects: what runs is as it should be.
            result = self._result(Outcome.CORRECTED, plan=sync.plan)
        else:
            sync = await self._with_host_networks(sync, before)
            if self._reverts:
                await self._confirmation.record(sync, _changed(sync.plan))
            applied = await self._apply(sync)
            result = await self._confirmed(applied) if self._reverts else _with_state(applied)
        if result.nodes or result.outcome is Outcome.CORRECTED:  # else it is not known to be done
            await self._consume_approval()
        return result

    # --- staging ------------------------------------------------------------------------------------------------

    async def _stage(self, sync: Sync) -> None:
        try:
            await self._staging.stage(sync)
        except LockLost as lost:
            await self._lock_lost(sync.plan, lost.staged)
        except StepRefused as refused:
            self._end(Outcome.STAGING_FAILED, str(refused), sync.plan, culprit=refused.culprit, left=refused.left)

    async def _uncover(self, sync: Sync) -> Sync:
        """Refresh once staged deletions are taken back: the same plan, with what is really staged now.

        Proxmox shows no subnets of a deleted VNet, so only now can be seen what else is staged. Of that too, what
        must stay is put back, and what may go is: the apply policy saw none of it.
        """
        if not restorations(sync):
            return sync
        plan = sync.plan
        seen = await self._planner.refresh(sync, locked=True)
        unseen = [c for c in seen.plan.own_pending if c.state is PendingState.DELETED and c not in plan.own_pending]
        refused: tuple[str, ...] = ()
        if more := (*restorations(seen), *unstage(seen.state.sdn, unseen)):
            refused = await self._staging.stage_all(more)
            seen = await self._planner.refresh(sync, locked=True)
        self._staging.hidden = False
        problem = self._safety.problem(seen)
        if problem or refused:
            left = await self._staging.unstage(seen.plan, seen)
            if problem:
                self._refuse(problem, plan, left)
            self._end(Outcome.STAGING_FAILED, "; ".join(refused), plan, left=left)
        own_pending = tuple(change for change in plan.own_pending if change in seen.plan.own_pending)
        return replace(sync, plan=replace(plan, own_pending=own_pending))

    async def _with_host_networks(self, sync: Sync, before: JournalEntry) -> Sync:
        """The sync with the host networks as the apply finds them.

        Ends the transaction if the apply would publish host-network edits made since they were read, and may not.
        """
        sync = await with_host_edits(sync)
        if problem := self._safety.problem(sync):
            left = await self._staging.take_back(sync.plan.steps)
            if before.interrupted:
                left += await self._staging.unstage(sync.plan, sync)
            self._refuse(problem, sync.plan, left)
        return sync

    # --- applying -----------------------------------------------------------------------------------------------

    async def _apply(self, sync: Sync) -> _Applied:
        try:
            published = await self._publisher.publish(sync, {change.ref for change in sync.plan.own_pending})
        except BROKEN_OFF:
            raise
        except errors.LockHeld:
            await self._lock_lost(sync.plan, sync.plan.steps)
        except errors.PveError as error:
            left = await self._staging.take_back(sync.plan.steps)
            self._end(Outcome.APPLY_FAILED, f"Proxmox refused the apply: {error}", sync.plan, left=left)
        metrics.APPLY_SECONDS.labels(self._context.cluster).observe(self._now() - self._began)
        # An apply that still runs is no reason to send another, and its nodes cannot be judged yet.
        return _Applied(sync, self._applied(sync.plan, published), ended=published.end is not None)

    def _applied(self, plan: Plan, published: Published) -> Result:
        end, nodes = published.end, published.nodes
        if end is None or not end.ok:
            why = "did not end in time" if end is None else f"ended with {end.text!r}"
            return self._result(Outcome.APPLY_FAILED, f"the apply task {why}", plan, nodes=nodes)
        said = [f"{name}: {node.message}" for name, node in sorted(nodes.items()) if node.message]
        said = [published.note, *said] if published.note else said
        outcome = Outcome.APPLIED if all(node.ok for node in nodes.values()) else Outcome.PARTIALLY_APPLIED
        return self._result(outcome, "; ".join(said), plan, nodes=nodes)

    async def _consume_approval(self) -> None:
        """The approval has done what it was given for. Until then a crash does not use it up."""
        if approval := self._journal.entry.approval:
            await self._journal.update(approval="", consumed_approval=approval)

    # --- confirming and reverting -------------------------------------------------------------------------------

    @property
    def _reverts(self) -> bool:
        return self._policy.on_failure == "Revert"

    async def _confirmed(self, applied: _Applied) -> Result:
        """The result, or that of reverting if the network is worse than before and stays so."""
        result, before = applied.result, applied.before.state
        if not applied.ended:
            return result
        after, worse = await self._reverter.settled(self._sync, before, Published(None, result.nodes).failed)
        evidence = "; ".join(sorted(worse))
        if not evidence:
            after, evidence = await self._confirmation.evidence(replace(after, plan=result.plan))
        if not evidence:
            return result
        if hosts := sorted(name for name, node in before.nodes.items() if node.network_pending):
            evidence += f"; the host-network edits of {', '.join(hosts)}, which went live with it, stay"
        await self._confirmation.decided(evidence)
        running = {ref: before.sdn.running.get(ref) for ref in _changed(result.plan)}
        return await self._reverter.revert(result, running, await self._planner.refresh(after), evidence)

    async def _resume_confirmation(
        self, sync: Sync, pending: PendingConfirm | None, *, executed: bool
    ) -> Result | None:
        """Confirm or revert an apply that an earlier transaction sent, was cut off after, and had recorded.

        None where there is none, or where it is confirmed and more is to be done.
        """
        if pending is None or not self._reverts or not (executed or pending.evidence):
            return None
        changes = tuple(PendingChange(stored.ref, PendingState.CHANGED) for stored in pending.before)
        plan = replace(sync.plan, steps=(), own_pending=changes)
        published = await self._publisher.resume(sync) if executed else Published(TaskEnd(True, "OK"))
        result, evidence = self._applied(plan, published), pending.evidence
        if not evidence:
            evidence = "; ".join(sorted(published.failed))
        if not evidence:
            sync, evidence = await self._confirmation.evidence(sync)
        if not evidence:
            return None if self.permission.plan.needs_apply else result
        await self._confirmation.decided(evidence)
        sync = await self._planner.refresh(sync)
        ours = {stored.ref for stored in pending.before}
        # A revert that was staged half-way is the operator's, though it is not what is desired.
        foreign = tuple(change for change in sync.plan.foreign if change.ref not in ours)
        sync = replace(sync, plan=replace(sync.plan, foreign=foreign))
        running = {stored.ref: stored.object for stored in pending.before}
        return await self._reverter.revert(result, running, sync, evidence)

    # --- ending -------------------------------------------------------------------------------------------------

    async def _lock_lost(self, plan: Plan, staged: Iterable[Step]) -> NoReturn:
        """Another client removed the lock by force and took it: it decides over everything that is staged.

        What it creates under the name of an object that the operator was creating is not the operator's.
        """
        staged = tuple(staged)
        created = {step.ref: step for step in staged if step.action == "create"}
        missed = {step.ref for step in plan.steps if step.action == "create"} - created.keys()
        await self._journal.update(
            lock_token="",
            creating=self._journal.entry.creating - missed,
            lost=tuple(StoredObject.of(ref, step.after) for ref, step in created.items()),
        )
        message = "another client removed the operator's SDN lock by force and took it in the middle of a transaction"
        self._end(Outcome.LOCKED, message, plan, left=tuple(map(str, staged)))

    def _refuse(self, problem: Problem, plan: Plan, left: tuple[str, ...]) -> NoReturn:
        self._end(Outcome.REFUSED, problem.message, plan, objection=problem, left=left)

    def _end(self, outcome: Outcome, message: str, plan: Plan, **details: Any) -> NoReturn:
        raise _Ended(self._result(outcome, message, plan, **details))

    def _result(
        self,
        outcome: Outcome,
        message: str = "",
        plan: Plan | None = None,
        *,
        nodes: Mapping[str, NodeResult] | None = None,
        **details: Any,
    ) -> Result:
        metrics.APPLIES.labels(self._context.cluster, outcome).inc()
        return Result(
            outcome,
            message,
            plan or Plan(),
            nodes or {},
            started=self._began,
            finished=self._now(),
            id=self.id,
            **details,
        )

    def _cluster(self) -> Resource[Any]:
        """The ProxmoxCluster as it is now. Raises LookupError if it is gone."""
        cluster = self._context.resource
        if cluster is None:
            raise LookupError(f"ProxmoxCluster {self._context.cluster} is gone")
        return cluster

    def _now(self) -> float:
        return self._context.clock.now().timestamp()


def _with_state(applied: _Applied) -> Result:
    """The result with what was read under the lock, where the apply published only what every refresh reads again."""
    state, steps = applied.before.state, applied.result.plan.steps
    published = {change.ref.kind for change in state.sdn.pending} | {step.ref.kind for step in steps}
    return applied.result if published - _READ_AGAIN else replace(applied.result, before=state)


def _changed(plan: Plan) -> set[SdnRef]:
    """The objects that an apply of the plan changes."""
    return {step.ref for step in plan.steps} | {change.ref for change in plan.own_pending}


def _held_message(requested: int) -> str:
    """``requested``: when an interrupted run of the operator asked for the lock, 0 if none did."""
    message = "Proxmox' SDN lock is held, and Proxmox does not say by whom"
    if requested:
        moment = timestamp(datetime.fromtimestamp(requested, UTC))
        message += f". This operator was interrupted at {moment} while it took the lock, so it may be its own"
    return message
