"""What only one kind reports of what stands for it in Proxmox: rows of nodes, subnets, members, users. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pve_evpn.api.conditions import ManagedStatus
from pve_evpn.api.fabric import FabricMember, FabricStatus
from pve_evpn.api.policy import PolicyStatus
from pve_evpn.api.router import BgpControllerStatus, IsisControllerStatus
from pve_evpn.api.service import ServiceStatus
from pve_evpn.api.types import ApiModel
from pve_evpn.api.vnet import SubnetStatus, VNetNode, VNetStatus, VniOnNode
from pve_evpn.api.zone import EvpnZoneStatus, ZoneNode
from pve_evpn.domain.health.object_health import Health, nodes_that_fit
from pve_evpn.domain.objects import Resource
from pve_evpn.domain.plan.model import Decision
from pve_evpn.domain.plan.ownership import known_refs
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.domain.state import ClusterState, NodeState
from pve_evpn.domain.status.sync_result import SyncResult

_STATE: Mapping[str, Literal["Available", "Pending", "Error"]] = {
    "available": "Available",
    "pending": "Pending",
    "error": "Error",
}


def node_rows(decision: Decision, state: ClusterState) -> list[ZoneNode]:
    """Per node what Proxmox says of the zone the object is, or is in; only nodes that are expected to have it."""
    ref = decision.ref
    if ref is None or ref.kind not in (SdnKind.ZONE, SdnKind.VNET):
        return []
    zone = ref.id if ref.kind is SdnKind.ZONE else str(decision.wanted[0].props.get("zone", ""))
    config = state.sdn.running.get(SdnRef(SdnKind.ZONE, zone))
    only = set(config.props.get("nodes") or ()) if config else set()
    expected = [node for name, node in sorted(state.nodes.items()) if not only or name in only]
    return [_node_row(node, zone, ref.id if ref.kind is SdnKind.VNET else None) for node in expected]


_NOT_SEEN = VniOnNode()


def with_observed(rows: Iterable[ZoneNode], health: Health | None) -> list[VNetNode]:
    """The rows with what observation adds to them; what it no longer sees goes."""
    seen = health.rows if health else {}
    return [_with_vni(row, seen.get(row.name, _NOT_SEEN)) for row in rows]


def _with_vni(row: ZoneNode, seen: VniOnNode) -> VNetNode:
    return VNetNode(
        name=row.name,
        state=row.state,
        message=row.message,
        macs=seen.macs,
        arp_nd=seen.arp_nd,
        remote_vteps=seen.remote_vteps,
        missing_vteps=seen.missing_vteps,
    )


def _node_row(node: NodeState, zone: str, vnet: str | None) -> ZoneNode:
    if not node.online:
        return ZoneNode(name=node.name, state="Unknown", message="the node is offline")
    if node.zones is None:
        return ZoneNode(name=node.name, state="Unknown", message=node.why_unread("zones"))
    state = _STATE.get(node.zones.get(zone, ""), "Missing")
    messages = [text for name, text in sorted(node.vnet_messages.items()) if vnet in (None, name)]
    return ZoneNode(name=node.name, state=state, message=messages[0] if messages and state != "Available" else None)


def kind_part(
    resource: Resource[ApiModel, ManagedStatus], decision: Decision, sync: SyncResult, rows: list[ZoneNode]
) -> ManagedStatus:
    """What only the resource's kind reports; ``rows`` as :func:`node_rows` gives them."""
    if isinstance(resource.status, EvpnZoneStatus):
        nodes, more = nodes_that_fit(rows, is_unwell)
        return EvpnZoneStatus(
            vrf_vni=decision.vni or resource.status.vrf_vni,
            vnets=sync.vnet_count.get(decision.id, 0),
            vnet_problems=sync.vnet_problems.get(resource.key.name) or None,
            nodes=nodes,
            truncated=more,
        )
    if isinstance(resource.status, VNetStatus):
        observed = with_observed(rows, sync.health.get(resource.key))
        shown, more = nodes_that_fit(observed, lambda row: is_unwell(row) or row.missing_vteps is not None)
        return VNetStatus(
            vni=decision.vni or resource.status.vni,
            zone=str(decision.wanted[0].props.get("zone")) if decision.wanted else resource.status.zone,
            nics=sync.nic_count.get(decision.id, 0),
            subnets=_subnets(resource, decision, sync),
            nodes=shown,
            truncated=more,
        )
    if isinstance(resource.status, FabricStatus):
        return FabricStatus(nodes=_fabric_members(resource, decision, sync))
    if isinstance(resource.status, BgpControllerStatus | IsisControllerStatus):
        return type(resource.status)(node=getattr(resource.spec, "node", None) or resource.status.node)
    if isinstance(resource.status, PolicyStatus):
        return _policy_part(decision, sync)
    if isinstance(resource.status, ServiceStatus):
        given = sync.secrets.get(resource.key)
        revision = given.revision if given and given.sent and decision.in_sync else resource.status.secret_revision
        return type(resource.status)(used_by=_users(decision, sync), secret_revision=revision)
    return ManagedStatus()


def _fabric_members(resource: Resource[Any], decision: Decision, sync: SyncResult) -> list[FabricMember]:
    """The nodes that are in Proxmox, or were by the status before; each keeps its address."""
    sdn, before = sync.state.sdn, {row.name: row for row in resource.status.nodes or ()}
    rows = []
    for ref, origin in sorted(decision.origins.items()):
        name = ref.id.partition("/")[2]
        there = sdn.running.get(ref) or sdn.edited.get(ref)
        if ref.kind is not SdnKind.FABRIC_NODE or not (there or name in before):
            continue
        old = before.get(name)
        ip, ip6 = (
            str(there.props[key]) if there and key in there.props else getattr(old, key, None) for key in ("ip", "ip6")
        )
        rows.append(FabricMember(name=name, origin=origin.value, ip=ip, ip6=ip6))
    return rows


def _policy_part(decision: Decision, sync: SyncResult) -> PolicyStatus:
    """What a prefix list or route map reports: its entries, and what names it."""
    sdn, ref = sync.state.sdn, decision.ref
    there = sdn.running.get(ref) if ref else None
    count = None
    if there is not None:
        count = len(there.props if there.ref.kind is SdnKind.ROUTE_MAP else there.props.get("entries") or ())
    return PolicyStatus(entries=count, used_by=_users(decision, sync))


def _users(decision: Decision, sync: SyncResult) -> list[str] | None:
    """What names the object in either copy."""
    sdn, ref = sync.state.sdn, decision.ref
    users = {*sdn.children_of(ref), *sdn.children_of(ref, running=True)} if ref else ()
    return [str(user) for user in sorted(users)] or None


def is_unwell(row: ZoneNode) -> bool:
    """Whether the node says that something is wrong there."""
    return row.state not in ("Available", "Unknown")


def _subnets(resource: Resource[Any], decision: Decision, sync: SyncResult) -> list[SubnetStatus]:
    """The subnets that are in Proxmox, or were by the status before."""
    sdn, before = sync.state.sdn, known_refs(resource)
    return [
        SubnetStatus(id=ref.id, origin=origin.value)
        for ref, origin in sorted(decision.origins.items())
        if ref.kind is SdnKind.SUBNET and (ref in sdn.edited or ref in sdn.running or ref in before)
    ]
