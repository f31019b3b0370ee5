"""``pve-evpn lock``: who holds Proxmox' SDN lock, and on demand its removal, which the operator itself never does.

The removal goes to Proxmox with the caller's own credentials: rights in Kubernetes alone must not be enough to end
another client's transaction, and Proxmox' log then names the person.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated

import typer
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from pve_evpn.api.cluster import ProxmoxClusterSpec
from pve_evpn.cli import complete, options, output, proxmox
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.objects import DRY_RUN
from pve_evpn.cli.report.lock import Holder, LockSeen, lock_report
from pve_evpn.engine.cache import resource_from
from pve_evpn.engine.journal import JournalEntry
from pve_evpn.kube.adapters import SecretJournal, journal_name
from pve_evpn.kube.client import api_client
from pve_evpn.pve import errors
from pve_evpn.pve.gateway import Gateway

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn lock pve --release --yes")
@options.grouped
def lock(
    cluster: Annotated[
        str, typer.Argument(metavar="CLUSTER", autocompletion=complete.clusters, help="Name of the ProxmoxCluster.")
    ],
    release: Annotated[bool, typer.Option("--release", help="Remove the lock, whoever holds it.")] = False,
    yes: options.Yes = False,
    force: Annotated[
        bool, typer.Option("--force", help="Remove it also where the operator or an apply seems to be at work.")
    ] = False,
    *,
    access: proxmox.Access,
    form: options.Output = "text",
) -> int:
    """Show who holds Proxmox' SDN lock of a cluster, as far as that can be known, since when, and what is staged. With
    --release and --yes remove it, with your own Proxmox credentials: only where no client is at work any more. Proxmox
    does not say whether the lock is held; credentials with SDN.Allocate find out, without changing anything.
    """
    return guarded(_lock(_Lock(cluster, access), form, _Removal(yes, force) if release else None))


@dataclass(frozen=True, slots=True)
class _Removal:
    """The lock is to be removed. ``force``: in spite of objections."""

    yes: bool
    force: bool


class _Lock:
    """The SDN lock of one cluster, seen from Kubernetes and from Proxmox."""

    def __init__(self, cluster: str, access: proxmox.Access) -> None:
        self.cluster, self.access = cluster, access
        self._may_write = threading.Event()  # asked in the thread that sends a request

    async def from_kubernetes(self, api: client.ApiClient) -> tuple[LockSeen, ProxmoxClusterSpec]:
        """What the operator recorded, and where Proxmox is."""
        raw = dict(await proxmox.cluster_object(api, self.cluster))
        status = resource_from({**raw, "kind": "ProxmoxCluster"}).status.lock
        seen = LockSeen(
            self.cluster,
            datetime.now(UTC),
            status=status,
            journal=await self.journal(api),
            journal_name=f"Secret {self.access.operator_namespace}/{journal_name(self.cluster)}",
        )
        return seen, proxmox.spec_from(raw["spec"], proxmox.overrides(self.access))

    async def journal(self, api: client.ApiClient) -> JournalEntry | None:
        """The operator's record of its transactions; None where the caller may not read it."""
        try:
            return await SecretJournal(api, self.access.operator_namespace, lambda: False).load(self.cluster)
        except ApiException as error:
            if error.status != 403:
                raise
            return None

    def gateway(self, spec: ProxmoxClusterSpec, api: client.ApiClient) -> AbstractAsyncContextManager[Gateway]:
        return proxmox.gateway_to(self.access, self.cluster, spec, api, may_write=self._may_write.is_set)

    async def from_proxmox(self, gateway: Gateway, seen: LockSeen) -> LockSeen:
        """Adds whether it is held, what is staged and which applies run. Raises Refusal."""
        with output.working("reading Proxmox"):
            state = await proxmox.read_state(gateway, guests=False)
            with proxmox.explained():
                tasks = await gateway.running_reloads()
        seen = replace(
            seen,
            pending=tuple(map(str, state.sdn.pending)),
            reloads=tuple(f"{task.type} on {task.node} by {task.user}" for task in tasks),
        )
        try:
            with self._writing():
                return replace(seen, held=await gateway.is_locked())
        except errors.PveError as error:
            return replace(seen, problem=f"whether the lock is held: {error}")

    async def remove(self, gateway: Gateway) -> None:
        with self._writing(), proxmox.explained():
            await gateway.force_unlock()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._may_write.set()
        try:
            yield
        finally:
            self._may_write.clear()


async def _lock(lock: _Lock, form: options.Form, removal: _Removal | None) -> int:
    if removal and proxmox.own_credentials(lock.access) is None:
        raise Refusal(f"--release needs your own Proxmox credentials: set {proxmox.TOKEN_ID} and {proxmox.TOKEN_FILE}")
    async with api_client() as api:
        seen, spec = await lock.from_kubernetes(api)
        try:
            async with lock.gateway(spec, api) as gateway:
                seen = await lock.from_proxmox(gateway, seen)
                output.write(lock_report(seen), form)
                return await _remove(lock, gateway, seen, api, removal) if removal else 0
        except Refusal as refusal:
            if removal:
                raise
            output.write(lock_report(replace(seen, problem=f"Proxmox: {refusal}")), form)
    return 0


async def _remove(lock: _Lock, gateway: Gateway, seen: LockSeen, api: client.ApiClient, removal: _Removal) -> int:
    if seen.held is None:
        raise Refusal(f"not removed: {seen.problem}")
    if seen.holder is Holder.FREE:
        _say("There is no lock to remove.")
        return 0
    if seen.objections and not removal.force:
        raise Refusal(f"not removed: {'; '.join(seen.objections)}. To remove it all the same, add --force")
    for objection in seen.objections:
        _say(f"WARNING: {objection}")
    _say(f"The lock is held by {seen.holder}; it will be removed, and Proxmox will refuse what its holder sends next.")
    if not removal.yes:
        _say(DRY_RUN)
        return 0
    # The operator may have taken the lock since, where its holder has given it back.
    now = replace(seen, now=datetime.now(UTC), journal=await lock.journal(api))
    if now.holder is not seen.holder and not removal.force:
        raise Refusal(f"not removed: the lock is now held by {now.holder}; run the command again")
    await lock.remove(gateway)
    _say(
        f"Removed. {len(seen.pending)} edits are staged: those of its holder go live with the next apply, unless they "
        "are reverted (Datacenter > SDN)."
    )
    return 0


def _say(line: str) -> None:
    """On stderr: stdout has the report."""
    print(line, file=sys.stderr)
