"""The cache: the newest known form of every watched object, validated and slim.

It is filled from two sides: watch events one by one, and whole lists (at start and now and then), which are the only
way to learn what vanished while no watch was open. It decides nothing; it says *that* something changed, not what is
to be done. It is used from the event loop only and never awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from pve_evpn.api import kinds
from pve_evpn.api.conditions import ReportedStatus
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.status import read_status
from pve_evpn.api.types import ApiModel
from pve_evpn.domain.objects import Desired, ObjectKey, Resource

Raw = Mapping[str, Any]
#: Every kind of this API; a Namespace gives labels.
WATCHED = tuple(KINDS)
NAMESPACE = "Namespace"


class Cache:
    """Resources by key. ``changed`` is called with the key after each real change."""

    def __init__(self, changed: Callable[[ObjectKey], None] = lambda _key: None) -> None:
        self._resources: dict[ObjectKey, Resource[Any]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._listed: set[str] = set()
        #: What the operator writes at this moment into an object's metadata: finalizers, and annotations beside others.
        self._writing: dict[ObjectKey, tuple[tuple[str, ...], Mapping[str, str]]] = {}
        #: The status that the operator writes at this moment, and how it is stored.
        self._writing_status: dict[ObjectKey, tuple[ReportedStatus, Raw]] = {}
        #: Counts every change of what :meth:`desired` is made from.
        self._version = 0
        self._desired: dict[str, tuple[int, Desired | None]] = {}
        self.changed = changed

    @property
    def complete(self) -> bool:
        """Whether every kind was listed once. Nothing may be deleted on the word of an incomplete cache."""
        return self._listed >= {*WATCHED, NAMESPACE}

    def get(self, key: ObjectKey) -> Resource[Any] | None:
        return self._resources.get(key)

    @property
    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        """The labels of the namespaces."""
        return self._namespaces

    def of_kind(self, kind: str) -> Iterator[Resource[Any]]:
        return (resource for resource in self if resource.key.kind == kind)

    def __iter__(self) -> Iterator[Resource[Any]]:
        return iter(tuple(self._resources.values()))

    def reset(self) -> None:
        """Forget everything, as before the first list."""
        self._resources, self._namespaces, self._listed = {}, {}, set()
        self._version += 1

    # --- what comes in ------------------------------------------------------------------------------------------

    def upsert(self, raw: Raw) -> None:
        """Take an object, unless what is known is newer (answers to our own writes may overtake the watch)."""
        if raw.get("kind") == NAMESPACE:
            self._upsert_namespace(raw)
            return
        known = self._resources.get(key_of(raw))
        if known and _is_as_new(known, raw):
            return
        resource = self._read(raw, known)
        if resource.deleting and not resource.finalizers:
            # The answer to the write that removed the last finalizer. The watch may have delivered the deletion
            # already, and does not deliver it again.
            self.remove(raw)
            return
        self._resources[resource.key] = resource
        self._count(resource.key)
        if known is None:
            if resource.key not in self._writing:
                self.changed(resource.key)
        elif _matters(self._as_written(known), resource):
            self.changed(resource.key)

    def _read(self, raw: Raw, known: Resource[Any] | None) -> Resource[Any]:
        """The object, with the models that are in memory already: most of what an object takes is its status.

        Kubernetes counts the generation with each change of the spec, so a spec of the same generation is the same.
        """
        status, stored = self._writing_status.get(key_of(raw), (None, None))
        origin = raw["metadata"].get("uid"), _generation(raw)
        same_spec = known if known and known.generation and (known.uid, known.generation) == origin else None
        return resource_from(raw, same_spec, status if raw.get("status") == stored else None)

    @contextmanager
    def writing(
        self, key: ObjectKey, finalizers: tuple[str, ...] = (), annotations: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[None]:
        """While the operator writes this metadata, or creates the object, that alone is no change to act on.

        Whether its answer or the watch brings it first.
        """
        self._writing[key] = finalizers, annotations
        try:
            yield
        finally:
            del self._writing[key]

    @contextmanager
    def writing_status(self, key: ObjectKey, status: ReportedStatus, stored: Raw) -> Iterator[None]:
        """While the operator writes a status, the object that comes back with ``stored`` shares its models.

        Whether the answer or the watch brings it first.
        """
        self._writing_status[key] = status, stored
        try:
            yield
        finally:
            self._writing_status.pop(key, None)

    def _as_written(self, known: Resource[Any]) -> Resource[Any]:
        """The object as the operator's present write leaves it, if there is one."""
        if (written := self._writing.get(known.key)) is None:
            return known
        finalizers, annotations = written
        return replace(known, finalizers=finalizers, annotations={**known.annotations, **annotations})

    def remove(self, raw: Raw) -> None:
        """Forget a deleted object; a namesake made since stays."""
        if raw.get("kind") == NAMESPACE:
            self._namespaces.pop(raw["metadata"]["name"], None)
            self._version += 1
            return
        key = key_of(raw)
        known = self._resources.get(key)
        if known and known.uid == raw["metadata"].get("uid"):
            del self._resources[key]
            self._count(key)
            self.changed(key)

    def replace(self, kind: str, items: Iterable[Raw], resource_version: int) -> None:
        """Take a whole list: adds, updates, and drops what is neither in it nor newer than it."""
        self.listed(kind, self.take(kind, items), resource_version)

    def take(self, kind: str, items: Iterable[Raw]) -> set[ObjectKey | str]:
        """Take a part of a list; what :meth:`listed` has to be given of it."""
        found: set[ObjectKey | str] = set()
        for raw in items:
            raw = {**raw, "kind": kind}
            found.add(raw["metadata"]["name"] if kind == NAMESPACE else key_of(raw))
            self.upsert(raw)
        return found

    def listed(self, kind: str, listed: Set[ObjectKey | str], resource_version: int) -> None:
        """A list has ended: drop what is neither in it nor newer than it. ``listed``: what its parts had."""
        if kind not in self._listed:
            self._listed.add(kind)
            self._version += 1
        if kind == NAMESPACE:
            if gone := self._namespaces.keys() - listed:
                self._namespaces = {name: labels for name, labels in self._namespaces.items() if name not in gone}
                self._version += 1
            return
        for key, resource in list(self._resources.items()):
            if key.kind == kind and key not in listed and resource.resource_version <= resource_version:
                del self._resources[key]
                self._count(key)
                self.changed(key)

    def _upsert_namespace(self, raw: Raw) -> None:
        name, labels = raw["metadata"]["name"], raw["metadata"].get("labels") or {}
        if self._namespaces.get(name) == labels:
            return
        self._namespaces[name] = labels
        self._version += 1
        for key in [key for key in self._resources if key.namespace == name]:
            self.changed(key)

    # --- what goes out ------------------------------------------------------------------------------------------

    def cluster_of(self, resource: Resource[Any]) -> str | None:
        """The ProxmoxCluster an object belongs to; None where its references lead nowhere."""
        if resource.key.kind == "ProxmoxCluster":
            return resource.key.name
        reference = getattr(resource.spec, "cluster_ref", None)
        if reference is not None:
            return str(reference.name)
        zone_ref = getattr(resource.spec, "zone_ref", None)
        if zone_ref is None:
            return None
        zone = self._resources.get(ObjectKey("EvpnZone", "", zone_ref.name))
        return self.cluster_of(zone) if zone and zone.spec else None

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """The labels of a namespace; none where it is not known."""
        return self._namespaces.get(namespace, {})

    def desired(self, cluster: str) -> Desired | None:
        """Everything that belongs to one cluster; None if there is no such ProxmoxCluster.

        The same object as before where nothing has changed.
        """
        version, known = self._desired.get(cluster, (-1, None))
        if version != self._version:
            known = self._gather(cluster)
            self._desired[cluster] = self._version, known
        return known

    def _count(self, key: ObjectKey) -> None:
        if KINDS[key.kind].desired_as or key.kind == "ProxmoxCluster":
            self._version += 1

    def _gather(self, cluster: str) -> Desired | None:
        root = self._resources.get(ObjectKey("ProxmoxCluster", "", cluster))
        if root is None:
            return None
        members: dict[str, list[Resource[Any]]] = {kind: [] for kind in WATCHED}
        elsewhere: dict[ObjectKey, str] = {}
        for key, resource in self._resources.items():
            reference = getattr(resource.spec, "cluster_ref", None)
            owner = self.cluster_of(resource) if reference is None else str(reference.name)
            if owner == cluster:
                members[key.kind].append(resource)
            elif KINDS[key.kind].desired_as:
                known = ObjectKey("ProxmoxCluster", "", owner or "") in self._resources
                elsewhere[key] = owner if owner and known else ""
        parts: dict[str, Any] = {
            kind.desired_as: tuple(members[name]) for name, kind in KINDS.items() if kind.desired_as
        }
        return Desired(
            cluster=root, **parts, namespaces=dict(self._namespaces), complete=self.complete, elsewhere=elsewhere
        )

    def unowned(self) -> list[Resource[Any]]:
        """Objects that belong to no ProxmoxCluster that exists."""
        return [
            resource
            for resource in self._resources.values()
            if resource.key.kind not in ("ProxmoxCluster", "EvpnNode")
            and ObjectKey("ProxmoxCluster", "", self.cluster_of(resource) or "") not in self._resources
        ]


def key_of(raw: Raw) -> ObjectKey:
    """The key of a raw object, which must carry its kind."""
    return ObjectKey(raw["kind"], raw["metadata"].get("namespace") or "", raw["metadata"]["name"])


def resource_from(
    raw: Raw, same_spec: Resource[Any] | None = None, status: ReportedStatus | None = None
) -> Resource[Any]:
    """Validate a raw object. It never raises: a spec that cannot be read is None and ``invalid`` says why.

    Arguments:
        same_spec: The object with the same spec, if it was validated before.
        status: The status it has, if that was validated before.
    """
    meta = raw["metadata"]
    spec, invalid = (same_spec.spec, same_spec.invalid) if same_spec else _read_spec(raw)
    return Resource(
        key=key_of(raw),
        uid=meta.get("uid", ""),
        resource_version=int(meta.get("resourceVersion") or 0),
        generation=_generation(raw),
        created=datetime.fromisoformat(meta["creationTimestamp"]),
        deleting=bool(meta.get("deletionTimestamp")),
        finalizers=tuple(meta.get("finalizers") or ()),
        annotations={k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith(kinds.GROUP + "/")},
        labels=dict(meta.get("labels") or {}),
        spec=spec,
        status=read_status(raw["kind"], raw.get("status")) if status is None else status,
        invalid=invalid,
    )


def _read_spec(raw: Raw) -> tuple[ApiModel | None, str | None]:
    """The spec, or None and what is wrong with it."""
    try:
        return KINDS[raw["kind"]].spec_model.model_validate(raw.get("spec") or {}), None
    except ValidationError as error:
        problems = error.errors(include_input=False)[:3]
        return None, "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)


def _generation(raw: Raw) -> int:
    return int(raw["metadata"].get("generation") or 0)


def _is_as_new(known: Resource[Any], raw: Raw) -> bool:
    """Whether what is known is as new. Asked before the object is validated: a list mostly brings nothing new."""
    meta = raw["metadata"]
    return known.uid == meta.get("uid", "") and known.resource_version >= int(meta.get("resourceVersion") or 0)


def _matters(old: Resource[Any], new: Resource[Any]) -> bool:
    """Whether a change is one to act on; our own status writes come back through the watch and are not."""
    return (
        old.uid != new.uid
        or old.generation != new.generation
        or old.deleting != new.deleting
        or old.annotations != new.annotations
        or old.finalizers != new.finalizers
        or (old.status.is_reported and not new.status.is_reported)
    )
