"""Manifests of a command line: files, a folder or stdin; and Kubernetes as it would be with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pve_evpn.api.kinds import GROUP, KINDS
from pve_evpn.api.status import as_written
from pve_evpn.cli.failures import Refusal
from pve_evpn.domain.export.model import NAMESPACE_LABEL
from pve_evpn.domain.objects import Desired, ObjectKey, Resource
from pve_evpn.engine.cache import NAMESPACE, Cache

_SUFFIXES = (".yaml", ".yml", ".json")
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manifests:
    """What was read: objects of this API, namespaces, and how many objects of other kinds were left aside.

    ``unknown``: by object, the fields that its kind does not have.
    """

    objects: Mapping[ObjectKey, Raw]
    namespaces: tuple[Raw, ...]
    others: int
    unknown: Mapping[ObjectKey, str]


def read_manifests(places: Iterable[str], namespace: str, *, recursive: bool) -> Manifests:
    """Read ``-f``. Raises Refusal for what cannot be read, and for two manifests of one object.

    Args:
        places: Files, folders, or ``-`` for stdin.
        namespace: For namespaced objects that name none.
        recursive: Folders below folders too.
    """
    objects: dict[ObjectKey, Raw] = {}
    namespaces, others, unknown = list[Raw](), 0, dict[ObjectKey, str]()
    for where, document in _documents(places, recursive=recursive):
        kind, version = document.get("kind"), str(document.get("apiVersion") or "")
        metadata = document.get("metadata")
        if kind == NAMESPACE and version == "v1" and isinstance(metadata, Mapping):
            namespaces.append(document)
        elif not version.startswith(f"{GROUP}/"):
            others += 1
        elif kind not in KINDS or not isinstance(metadata, Mapping) or not metadata.get("name"):
            raise Refusal(f"{where}: an object of {GROUP} needs a kind of it and metadata.name")
        else:
            namespaced = KINDS[kind].scope == "Namespaced"
            key = ObjectKey(kind, str(metadata.get("namespace") or namespace) if namespaced else "", metadata["name"])
            if key in objects:
                raise Refusal(f"{where}: there are two manifests of {key}")
            objects[key] = document
            if fields := _unknown_fields(document):
                unknown[key] = fields
    return Manifests(objects, tuple(namespaces), others, unknown)


def _documents(places: Iterable[str], *, recursive: bool) -> Iterator[tuple[str, Raw]]:
    for place in places:
        for path in _files(place, recursive=recursive):
            where = "stdin" if path is None else str(path)
            try:
                text = sys.stdin.read() if path is None else path.read_text(encoding="utf-8")
                found = list(yaml.safe_load_all(text))
            except (OSError, UnicodeDecodeError) as error:
                raise Refusal(f"{where}: {getattr(error, 'strerror', None) or error}") from None
            except yaml.YAMLError as error:
                mark = getattr(error, "problem_mark", None)
                line = f", line {mark.line + 1}" if mark else ""
                raise Refusal(f"{where}{line}: this is no YAML") from None
            for document in found:
                yield from ((where, each) for each in _flat(document, where))


def _files(place: str, *, recursive: bool) -> list[Path | None]:
    if place == "-":
        return [None]
    path = Path(place)
    if not path.is_dir():
        return [path]
    inside = path.rglob("*") if recursive else path.glob("*")
    found = sorted(file for file in inside if file.suffix in _SUFFIXES and file.is_file())
    if not found:
        raise Refusal(f"{place}: there is no file that ends in {', '.join(_SUFFIXES)}")
    return list(found)


def _flat(document: Any, where: str) -> Iterator[Raw]:
    """A ``List`` is its items; an empty document is nothing."""
    if document is None:
        return
    if not isinstance(document, Mapping):
        raise Refusal(f"{where}: a manifest is a mapping with apiVersion, kind and metadata")
    if str(document.get("kind")) == "List":
        for item in document.get("items") or ():
            yield from _flat(item, where)
        return
    yield document


def _unknown_fields(document: Raw) -> str:
    """The fields of the spec that its kind does not have; the API server refuses them."""
    try:
        KINDS[document["kind"]].spec_model.model_validate(document.get("spec") or {}, extra="forbid")
    except ValidationError as error:
        found = [e for e in error.errors(include_url=False, include_input=False) if e["type"] == "extra_forbidden"]
        return ", ".join(f"spec.{'.'.join(map(str, problem['loc']))}" for problem in found)
    return ""


# --- Kubernetes as it would be ------------------------------------------------------------------------------------


def apply_to(cache: Cache, manifests: Manifests) -> None:
    """Let the cache have the objects as ``kubectl apply`` would leave them; what is new is the youngest.

    A namespace of which nothing is known has at least the label that the API server gives it.
    """
    named = {raw["metadata"]["name"]: raw["metadata"].get("labels") or {} for raw in manifests.namespaces}
    unknown = {key.namespace for key in manifests.objects if key.namespace} - cache.namespaces.keys()
    for name in unknown | named.keys():
        merged = {**cache.namespaces.get(name, {}), **named.get(name, {}), NAMESPACE_LABEL: name}
        cache.upsert({"kind": NAMESPACE, "metadata": {"name": name, "labels": merged}})
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    for place, (key, raw) in enumerate(manifests.objects.items()):
        cache.upsert(_applied(key, raw, cache.get(key), now, place))


def _applied(key: ObjectKey, raw: Raw, before: Resource[Any] | None, now: str, place: int) -> Raw:
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    annotations = {str(k): str(v) for k, v in (metadata.get("annotations") or {}).items()}
    identity = {"kind": key.kind, "spec": spec}
    named = {"name": key.name, "namespace": key.namespace}
    if before is None:
        # The uid breaks ties of age: in the order of the manifests, which is the order they are created in.
        more = {"uid": f"~{place:06d}", "generation": 1, "creationTimestamp": now, "annotations": annotations}
        return {**identity, "metadata": {**named, **more, "labels": metadata.get("labels") or {}}}
    try:
        changed = KINDS[key.kind].spec_model.model_validate(spec) != before.spec
    except ValidationError:
        changed = True
    kept = {
        "uid": before.uid,
        "resourceVersion": str(before.resource_version + 1),
        "generation": before.generation + changed,
        "creationTimestamp": before.created.isoformat(),
        "deletionTimestamp": now if before.deleting else None,
        "finalizers": list(before.finalizers),
        "annotations": {**before.annotations, **annotations},
        "labels": {**before.labels, **(metadata.get("labels") or {})},
    }
    return {**identity, "metadata": {**named, **kept}, "status": as_written(before.status)}


def pruned(desired: Desired, keep: Mapping[ObjectKey, Raw]) -> tuple[Desired, list[ObjectKey]]:
    """The objects as they would be if everything without a manifest were deleted; and the keys of that."""
    gone = [resource.key for resource in desired if resource.key not in keep and not resource.deleting]
    changed: dict[str, Any] = {}
    for kind in KINDS.values():
        if kind.desired_as:
            part = getattr(desired, kind.desired_as)
            changed[kind.desired_as] = tuple(replace(r, deleting=r.deleting or r.key in gone) for r in part)
    return replace(desired, **changed), gone
