"""What publishing a change does to the network: nothing, a reload, an interruption, or a deletion.

Sources: what ifupdown2 and FRR do with each property (pve-network writes ``/etc/network/interfaces.d/sdn`` and
``frr.conf`` from them). A property that is not listed counts as disruptive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from pve_evpn.domain.sdn import Canonical, SdnKind, SdnObject, changes_between


class StepClass(StrEnum):
    """The classes, the least first. The words are those of ``spec.apply.approval``.

    NONE: Nothing that guests or routers see changes (an alias, a name server).
    RELOAD: Every node reloads its network; something is added, nothing stops.
    DISRUPTIVE: BGP sessions or the traffic of guests stop, for a moment or for good.
    DESTRUCTIVE: An object is deleted.
    """

    NONE = "none"
    RELOAD = "reload"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"


_NONE, _RELOAD, _DISRUPTIVE, _DESTRUCTIVE = StepClass
_RANK = {step_class: rank for rank, step_class in enumerate(StepClass)}

Value = Canonical | None
Rule = Callable[[Value, Value], StepClass]


def _members(value: Value) -> frozenset[str]:
    return frozenset((value,) if isinstance(value, str) else value or ())


def _growing(have: Value, want: Value) -> StepClass:
    """A list: what only grows stops nothing."""
    return _RELOAD if _members(have) <= _members(want) else _DISRUPTIVE


def _nodes(have: Value, want: Value) -> StepClass:
    """A list of nodes that means all of them where it is not set."""
    return _RELOAD if want is None or (have is not None and _members(have) <= _members(want)) else _DISRUPTIVE


def _turned_off(_have: Value, want: Value) -> StepClass:
    """What stops something when it goes, and nothing when it comes."""
    return _RELOAD if want is not None else _DISRUPTIVE


def _turned_on(have: Value, want: Value) -> StepClass:
    """What stops something when it comes."""
    return _turned_off(want, have)


def _added(have: Value, _want: Value) -> StepClass:
    """A value that nothing had before; changed or removed, it is missed."""
    return _RELOAD if have is None else _DISRUPTIVE


#: What creating an object does where it is more than a reload. The daemon of a fabric's protocol runs where there is a
#: fabric of it, and a change of the list of daemons restarts FRR with all of its sessions (pve-network, Frr.pm).
_CREATION: Mapping[tuple[SdnKind, str], StepClass] = {
    (SdnKind.FABRIC, "openfabric"): _DISRUPTIVE,
    (SdnKind.FABRIC, "ospf"): _DISRUPTIVE,
}

_RULES: Mapping[SdnKind, Mapping[str, StepClass | Rule]] = {
    SdnKind.FABRIC_NODE: {"interfaces": _growing, "allowed_ips": _growing},
    SdnKind.CONTROLLER: {"peers": _growing, "nodes": _nodes},
    SdnKind.ZONE: {
        "nodes": _nodes,
        "exitnodes": _growing,
        "rt-import": _growing,
        "advertise-subnets": _turned_off,
        "disable-arp-nd-suppression": _RELOAD,
        "bridge-disable-mac-learning": _RELOAD,
        "ipam": _NONE,
        "dns": _NONE,
        "reversedns": _NONE,
        "dnszone": _NONE,
    },
    SdnKind.VNET: {"alias": _NONE, "isolate-ports": _turned_on},
    SdnKind.SUBNET: {
        "gateway": _added,
        "snat": _turned_off,
        "dhcp-range": _NONE,
        "dhcp-dns-server": _NONE,
        "dnszoneprefix": _NONE,
    },
}


def class_of(before: SdnObject | None, after: SdnObject | None) -> StepClass:
    """The class of publishing ``after`` where ``before`` runs; None where the object is not there."""
    if after is None:
        return _NONE if before is None else _DESTRUCTIVE
    if before is None:
        return _CREATION.get((after.ref.kind, after.type), _RELOAD)
    if before.type != after.type or before.parent != after.parent:
        return _DISRUPTIVE
    return highest(_classes(before, after).values())


def decisive(before: SdnObject | None, after: SdnObject | None) -> tuple[str, ...]:
    """The properties that give a change of an object its class; empty where it is created, deleted or made anew."""
    if before is None or after is None or before.type != after.type or before.parent != after.parent:
        return ()
    found = _classes(before, after)
    return tuple(key for key, step_class in found.items() if step_class is highest(found.values()))


def _classes(before: SdnObject, after: SdnObject) -> dict[str, StepClass]:
    """The class of each property that changes."""
    rules = _RULES.get(after.ref.kind, {})
    found = {}
    for diff in changes_between(before, after):
        rule = rules.get(diff.key, _DISRUPTIVE)
        found[diff.key] = rule if isinstance(rule, StepClass) else rule(diff.have, diff.want)
    return found


def highest(classes: Iterable[StepClass]) -> StepClass:
    """The highest of the classes; NONE for none."""
    return max(classes, key=_RANK.__getitem__, default=_NONE)


def in_words(classes: Iterable[StepClass]) -> str:
    """``disruptive: 1, reload: 2``, the highest first."""
    counts = Counter(classes)
    return ", ".join(f"{name}: {counts[name]}" for name in reversed(StepClass) if counts[name])
