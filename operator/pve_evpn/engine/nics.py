"""Carries out the plan for guests' NICs: remember, write, follow the task, read again.

Guests are independent of each other and of the SDN transaction, so they are written side by side, a few per node;
one guest is written once per pass. What is written, and why something is not, is decided in ``domain.nics``.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.api.events import EventReason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics import GuestWrite, NicDecision, NicPlan, plan_nics
from pve_evpn.domain.nics.fields import api_name
from pve_evpn.domain.nics.guests import attached_to, label
from pve_evpn.domain.objects import Desired, ObjectKey
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.state import ClusterState, GuestState
from pve_evpn.domain.status import nic as nic_report
from pve_evpn.engine.connection import problem_of
from pve_evpn.engine.context import ClusterContext
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

#: Guests written at the same time, on one node and in all. A write to a running VM plugs its NIC, which is work.
PER_NODE, IN_ALL = 4, 32
_BAD_PARAMETER = 400

#: Takes pins away before their NICs change; those whose NIC must wait for it, and why.
Unpin = Callable[[Iterable[ObjectKey], ClusterState], Awaitable[dict[ObjectKey, Problem]]]


async def _nothing_pinned(_keys: Iterable[ObjectKey], _observed: ClusterState) -> dict[ObjectKey, Problem]:
    """Where pinning is not enabled there is nothing to take away."""
    return {}


@dataclass(frozen=True, slots=True)
class Failure:
    """What the last write of an object came to. ``digest``: the guest's, where trying again would change nothing."""

    generation: int
    problem: Problem
    digest: str = ""


class NicWriter:
    """The NICs of one cluster. ``failures`` holds what the last write of each object came to, if it failed."""

    def __init__(self, context: ClusterContext, unpin: Unpin = _nothing_pinned) -> None:
        self._context = context
        self._cache = context.cache
        self._writer = context.writer
        self._unpin = unpin
        self._in_all = asyncio.Semaphore(IN_ALL)
        self._per_node: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(PER_NODE))
        self.failures: dict[ObjectKey, Failure] = {}

    @property
    def problems(self) -> dict[ObjectKey, Problem]:
        return {key: failure.problem for key, failure in self.failures.items()}

    async def write(
        self, gateway: Gateway, desired: Desired, state: ClusterState, planned: Plan, *, detach_only: bool = False
    ) -> tuple[NicPlan, ClusterState]:
        """Write what is due, guest by guest in parallel, and read those guests again."""
        self._forget_old(desired)
        nics = plan_nics(desired, state, planned.decisions)
        if not self._context.is_leader():
            return nics, state
        if not detach_only:
            await self._settle(nics)
        writes = [write for write in self._due(nics) if not detach_only or self._only_detaches(write)]
        if not writes:
            return nics, state
        await asyncio.gather(*(self._write_guest(gateway, nics, write, state) for write in writes))
        guests = dict(state.guests or {})
        read = await asyncio.gather(*(gateway.guest(write.guest) for write in writes))
        guests.update({guest.vmid: guest for guest in read})
        state = replace(state, guests=guests)
        # What was remembered just now is part of what the objects say: without it, a NIC we made looks like another's.
        desired = self._context.desired or desired
        after = plan_nics(desired, state, planned.decisions)
        await self._tell(nics, after, writes)
        return after, state

    def _forget_old(self, desired: Desired) -> None:
        """A failure is about one generation of one object."""
        generations = {nic.key: nic.generation for nic in desired.nics}
        self.failures = {
            key: failure for key, failure in self.failures.items() if generations.get(key) == failure.generation
        }

    def _due(self, nics: NicPlan) -> list[GuestWrite]:
        """The plan's writes without the values Proxmox has refused of a guest that has not changed since."""
        due = []
        for write in nics.writes:
            refused = frozenset(
                device
                for device, key in write.keys.items()
                if (failure := self.failures.get(key)) and failure.digest and failure.digest == write.guest.digest
            )
            if (rest := write.without(refused)).changes:
                due.append(rest)
        return due

    def _only_detaches(self, write: GuestWrite) -> bool:
        return all((nic := self._cache.get(key)) and nic.deleting for key in write.keys.values())

    # --- one guest ----------------------------------------------------------------------------------------------

    async def _write_guest(self, gateway: Gateway, nics: NicPlan, write: GuestWrite, state: ClusterState) -> None:
        async with self._in_all, self._per_node[write.guest.node]:
            known = [await self._remember_first(key, nics.decisions[key]) for key in write.keys.values()]
            if not all(known):
                return  # somebody changed an object just now, and will have another plan
            waiting = await self._unpin(write.keys.values(), state)
            for device in [device for device, key in write.keys.items() if key in waiting]:
                self._note(write, frozenset([device]), waiting[write.keys[device]])
                write = write.without(frozenset([device]))
            if not write.changes:
                return
            problem, culprits = await self._attempt(gateway, write)
            if problem and culprits:
                self._note(write, culprits, problem, "" if problem.retryable else write.guest.digest)
                write = write.without(culprits)
                problem, _ = await self._attempt(gateway, write) if write.changes else (None, culprits)
            if problem and problem.reason is Reason.PRIVILEGES_MISSING and len(write.changes) > 1:
                await self._write_one_by_one(gateway, write)
                return
            self._note(write, frozenset(write.changes), problem)

    async def _write_one_by_one(self, gateway: Gateway, write: GuestWrite) -> None:
        """A privilege is missing, for which NIC Proxmox does not say: it must not hold up the others."""
        for device in write.changes:
            now = await gateway.guest(write.guest)
            if (now.nics or {}).get(device) != (write.guest.nics or {}).get(device):
                continue  # somebody changed it just now; the next pass plans again
            alone = replace(write.only(device), guest=now)
            problem, _ = await self._attempt(gateway, alone)
            self._note(alone, frozenset([device]), problem)

    async def _remember_first(self, key: ObjectKey, decision: NicDecision) -> bool:
        """How it came under our care, and the way back, ahead of the write: a crash must not make us forget."""
        resource = self._cache.get(key)
        if resource is None or decision.guest is None:
            return False
        if resource.deleting:
            return True
        if not await self._writer.claim(resource, _annotations(decision)):
            return False
        if resource := self._cache.get(key):
            await self._writer.write_status(resource, nic_report.ahead_of_write(decision))
        return True

    async def _attempt(self, gateway: Gateway, write: GuestWrite) -> tuple[Problem | None, frozenset[str]]:
        """One write: what went wrong, and the devices Proxmox blames for it, in which case nothing was written."""
        try:
            upid = await gateway.write_guest(write.guest, write.changes)
            return (await self._follow(gateway, upid) if upid else None), frozenset()
        except errors.Refused as error:
            blamed = error.errors.keys() & write.changes.keys() if error.status == _BAD_PARAMETER else set()
            return _problem(error, write.guest), frozenset(blamed)
        except errors.PveError as error:
            return problem_of(error), frozenset()

    async def _follow(self, gateway: Gateway, upid: str) -> Problem | None:
        """The task tells of hotplug failures; the value then waits for a restart, as the next look shows."""
        deadline = self._context.clock.monotonic() + self._context.pace.timeout
        while self._context.clock.monotonic() < deadline:
            if end := await gateway.task_end(upid):
                return None if end.ok else Problem(Reason.APPLY_FAILED, end.text, retryable=True)
            await asyncio.sleep(self._context.pace.poll)
        return Problem(Reason.APPLY_FAILED, "the guest's task does not end; looking again later", retryable=True)

    def _note(self, write: GuestWrite, devices: frozenset[str], problem: Problem | None, digest: str = "") -> None:
        for device in devices:
            key = write.keys[device]
            self.failures.pop(key, None)
            resource = self._cache.get(key)
            if problem and resource:
                self.failures[key] = Failure(resource.generation, problem, digest)

    # --- what follows -------------------------------------------------------------------------------------------

    async def _settle(self, nics: NicPlan) -> None:
        """Objects whose NIC needs no write have a finalizer too; guests that moved are told of."""
        waiting: list[Awaitable[Any]] = []
        written = {key for write in nics.writes for key in write.keys.values()}
        for key, decision in nics.decisions.items():
            resource = self._cache.get(key)
            if resource is None or resource.deleting or decision.guest is None or decision.refused:
                continue
            if decision.in_sync and decision.managed:
                waiting.append(self._writer.claim(resource, _annotations(decision)))
            waiting.append(self._writer.record_drift(resource, decision.drift, corrected=key in written))
            before, now = resource.status.node, decision.guest.node
            if decision.attached and before and before != now and attached_to(resource) == decision.guest.vmid:
                message = f"{label(decision.guest)} moved from {before} to {now}"
                waiting.append(self._writer.record(resource, EventReason.MOVED, message))
        await asyncio.gather(*waiting)

    async def _tell(self, before: NicPlan, after: NicPlan, writes: list[GuestWrite]) -> None:
        """An Event for each NIC that was written and now is as it should be."""
        events = []
        for key in (key for write in writes for key in write.keys.values()):
            resource, decision = self._cache.get(key), after.decisions[key]
            if resource is None or key in self.failures:
                continue
            old = before.decisions[key]
            if resource.deleting and decision.release:
                events.append(self._writer.record(resource, *_detached(old)))
            elif decision.in_sync:
                events.append(self._writer.record(resource, *_attached(old, decision)))
        await asyncio.gather(*events)


def _annotations(decision: NicDecision) -> dict[str, str]:
    return {
        kinds.ANNOTATION_ORIGIN: str(decision.origin),
        kinds.ANNOTATION_ATTACHED: decision.vnet_id,
    }


def _attached(old: NicDecision, now: NicDecision) -> tuple[EventReason, str]:
    assert now.guest is not None
    assert now.config is not None
    nic = f"{now.device} of {label(now.guest)} on {now.guest.node}"
    if old.config is None:
        return EventReason.ATTACHED, f"added {nic} to {now.vnet_id}"
    bridge = old.config.get("bridge")
    if bridge != now.vnet_id:
        return EventReason.ATTACHED, f"connected {nic} to {now.vnet_id} (was on {bridge or 'no bridge'})"
    changed = ", ".join(api_name(field) for field in old.config.differing(now.config))
    return EventReason.UPDATED, f"changed {changed} of {nic}"


def _detached(old: NicDecision) -> tuple[EventReason, str]:
    assert old.guest is not None
    return EventReason.DETACHED, f"detached {old.device} of {label(old.guest)} from {old.vnet_id}"


def _problem(error: errors.Refused, guest: GuestState) -> Problem:
    """What Proxmox' refusal means for one guest; most of it passes."""
    match error:
        case errors.TryAgain():
            message = f"{label(guest)}: {error}; written when the lock is gone"
            return Problem(Reason.GUEST_LOCKED, message, retryable=True)
        case errors.DigestMismatch():
            message = f"{label(guest)} was changed by somebody else meanwhile; reading it again"
            return Problem(Reason.PENDING_APPLY, message, retryable=True)
        case errors.NotFound():
            message = f"{label(guest)} is no longer on {guest.node}; looking for it again"
            return Problem(Reason.PENDING_APPLY, message, retryable=True)
    # What cannot be plugged in now may be later; a value that is not allowed stays so.
    passes = error.status != _BAD_PARAMETER or "hotplug" in str(error)
    return Problem(Reason.APPLY_FAILED, f"Proxmox refused: {error}", retryable=passes)
