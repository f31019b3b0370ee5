"""The plan for guests' NICs: which ``netN`` strings change, and why some do not.

NICs are not part of the SDN transaction: a guest's configuration takes effect at once, knows no lock token and has
its own digest. So they are planned apart, after the VNets they need have been verified, with the result that one
guest is written once however many of its NICs change. Pure, like ``domain.plan``.

How a NicAttachment is decided, first answer wins:

==========================================  ====================================================
being deleted, and the guest stays as it is  release
its spec cannot be read                      refused InvalidSpec
no such guest for this namespace             refused RefNotFound, RefNotPermitted if it had been
an older one has the same NIC                refused NicConflict
no such VNet in its namespace                refused RefNotFound
the NIC cannot be on that VNet               refused, by the first of ``checks.REFUSALS``
it is as specified                           in sync
it cannot be written yet                     waiting, by the first of ``checks.WAITS``
otherwise                                    written
==========================================  ====================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pve_evpn.api.conditions import Reason
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.guard import alone
from pve_evpn.domain.nics import checks, render
from pve_evpn.domain.nics.checks import Attachment, first_problem, shown_to
from pve_evpn.domain.nics.fields import api_name, differences, is_virtio
from pve_evpn.domain.nics.guests import attached_to
from pve_evpn.domain.nics.inventory import NicInventory
from pve_evpn.domain.nics.memory import NicMemory, was_programmed
from pve_evpn.domain.nics.model import GuestWrite, NicDecision, NicPlan, NicWrite
from pve_evpn.domain.nics.netn import NetN
from pve_evpn.domain.objects import Desired, ObjectKey, Origin, Resource
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.sdn import Props, SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState, GuestKind, GuestState
from pve_evpn.text import meant

__all__ = ["GuestWrite", "NicDecision", "NicPlan", "NicWrite", "plan_nics"]


def plan_nics(desired: Desired, state: ClusterState, decisions: Mapping[ObjectKey, Decision]) -> NicPlan:
    """Plan every NicAttachment of a cluster. ``decisions`` are those of the SDN plan for the same state."""
    planner = _NicPlanner(desired, state, decisions)
    decided = {nic.key: _alone(planner, nic) for nic in planner.inventory.nics}
    return NicPlan(decided, _one_write_per_guest(decided.values()))


def _alone(planner: _NicPlanner, nic: Resource[NicAttachmentSpec]) -> NicDecision:
    """Decide about one object. Its values must not end the planning of all others, whatever they are."""
    return alone(
        nic.key,
        lambda: planner.decide(nic),
        lambda problem: NicDecision(nic.key, origin=nic.origin, refused=problem),
    )


def _one_write_per_guest(decisions: Iterable[NicDecision]) -> tuple[GuestWrite, ...]:
    by_guest: defaultdict[int, list[NicDecision]] = defaultdict(list)
    for decision in decisions:
        if decision.write and decision.guest:
            by_guest[decision.guest.vmid].append(decision)
    return tuple(
        GuestWrite(
            guest=found[0].guest,
            changes={decision.device: decision.write.text for decision in found if decision.write},
            keys={decision.device: decision.key for decision in found},
        )
        for _, found in sorted(by_guest.items())
        if found[0].guest
    )


class _NicPlanner:
    """What every decision of one plan may ask: the objects, the cluster, the decisions about VNets, the inventory."""

    def __init__(self, desired: Desired, state: ClusterState, decisions: Mapping[ObjectKey, Decision]) -> None:
        self.desired = desired
        self.state = state
        self.decisions = decisions
        self.inventory = NicInventory(desired, state, decisions)

    def decide(self, nic: Resource[NicAttachmentSpec]) -> NicDecision:
        """Decide about one object. It must be called for the oldest object first: it claims MAC addresses."""
        decision = NicDecision(nic.key, origin=nic.origin, managed=self._managed(nic))
        if nic.deleting and self._leaves_guest_alone(nic):
            return replace(decision, release=True, kept=True)
        if nic.spec is None:
            return replace(decision, refused=Problem(Reason.INVALID_SPEC, nic.invalid or "unreadable"))
        decision = replace(decision, device=nic.spec.device)
        if self.state.guests is None:
            problem = Problem(Reason.PENDING, "the guests could not be read yet", retryable=True)
            return replace(decision, waiting=problem)
        guest, refusal = self.inventory.guest_of(nic.key)
        if guest is None:
            # Nothing of a guest that is gone, or no longer ours to touch, holds back a deletion.
            return replace(decision, release=nic.deleting, refused=refusal)
        text = (guest.nics or {}).get(nic.spec.device)
        config = NetN.parse(guest.kind, text) if text is not None else None
        memory = NicMemory.of(nic, guest, config)
        decision = replace(
            decision,
            guest=guest,
            config=config,
            origin=memory.origin,
            attached=memory.origin is not None,
            previous_bridge=memory.previous_bridge,
        )
        if guest.nics is None:
            message = f"the configuration of {guest.label} could not be read"
            message += f": Proxmox answered: {guest.error}" if guest.error else ""
            return replace(decision, waiting=Problem(Reason.PENDING, message, retryable=True))
        if nic.deleting:
            return self._detach(nic, decision, guest, memory)
        return self._attach(nic, nic.spec, decision, guest, memory)

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
        decision: NicDecision,
        guest: GuestState,
        memory: NicMemory,
    ) -> NicDecision:
        owner = self.inventory.owner(guest, spec.device)
        if owner is not None and owner != nic.key:
            message = f"device: {spec.device} of {guest.label} already belongs to {shown_to(owner, nic.key)}"
            return replace(decision, refused=Problem(Reason.NIC_CONFLICT, message))
        vnet = self.decisions.get(ObjectKey("VNet", nic.key.namespace, spec.vnet_ref.name))
        if vnet is None or not vnet.id:
            return replace(decision, refused=self._no_vnet(nic, spec.vnet_ref.name))
        decision = _with_origin(decision, vnet.id, memory)
        config = decision.config or self._new_nic(spec, guest, memory.mac.upper() or None)
        desired = render.as_specified(config, spec, vnet.id)
        zone_id, zone = self._zone(vnet)
        attachment = Attachment(
            nic, spec, guest, decision.config, desired, vnet, zone_id, zone, self.state, self.inventory
        )
        if refusal := first_problem(checks.REFUSALS, attachment):
            return replace(decision, refused=refusal)
        decision = replace(decision, zone_id=zone_id, warnings=self._warnings(attachment))
        return self._compared(attachment, decision)

    def _no_vnet(self, nic: Resource[NicAttachmentSpec], name: str) -> Problem:
        """The VNet is not there, or its zone is of another cluster or of none. Its name is the namespace's own."""
        key, namespace = ObjectKey("VNet", nic.key.namespace, name), nic.key.namespace
        if self.desired.elsewhere.get(key):
            cluster = self.desired.cluster.key.name
            message = f"vnetRef: {key} is of another Proxmox cluster than the guest's (clusterRef: {cluster})"
        elif key in self.desired.elsewhere or key in self.decisions:
            message = f"vnetRef: {key} has no zone that it may use yet; its own Ready condition says why"
        else:
            hint = meant(name, (vnet.key.name for vnet in self.desired.vnets if vnet.key.namespace == namespace))
            message = f"vnetRef: there is no VNet {name!r} in namespace {namespace}{hint}"
        return Problem(Reason.REF_NOT_FOUND, message, retryable=True)

    def _compared(self, attachment: Attachment, decision: NicDecision) -> NicDecision:
        """In sync, waiting or to be written. A string that only reads differently is in sync."""
        nic, guest, actual, desired = attachment.nic, attachment.guest, attachment.actual, attachment.desired
        differing = actual.differing(desired) if actual else None
        if differing == ():
            misplaced = checks.guest_outside_zone(attachment)
            restart = _waits_for_restart(guest, decision)
            return replace(decision, in_sync=True, attached=True, misplaced=misplaced, restart=restart)
        was_here = attached_to(nic) == guest.vmid and nic.status.vnet == attachment.vnet.id
        if was_here and was_programmed(nic):
            decision = replace(decision, missing=actual is None, drift=_drift(attachment))
        changes = differences(actual, desired) if actual else (f"{decision.device} is to be added",)
        decision = replace(decision, changes=changes)
        if wait := first_problem(checks.WAITS, attachment):
            return replace(decision, waiting=wait)
        report_only = getattr(self.desired.cluster.spec, "drift", "Correct") == "Report"
        if not decision.managed or (decision.drift and report_only):
            return decision
        return replace(decision, write=NicWrite(desired.render()))

    def _zone(self, vnet: Decision) -> tuple[str, Props]:
        """The zone of a VNet as it is running now; before it is, nothing is known of it."""
        ref = SdnRef(SdnKind.VNET, vnet.id)
        running = self.state.sdn.running
        zone_id = str(vnet.wanted[0].props["zone"]) if vnet.wanted else ""
        if not zone_id and ref in running:
            zone_id = str(running[ref].props.get("zone") or "")
        zone = running.get(SdnRef(SdnKind.ZONE, zone_id))
        return zone_id, zone.props if zone else {}

    def _new_nic(self, spec: NicAttachmentSpec, guest: GuestState, mac: str | None) -> NetN:
        """A NIC that is not there, or no longer. ``mac``: the one it had."""
        if guest.kind == GuestKind.QEMU:
            return render.new_vm_nic(spec, self.state.version, mac)
        config = render.new_container_nic(spec, guest, self.inventory.interfaces(guest), mac)
        self.inventory.claim_interface(guest, config.get("name") or "")
        return config

    def _warnings(self, attachment: Attachment) -> tuple[str, ...]:
        spec, actual, desired = attachment.spec, attachment.actual, attachment.desired
        found = []
        if desired.kind == GuestKind.QEMU and spec.mtu is not None and not is_virtio(desired):
            found.append(f"mtu has no effect on a {desired.get('model')}: set it inside the guest")
        follows_bridge = self.state.capabilities.nic_mtu_follows_bridge
        if actual and is_virtio(desired) and not desired.get("mtu") and not follows_bridge:
            found.append(f"on Proxmox VE {self.state.version} its MTU may be 1500, more than the VNet's: set mtu: 1")
        return tuple(found)

    # --- detaching ----------------------------------------------------------------------------------------------

    def _detach(
        self, nic: Resource[NicAttachmentSpec], decision: NicDecision, guest: GuestState, memory: NicMemory
    ) -> NicDecision:
        """Take back what was done, if the NIC still is the one it was done to."""
        config = decision.config
        if self.inventory.owner(guest, decision.device) != nic.key:
            return replace(decision, release=True)
        if config is None or config.get("bridge") not in memory.vnets:
            if blocked := _still_plugged_in(guest, decision.device, memory):
                return replace(decision, blocked=blocked)
            return replace(decision, release=True)
        decision = replace(decision, vnet_id=config.get("bridge") or "")
        policy = getattr(nic.spec, "deletion_policy", None) or "Detach"
        if policy == "LinkDown":
            detached: NetN | None = config.with_fields({"link_down": "1"})
        elif memory.origin is Origin.CREATED:
            detached = None
        elif memory.previous_bridge is None:
            where = f"{decision.device} of {guest.label} on {decision.vnet_id}"
            left = f"{where}, because no bridge is known that it was on before"
            return replace(decision, release=True, left=left)
        else:
            detached = config.with_fields({"bridge": memory.previous_bridge or None})
        if detached == config:
            return replace(decision, release=True)
        if nic.paused or self.desired.paused:
            message = "paused: remove the annotation, or set deletionPolicy: Orphan to leave the NIC as it is"
            return replace(decision, blocked=Problem(Reason.DELETION_BLOCKED, message))
        if guest.lock:
            message = f"{guest.label} is locked ({guest.lock}); its NIC is detached when the lock is gone"
            return replace(decision, blocked=Problem(Reason.GUEST_LOCKED, message, retryable=True))
        return replace(decision, write=NicWrite(detached.render() if detached else None))


# --- one NIC --------------------------------------------------------------------------------------------------------


def _with_origin(decision: NicDecision, vnet_id: str, memory: NicMemory) -> NicDecision:
    """How the NIC comes under our care, and the bridge that an adopted one goes back to: "" where it is on none."""
    origin = memory.origin or (Origin.ADOPTED if decision.config else Origin.CREATED)
    previous = memory.previous_bridge
    if previous is None and origin is Origin.ADOPTED and decision.config:
        bridge = decision.config.get("bridge") or ""
        previous = bridge if bridge != vnet_id else None
    return replace(decision, vnet_id=vnet_id, origin=origin, previous_bridge=previous)


def _waits_for_restart(guest: GuestState, decision: NicDecision) -> tuple[str, ...]:
    """The fields whose written value waits for a restart; ``device`` where the whole NIC does."""
    if decision.device not in guest.pending or decision.config is None:
        return ()
    live = guest.pending[decision.device]
    if live is None:
        return ("device",)
    return tuple(api_name(key) for key in NetN.parse(guest.kind, live).differing(decision.config))


def _still_plugged_in(guest: GuestState, device: str, memory: NicMemory) -> Problem | None:
    """A removed NIC stays plugged in, and in the VNet, where the guest could not let it go."""
    live = guest.pending.get(device)
    if live is None or NetN.parse(guest.kind, live).get("bridge") not in memory.vnets:
        return None
    message = f"{device} is detached when {guest.label} is stopped and started; deletionPolicy: Orphan does not wait"
    return Problem(Reason.RESTART_REQUIRED, message, retryable=True)


def _drift(attachment: Attachment) -> tuple[str, ...]:
    """What another client changed on a NIC that had been as specified."""
    actual, desired = attachment.actual, attachment.desired
    if actual is None:
        return (f"{attachment.spec.device} is missing",)
    return differences(actual, desired)
