"""Servers outside (NetBox, phpIPAM, PowerDNS) that do not answer Proxmox.

Proxmox asks them while it writes a subnet or an address, and answers only once they did or its time is over (30 s), in
which no client can write to SDN. So a server that did not answer is asked nothing for a while, by whatever object, and
only the objects that need it wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.objects import Desired, ObjectKey, Resource, own_ref
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.plan.servers import in_words, servers_of
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot
from pve_evpn.engine.backoff import Backoff
from pve_evpn.engine.clock import Clock
from pve_evpn.engine.failures import FIRST, LONGEST

#: What makes another attempt worthwhile at once: another Ipam or DnsServer, spec, or request of an administrator's.
_Attempt = tuple[str, ...]


@dataclass(slots=True)
class _Silence:
    """``until``: monotonic seconds. ``seconds``: how long Proxmox waited. ``attempt`` is that of the failure."""

    attempt: _Attempt
    until: float = 0.0
    seconds: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST, LONGEST))


class SilentServers:
    """The servers of one cluster that did not answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[SdnRef, _Silence] = {}

    def record(self, servers: Iterable[SdnRef], seconds: float, desired: Desired | None) -> None:
        """One of these did not answer Proxmox for so many seconds. ``desired``: what users want now."""
        for server in servers:
            attempt = _attempt(server, desired)
            silence = self._known.get(server)
            if silence is None or silence.attempt != attempt:
                silence = self._known[server] = _Silence(attempt)
            silence.seconds = seconds
            silence.until = self._clock.monotonic() + silence.backoff.failed()

    def answered(self, servers: Iterable[SdnRef]) -> None:
        """They answered, whatever they said."""
        for server in servers:
            self._known.pop(server, None)

    def active(self, desired: Desired | None) -> Mapping[SdnRef, float]:
        """The servers that are asked nothing at present, and for how many seconds Proxmox waited for each."""
        now = self._clock.monotonic()
        return {
            server: silence.seconds
            for server, silence in self._known.items()
            if now < silence.until and silence.attempt == _attempt(server, desired)
        }

    def waiting(self, plan: Plan, sdn: SdnSnapshot, desired: Desired) -> Mapping[ObjectKey, Problem]:
        """The VNets of the plan whose subnets a silent server would be asked about, and why they wait."""
        active = self.active(desired)
        if not active:
            return {}
        objects = {**sdn.running, **sdn.edited, **{step.ref: step.object for step in plan.steps}}
        owners = plan.owners()
        found: dict[ObjectKey, Problem] = {}
        for step in plan.steps:
            if step.ref.kind is SdnKind.SUBNET and step.ref in owners and (silent := _of(step.object, objects, active)):
                found.setdefault(owners[step.ref], _problem(silent, active))
        return found


def _of(subnet: SdnObject, objects: Mapping[SdnRef, SdnObject], active: Mapping[SdnRef, float]) -> tuple[SdnRef, ...]:
    return tuple(server for server in servers_of(subnet, objects) if server in active)


def _problem(servers: Iterable[SdnRef], active: Mapping[SdnRef, float]) -> Problem:
    named = list(servers)
    message = (
        f"{' or '.join(map(in_words, named))} did not answer Proxmox within {max(active[s] for s in named):.0f} s, "
        "and Proxmox writes no subnet of the zone without it. It is tried again after 30 seconds, doubling to 15 "
        "minutes, once for all VNets of its zones. docs/ipam-dns.md says what to check"
    )
    return Problem(Reason.STAGING_FAILED, message, retryable=True)


def _attempt(server: SdnRef, desired: Desired | None) -> _Attempt:
    if desired is None:
        return ()
    services = (*desired.ipams, *desired.dns_servers)
    asking = [desired.cluster, *(service for service in services if own_ref(service) == server)]
    return tuple(part for resource in asking for part in _of_resource(resource, resource is not desired.cluster))


def _of_resource(resource: Resource[Any], with_spec: bool) -> _Attempt:
    requested = resource.annotations.get(kinds.ANNOTATION_RECONCILE, "")
    return (resource.uid, str(resource.generation) if with_spec else "", requested)
