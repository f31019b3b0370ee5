"""The plan for guests' NICs: which ``netN`` strings change, and why some do not.

NICs are not part of the SDN transaction: a guest's configuration takes effect at once, knows no lock token and has
its own digest. So they are planned apart, after the VNets they need have been verified, with the result that one
guest is written once however many of its NICs change. Pure, like ``domain.plan``.

How a NicAttachment is judged, first answer wins:

==========================================  ====================================================
being deleted, and the guest stays as it is  release
its spec cannot be read                      refused InvalidSpec
no such guest for this namespace             refused RefNotFound, RefNotPermitted if it had been
an older one has the same NIC                refused NicConflict
no such VNet in its namespace                refused RefNotFound
the NIC cannot be on that VNet               refused InvalidSpec, MtuTooBig, NicConflict
the VNet is not up on the guest's node       waiting
the guest is locked                          waiting GuestLocked
otherwise                                    written, if it differs
==========================================  ====================================================

What was done before is remembered in the object's *status*: a tenant can write the annotations of its own objects,
so that neither whose guest it was, nor whether we made the NIC, nor the bridge it goes back to may come from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ConditionType, Reason
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.nics import checks as nic_rules
from pve_evpn.domain.nics import render as nic_text
from pve_evpn.domain.nics.checks import api_name, is_virtio
from pve_evpn.domain.nics.guests import GuestDirectory, attached_to, label
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import Desired, ObjectKey, Origin, Resource, oldest_first
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.sdn import Props, SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState, GuestKind, GuestState


@dataclass(frozen=True, slots=True)
class GuestWrite:
    """One write to one guest: new texts per device, None to remove it."""

    guest: GuestState
    changes: Mapping[str, str | None]
    keys: Mapping[str, ObjectKey]

    def without(self, devices: frozenset[str]) -> GuestWrite:
        """The same write, leaving some devices alone."""
        changes = {device: text for device, text in self.changes.items() if device not in devices}
        return GuestWrite(self.guest, changes, {device: self.keys[device] for device in changes})

    def only(self, device: str) -> GuestWrite:
        """The same write for one device."""
        return self.without(frozenset(self.changes) - {device})


@dataclass(frozen=True, slots=True)
class NicDecision:
    """What is to be done for one NicAttachment; fields as in :class:`domain.decisions.Decision`.

    ``config`` is the NIC as it is now. ``attached``: it is, or was once written, as ``origin`` says. ``restart``
    names the fields that are written and wait for a restart of the guest. ``misplaced``: connected, but where its
    VNet cannot be. ``warnings`` are true whatever the conditions say. ``left`` names the NIC that stays connected when
    the object goes, though its policy is to detach it.
    """

    key: ObjectKey
    guest: GuestState | None = None
    device: str = ""
    vnet_id: str = ""
    zone_id: str = ""
    config: NetN | None = None
    origin: Origin | None = None
    attached: bool = False
    previous_bridge: str = ""
    refused: Problem | None = None
    waiting: Problem | None = None
    blocked: Problem | None = None
    misplaced: Problem | None = None
    release: bool = False
    left: str = ""
    in_sync: bool = False
    managed: bool = True
    missing: bool = False
    restart: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def mac(self) -> str | None:
        return self.config.get("mac") if self.config else None


@dataclass(frozen=True, slots=True)
class NicPlan:
    decisions: Mapping[ObjectKey, NicDecision] = field(default_factory=dict)
    writes: tuple[GuestWrite, ...] = ()


def plan_nics(desired: Desired, state: ClusterState, decisions: Mapping[ObjectKey, Decision]) -> NicPlan:
    """Plan every NicAttachment of a cluster. ``decisions`` are those of the SDN plan for the same state."""
    planner = _NicPlanner(desired, state, decisions)
    judged = {nic.key: planner.decide(nic) for nic in planner.nics}
    return NicPlan(judged, planner.writes(judged))


@dataclass(frozen=True, slots=True)
class _Memory:
    """What is known of earlier writes to this NIC of this guest. ``mac`` is the one it had, "" if that is not known.

    Nothing of it holds for another guest of the same name, nor for another NIC in the place of the one we wrote: a
    number is given to a new guest once the old one is destroyed.
    """

    origin: Origin | None = None
    previous_bridge: str = ""
    vnets: frozenset[str] = frozenset()
    mac: str = ""

    @classmethod
    def of(cls, nic: Resource[NicAttachmentSpec], guest: GuestState, config: NetN | None) -> _Memory:
        if attached_to(nic) != guest.vmid:
            return cls()
        mac = (nic.status.mac_address or "").lower()
        specified = (nic.spec.mac_address if nic.spec else None) or ""
        there = (config.get("mac") if config else None) or ""
        if mac and there and there.lower() not in (mac, specified.lower()):
            return cls()
        vnets = (nic.status.vnet, nic.annotations.get(kinds.ANNOTATION_ATTACHED))
        previous = nic.status.previous_bridge or ""
        return cls(nic.origin, previous, frozenset(str(vnet) for vnet in vnets if vnet), mac)


class _NicPlanner:
    """One run of :func:`plan_nics`. Guests are found first, so that who has which NIC is known to all."""

    def __init__(self, desired: Desired, state: ClusterState, decisions: Mapping[ObjectKey, Decision]) -> None:
        self.desired = desired
        self.state = state
        self.decisions = decisions
        self.directory = GuestDirectory(desired, state)
        self.nics = oldest_first(desired.nics)
        self.rank = {nic.key: position for position, nic in enumerate(self.nics)}
        self.found = {nic.key: self._find(nic) for nic in self.nics}
        self.owners: dict[tuple[int, str], ObjectKey] = {}
        #: By container, what its NICs are to be called inside: two that are added at once must not be called the same.
        self.names: defaultdict[int, set[str]] = defaultdict(set)
        for nic in self.nics:
            guest, _ = self.found[nic.key]
            if guest and nic.spec:
                self.owners.setdefault((guest.vmid, nic.spec.device), nic.key)
                if nic.spec.name:
                    self.names[guest.vmid].add(nic.spec.name)
        self.on_bridge = _macs_by_bridge(state)
        self.macs: dict[tuple[str, str], ObjectKey] = {}
        self.wanted: dict[ObjectKey, str | None] = {}

    def _find(self, nic: Resource[NicAttachmentSpec]) -> tuple[GuestState | None, Problem | None]:
        if nic.spec is None or self.state.guests is None:
            return None, None
        if nic.deleting and (guest := self.directory.attached(nic)):
            return guest, None
        return self.directory.find(nic, nic.spec)

    def decide(self, nic: Resource[NicAttachmentSpec]) -> NicDecision:
        base = NicDecision(nic.key, origin=nic.origin, managed=self._managed(nic))
        if nic.deleting and self._leaves_guest_alone(nic):
            return replace(base, release=True)
        if nic.spec is None:
            return replace(base, refused=Problem(Reason.INVALID_SPEC, nic.invalid or "unreadable"))
        base = replace(base, device=nic.spec.device)
        if self.state.guests is None:
            return replace(base, waiting=Problem(Reason.PENDING, "the guests could not be read yet", retryable=True))
        guest, problem = self.found[nic.key]
        if guest is None:
            # Nothing of a guest that is gone, or no longer ours to touch, holds back a deletion.
            return replace(base, release=nic.deleting, refused=problem)
        text = (guest.nics or {}).get(nic.spec.device)
        config = NetN.parse(guest.kind, text) if text is not None else None
        memory = _Memory.of(nic, guest, config)
        base = replace(
            base,
            guest=guest,
            config=config,
            origin=memory.origin,
            attached=memory.origin is not None,
            previous_bridge=memory.previous_bridge,
        )
        if guest.nics is None:
            message = f"the configuration of {label(guest)} could not be read"
            return replace(base, waiting=Problem(Reason.PENDING, message, retryable=True))
        if nic.deleting:
            return self._detach(nic, base, guest, memory)
        return self._attach(nic, nic.spec, base, guest, memory)

    def _observe_only(self, nic: Resource[NicAttachmentSpec]) -> bool:
        specs = (nic.spec, self.desired.cluster.spec)
        return any(getattr(spec, "management_policy", None) == "ObserveOnly" for spec in specs)

    def _managed(self, nic: Resource[NicAttachmentSpec]) -> bool:
        return not (self._observe_only(nic) or nic.paused or self.desired.paused)

    def _leaves_guest_alone(self, nic: Resource[NicAttachmentSpec]) -> bool:
        policy = getattr(nic.spec, "deletion_policy", None)
        return nic.force_orphan or self._observe_only(nic) or policy == "Orphan" or not nic.origin_confirmed

    # --- attaching ----------------------------------------------------------------------------------------------

    def _attach(
        self,
        nic: Resource[NicAttachmentSpec],
        spec: NicAttachmentSpec,
        base: NicDecision,
        guest: GuestState,
        memory: _Memory,
    ) -> NicDecision:
        holder = self.owners[guest.vmid, spec.device]
        if holder != nic.key:
            message = f"device: {spec.device} of {label(guest)} already belongs to {_other(holder, nic.key)}"
            return replace(base, refused=Problem(Reason.NIC_CONFLICT, message, retryable=True))
        vnet = self.decisions.get(ObjectKey("VNet", nic.key.namespace, spec.vnet_ref.name))
        if vnet is None or not vnet.id:
            message = f"vnetRef: there is no VNet {spec.vnet_ref.name!r} in namespace {nic.key.namespace}"
            return replace(base, refused=Problem(Reason.REF_NOT_FOUND, message, retryable=True))
        base = self._origin(base, vnet.id, memory)
        want = self._text(spec, base, guest, memory)
        zone_id, zone = self._zone(vnet)
        problem = (
            nic_rules.wrong_kind(spec, guest) or nic_rules.vlan(spec, want) or nic_rules.mtu(spec, want, zone_id, zone)
        )
        if problem := problem or self._same_mac(nic, base, guest, want):
            return replace(base, refused=problem)
        base = replace(base, zone_id=zone_id, warnings=self._warnings(spec, want, base))
        return self._judge(nic, base, guest, vnet, want)

    def _origin(self, base: NicDecision, vnet_id: str, memory: _Memory) -> NicDecision:
        origin = memory.origin or (Origin.ADOPTED if base.config else Origin.CREATED)
        previous = memory.previous_bridge
        if not previous and origin is Origin.ADOPTED and base.config:
            bridge = base.config.get("bridge") or ""
            previous = bridge if bridge != vnet_id else ""
        return replace(base, vnet_id=vnet_id, origin=origin, previous_bridge=previous)

    def _judge(
        self, nic: Resource[NicAttachmentSpec], base: NicDecision, guest: GuestState, vnet: Decision, want: NetN
    ) -> NicDecision:
        """In sync or not, and whether it can be written now. Texts that only read differently are in sync."""
        differing = base.config.differing(want) if base.config else None
        if differing == ():
            outside = self._outside(base.zone_id, guest)
            return replace(base, in_sync=True, attached=True, misplaced=outside, restart=_not_live(guest, base))
        if was_programmed(nic) and attached_to(nic) == guest.vmid and nic.status.vnet == vnet.id:
            base = replace(base, missing=base.config is None, drift=_drift(base, want, differing))
        if waiting := self._not_ready(guest, vnet, base.zone_id):
            return replace(base, waiting=waiting)
        if guest.lock:
            message = f"{label(guest)} is locked ({guest.lock}); its NIC is written when the lock is gone"
            return replace(base, waiting=Problem(Reason.GUEST_LOCKED, message, retryable=True))
        report_only = getattr(self.desired.cluster.spec, "drift", "Correct") == "Report"
        if base.managed and not (base.drift and report_only):
            self.wanted[nic.key] = want.render()
        return base

    def _zone(self, vnet: Decision) -> tuple[str, Props]:
        """The zone of a VNet as it is running now; before it is, nothing is known of it."""
        ref = SdnRef(SdnKind.VNET, vnet.id)
        running = self.state.sdn.running
        zone_id = str(vnet.wanted[0].props["zone"]) if vnet.wanted else ""
        if not zone_id and ref in running:
            zone_id = str(running[ref].props.get("zone") or "")
        zone = running.get(SdnRef(SdnKind.ZONE, zone_id))
        return zone_id, zone.props if zone else {}

    def _not_ready(self, guest: GuestState, vnet: Decision, zone: str) -> Problem | None:
        """A NIC on a bridge that is not there fails at the guest's next start, so the VNet comes first."""
        if not vnet.in_sync:
            why = vnet.refused.message if vnet.refused else "it is not programmed yet"
            message = f"waits for {vnet.key}: {why}"
            return Problem(Reason.WAITING_FOR_DEPENDENCIES, message, retryable=True)
        if outside := self._outside(zone, guest):
            return outside
        node = self.state.nodes.get(guest.node)
        if node is None or node.zones is None:
            message = f"node {guest.node} cannot be asked whether VNet {vnet.id} is there"
            return Problem(Reason.WAITING_FOR_DEPENDENCIES, message, retryable=True)
        if node.zones.get(zone) != "available":
            status = node.zones.get(zone, "absent")
            message = f"zone {zone} is {status} on node {guest.node}, where {label(guest)} is"
            return Problem(Reason.WAITING_FOR_DEPENDENCIES, message, retryable=True)
        return None

    def _outside(self, zone: str, guest: GuestState) -> Problem | None:
        running = self.state.sdn.running.get(SdnRef(SdnKind.ZONE, zone))
        nodes = running.props.get("nodes") if running else None
        if not nodes or guest.node in nodes:
            return None
        message = f"{label(guest)} is on node {guest.node}, where zone {zone} is not (nodes: {', '.join(nodes)})"
        return Problem(Reason.NODE_NOT_IN_ZONE, message, retryable=True)

    def _same_mac(
        self, nic: Resource[NicAttachmentSpec], base: NicDecision, guest: GuestState, want: NetN
    ) -> Problem | None:
        """Two NICs with one MAC in one VNet make the MAC flap between their nodes."""
        mac = (want.get("mac") or "").lower()
        if not mac:
            return None
        holder = self.macs.setdefault((base.vnet_id, mac), nic.key)
        if holder != nic.key:
            message = f"macAddress: {mac} is already used in VNet {base.vnet_id} by {_other(holder, nic.key)}"
            return Problem(Reason.NIC_CONFLICT, message, retryable=True)
        mine = (guest.vmid, base.device)
        here = base.config is not None and base.config.get("bridge") == base.vnet_id
        for other, device in self.on_bridge.get((base.vnet_id, mac), ()):
            owner = self.owners.get((other.vmid, device))
            if (other.vmid, device) == mine or (here and owner and self.rank[owner] > self.rank[nic.key]):
                continue
            known = self.directory.permits(nic.key.namespace, other)
            who = f"{device} of {label(other)}" if known else "a guest this namespace may not use"
            message = f"macAddress: {mac} is already used in VNet {base.vnet_id} by {who}"
            return Problem(Reason.NIC_CONFLICT, message, retryable=True)
        return None

    def _text(self, spec: NicAttachmentSpec, base: NicDecision, guest: GuestState, memory: _Memory) -> NetN:
        """The netN string with the fields the spec sets, everything else as it is."""
        config = base.config or self._new(spec, guest, memory.mac.upper() or None)
        return nic_text.as_specified(config, spec, base.vnet_id)

    def _new(self, spec: NicAttachmentSpec, guest: GuestState, mac: str | None) -> NetN:
        """A NIC that is not there, or no longer. ``mac``: the one it had."""
        if guest.kind == GuestKind.QEMU:
            return nic_text.new_vm_nic(spec, self.state.version, mac)
        promised = self.names[guest.vmid]
        config = nic_text.new_container_nic(spec, guest, promised, mac)
        promised.add(config.get("name") or "")
        return config

    def _warnings(self, spec: NicAttachmentSpec, want: NetN, base: NicDecision) -> tuple[str, ...]:
        found = []
        if want.kind == GuestKind.QEMU and spec.mtu is not None and not is_virtio(want):
            found.append(f"mtu has no effect on a {want.get('model')}: set it inside the guest")
        if (
            base.config
            and is_virtio(want)
            and not want.get("mtu")
            and not self.state.capabilities.nic_mtu_follows_bridge
        ):
            found.append(f"on Proxmox VE {self.state.version} its MTU may be 1500, more than the VNet's: set mtu: 1")
        return tuple(found)

    # --- detaching ----------------------------------------------------------------------------------------------

    def _detach(
        self, nic: Resource[NicAttachmentSpec], base: NicDecision, guest: GuestState, memory: _Memory
    ) -> NicDecision:
        """Undo what was done, if the NIC still is the one it was done to."""
        config = base.config
        if self.owners[guest.vmid, base.device] != nic.key:
            return replace(base, release=True)
        if config is None or config.get("bridge") not in memory.vnets:
            if waiting := _still_live(guest, base.device, memory):
                return replace(base, blocked=waiting)
            return replace(base, release=True)
        base = replace(base, vnet_id=config.get("bridge") or "")
        policy = getattr(nic.spec, "deletion_policy", None) or "Detach"
        if policy == "LinkDown":
            want: NetN | None = config.with_fields({"link_down": "1"})
        elif memory.origin is Origin.CREATED:
            want = None
        elif not memory.previous_bridge:
            where = f"{base.device} of {label(guest)} on {base.vnet_id}"
            left = f"{where}, because no bridge is known that it was on before"
            return replace(base, release=True, left=left)
        else:
            want = config.with_fields({"bridge": memory.previous_bridge})
        if want == config:
            return replace(base, release=True)
        if nic.paused or self.desired.paused:
            message = "paused: remove the annotation, or set deletionPolicy: Orphan to leave the NIC as it is"
            return replace(base, blocked=Problem(Reason.DELETION_BLOCKED, message))
        if guest.lock:
            message = f"{label(guest)} is locked ({guest.lock}); its NIC is detached when the lock is gone"
            return replace(base, blocked=Problem(Reason.GUEST_LOCKED, message, retryable=True))
        self.wanted[nic.key] = want.render() if want else None
        return base

    # --- writes -------------------------------------------------------------------------------------------------

    def writes(self, judged: Mapping[ObjectKey, NicDecision]) -> tuple[GuestWrite, ...]:
        """One write per guest."""
        changes: defaultdict[int, dict[str, str | None]] = defaultdict(dict)
        keys: defaultdict[int, dict[str, ObjectKey]] = defaultdict(dict)
        guests: dict[int, GuestState] = {}
        for key, want in self.wanted.items():
            decision = judged[key]
            assert decision.guest is not None
            vmid = decision.guest.vmid
            guests[vmid] = decision.guest
            changes[vmid][decision.device] = want
            keys[vmid][decision.device] = key
        return tuple(GuestWrite(guests[vmid], changes[vmid], keys[vmid]) for vmid in sorted(guests))


# --- what a NIC is ------------------------------------------------------------------------------------------------


def _macs_by_bridge(state: ClusterState) -> Mapping[tuple[str, str], list[tuple[GuestState, str]]]:
    """Every NIC of every guest that could run, by bridge and MAC."""
    found: defaultdict[tuple[str, str], list[tuple[GuestState, str]]] = defaultdict(list)
    for guest in (state.guests or {}).values():
        if guest.template:
            continue
        for device, text in (guest.nics or {}).items():
            config = NetN.parse(guest.kind, text)
            if (bridge := config.get("bridge")) and (mac := config.get("mac")):
                found[bridge, mac.lower()].append((guest, device))
    return found


def _not_live(guest: GuestState, decision: NicDecision) -> tuple[str, ...]:
    """The fields whose written value waits for a restart; ``device`` where the whole NIC does."""
    if decision.device not in guest.pending or decision.config is None:
        return ()
    live = guest.pending[decision.device]
    if live is None:
        return ("device",)
    return tuple(api_name(key) for key in NetN.parse(guest.kind, live).differing(decision.config))


def _still_live(guest: GuestState, device: str, memory: _Memory) -> Problem | None:
    """A removed NIC stays plugged in, and in the VNet, where the guest could not let it go."""
    live = guest.pending.get(device)
    if live is None or NetN.parse(guest.kind, live).get("bridge") not in memory.vnets:
        return None
    message = f"{device} is detached when {label(guest)} is stopped and started; deletionPolicy: Orphan does not wait"
    return Problem(Reason.RESTART_REQUIRED, message, retryable=True)


def _drift(base: NicDecision, want: NetN, differing: tuple[str, ...] | None) -> tuple[str, ...]:
    if base.config is None or differing is None:
        return (f"{base.device} is missing",)
    have = base.config
    return tuple(
        f"{api_name(key)} is {have.get(key) or 'not set'}, specified {want.get(key) or 'not set'}" for key in differing
    )


def _other(holder: ObjectKey, asking: ObjectKey) -> str:
    """Another object by name, unless it is in a namespace that is none of the asker's business."""
    return str(holder) if holder.namespace == asking.namespace else "a NicAttachment of another namespace"


def was_programmed(nic: Resource[Any]) -> bool:
    """Whether the present generation had been programmed at the last report."""
    if nic.status.observed_generation != nic.generation:
        return False
    programmed = nic.status.condition(ConditionType.PROGRAMMED)
    return programmed is not None and (
        programmed.status == "True" or programmed.reason in (Reason.FIELDS_DIFFER, Reason.MISSING_EXTERNALLY)
    )
