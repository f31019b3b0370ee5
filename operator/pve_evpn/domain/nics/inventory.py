"""Every guest and NIC of one cluster, and which NicAttachment may have what. The oldest object's claim wins."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set

from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.guard import alone
from pve_evpn.domain.nics.guests import GuestDirectory
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import Desired, ObjectKey, Resource, oldest_first
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.state import ClusterState, GuestState


class NicInventory:
    """Made once per plan. Guests are found first, so that who has which NIC does not depend on who asks first."""

    def __init__(self, desired: Desired, state: ClusterState, decisions: Mapping[ObjectKey, Decision]) -> None:
        self.nics = oldest_first(desired.nics)
        self._directory = GuestDirectory(desired, state)
        self._rank = {nic.key: position for position, nic in enumerate(self.nics)}
        self._found = {nic.key: self._find_alone(nic, state) for nic in self.nics}
        self._owners: dict[tuple[int, str], ObjectKey] = {}
        self._interfaces: defaultdict[int, set[str]] = defaultdict(set)
        for nic in self.nics:
            guest, _ = self._found[nic.key]
            if guest and nic.spec:
                self._owners.setdefault((guest.vmid, nic.spec.device), nic.key)
                if nic.spec.name:
                    self._interfaces[guest.vmid].add(nic.spec.name)
        self._on_bridge = _nics_by_bridge_and_mac(state)
        self._macs: dict[tuple[str, str], ObjectKey] = {}
        zones = [(zone.spec, decisions.get(zone.key)) for zone in desired.zones]
        limits = {decision.id: spec.allowed_namespaces.limits for spec, decision in zones if spec and decision}
        self._limits = {zone_id: found.nics for zone_id, found in limits.items() if found}
        self._counted: Counter[tuple[str, str]] = Counter()

    def _find_alone(
        self, nic: Resource[NicAttachmentSpec], state: ClusterState
    ) -> tuple[GuestState | None, Problem | None]:
        return alone(nic.key, lambda: self._find(nic, state), lambda problem: (None, problem))

    def _find(self, nic: Resource[NicAttachmentSpec], state: ClusterState) -> tuple[GuestState | None, Problem | None]:
        if nic.spec is None or state.guests is None:
            return None, None
        if nic.deleting and (guest := self._directory.attached(nic)):
            return guest, None
        return self._directory.find(nic, nic.spec)

    def count(self, zone_id: str, namespace: str) -> int | None:
        """Count one more NIC of a namespace in a zone; the limit instead where that would be too many."""
        limit = self._limits.get(zone_id)
        if limit is not None and self._counted[zone_id, namespace] >= limit:
            return limit
        self._counted[zone_id, namespace] += 1
        return None

    def guest_of(self, key: ObjectKey) -> tuple[GuestState | None, Problem | None]:
        """The guest of an object, or why it has none."""
        return self._found[key]

    def owner(self, guest: GuestState, device: str) -> ObjectKey | None:
        """The object that has this NIC."""
        return self._owners.get((guest.vmid, device))

    def is_older(self, key: ObjectKey, than: ObjectKey) -> bool:
        """Whether the first object's claims come before those of the second."""
        return self._rank[key] < self._rank[than]

    def permits(self, namespace: str, guest: GuestState) -> bool:
        """Whether the namespace may use the guest, and so may read its name."""
        return self._directory.permits(namespace, guest)

    def claim_mac(self, vnet_id: str, mac: str, key: ObjectKey) -> ObjectKey:
        """The object that has this MAC address in this VNet: the one that claimed it first."""
        return self._macs.setdefault((vnet_id, mac), key)

    def with_mac(self, vnet_id: str, mac: str) -> Iterable[tuple[GuestState, str]]:
        """Every NIC with this MAC address on this bridge: guest and device."""
        return self._on_bridge.get((vnet_id, mac), ())

    def interfaces(self, guest: GuestState) -> Set[str]:
        """What a container's NICs are to be called inside; two that are added at once must not share a name."""
        return self._interfaces[guest.vmid]

    def claim_interface(self, guest: GuestState, name: str) -> None:
        """A new NIC of this container is called so."""
        self._interfaces[guest.vmid].add(name)


def _nics_by_bridge_and_mac(state: ClusterState) -> Mapping[tuple[str, str], list[tuple[GuestState, str]]]:
    """The NICs of all guests that can run; a template cannot."""
    found: defaultdict[tuple[str, str], list[tuple[GuestState, str]]] = defaultdict(list)
    for guest in (state.guests or {}).values():
        if guest.template:
            continue
        for device, text in (guest.nics or {}).items():
            config = NetN.parse(guest.kind, text)
            if (bridge := config.get("bridge")) and (mac := config.get("mac")):
                found[bridge, mac.lower()].append((guest, device))
    return found
