"""Pins: the MACs of silent guests that stay advertised, on which node, and why one cannot be pinned. Pure.

The MAC of a guest that never sends anything ages out of its bridge, and EVPN withdraws the route. Two things prevent
that: the zone's ``bridgeMacLearning: false``, with which Proxmox pins the MAC of every NIC when it is plugged in, and a
plain ``static`` entry of the bridge that a helper on the node makes for one NIC, called a pin. The pin of an object is
remembered in ``status.pin`` and nowhere else.

Measured rules: a pin belongs on the node where the guest runs, and is removed before its NIC goes, moves or changes.
It is never ``sticky``, which would keep the MAC there after its guest has moved. Where EVPN has the MAC on another node
no pin is made, because the last writer wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pve_evpn.api.nic import NicAttachmentSpec, PinView
from pve_evpn.domain.guard import alone
from pve_evpn.domain.nics import NicDecision, NicPlan
from pve_evpn.domain.nics.netn import NetN, same
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.observation import ClusterObservation, MacRow
from pve_evpn.domain.plan.model import Plan
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState, GuestState
from pve_evpn.text import some_of

#: Locks of a guest whose NIC is about to leave the node: the pin goes first.
_LEAVING = frozenset(["migrate"])


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One MAC kept on one node. The helper finds the port by guest and NIC."""

    node: str
    vnet: str
    vmid: int
    device: str
    mac: str

    @property
    def words(self) -> str:
        """As the helper reads it."""
        return f"{self.vnet} {self.vmid} {self.device.removeprefix('net')} {self.mac}"

    def status(self) -> PinView:
        """As ``status.pin`` has it."""
        return PinView(node=self.node, vnet=self.vnet, vmid=self.vmid, mac_address=self.mac)


@dataclass(frozen=True, slots=True, order=True)
class Zombie:
    """A MAC a node still advertises though no port of it has it (FRR 10.3 misses some deletions)."""

    node: str
    vnet: str
    mac: str


@dataclass(frozen=True, slots=True)
class PinState:
    """What the status says of an object's pin.

    ``pinned``: None where it is not known. ``pin``: the one that is, or may be, on a node. ``note``: why it is not
    pinned, or a warning. ``holds``: the object must not be released yet, because its status alone remembers the pin.
    """

    pinned: bool | None = None
    pin: Pin | None = None
    note: str = ""
    holds: bool = False


@dataclass(frozen=True, slots=True)
class PinPlan:
    """``desired`` pins are made, ``stale`` ones removed; ``states`` are known without asking a node."""

    desired: Mapping[ObjectKey, Pin] = field(default_factory=dict)
    stale: Mapping[ObjectKey, Pin] = field(default_factory=dict)
    states: Mapping[ObjectKey, PinState] = field(default_factory=dict)
    zombies: frozenset[Zombie] = frozenset()


def pin_of(nic: Resource[Any]) -> Pin | None:
    """The pin an object has, or may have, as its status remembers."""
    pin, device = nic.status.pin, nic.spec.device if nic.spec else nic.status.device
    if not pin or not device:
        return None
    return Pin(pin.node, pin.vnet, pin.vmid, device, pin.mac_address.lower())


def plan_pins(
    desired: Desired, state: ClusterState, plan: Plan, nics: NicPlan, observation: ClusterObservation | None
) -> PinPlan:
    """Plan the pins of one cluster. ``observation`` is the newest one; None before the first, or without a source."""
    planner = _PinPlanner(desired, state, observation)
    for nic in desired.nics:
        if decision := nics.decisions.get(nic.key):
            alone(nic.key, partial(planner.decide, nic, decision), lambda _: None)
    zombies = _zombies(plan, observation) if planner.enabled and observation else frozenset()
    pinned_again = {Zombie(pin.node, pin.vnet, pin.mac) for pin in planner.desired.values()}
    return PinPlan(planner.desired, planner.stale, planner.states, zombies - pinned_again)


def enabled(desired: Desired) -> bool:
    """Whether pinning by the helper is allowed for the cluster."""
    observe = desired.cluster.spec.observe if desired.cluster.spec else None
    return bool(observe and observe.ssh and observe.ssh.pinning and "ssh" in (observe.sources or ()))


class _PinPlanner:
    """One run of :func:`plan_pins`: collects what is to be made, removed and said."""

    def __init__(self, desired: Desired, state: ClusterState, observation: ClusterObservation | None) -> None:
        self.enabled = enabled(desired)
        self.state = state
        self.macs = _macs_by_port(observation)
        self.desired: dict[ObjectKey, Pin] = {}
        self.stale: dict[ObjectKey, Pin] = {}
        self.states: dict[ObjectKey, PinState] = {}

    def decide(self, nic: Resource[NicAttachmentSpec], decision: NicDecision) -> None:
        """Decide about one object."""
        held = pin_of(nic)
        if not nic.deleting and (not decision.managed or self._is_unknown(nic, decision)):
            # Paused, observed only, or not known now: what is pinned stays, and nothing new is pinned.
            self.states[nic.key] = PinState(nic.status.pinned if held else None, held)
            return
        wish = self._wish(nic, decision, held)
        if isinstance(wish, Pin):
            self.desired[nic.key] = wish
        elif wish is not None:
            self.states[nic.key] = wish
        if held and held != wish and not pinned_by_zone(self.state, held):
            self.stale[nic.key] = held

    def _is_unknown(self, nic: Resource[NicAttachmentSpec], decision: NicDecision) -> bool:
        """A read that failed is no reason to remove a pin: EVPN would withdraw the host."""
        guest = decision.guest
        unread = guest is not None and (guest.nics is None or not guest.known)
        return nic.spec is None or self.state.guests is None or unread

    def _wish(self, nic: Resource[NicAttachmentSpec], decision: NicDecision, held: Pin | None) -> Pin | PinState | None:
        """The pin the object is to have, or its state without one; None where there is nothing to say."""
        guest, asked = decision.guest, getattr(nic.spec, "silent_host", None) == "Pin"
        bridge = decision.config.get("bridge") if decision.config and not decision.refused else None
        # Until it can be written to its new VNet (its guest may be locked), it is kept on the one it is on.
        connected = bridge is not None and bridge in (decision.vnet_id, held.vnet if held else None)
        if nic.deleting or guest is None or not connected:
            return PinState(False, note="not pinned before it is connected") if asked and not nic.deleting else None
        if asked and self.enabled:
            return self._by_helper(decision, guest)
        several = self._several_macs(decision, guest)
        if _pins(self.state, decision.zone_id):
            return _pinned_by_zone(nic, guest, several)
        if not asked:
            return None
        return PinState(False, note=f"not pinned: {_PROPOSAL}{f'; {several}' if several else ''}")

    def _by_helper(self, decision: NicDecision, guest: GuestState) -> Pin | PinState:
        config = decision.config
        assert config is not None
        if not guest.running:
            return PinState(False, note="not pinned while the guest is stopped")
        if guest.lock in _LEAVING:
            return PinState(False, note="not pinned while the guest migrates")
        if decision.misplaced or not _is_live(decision, guest):
            return PinState(False, note="not pinned until the NIC is connected as specified")
        if same("link_down", config.get("link_down"), "1"):
            return PinState(False, note="not pinned while the link is down")
        mac = (decision.mac or "").lower()
        return Pin(guest.node, config.get("bridge") or "", guest.vmid, decision.device, mac)

    def _several_macs(self, decision: NicDecision, guest: GuestState) -> str:
        """MACs of guests inside the guest, or of addresses that float: without learning they would be cut off."""
        mine = (decision.mac or "").lower()
        number = decision.device.removeprefix("net")
        ports = (f"tap{guest.vmid}i{number}", f"fwpr{guest.vmid}p{number}", f"veth{guest.vmid}i{number}")
        others = sorted({mac for port in ports for mac in self.macs.get((guest.node, port), ()) if mac != mine})
        if not others:
            return ""
        listed = some_of(others, most=3)
        return f"{guest.label} uses further MAC addresses ({listed}), which bridgeMacLearning: false would cut off"


def pinned_by_zone(state: ClusterState, pin: Pin) -> bool:
    """Whether the pin's zone pins by itself: then the entry is Proxmox' as much as ours, and is never removed.

    With learning off, nothing brings the MAC back before the NIC is plugged in again.
    """
    vnet = state.sdn.running.get(SdnRef(SdnKind.VNET, pin.vnet))
    return vnet is not None and _pins(state, str(vnet.props.get("zone") or ""))


def _pins(state: ClusterState, zone_id: str) -> bool:
    zone = state.sdn.running.get(SdnRef(SdnKind.ZONE, zone_id))
    return bool(zone and zone.props.get("bridge-disable-mac-learning"))


def _is_live(decision: NicDecision, guest: GuestState) -> bool:
    """Whether bridge and MAC are in force; other fields may well wait for a restart."""
    if decision.device not in guest.pending or decision.config is None:
        return True
    live = guest.pending[decision.device]
    return live is not None and not {"bridge", "mac"} & set(NetN.parse(guest.kind, live).differing(decision.config))


#: What to do about a host that fell silent.
REMEDY = "silentHost: Pin keeps the MAC of a host advertised that seldom sends anything"
_PROPOSAL = (
    "set bridgeMacLearning: false on the EvpnZone, so that Proxmox pins the MAC of every NIC in it, or "
    "observe.ssh.pinning on the ProxmoxCluster"
)
_REPLUG = (
    "the zone has bridgeMacLearning: false, but the MAC is not advertised: Proxmox pins it when the NIC is plugged in, "
    "so stop and start the guest"
)


def _pinned_by_zone(nic: Resource[NicAttachmentSpec], guest: GuestState, several: str) -> PinState:
    """Proxmox pins the MAC; whether it did shows in what is advertised."""
    verdict = nic.status.evpn.verdict if nic.status.evpn else None
    if not guest.running:
        return PinState(False, note=several)
    if verdict in ("Silent", "NeverSeen"):
        return PinState(False, note=_REPLUG)
    return PinState(True if verdict == "Advertised" else None, note=several)


def _macs_by_port(observation: ClusterObservation | None) -> Mapping[tuple[str, str], set[str]]:
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for node in observation.answered().values() if observation else ():
        for row in node.macs or ():
            if row.type == "local" and row.interface:
                found[node.node, row.interface].add(row.mac)
    return found


def _zombies(plan: Plan, observation: ClusterObservation) -> frozenset[Zombie]:
    """Of our own VNets only."""
    vnets = {decision.vni: decision.id for decision in plan.decisions.values() if decision.key.kind == "VNet"}
    return frozenset(
        Zombie(node.node, vnets[row.vni], row.mac)
        for node in observation.answered().values()
        for row in _dead(node.macs or ())
        if row.vni in vnets
    )


def _dead(rows: Iterable[MacRow]) -> Iterable[MacRow]:
    return (row for row in rows if row.zombie)
