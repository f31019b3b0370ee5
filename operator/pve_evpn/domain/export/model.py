"""What is exported, and what is not: values, and :class:`Round`. :func:`pve_evpn.domain.export.export` makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_evpn.api.kinds import GROUP, KINDS, VERSION
from pve_evpn.domain.export.specification import CannotBeSaid
from pve_evpn.domain.objects import Desired, ObjectKey
from pve_evpn.domain.sdn import SdnKind, SdnRef
from pve_evpn.domain.state import GuestState

#: A Proxmox object, or one NIC (vmid and device).
Source = SdnRef | tuple[int, str]
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One Kubernetes object. ``source``: what it stands for in Proxmox; ``group``: which manifests belong together."""

    key: ObjectKey
    group: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None

    def document(self) -> dict[str, Any]:
        """The object as ``kubectl apply`` takes it."""
        version = "v1" if self.key.kind == "Namespace" else f"{GROUP}/{VERSION}"
        metadata = {"name": self.key.name, **({"namespace": self.key.namespace} if self.key.namespace else {})}
        spec = {"spec": dict(self.spec)} if self.spec else {}
        return {"apiVersion": version, "kind": self.key.kind, "metadata": metadata, **spec}


@dataclass(frozen=True, slots=True)
class Omission:
    """What no manifest says: it stays in Proxmox as it is. ``foreign``: our API has no kind for it."""

    what: str
    why: str
    foreign: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be exported, and how.

    Attributes:
        cluster: Name of the ProxmoxCluster.
        cluster_spec: Its spec as a manifest has it.
        existing: The objects that Kubernetes has of it. What they stand for is not exported again.
        namespace: Where VNets and NicAttachments go.
        observe_only: Every object gets ``managementPolicy: ObserveOnly``.
        by_alias: Name VNets by their alias where they have one.
        guests: Which guests' NICs are exported; None for none.
    """

    cluster: str
    cluster_spec: Mapping[str, Any]
    existing: Desired | None = None
    namespace: str = "default"
    observe_only: bool = False
    by_alias: bool = False
    guests: Callable[[GuestState], bool] | None = None

    @property
    def policies(self) -> dict[str, Any]:
        """The policies that every exported object gets."""
        return {"managementPolicy": "ObserveOnly"} if self.observe_only else {}

    @property
    def namespaces(self) -> dict[str, Any]:
        """The label selector of the namespace."""
        return {"matchLabels": {NAMESPACE_LABEL: self.namespace}}


@dataclass(frozen=True, slots=True)
class Export:
    """The manifests, parents first, and everything that they do not say."""

    manifests: tuple[Manifest, ...]
    omissions: tuple[Omission, ...]

    @property
    def unexpressed(self) -> tuple[Omission, ...]:
        """Parts of EVPN networks that no manifest says."""
        return tuple(omission for omission in self.omissions if not omission.foreign)


@dataclass
class Round:
    """What one description has so far."""

    manifests: list[Manifest] = field(default_factory=list)
    omissions: list[Omission] = field(default_factory=list)
    keys: dict[SdnRef, ObjectKey] = field(default_factory=dict)
    """Of exported and existing objects."""
    groups: dict[str, str] = field(default_factory=dict)
    """By VNet: the zone's name."""

    def name_of(self, ref: SdnRef) -> str | None:
        return self.keys[ref].name if ref in self.keys else None

    def must_name(self, kind: str, id_: str) -> str:
        """The same by kind of ours. Raises CannotBeSaid where there is none."""
        name = self.name_of(SdnRef(SdnKind(KINDS[kind].sdn_kind), id_))
        if name is None:
            raise CannotBeSaid(f"it names {kind} {id_}, which is not exported")
        return name

    def leave_out(self, what: object, why: str, *, foreign: bool = False) -> None:
        self.omissions.append(Omission(str(what), why, foreign))
