"""Carries out the plan for guests' NICs: record what must not be forgotten, write, follow the task, read again.

Guests are independent of each other and of the SDN transaction, so they are written side by side, a few per node; one
guest is written once per sync. What is written, and why something is not, is decided in ``domain.nics``.

A write that Proxmox took and that brought the NIC no nearer to its spec is not repeated with every sync: it waits 30
seconds, doubling, and the status says what Proxmox has instead. An object whose NIC is to be another one again and
again is written less and less often.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.api.events import EventReason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics import GuestWrite, NicDecision, NicPlan, plan_nics
from pve_evpn.domain.nics.fields import api_name, differences
from pve_evpn.domain.nics.guests import attached_to
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import Desired, ObjectKey, Origin, Resource
from pve_evpn.domain.state import ClusterState
from pve_evpn.domain.status import nic as nic_status
from pve_evpn.engine import lifecycle
from pve_evpn.engine.connection import problem_of
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.failures import Failures
from pve_evpn.engine.pins import PinWriter
from pve_evpn.engine.spacing import WriteSpacing
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import NodeTasks, some_at_a_time, together
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway
from pve_evpn.text import from_outside

#: Guests written at the same time, on one node and in all. A write to a running VM plugs its NIC, which is work.
PER_NODE, IN_ALL = 8, 64
_BAD_PARAMETER = 400


@dataclass(frozen=True, slots=True)
class Failure:
    """What the last write for an object came to. ``digest``: the guest's, where trying again would change nothing."""

    generation: int
    problem: Problem
    digest: str = ""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The outcome of one write. ``blamed``: the devices Proxmox refused, in which case nothing was written."""

    problem: Problem | None = None
    blamed: frozenset[str] = frozenset()


class NicWriter:
    """The NICs of one cluster. ``failures``: what the last write for each object came to, where it failed."""

    def __init__(self, context: ClusterContext, pins: PinWriter) -> None:
        self._context = context
        self._cache = context.cache
        self._writer = context.writer
        self._pins = pins
        self._in_all = asyncio.Semaphore(IN_ALL)
        self._per_node: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(PER_NODE))
        self._fruitless = Failures(context.clock)
        self._spacing = WriteSpacing()
        self._spaced: Mapping[ObjectKey, Problem] = {}
        self._tasks: NodeTasks | None = None
        self.failures: dict[ObjectKey, Failure] = {}

    @property
    def problems(self) -> dict[ObjectKey, Problem]:
        """Why the last write for an object failed, and what waits because there were many."""
        return {**{key: failure.problem for key, failure in self.failures.items()}, **self._spaced}

    async def detach(self, sync: Sync) -> Sync:
        """Detach the NICs of objects that are being deleted: their VNets may go in the same sync.

        The same state where there is none.
        """
        sync = replace(sync, nics=await self._plan(sync))
        return await self._write(sync, [w for w in self._due(sync.desired, sync.nics) if self._only_detaches(w)])

    async def attach(self, sync: Sync) -> Sync:
        """Write every NIC that differs. ``sync.nics`` is the plan that is left, with those guests read again."""
        sync = replace(sync, nics=await self._plan(sync))
        if self._context.is_leader():
            await self._claim_and_record(sync.nics)
        sync = await self._write(sync, self._due(sync.desired, sync.nics))
        return replace(sync, desired=self._context.desired or sync.desired)

    async def _plan(self, sync: Sync) -> NicPlan:
        """The plan for NICs. A failure is about one generation of one object, and is forgotten with it."""
        generations = {nic.key: nic.generation for nic in sync.desired.nics}
        self.failures = {
            key: failure for key, failure in self.failures.items() if generations.get(key) == failure.generation
        }
        return await asyncio.to_thread(plan_nics, sync.desired, sync.state, sync.plan.decisions)

    def _due(self, desired: Desired, nics: NicPlan) -> list[GuestWrite]:
        """The plan's writes without what Proxmox refused of a guest that is unchanged, or took without effect."""
        if not self._context.is_leader():
            return []
        fruitless = self._fruitless.active(desired.nics)
        self._spaced = self._too_soon(desired, nics)
        due = []
        for write in nics.writes:
            left_out = frozenset(
                device
                for device, key in write.keys.items()
                if key in fruitless or key in self._spaced or self._is_refused(key, write.guest.digest)
            )
            if (rest := write.without(left_out)).changes:
                due.append(rest)
        return due

    def _too_soon(self, desired: Desired, nics: NicPlan) -> Mapping[ObjectKey, Problem]:
        """The objects that stay and were written often of late, and until when each waits."""
        now = self._context.clock.now()
        self._spacing.begin(desired.cluster, now)
        written = (key for write in nics.writes for key in write.keys.values())
        staying = (key for key in written if (nic := self._cache.get(key)) and not nic.deleting)
        return {key: problem for key in staying if (problem := self._spacing.problem(key, now))}

    def _is_refused(self, key: ObjectKey, digest: str) -> bool:
        failure = self.failures.get(key)
        return failure is not None and failure.digest != "" and failure.digest == digest

    def _only_detaches(self, write: GuestWrite) -> bool:
        return all((nic := self._cache.get(key)) and nic.deleting for key in write.keys.values())

    async def _write(self, sync: Sync, writes: list[GuestWrite]) -> Sync:
        """Write guests in parallel, read them again and plan again."""
        if not writes:
            return sync
        gateway, before = sync.gateway, sync.nics
        new = {nic.key for nic in sync.desired.nics if nic.origin is None}
        await together(self._write_guest(gateway, before, write, sync.state) for write in writes)
        read = await asyncio.gather(*(gateway.guest_again(write.guest) for write in writes))
        guests = {**(sync.state.guests or {}), **{guest.vmid: guest for guest in read}}
        # What was recorded ahead of the write is part of the objects by now: without it, a NIC that the operator added
        # would look like another client's.
        desired = self._context.desired or sync.desired
        sync = replace(sync, desired=desired, state=replace(sync.state, guests=guests))
        sync = replace(sync, nics=await asyncio.to_thread(plan_nics, desired, sync.state, sync.plan.decisions))
        for write, guest in zip(writes, read, strict=True):
            if guest is not write.guest:  # it is the same object where it could not be read
                self._compare(write, sync.nics)
        await self._record_changes(before, sync.nics, writes, new)
        return sync

    # --- one guest ----------------------------------------------------------------------------------------------

    async def _write_guest(self, gateway: Gateway, nics: NicPlan, write: GuestWrite, state: ClusterState) -> None:
        async with self._in_all, self._per_node[write.guest.node]:
            recorded = [await self._record_ahead(key, nics.decisions[key]) for key in write.keys.values()]
            if not all(recorded):
                return  # another client changed an object just now: the next sync plans again
            pinned = await self._pins.before_write(write.keys.values(), state)
            for device in [device for device, key in write.keys.items() if key in pinned]:
                self._record_outcome(write, [device], pinned[write.keys[device]])
                write = write.without(frozenset([device]))
            if not write.changes:
                return
            for device in write.changes:
                self._spacing.counted(write.keys[device], self._context.clock.now())
            attempt = await self._attempt(gateway, write)
            if attempt.problem and attempt.blamed:
                digest = "" if attempt.problem.retryable else write.guest.digest
                self._record_outcome(write, attempt.blamed, attempt.problem, digest)
                write = write.without(attempt.blamed)
                attempt = await self._attempt(gateway, write) if write.changes else _Attempt()
            missing_privilege = attempt.problem and attempt.problem.reason is Reason.PRIVILEGES_MISSING
            if missing_privilege and len(write.changes) > 1:
                await self._write_one_by_one(gateway, write)
                return
            self._record_outcome(write, write.changes, attempt.problem)

    async def _write_one_by_one(self, gateway: Gateway, write: GuestWrite) -> None:
        """A privilege is missing, for which NIC Proxmox does not say: it must not hold up the others."""
        for device in write.changes:
            now = await gateway.guest(write.guest)
            if (now.nics or {}).get(device) != (write.guest.nics or {}).get(device):
                continue  # another client changed it just now: the next sync plans again
            alone = replace(write.only(device), guest=now)
            attempt = await self._attempt(gateway, alone)
            self._record_outcome(alone, [device], attempt.problem)

    async def _record_ahead(self, key: ObjectKey, decision: NicDecision) -> bool:
        """Record origin and previous bridge ahead of the write, so that a crash forgets neither.

        False if another client changed the object at the same time.
        """
        resource = self._cache.get(key)
        if resource is None or decision.guest is None:
            return False
        if resource.deleting:
            return True
        if not await self._writer.claim(resource, _annotations(decision)):
            return False
        if resource := self._cache.get(key):
            await self._writer.write_status(resource, nic_status.ahead_of_write(resource, decision))
        return True

    async def _attempt(self, gateway: Gateway, write: GuestWrite) -> _Attempt:
        """One write, and the end of its task."""
        try:
            upid = await gateway.write_guest(write.guest, write.changes)
            return _Attempt(await self._follow(gateway, upid) if upid else None)
        except errors.Refused as error:
            blamed = error.errors.keys() & write.changes.keys() if error.status == _BAD_PARAMETER else set()
            return _Attempt(_problem(error, write), frozenset(blamed))
        except errors.PveError as error:
            return _Attempt(problem_of(error))

    async def _follow(self, gateway: Gateway, upid: str) -> Problem | None:
        """Why the guest's task failed. What it could not plug waits for a restart, as the next read shows."""
        if self._tasks is None or self._tasks.gateway is not gateway:
            self._tasks = NodeTasks(gateway, self._context.pace, self._context.clock)
        end = await self._tasks.follow(upid)
        if end is None:
            message = "the guest's task has not ended in time; it is read again later"
            return Problem(Reason.APPLY_FAILED, message, retryable=True)
        return None if end.ok else Problem(Reason.APPLY_FAILED, end.text, retryable=True)

    def _record_outcome(
        self, write: GuestWrite, devices: Iterable[str], problem: Problem | None, digest: str = ""
    ) -> None:
        for device in devices:
            key = write.keys[device]
            self.failures.pop(key, None)
            resource = self._cache.get(key)
            if problem and resource:
                self.failures[key] = Failure(resource.generation, problem, digest)

    def _compare(self, write: GuestWrite, after: NicPlan) -> None:
        """Hold each write against what Proxmox has now.

        What is as wanted has happened, whatever Proxmox answered: it refuses a stopped container's bridge that is not
        there after it has written the configuration. What was taken and is not there backs off.
        """
        for device, key in write.keys.items():
            decision, resource = after.decisions.get(key), self._cache.get(key)
            if decision is None or resource is None:
                continue
            if decision.release or (decision.in_sync and not decision.restart):
                self.failures.pop(key, None)
                self._fruitless.succeeded([key])
            elif decision.write and decision.write.text == write.changes[device] and key not in self.failures:
                problem = Problem(Reason.APPLY_FAILED, _without_effect(write, device, decision), retryable=True)
                self._fruitless.record(resource, problem)
                self.failures[key] = Failure(resource.generation, problem)

    # --- objects and Events -------------------------------------------------------------------------------------

    async def _claim_and_record(self, nics: NicPlan) -> None:
        """Claim the objects whose NIC needs no write; Events for drift, and for guests that moved."""
        waiting: list[Coroutine[Any, Any, object]] = []
        written = {key for write in nics.writes for key in write.keys.values()}
        for key, decision in nics.decisions.items():
            resource = self._cache.get(key)
            if resource is None or resource.deleting or decision.guest is None or decision.refused:
                continue
            if decision.in_sync and decision.managed:
                waiting.append(self._claim(resource, decision))
            waiting.append(self._writer.record_drift(resource, decision.drift, corrected=key in written))
            before, now = resource.status.node, decision.guest.node
            if decision.attached and before and before != now and attached_to(resource) == decision.guest.vmid:
                message = f"{decision.guest.label} moved from {before} to {now}"
                waiting.append(self._writer.record(resource, EventReason.MOVED, message))
        await some_at_a_time(waiting)

    async def _claim(self, resource: Resource[Any], decision: NicDecision) -> None:
        """Claim an object whose NIC is as specified; with the finalizer, a NIC that was there is taken over."""
        claimed = await self._writer.claim(resource, _annotations(decision))
        if claimed and not resource.has_finalizer and decision.origin is Origin.ADOPTED:
            await self._writer.record(resource, *lifecycle.nic_adopted(decision))

    async def _record_changes(
        self, before: NicPlan, after: NicPlan, writes: list[GuestWrite], new: Collection[ObjectKey]
    ) -> None:
        """An Event for each NIC that was written and now is as it should be; for ``new`` ones Created too."""
        events = []
        for key in (key for write in writes for key in write.keys.values()):
            resource, decision, old = self._cache.get(key), after.decisions.get(key), before.decisions[key]
            if resource is None or decision is None or key in self.failures:
                continue
            if resource.deleting and decision.release:
                events.append(self._writer.record(resource, *_detached(old)))
            elif decision.in_sync:
                events.append(self._writer.record(resource, *_attached(old, decision)))
                if key in new:
                    events.append(self._writer.record(resource, *lifecycle.nic_created(decision)))
        await some_at_a_time(events)


def _annotations(decision: NicDecision) -> dict[str, str]:
    return {
        kinds.ANNOTATION_ORIGIN: str(decision.origin),
        kinds.ANNOTATION_ATTACHED: decision.vnet_id,
    }


def _attached(old: NicDecision, now: NicDecision) -> tuple[EventReason, str]:
    assert now.guest is not None
    assert now.config is not None
    nic = f"{now.device} of {now.guest.label} on {now.guest.node}"
    if old.config is None:
        return EventReason.ATTACHED, f"added {nic} to {now.vnet_id}"
    bridge = old.config.get("bridge")
    if bridge != now.vnet_id:
        return EventReason.ATTACHED, f"connected {nic} to {now.vnet_id} (was on {from_outside(bridge or 'no bridge')})"
    changed = ", ".join(api_name(field) for field in old.config.differing(now.config))
    return EventReason.UPDATED, f"changed {changed} of {nic}"


def _detached(old: NicDecision) -> tuple[EventReason, str]:
    assert old.guest is not None
    return EventReason.DETACHED, f"detached {old.device} of {old.guest.label} from {old.vnet_id}"


def _without_effect(write: GuestWrite, device: str, decision: NicDecision) -> str:
    """Which fields are not as they were written; a NIC that should be gone, or is gone, as a whole."""
    wanted, place = write.changes[device], f"{device} of {write.guest.label}"
    if wanted is None:
        return f"Proxmox took the removal of {place}, and the NIC is still there"
    if decision.config is None:
        return f"Proxmox took the write of {place}, and the NIC is not there"
    fields = ", ".join(differences(decision.config, NetN.parse(write.guest.kind, wanted), "written"))
    return f"Proxmox took the write of {place}, or another client changed it at once: {fields}"


def _problem(error: errors.Refused, write: GuestWrite) -> Problem:
    """What Proxmox' refusal means for one guest; most of it passes."""
    guest, text = write.guest, str(error)
    if isinstance(error, errors.TryAgain):
        message = f"{guest.label}: {text}; written when the lock is gone"
        return Problem(Reason.GUEST_LOCKED, message, retryable=True)
    if isinstance(error, errors.DigestMismatch):
        message = f"{guest.label} was changed by another client meanwhile; reading it again"
        return Problem(Reason.PENDING_APPLY, message, retryable=True)
    if isinstance(error, errors.NotFound) and "onfiguration file" in text:
        message = f"{guest.label} is no longer on {guest.node}; looking for it again"
        return Problem(Reason.PENDING_APPLY, message, retryable=True)
    # What cannot be plugged in now may be later, and a bridge may appear; a value that is not allowed stays so.
    passes = error.status != _BAD_PARAMETER or isinstance(error, errors.NotFound) or "hotplug" in text
    return Problem(Reason.APPLY_FAILED, f"Proxmox refused: {text}", retryable=passes)
