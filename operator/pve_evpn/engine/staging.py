"""Staging: writing steps into Proxmox' edited configuration under the lock, and taking them back before an apply."""

from __future__ import annotations

from collections.abc import Iterable

from pve_evpn.domain.plan.model import Plan, Step
from pve_evpn.domain.plan.revert import taken_back, unstage
from pve_evpn.domain.plan.servers import in_words, servers_of
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.engine.clock import Clock
from pve_evpn.engine.journal import ClusterJournal
from pve_evpn.engine.silence import SilentServers
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import uninterrupted
from pve_evpn.leadership import NotLeader
from pve_evpn.pve import errors
from pve_evpn.text import from_outside

#: After these it is not known what Proxmox executed, or nothing more may be written: everything stays as it is, the
#: lock included.
BROKEN_OFF = (errors.OutcomeUnknown, errors.Unreachable, errors.AuthenticationFailed, NotLeader)


class StepRefused(Exception):
    """Proxmox refused a step; ``left`` are steps before it that could not be taken back, in words."""

    def __init__(self, step: Step, error: errors.PveError, left: tuple[str, ...]) -> None:
        self.step = step
        self.error = error
        self.left = left
        super().__init__(f"{step}: {from_outside(error)}")

    @property
    def culprit(self) -> SdnRef | None:
        """The object to blame. None where another client changed it at this moment, or where the reason passes."""
        passes = isinstance(self.error, errors.DigestMismatch | errors.TryAgain)
        return None if passes else self.step.ref


class ServerSilent(errors.NoAnswerInTime):
    """Proxmox did not answer a write of a subnet, most likely because a server outside did not answer Proxmox."""

    def __init__(self, step: Step, servers: tuple[SdnRef, ...], seconds: float) -> None:
        self.step = step
        self.servers = servers
        self.seconds = seconds
        super().__init__(f"{step}: {' or '.join(map(in_words, servers))} did not answer Proxmox within {seconds:.0f} s")


class LockLost(Exception):
    """Another client took the lock; ``staged`` is what the operator had staged."""

    def __init__(self, staged: Iterable[Step]) -> None:
        self.staged = tuple(staged)
        super().__init__("the SDN lock was lost")


class Staging:
    """What one transaction stages.

    ``touched``: something may be staged. ``hidden``: something may be staged that Proxmox does not show yet, namely
    below a VNet whose staged deletion was taken back.
    """

    def __init__(self, sync: Sync, journal: ClusterJournal, clock: Clock, silent: SilentServers) -> None:
        self._gateway = sync.gateway
        self._journal = journal
        self._clock = clock
        self._silent = silent
        self._objects = {**sync.state.sdn.running, **sync.state.sdn.edited}
        self._restored: frozenset[SdnRef] = frozenset()
        self.touched = journal.entry.interrupted
        self.hidden = False

    async def stage(self, sync: Sync) -> None:
        """Stage the plan's steps. Raises StepRefused after taking back those before it, or LockLost."""
        restoring = restorations(sync)
        running = sync.state.sdn.running
        self._restored = frozenset(step.ref for step in restoring if step.object.props == running[step.ref].props)
        self.hidden = bool(restoring)
        staged: list[Step] = []
        for step in sync.plan.steps:
            self.touched = True
            try:
                await self._write(step)
            except BROKEN_OFF:
                raise
            except errors.LockHeld:
                raise LockLost(staged) from None
            except errors.PveError as error:
                raise StepRefused(step, error, await self.take_back(staged)) from None
            staged.append(step)

    async def take_back(self, staged: Iterable[Step]) -> tuple[str, ...]:
        """Take back staged steps, newest first, except restored deletions; what could not be, in words."""
        steps = [step for step in staged if step.ref not in self._restored]
        return await self.stage_all(step.inverse() for step in reversed(steps))

    async def unstage(self, plan: Plan, sync: Sync) -> tuple[str, ...]:
        """Take back what is staged of ours, and what the plan would have taken back; what could not be, in words."""
        self.hidden = bool(restorations(sync))
        sdn = sync.state.sdn
        return await self.stage_all(unstage(sdn, (*plan.own_pending, *taken_back(sdn, plan.steps))))

    async def stage_all(self, steps: Iterable[Step]) -> tuple[str, ...]:
        """Stage what can be staged; what could not be, in words. A broken connection still raises."""
        left = []
        for step in steps:
            try:
                await self._write(step)
            except BROKEN_OFF:
                raise
            except errors.PveError as error:
                left.append(f"{step}: {from_outside(error)}")
        return tuple(left)

    async def _write(self, step: Step) -> None:
        # Proxmox executes a request that is on its way: to let it end after the unlock would stage without a lock.
        self._objects[step.ref] = step.object
        servers = servers_of(step.object, self._objects) if step.ref.kind is SdnKind.SUBNET else ()
        began = self._clock.monotonic()
        try:
            await uninterrupted(self._gateway.stage(step, self._journal.entry.lock_token))
        except errors.NoAnswerInTime:
            if servers:
                raise ServerSilent(step, servers, self._clock.monotonic() - began) from None
            raise
        self._silent.answered(servers)


def restorations(sync: Sync) -> list[Step]:
    """The steps that take back the staged deletion of something that runs."""
    running = sync.state.sdn.running
    return [step for step in sync.plan.steps if step.action == "create" and step.ref in running]
