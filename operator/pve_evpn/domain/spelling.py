"""How Proxmox spells structured values as text: property strings (``key=vni,value=5``), entries of route maps, areas.

Two texts may mean the same, because the order of a property string's parts means nothing. What compares them brings
them into one form here first. Pure text; what the values mean is said where they are used.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

#: Parts that come first, in this order; the others follow by name.
_FIRST = ("name", "source", "type", "iface", "node", "key", "action", "prefix", "ge", "le", "seq")
_RANK = {part: rank for rank, part in enumerate(_FIRST)}


def parts_of(text: object) -> dict[str, str]:
    """The parts of a property string, also where Proxmox gives it as an object."""
    if isinstance(text, Mapping):
        pairs = [(str(key), _text(value)) for key, value in text.items() if value is not None]
    else:
        pairs = [
            (key.strip(), value.strip()) for key, _, value in (part.partition("=") for part in str(text).split(","))
        ]
    return dict(pairs)


def property_string(parts: object) -> str:
    """A property string with its parts in one order."""
    found = parts_of(parts)
    ordered = sorted(found, key=lambda key: (_RANK.get(key, len(_RANK)), key))
    return ",".join(f"{key}={found[key]}" if found[key] else key for key in ordered)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def by_seq(entries: Iterable[object]) -> tuple[str, ...]:
    """The entries of a prefix list in their order."""
    rows = [parts_of(entry) for entry in entries]
    return tuple(property_string(row) for row in sorted(rows, key=lambda row: int(row.get("seq") or 0)))


def area(text: object) -> str:
    """An OSPF area, which is a number or looks like an IPv4 address, as a number."""
    with suppress(ValueError):
        return str(int(ipaddress.IPv4Address(str(text))))
    return str(text)


# --- entries of route maps ----------------------------------------------------------------------------------------

#: The properties of an entry that are lists of property strings with ``key`` and ``value``.
_LISTS = ("match", "set")


def route_map_entry(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """One entry as lines: ``action permit``, ``match vni 5``, ``set weight 20``, ``call other``, ``exit ...``."""
    lines = [f"action {raw.get('action')}"]
    for name in _LISTS:
        lines += sorted(f"{name} {_spaced(text)}" for text in raw.get(name) or ())
    if raw.get("call"):
        lines.append(f"call {raw['call']}")
    if raw.get("exit-action"):
        lines.append(f"exit {_spaced(raw['exit-action'])}")
    return tuple(lines)


def route_map_params(lines: Iterable[str]) -> dict[str, str | list[str]]:
    """The inverse of :func:`route_map_entry`, as the API takes it."""
    params: dict[str, str | list[str]] = {}
    for line in lines:
        name, _, rest = line.partition(" ")
        key, _, value = rest.partition(" ")
        pair = f"key={key}" + (f",value={value}" if value else "")
        if name in _LISTS:
            found = params.setdefault(name, [])
            assert isinstance(found, list)
            found.append(pair)
        elif name == "exit":
            params["exit-action"] = pair
        else:
            params[name] = rest
    return params


def named_by(lines: Iterable[str]) -> tuple[set[str], set[str]]:
    """The prefix lists and the route maps that an entry names."""
    lists, maps = set(), set()
    for line in lines:
        name, _, rest = line.partition(" ")
        key, _, value = rest.partition(" ")
        if name == "call":
            maps.add(rest)
        elif name == "match" and key.endswith("prefix-list"):
            lists.add(value)
    return lists, maps


def _spaced(text: object) -> str:
    parts = parts_of(text)
    return " ".join(filter(None, (parts.get("key", ""), parts.get("value", ""))))
