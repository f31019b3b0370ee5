"""One transaction: the only writer to Proxmox' SDN configuration.

lock -> look again -> stage -> apply -> follow every node -> unlock. Before it begins, whatever must outlive a crash
is in the journal; after it ends, nothing of ours is pending and the lock is free, or the result says which is not so
and why. It carries out a plan; it makes none (``replan`` is given to it) and writes no status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pve_evpn import metrics
from pve_evpn.domain.decisions import Create, Delete, Finding, Plan, Step, Update
from pve_evpn.domain.observed import NodeInfo, Observed
from pve_evpn.domain.sdn import PropertyDiff, SdnRef
from pve_evpn.engine.ports import Journal, JournalEntry
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway, TaskEnd


class Outcome(StrEnum):
    """How a transaction ended. ``status.lastTransaction.outcome`` of a ProxmoxCluster shows these words."""

    APPLIED = "Applied"
    PARTIALLY_APPLIED = "PartiallyApplied"
    NOTHING_TO_DO = "NothingToDo"
    LOCKED = "Locked"
    REFUSED = "Refused"
    STAGING_FAILED = "StagingFailed"
    APPLY_FAILED = "ApplyFailed"


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one node's reload. ``known`` is false where the node could not be asked."""

    name: str
    ok: bool
    message: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome, with what a report needs. ``culprit`` is the object Proxmox refused, ``left`` what undo left."""

    outcome: Outcome
    message: str = ""
    plan: Plan = field(default_factory=Plan)
    nodes: Mapping[str, NodeResult] = field(default_factory=dict)
    culprit: SdnRef | None = None
    objection: Finding | None = None
    left: tuple[str, ...] = ()
    started: float = 0.0
    finished: float = 0.0


#: Looks at Proxmox again and plans from it.
Replan = Callable[[], Awaitable[tuple[Observed, Plan]]]
#: Why the plan must not be carried out now, or None.
Gate = Callable[[Observed, Plan], Finding | None]


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks at a task, and how long to follow it at most."""

    poll: float = 0.5
    poll_max: float = 2.0
    timeout: float = 300.0


class Transaction:
    """Carries out one plan on one cluster. Make a new one each time."""

    def __init__(
        self,
        gateway: Gateway,
        journal: Journal,
        *,
        replan: Replan,
        gate: Gate,
        allow_foreign: bool,
        may_write: Callable[[], bool] = lambda: True,
        pace: Pace = Pace(),
    ) -> None:
        self._gateway = gateway
        self._journal = journal
        self._replan = replan
        self._gate = gate
        self._allow_foreign = allow_foreign
        self._may_write = may_write
        self._pace = pace
        self._entry = JournalEntry()
        self._began = time.time()

    async def run(self, entry: JournalEntry, own_pending: bool) -> Result:
        """Run it. ``entry`` is what the journal holds from before; ``own_pending`` allows a lock over our own edits.

        Raises :class:`errors.PveError` only while nothing was staged or applied in this run, apart from
        OutcomeUnknown: then Proxmox must be read again, and the journal holds what is needed for it.
        """
        self._entry = entry
        if refused := await self._take_lock(own_pending):
            return refused
        try:
            result = await self._locked()
        except BaseException:
            # Nothing is known to be staged, or it is unknown whether it was: the lock is given back if that is
            # still possible, and the next pass reads what is pending.
            await self._release(quiet=True)
            raise
        await self._release(quiet=False)
        return result

    # --- the lock -----------------------------------------------------------------------------------------------

    async def _take_lock(self, own_pending: bool) -> Result | None:
        """Hold the lock, with its token in the journal; else the result that says who prevents it.

        A token left by a crash proves nothing about the present (Proxmox accepts any token while nobody holds the
        lock), so it is used for the one thing it is good for: giving the old lock back. Then a new one is taken.
        """
        if self._entry.token:
            try:
                await self._gateway.unlock(self._entry.token)
            except errors.LockHeld:
                self._entry = replace(self._entry, token="")
                await self._journal.save(self._gateway.cluster, self._entry)
        try:
            token = await self._gateway.lock(allow_pending=own_pending or self._allow_foreign)
        except errors.LockHeld:
            message = "somebody else holds the SDN lock (Proxmox does not say who)"
            return self._end(Outcome.LOCKED, message)
        except errors.PendingChanges:
            return self._end(Outcome.LOCKED, "somebody staged SDN changes just now")
        self._entry = replace(self._entry, token=token)
        try:
            await self._journal.save(self._gateway.cluster, self._entry)
        except BaseException:
            await self._gateway.unlock(token)
            raise
        return None

    async def _release(self, *, quiet: bool) -> None:
        try:
            await self._gateway.unlock(self._entry.token)
        except errors.LockHeld:
            pass  # released by force meanwhile, and taken by somebody else
        except errors.PveError:
            if not quiet:
                raise
            return
        await self._journal.save(self._gateway.cluster, replace(self._entry, token="", upid=""))

    # --- under the lock -----------------------------------------------------------------------------------------

    async def _locked(self) -> Result:
        observed, plan = await self._replan()
        if finding := self._gate(observed, plan):
            return replace(self._end(Outcome.REFUSED, finding.message, plan), objection=finding)
        if not plan.needs_apply:
            return self._end(Outcome.NOTHING_TO_DO, plan=plan)
        creating = frozenset(step.ref for step in plan.steps if isinstance(step, Create))
        if creating - self._entry.creating:
            self._entry = replace(self._entry, creating=self._entry.creating | creating)
            await self._journal.save(self._gateway.cluster, self._entry)
        if failed := await self._stage(plan):
            return failed
        return await self._apply(observed, plan)

    async def _stage(self, plan: Plan) -> Result | None:
        staged: list[Step] = []
        for step in plan.steps:
            if not self._may_write():
                left = await self._undo(staged)
                return self._end(Outcome.STAGING_FAILED, "leadership was lost", plan, left=left)
            try:
                await self._gateway.stage(step, self._entry.token)
            except errors.OutcomeUnknown:
                raise
            except errors.PveError as problem:
                left = await self._undo(staged)
                message = f"{step}: {problem}"
                return self._end(Outcome.STAGING_FAILED, message, plan, culprit=step.ref, left=left)
            staged.append(step)
        return None

    async def _undo(self, staged: Iterable[Step]) -> tuple[str, ...]:
        """Take back what was staged, newest first; what could not be taken back."""
        left = []
        for step in reversed(list(staged)):
            try:
                await self._gateway.stage(inverse(step), self._entry.token)
            except errors.PveError as problem:
                left.append(f"{step}: {problem}")
        return tuple(left)

    async def _apply(self, observed: Observed, plan: Plan) -> Result:
        if not self._may_write():
            left = await self._undo(plan.steps)
            return self._end(Outcome.STAGING_FAILED, "leadership was lost", plan, left=left)
        # Proxmox' clock decides which reload tasks are ours; ours may differ, so allow it to be ahead a little.
        since = int(time.time()) - 60
        known = await self._known_reloads(observed.nodes.values(), since)
        upid = await self._gateway.apply(self._entry.token)
        self._entry = replace(self._entry, upid=upid, started=since)
        await self._journal.save(self._gateway.cluster, self._entry)
        end = await self._follow(upid)
        nodes = await self._nodes(observed.nodes.values(), since, known)
        self._entry = replace(self._entry, creating=frozenset())
        metrics.APPLY_SECONDS.labels(self._gateway.cluster).observe(time.time() - self._began)
        if end is None or not end.ok:
            why = "did not end in time" if end is None else f"ended with {end.text!r}"
            return self._end(Outcome.APPLY_FAILED, f"the apply task {why}", plan, nodes=nodes)
        if bad := [node for node in nodes.values() if not node.ok]:
            listed = "; ".join(f"{node.name}: {node.message}" for node in bad)
            return self._end(Outcome.PARTIALLY_APPLIED, listed, plan, nodes=nodes)
        return self._end(Outcome.APPLIED, plan=plan, nodes=nodes)

    # --- following ----------------------------------------------------------------------------------------------

    async def _follow(self, upid: str) -> TaskEnd | None:
        """Wait for a task; None if it outlasts our patience. A read that fails is asked again."""
        deadline, pause = time.monotonic() + self._pace.timeout, self._pace.poll
        while time.monotonic() < deadline:
            try:
                if end := await self._gateway.task_end(upid):
                    return end
            except errors.Unreachable:
                pass
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, self._pace.poll_max)
        return None

    async def _known_reloads(self, nodes: Iterable[NodeInfo], since: int) -> frozenset[str]:
        """Reloads that are in the lists already and therefore not ours."""
        online = [node for node in nodes if node.online]
        lists = await asyncio.gather(*(self._reloads(node.name, since) for node in online))
        return frozenset(upid for upids in lists for upid in upids or ())

    async def _reloads(self, node: str, since: int) -> list[str] | None:
        try:
            return await self._gateway.reload_tasks(node, since)
        except (errors.Unreachable, errors.Refused, errors.Forbidden):
            return None

    async def _nodes(self, nodes: Iterable[NodeInfo], since: int, known: frozenset[str]) -> dict[str, NodeResult]:
        """Each node's own reload: the cluster's task says OK whatever became of them."""
        results = await asyncio.gather(*(self._node(node, since, known) for node in nodes))
        return {result.name: result for result in results}

    async def _node(self, node: NodeInfo, since: int, known: frozenset[str]) -> NodeResult:
        if not node.online:
            return NodeResult(node.name, ok=False, message="offline, it will be reloaded when it returns")
        upids = await self._reloads(node.name, since)
        if upids is None:
            return NodeResult(node.name, ok=False, message="its tasks could not be read", known=False)
        mine = [upid for upid in upids if upid not in known]
        if not mine:
            return NodeResult(node.name, ok=False, message="it started no reload")
        end = await self._follow(mine[0])
        if end is None:
            return NodeResult(node.name, ok=False, message="its reload did not end in time")
        if not end.ok:
            return NodeResult(node.name, ok=False, message=f"its reload failed: {end.text}")
        return NodeResult(node.name, ok=True, message=end.text if end.warned else "")

    def _end(
        self,
        outcome: Outcome,
        message: str = "",
        plan: Plan | None = None,
        nodes: Mapping[str, NodeResult] | None = None,
        culprit: SdnRef | None = None,
        left: tuple[str, ...] = (),
    ) -> Result:
        metrics.APPLIES.labels(self._gateway.cluster, outcome).inc()
        return Result(
            outcome,
            message,
            plan or Plan(),
            nodes or {},
            culprit,
            left=left,
            started=self._began,
            finished=time.time(),
        )


def inverse(step: Step) -> Step:
    """The step that takes a staged one back."""
    match step:
        case Create(ref, type_, props, parent):
            return Delete(ref, type_, props, parent)
        case Delete(ref, type_, before, parent):
            return Create(ref, type_, before, parent)
        case Update(ref, diff, before, parent):
            now = {**before, **{d.key: d.want for d in diff if d.want is not None}}
            for change in diff:
                if change.want is None:
                    now.pop(change.key, None)
            return Update(ref, tuple(PropertyDiff(d.key, d.want, d.have) for d in diff), now, parent)
