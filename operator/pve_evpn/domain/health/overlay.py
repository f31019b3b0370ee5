"""The overlay that should be seen, made from a plan and the state of Proxmox it was made for. Pure.

Where Proxmox has not answered since the start, it is made from the statuses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pve_evpn.api.controller import EvpnControllerSpec, Underlay
from pve_evpn.domain.health.expected import (
    ExpectedController,
    ExpectedExit,
    ExpectedFabric,
    ExpectedIsis,
    ExpectedNic,
    ExpectedOverlay,
    ExpectedRouter,
    ExpectedVNet,
    ExpectedZone,
    Nic,
)
from pve_evpn.domain.nics import NicPlan
from pve_evpn.domain.nics.checks import DEFAULT_MTU
from pve_evpn.domain.nics.netn import same
from pve_evpn.domain.objects import Desired, Resource
from pve_evpn.domain.plan.model import Decision, Plan
from pve_evpn.domain.plan.peers import cluster_peers
from pve_evpn.domain.plan.render import subnet_cidr
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot
from pve_evpn.domain.spelling import parts_of
from pve_evpn.domain.state import ClusterState, NodeState, same_form


def expected_overlay(
    desired: Desired, state: ClusterState, plan: Plan, nics: NicPlan, before: ExpectedOverlay | None = None
) -> ExpectedOverlay:
    """What the plan wants to see. VNIs and zones' nodes are those of the running configuration: that is what FRR has.

    `before`: what was expected until now; it has the addresses of nodes whose addresses cannot be read at present.
    """
    running = state.sdn.running
    zones, vnets = [], []
    for resource in desired.zones:
        decision = plan.decisions.get(resource.key)
        zone = running.get(decision.ref) if decision and decision.ref else None
        if zone and (vni := _number(zone.props.get("vrf-vxlan"))):
            mtu = _number(zone.props.get("mtu")) or DEFAULT_MTU
            nodes, controller = _nodes_of(zone.ref.id, state), str(zone.props.get("controller", ""))
            leaves = _exit_of(zone, state.sdn)
            zones.append(ExpectedZone(resource.key, zone.ref.id, vni, nodes, mtu, controller, leaves, exit_known=True))
    for owner in desired.vnets:
        decision = plan.decisions.get(owner.key)
        vnet = running.get(decision.ref) if decision and decision.ref else None
        if decision and vnet and (vni := _number(vnet.props.get("tag"))):
            zone_id = str(vnet.props.get("zone", ""))
            subnets = tuple(subnet_cidr(ref) for ref in decision.origins if ref.kind is SdnKind.SUBNET)
            vnets.append(ExpectedVNet(owner.key, vnet.ref.id, vni, zone_id, _nodes_of(zone_id, state), subnets))
    return ExpectedOverlay(
        members=state.nodes,
        controllers=tuple(
            _remembering(found, before) for found in _controllers(desired.controllers, state.nodes, state.sdn, plan)
        ),
        routers=tuple(_routers(desired, plan)),
        isis=tuple(_isis(desired, plan)),
        fabrics=tuple(_fabrics(desired, state.sdn, plan)),
        zones=tuple(zones),
        vnets=tuple(vnets),
        nics=tuple(_nics(nics, state)),
        names=_names(state.sdn),
    )


def networks_to_advertise(expected: ExpectedOverlay) -> dict[str, tuple[str, ...]]:
    """By exit node the subnets of its zones that routers outside need a route to."""
    found: dict[str, set[str]] = {}
    for zone in expected.zones:
        if zone.exit is not None:
            for name in zone.exit.nodes:
                found.setdefault(name, set()).update(zone.exit.routed)
    return {name: tuple(sorted(networks)) for name, networks in found.items()}


def remembered_overlay(desired: Desired) -> ExpectedOverlay:
    """What the statuses say, for the time before Proxmox has answered once."""
    status = desired.cluster.status
    members = {row.name: NodeState(row.name, row.online is not False, row.address or "") for row in status.nodes or ()}
    controllers = tuple(_controllers(desired.controllers, members, SdnSnapshot({}, {}), Plan()))
    ids = {controller.key.name: controller.id for controller in controllers}
    zones = tuple(
        ExpectedZone(
            zone.key,
            zone.status.id,
            zone.status.vrf_vni,
            _rows(zone),
            controller=ids.get(zone.spec.controller_ref.name, "") if zone.spec else "",
        )
        for zone in desired.zones
        if zone.status.id and zone.status.vrf_vni
    )
    vnets = tuple(
        ExpectedVNet(vnet.key, vnet.status.id, vnet.status.vni, vnet.status.zone or "", _rows(vnet))
        for vnet in desired.vnets
        if vnet.status.id and vnet.status.vni
    )
    by_id = {vnet.id: vnet for vnet in vnets}
    nics = tuple(
        ExpectedNic(nic.key, Nic(nic.status.mac_address, by_id[id_].vni, nic.status.node), id_)
        for nic in desired.nics
        if nic.status.mac_address and (id_ := nic.status.vnet) in by_id
    )
    names = {zone.vni: zone.id for zone in zones} | {vnet.vni: vnet.id for vnet in vnets}
    return ExpectedOverlay(
        members=members,
        controllers=controllers,
        routers=tuple(_routers(desired, Plan())),
        isis=tuple(_isis(desired, Plan())),
        fabrics=tuple(_remembered_fabrics(desired)),
        zones=zones,
        vnets=vnets,
        nics=nics,
        names=names,
    )


def _controllers(
    controllers: Iterable[Resource[EvpnControllerSpec]], members: Mapping[str, NodeState], sdn: SdnSnapshot, plan: Plan
) -> Iterable[ExpectedController]:
    for resource in controllers:
        spec = resource.spec
        decision = plan.decisions.get(resource.key)
        if spec is None or (decision and decision.refused):
            continue
        id_ = decision.id if decision else resource.status.id or resource.key.name
        nodes = [node for name, node in sorted(members.items()) if spec.nodes is None or name in spec.nodes]
        ref = SdnRef(SdnKind.CONTROLLER, id_)
        fabric = _fabric_of(spec.underlay, decision)
        peers, addresses = _peers(spec.underlay, fabric, nodes, members.values(), sdn, sdn.running_peers(ref))
        outsiders = {
            same_form(address): node.name
            for node in members.values()
            if node.name not in addresses
            for address in (*(node.addresses or ()), *_one(node.address))
        }
        running = ref in sdn.running if decision else bool(resource.status.programmed_hash)
        yield ExpectedController(resource.key, id_, peers, addresses, outsiders, running)


def _fabric_of(underlay: Underlay, decision: Decision | None) -> str:
    """The fabric's name in Proxmox; its Kubernetes name where nothing was planned yet."""
    if underlay.fabric_ref is None:
        return underlay.fabric or ""
    wanted = decision.wanted[0].props.get("fabric") if decision and decision.wanted else None
    return str(wanted or underlay.fabric_ref.name)


def _routers(desired: Desired, plan: Plan) -> Iterable[ExpectedRouter]:
    for resource in desired.bgp_controllers:
        spec, decision = resource.spec, plan.decisions.get(resource.key)
        if spec is not None and not (decision and decision.refused):
            map_out = spec.route_map_out or (spec.route_map_out_ref.name if spec.route_map_out_ref else "")
            yield ExpectedRouter(resource.key, spec.node, tuple(map(same_form, spec.peers)), map_out)


def _isis(desired: Desired, plan: Plan) -> Iterable[ExpectedIsis]:
    for resource in desired.isis_controllers:
        spec, decision = resource.spec, plan.decisions.get(resource.key)
        if spec is not None and not (decision and decision.refused):
            yield ExpectedIsis(resource.key, spec.node, tuple(sorted(spec.interfaces)))


def _fabrics(desired: Desired, sdn: SdnSnapshot, plan: Plan) -> Iterable[ExpectedFabric]:
    """As Proxmox runs them: that is what FRR has."""
    for resource in desired.fabrics:
        decision = plan.decisions.get(resource.key)
        fabric = sdn.running.get(decision.ref) if decision and decision.ref else None
        if fabric is None:
            continue
        parts = {ref.id.partition("/")[2]: sdn.running.get(ref) for ref in sdn.parts_of(fabric.ref)}
        nodes = {name: obj.props for name, obj in parts.items() if obj and obj.props.get("role") != "external"}
        yield ExpectedFabric(
            resource.key,
            fabric.ref.id,
            fabric.type,
            {name: tuple(str(props[key]) for key in ("ip", "ip6") if key in props) for name, props in nodes.items()},
            {
                name: tuple(parts_of(text).get("name", "") for text in props.get("interfaces", ()))
                for name, props in nodes.items()
            },
        )


def _remembered_fabrics(desired: Desired) -> Iterable[ExpectedFabric]:
    for resource in desired.fabrics:
        status, spec = resource.status, resource.spec
        if status.id and spec is not None:
            rows = {row.name: tuple(filter(None, (row.ip, row.ip6))) for row in status.nodes or ()}
            yield ExpectedFabric(resource.key, status.id, spec.protocol.lower(), rows)


def _peers(
    underlay: Underlay,
    fabric: str,
    nodes: list[NodeState],
    members: Iterable[NodeState],
    sdn: SdnSnapshot,
    running: tuple[str, ...],
) -> tuple[tuple[str, ...] | None, dict[str, tuple[str, ...] | None]]:
    """A controller's `peers` and `addresses`. `fabric`: its underlay in Proxmox, empty where that is no fabric."""
    if underlay.peers is not None:
        return tuple(underlay.peers), {node.name: _all_addresses(node, underlay.peers) for node in nodes}
    if fabric:
        there = sdn.fabric_addresses.get(fabric)
        return None, {node.name: None if there is None else _one(there.get(node.name)) for node in nodes}
    cidr = underlay.cluster_nodes.cidr if underlay.cluster_nodes else None
    found = cluster_peers(nodes, members, cidr, running)
    known = {node.name: None if node.name in found.unread else _one(found.own.get(node.name)) for node in nodes}
    # Where it is not known whose a running peer is, the running ones are what can be said of all of them.
    return running if found.kept else None, known


def _remembering(controller: ExpectedController, before: ExpectedOverlay | None) -> ExpectedController:
    """A node that is switched off keeps the addresses it had; with listed peers any of them may be its own."""
    if controller.peers is None or before is None:
        return controller
    known = next((old.addresses for old in before.controllers if old.key == controller.key), {})
    addresses = {node: known.get(node) if now is None else now for node, now in controller.addresses.items()}
    return replace(controller, addresses=addresses)


def _all_addresses(node: NodeState, peers: Collection[str]) -> tuple[str, ...] | None:
    """Every address of a node. The cluster's own address of it may show that it is a peer, but not that it is none."""
    if node.addresses is not None:
        return (*node.addresses, *_one(node.address))
    return _one(node.address) if same_form(node.address) in map(same_form, peers) else None


def _one(address: str | None) -> tuple[str, ...]:
    return (address,) if address else ()


def _nodes_of(zone_id: str, state: ClusterState) -> tuple[str, ...]:
    zone = state.sdn.running.get(SdnRef(SdnKind.ZONE, zone_id))
    only = set(zone.props.get("nodes") or ()) if zone else set()
    return tuple(name for name in sorted(state.nodes) if not only or name in only)


def _exit_of(zone: SdnObject, sdn: SdnSnapshot) -> ExpectedExit | None:
    """The exit nodes as Proxmox runs them, with the IPv4 subnets of all VNets of the zone, foreign ones too."""
    nodes = zone.props.get("exitnodes")
    if not isinstance(nodes, tuple):
        return None
    inside = {ref.id for ref, obj in sdn.running.items() if ref.kind is SdnKind.VNET and _zone_of(obj) == zone.ref.id}
    subnets = sorted(
        (subnet_cidr(ref), "snat" in obj.props)
        for ref, obj in sdn.running.items()
        if ref.kind is SdnKind.SUBNET and obj.parent in inside and ":" not in ref.id and obj.props.get("gateway")
    )
    return ExpectedExit(
        nodes=nodes,
        primary=str(zone.props.get("exitnodes-primary", "")),
        local_routing="exitnodes-local-routing" in zone.props,
        routed=tuple(cidr for cidr, snat in subnets if not snat),
        translated=tuple(cidr for cidr, snat in subnets if snat),
    )


def _zone_of(vnet: SdnObject) -> str:
    return str(vnet.props.get("zone", ""))


def _nics(nics: NicPlan, state: ClusterState) -> Iterable[ExpectedNic]:
    for key, decision in nics.decisions.items():
        vnet = state.sdn.running.get(SdnRef(SdnKind.VNET, decision.vnet_id))
        vni = _number(vnet.props.get("tag")) if vnet else None
        guest, config = decision.guest, decision.config
        if vni is None or guest is None or config is None or not decision.mac or decision.refused:
            continue
        nic = Nic(decision.mac.lower(), vni, guest.node, guest.may_run)
        yield ExpectedNic(
            key, nic, decision.vnet_id, guest.may_run and not same("link_down", config.get("link_down"), "1")
        )


def _names(sdn: SdnSnapshot) -> dict[int, str]:
    property_ = {SdnKind.ZONE: "vrf-vxlan", SdnKind.VNET: "tag"}
    found = {}
    for ref, obj in sdn.running.items():
        if ref.kind in property_ and (vni := _number(obj.props.get(property_[ref.kind]))):
            found[vni] = ref.id
    return found


def _rows(resource: Resource[Any]) -> tuple[str, ...]:
    return tuple(row.name for row in resource.status.nodes or ())


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdigit() else None
