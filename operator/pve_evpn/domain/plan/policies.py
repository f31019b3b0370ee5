"""What prefix lists and route maps mean in Proxmox' own properties, and which of them call each other.

The tables say which field is which property; what reads Proxmox' objects back into specs goes by them too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from pve_evpn.api.policy import Exit, Match, PrefixListEntry, RouteMapEntry, RouteMapSpec, Set
from pve_evpn.domain.sdn import SdnKind, SdnObject, SdnRef
from pve_evpn.domain.spelling import parts_of, route_map_entry

#: Fields of ``match`` that hold a value, and their keys in Proxmox.
MATCH_VALUES: Mapping[str, str] = {
    "route_type": "route-type",
    "vni": "vni",
    "next_hop": "ip-next-hop-address",
    "next_hop6": "ip6-next-hop-address",
    "metric": "metric",
    "local_preference": "local-preference",
    "peer": "peer",
    "tag": "tag",
}
#: Fields of ``match`` that name a prefix list.
MATCH_LISTS: Mapping[str, str] = {
    "prefix_list_ref": "ip-address-prefix-list",
    "prefix_list6_ref": "ip6-address-prefix-list",
    "next_hop_prefix_list_ref": "ip-next-hop-prefix-list",
    "next_hop_prefix_list6_ref": "ip6-next-hop-prefix-list",
}
#: Fields of ``set``; those that are switches have no value in Proxmox.
SET_VALUES: Mapping[str, str] = {
    "next_hop": "ip-next-hop",
    "next_hop6": "ip6-next-hop",
    "local_preference": "local-preference",
    "tag": "tag",
    "weight": "weight",
    "metric": "metric",
    "src": "src",
}
SET_SWITCHES: Mapping[str, str] = {
    "next_hop_peer_address": "ip-next-hop-peer-address",
    "next_hop_unchanged": "ip-next-hop-unchanged",
    "next_hop6_peer_address": "ip6-next-hop-peer-address",
    "next_hop6_prefer_global": "ip6-next-hop-prefer-global",
}
#: Values that Proxmox spells otherwise.
ROUTE_TYPES: Mapping[str, str] = {
    "EAD": "ead",
    "MACIP": "macip",
    "Multicast": "multicast",
    "EthernetSegment": "es",
    "Prefix": "prefix",
}
EXITS: Mapping[str, str] = {"Next": "on-match-next", "GoTo": "on-match-goto", "Continue": "continue"}

#: The name in Proxmox of an object of a kind, by the names of both.
NameOf = Callable[[str, str], str]


def list_entries(entries: Iterable[PrefixListEntry]) -> list[dict[str, Any]]:
    """The entries of a prefix list as Proxmox has them."""
    return [
        {"action": entry.action.lower(), "prefix": entry.prefix, "ge": entry.ge, "le": entry.le, "seq": entry.seq}
        for entry in entries
    ]


def list_entries_back(texts: Iterable[str]) -> list[dict[str, Any]]:
    """The inverse, from the canonical form. Raises ValueError or KeyError for an entry that a spec cannot have."""
    found = []
    for parts in map(parts_of, texts):
        entry: dict[str, Any] = {"seq": int(parts["seq"]), "action": parts["action"].capitalize()}
        entry["prefix"] = str(ipaddress.ip_network(parts["prefix"]))
        found.append(entry | {key: int(parts[key]) for key in ("ge", "le") if key in parts})
    return found


def route_map(id_: str, spec: RouteMapSpec, name_of: NameOf) -> SdnObject:
    """The map; each entry is a property that its order names."""
    entries = {str(entry.order): route_map_entry(_entry(entry, name_of)) for entry in spec.entries}
    return SdnObject(SdnRef(SdnKind.ROUTE_MAP, id_), str(SdnKind.ROUTE_MAP), entries)


def _entry(entry: RouteMapEntry, name_of: NameOf) -> dict[str, Any]:
    return {
        "action": entry.action.lower(),
        "match": _match(entry.match, name_of) if entry.match else (),
        "set": _set(entry.set) if entry.set else (),
        "call": name_of("RouteMap", entry.call_ref.name) if entry.call_ref else None,
        "exit-action": _exit(entry.exit) if entry.exit else None,
    }


def _match(match: Match, name_of: NameOf) -> list[dict[str, Any]]:
    values: dict[str, Any] = {key: getattr(match, field) for field, key in MATCH_VALUES.items()}
    if match.route_type:
        values["route-type"] = ROUTE_TYPES[match.route_type]
    for field, key in MATCH_LISTS.items():
        ref = getattr(match, field)
        values[key] = name_of("PrefixList", ref.name) if ref else None
    return [{"key": key, "value": value} for key, value in values.items() if value is not None]


def _set(actions: Set) -> list[dict[str, Any]]:
    values = ((key, getattr(actions, field)) for field, key in SET_VALUES.items())
    switches = [{"key": key} for field, key in SET_SWITCHES.items() if getattr(actions, field)]
    return [{"key": key, "value": value} for key, value in values if value is not None] + switches


def _exit(leave: Exit) -> dict[str, Any]:
    return {"key": EXITS[leave.action], "value": leave.order}


# --- the way back -------------------------------------------------------------------------------------------------

_ROUTE_TYPES_BACK = {word: name for name, word in ROUTE_TYPES.items()}
_EXITS_BACK = {word: name for name, word in EXITS.items()}
#: Values that a manifest has as numbers.
_NUMBERS = frozenset({"vni", "metric", "local_preference", "weight"})


def entries_back(entries: Mapping[str, Iterable[str]], name_of: NameOf) -> list[dict[str, Any]]:
    """The entries of a route map as a manifest has them, from the properties of its object.

    ``name_of``: the Kubernetes object that stands for the prefix list or route map of that name. Raises ValueError or
    KeyError for an entry that a spec cannot have.
    """
    return [_entry_back(order, entries[order], name_of) for order in sorted(entries, key=int)]


def _entry_back(order: str, lines: Iterable[str], name_of: NameOf) -> dict[str, Any]:
    found: dict[str, Any] = {"order": int(order)}
    for line in lines:
        name, _, rest = line.partition(" ")
        key, _, value = rest.partition(" ")
        if name == "action":
            found["action"] = rest.capitalize()
        elif name == "call":
            found["callRef"] = {"name": name_of("RouteMap", rest)}
        elif name == "exit":
            found["exit"] = {"action": _EXITS_BACK[key], **({"order": int(value)} if value else {})}
        else:
            field, read = _field_back(name, key, value, name_of)
            if field in found.setdefault(name, {}):
                raise ValueError(f"{name} {key} is there twice")
            found[name][field] = read
    return found


def _field_back(name: str, key: str, value: str, name_of: NameOf) -> tuple[str, Any]:
    """A field of ``match`` or ``set`` and its value."""
    values, others = (MATCH_VALUES, MATCH_LISTS) if name == "match" else (SET_VALUES, SET_SWITCHES)
    field = next((field for field, word in (*values.items(), *others.items()) if word == key), None)
    if field is None:
        raise KeyError(key)
    if field in MATCH_LISTS:
        return to_camel(field), {"name": name_of("PrefixList", value)}
    if field in SET_SWITCHES:
        return to_camel(field), True
    if field == "route_type":
        return "routeType", _ROUTE_TYPES_BACK[value]
    number = field in _NUMBERS and not (name == "set" and field in ("metric", "local_preference"))
    return to_camel(field), int(value) if number else value


# --- references ---------------------------------------------------------------------------------------------------


def references(spec: RouteMapSpec) -> Iterator[tuple[str, str, str]]:
    """Field, kind and name of everything the entries name."""
    for entry in spec.entries:
        for field in MATCH_LISTS if entry.match else ():
            if ref := getattr(entry.match, field):
                yield f"entries[{entry.order}].match.{to_camel(field)}", "PrefixList", ref.name
        if entry.call_ref:
            yield f"entries[{entry.order}].callRef", "RouteMap", entry.call_ref.name


def calls(spec: object) -> tuple[str, ...]:
    """The RouteMaps that a spec calls."""
    entries = spec.entries if isinstance(spec, RouteMapSpec) else ()
    return tuple(dict.fromkeys(entry.call_ref.name for entry in entries if entry.call_ref))


def circle(name: str, calls_of: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    """The way from a RouteMap back to itself by calls, itself first and last; empty if there is none."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for called in calls_of(way[-1]):
            if called == name:
                return (*way, name)
            if called not in seen:
                seen.add(called)
                ways.append((*way, called))
    return ()
