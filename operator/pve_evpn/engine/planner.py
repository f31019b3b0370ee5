"""Reads Proxmox and plans from it: the first stage of a sync, and again whenever Proxmox may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from pve_evpn.api.conditions import Reason
from pve_evpn.api.nic import Guest
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, ObjectKey
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.firewall import names_used
from pve_evpn.domain.plan.ids import with_readable_ids
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.plan.withheld import leaves_out
from pve_evpn.domain.sdn import SdnKind
from pve_evpn.domain.state import OLDEST_SUPPORTED, ClusterState, GuestState, NodeState, PveVersion
from pve_evpn.engine.connection import NoConnection
from pve_evpn.engine.context import ClusterContext
from pve_evpn.engine.drift import DriftBrake
from pve_evpn.engine.failures import Failures
from pve_evpn.engine.journal import ClusterJournal, JournalEntry
from pve_evpn.engine.service_secrets import ServiceSecrets
from pve_evpn.engine.silence import SilentServers
from pve_evpn.engine.sync import Sync
from pve_evpn.pve.gateway import Gateway

#: Seconds after which subnets and guests that nothing hints at are read again, unless the spec says otherwise.
RESYNC = 600.0
#: Guests by the object that names them, and its generation.
News = Mapping[tuple[ObjectKey, int], Guest]


class Planner:
    """Plans for one cluster. Every refresh takes the newest objects from the cache."""

    def __init__(self, context: ClusterContext, journal: ClusterJournal, failures: Failures, brake: DriftBrake) -> None:
        self._context = context
        self._journal = journal
        self._failures = failures
        self._brake = brake
        #: What the last sync began with, and its plan.
        self._first: tuple[Desired, ClusterState, tuple[object, ...], Plan] | None = None
        self.services = ServiceSecrets(context)
        self.silent = SilentServers(context.clock)
        #: The VNets that the last plan left out, because a server outside does not answer Proxmox, and why.
        self._waiting: Mapping[ObjectKey, Problem] = {}
        self._chosen: Mapping[str, str] = {}
        """Names in Proxmox that were chosen and may be in no status yet, by uid."""

    async def read(self, gateway: Gateway) -> Sync:
        """Begin a sync; the nodes are not asked for the states of their zones.

        The plan is the same object as that of the sync before where all is as it was then.

        Raises NoConnection where the release is too old, :class:`errors.PveError` as the gateway.
        """
        spec = self.desired().cluster.spec
        observe = spec.observe if spec else None
        bound = observe.resync_seconds if observe else None
        gateway.remember_for(RESYNC if bound is None else bound)
        release = await gateway.version()
        if PveVersion.parse(release) < OLDEST_SUPPORTED:
            message = f"Proxmox VE {release} has no SDN lock; {OLDEST_SUPPORTED} or newer is needed"
            raise NoConnection(Problem(Reason.VERSION_UNSUPPORTED, message))
        state = await self._state(gateway, release, zones=False, news=_news(self.desired()))
        entry = self._journal.entry
        desired = self._named(state, entry)
        self._failures.succeeded(await self.services.read(desired))
        silent = self.silent.active(desired)
        others = entry, self._failures.active(desired), self._brake.held, self.services.given, silent
        if self._first is None or self._first[0] is not desired or self._first[1:3] != (state, others):
            self._first = desired, state, others, await self._plan(state, entry, desired)
        return Sync(gateway, desired, state, self._first[3], entry)

    async def refresh(self, sync: Sync, *, locked: bool = False, zones: bool = True) -> Sync:
        """Read Proxmox again and plan again; the nodes' host networks stay those of the sync's first read.

        ``locked``: the SDN lock is held and an apply may follow, so nothing of SDN may be left unread. ``zones``:
        whether the nodes may have loaded something since.
        """
        hosts = sync.state.nodes
        known = sync.state.guests if locked else None
        state = await self._state(
            sync.gateway, sync.state.release, locked=locked, hosts=hosts, zones=zones, guests=known
        )
        return await self._planned(replace(sync, state=state))

    async def verify(self, sync: Sync) -> Sync:
        """Refresh after the sync's transaction; less is read where that went well on every node.

        Guests stay those of the sync's first read then: an apply changes none of them, and Proxmox refuses a write of
        one that was edited or has moved since. Those of objects that came meanwhile are read.
        """
        verified = sync.result.before if sync.result and sync.result.well_done else None
        known = _news(sync.desired)
        late = {which: guest for which, guest in _news(self.desired()).items() if which not in known}
        state = await self._state(
            sync.gateway,
            sync.state.release,
            hosts=sync.state.nodes,
            zones=bool(sync.reloads),
            news=late,
            verified=verified,
            guests=sync.state.guests if verified and not late else None,
        )
        return await self._planned(replace(sync, state=state))

    async def with_zones(self, sync: Sync) -> Sync:
        """Add what the nodes say of their zones."""
        return replace(sync, state=await sync.gateway.with_zones(sync.state))

    async def replan(self, sync: Sync) -> Sync:
        """Plan again from the state as it is known."""
        return await self._planned(sync)

    async def with_everything(self, sync: Sync) -> Sync:
        """Add what would be done without pauses, ``ObserveOnly``, ``drift: Report`` and earlier failures."""
        if not leaves_out(sync.plan):
            return sync
        entry = sync.journal
        everything = await asyncio.to_thread(
            plan,
            sync.desired,
            sync.state,
            journal=entry.created(sync.state.sdn),
            recovering=entry.interrupted,
            spent=entry.consumed_approval,
            everything=True,
            secrets=self.services.given,
        )
        return replace(sync, everything=everything)

    def desired(self) -> Desired:
        """What users want now. Raises NoConnection if the ProxmoxCluster is gone."""
        desired = self._context.desired
        if desired is None:
            raise NoConnection(Problem(Reason.REF_NOT_FOUND, "the ProxmoxCluster is gone"))
        return desired

    async def _state(
        self,
        gateway: Gateway,
        release: str,
        *,
        locked: bool = False,
        hosts: Mapping[str, NodeState] = MappingProxyType({}),
        zones: bool = True,
        news: News = MappingProxyType({}),
        verified: ClusterState | None = None,
        guests: Mapping[int, GuestState] | None = None,
    ) -> ClusterState:
        """Guests are read where NICs may have to be written, and all of them before a VNet may go.

        ``news``: guests that are needed as they are now, as :func:`_news` finds them. A write of what was read a moment
        ago is refused by Proxmox if another client has changed the guest since. ``guests``: those that were read a
        moment ago, where they need not be read again but before a VNet may go.
        """
        desired = self.desired()
        every = any(vnet.deleting for vnet in desired.vnets)
        vmids, names = {guest.vmid for guest in news.values()}, {guest.name for guest in news.values()}
        used = {SdnKind.IPAM: desired.ipams, SdnKind.DNS: desired.dns_servers}
        state = await gateway.read_cluster(
            release,
            guests=every or (bool(desired.nics) and guests is None),
            before_apply=locked,
            verified=verified,
            hosts=hosts,
            zones=zones,
            fresh=lambda guest: every or guest.vmid in vmids or guest.name in names,
            services=[kind for kind, there in used.items() if there],
            names=names_used(vnet.spec.firewall for vnet in desired.vnets if vnet.spec and vnet.spec.firewall),
        )
        return state if state.guests is not None else replace(state, guests=guests)

    async def _planned(self, sync: Sync) -> Sync:
        """The sync with what users want now, and the plan for its state."""
        desired = self._named(sync.state, sync.journal)
        return replace(sync, desired=desired, plan=await self._plan(sync.state, sync.journal, desired))

    def _named(self, state: ClusterState, entry: JournalEntry) -> Desired:
        """What users want now, with the names that new objects get in Proxmox. A name stays once it was chosen."""
        desired, self._chosen = with_readable_ids(self.desired(), state, entry.created(state.sdn), self._chosen)
        return desired

    async def _plan(self, state: ClusterState, entry: JournalEntry, desired: Desired) -> Plan:
        """In a thread: thousands of objects take long enough to hold up everything else."""
        planned = partial(
            plan,
            desired,
            state,
            journal=entry.created(state.sdn),
            recovering=entry.interrupted,
            spent=entry.consumed_approval,
            secrets=self.services.given,
        )
        self._waiting = {}
        found = await asyncio.to_thread(planned, failures=self.left_out(desired))
        self._waiting = self.silent.waiting(found, state.sdn, desired)
        if self._waiting:
            found = await asyncio.to_thread(planned, failures=self.left_out(desired))
        return found

    def left_out(self, desired: Desired) -> Mapping[ObjectKey, Problem]:
        """The objects that the plan leaves out at present, and why: failures, drift that waits, silent servers."""
        return {**self._failures.active(desired), **self._brake.held, **self._waiting}


def _news(desired: Desired) -> News:
    """The guests that are needed as they are now: for a spec without a status yet, and for an object that is to go."""
    return {
        (nic.key, nic.generation): nic.spec.guest
        for nic in desired.nics
        if nic.spec and (nic.deleting or nic.status.observed_generation != nic.generation)
    }
