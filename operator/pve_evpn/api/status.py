"""Between a stored status and its model: read once when an object arrives, written once when a status leaves.

A status is built from the one before it: parts (models with some fields set) are laid over it, and what no part names
stays as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from pve_evpn.api.conditions import ReportedStatus
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.types import ApiModel

StatusT = TypeVar("StatusT", bound=ReportedStatus)

#: Each round drops what the one before complained of; a broken row goes with its second round at the latest.
_ROUNDS = 4


def read_status(kind: str, raw: object) -> ReportedStatus:
    """The status of an object of ``kind`` as stored. It never raises: parts that cannot be read are left out.

    A status may be older than this program, or edited by hand.
    """
    model = KINDS[kind].status_model
    if not isinstance(raw, Mapping):
        return model()
    readable: Any = raw
    for _ in range(_ROUNDS):
        try:
            return model.model_validate(readable)
        except ValidationError as error:
            readable = copy.deepcopy(dict(readable))
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            paths = {problem["loc"][: -1 if problem["type"] == "missing" else None] for problem in problems}
            for path in sorted(paths, key=lambda path: (len(path), path), reverse=True):  # no index moves below another
                _drop(readable, path)
    return model()


def updated(status: StatusT, *parts: ReportedStatus) -> StatusT:
    """The status with every field that a part sets; a field that a part sets to None goes."""
    changes = {name: getattr(part, name) for part in parts for name in part.model_fields_set}
    return status.model_copy(update=changes)


def patch(before: ReportedStatus, after: ReportedStatus) -> tuple[dict[str, Any], dict[str, Any]]:
    """The merge patch from one status to the other, and the whole status as stored; empty where both are the same."""
    if before == after:
        return {}, {}
    written = as_written(after)
    return _difference(as_written(before), written), written


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Lists are replaced whole, as merge patches do; mappings are compared field by field, to remove what went."""
    changes: dict[str, Any] = {}
    for key in dict.fromkeys((*after, *before)):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := _difference(old, new):
                changes[key] = inner
        elif old != new:
            changes[key] = new
    return changes


def as_written(model: ApiModel) -> dict[str, Any]:
    """The model in the API's spelling; what is not known is left out."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _drop(value: Any, path: tuple[int | str, ...]) -> None:
    """Remove what ``path`` names; nothing where it is gone already."""
    *parents, last = path
    for step in parents:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(value, dict):
        value.pop(last, None)
    elif isinstance(value, list) and isinstance(last, int) and last < len(value):
        del value[last]
