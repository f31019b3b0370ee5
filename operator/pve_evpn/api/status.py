"""Between a stored status and its model: read once when an object arrives, written once when a status leaves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pve_evpn.api.conditions import ReportedStatus
from pve_evpn.api.kinds import KINDS
from pve_evpn.api.types import ApiModel

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
