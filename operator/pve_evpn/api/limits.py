"""Statuses cut to what the CRD allows.

Texts come from Proxmox and FRR and lists from clusters of any size; one character too many and the API server refuses
the whole status, so that the object would keep its old one for ever. Writers of statuses know what matters and cut
with that in mind; this is the net below them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pve_evpn.api.kinds import KINDS
from pve_evpn.api.schema import structural

_MORE = " ..."


def fit(kind: str, status: Mapping[str, Any]) -> dict[str, Any]:
    """``status`` of an object of ``kind`` within the limits of its schema.

    Texts end in ``...`` where they were cut, lists lose their end. Where the schema has a ``truncated`` beside the
    list it gets the number of entries lost, unless the writer has set it.
    """
    return _object(_schema(kind), status)


@cache
def _schema(kind: str) -> Mapping[str, Any]:
    return structural(KINDS[kind].status_model)


def _object(schema: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    fields = schema.get("properties", {})
    made = {name: _value(fields.get(name, {}), child) for name, child in value.items()}
    lost = sum(len(value[name]) - len(made[name]) for name in made if isinstance(made[name], list))
    if lost and "truncated" in fields and not made.get("truncated"):
        made["truncated"] = lost
    return made


def _value(schema: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, str):
        most = schema.get("maxLength", len(value))
        return value if len(value) <= most else value[: most - len(_MORE)] + _MORE
    if isinstance(value, Mapping):
        return _object(schema, value)
    if isinstance(value, list | tuple):
        return [_value(schema.get("items", {}), entry) for entry in value[: schema.get("maxItems", len(value))]]
    return value
