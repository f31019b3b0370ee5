"""The files of a bug report, made from what was read. Pure: no file holds a Secret, because none was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pve_evpn.cli.report.anonymise import Anonymiser, names_in

#: Annotations that hold a copy of the whole object, which the object itself shows already.
_COPIES = ("kubectl.kubernetes.io/last-applied-configuration",)

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Material:
    """What was read. ``texts``: logs and metrics by file name. ``unread``: what could not be read, and why."""

    objects: Mapping[str, list[Raw]]
    events: list[Raw]
    versions: Mapping[str, str]
    texts: Mapping[str, str]
    unread: Mapping[str, str] = field(default_factory=dict)


def files_of(material: Material, anonymiser_key: bytes | None = None) -> dict[str, str]:
    """File name to text.

    Args:
        anonymiser_key: Random bytes to make pseudonyms with; None leaves everything as it is.
    """
    objects = [{**_trimmed(raw), "kind": kind} for kind, listed in material.objects.items() for raw in listed]
    events = sorted(map(_event, material.events), key=lambda event: str(event.get("at")))
    texts = dict(material.texts)
    unread = dict(material.unread)
    if anonymiser_key is not None:
        anonymiser = Anonymiser(anonymiser_key, names_in(objects))
        objects = [anonymiser.value(raw) for raw in objects]
        events = [anonymiser.value(event) for event in events]
        texts = {anonymiser.text(name): anonymiser.text(text) for name, text in texts.items()}
        unread = {name: anonymiser.text(why) for name, why in unread.items()}
    files = {f"objects/{kind}.yaml": _documents(raw for raw in objects if raw["kind"] == kind)
             for kind in material.objects}  # fmt: skip
    files["events.yaml"] = _yaml(events)
    files["transactions.yaml"] = _yaml(_transactions(objects, events))
    files["versions.yaml"] = _yaml(dict(material.versions))
    files.update(texts)
    files["README.txt"] = _readme(unread, anonymised=anonymiser_key is not None)
    return dict(sorted(files.items()))


def _trimmed(raw: Raw) -> dict[str, Any]:
    """Without managedFields and copies of the object in its annotations."""
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {key: value for key, value in annotations.items() if key not in _COPIES}
    return {**raw, "metadata": metadata}


def _event(raw: Raw) -> dict[str, Any]:
    regarding = raw.get("regarding") or {}
    series = raw.get("series") or {}
    return {
        "at": raw.get("eventTime") or raw["metadata"].get("creationTimestamp"),
        "last": series.get("lastObservedTime"),
        "count": series.get("count", 1),
        "regarding": "/".join(filter(None, (regarding.get("kind"), regarding.get("namespace"), regarding.get("name")))),
        "type": raw.get("type"),
        "reason": raw.get("reason"),
        "note": raw.get("note"),
    }


def _transactions(objects: Iterable[Raw], events: Iterable[Raw]) -> dict[str, Any]:
    """The last transaction of each cluster, and the Events of those before."""
    clusters = [raw for raw in objects if raw["kind"] == "ProxmoxCluster"]
    return {
        "last": {raw["metadata"]["name"]: (raw.get("status") or {}).get("lastTransaction") for raw in clusters},
        "events": [event for event in events if str(event["regarding"]).startswith("ProxmoxCluster/")],
    }


def _readme(unread: Mapping[str, str], *, anonymised: bool) -> str:
    lines = [
        "A bundle of pve-evpn for a bug report: objects, statuses, Events, logs, metrics, versions, transactions.",
        "Secrets were not read. " + (
            "Names, addresses and MAC addresses are pseudonyms." if anonymised
            else "It shows names and addresses of your network as they are; --anonymise replaces them."
        ),
    ]  # fmt: skip
    lines += [f"Not read: {what}: {why}" for what, why in unread.items()]
    return "\n".join(lines) + "\n"


def _yaml(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120))


def _documents(values: Iterable[Raw]) -> str:
    return str(yaml.safe_dump_all(values, sort_keys=False, allow_unicode=True, width=120))
