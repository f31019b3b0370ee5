"""Small makers of desired and observed states, and a model of Proxmox' rules to carry plans out on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pve_evpn.api import kinds
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.status import as_written, read_status
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.domain.plan import plan
from pve_evpn.domain.plan.model import Plan, Step
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef, SdnSnapshot
from pve_evpn.domain.state import ClusterState, NodeState, PveVersion

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NODES = {name: NodeState(name, True, f"192.168.16.{i}") for i, name in enumerate(("pve1", "pve2", "pve3", "pve4"), 1)}


def resource(kind: str, name: str, spec: Mapping[str, Any], *, age: int = 0, **changes: Any) -> Resource[Any]:
    """``age`` in seconds; the smaller, the older."""
    namespace = "default" if KINDS[kind].scope == "Namespaced" else ""
    made: Resource[Any] = Resource(
        key=ObjectKey(kind, namespace, name),
        uid=f"uid-{kind}-{name}",
        resource_version=1,
        generation=1,
        created=EPOCH + timedelta(seconds=age),
        deleting=False,
        finalizers=(),
        annotations={},
        labels={},
        spec=KINDS[kind].spec_model.model_validate({k: v for k, v in spec.items() if v is not None}),
        status=KINDS[kind].status_model(),
    )
    return replace(made, **changes)


def with_status(item: Resource[Any], status: Mapping[str, Any]) -> Resource[Any]:
    """The resource with this status on top of the one it has; None removes a field, as in a merge patch."""
    merged = {**as_written(item.status), **status}
    known = {key: value for key, value in merged.items() if value is not None}
    return replace(item, status=read_status(item.key.kind, known))


def cluster(**spec: Any) -> Resource[Any]:
    base = {"endpoints": ["https://pve1:8006"], "credentialsSecretRef": {"name": "c"}}
    return resource("ProxmoxCluster", "pve", {**base, **spec})


def controller(name: str = "evpn1", *, age: int = 0, **spec: Any) -> Resource[Any]:
    base = {"clusterRef": {"name": "pve"}, "asn": 65001, "underlay": {"fabric": "Fabric1"}}
    return resource("EvpnController", name, {**base, **spec}, age=age)


def zone(name: str = "zone1", *, age: int = 0, **spec: Any) -> Resource[Any]:
    base = {
        "clusterRef": {"name": "pve"},
        "controllerRef": {"name": "evpn1"},
        "vrfVni": 100001,
        "allowedNamespaces": {"from": "All"},
    }
    return resource("EvpnZone", name, {**base, **spec}, age=age)


def vnet(name: str = "net1", *, age: int = 0, **spec: Any) -> Resource[Any]:
    return resource("VNet", name, {"zoneRef": {"name": "zone1"}, "vni": 5001, **spec}, age=age)


def prefix_list(name: str = "pl1", *, age: int = 0, **spec: Any) -> Resource[Any]:
    base = {"clusterRef": {"name": "pve"}, "entries": [{"seq": 5, "action": "Permit", "prefix": "10.0.0.0/8"}]}
    return resource("PrefixList", name, {**base, **spec}, age=age)


def route_map(name: str = "rm1", *, age: int = 0, **spec: Any) -> Resource[Any]:
    base = {"clusterRef": {"name": "pve"}, "entries": [{"order": 10, "action": "Permit"}]}
    return resource("RouteMap", name, {**base, **spec}, age=age)


def fabric(name: str = "under", *, age: int = 0, **spec: Any) -> Resource[Any]:
    base = {"clusterRef": {"name": "pve"}, "protocol": "OpenFabric", "prefix": "10.255.0.0/24", "allNodes": {}}
    return resource("Fabric", name, {**base, **spec}, age=age)


def bgp_controller(name: str = "bgp1", *, age: int = 0, **spec: Any) -> Resource[Any]:
    base = {"clusterRef": {"name": "pve"}, "node": "pve1", "asn": 65001, "peers": ["192.0.2.1"]}
    return resource("BgpController", name, {**base, **spec}, age=age)


def isis_controller(name: str = "isis1", *, age: int = 0, **spec: Any) -> Resource[Any]:
    base = {"clusterRef": {"name": "pve"}, "node": "pve1", "domain": "dc1", "interfaces": ["eno1"]}
    return resource("IsisController", name, {**base, "net": "49.0001.1921.6801.6001.00", **spec}, age=age)


def desired(*resources: Resource[Any], **changes: Any) -> Desired:
    by_kind: dict[str, list[Resource[Any]]] = {kind: [] for kind in KINDS}
    for item in resources:
        by_kind[item.key.kind].append(item)
    made = Desired(
        cluster=by_kind["ProxmoxCluster"][0] if by_kind["ProxmoxCluster"] else cluster(),
        **{kind.desired_as: tuple(by_kind[name]) for name, kind in KINDS.items() if kind.desired_as},  # type: ignore[arg-type]
        namespaces={"default": {"team": "a"}},
    )
    return replace(made, **changes)


def sdn(*objects: SdnObject, running: Iterable[SdnObject] | None = None) -> SdnSnapshot:
    """A configuration without pending edits, unless ``running`` says otherwise."""
    edited = {obj.ref: obj for obj in objects}
    live = edited if running is None else {obj.ref: obj for obj in running}
    return SdnSnapshot(edited, live, fabrics=frozenset({"Fabric1"}))


def observed(snapshot: SdnSnapshot | None = None, **changes: Any) -> ClusterState:
    made = ClusterState(version=PveVersion(9, 2), sdn=snapshot or sdn(), nodes=NODES, guests={})
    return replace(made, **changes)


def foreign_zone(name: str = "theirs", vni: int = 9, controller_id: str = "evpn1") -> SdnObject:
    return SdnObject(SdnRef(SdnKind.ZONE, name), "evpn", {"controller": controller_id, "vrf-vxlan": str(vni)})


def foreign_vnet(name: str = "theirnet", vni: int = 99, zone_id: str = "theirs") -> SdnObject:
    return SdnObject(SdnRef(SdnKind.VNET, name), "vnet", {"zone": zone_id, "tag": str(vni)})


class Refusal(Exception):
    """The model of Proxmox said no."""


def carry_out(snapshot: SdnSnapshot, made: Plan) -> SdnSnapshot:
    """Stage step by step under Proxmox' rules, then apply. Raises Refusal for what Proxmox would not take."""
    edited = dict(snapshot.edited)
    for step in made.steps:
        _check(edited, step)
        if step.after is None:
            del edited[step.ref]
            continue
        props = dict(step.after.props)
        if step.ref.kind is SdnKind.ZONE:
            props.setdefault("mac", "BC:24:11:00:00:01")
        edited[step.ref] = SdnObject(step.ref, step.after.type, props, step.after.parent)
    return replace(snapshot, edited=edited, running=dict(edited)) if made.needs_apply else snapshot


def _refers(other: SdnObject, ref: SdnRef) -> bool:
    """Whether Proxmox keeps ``ref`` because ``other`` is there."""
    match ref.kind, other.ref.kind:
        case SdnKind.CONTROLLER, SdnKind.ZONE:
            return ref.id in (other.props.get("controller"), *other.props.get("secondary-controllers", ()))
        case SdnKind.ZONE, SdnKind.VNET:
            return other.props.get("zone") == ref.id
        case SdnKind.VNET, SdnKind.SUBNET:
            return other.parent == ref.id
    return False


def _check(edited: Mapping[SdnRef, SdnObject], step: Step) -> None:
    if step.before is None and step.ref in edited:
        raise Refusal(f"{step.ref} already defined")
    if step.before is not None and step.before != edited.get(step.ref):
        raise Refusal(f"{step.ref} does not exist, or is not what the plan saw")
    if step.after is None:
        if users := [ref for ref, other in edited.items() if _refers(other, step.ref)]:
            raise Refusal(f"{step.ref} is used by {users[0]}")
        return
    props = step.after.props
    if step.ref.kind is SdnKind.CONTROLLER:
        others = [o for ref, o in edited.items() if ref != step.ref and ref.kind is SdnKind.CONTROLLER]
        group = props.get("peer-group-name", "VTEP")
        if any(other.type == "evpn" and other.props.get("peer-group-name", "VTEP") == group for other in others):
            raise Refusal("cannot have two controllers with same peer-group-name configured")
    if step.ref.kind is SdnKind.ZONE and SdnRef(SdnKind.CONTROLLER, str(props["controller"])) not in edited:
        raise Refusal("controller does not exist")
    if step.ref.kind is SdnKind.VNET:
        if SdnRef(SdnKind.ZONE, str(props["zone"])) not in edited:
            raise Refusal("cannot lookup undefined type")
        for ref, other in edited.items():
            if ref != step.ref and ref.kind is SdnKind.VNET and other.props.get("tag") == props.get("tag"):
                raise Refusal("vxlan tag already exists")
    if step.ref.kind is SdnKind.SUBNET and SdnRef(SdnKind.VNET, step.after.parent) not in edited:
        raise Refusal("vnet does not exist")


def reported(item: Resource[Any], made: Plan) -> Resource[Any]:
    """The resource as it is after a report: id, origin and subnets in its status, its finalizer set."""
    decision = made.decisions[item.key]
    if decision.refused or decision.waiting or item.deleting:
        return item
    subnets = [{"id": r.id, "origin": str(o)} for r, o in decision.origins.items() if r.kind is SdnKind.SUBNET]
    status = {
        "id": decision.id,
        "origin": str(decision.origin),
        "subnets": subnets,
        "programmedHash": decision.fingerprint,
        "observedGeneration": item.generation,
        "conditions": [
            {
                "type": "Programmed",
                "status": "True",
                "reason": "Programmed",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    return with_status(replace(item, finalizers=(kinds.FINALIZER,)), status)


def after(*resources: Resource[Any], snapshot: SdnSnapshot | None = None) -> tuple[list[Resource[Any]], ClusterState]:
    """The world once everything wanted has been applied and reported."""
    look = observed(snapshot)
    first = plan(desired(*resources), look)
    return [reported(r, first) for r in resources], replace(look, sdn=carry_out(look.sdn, first))
