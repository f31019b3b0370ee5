"""The merge of running and edited objects that ``?pending=1`` shows.

Values are compared as text; removed ones are the word "deleted", whatever their type. An object that is new shows
everything in ``pending`` apart from its type (and a subnet its VNet); one that was re-created with another type shows
the new type beside the old values.
"""

from __future__ import annotations

from typing import Any

from pve_lab.sdn.section_config import Props

_SHOWN_AS_EDITED = ("type", "vnet")


def merged(running: Props | None, edited: Props | None) -> Props:
    """One object; ``state`` and ``pending`` are there only if something differs."""
    if edited is None:
        return {**(running or {}), "pending": {}, "state": "deleted"}
    old = running or {}
    shown: Props = dict(old)
    changes: Props = {}
    differs = False
    for key in old.keys() | edited.keys():
        new = edited.get(key)
        same = key in old and new is not None and _text(old[key]) == _text(new)
        differs = differs or not same
        if key in _SHOWN_AS_EDITED and new is not None:
            shown[key] = new
        elif not same:
            changes[key] = "deleted" if new is None else new
    if running is None:
        return {**shown, "pending": changes, "state": "new"}
    return {**shown, "pending": changes, "state": "changed"} if differs else shown


def differ(running: dict[str, Props], edited: dict[str, Props]) -> bool:
    """Is anything of a kind pending?"""
    if running.keys() != edited.keys():
        return True
    return any("state" in merged(running[id_], edited[id_]) for id_ in edited)


def _text(value: Any) -> str:
    return ",".join(sorted(map(str, value))) if isinstance(value, list) else str(value)
