"""One transaction: the only writer to Proxmox' SDN configuration.

lock -> look again -> stage -> apply -> follow every node -> (verify) -> unlock. Before it begins, whatever must
outlive a crash is in the journal; after it ends, nothing of ours is pending and the lock is free, or the result says
which is not so and why. It carries out a plan; it makes none (``replan`` is given to it), judges none (``gate``) and
writes no status.

Where a connection breaks in the middle, the lock is kept and the journal with it: the next run takes a new lock
first, which makes Proxmox refuse whatever may still be on its way with the old token.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from pve_evpn import metrics
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem, timestamp
from pve_evpn.domain.plan.apply_policy import ApplyPermission
from pve_evpn.domain.plan.model import Plan, Step
from pve_evpn.domain.plan.outcome import NodeResult, Outcome, Result
from pve_evpn.domain.plan.revert import steps_towards, taken_back, unstage, worsened
from pve_evpn.domain.sdn import PendingState, SdnRef
from pve_evpn.domain.state import ClusterState
from pve_evpn.engine.clock import Pace
from pve_evpn.engine.ports import Journal, JournalEntry
from pve_evpn.engine.reload import Reloads
from pve_evpn.leadership import NotLeader
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

#: How long after its request was given up Proxmox may still execute a write, in seconds; a minute was measured.
LATE = 90

#: Where it is unknown what was executed, or nothing more can be or may be: everything stays as it is, lock included.
_BROKEN_OFF = (errors.OutcomeUnknown, errors.Unreachable, errors.AuthenticationFailed, NotLeader)


#: Looks at Proxmox again and plans from it.
Replan = Callable[[], Awaitable[tuple[ClusterState, Plan]]]
#: What of a plan may be carried out now. Before it gives leave it makes sure that the objects are marked as ours.
Gate = Callable[[ClusterState, Plan], Awaitable[ApplyPermission]]
#: Whether an apply would publish what is not ours: asked again before going back.
Objection = Callable[[ClusterState, Plan], Problem | None]


class Transaction:
    """Carries out one plan on one cluster. Make a new one each time.

    ``entry`` is what the journal holds, ``leave`` what the gate said under the lock.
    """

    def __init__(
        self,
        gateway: Gateway,
        journal: Journal,
        *,
        replan: Replan,
        gate: Gate,
        stranger: Objection = lambda _observed, _plan: None,
        revert: bool = False,
        pace: Pace | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._journal = journal
        self._replan = replan
        self._gate = gate
        self._stranger = stranger
        self._revert = revert
        self._pace = pace or Pace()
        self._reloads = Reloads(gateway, self._pace, now)
        self.entry = JournalEntry()
        self._now = now
        self._began = now()
        self._touched = False
        #: What was put back as it runs: there is nothing of it to undo.
        self._restored: set[SdnRef] = set()
        #: Whether something may be staged that Proxmox has not shown yet: then the journal stays dirty.
        self._hidden = False
        self.permission = ApplyPermission(Plan())
        self.id = secrets.token_hex(4)

    async def run(self, entry: JournalEntry, *, over_pending: bool) -> Result:
        """Run it. ``entry`` is what the journal holds.

        ``over_pending``: edits are pending already, so Proxmox is asked for the lock in spite of them; the look
        under the lock decides whose they are. Raises :class:`errors.PveError` where the connection broke: then
        Proxmox must be read again, and the journal holds what is needed for it.
        """
        self.entry = entry
        self._touched = entry.interrupted
        if refused := await self._take_lock(over_pending):
            return refused
        try:
            result = await self._locked(entry)
        except _BROKEN_OFF:
            if not self._touched:
                await self._release()
            raise
        except BaseException:
            await self._release()
            raise
        if not await self._release(clean=not (result.left or self._hidden)):
            return replace(result, unreleased=True)
        return result

    async def give_back(self, entry: JournalEntry) -> None:
        """Give back a lock that an interrupted transaction left, and do nothing else."""
        self.entry = entry
        await self._release(clean=False)

    # --- the lock -----------------------------------------------------------------------------------------------

    async def _take_lock(self, over_pending: bool) -> Result | None:
        """Hold the lock, with its token in the journal; else the result that says what prevents it.

        A token left by a crash proves nothing about the present (Proxmox accepts any token while nobody holds the
        lock), and a write of the process that died may still be on its way with it. So the old lock is given back
        and a new one is taken: from then on the old token is refused.

        That we are about to ask is written down first: Proxmox does not say who holds a lock, so after a crash
        between the lock and its record nobody else could know whose it is. What is certainly not ours, because
        Proxmox refused or never heard of it, is taken off the record again.
        """
        if self.entry.token and self.entry.fenced and self.entry.late > self._now():
            return None
        if self.entry.token:
            with contextlib.suppress(errors.LockHeld):  # somebody removed it by force and took it
                await self._gateway.unlock(self.entry.token)
        before = replace(self.entry, token="", fenced=False)
        await self._save(replace(before, asked=before.asked or int(self._now())))
        try:
            token = await self._gateway.lock(allow_pending=over_pending)
        except errors.OutcomeUnknown:
            raise
        except errors.PveError as error:
            await self._save(before)
            if refused := self._not_locked(error, before.asked):
                return refused
            raise
        try:
            # The request before this one may still be executed, and leave a lock that nobody knows.
            asked = before.asked if before.asked > self._now() - LATE else 0
            await self._save(replace(self.entry, token=token, asked=asked, fenced=bool(self.entry.late)))
        except Exception:
            await self._gateway.unlock(token)
            raise
        return None

    def _not_locked(self, error: errors.PveError, asked: int) -> Result | None:
        """What it means that Proxmox refused the lock, where it says something about others."""
        if isinstance(error, errors.LockHeld):
            return self._end(Outcome.LOCKED, _held_message(asked))
        if isinstance(error, errors.PendingChanges):
            message = "somebody staged SDN changes at this moment; looking again"
            objection = Problem(Reason.FOREIGN_PENDING_CHANGES, message, retryable=True)
            return self._end(Outcome.REFUSED, message, objection=objection)
        return None

    async def _release(self, *, clean: bool = False) -> bool:
        """Give the lock back; False if that failed, and the journal keeps its token for the next run.

        ``clean``: nothing of ours is pending, so nothing has to be remembered of what was being created.
        """
        if self.entry.late > self._now():
            return False  # the lock stays until the late apply can no longer come
        try:
            if self.entry.token:
                await self._gateway.unlock(self.entry.token)
        except errors.LockHeld:
            pass  # released by force meanwhile, and taken by somebody else
        except errors.PveError:
            return False
        await self._save(
            replace(self.entry, token="", started=0, late=0, fenced=False, dirty=self.entry.dirty and not clean)
        )
        return True

    async def _spend(self) -> None:
        """The approval has done what it was given for. Until then a crash does not use it up."""
        if self.entry.approved:
            await self._save(replace(self.entry, approved="", spent=self.entry.approved))

    async def _save(self, entry: JournalEntry) -> None:
        if entry != self.entry:
            await self._journal.save(self._gateway.cluster, entry)
            self.entry = entry

    # --- under the lock -----------------------------------------------------------------------------------------

    async def _locked(self, before: JournalEntry) -> Result:
        state, plan = await self._replan()
        staged = plan.own_pending or taken_back(state.sdn, plan.steps)
        if before.late and not before.fenced and not staged:
            self.entry = replace(self.entry, late=0)  # it has been executed
        permission = self.permission = await self._gate(state, plan)
        if before.started and not staged:
            await self._spend()
        if permission.plan.needs_apply:
            result = await self._carry_out(state, permission.plan, before)
            if result.nodes or result.outcome is Outcome.CORRECTED:  # else it was undone, or is not known to be done
                await self._spend()
            return result
        if before.started and not staged:
            return await self._resume(state, before.started)
        if permission.problem is None:
            return self._end(Outcome.NOTHING_TO_DO, plan=plan)
        left = await self._withdraw(state, plan) if before.interrupted else ()
        return self._end(Outcome.REFUSED, permission.problem.message, plan, objection=permission.problem, left=left)

    async def _carry_out(self, state: ClusterState, plan: Plan, before: JournalEntry) -> Result:
        creating = frozenset(step.ref for step in plan.steps if step.action == "create")
        creating |= self.entry.creating
        await self._save(replace(self.entry, creating=creating, dirty=True, approved=self.permission.approved))
        restoring = _restorations(state, plan)
        self._restored = {step.ref for step in restoring if step.object.props == state.sdn.running[step.ref].props}
        self._hidden = bool(restoring)
        if failed := await self._stage(plan):
            return failed
        if restoring:
            uncovered = await self._uncover(plan)
            if isinstance(uncovered, Result):
                return uncovered
            plan = uncovered
        if not plan.own_pending:
            # The steps took back what was staged on our objects: what runs is as it should be.
            return self._end(Outcome.CORRECTED, plan=plan)
        if problem := await self._unsafe_now(state, plan):
            left = await self._undo(plan.steps)
            if before.interrupted:
                left += await self._withdraw(state, plan)
            return self._end(Outcome.REFUSED, problem.message, plan, objection=problem, left=left)
        return await self._apply(state, plan)

    async def _unsafe_now(self, state: ClusterState, plan: Plan) -> Problem | None:
        """What an apply would publish that is not ours, with a fresh look at the hosts' own networks.

        The lock does not cover those, and an apply activates what is staged there.
        """
        nodes = await asyncio.gather(*map(self._gateway.host_edits, state.nodes.values()))
        return self._stranger(replace(state, nodes={node.name: node for node in nodes}), plan)

    async def _uncover(self, plan: Plan) -> Plan | Result:
        """Look again once staged deletions are taken back: the same plan, with what is really pending now.

        Proxmox shows no subnets of a deleted VNet, so only now can be seen what else is staged. Of that too, what must
        stay is put back, and what may go is: it was in no plan that the gate saw.
        """
        seen, now = await self._replan()
        unseen = [c for c in now.own_pending if c.state is PendingState.DELETED and c not in plan.own_pending]
        refused: tuple[str, ...] = ()
        if more := (*_restorations(seen, now), *unstage(seen.sdn, unseen)):
            refused = await self._stage_all(more)
            seen, now = await self._replan()
        self._hidden = False
        objection = self._stranger(seen, now)
        if objection or refused:
            left = await self._withdraw(seen, now)
            if objection:
                return self._end(Outcome.REFUSED, objection.message, plan, objection=objection, left=left)
            return self._end(Outcome.STAGING_FAILED, "; ".join(refused), plan, left=left)
        return replace(plan, own_pending=tuple(change for change in plan.own_pending if change in now.own_pending))

    async def _stage(self, plan: Plan) -> Result | None:
        staged: list[Step] = []
        for step in plan.steps:
            self._touched = True
            try:
                await self._gateway.stage(step, self.entry.token)
            except _BROKEN_OFF:
                raise
            except errors.LockHeld:
                return self._lock_lost(plan, staged)
            except errors.PveError as error:
                left = await self._undo(staged)
                # What somebody changed at this moment, or what passes by itself, is no fault of the object's.
                blame = None if isinstance(error, errors.DigestMismatch | errors.TryAgain) else step.ref
                return self._end(Outcome.STAGING_FAILED, f"{step}: {error}", plan, culprit=blame, left=left)
            staged.append(step)
        return None

    async def _undo(self, staged: Iterable[Step]) -> tuple[str, ...]:
        """Take back what was staged, newest first; what could not be taken back."""
        undone = [step for step in staged if step.ref not in self._restored]
        return await self._stage_all(step.inverse() for step in reversed(undone))

    async def _withdraw(self, state: ClusterState, plan: Plan) -> tuple[str, ...]:
        """Take back what is staged of ours and must not go live now, and what the plan would have taken back."""
        self._hidden = bool(_restorations(state, plan))
        changes = (*plan.own_pending, *taken_back(state.sdn, plan.steps))
        return await self._stage_all(unstage(state.sdn, changes))

    async def _stage_all(self, steps: Iterable[Step]) -> tuple[str, ...]:
        """Stage what can be staged; what could not be, in words. A broken connection still breaks off."""
        left = []
        for step in steps:
            try:
                await self._gateway.stage(step, self.entry.token)
            except _BROKEN_OFF:
                raise
            except errors.PveError as error:
                left.append(f"{step}: {error}")
        return tuple(left)

    def _lock_lost(self, plan: Plan, staged: Iterable[Step]) -> Result:
        """Somebody removed our lock by force and took it: from here on everything is theirs to finish or undo."""
        self.entry = replace(self.entry, token="")
        message = "somebody removed our SDN lock by force and took it in the middle of a transaction"
        return self._end(Outcome.LOCKED, message, plan, left=tuple(map(str, staged)))

    async def _apply(self, state: ClusterState, plan: Plan) -> Result:
        self._touched = True
        known = await self._reloads.listed(state.nodes.values())
        await self._save(replace(self.entry, started=int(self._now())))
        try:
            upid = await self._send_apply()
        except _BROKEN_OFF:
            raise
        except errors.LockHeld:
            return self._lock_lost(plan, plan.steps)
        except errors.PveError as error:
            left = await self._undo(plan.steps)
            return self._end(Outcome.APPLY_FAILED, f"Proxmox refused the apply: {error}", plan, left=left)
        end = await self._reloads.follow(upid)
        nodes = await self._reloads.of_nodes(state.nodes.values(), self.entry.started, known)
        metrics.APPLY_SECONDS.labels(self._gateway.cluster).observe(self._now() - self._began)
        if end is None or not end.ok:
            why = "did not end in time" if end is None else f"ended with {end.text!r}"
            result = self._end(Outcome.APPLY_FAILED, f"the apply task {why}", plan, nodes=nodes)
        else:
            result = self._applied(plan, nodes)
        # One that still runs is no reason to send another, and its nodes cannot be judged yet.
        return await self._verified(result, state) if self._revert and end is not None else result

    async def _send_apply(self) -> str:
        """Send the apply; its task. Where nobody knows what becomes of it, the lock is kept in its way.

        While nobody holds the lock Proxmox takes any token. Should the apply be executed after all, it must find a
        lock, for it would publish whatever is staged then.
        """
        try:
            return await self._gateway.apply(self.entry.token)
        except errors.OutcomeUnknown:
            await self._save(replace(self.entry, late=int(self._now()) + LATE, fenced=False))
            raise

    async def _resume(self, state: ClusterState, started: int) -> Result:
        """An apply was sent by a run that did not see its end: it has been executed, so look at the nodes."""
        nodes = await self._reloads.of_nodes(state.nodes.values(), started, frozenset())
        return self._applied(Plan(), nodes)

    def _applied(self, plan: Plan, nodes: Mapping[str, NodeResult]) -> Result:
        told = [f"{node.name}: {node.message}" for node in sorted(nodes.values(), key=lambda n: n.name) if node.message]
        outcome = Outcome.APPLIED if all(node.ok for node in nodes.values()) else Outcome.PARTIALLY_APPLIED
        return self._end(outcome, "; ".join(told), plan, nodes=nodes)

    # --- going back ---------------------------------------------------------------------------------------------

    async def _verified(self, result: Result, before: ClusterState) -> Result:
        """The result, or that of going back if the nodes are worse off than before and stay so."""
        deadline, misses = time.monotonic() + self._pace.settle, 0
        while True:
            over = time.monotonic() >= deadline
            try:
                after, plan = await self._replan()
            except errors.Unreachable:
                misses += 1
                if over and misses > 1:
                    raise
            else:
                worse = {*worsened(before, after), *_failed(result.nodes.values())}
                if not worse:
                    return result
                if over:
                    break
            await asyncio.sleep(self._pace.poll_max)
        told = "; ".join(sorted(worse))
        if problem := self._stranger(after, plan):
            return replace(result, message=f"{told}; not reverted: {problem.message}")
        refs = {step.ref for step in result.plan.steps} | {change.ref for change in result.plan.own_pending}
        steps = steps_towards(after.sdn.edited, {ref: before.sdn.running.get(ref) for ref in refs})
        if left := await self._stage_all(steps):
            return replace(result, message=f"{told}; not reverted", left=left)
        if problem := await self._unsafe_now(after, plan):
            return replace(result, message=f"{told}; not reverted: {problem.message}", left=await self._undo(steps))
        known = await self._reloads.listed(after.nodes.values())
        started = int(self._now())
        try:
            upid = await self._send_apply()
        except _BROKEN_OFF:
            raise
        except errors.PveError as error:
            return replace(result, message=f"{told}; not reverted: {error}", left=tuple(map(str, steps)))
        await self._reloads.follow(upid)
        nodes = await self._reloads.of_nodes(after.nodes.values(), started, known)
        message = f"the apply left things worse ({told}), so the previous values were put back and applied"
        if still := _failed(nodes.values()):
            message += f"; still: {'; '.join(sorted(still))}"
        return replace(result, outcome=Outcome.REVERTED, message=message, nodes=nodes, finished=self._now())

    def _end(
        self,
        outcome: Outcome,
        message: str = "",
        plan: Plan | None = None,
        nodes: Mapping[str, NodeResult] | None = None,
        culprit: SdnRef | None = None,
        objection: Problem | None = None,
        left: tuple[str, ...] = (),
    ) -> Result:
        metrics.APPLIES.labels(self._gateway.cluster, outcome).inc()
        return Result(
            outcome,
            message,
            plan or Plan(),
            nodes or {},
            culprit,
            objection,
            left,
            started=self._began,
            finished=self._now(),
            id=self.id,
        )


def _restorations(state: ClusterState, plan: Plan) -> list[Step]:
    """The steps that take back the staged deletion of what runs."""
    return [step for step in plan.steps if step.action == "create" and step.ref in state.sdn.running]


def _failed(nodes: Iterable[NodeResult]) -> set[str]:
    """Nodes whose reload is known to have failed. One that was offline is no worse off than before."""
    return {f"{node.name}: {node.message}" for node in nodes if not node.ok and node.known and not node.offline}


def _held_message(asked: int) -> str:
    message = "Proxmox' SDN lock is held, and Proxmox does not say by whom"
    if asked:
        moment = timestamp(datetime.fromtimestamp(asked, UTC))
        message += f". This operator was interrupted at {moment} while it took the lock, so it may be its own"
    return message
