"""A Kubernetes of its own for the engine: the ports, on objects that persist and behave as an API server keeps them.

What it has of an API server: resource versions, generations that move with the spec only, merge patches of which a
no-op changes nothing, deletion that waits for finalizers, conflicts. What it has not: validation, watches that lag.
Everything the engine writes is counted.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pve_evpn.api.kinds import ANNOTATION_ENDPOINTS, KINDS, LABEL_CLUSTER
from pve_evpn.api.schema import default_status
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.engine.cache import WATCHED, Cache
from pve_evpn.engine.journal import JournalEntry
from pve_evpn.engine.ports import Ports, RawObject, Secret


@dataclass
class Posted:
    """One Event."""

    key: ObjectKey
    kind: str
    reason: str
    message: str
    cause: str = ""


@dataclass
class FakeKube:
    """The objects, and the ports to them. ``around`` is called before each request of the engine with its name."""

    objects: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    bound: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Label ``cluster`` and annotation ``endpoints`` of a Secret; default: as ProxmoxCluster pve needs them."""
    journal: dict[str, JournalEntry] = field(default_factory=dict)
    events: list[Posted] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    namespaces: dict[str, dict[str, str]] = field(default_factory=lambda: {"default": {}})
    around: Callable[[str], None] = lambda _name: None
    cache: Cache | None = None
    _version: int = 100
    _uid: int = 0

    # --- the user's side ----------------------------------------------------------------------------------------

    def bind(self, name: str, cluster: str, endpoints: str = "") -> None:
        """A Secret as ``c``, bound to another ProxmoxCluster, with the endpoints of that one or others."""
        self.secrets.setdefault(name, self.secrets["c"])
        self.bound[name] = cluster, endpoints

    def apply(self, document: Mapping[str, Any]) -> ObjectKey:
        """``kubectl apply``: create it, or replace its spec and merge its annotations."""
        key = self._key(document)
        there = self.objects.get(key)
        if there is None:
            self._uid += 1
            there = self.objects[key] = {
                "kind": key.kind,
                "metadata": {
                    "name": key.name,
                    "namespace": key.namespace,
                    "uid": f"uid-{self._uid}",
                    "generation": 1,
                    "creationTimestamp": f"2026-01-01T00:00:{self._uid % 60:02d}Z",
                    "annotations": dict(document["metadata"].get("annotations") or {}),
                    "labels": dict(document["metadata"].get("labels") or {}),
                    "finalizers": [],
                },
                "spec": copy.deepcopy(dict(document["spec"])),
                "status": default_status(KINDS[key.kind]),
            }
            self._changed(key)
            return key
        meta = there["metadata"]
        if there["spec"] != document["spec"]:
            there["spec"] = copy.deepcopy(dict(document["spec"]))
            meta["generation"] += 1
        meta["annotations"] |= document["metadata"].get("annotations") or {}
        self._changed(key)
        return key

    def annotate(self, key: ObjectKey, name: str, value: str | None) -> None:
        """``kubectl annotate``; None removes it."""
        annotations = self.objects[key]["metadata"]["annotations"]
        if value is None:
            annotations.pop(name, None)
        else:
            annotations[name] = value
        self._changed(key)

    def delete(self, key: ObjectKey) -> None:
        """``kubectl delete --wait=false``."""
        there = self.objects.get(key)
        if there is None or there["metadata"].get("deletionTimestamp"):
            return
        there["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        there["metadata"]["generation"] += 1
        self._changed(key)

    def status(self, key: ObjectKey) -> dict[str, Any]:
        return dict(self.objects[key].get("status") or {})

    def condition(self, key: ObjectKey, type_: str) -> dict[str, Any]:
        return next((c for c in self.status(key).get("conditions") or () if c["type"] == type_), {})

    # --- the engine's side --------------------------------------------------------------------------------------

    @property
    def ports(self) -> Ports:
        return Ports(_Objects(self), _Secrets(self), _Journal(self), _Events(self))

    def fresh_cache(self) -> Cache:
        """What a starting operator lists. From here on, changes are watched into this cache."""
        cache = Cache()
        for kind in WATCHED:
            raws = [copy.deepcopy(raw) for key, raw in self.objects.items() if key.kind == kind]
            cache.replace(kind, raws, self._version)
        listed = [
            {"kind": "Namespace", "metadata": {"name": n, "labels": labels}} for n, labels in self.namespaces.items()
        ]
        cache.replace("Namespace", listed, self._version)
        self.cache = cache
        return cache

    # --- inside -------------------------------------------------------------------------------------------------

    def _key(self, document: Mapping[str, Any]) -> ObjectKey:
        namespaced = KINDS[document["kind"]].scope == "Namespaced"
        meta = document["metadata"]
        return ObjectKey(document["kind"], meta.get("namespace", "default") if namespaced else "", meta["name"])

    def _write(self, what: str) -> None:
        self.around(what)
        self.writes.append(what)

    def _changed(self, key: ObjectKey) -> None:
        """The next resource version; gone if nothing holds it any more. Told to whoever watches."""
        there = self.objects[key]
        self._version += 1
        there["metadata"]["resourceVersion"] = str(self._version)
        gone = there["metadata"].get("deletionTimestamp") and not there["metadata"]["finalizers"]
        if gone:
            del self.objects[key]
        if self.cache is None:
            return
        raw = copy.deepcopy(there)
        if gone:
            self.cache.remove(raw)
        else:
            self.cache.upsert(raw)


@dataclass
class _Objects:
    kube: FakeKube

    async def patch_status(self, key: ObjectKey, status: Mapping[str, Any]) -> RawObject | None:
        self.kube._write(f"status {key}")
        there = self.kube.objects.get(key)
        if there is None:
            return None
        merged = _merged(there.get("status") or {}, status)
        if merged != there.get("status"):
            there["status"] = merged
            self.kube._changed(key)
        return copy.deepcopy(there)

    async def patch_metadata(
        self,
        key: ObjectKey,
        resource_version: int,
        finalizers: tuple[str, ...],
        annotations: Mapping[str, str | None],
    ) -> RawObject | None:
        self.kube._write(f"metadata {key}")
        there = self.kube.objects.get(key)
        if there is None or there["metadata"]["resourceVersion"] != str(resource_version):
            return None
        there["metadata"]["finalizers"] = list(finalizers)
        there["metadata"]["annotations"] = _merged(there["metadata"]["annotations"], annotations)
        self.kube._changed(key)
        return copy.deepcopy(there)

    async def create(self, kind: str, name: str, spec: Mapping[str, Any], owner: ObjectKey) -> RawObject | None:
        self.kube._write(f"create {kind} {name}")
        labels = {LABEL_CLUSTER: owner.name}
        key = self.kube.apply({"kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec})
        return copy.deepcopy(self.kube.objects[key])

    async def delete(self, key: ObjectKey) -> None:
        self.kube._write(f"delete {key}")
        self.kube.delete(key)


@dataclass
class _Secrets:
    kube: FakeKube

    namespace = "pve-evpn-system"

    async def read(self, name: str) -> Secret | None:
        self.kube.around(f"secret {name}")
        if (data := self.kube.secrets.get(name)) is None:
            return None
        cluster, endpoints = self.kube.bound.get(name, ("pve", ""))
        spec = self.kube.objects.get(ObjectKey("ProxmoxCluster", "", cluster), {}).get("spec", {})
        endpoints = endpoints or " ".join([*spec.get("endpoints", ()), spec.get("proxyUrl", "")])
        revision = hashlib.sha256(repr(sorted(data.items())).encode()).hexdigest()[:8]
        return Secret(data, {LABEL_CLUSTER: cluster}, {ANNOTATION_ENDPOINTS: endpoints}, revision)


@dataclass
class _Journal:
    kube: FakeKube

    async def load(self, cluster: str) -> JournalEntry:
        self.kube.around("journal load")
        return self.kube.journal.get(cluster, JournalEntry())

    async def save(self, cluster: str, entry: JournalEntry) -> None:
        self.kube.around("journal save")
        self.kube.journal[cluster] = entry


@dataclass
class _Events:
    kube: FakeKube

    async def post(self, key: ObjectKey, uid: str, kind: str, reason: str, message: str, cause: str = "") -> None:
        self.kube.around("event")
        self.kube.events.append(Posted(key, kind, reason, message, cause or message))


def _merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    result = dict(old)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = _merged(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result
