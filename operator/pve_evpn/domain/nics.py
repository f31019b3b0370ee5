"""The plan for guests' NICs: which ``netN`` strings change, and why some do not.

NICs are not part of the SDN transaction: a guest's configuration takes effect at once, knows no lock token and has
its own digest. So they are planned apart, after the VNets they need have been verified, with the result that one
guest is written once however many of its NICs change. Pure, like ``domain.plan``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.conditions import Reason
from pve_evpn.api.nic import NicAttachmentSpec
from pve_evpn.domain.decisions import Decision, Finding
from pve_evpn.domain.netn import NetN, new_lxc, new_qemu
from pve_evpn.domain.observed import GuestInfo, Observed
from pve_evpn.domain.resources import Desired, ObjectKey, Origin, Resource, oldest_first
from pve_evpn.domain.selectors import matches

#: Our field names to Proxmox' keys inside a netN string, by kind of guest.
_COMMON = {
    "firewall": "firewall",
    "link_down": "link_down",
    "mtu": "mtu",
    "rate_limit_m_bps": "rate",
    "tag": "tag",
}
_QEMU = {**_COMMON, "model": "model", "queues": "queues"}
_LXC = {**_COMMON, "name": "name", "ip": "ip", "gw": "gw", "ip6": "ip6", "gw6": "gw6"}


@dataclass(frozen=True, slots=True)
class GuestWrite:
    """One write to one guest: new texts per device, None to remove it."""

    guest: GuestInfo
    changes: Mapping[str, str | None]
    keys: tuple[ObjectKey, ...]


@dataclass(frozen=True, slots=True)
class NicDecision:
    """What is to be done for one NicAttachment; fields as in :class:`domain.decisions.Decision`.

    ``config`` is the NIC as it is now, ``restart`` says that the written value waits for a restart of the guest.
    """

    key: ObjectKey
    guest: GuestInfo | None = None
    device: str = ""
    vnet_id: str = ""
    config: NetN | None = None
    origin: Origin | None = None
    previous_bridge: str = ""
    refused: Finding | None = None
    waiting: Finding | None = None
    blocked: Finding | None = None
    release: bool = False
    in_sync: bool = False
    managed: bool = True
    restart: bool = False
    drift: tuple[str, ...] = ()

    @property
    def mac(self) -> str | None:
        return self.config.get("mac") if self.config else None


@dataclass(frozen=True, slots=True)
class NicPlan:
    decisions: Mapping[ObjectKey, NicDecision] = field(default_factory=dict)
    writes: tuple[GuestWrite, ...] = ()


def plan_nics(desired: Desired, observed: Observed, decisions: Mapping[ObjectKey, Decision]) -> NicPlan:
    """Plan every NicAttachment of a cluster. ``decisions`` are those of the SDN plan for the same state."""
    planner = _NicPlanner(desired, observed, decisions)
    judged = {nic.key: planner.decide(nic) for nic in oldest_first(desired.nics)}
    return NicPlan(judged, planner.writes(judged))


class _NicPlanner:
    def __init__(self, desired: Desired, observed: Observed, decisions: Mapping[ObjectKey, Decision]) -> None:
        self.desired = desired
        self.observed = observed
        self.decisions = decisions
        self.taken: dict[tuple[int, str], ObjectKey] = {}
        self.wanted: dict[ObjectKey, str | None] = {}

    def decide(self, nic: Resource[NicAttachmentSpec]) -> NicDecision:
        if nic.spec is None:
            return NicDecision(nic.key, refused=Finding(Reason.INVALID_SPEC, nic.invalid or "unreadable"))
        base = NicDecision(nic.key, device=nic.spec.device, origin=nic.origin)
        if nic.deleting and self._leaves_guest_alone(nic):
            return replace(base, release=True)
        if self.observed.guests is None:
            return replace(base, waiting=Finding(Reason.PENDING, "the guests could not be read yet", heals=True))
        guest, finding = self._find(nic, nic.spec)
        if guest is None or finding:
            # Nothing of a guest that is gone, or no longer ours to touch, holds back a deletion.
            return replace(base, guest=guest, release=nic.deleting, refused=finding)
        base = replace(base, guest=guest, managed=self._managed(nic))
        if guest.nics is None:
            message = f"the configuration of {label(guest)} could not be read"
            return replace(base, waiting=Finding(Reason.PENDING, message, heals=True))
        text = guest.nics.get(nic.spec.device)
        base = replace(base, config=NetN.parse(guest.kind, text) if text is not None else None)
        return self._detach(nic, base) if nic.deleting else self._attach(nic, nic.spec, base)

    # --- who may use what ---------------------------------------------------------------------------------------

    def _find(self, nic: Resource[Any], spec: NicAttachmentSpec) -> tuple[GuestInfo | None, Finding | None]:
        """The guest, or why not. A guest one may not use looks like one that is not there."""
        asked = f"vmid {spec.guest.vmid}" if spec.guest.vmid is not None else f"name {spec.guest.name!r}"
        found = [
            guest
            for guest in (self.observed.guests or {}).values()
            if (guest.vmid == spec.guest.vmid if spec.guest.vmid is not None else guest.name == spec.guest.name)
            and (spec.type is None or guest.kind == spec.type)
            and self._permitted(nic.key.namespace, guest)
        ]
        if not found:
            return None, Finding(
                Reason.REF_NOT_FOUND,
                f"guest: there is no guest with {asked} that this object may use",
                heals=True,
            )
        if len(found) > 1:
            listed = ", ".join(str(guest.vmid) for guest in found)
            message = f"guest: several guests have {asked} ({listed}); use vmid"
            return None, Finding(Reason.REF_NOT_FOUND, message, heals=True)
        if found[0].template:
            return None, Finding(Reason.INVALID_SPEC, f"guest: {label(found[0])} is a template", heals=True)
        return found[0], None

    def _permitted(self, namespace: str, guest: GuestInfo) -> bool:
        labels = self.desired.namespaces.get(namespace, {})
        spec = self.desired.cluster.spec
        for grant in (spec.guest_access or ()) if spec else ():
            if not matches(grant.namespaces, labels):
                continue
            pools, tags = grant.guests.pools or (), grant.guests.tags or ()
            ranges = grant.guests.vmids or ()
            if (
                guest.pool in pools
                or guest.tags & set(tags)
                or any(span.from_ <= guest.vmid <= span.to for span in ranges)
            ):
                return True
        return False

    def _managed(self, nic: Resource[Any]) -> bool:
        observe_only = getattr(nic.spec, "management_policy", "Full") == "ObserveOnly"
        return not (observe_only or nic.paused or self.desired.paused)

    # --- attaching ----------------------------------------------------------------------------------------------

    def _attach(self, nic: Resource[Any], spec: NicAttachmentSpec, base: NicDecision) -> NicDecision:
        guest = base.guest
        assert guest is not None
        holder = self.taken.setdefault((guest.vmid, spec.device), nic.key)
        if holder != nic.key:
            message = f"device: {spec.device} of {label(guest)} already belongs to {holder}"
            return replace(base, refused=Finding(Reason.NIC_CONFLICT, message))
        vnet = self.decisions.get(ObjectKey("VNet", nic.key.namespace, spec.vnet_ref.name))
        if vnet is None or not vnet.id:
            message = f"vnetRef: there is no VNet {spec.vnet_ref.name!r} in namespace {nic.key.namespace}"
            return replace(base, refused=Finding(Reason.REF_NOT_FOUND, message, heals=True))
        origin = base.origin or (Origin.ADOPTED if base.config else Origin.CREATED)
        base = replace(base, vnet_id=vnet.id, origin=origin, previous_bridge=_previous_bridge(nic, base, vnet.id))
        want = self._text(spec, base)
        have = base.config.render() if base.config else None
        base = replace(base, in_sync=want == have, restart=spec.device in guest.pending)
        if not base.in_sync:
            if waiting := self._not_ready(guest, vnet):
                return replace(base, waiting=waiting)
            if guest.lock:
                message = f"{label(guest)} is locked ({guest.lock}); its NIC is written when the lock is gone"
                return replace(base, waiting=Finding(Reason.GUEST_LOCKED, message, heals=True))
            if base.managed:
                self.wanted[nic.key] = want
        return base

    def _not_ready(self, guest: GuestInfo, vnet: Decision) -> Finding | None:
        """A NIC on a bridge that is not there fails at the guest's next start, so the VNet comes first."""
        if not vnet.in_sync:
            why = vnet.refused.message if vnet.refused else "it is not programmed yet"
            message = f"waits for {vnet.key}: {why}"
            return Finding(Reason.WAITING_FOR_DEPENDENCIES, message, heals=True)
        zone = str(vnet.wanted[0].props["zone"])
        node = self.observed.nodes.get(guest.node)
        if node is None or node.zones is None:
            message = f"node {guest.node} cannot be asked whether VNet {vnet.id} is there"
            return Finding(Reason.WAITING_FOR_DEPENDENCIES, message, heals=True)
        if node.zones.get(zone) != "available":
            status = node.zones.get(zone, "absent")
            message = f"zone {zone} is {status} on node {guest.node}, where {label(guest)} is"
            return Finding(Reason.WAITING_FOR_DEPENDENCIES, message, heals=True)
        return None

    def _text(self, spec: NicAttachmentSpec, base: NicDecision) -> str:
        """The netN string with the fields the spec sets, everything else as it is."""
        guest = base.guest
        assert guest is not None
        config = base.config
        if config is None:
            mac = spec.mac_address.upper() if spec.mac_address else None
            config = (
                new_qemu(spec.model or "virtio", mac)
                if guest.kind == "qemu"
                else new_lxc(spec.name or spec.device.replace("net", "eth"), mac)
            )
        fields: dict[str, str | None] = {}
        if spec.mac_address and (config.get("mac") or "").upper() != spec.mac_address.upper():
            fields["mac"] = spec.mac_address.upper()
        for name, key in (_QEMU if guest.kind == "qemu" else _LXC).items():
            value = getattr(spec, name, None)
            if value is not None and not _same(config.get(key), value):
                fields[key] = _text_of(value)
        if spec.trunks:
            fields["trunks"] = ";".join(str(vid) for vid in spec.trunks)
        if config.get("bridge") != base.vnet_id:
            fields["bridge"] = base.vnet_id
        return config.with_fields(fields).render()

    # --- detaching ----------------------------------------------------------------------------------------------

    def _leaves_guest_alone(self, nic: Resource[Any]) -> bool:
        policy = getattr(nic.spec, "deletion_policy", None) or "Detach"
        observe_only = getattr(nic.spec, "management_policy", "Full") == "ObserveOnly"
        return nic.force_orphan or observe_only or policy == "Orphan" or nic.origin is None

    def _detach(self, nic: Resource[Any], base: NicDecision) -> NicDecision:
        guest, config = base.guest, base.config
        assert guest is not None
        vnet_id = str(nic.status.get("vnet") or nic.annotations.get(kinds.ANNOTATION_ATTACHED) or "")
        policy = getattr(nic.spec, "deletion_policy", None) or "Detach"
        if config is None or config.get("bridge") != vnet_id:
            return replace(base, release=True)
        previous = _previous_bridge(nic, base, vnet_id)
        if policy == "LinkDown":
            want: str | None = config.with_fields({"link_down": "1"}).render()
            if config.get("link_down") == "1":
                return replace(base, release=True)
        elif nic.origin is Origin.CREATED:
            want = None
        elif previous:
            want = config.with_fields({"bridge": previous}).render()
        else:
            return replace(base, release=True)
        if nic.paused or self.desired.paused:
            message = "paused: remove the annotation, or set deletionPolicy: Orphan to leave the NIC as it is"
            return replace(base, blocked=Finding(Reason.DELETION_BLOCKED, message))
        if guest.lock:
            message = f"{label(guest)} is locked ({guest.lock}); its NIC is detached when the lock is gone"
            return replace(base, blocked=Finding(Reason.GUEST_LOCKED, message, heals=True))
        self.wanted[nic.key] = want
        return base

    # --- writes -------------------------------------------------------------------------------------------------

    def writes(self, judged: Mapping[ObjectKey, NicDecision]) -> tuple[GuestWrite, ...]:
        """One write per guest."""
        by_guest: dict[int, dict[str, str | None]] = {}
        keys: dict[int, list[ObjectKey]] = {}
        guests: dict[int, GuestInfo] = {}
        for key, want in self.wanted.items():
            decision = judged[key]
            assert decision.guest is not None
            guests[decision.guest.vmid] = decision.guest
            by_guest.setdefault(decision.guest.vmid, {})[decision.device] = want
            keys.setdefault(decision.guest.vmid, []).append(key)
        return tuple(GuestWrite(guests[vmid], by_guest[vmid], tuple(keys[vmid])) for vmid in sorted(by_guest))


def label(guest: GuestInfo) -> str:
    """``VM 100 (web)``."""
    name = f" ({guest.name})" if guest.name else ""
    return f"{'VM' if guest.kind == 'qemu' else 'container'} {guest.vmid}{name}"


def _previous_bridge(nic: Resource[Any], base: NicDecision, vnet_id: str) -> str:
    """Where the NIC was before us; remembered ahead of the first write, so that a crash does not lose it."""
    known = nic.annotations.get(kinds.ANNOTATION_PREVIOUS_BRIDGE) or nic.status.get("previousBridge")
    if known:
        return str(known)
    bridge = base.config.get("bridge") if base.config else None
    return bridge if bridge and bridge != vnet_id else ""


def _same(have: str | None, want: Any) -> bool:
    if isinstance(want, bool):
        return (have == "1") == want
    if isinstance(want, float):
        return have is not None and float(have) == want
    return have == str(want)


def _text_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "1" if value else None
    return f"{value:g}" if isinstance(value, float) else str(value)
