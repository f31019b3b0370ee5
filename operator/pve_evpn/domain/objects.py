"""What users asked for: one slim record per Kubernetes object, and the desired state of one Proxmox cluster.

Records are made at the border (``engine.cache``) from watched objects and are all that planning sees of Kubernetes.
They know nothing of watches, of HTTP or of Proxmox.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, NamedTuple

from typing_extensions import TypeVar

from pve_evpn.api import kinds
from pve_evpn.api.cluster import ProxmoxClusterSpec, ProxmoxClusterStatus
from pve_evpn.api.conditions import ReportedStatus
from pve_evpn.api.controller import EvpnControllerSpec, EvpnControllerStatus
from pve_evpn.api.fabric import FabricSpec, FabricStatus
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.nic import NicAttachmentSpec, NicAttachmentStatus
from pve_evpn.api.policy import PrefixListSpec, PrefixListStatus, RouteMapSpec, RouteMapStatus
from pve_evpn.api.router import BgpControllerSpec, BgpControllerStatus, IsisControllerSpec, IsisControllerStatus
from pve_evpn.api.service import DnsServerSpec, DnsServerStatus, IpamSpec, IpamStatus
from pve_evpn.api.types import ApiModel, LabelSelector
from pve_evpn.api.vnet import VNetSpec, VNetStatus
from pve_evpn.api.zone import EvpnZoneSpec, EvpnZoneStatus
from pve_evpn.domain.sdn import Hidden, SdnKind, SdnRef

SpecT = TypeVar("SpecT", bound=ApiModel, covariant=True)
StatusT = TypeVar("StatusT", bound=ReportedStatus, covariant=True, default=Any)


class ObjectKey(NamedTuple):
    """Which Kubernetes object. ``namespace`` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Origin(StrEnum):
    """How a Proxmox object came under our care. It decides what deleting the Kubernetes object does by default."""

    CREATED = "Created"
    ADOPTED = "Adopted"


@dataclass(frozen=True, slots=True)
class Resource(Generic[SpecT, StatusT]):
    """One watched object, validated. ``spec`` is None where it could not be read; ``invalid`` then says why.

    ``status`` is the object's status as Kubernetes has it, empty where nothing was written: what was reported last
    time, never an input of planning except for what must survive a restart (chosen id, origin, allocated VNI).
    ``derived_id`` is a name in Proxmox that was chosen for it and is in no status yet (:mod:`domain.plan.ids`).
    """

    key: ObjectKey
    uid: str
    resource_version: int
    generation: int
    created: datetime
    deleting: bool
    finalizers: tuple[str, ...]
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    spec: SpecT | None
    status: StatusT
    invalid: str | None = None
    derived_id: str = ""

    @property
    def age_key(self) -> tuple[datetime, str]:
        """Sorts the oldest first; it wins every conflict. The uid breaks ties the same way on every replica."""
        return (self.created, self.uid)

    @property
    def version(self) -> str:
        """Which object of this name, and which of its specs."""
        return f"{self.uid}/{self.generation}"

    @property
    def paused(self) -> bool:
        """Whether the object itself asks for a pause (the cluster may ask for it too).

        Every value but "false" does: who writes "yes" or nothing means the same.
        """
        return self.annotations.get(kinds.ANNOTATION_PAUSED, "false").strip().lower() != "false"

    @property
    def force_orphan(self) -> bool:
        """The way out of a stuck deletion. The value must be the uid, so that a copied manifest does nothing."""
        return self.annotations.get(kinds.ANNOTATION_FORCE_ORPHAN) == self.uid

    @property
    def has_finalizer(self) -> bool:
        return kinds.FINALIZER in self.finalizers

    @property
    def origin(self) -> Origin | None:
        """What the status says, else the annotation: a restored backup has lost its status."""
        value = getattr(self.status, "origin", None) or self.annotations.get(kinds.ANNOTATION_ORIGIN)
        return Origin(value) if value in list(Origin) else None

    @property
    def origin_confirmed(self) -> bool:
        """Whether the origin was written after the fact (status) and not only ahead of it (annotation)."""
        return bool(getattr(self.status, "origin", None))


@dataclass(frozen=True, slots=True)
class GivenSecret:
    """What the Secret has that an Ipam or DnsServer names.

    ``value`` is None where it cannot be used; ``unusable`` then says why. ``revision`` changes with the Secret.
    ``sent``: Proxmox got this revision, as far as the operator knows.
    """

    value: Hidden | None = None
    revision: str = ""
    sent: bool = False
    unusable: str = ""


@dataclass(frozen=True, slots=True)
class Desired:
    """All objects that belong to one Proxmox cluster, and the namespaces' labels their permissions depend on.

    ``complete`` is false until every kind was listed once; nothing is deleted before. ``elsewhere`` has the objects of
    other clusters, with the name of their ProxmoxCluster; empty where they have none that exists.
    """

    cluster: Resource[ProxmoxClusterSpec, ProxmoxClusterStatus]
    ipams: tuple[Resource[IpamSpec, IpamStatus], ...] = ()
    dns_servers: tuple[Resource[DnsServerSpec, DnsServerStatus], ...] = ()
    prefix_lists: tuple[Resource[PrefixListSpec, PrefixListStatus], ...] = ()
    route_maps: tuple[Resource[RouteMapSpec, RouteMapStatus], ...] = ()
    fabrics: tuple[Resource[FabricSpec, FabricStatus], ...] = ()
    controllers: tuple[Resource[EvpnControllerSpec, EvpnControllerStatus], ...] = ()
    bgp_controllers: tuple[Resource[BgpControllerSpec, BgpControllerStatus], ...] = ()
    isis_controllers: tuple[Resource[IsisControllerSpec, IsisControllerStatus], ...] = ()
    zones: tuple[Resource[EvpnZoneSpec, EvpnZoneStatus], ...] = ()
    vnets: tuple[Resource[VNetSpec, VNetStatus], ...] = ()
    nics: tuple[Resource[NicAttachmentSpec, NicAttachmentStatus], ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    complete: bool = True
    elsewhere: Mapping[ObjectKey, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Resource[ApiModel]]:
        for group in self.sdn_groups():
            yield from group
        yield from self.nics

    def sdn_groups(self) -> tuple[tuple[Resource[Any, Any], ...], ...]:
        """What stands for an SDN object in Proxmox, by kind, those that others refer to first."""
        return (
            *(self.ipams, self.dns_servers),
            *(self.prefix_lists, self.route_maps, self.fabrics),
            *(self.controllers, self.bgp_controllers, self.isis_controllers),
            *(self.zones, self.vnets),
        )

    def without(self, keys: Set[ObjectKey]) -> Desired:
        """The rest of it, without these objects."""
        parts = [kind.desired_as for kind in KINDS.values() if kind.desired_as]
        left: Any = {part: tuple(r for r in getattr(self, part) if r.key not in keys) for part in parts}
        return replace(self, **left)

    @property
    def services(self) -> tuple[Resource[Any], ...]:
        """The IPAMs and DNS servers."""
        return (*self.ipams, *self.dns_servers)

    @property
    def paused(self) -> bool:
        return self.cluster.paused


def may_name(asking: ObjectKey, holder: ObjectKey | None) -> bool:
    """Whether a message about ``asking`` may name ``holder`` (None: something in Proxmox that no object stands for).

    Users of a namespace read the message: also one about a zone, which VNets that wait for the zone repeat.
    """
    return holder is not None and holder.namespace == asking.namespace and bool(asking.namespace)


def oldest_first(resources: Iterable[Resource[SpecT, StatusT]]) -> list[Resource[SpecT, StatusT]]:
    """The order in which claims are granted."""
    return sorted(resources, key=lambda r: r.age_key)


# --- the Proxmox name of an object --------------------------------------------------------------------------------


def proxmox_id(resource: Resource[ApiModel]) -> str:
    """The Proxmox name of an object.

    Proxmox names are short and global, Kubernetes names are long and namespaced. The rule is stable: ``spec.id``, else
    the name the object already has (``status.id``, so that it never changes its name when the rule does), else
    ``metadata.name`` where Proxmox accepts it, else its letters and digits where these are a free name, else a hash.
    """
    # A namespaced name is only unique within its namespace, so two tenants may both want "web": the older
    # object gets the plain name; the other one is refused and needs a spec.id.
    _, namespace, name = resource.key
    return _own_id(resource) or resource.derived_id or hashed_id(namespace, name)


def has_own_id(resource: Resource[ApiModel]) -> bool:
    """Whether the object's name in Proxmox follows from the object alone."""
    return bool(_own_id(resource))


def _own_id(resource: Resource[ApiModel]) -> str:
    given = getattr(resource.spec, "id", None) or resource.status.id
    if given:
        return str(given)
    return resource.key.name if KINDS[resource.key.kind].accepts_id(resource.key.name) else ""


def hashed_id(namespace: str, name: str) -> str:
    """Eight characters, a letter first: ``v`` and 35 bits of SHA-256 in base32."""
    digest = hashlib.sha256(f"{namespace}/{name}".encode()).digest()
    return "v" + base64.b32encode(digest).decode().lower()[:7]


def sdn_kind_of(key: ObjectKey) -> SdnKind | None:
    """The Proxmox collection that a kind stands for an object of; None where it stands for none."""
    kind = KINDS[key.kind].sdn_kind
    return SdnKind(kind) if kind else None


def own_ref(resource: Resource[ApiModel]) -> SdnRef:
    """The Proxmox object that an object of a kind with one stands for."""
    return SdnRef(SdnKind(KINDS[resource.key.kind].sdn_kind), proxmox_id(resource))


# --- label selectors ----------------------------------------------------------------------------------------------


def admits(zone: EvpnZoneSpec, labels: Mapping[str, str]) -> bool:
    """Whether VNets of a namespace with these labels may be in a zone."""
    allowed = zone.allowed_namespaces
    return allowed.from_ == "All" or (allowed.from_ == "Selector" and matches(allowed.selector, labels))


def matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` satisfy ``selector``; an empty selector matches everything, None matches nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.match_labels or {}).items()):
        return False
    return all(
        _expression(expr.operator, expr.key, tuple(expr.values or ()), labels)
        for expr in selector.match_expressions or ()
    )


def _expression(operator: str, key: str, values: tuple[str, ...], labels: Mapping[str, str]) -> bool:
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False
