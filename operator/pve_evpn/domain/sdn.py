"""The SDN configuration of one Proxmox VE cluster as values that can be compared.

Proxmox keeps two copies of it: the *edited* one (what the API writes to) and the *running* one (what the last apply
published). This module names the objects (:class:`SdnRef`), brings their properties into one canonical form, and
answers what differs. It does not talk to Proxmox (``pve.gateway``) and decides nothing (``domain.plan``).

Canonical form, because Proxmox compares textually and people do not:

* booleans, absent and ``0`` are the same thing and are left out; true is ``"1"``;
* node, peer, route target and controller lists are sets: separators, order and repetition mean nothing;
* lists of property strings have their parts in one order (:mod:`~pve_evpn.domain.spelling`);
* a route map is one object, though Proxmox has an object for each of its entries: each is a property;
* MAC addresses are upper case, aliases are trimmed (Proxmox trims on storage), IP addresses have their usual spelling
  (Proxmox stores ``FD00::01`` as it was given), everything else is its text;
* tokens and keys are no properties: :class:`Hidden` values that no text, digest or stored form of an object has.

IPAMs and DNS servers (:data:`WRITTEN_AT_ONCE`) have one copy only: a write takes effect at once, and what is read is
in both copies here.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, NoReturn

from pve_evpn.domain import spelling

Canonical = str | tuple[str, ...]
Props = Mapping[str, Canonical]


class Hidden:
    """A token or key. It can be compared and sent (:meth:`reveal`), and is shown nowhere: not by ``str`` or ``repr``.

    It is no dataclass and cannot be pickled or serialised, so that nothing takes it along by chance.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the request that Proxmox gets."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(Hidden)  # of the class alone: not even a number depends on the text

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a hidden value is not stored")


class SdnKind(StrEnum):
    """The collections below ``/cluster/sdn``."""

    IPAM = "ipam"
    DNS = "dns"
    FABRIC = "fabric"
    FABRIC_NODE = "fabric-node"
    PREFIX_LIST = "prefix-list"
    ROUTE_MAP = "route-map"
    CONTROLLER = "controller"
    ZONE = "zone"
    VNET = "vnet"
    SUBNET = "subnet"
    #: Of a collection that this program does not know.
    OTHER = "object"


#: Parents first: the order in which objects can be created; deletions go the other way.
CREATION_ORDER = (
    SdnKind.IPAM,
    SdnKind.DNS,
    SdnKind.PREFIX_LIST,
    SdnKind.ROUTE_MAP,
    SdnKind.FABRIC,
    SdnKind.FABRIC_NODE,
    SdnKind.CONTROLLER,
    SdnKind.ZONE,
    SdnKind.VNET,
    SdnKind.SUBNET,
)
#: Services that zones use. Proxmox keeps them beside the SDN configuration (``ipams.cfg``, ``dns.cfg``, not part of
#: ``.running-config``): they are never pending, and neither an apply nor a rollback touches them.
WRITTEN_AT_ONCE = frozenset({SdnKind.IPAM, SdnKind.DNS})
#: The property of each that is a secret.
SECRET_KEYS: Mapping[SdnKind, str] = {SdnKind.IPAM: "token", SdnKind.DNS: "key"}
#: Objects that have no Kubernetes object of their own, with the kind of the one they are part of.
PART_OF: Mapping[SdnKind, SdnKind] = {SdnKind.FABRIC_NODE: SdnKind.FABRIC, SdnKind.SUBNET: SdnKind.VNET}

#: Values Proxmox fills in by itself. An EVPN zone created without `mac` gets a random anycast MAC on every write
#: that finds none, so deleting it would change the network each time.
SERVER_FILLED: Mapping[SdnKind, frozenset[str]] = {SdnKind.ZONE: frozenset({"mac"})}

_BOOLEAN = frozenset(
    {
        "advertise-subnets",
        "bgp-multipath-as-path-relax",
        "bridge-disable-mac-learning",
        "disable-arp-nd-suppression",
        "ebgp",
        "exitnodes-local-routing",
        "isolate-ports",
        "snat",
        "vlanaware",
    }
)
_SETS = frozenset({"exitnodes", "isis-ifaces", "nodes", "peers", "rt-import", "secondary-controllers"})
_ADDRESSES = frozenset({"dhcp-dns-server", "gateway", "ip", "ip6", "peers"})
_NETWORKS = frozenset({"ip6_prefix", "ip_prefix"})
#: Arrays of property strings whose order means nothing.
_STRUCTURED = frozenset({"allowed_ips", "interfaces", "redistribute"})
_ARRAYS = frozenset({"dhcp-range", "entries", "secondary-controllers"}) | _STRUCTURED
_UPPER = frozenset({"fingerprint", "mac"})
_TRIMMED = frozenset({"alias"})

#: Keys of an answer that name or describe the object rather than configure it, and those of secrets.
IDENTITY_KEYS: Mapping[SdnKind, frozenset[str]] = {
    SdnKind.IPAM: frozenset({"ipam", "type", SECRET_KEYS[SdnKind.IPAM]}),
    SdnKind.DNS: frozenset({"dns", "type", SECRET_KEYS[SdnKind.DNS]}),
    SdnKind.PREFIX_LIST: frozenset({"id"}),
    SdnKind.ROUTE_MAP: frozenset({"route-map-id", "order"}),
    SdnKind.FABRIC: frozenset({"id", "protocol"}),
    SdnKind.FABRIC_NODE: frozenset({"fabric_id", "node_id", "protocol"}),
    SdnKind.CONTROLLER: frozenset({"controller", "type"}),
    SdnKind.ZONE: frozenset({"zone", "type"}),
    SdnKind.VNET: frozenset({"vnet", "type"}),
    SdnKind.SUBNET: frozenset({"subnet", "id", "type", "vnet", "zone", "network", "mask", "cidr"}),
}
_META_KEYS = frozenset({"digest", "state", "pending", "lock-token"})
#: Properties that Proxmox' schema of the lists spells otherwise than its code and its schema of the writes.
_RESPELLED = {"bgp-multipath-as-relax": "bgp-multipath-as-path-relax"}


@dataclass(frozen=True, slots=True, order=True)
class SdnRef:
    """Which object. ``id`` is Proxmox' own, with its case; a subnet's is ``<zone>-<network>-<mask>``."""

    kind: SdnKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


def canonical(key: str, value: Any) -> Canonical | None:
    """The canonical form of one property, or None where it says nothing (unset, empty, a false boolean)."""
    if value is None or value == "":
        return None
    if key == "dhcp-range":
        return tuple(sorted(_dhcp_range(entry) for entry in value)) or None
    if key in _SETS:
        parts = value if isinstance(value, list | tuple | set | frozenset) else re.split(r"[\s,;]+", str(value))
        members = {_member(part) for part in parts if part}
        return tuple(sorted(set(map(_address, members)) if key in _ADDRESSES else members)) or None
    if key in _STRUCTURED:
        return tuple(sorted({_member(part) for part in value})) or None
    if key == "entries":
        return spelling.by_seq(value) or None
    if key == "area":
        return spelling.area(value)
    if key in _BOOLEAN:
        return "1" if str(value) in ("1", "True", "true") else None
    if isinstance(value, bool):
        return "1" if value else None
    text = str(value)
    if key in _ADDRESSES:
        return _address(text)
    if key in _NETWORKS:
        return _network(text)
    if key in _UPPER:
        return text.upper()
    if key in _TRIMMED:
        return text.strip() or None
    return text


@functools.lru_cache(maxsize=4096)
def _address(text: str) -> str:
    """An IP address in its usual spelling; any other text as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _network(text: str) -> str:
    """A network in its usual spelling; any other text as it is."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        return text


def _member(part: Any) -> str:
    """A member of a set; a WireGuard node's peers are property strings, all others plain values."""
    return spelling.property_string(part) if isinstance(part, Mapping) or "=" in str(part) else str(part)


def _dhcp_range(entry: Any) -> str:
    """Lists have ranges as objects, ``pending`` has them as texts, in which the ends come in either order."""
    if isinstance(entry, Mapping):
        ends = entry
    else:
        ends = dict(part.strip().partition("=")[::2] for part in str(entry).split(","))
    if not {"start-address", "end-address"} <= ends.keys():
        return str(entry)
    return f"start-address={_address(ends['start-address'])},end-address={_address(ends['end-address'])}"


def canonical_props(kind: SdnKind, raw: Mapping[str, Any]) -> dict[str, Canonical]:
    """All configuring properties of one answer of Proxmox in canonical form."""
    skip = IDENTITY_KEYS.get(kind, frozenset()) | _META_KEYS
    items = ((_RESPELLED.get(key, key), value) for key, value in raw.items() if key not in skip)
    pairs = ((key, canonical(key, value)) for key, value in items)
    return {key: value for key, value in pairs if value is not None}


def wire(key: str, value: Canonical) -> str | list[str]:
    """A canonical value as the API takes it: lists joined by commas, array parameters as repeated ones."""
    if isinstance(value, str):
        return value
    structured = any("=" in member for member in value)  # a peer of WireGuard, but of no controller
    return list(value) if structured or key in _ARRAYS else ",".join(value)


@dataclass(frozen=True, slots=True)
class SdnObject:
    """One object: as one of the two copies has it, or as a specification wants it.

    Attributes:
        type: Proxmox' plugin type.
        props: Its properties in canonical form. Of a desired object, those that must hold; the others are unsaid.
        parent: The VNet of a subnet, the fabric of a fabric's node.
        absent: Of a desired object only: the properties that must not be set.
        filled: Of a desired object only: the values that properties of ``absent`` may have instead. They are written
            with a creation and together with another change, and are no reason for a write.
        secret: Its token or key; of an object that was read, None where Proxmox does not show it.
        resend: Of a desired object only: the secret is to be written where Proxmox does not show what it has.
    """

    ref: SdnRef
    type: str
    props: Props
    parent: str = ""
    absent: frozenset[str] = frozenset()
    filled: Props = field(default_factory=dict)
    secret: Hidden | None = None
    resend: bool = False

    def differences(self, have: SdnObject) -> tuple[PropertyDiff, ...]:
        """What of this desired object does not hold on ``have``."""
        filled = {key: value for key, value in self.filled.items() if key in self.absent}
        absent = {key for key in self.absent if key not in filled or filled[key] != have.props.get(key)}
        found = compare(have.props, self.props, must_be_absent=absent)
        filling = (replace(diff, want=diff.want or filled.get(diff.key)) for diff in found)
        return (*_moved(have, self), *filling, *self.secret_differs(have))

    def secret_differs(self, have: SdnObject) -> tuple[PropertyDiff, ...]:
        """A secret that Proxmox does not have, without what either is."""
        same = have.secret == self.secret or (have.secret is None and not self.resend)
        if self.secret is None or same:
            return ()
        return (PropertyDiff(SECRET_KEYS[self.ref.kind], OTHER_SECRET, FROM_SECRET),)

    def over(self, have: SdnObject | None) -> SdnObject:
        """``have`` once this desired object holds: what is unsaid stays as it is."""
        kept = {key: value for key, value in have.props.items() if key not in self.absent} if have else {}
        filled = {key: value for key, value in self.filled.items() if key in self.absent}
        props = {**kept, **filled, **self.props}
        secret = self.secret or (have.secret if have else None)
        return SdnObject(self.ref, have.type if have else self.type, props, self.parent, secret=secret)

    def back_to(self, live: SdnObject | None, have: SdnObject) -> SdnObject:
        """:meth:`over`, but where only filled properties of ``have`` are wrong, they become what they are on ``live``.

        So a staged edit of another client is taken back, and nothing is left to publish.
        """
        wrong = {diff.key for diff in self.differences(have)}
        after = self.over(have)
        if live is None or not wrong <= self.filled.keys() or self.differences(live):
            return after
        props = {key: value for key, value in after.props.items() if key not in self.filled}
        return replace(after, props={**props, **{k: v for k, v in live.props.items() if k in self.filled}})


#: What differences show instead of a secret in Proxmox, and instead of the one that the spec names.
OTHER_SECRET, FROM_SECRET = "another one", "that of the Secret"

#: The key under which a subnet's VNet appears in differences. It is no property: its place is in the path.
PARENT = "vnet"


def _moved(have: SdnObject, want: SdnObject) -> tuple[PropertyDiff, ...]:
    return (PropertyDiff(PARENT, have.parent, want.parent),) if have.parent != want.parent else ()


def changes_between(before: SdnObject, after: SdnObject) -> tuple[PropertyDiff, ...]:
    """Every difference between two whole objects."""
    changed = compare(before.props, after.props, must_be_absent=before.props.keys())
    sent = replace(after, resend=True)
    return (*_moved(before, after), *changed, *sent.secret_differs(before))


@dataclass(frozen=True, slots=True)
class PropertyDiff:
    """One property that is not what it should be; None means absent."""

    key: str
    have: Canonical | None
    want: Canonical | None

    def __str__(self) -> str:
        return f"{self.key}: {show(self.have)} instead of {show(self.want)}"


def show(value: Canonical | None) -> str:
    """A value for a person."""
    if value is None:
        return "unset"
    return value if isinstance(value, str) else ",".join(value)


def compare(have: Props, want: Props, *, must_be_absent: Iterable[str] = ()) -> tuple[PropertyDiff, ...]:
    """What has to change so that every property of ``want`` holds and none of ``must_be_absent`` is there."""
    changes = [PropertyDiff(key, have.get(key), want[key]) for key in sorted(want) if have.get(key) != want[key]]
    extra = [
        PropertyDiff(key, have[key], None) for key in sorted(set(must_be_absent)) if key in have and key not in want
    ]
    return tuple(changes + extra)


class PendingState(StrEnum):
    """How an edited object differs from the running one; the words are Proxmox'."""

    NEW = "new"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class PendingChange:
    """An edit that the next apply of any client publishes. ``keys`` is empty for whole objects."""

    ref: SdnRef
    state: PendingState
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.ref} {self.state}" + (f" ({', '.join(self.keys)})" if self.keys else "")


@dataclass(frozen=True)
class SdnSnapshot:
    """Both copies of the SDN configuration, read once.

    ``other_pending`` holds edits of collections that this program does not know.
    ``reworded`` are edits by Proxmox' word whose values mean what the running ones mean (another order in a list).
    ``fabric_addresses``: by fabric and node the address that node has in that running fabric.
    ``complete`` says that every collection could be read; nothing may be deleted on the word of an incomplete one.
    """

    edited: Mapping[SdnRef, SdnObject]
    running: Mapping[SdnRef, SdnObject]
    other_pending: tuple[PendingChange, ...] = ()
    reworded: tuple[PendingChange, ...] = ()
    fabrics: frozenset[str] | None = None
    complete: bool = True
    fabric_addresses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def pending(self) -> tuple[PendingChange, ...]:
        """Every difference between the two copies, in a stable order."""
        return (*pending_changes(self.edited, self.running), *self.other_pending, *self.reworded)

    def running_peers(self, ref: SdnRef) -> tuple[str, ...]:
        """The peers of a controller as FRR has them now; none where there is no such controller."""
        found = self.running[ref].props.get("peers", ()) if ref in self.running else ()
        return tuple(str(peer) for peer in found) if isinstance(found, tuple) else ()

    def children_of(self, ref: SdnRef, *, running: bool = False) -> tuple[SdnRef, ...]:
        """The objects of the edited (or running) copy that refer to ``ref``; Proxmox does not delete it before them."""
        return (self._running_children if running else self._edited_children).get(ref, ())

    def parts_of(self, ref: SdnRef) -> tuple[SdnRef, ...]:
        """The subnets of a VNet, or the nodes of a fabric, in either copy."""
        found = (*self._running_children.get(ref, ()), *self._edited_children.get(ref, ()))
        here = (
            child
            for child in found
            if PART_OF.get(child.kind) is ref.kind and (self.edited.get(child) or self.running[child]).parent == ref.id
        )
        return tuple(dict.fromkeys(here))

    @cached_property
    def _edited_children(self) -> Mapping[SdnRef, tuple[SdnRef, ...]]:
        return _children(self.edited)

    @cached_property
    def _running_children(self) -> Mapping[SdnRef, tuple[SdnRef, ...]]:
        return _children(self.running)


def _children(copy: Mapping[SdnRef, SdnObject]) -> Mapping[SdnRef, tuple[SdnRef, ...]]:
    """What refers to each object."""
    found: dict[SdnRef, list[SdnRef]] = {}
    for ref, obj in copy.items():
        for parent in parents_of(obj):
            found.setdefault(parent, []).append(ref)
    return {parent: tuple(children) for parent, children in found.items()}


def parents_of(obj: SdnObject) -> Iterable[SdnRef]:
    """What ``obj`` refers to; Proxmox wants it to be there first."""
    match obj.ref.kind:
        case SdnKind.ROUTE_MAP:
            lists, called = spelling.named_by(line for entry in obj.props.values() for line in entry)
            return [
                *(SdnRef(SdnKind.PREFIX_LIST, name) for name in sorted(lists)),
                *(SdnRef(SdnKind.ROUTE_MAP, name) for name in sorted(called)),
            ]
        case SdnKind.FABRIC:
            sources = [spelling.parts_of(source).get("route-map") for source in obj.props.get("redistribute") or ()]
            maps = [SdnRef(SdnKind.ROUTE_MAP, name) for name in dict.fromkeys(sources) if name]
            return [*_refs(SdnKind.PREFIX_LIST, obj, "route_filter"), *maps]
        case SdnKind.FABRIC_NODE:
            return [SdnRef(SdnKind.FABRIC, obj.parent)]
        case SdnKind.CONTROLLER:
            maps = _refs(SdnKind.ROUTE_MAP, obj, "route-map-in", "route-map-out")
            return [*_refs(SdnKind.FABRIC, obj, "fabric"), *maps]
        case SdnKind.ZONE:
            controllers = [SdnRef(SdnKind.CONTROLLER, name) for name in dict.fromkeys(controllers_of(obj))]
            return [*controllers, *_refs(SdnKind.IPAM, obj, "ipam"), *_refs(SdnKind.DNS, obj, "dns", "reversedns")]
        case SdnKind.VNET:
            return [SdnRef(SdnKind.ZONE, str(obj.props.get("zone")))]
        case SdnKind.SUBNET:
            return [SdnRef(SdnKind.VNET, obj.parent)]
    return []


def _refs(kind: SdnKind, obj: SdnObject, *keys: str) -> list[SdnRef]:
    """What the properties name, each once."""
    return [SdnRef(kind, name) for name in dict.fromkeys(str(obj.props[key]) for key in keys if obj.props.get(key))]


def controllers_of(zone: SdnObject) -> tuple[str, ...]:
    """Every controller a zone names, the first one first."""
    first, others = zone.props.get("controller", ""), zone.props.get("secondary-controllers", ())
    return (str(first), *others)


def pending_changes(
    edited: Mapping[SdnRef, SdnObject], running: Mapping[SdnRef, SdnObject]
) -> tuple[PendingChange, ...]:
    """What an apply of ``edited`` over ``running`` would publish."""
    changes = []
    for ref in sorted(edited.keys() | running.keys()):
        if ref not in running:
            changes.append(PendingChange(ref, PendingState.NEW))
        elif ref not in edited:
            changes.append(PendingChange(ref, PendingState.DELETED))
        else:
            keys = tuple(sorted(diff.key for diff in changes_between(running[ref], edited[ref])))
            if keys or edited[ref].type != running[ref].type:
                changes.append(PendingChange(ref, PendingState.CHANGED, keys))
    return tuple(changes)
