"""Proxmox' SDN lock during one transaction, with its token in the journal."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.journal import ClusterJournal, JournalEntry
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

#: How long after its request was given up Proxmox may still execute a write, in seconds; a minute was measured.
LATE = 90


class SdnLock:
    """The SDN lock of one cluster."""

    def __init__(self, context: ClusterContext, gateway: Gateway, journal: ClusterJournal) -> None:
        self._context = context
        self._gateway = gateway
        self._journal = journal

    async def take(self, *, over_pending: bool) -> None:
        """Hold the lock, with its token in the journal.

        ``over_pending``: edits are staged already, so Proxmox is asked for the lock in spite of them.
        Raises LockHeld or PendingChanges where another client is at work, and any other :class:`errors.PveError`.

        A lock request whose answer was lost may still be executed, and leave a lock whose token nothing records. While
        that can happen the lock is kept (:meth:`give_back`), and used again by the next transaction.

        A token left by a crash proves nothing about the present (Proxmox accepts any token while the lock is free),
        and a write of the process that died may still be on its way with it. So the old lock is given back and a new
        one is taken: from then on Proxmox refuses the old token.

        The request is recorded before it is sent: Proxmox does not say who holds a lock, so after a crash between
        the lock and its record only the journal can tell. The record is removed where Proxmox refused the request or
        never got it.
        """
        entry = self._journal.entry
        if entry.lock_token and entry.relocked and entry.apply_deadline > self._now():
            return
        if entry.lock_token and self._keeps_out_late_request(entry) and not (entry.dirty or entry.apply_started_at):
            return
        if entry.lock_token:
            with contextlib.suppress(errors.LockHeld):  # it was removed by force, and another client took it
                await self._gateway.unlock(entry.lock_token)
        before = replace(entry, lock_token="", relocked=False)
        await self._journal.save(replace(before, lock_requested_at=before.lock_requested_at or int(self._now())))
        try:
            token = await self._gateway.lock(allow_pending=over_pending)
        except errors.OutcomeUnknown:
            raise
        except errors.PveError as error:
            seen = before.lock_requested_at > 0 and isinstance(error, errors.LockHeld)
            await self._journal.save(replace(before, lock_seen=before.lock_seen or seen))
            raise
        # An earlier request may still be executed, and leave a lock whose token nothing records.
        requested = before.lock_requested_at if before.lock_requested_at > self._now() - LATE else 0
        try:
            await self._journal.update(
                lock_token=token,
                lock_requested_at=requested,
                lock_seen=before.lock_seen and requested > 0,
                relocked=bool(self._journal.entry.apply_deadline),
            )
        except Exception:
            await self._gateway.unlock(token)
            raise

    async def give_back(self, *, clean: bool = False, finished: bool = True) -> bool:
        """Give the lock back; False if that failed: then the journal keeps its token for the next sync.

        ``clean``: nothing of the operator's is staged, so what was being created need not be remembered.
        ``finished``: the end of an apply that was sent has been seen; else the next transaction looks for it.
        """
        entry = self._journal.entry
        if entry.apply_deadline > self._now():
            return False  # until then Proxmox must find the lock held when it executes the lost apply
        ended = replace(
            entry,
            apply_started_at=0 if finished else entry.apply_started_at,
            apply_deadline=0,
            confirm=None if finished else entry.confirm,
            relocked=False,
            dirty=entry.dirty and not clean,
        )
        if entry.lock_token and self._keeps_out_late_request(entry):
            await self._journal.save(ended)
            return False
        try:
            if entry.lock_token:
                await self._gateway.unlock(entry.lock_token)
        except errors.LockHeld:
            pass  # it was removed by force, and another client took it
        except errors.PveError:
            return False
        await self._journal.save(
            replace(
                ended,
                lock_token="",
                lock_requested_at=0 if entry.lock_token else entry.lock_requested_at,
                lock_seen=False,
            )
        )
        return True

    def _keeps_out_late_request(self, entry: JournalEntry) -> bool:
        """Whether Proxmox may still execute an earlier lock request: it must find the lock taken."""
        return bool(entry.lock_requested_at) and not entry.lock_seen and entry.lock_requested_at > self._now() - LATE

    def _now(self) -> float:
        return self._context.clock.now().timestamp()
