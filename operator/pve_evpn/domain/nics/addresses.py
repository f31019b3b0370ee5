"""Which addresses of guests are registered in the IPAM of their zone, and which registrations end. Pure.

Proxmox lists no entry of an EVPN zone (``GET ipams/{ipam}/status`` leaves out zones without DHCP, which an EVPN zone
cannot have), so nothing is read: what the operator registered is in the NicAttachment's status, and nothing else is
ever removed. An entry stands there before Proxmox is asked, and gets its ``since`` when Proxmox took it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pve_evpn.api.conditions import Reason
from pve_evpn.api.nic import NicAttachmentStatus, RegisteredAddress
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.guard import alone
from pve_evpn.domain.nics.model import NicDecision, NicPlan
from pve_evpn.domain.objects import Desired, ObjectKey, Resource, may_name, oldest_first
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.plan.render import subnet_cidr
from pve_evpn.domain.plan.subnets import Network
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState


class Entry(NamedTuple):
    """One address of a NIC in an IPAM. ``zone`` and ``vnet`` are Proxmox' names, ``mac`` is in upper case."""

    zone: str
    vnet: str
    ip: str
    mac: str

    def __str__(self) -> str:
        return f"{self.ip} ({self.mac}) in VNet {self.vnet}"


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """By NicAttachment: what is to be registered, what is to be released, and why something is not registered.

    ``forget``: what Proxmox was only asked for, and is not wanted any more. Nothing says that it is the operator's.
    """

    register: Mapping[ObjectKey, tuple[Entry, ...]] = field(default_factory=dict)
    release: Mapping[ObjectKey, tuple[Entry, ...]] = field(default_factory=dict)
    problems: Mapping[ObjectKey, Problem] = field(default_factory=dict)
    forget: Mapping[ObjectKey, tuple[Entry, ...]] = field(default_factory=dict)


def entries_of(status: NicAttachmentStatus, *, confirmed: bool = True) -> tuple[Entry, ...]:
    """The entries of a status that Proxmox took, or with ``confirmed=False`` those it was only asked for."""
    rows = (row for row in status.ipam or () if (row.since is not None) is confirmed)
    return tuple(Entry(row.zone, row.vnet, row.address, row.mac_address.upper()) for row in rows)


def holds(nic: Resource[Any], decision: NicDecision) -> bool:
    """Whether an object that is being deleted has addresses to release first.

    It has none to release where its policy leaves the guest as it is.
    """
    return nic.deleting and not (decision.kept or nic.force_orphan) and bool(entries_of(nic.status))


def plan_addresses(desired: Desired, state: ClusterState, plan: Plan, nics: NicPlan) -> AddressPlan:
    """Compare what is registered with what the specs and the NICs say.

    Args:
        plan: The SDN plan for the same state: what it deletes has no addresses any more.
        nics: The plan for the NICs. Only a NIC that is on its VNet gets addresses.
    """
    return _Planner(desired, state, plan, nics).run()


#: What is missing, what is too much, and why something stays missing.
_Found = tuple[tuple[Entry, ...], tuple[Entry, ...], Problem | None]


class _Planner:
    def __init__(self, desired: Desired, state: ClusterState, plan: Plan, nics: NicPlan) -> None:
        self.desired = desired
        self.running = state.sdn.running
        self.nics = nics
        going = {step.ref for step in plan.steps if step.after is None}
        self.subnets: dict[str, list[tuple[Network, str]]] = {}
        """By VNet, with the gateway."""
        for ref, subnet in self.running.items():
            if ref.kind is SdnKind.SUBNET and ref not in going:
                network = ipaddress.ip_network(subnet_cidr(ref), strict=False)
                self.subnets.setdefault(subnet.parent, []).append((network, str(subnet.props.get("gateway", ""))))
        self.claims: dict[tuple[str, str], ObjectKey] = {}

    def run(self) -> AddressPlan:
        nics = oldest_first(self.desired.nics)
        for nic in nics:  # what is registered stays with its object, whatever an older one asks for now
            for entry in entries_of(nic.status):
                self.claims.setdefault((entry.zone, entry.ip), nic.key)
        register: dict[ObjectKey, tuple[Entry, ...]] = {}
        release: dict[ObjectKey, tuple[Entry, ...]] = {}
        problems: dict[ObjectKey, Problem] = {}
        forget: dict[ObjectKey, tuple[Entry, ...]] = {}
        for nic in nics:
            decision = self.nics.decisions.get(nic.key)
            if decision is None or not decision.managed:
                continue
            missing, surplus, problem = self._alone(nic, decision)
            if missing:
                register[nic.key] = missing
            if surplus:
                release[nic.key] = surplus
            if problem:
                problems[nic.key] = problem
            if decision.in_sync and not nic.deleting:
                asked = entries_of(nic.status, confirmed=False)
                if outdated := tuple(entry for entry in asked if entry not in missing):
                    forget[nic.key] = outdated
        return AddressPlan(register, release, problems, forget)

    def _alone(self, nic: Resource[Any], decision: NicDecision) -> _Found:
        """Its values must not end the planning of all others, whatever they are."""
        return alone(nic.key, lambda: self._compared(nic, decision), lambda problem: ((), (), problem))

    def _compared(self, nic: Resource[Any], decision: NicDecision) -> _Found:
        known = entries_of(nic.status)
        if nic.deleting:  # while the NIC stays on its VNet, so do its addresses
            return (), known if decision.release and holds(nic, decision) else (), None
        if not decision.in_sync:
            return (), tuple(entry for entry in known if not self._around(entry.vnet, entry.ip)), None
        wanted, problem = self._wanted(nic, decision)
        surplus = tuple(entry for entry in known if entry not in wanted)
        return tuple(entry for entry in wanted if entry not in known), surplus, problem

    def _around(self, vnet: str, ip: str) -> list[str]:
        """The gateways of the subnets that have the address: one, "" where it has none; empty if no subnet has it."""
        return [gateway for network, gateway in self.subnets.get(vnet, ()) if _inside(ip, network)]

    def _wanted(self, nic: Resource[Any], decision: NicDecision) -> tuple[tuple[Entry, ...], Problem | None]:
        """What is to be registered for a NIC on its VNet, and why some of it is not."""
        assert nic.spec is not None
        zone = self.running.get(SdnRef(SdnKind.ZONE, decision.zone_id))
        mac, problem = (decision.mac or nic.status.mac_address or "").upper(), None
        if zone is None or not zone.props.get("ipam") or not mac:
            return (), None
        found = []
        for ip in map(_usual, nic.spec.addresses or ()):
            entry = Entry(decision.zone_id, decision.vnet_id, ip, mac)
            around = self._around(decision.vnet_id, ip)
            if not around:
                continue  # Effective says so
            holder = self.claims.setdefault((entry.zone, ip), nic.key)
            if ip in around:
                message = f"addresses: {ip} is the gateway of its subnet; choose another one"
                problem = problem or Problem(Reason.ADDRESS_IN_USE, message)
            elif holder != nic.key:
                problem = problem or _held_by(ip, holder, nic.key)
            else:
                found.append(entry)
        return tuple(found), problem


def _usual(ip: str) -> str:
    """As Proxmox stores it; the rule about spelling is the API server's, and an object may be older."""
    return str(ipaddress.ip_address(ip))


def _held_by(ip: str, holder: ObjectKey, asking: ObjectKey) -> Problem:
    name = str(holder) if may_name(asking, holder) else "a NicAttachment of another namespace"
    message = f"addresses: {ip} is registered in the zone's IPAM for {name}; choose another one, or take it away there"
    detail = f"addresses: {ip} is registered in the zone's IPAM for {holder}"
    return Problem(Reason.ADDRESS_IN_USE, message, retryable=True, detail=detail)


def _inside(ip: str, network: Network) -> bool:
    address = ipaddress.ip_address(ip)
    return address.version == network.version and address in network


def with_entries(
    status: NicAttachmentStatus, add: Iterable[RegisteredAddress] = (), without: Iterable[Entry] = ()
) -> NicAttachmentStatus:
    """The part of a status that says what is registered, once ``without`` is gone and ``add`` is there."""
    gone = {*without, *(Entry(row.zone, row.vnet, row.address, row.mac_address.upper()) for row in add)}
    kept = [
        row for row in status.ipam or () if Entry(row.zone, row.vnet, row.address, row.mac_address.upper()) not in gone
    ]
    return NicAttachmentStatus(ipam=[*kept, *add] or None)
