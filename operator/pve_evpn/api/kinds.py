"""The registry: one row per kind with its names, scope, models, columns and place. Also the names of annotations."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from pve_evpn.api.cluster import ProxmoxClusterSpec, ProxmoxClusterStatus
from pve_evpn.api.conditions import ConditionType, ReportedStatus
from pve_evpn.api.controller import EvpnControllerSpec, EvpnControllerStatus
from pve_evpn.api.fabric import FabricSpec, FabricStatus
from pve_evpn.api.nic import NicAttachmentSpec, NicAttachmentStatus
from pve_evpn.api.node import EvpnNodeSpec, EvpnNodeStatus
from pve_evpn.api.policy import PrefixListSpec, PrefixListStatus, RouteMapSpec, RouteMapStatus
from pve_evpn.api.router import BgpControllerSpec, BgpControllerStatus, IsisControllerSpec, IsisControllerStatus
from pve_evpn.api.rules import ID_FIXED, Rule, fixed_once_programmed
from pve_evpn.api.service import DnsServerSpec, DnsServerStatus, IpamSpec, IpamStatus
from pve_evpn.api.types import INTERFACE_NAMES, ApiModel
from pve_evpn.api.vnet import VNetSpec, VNetStatus
from pve_evpn.api.zone import EvpnZoneSpec, EvpnZoneStatus

GROUP = "pve-evpn.dev"
VERSION = "v1alpha1"
CATEGORY = "pve-evpn"

#: On every EvpnNode the ProxmoxCluster that the operator made it for; on a Secret the only one that may use it.
LABEL_CLUSTER = f"{GROUP}/cluster"
FINALIZER = f"{GROUP}/cleanup"
ANNOTATION_PAUSED = f"{GROUP}/paused"
ANNOTATION_RECONCILE = f"{GROUP}/reconcile-requested-at"
ANNOTATION_FORCE_ORPHAN = f"{GROUP}/force-orphan"
#: On a Secret with credentials.
ANNOTATION_ENDPOINTS = f"{GROUP}/endpoints"
ANNOTATION_APPROVED_PLAN = f"{GROUP}/approved-plan"
# Written ahead of the first write to Proxmox, so that a crash or a restored backup cannot make us forget.
ANNOTATION_ORIGIN = f"{GROUP}/origin"
ANNOTATION_VNI = f"{GROUP}/allocated-vni"
ANNOTATION_ADDRESSES = f"{GROUP}/allocated-addresses"
ANNOTATION_ATTACHED = f"{GROUP}/attached-vnet"

#: What each means, and who writes it.
ANNOTATIONS: dict[str, str] = {
    ANNOTATION_PAUSED: 'Set by users. Any value but "false": the operator writes nothing to Proxmox for this object; '
    "observation goes on. On a ProxmoxCluster it holds for everything of that cluster.",
    ANNOTATION_RECONCILE: "Set by users. Any new value requests a sync now; status.lastHandledReconcileAt repeats it.",
    ANNOTATION_APPROVED_PLAN: "Set by users on a ProxmoxCluster. The hash of status.pendingPlan: approves that plan "
    "and no other, once.",
    ANNOTATION_ENDPOINTS: "Set by users on a Secret with credentials. The addresses that they may be sent to, "
    "separated by spaces: every address in endpoints of the ProxmoxCluster, and its proxyUrl.",
    ANNOTATION_FORCE_ORPHAN: "Set by users to end a stuck deletion. The object's uid: the operator releases it at "
    "once, and its network stays in Proxmox.",
    ANNOTATION_ORIGIN: "Set by the operator. Created or Adopted, as in status.origin; backups keep it.",
    ANNOTATION_VNI: "Set by the operator. The VNI allocated for the object; backups keep it.",
    ANNOTATION_ADDRESSES: "Set by the operator. Addresses of a Fabric's nodes (node=address,address); backups keep it.",
    ANNOTATION_ATTACHED: "Set by the operator. The VNet a NIC was attached to last; backups keep it.",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; priority 1 shows with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of this API."""

    name: str
    plural: str
    short_names: tuple[str, ...]
    scope: Literal["Cluster", "Namespaced"]
    spec_model: type[ApiModel]
    status_model: type[ReportedStatus]
    description: str
    conditions: tuple[ConditionType, ...]
    """Those that every object of the kind has; others are present only while true."""
    columns: tuple[Column, ...] = field(default=())
    rules: tuple[Rule, ...] = field(default=())
    """CEL about the object as a whole: the only place where spec and status can be compared."""
    sdn_kind: Literal["", "ipam", "dns", "prefix-list", "route-map", "fabric", "controller", "zone", "vnet"] = ""
    """The Proxmox collection it stands for an object of; empty where it stands for none."""
    sdn_type: str = ""
    """Proxmox' type of that object; empty where the spec says it."""
    desired_as: Literal[
        "",
        "ipams",
        "dns_servers",
        "prefix_lists",
        "route_maps",
        "fabrics",
        "controllers",
        "bgp_controllers",
        "isis_controllers",
        "zones",
        "vnets",
        "nics",
    ] = ""
    """Where ``domain.objects.Desired`` has the objects of this kind."""

    @property
    def singular(self) -> str:
        return self.name.lower()

    def accepts_id(self, text: str) -> bool:
        """Whether the text can be the name of such an object in Proxmox, which is what ``spec.id`` takes."""
        id_type = _id_type(self.spec_model)
        try:
            return id_type is not None and id_type.validate_python(text) == text
        except ValidationError:
            return False


@cache
def _id_type(spec_model: type[ApiModel]) -> TypeAdapter[Any] | None:
    """``None`` for what has no name in Proxmox."""
    own = spec_model.model_fields.get("id")
    return TypeAdapter(own.annotation) if own and own.annotation else None


_MANAGED = (
    ConditionType.READY,
    ConditionType.ACCEPTED,
    ConditionType.PROGRAMMED,
    ConditionType.OPERATIONAL,
    ConditionType.DRIFTED,
    ConditionType.PAUSED,
)
#: Of what nothing shows at work: how well it works shows on the objects that name it.
_CONFIGURED = tuple(type_ for type_ in _MANAGED if type_ is not ConditionType.OPERATIONAL)
_CONNECTED = (
    ConditionType.READY,
    ConditionType.ACCEPTED,
    ConditionType.REACHABLE,
    ConditionType.AUTHENTICATED,
    ConditionType.VERSION_SUPPORTED,
    ConditionType.QUORATE,
    ConditionType.PROGRAMMED,
    ConditionType.PAUSED,
)


def _condition(type_: ConditionType, part: Literal["status", "reason", "message"]) -> str:
    """The path of a part of a condition."""
    return f'.status.conditions[?(@.type=="{type_}")].{part}'


_READY = (
    Column("Ready", _condition(ConditionType.READY, "status")),
    Column("Reason", _condition(ConditionType.READY, "reason")),
)
_SEEN = (
    Column("Age", ".metadata.creationTimestamp", "date"),
    Column("Message", _condition(ConditionType.READY, "message"), priority=1),
)
_LAST = (*_SEEN, Column("Paused", _condition(ConditionType.PAUSED, "status"), priority=1))
_NODE = Column("Node", ".spec.node")
_ASN = Column("ASN", ".spec.asn", "integer")
_SESSIONS = Column("Sessions", ".status.sessionsSummary")
_ENTRIES = Column("Entries", ".status.entries", "integer")


def _managed(*own: Column) -> tuple[Column, ...]:
    """The columns of what stands for an object in Proxmox: its id, its own ones, and whether it is fine.

    Its own columns of priority 1 come behind that.
    """
    shown, wide = ([c for c in own if c.priority == priority] for priority in (0, 1))
    return (Column("ID", ".status.id"), *shown, *_READY, *wide, *_LAST)


_BY_PREFIX, _BY_PATTERN = INTERFACE_NAMES.as_cel("self.metadata.name")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "ProxmoxCluster", "proxmoxclusters", ("pvec",), "Cluster", ProxmoxClusterSpec, ProxmoxClusterStatus,
            "A Proxmox VE cluster whose EVPN networks are managed.",
            _CONNECTED,
            (
                Column("Version", ".status.version"),
                Column("Nodes", ".status.nodesOnline"),
                *_READY,
                Column("Last apply", ".status.lastTransaction.outcome"),
                Column("Unmanaged", ".status.unmanaged.count", "integer", priority=1),
                *_LAST,
            ),
        ),
        Kind(
            "Ipam", "ipams", ("ipam",), "Cluster", IpamSpec, IpamStatus,
            "An IPAM in which Proxmox registers addresses: its own, NetBox or phpIPAM.",
            _CONFIGURED,
            _managed(Column("Type", ".spec.type"), Column("URL", ".spec.url", priority=1)),
            (
                ID_FIXED,
                fixed_once_programmed(
                    "type",
                    "self.spec.type == oldSelf.spec.type",
                    "type cannot change once the IPAM is programmed: make a new object instead",
                ),
                Rule(
                    "!(has(self.spec.id) ? self.spec.id == 'pve' : self.metadata.name == 'pve') || "
                    "!has(self.spec.deletionPolicy) || self.spec.deletionPolicy != 'Delete'",
                    "the built-in IPAM pve cannot be deleted: remove deletionPolicy: Delete",
                    ".spec.deletionPolicy",
                ),
                Rule(
                    "has(self.spec.id) || self.metadata.name != 'pve' || self.spec.type == 'pve'",
                    "id pve, which metadata.name would give, is the built-in IPAM: set type: pve, or another spec.id",
                    ".spec.type",
                ),
            ),
            sdn_kind="ipam", desired_as="ipams",
        ),
        Kind(
            "DnsServer", "dnsservers", ("dnss",), "Cluster", DnsServerSpec, DnsServerStatus,
            "A PowerDNS server in which Proxmox registers names.",
            _CONFIGURED,
            _managed(Column("URL", ".spec.url", priority=1)),
            (ID_FIXED,),
            sdn_kind="dns", sdn_type="powerdns", desired_as="dns_servers",
        ),
        Kind(
            "PrefixList", "prefixlists", ("pfl",), "Cluster", PrefixListSpec, PrefixListStatus,
            "An ordered list of networks that route maps and fabrics name (Proxmox VE 9.2).",
            _CONFIGURED,
            _managed(_ENTRIES),
            (ID_FIXED,),
            sdn_kind="prefix-list", sdn_type="prefix-list", desired_as="prefix_lists",
        ),
        Kind(
            "RouteMap", "routemaps", ("rmap",), "Cluster", RouteMapSpec, RouteMapStatus,
            "An ordered list of rules about routes that controllers and fabrics name (Proxmox VE 9.2).",
            _CONFIGURED,
            _managed(_ENTRIES),
            (ID_FIXED,),
            sdn_kind="route-map", sdn_type="route-map", desired_as="route_maps",
        ),
        Kind(
            "Fabric", "fabrics", ("fab",), "Cluster", FabricSpec, FabricStatus,
            "The underlay's routing between the nodes: OpenFabric, OSPF, BGP or WireGuard.",
            _MANAGED,
            _managed(
                Column("Protocol", ".spec.protocol"),
                Column("Nodes", ".status.adjacenciesSummary"),
                Column("Prefix", ".spec.prefix", priority=1),
            ),
            (
                ID_FIXED,
                fixed_once_programmed(
                    "protocol",
                    "self.spec.protocol == oldSelf.spec.protocol",
                    "protocol cannot change once the fabric is programmed: make a new object instead",
                ),
            ),
            sdn_kind="fabric", desired_as="fabrics",
        ),
        Kind(
            "EvpnController", "evpncontrollers", ("evpnc",), "Cluster", EvpnControllerSpec, EvpnControllerStatus,
            "The BGP instance that carries EVPN between the nodes of a Proxmox cluster.",
            _MANAGED,
            _managed(_ASN, _SESSIONS),
            (ID_FIXED,),
            sdn_kind="controller", sdn_type="evpn", desired_as="controllers",
        ),
        Kind(
            "BgpController", "bgpcontrollers", ("bgpc",), "Cluster", BgpControllerSpec, BgpControllerStatus,
            "BGP between one node and routers outside of the overlay.",
            _MANAGED,
            _managed(_NODE, _ASN, _SESSIONS),
            (ID_FIXED,),
            sdn_kind="controller", sdn_type="bgp", desired_as="bgp_controllers",
        ),
        Kind(
            "IsisController", "isiscontrollers", ("isisc",), "Cluster", IsisControllerSpec, IsisControllerStatus,
            "IS-IS on one node.",
            _MANAGED,
            _managed(
                _NODE,
                Column("Domain", ".spec.domain"),
                Column("Neighbours", ".status.neighboursSummary"),
            ),
            (ID_FIXED,),
            sdn_kind="controller", sdn_type="isis", desired_as="isis_controllers",
        ),
        Kind(
            "EvpnZone", "evpnzones", ("evpnz",), "Cluster", EvpnZoneSpec, EvpnZoneStatus,
            "A VRF with its L3 VNI, in which VNets live.",
            _MANAGED,
            _managed(
                Column("L3VNI", ".status.vrfVni", "integer"),
                Column("Exit", ".status.exit.summary", priority=1),
            ),
            (ID_FIXED,),
            sdn_kind="zone", sdn_type="evpn", desired_as="zones",
        ),
        Kind(
            "VNet", "vnets", ("vnet",), "Namespaced", VNetSpec, VNetStatus,
            "A layer-2 network (VNI) of a zone, with its subnets.",
            _MANAGED,
            (
                Column("ID", ".status.id"),
                Column("Zone", ".status.zone"),
                Column("VNI", ".status.vni", "integer"),
                *_READY,
                Column("Type2", ".status.routes.type2", "integer"),
                Column("Type3", ".status.routes.type3", "integer"),
                *_LAST,
            ),
            (
                ID_FIXED,
                fixed_once_programmed(
                    "zoneRef",
                    "self.spec.zoneRef == oldSelf.spec.zoneRef",
                    "zoneRef cannot change once the VNet is programmed: make a new object instead",
                ),
                fixed_once_programmed(
                    "vni",
                    "!has(oldSelf.spec.vni) || (has(self.spec.vni) && self.spec.vni == oldSelf.spec.vni)",
                    "vni cannot change or go once it is set and the VNet is programmed: make a new VNet instead",
                ),
                Rule(
                    "!has(self.spec.vni) || has(oldSelf.spec.vni) || !has(oldSelf.status) || "
                    "!has(oldSelf.status.vni) || self.spec.vni == oldSelf.status.vni",
                    "vni must be the one in status.vni, which was allocated for this VNet: VNIs are never renumbered",
                    ".spec.vni",
                ),
                # A longer name, or one with a dash, becomes a hash. Two rules, because the cost of each is bounded.
                *(
                    Rule(
                        f"oldSelf.hasValue() || has(self.spec.id) || self.metadata.name.size() > 8 || {other}",
                        "metadata.name would be the id in Proxmox, and it "
                        f"{INTERFACE_NAMES.message}; choose another name, or set spec.id",
                        optional_old_self=True,
                    )
                    for other in (f"self.metadata.name.contains('-') || !{_BY_PREFIX}", f"!{_BY_PATTERN}")
                ),
            ),
            sdn_kind="vnet", sdn_type="vnet", desired_as="vnets",
        ),
        Kind(
            "NicAttachment", "nicattachments", ("nic",), "Namespaced", NicAttachmentSpec, NicAttachmentStatus,
            "One NIC of a VM or container on a VNet.",
            _MANAGED,
            (
                Column("Guest", ".status.vmid", "integer"),
                Column("Node", ".status.node"),
                Column("VNet", ".spec.vnetRef.name"),
                Column("MAC", ".status.macAddress"),
                *_READY,
                Column("EVPN", ".status.evpn.verdict"),
                Column("Since", ".status.evpn.since", "date"),
                Column("Guest name", ".status.guestName", priority=1),
                Column("Device", ".status.device", priority=1),
                Column("Bridge", ".status.vnet", priority=1),
                Column("Seen by", ".status.evpn.seenBy", "integer", priority=1),
                *_LAST,
            ),
            desired_as="nics",
        ),
        Kind(
            "EvpnNode", "evpnnodes", ("evpnn",), "Cluster", EvpnNodeSpec, EvpnNodeStatus,
            "What one Proxmox node says of BGP and its VNIs. Written by the operator.",
            (ConditionType.READY, ConditionType.OPERATIONAL),
            (
                _NODE,
                Column("FRR", ".status.frrVersion"),
                Column("Router ID", ".status.routerId"),
                Column("Sessions", ".status.sessions"),
                *_READY,
                Column("Source", ".status.source"),
                *_SEEN,
            ),
        ),
    )
}  # fmt: skip
