"""Configuration files made of sections, as Proxmox keeps them: what a request may set, and what is read back.

A write goes through ``accepted`` (which options the type takes) and ``remove`` (``delete=``); what is stored is what
the next reader of the file would see (``as_read``): empty values vanish, spaces at the ends too, and so do a text
with non-ASCII letters where the property has a pattern and a number beyond 64 bits, although the request was answered
with 200.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from pve_lab.errors import refused
from pve_lab.json_schema import Prop, split_list, text_of
from pve_lab.releases import Version
from pve_lab.sdn.parameters import OPTIONS, PROPERTIES

Props = dict[str, Any]
# Node lists are sets: sorted and without duplicates wherever they are shown.
SETS = frozenset({"nodes", "exitnodes"})
LISTS = frozenset({"dhcp-range", "secondary-controllers"})


def accepted(kind: str, type_: str, params: Props, version: Version, *, create: bool) -> Props:
    """The typed values of a request for an object of a type; 500 for what the type does not take or needs."""
    options = OPTIONS[kind][type_].at(version)
    schema = PROPERTIES[kind]
    settings: Props = {}
    for key, value in params.items():
        if value is None:
            raise refused(f"got undefined value for option '{key}'\n")
        if key not in options:
            raise refused(f"unexpected property '{key}'\n")
        settings[key] = _typed(key, value, schema[key])
    if create:
        for key, optional in options.items():
            if not optional and key not in params:
                raise refused(f"missing value for required option '{key}'\n")
    return settings


def required(kind: str, type_: str, version: Version) -> list[str]:
    """Options that an object of the type must have."""
    return [key for key, optional in OPTIONS[kind][type_].at(version).items() if not optional]


def remove(kind: str, type_: str, props: Props, new: Props, delete: Iterable[str], version: Version) -> None:
    """``delete=``: refuses what the type does not have, what it needs, and what the request sets as well."""
    options = OPTIONS[kind][type_].at(version)
    for key in delete:
        if key not in options:
            raise refused(f"no such option '{key}'\n")
        if not options[key]:
            raise refused(f"unable to delete required option '{key}'\n")
        if key in new:
            raise refused(f"cannot set and delete property '{key}' at the same time!\n")
        props.pop(key, None)


def as_read(kind: str, props: Props) -> Props:
    """What the file's next reader sees of a section."""
    schema = PROPERTIES[kind]
    read: Props = {}
    for key, value in props.items():
        kept = value.strip(" \t") if isinstance(value, str) else value
        if kept == "" or kept == []:
            continue
        if isinstance(kept, str) and not kept.isascii() and key in schema and schema[key].pattern:
            continue
        # Perl writes what has more than 64 bits as 1e+25, which is no integer to who reads it.
        if isinstance(kept, int) and not -(2**63) <= kept < 2**64:
            continue
        read[key] = kept
    return read


def digest(sections: dict[str, Props]) -> str:
    """Of a whole file: the same for every object in it. Sections stand in the order in which they were made."""
    text = json.dumps(list(sections.items()), sort_keys=True) if sections else ""
    return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324


def _typed(key: str, value: Any, prop: Prop) -> Any:
    if prop.type == "array":
        values = [text_of(part) for part in value]
        for text in values:
            _one_line(text)
        return values
    text = text_of(value)
    _one_line(text)
    if prop.type in ("integer", "boolean"):
        return int(text)
    if key in SETS:
        return ",".join(sorted(set(split_list(text))))
    return text


def _one_line(text: str) -> None:
    if "\n" in text or "\r" in text:
        raise refused("property contains a line feed\n")
