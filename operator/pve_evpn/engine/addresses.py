"""Registers the addresses of guests in the IPAM of their zone, and releases them.

A request per address, once; at rest nothing is asked and nothing written. Each request stands in the object's status
before Proxmox gets it, so that a crash forgets no entry. What is registered is decided in ``domain.nics.addresses``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import replace

from pve_evpn.api.conditions import Reason
from pve_evpn.api.events import EventReason
from pve_evpn.api.nic import RegisteredAddress
from pve_evpn.api.status import updated
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics.addresses import Entry, entries_of, plan_addresses, with_entries
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan.apply_policy import is_read_only
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.failures import Failures
from pve_evpn.engine.silence import SilentServers
from pve_evpn.engine.sync import Sync
from pve_evpn.engine.tasks import together, uninterrupted
from pve_evpn.leadership import NotLeader
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway
from pve_evpn.text import from_outside

log = logging.getLogger(__name__)

#: Objects at once: every request takes the lock of one file in Proxmox, so that more would only wait there.
IN_ALL = 4
#: How Proxmox says that an address is in the IPAM already, and that there is nothing to release any more: the entry,
#: its subnet or its zone is gone (pve-network: Ipams/PVEPlugin.pm, Subnets.pm).
_TAKEN = re.compile(r"already exist")
_GONE = re.compile(r"does not exist in IPAM DB|(doesn't|don't) exist in ipam db|can't find any subnet for ip", re.I)


class AddressWriter:
    """The registered addresses of one cluster."""

    def __init__(self, context: ClusterContext, silent: SilentServers) -> None:
        self._context = context
        self._cache = context.cache
        self._writer = context.writer
        self._in_all = asyncio.Semaphore(IN_ALL)
        self._failures = {releasing: Failures(context.clock) for releasing in (True, False)}
        self._silent = silent

    async def release(self, sync: Sync) -> Sync:
        """Release what is not to be registered any more; before the transaction, which may delete the subnets.

        Proxmox keeps a subnet while its IPAM has addresses in it.
        """
        return await self._carry_out(sync, releasing=True)

    async def register(self, sync: Sync) -> Sync:
        """Register what is missing, for NICs that are on their VNet by now, and release what they have no more.

        ``sync.addresses`` then says why an object's addresses are not as specified.
        """
        return await self._carry_out(await self._carry_out(sync, releasing=True), releasing=False)

    async def _carry_out(self, sync: Sync, *, releasing: bool) -> Sync:
        nobody = not any(nic.status.ipam or (nic.spec and nic.spec.addresses) for nic in sync.desired.nics)
        if nobody or not self._context.is_leader() or is_read_only(sync.desired.cluster):
            return sync
        planned = await asyncio.to_thread(plan_addresses, sync.desired, sync.state, sync.plan, sync.nics)
        due = planned.release if releasing else planned.register
        left_out = self._failures[releasing].active(sync.desired.nics)
        await together(self._forget(key, *entries) for key, entries in planned.forget.items())
        await together(
            self._of_one(sync, key, entries, releasing=releasing) for key, entries in due.items() if key not in left_out
        )
        failed = [failures.active(sync.desired.nics) for failures in self._failures.values()]
        problems: Mapping[ObjectKey, Problem] = {**planned.problems, **failed[0], **failed[1]}
        done = self._context.desired or sync.desired
        return replace(sync, desired=done if due else sync.desired, addresses=problems)

    async def _of_one(self, sync: Sync, key: ObjectKey, entries: tuple[Entry, ...], *, releasing: bool) -> None:
        """The entries of one object, one after another; the first that fails ends it for now."""
        async with self._in_all:
            for entry in entries:
                ipam = _ipam_of(entry, sync)
                problem = self._silence(entry, ipam)
                if problem is None:
                    began = self._context.clock.monotonic()
                    problem = await (self._release if releasing else self._register)(sync.gateway, key, entry)
                    self._heard(ipam, problem, self._context.clock.monotonic() - began)
                nic = self._cache.get(key)
                if problem and nic:
                    log.info("%s: %s: %s", self._context.cluster, key, problem.message)
                    self._failures[releasing].record(nic, problem)
                    return
            self._failures[releasing].succeeded([key])

    def _silence(self, entry: Entry, ipam: SdnRef) -> Problem | None:
        """Why nothing is asked of the zone's IPAM at present: it did not answer for something else."""
        if ipam not in self._silent.active(self._context.desired):
            return None
        message = f"addresses: the IPAM of zone {entry.zone} did not answer Proxmox, so {entry} waits"
        return Problem(Reason.PENDING, message, retryable=True)

    def _heard(self, ipam: SdnRef, problem: Problem | None, seconds: float) -> None:
        """Whether the IPAM answered, whatever it said."""
        if problem is None or problem.reason is not Reason.OUTCOME_UNKNOWN:
            self._silent.answered([ipam])
        elif ipam not in self._silent.active(self._context.desired):  # else it is one of those under way at once
            self._silent.record([ipam], seconds, self._context.desired)

    async def _register(self, gateway: Gateway, key: ObjectKey, entry: Entry) -> Problem | None:
        nic = self._cache.get(key)
        if nic is None or nic.deleting:
            return None
        asked_before = entry in entries_of(nic.status, confirmed=False)
        row = RegisteredAddress(address=entry.ip, mac_address=entry.mac.lower(), zone=entry.zone, vnet=entry.vnet)
        await self._writer.write_status(nic, updated(nic.status, with_entries(nic.status, [row])))
        try:
            await uninterrupted(gateway.register_address(entry.zone, entry.vnet, entry.ip, entry.mac))
        except (errors.Unreachable, errors.AuthenticationFailed, NotLeader):
            raise
        except errors.OutcomeUnknown as error:
            message = f"addresses: Proxmox did not say whether it registered {entry} ({from_outside(error)})"
            return Problem(Reason.OUTCOME_UNKNOWN, message, retryable=True)
        except errors.PveError as error:
            if not (asked_before and _TAKEN.search(str(error))):  # else it may be the operator's own
                await self._forget(key, entry)
            return _refusal(entry, from_outside(error), asked_before=asked_before)
        if nic := self._cache.get(key):
            row = row.model_copy(update={"since": self._context.clock.now()})
            await self._writer.write_status(nic, updated(nic.status, with_entries(nic.status, [row])))
            await self._writer.record(nic, EventReason.REGISTERED, f"registered {entry} in the IPAM of {entry.zone}")
        return None

    async def _release(self, gateway: Gateway, key: ObjectKey, entry: Entry) -> Problem | None:
        try:
            await uninterrupted(gateway.release_address(entry.zone, entry.vnet, entry.ip, entry.mac))
        except (errors.Unreachable, errors.AuthenticationFailed, NotLeader):
            raise
        except errors.OutcomeUnknown as error:
            message = f"{entry} may still be registered in the IPAM of zone {entry.zone} ({from_outside(error)})"
            return Problem(Reason.OUTCOME_UNKNOWN, message, retryable=True)
        except errors.PveError as error:
            said = from_outside(error)
            if not _GONE.search(said):
                message = f"{entry} is still registered in the IPAM of zone {entry.zone}: Proxmox answered: {said}"
                return Problem(Reason.DELETION_BLOCKED, message, retryable=True)
        await self._forget(key, entry)
        if nic := self._cache.get(key):
            await self._writer.record(nic, EventReason.UNREGISTERED, f"released {entry} in the IPAM of {entry.zone}")
        return None

    async def _forget(self, key: ObjectKey, *entries: Entry) -> None:
        if nic := self._cache.get(key):
            await self._writer.write_status(nic, updated(nic.status, with_entries(nic.status, without=entries)))


def _ipam_of(entry: Entry, sync: Sync) -> SdnRef:
    """The IPAM of the entry's zone; the zone itself where that has none that is known."""
    zone = sync.state.sdn.edited.get(SdnRef(SdnKind.ZONE, entry.zone))
    ipam = zone.props.get("ipam") if zone else None
    return SdnRef(SdnKind.IPAM, str(ipam)) if ipam else SdnRef(SdnKind.ZONE, entry.zone)


def _refusal(entry: Entry, said: str, *, asked_before: bool) -> Problem:
    """Why Proxmox did not register an address. Its API does not show by whom an address of an EVPN zone is held."""
    if not _TAKEN.search(said):
        return Problem(Reason.APPLY_FAILED, f"addresses: Proxmox did not register {entry}: {said}", retryable=True)
    own = (
        " The operator was interrupted while it registered this address, so the entry may be its own: if the MAC there "
        f"is {entry.mac}, free it, and the operator registers it again."
        if asked_before
        else ""
    )
    message = (
        f"addresses: {entry.ip} is in the IPAM of zone {entry.zone} already, by another client (Proxmox: {said}). "
        f"Proxmox lists no entries of EVPN zones: its own IPAM has them below {entry.zone!r} in "
        f"/etc/pve/sdn/pve-ipam-state.json on a node.{own} To free one that no guest uses: pvesh delete "
        f"/cluster/sdn/vnets/{entry.vnet}/ips --zone {entry.zone} --ip {entry.ip}"
    )
    return Problem(Reason.ADDRESS_IN_USE, message, retryable=True)
