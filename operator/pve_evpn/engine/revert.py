"""Reverting an apply: waiting for the nodes to come up, and applying the objects as they ran before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from dataclasses import replace

from pve_evpn.domain.plan.outcome import Outcome, Result
from pve_evpn.domain.plan.revert import steps_towards, worsened
from pve_evpn.domain.sdn import SdnObject, SdnRef
from pve_evpn.domain.state import ClusterState
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.planner import Planner
from pve_evpn.engine.publish import Publisher
from pve_evpn.engine.safety import ApplySafety
from pve_evpn.engine.staging import BROKEN_OFF, Staging
from pve_evpn.engine.sync import Sync
from pve_evpn.pve import errors


class Reverter:
    """Reverts the apply of one transaction, under its lock."""

    def __init__(
        self, context: ClusterContext, planner: Planner, staging: Staging, publisher: Publisher, safety: ApplySafety
    ) -> None:
        self._context = context
        self._planner = planner
        self._staging = staging
        self._publisher = publisher
        self._safety = safety

    async def settled(self, sync: Sync, before: ClusterState, failed: Set[str]) -> tuple[Sync, frozenset[str]]:
        """Wait for the nodes to come up; the last refresh, and what is worse than ``before`` in it.

        ``failed`` are reloads that are known to have failed.
        """
        deadline, misses = self._context.clock.monotonic() + self._context.pace.settle, 0
        while True:
            over = self._context.clock.monotonic() >= deadline
            try:
                after = await self._planner.refresh(sync)
            except errors.Unreachable:
                misses += 1
                if over and misses > 1:
                    raise
            else:
                worse = worsened(before, after.state) | failed
                if over or not worse:
                    return after, worse
            await asyncio.sleep(self._context.pace.poll_max)

    async def revert(
        self, result: Result, running: Mapping[SdnRef, SdnObject | None], after: Sync, evidence: str
    ) -> Result:
        """Stage the objects as they ran before, and apply them; the result says why where that is not done."""
        if problem := self._safety.problem(after):
            return replace(result, message=f"{evidence}; not reverted: {problem.message}")
        steps = steps_towards(after.state.sdn.edited, running)
        if left := await self._staging.stage_all(steps):
            return replace(result, message=f"{evidence}; not reverted", left=left)
        if problem := await self._safety.problem_now(after):
            left = await self._staging.take_back(steps)
            return replace(result, message=f"{evidence}; not reverted: {problem.message}", left=left)
        try:
            published = await self._publisher.publish(after, {step.ref for step in steps})
        except BROKEN_OFF:
            raise
        except errors.PveError as error:
            return replace(result, message=f"{evidence}; not reverted: {error}", left=tuple(map(str, steps)))
        message = f"the network was worse after the apply ({evidence}), so the previous values were applied again"
        if still := published.failed:
            message += f"; still: {'; '.join(sorted(still))}"
        return replace(
            result,
            outcome=Outcome.REVERTED,
            message=message,
            nodes=published.nodes,
            finished=self._context.clock.now().timestamp(),
        )
