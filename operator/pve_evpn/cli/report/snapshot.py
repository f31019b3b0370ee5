"""What was read from Kubernetes for one report, and how its objects hang together."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pve_evpn.domain.objects import ObjectKey, Resource
from pve_evpn.domain.plan import references as plan_references

CLUSTER = "ProxmoxCluster"


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One Kubernetes Event about one of our objects."""

    at: datetime
    about: ObjectKey
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """``field`` of an object names ``target``."""

    field: str
    target: ObjectKey


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``events`` are sorted, the oldest first. ``unread``: what the caller may not list, as kinds, with the reason."""

    objects: Mapping[ObjectKey, Resource[Any]]
    now: datetime
    events: tuple[RecordedEvent, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Resource[Any]]:
        return [self.objects[key] for key in sorted(self.objects) if key.kind == kind]

    def events_about(self, key: ObjectKey) -> list[RecordedEvent]:
        return [event for event in self.events if event.about == key]

    def cluster_of(self, key: ObjectKey) -> Resource[Any] | None:
        """The ProxmoxCluster an object belongs to, if its references lead to one."""
        for found in self.needs(key):
            if found.target.kind == CLUSTER:
                return self.objects.get(found.target)
        return self.objects.get(key) if key.kind == CLUSTER else None

    def controller_of(self, key: ObjectKey) -> Resource[Any] | None:
        """The EvpnController an object's zone, or the object itself, uses."""
        targets = (found.target for found in self.needs(key) if found.target.kind == "EvpnController")
        return next((self.objects[target] for target in targets if target in self.objects), None)

    def needs(self, key: ObjectKey) -> Iterator[Reference]:
        """Everything the object needs, the nearest first; each once, and also what does not exist."""
        seen, queue = {key}, [key]
        while queue:
            resource = self.objects.get(queue.pop(0))
            for reference in references(resource) if resource else ():
                if reference.target not in seen:
                    seen.add(reference.target)
                    queue.append(reference.target)
                    yield reference


def references(resource: Resource[Any]) -> list[Reference]:
    """The objects that the spec names. The nearest come first: a VNet before its cluster."""
    kinds = {
        "vnet_ref": ("vnetRef", "VNet", resource.key.namespace),
        "zone_ref": ("zoneRef", "EvpnZone", ""),
        "controller_ref": ("controllerRef", "EvpnController", ""),
        "cluster_ref": ("clusterRef", CLUSTER, ""),
    }
    routing = plan_references.references(resource.spec)
    found = [Reference(field_, ObjectKey(kind, "", name)) for field_, kind, name in routing]
    for attribute, (name, kind, namespace) in kinds.items():
        reference = getattr(resource.spec, attribute, None)
        if reference is not None:
            found.append(Reference(name, ObjectKey(kind, namespace, reference.name)))
    return found


def alike(snapshot: Snapshot, missing: ObjectKey) -> str:
    """What was probably meant, where a name is nearly right or right in another namespace."""
    names = {key.name: key for key in snapshot.objects if key.kind == missing.kind}
    close = difflib.get_close_matches(missing.name, names, n=1)
    return f"; is {names[close[0]]} meant?" if close else ""
