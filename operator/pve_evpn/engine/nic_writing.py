"""Carries out the plan for guests' NICs: remember, write, follow the task, read again.

Guests are independent of each other and of the SDN transaction, so they are written side by side; one guest is
written once per pass. What is written, and why something is not, is decided in ``domain.nics``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.decisions import Finding, Plan
from pve_evpn.domain.nics import GuestWrite, NicPlan, plan_nics
from pve_evpn.domain.observed import Observed
from pve_evpn.domain.resources import Desired, ObjectKey, Resource
from pve_evpn.engine.connection import finding_of
from pve_evpn.engine.store import Store
from pve_evpn.engine.transaction import Pace
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

#: Adds our finalizer and annotations to an object.
Mark = Callable[[Resource[Any], Mapping[str, str]], Awaitable[None]]


class NicWriting:
    """The NICs of one cluster. ``failures`` holds, per object and generation, what its last write came to."""

    def __init__(self, store: Store, mark: Mark, may_write: Callable[[], bool], pace: Pace) -> None:
        self._store = store
        self._mark = mark
        self._may_write = may_write
        self._pace = pace
        self.failures: dict[ObjectKey, tuple[int, Finding]] = {}

    async def write(
        self, gateway: Gateway, desired: Desired, observed: Observed, planned: Plan, *, detach_only: bool = False
    ) -> tuple[NicPlan, Observed]:
        """Write what is due, guest by guest in parallel, and read those guests again."""
        self._forget_old(desired)
        nics = plan_nics(desired, observed, planned.decisions)
        writes = [
            write
            for write in nics.writes
            if not detach_only or all((r := self._store.get(key)) and r.deleting for key in write.keys)
        ]
        if not writes or not self._may_write():
            return nics, observed
        await asyncio.gather(*(self._write_guest(gateway, nics, write) for write in writes))
        guests = dict(observed.guests or {})
        read = await asyncio.gather(*(gateway.guest(write.guest) for write in writes))
        guests.update({guest.vmid: guest for guest in read})
        observed = replace(observed, guests=guests)
        return plan_nics(desired, observed, planned.decisions), observed

    def _forget_old(self, desired: Desired) -> None:
        """A failure is about one generation of one object."""
        generations = {nic.key: nic.generation for nic in desired.nics}
        self.failures = {
            key: (generation, finding)
            for key, (generation, finding) in self.failures.items()
            if generations.get(key) == generation
        }

    async def _write_guest(self, gateway: Gateway, nics: NicPlan, write: GuestWrite) -> None:
        """One guest: remember what must be remembered, write, follow the task."""
        await self._remember(nics, write)
        finding = None
        try:
            upid = await gateway.write_guest(write.guest, write.changes)
            while upid and (end := await gateway.task_end(upid)) is None:
                await asyncio.sleep(self._pace.poll)
            if upid and end and not end.ok:
                finding = Finding(Reason.APPLY_FAILED, f"the guest's task ended with {end.text!r}", heals=True)
        except errors.PveError as problem:
            finding = finding_of(problem)
        for key in write.keys:
            self.failures.pop(key, None)
            resource = self._store.get(key)
            if finding and resource:
                self.failures[key] = (resource.generation, finding)

    async def _remember(self, nics: NicPlan, write: GuestWrite) -> None:
        """Origin, VNet and previous bridge, ahead of the write: a crash must not make us forget how to go back."""
        for key in write.keys:
            resource, decision = self._store.get(key), nics.decisions[key]
            if resource and not resource.deleting:
                annotations = {
                    kinds.ANNOTATION_ORIGIN: str(decision.origin),
                    kinds.ANNOTATION_ATTACHED: decision.vnet_id,
                }
                if decision.previous_bridge:
                    annotations[kinds.ANNOTATION_PREVIOUS_BRIDGE] = decision.previous_bridge
                await self._mark(resource, annotations)
