"""What there is to look at: the overlays, VNIs and MACs of one cluster, with the nodes they should be on.

Made from a plan and the Proxmox side it was made for; where Proxmox has not answered since the start, from what the
statuses remember. Pure values: `domain.health` lays an observation of the nodes over them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_evpn.api.controller import EvpnControllerSpec
from pve_evpn.domain.decisions import Plan
from pve_evpn.domain.nic_rules import DEFAULT_MTU
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.observed import NodeInfo, Observed
from pve_evpn.domain.render import subnet_cidr
from pve_evpn.domain.resources import Desired, ObjectKey, Resource
from pve_evpn.domain.sdn import SdnKind, SdnRef, SdnSnapshot
from pve_evpn.domain.verdicts import Nic


@dataclass(frozen=True, slots=True)
class Overlay:
    """One EvpnController and the nodes it is on.

    `peers`: the addresses as configured; ``None`` where each node's own address is one of them (a fabric's, or the
    cluster's). `addresses`: per node the addresses it could be known by as a peer, ``None`` if they are not known.
    """

    key: ObjectKey
    id: str
    peers: tuple[str, ...] | None
    addresses: Mapping[str, tuple[str, ...] | None]


@dataclass(frozen=True, slots=True)
class ZoneScene:
    """One EvpnZone: its L3 VNI and the nodes it should be on; its MTU, where that is known."""

    key: ObjectKey
    id: str
    vni: int
    nodes: tuple[str, ...]
    mtu: int | None = None


@dataclass(frozen=True, slots=True)
class VNetScene:
    """One VNet: its L2 VNI and the nodes it should be on."""

    key: ObjectKey
    id: str
    vni: int
    zone: str
    nodes: tuple[str, ...]
    subnets: tuple[str, ...] = ()
    """As CIDR."""


@dataclass(frozen=True, slots=True)
class NicScene:
    """One NicAttachment. `announces`: whether its MAC is to be announced at all (the guest runs, the link is up)."""

    key: ObjectKey
    nic: Nic
    vnet: str
    announces: bool = True


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything of one cluster. `names`: the Proxmox name behind each VNI, of other people's objects too."""

    members: Mapping[str, NodeInfo] = field(default_factory=dict)
    overlays: tuple[Overlay, ...] = ()
    zones: tuple[ZoneScene, ...] = ()
    vnets: tuple[VNetScene, ...] = ()
    nics: tuple[NicScene, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)


def scene_of(desired: Desired, observed: Observed, plan: Plan, nics: NicPlan) -> Scene:
    """What the plan is about. VNIs and zones' nodes are those of the running configuration: that is what FRR has."""
    running = observed.sdn.running
    zones, vnets = [], []
    for resource in desired.zones:
        decision = plan.decisions.get(resource.key)
        zone = running.get(decision.ref) if decision and decision.ref else None
        if zone and (vni := _number(zone.props.get("vrf-vxlan"))):
            mtu = _number(zone.props.get("mtu")) or DEFAULT_MTU
            zones.append(ZoneScene(resource.key, zone.ref.id, vni, _nodes_of(zone.ref.id, observed), mtu))
    for owner in desired.vnets:
        decision = plan.decisions.get(owner.key)
        vnet = running.get(decision.ref) if decision and decision.ref else None
        if decision and vnet and (vni := _number(vnet.props.get("tag"))):
            zone_id = str(vnet.props.get("zone", ""))
            subnets = tuple(subnet_cidr(ref) for ref in decision.origins if ref.kind is SdnKind.SUBNET)
            vnets.append(VNetScene(owner.key, vnet.ref.id, vni, zone_id, _nodes_of(zone_id, observed), subnets))
    return Scene(
        members=observed.nodes,
        overlays=tuple(_overlays(desired.controllers, observed.nodes, observed.sdn, plan)),
        zones=tuple(zones),
        vnets=tuple(vnets),
        nics=tuple(_nics(nics, observed)),
        names=_names(observed.sdn),
    )


def remembered_scene(desired: Desired) -> Scene:
    """What the statuses remember, for the time before Proxmox has answered once."""
    status = desired.cluster.status
    members = {
        str(row["name"]): NodeInfo(str(row["name"]), row.get("online", True), str(row.get("address") or ""))
        for row in status.get("nodes") or ()
    }
    empty = SdnSnapshot({}, {})
    zones = tuple(
        ZoneScene(zone.key, zone.status["id"], zone.status["vrfVni"], _rows(zone))
        for zone in desired.zones
        if zone.status.get("id") and zone.status.get("vrfVni")
    )
    vnets = tuple(
        VNetScene(vnet.key, vnet.status["id"], vnet.status["vni"], vnet.status.get("zone", ""), _rows(vnet))
        for vnet in desired.vnets
        if vnet.status.get("id") and vnet.status.get("vni")
    )
    by_id = {vnet.id: vnet for vnet in vnets}
    nics = tuple(
        NicScene(nic.key, Nic(nic.status["macAddress"], by_id[nic.status["vnet"]].vni, nic.status.get("node")), id_)
        for nic in desired.nics
        if nic.status.get("macAddress") and (id_ := nic.status.get("vnet")) in by_id
    )
    names = {zone.vni: zone.id for zone in zones} | {vnet.vni: vnet.id for vnet in vnets}
    return Scene(members, tuple(_overlays(desired.controllers, members, empty, Plan())), zones, vnets, nics, names)


def _overlays(
    controllers: Iterable[Resource[EvpnControllerSpec]], members: Mapping[str, NodeInfo], sdn: SdnSnapshot, plan: Plan
) -> Iterable[Overlay]:
    for resource in controllers:
        spec = resource.spec
        decision = plan.decisions.get(resource.key)
        if spec is None or (decision and decision.refused):
            continue
        nodes = [node for name, node in sorted(members.items()) if spec.nodes is None or name in spec.nodes]
        peers: tuple[str, ...] | None = None
        addresses: dict[str, tuple[str, ...] | None]
        if spec.underlay.peers is not None:
            peers = tuple(spec.underlay.peers)
            addresses = {node.name: _all_addresses(node) for node in nodes}
        elif spec.underlay.fabric is not None:
            there = sdn.fabric_addresses.get(spec.underlay.fabric)
            addresses = {node.name: None if there is None else _one(there.get(node.name)) for node in nodes}
        else:
            cidr = spec.underlay.cluster_nodes.cidr if spec.underlay.cluster_nodes else None
            addresses = {node.name: _one(node.address_in(cidr)) for node in nodes}
        id_ = decision.id if decision else str(resource.status.get("id") or resource.key.name)
        yield Overlay(resource.key, id_, peers, addresses)


def _all_addresses(node: NodeInfo) -> tuple[str, ...] | None:
    """Every address of a node; the one the cluster knows is not enough to say that no other is a peer."""
    return None if node.addresses is None else (*node.addresses, *_one(node.address))


def _one(address: str | None) -> tuple[str, ...]:
    return (address,) if address else ()


def _nodes_of(zone_id: str, observed: Observed) -> tuple[str, ...]:
    zone = observed.sdn.running.get(SdnRef(SdnKind.ZONE, zone_id))
    only = set(zone.props.get("nodes") or ()) if zone else set()
    return tuple(name for name in sorted(observed.nodes) if not only or name in only)


def _nics(nics: NicPlan, observed: Observed) -> Iterable[NicScene]:
    for key, decision in nics.decisions.items():
        vnet = observed.sdn.running.get(SdnRef(SdnKind.VNET, decision.vnet_id))
        vni = _number(vnet.props.get("tag")) if vnet else None
        guest, config = decision.guest, decision.config
        if vni is None or guest is None or config is None or not decision.mac or decision.refused:
            continue
        nic = Nic(decision.mac.lower(), vni, guest.node, guest.running)
        yield NicScene(key, nic, decision.vnet_id, guest.running and config.get("link_down") != "1")


def _names(sdn: SdnSnapshot) -> dict[int, str]:
    property_ = {SdnKind.ZONE: "vrf-vxlan", SdnKind.VNET: "tag"}
    found = {}
    for ref, obj in sdn.running.items():
        if ref.kind in property_ and (vni := _number(obj.props.get(property_[ref.kind]))):
            found[vni] = ref.id
    return found


def _rows(resource: Resource[Any]) -> tuple[str, ...]:
    return tuple(str(row["name"]) for row in resource.status.get("nodes") or ())


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdigit() else None
