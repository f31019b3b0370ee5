"""The gateway to one Proxmox cluster: every write the operator makes, its tasks and its firewall calls, typed.

It decides nothing about the plan. Reading is the reader's part (:mod:`pve_evpn.pve.reader`), how a request reaches
Proxmox the client's (:mod:`pve_evpn.pve.client`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pve_evpn import metrics
from pve_evpn.domain.plan.firewall import (
    FirewallState,
    FirewallWrite,
    InsertRule,
    MoveRule,
    RemoveRule,
    SetOptions,
    SwitchRule,
    firewall_state,
)
from pve_evpn.domain.plan.model import Step
from pve_evpn.domain.sdn import SdnKind, SdnObject
from pve_evpn.domain.state import GuestState
from pve_evpn.pve import decode, errors
from pve_evpn.pve.memory import APPLY_TASK
from pve_evpn.pve.reader import COLLECTION, RELOAD_TASK, ClusterReader
from pve_evpn.pve.writes import Write, digest_in, taking_back, writes_of
from pve_evpn.text import from_outside

#: As PVE::Tools::upid_decode reads it; an id with a slash in it would lead into another path.
_UPID = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9][A-Za-z0-9-]*):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:/\s]+:[^:/\s]*:[^:/\s]+:"
)


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a Proxmox task ended. ``ok`` includes warnings; ``text`` is Proxmox' exit status."""

    ok: bool
    text: str

    @classmethod
    def of(cls, exit_status: object) -> TaskEnd:
        text = from_outside(str(exit_status or "unknown"))
        return cls(text == "OK" or text.startswith("WARNINGS"), text)

    @property
    def warned(self) -> bool:
        return self.text.startswith("WARNINGS")


@dataclass(frozen=True, slots=True)
class ForeignApply:
    """An apply that another client sent: its task, and who started it."""

    upid: str
    user: str


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task that has not ended."""

    type: str
    node: str
    user: str


class Gateway(ClusterReader):
    """The calls the operator makes to one cluster."""

    # --- writing the SDN configuration --------------------------------------------------------------------------

    async def lock(self, *, allow_pending: bool) -> str:
        """Take the SDN lock; its token. Raises LockHeld or PendingChanges."""
        answer = await self.call("POST", "/cluster/sdn/lock", **{"allow-pending": int(allow_pending)})
        return str(answer["data"])

    async def unlock(self, token: str) -> None:
        """Give the lock back. Succeeds too when it is free; raises LockHeld when another client holds it."""
        await self.call("DELETE", "/cluster/sdn/lock", **{"lock-token": token})

    async def is_locked(self) -> bool:
        """Whether some client holds the SDN lock.

        Proxmox shows it nowhere. It refuses to have a lock given back without its token, and where no client holds it,
        that request changes nothing. Needs SDN.Allocate on /sdn, as the lock itself.
        """
        try:
            await self.call("DELETE", "/cluster/sdn/lock")
        except errors.LockHeld:
            return True
        return False

    async def force_unlock(self) -> None:
        """Remove the lock of any client. The operator never does; people may, who know that no client is at work."""
        await self.call("DELETE", "/cluster/sdn/lock", force=1)

    async def stage(self, step: Step, token: str) -> None:
        """Write one step into the edited configuration.

        Where Proxmox refuses one of several requests, those before it are taken back. After a broken connection
        nothing is: then it is not known what Proxmox executed.
        """
        if step.ref.kind is SdnKind.SUBNET:
            self._subnets.wrote(step.ref, step.before, step.after)
        elif step.ref.kind is SdnKind.VNET and step.action == "create":
            self._subnets.creates(step.ref.id)
        done = 0
        try:
            for write in writes_of(step):
                await self._write(write, step.before, token)
                done += 1
        except errors.LockHeld:
            raise
        except (errors.Refused, errors.Forbidden):
            for write in taking_back(step, done):
                await self._write(write, None, token)
            raise
        metrics.PLANNED.labels(self.cluster, str(step.ref.kind), step.action).inc()

    async def write_service(self, step: Step, token: str = "") -> None:
        """Write an IPAM or DNS server. It takes effect at once.

        Proxmox asks the server outside before it answers, and while it waits (up to 30 s) no client can write to SDN.
        ``token``: of the SDN lock, where the operator holds it. Raises :class:`errors.PveError`.
        """
        for write in writes_of(step):
            await self._write(write, step.before, token)
        metrics.PLANNED.labels(self.cluster, str(step.ref.kind), step.action).inc()

    async def _write(self, write: Write, before: SdnObject | None, token: str) -> None:
        """Send one request, with the digest of what is there, if that is what the plan saw."""
        guard: dict[str, str] = {}
        if write.reads and before is not None:
            guard = _guard(digest_in(await self.get(write.reads), before))
        lock = {"lock-token": token} if token else {}
        await self.call(write.method, write.path, **write.params, **guard, **lock)

    async def seal(self) -> None:
        """Everything is staged that the next apply will publish: remember the subnet file as the operator left it."""
        await self._subnets.sealed()

    async def apply(self, token: str) -> str:
        """Publish the edited configuration and reload every node; the task's UPID.

        ``release-lock`` is sent because Proxmox documents a default of 1 and behaves like 0.
        """
        try:
            answer = await self.call("PUT", "/cluster/sdn", **{"lock-token": token, "release-lock": 0})
        except BaseException:
            self._subnets.forget()
            raise
        self._subnets.applied()
        self._tasks.sent(upid := str(answer["data"]))
        return upid

    async def reload_node(self, node: str) -> str:
        """Reload one node alone; the task's UPID. Needs Sys.Modify on the node."""
        answer = await self.call("PUT", f"/nodes/{node}/network", **{"regenerate-frr": 1})
        return str(answer["data"])

    # --- the firewall of a VNet: in force at once, no lock, no staging -------------------------------------------

    async def firewall(self, vnet: str) -> FirewallState:
        """Options and rules of a VNet's firewall. Proxmox refuses to tell unless the VNet is in the running copy."""
        base = _firewall_path(vnet)
        options, rows = await asyncio.gather(self.get(f"{base}/options"), self.get(f"{base}/rules"))
        return firewall_state(options or {}, rows or ())

    async def write_firewall(self, vnet: str, write: FirewallWrite, read: FirewallState) -> None:
        """Carry out one write that was planned on ``read``.

        Raises :class:`errors.DigestMismatch` where the firewall has changed since. A new rule is not guarded so:
        Proxmox takes no digest with it.
        """
        base = _firewall_path(vnet)
        match write:
            case SetOptions(values, delete):
                unset = {"delete": ",".join(delete)} if delete else {}
                await self.call("PUT", f"{base}/options", **values, **unset, **_guard(read.options_digest))
            case InsertRule(rule):
                await self.call("POST", f"{base}/rules", **rule)
            case MoveRule(pos, before):
                await self.call("PUT", f"{base}/rules/{pos}", moveto=before, **_guard(read.rules_digest))
            case SwitchRule(pos, enable):
                await self.call("PUT", f"{base}/rules/{pos}", enable=enable, **_guard(read.rules_digest))
            case RemoveRule(pos):
                await self.call("DELETE", f"{base}/rules/{pos}", **_guard(read.rules_digest))

    # --- addresses in IPAMs -------------------------------------------------------------------------------------

    async def register_address(self, zone: str, vnet: str, ip: str, mac: str) -> None:
        """Register an address in the IPAM of its zone; at once. Raises :class:`errors.PveError`.

        Proxmox' answer for an address that is there already says so, and not for which MAC.
        """
        await self.call("POST", f"{COLLECTION[SdnKind.VNET]}/{vnet}/ips", zone=zone, ip=ip, mac=mac)

    async def release_address(self, zone: str, vnet: str, ip: str, mac: str) -> None:
        """Remove an address from the IPAM of its zone; at once. Proxmox goes by the address, whatever its MAC."""
        await self.call("DELETE", f"{COLLECTION[SdnKind.VNET]}/{vnet}/ips", zone=zone, ip=ip, mac=mac)

    # --- tasks --------------------------------------------------------------------------------------------------

    async def task_end(self, upid: str) -> TaskEnd | None:
        """How the task ended; None while it runs."""
        status = await self.get(f"{_task_path(upid)}/status")
        if status.get("status") == "running":
            return None
        return TaskEnd.of(status.get("exitstatus"))

    async def task_log(self, upid: str, last: int = 20) -> list[str]:
        """The last lines of a task's log."""
        rows = await self.get(f"{_task_path(upid)}/log", limit=500)
        return [str(row.get("t", "")) for row in rows or ()][-last:]

    async def last_foreign_apply(self) -> ForeignApply | None:
        """The newest apply that another client sent, as far as ``/cluster/tasks`` reaches."""
        rows = await self.get("/cluster/tasks")
        foreign = self._tasks.foreign_applies(row for row in rows or () if isinstance(row, Mapping))
        newest = max(foreign, key=lambda row: int(row.get("starttime") or 0), default=None)
        return ForeignApply(str(newest["upid"]), str(newest.get("user") or "unknown")) if newest else None

    async def running_reloads(self) -> list[RunningTask]:
        """Applies and reloads of nodes that run now, as far as ``/cluster/tasks`` reaches."""
        rows = decode.rows(await self.get("/cluster/tasks"))
        return [
            RunningTask(str(row.get("type")), str(row.get("node")), str(row.get("user")))
            for row in rows
            if row.get("type") in (APPLY_TASK, RELOAD_TASK) and not row.get("endtime")
        ]

    async def reload_tasks(self, node: str, since: int) -> dict[str, TaskEnd | None]:
        """The node's network reloads started at or after ``since`` (Unix seconds) by UPID, the newest first.

        With how each ended; None while it runs.
        """
        rows = decode.rows(await self.get(f"/nodes/{node}/tasks", typefilter=RELOAD_TASK, since=since, source="all"))
        ordered = sorted(rows, key=lambda row: row.get("starttime", 0), reverse=True)
        return {str(row["upid"]): _end_of(row) for row in ordered}

    async def ended_tasks(self, node: str, limit: int) -> dict[str, TaskEnd | None]:
        """The node's newest tasks by UPID, with how each ended; None while it runs."""
        rows = decode.rows(await self.get(f"/nodes/{node}/tasks", source="all", limit=limit))
        return {str(row["upid"]): _end_of(row) for row in rows if row.get("upid")}

    # --- guests -------------------------------------------------------------------------------------------------

    async def write_guest(self, guest: GuestState, changes: Mapping[str, str | None]) -> str | None:
        """Write NIC strings of one guest (None removes one); a UPID where Proxmox made a task of it.

        QEMU takes a POST, whose task tells of hotplug failures; LXC knows only the synchronous PUT.
        """
        self._guests.touched([guest.vmid])
        path = f"/nodes/{guest.node}/{guest.kind}/{guest.vmid}/config"
        params: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
        if gone := [key for key, value in changes.items() if value is None]:
            params["delete"] = ",".join(gone)
        method = "POST" if guest.kind == "qemu" else "PUT"
        answer = await self.call(method, path, digest=guest.digest, **params)
        if not answer.get("data"):
            return None
        self._tasks.sent(upid := str(answer["data"]))
        return upid


def _end_of(row: Mapping[str, Any]) -> TaskEnd | None:
    """How the task of a list's row ended; None while it runs."""
    return TaskEnd.of(row.get("status")) if row.get("endtime") else None


def _task_path(upid: str) -> str:
    """Raises Refused for a text that is no UPID (``UPID:node:pid:pstart:starttime:type:id:user:``)."""
    if not (parts := _UPID.fullmatch(upid)):
        raise errors.Refused(f"{from_outside(upid, longest=80)} is not the id of a task")
    return f"/nodes/{parts['node']}/tasks/{upid}"


def _firewall_path(vnet: str) -> str:
    return f"{COLLECTION[SdnKind.VNET]}/{vnet}/firewall"


def _guard(digest: str) -> dict[str, str]:
    return {"digest": digest} if digest else {}
