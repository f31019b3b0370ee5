"""From Proxmox' answers to the records of ``domain``. Pure; the traps of each answer are named where they are met."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pve_evpn.domain.sdn import (
    SECRET_KEYS,
    Canonical,
    Hidden,
    PendingChange,
    PendingState,
    SdnKind,
    SdnObject,
    SdnRef,
    canonical_props,
)
from pve_evpn.domain.spelling import route_map_entry
from pve_evpn.domain.state import GuestState, NodeState

Item = Mapping[str, Any]
_NET_KEY = re.compile(r"net\d+")

_ID_KEYS: Mapping[SdnKind, tuple[str, ...]] = {
    SdnKind.IPAM: ("ipam",),
    SdnKind.DNS: ("dns",),
    SdnKind.PREFIX_LIST: ("id",),
    SdnKind.FABRIC: ("id",),
    SdnKind.FABRIC_NODE: ("fabric_id", "node_id"),
    SdnKind.CONTROLLER: ("controller",),
    SdnKind.ZONE: ("zone",),
    SdnKind.VNET: ("vnet",),
    SdnKind.SUBNET: ("subnet",),
}


def both_copies(kind: SdnKind, item: Item, parent: str = "") -> tuple[SdnObject | None, SdnObject | None]:
    """The edited and the running form of one item of a ``?pending=1`` list; None where that copy lacks it.

    Unchanged items have no ``state``. Of a changed one the top level is the running form and ``pending`` holds the
    new values, with the word ``deleted`` for a removed one; of a new one everything but the names is in ``pending``.
    """
    whole = named(item)
    ref = SdnRef(kind, "/".join(str(whole[key]) for key in _ID_KEYS[kind]))
    type_ = str(whole.get("type") or whole.get("protocol") or kind)
    parent = str(whole["fabric_id"]) if kind is SdnKind.FABRIC_NODE else parent
    top = {key: value for key, value in item.items() if key not in ("state", "pending", "digest")}
    changes: Mapping[str, Any] = item.get("pending") or {}
    merged = {key: value for key, value in {**top, **changes}.items() if changes.get(key) != "deleted"}
    running = SdnObject(ref, type_, canonical_props(kind, top), parent)
    edited = SdnObject(ref, type_, canonical_props(kind, merged), parent)
    match item.get("state"):
        case None:
            return running, running
        case "new":
            return edited, None
        case "deleted":
            return None, running
    return edited, running


def service(kind: SdnKind, row: Item) -> SdnObject | None:
    """An IPAM or DNS server; None for a row without a name. Its secret is hidden from here on."""
    name, secret = row.get(_ID_KEYS[kind][0]), row.get(SECRET_KEYS[kind])
    if not name:
        return None
    hidden = Hidden(str(secret)) if secret not in (None, "") else None
    return SdnObject(SdnRef(kind, str(name)), str(row.get("type") or ""), canonical_props(kind, row), secret=hidden)


def route_maps(items: Iterable[Item]) -> tuple[dict[SdnRef, SdnObject], dict[SdnRef, SdnObject], list[PendingChange]]:
    """The edited and the running route maps from the ``?pending=1`` list of all entries.

    Also the edits among them that only change the spelling of an entry.
    """
    copies: tuple[dict[str, dict[str, Canonical]], ...] = ({}, {})
    reworded = []
    for item in items:
        whole = named(item)
        name, order = str(whole["route-map-id"]), str(whole["order"])
        top = {key: value for key, value in item.items() if key not in ("state", "pending", "digest")}
        changes: Mapping[str, Any] = item.get("pending") or {}
        merged = {key: value for key, value in {**top, **changes}.items() if changes.get(key) != "deleted"}
        state = item.get("state")
        old, new = route_map_entry(top), route_map_entry(merged if state else top)
        for copy, lacking, entry in zip(copies, ("deleted", "new"), (new, old), strict=True):
            if state != lacking:
                copy.setdefault(name, {})[order] = entry
        if state not in (None, "new", "deleted") and old == new:
            reworded.append(PendingChange(SdnRef(SdnKind.ROUTE_MAP, name), PendingState.CHANGED, (order,)))
    edited, running = (
        {
            (ref := SdnRef(SdnKind.ROUTE_MAP, name)): SdnObject(ref, str(SdnKind.ROUTE_MAP), entries)
            for name, entries in copy.items()
        }
        for copy in copies
    )
    return edited, running, reworded


def rows(answer: Any) -> list[Item]:
    """The rows of a list; what is no row is left out."""
    return [row for row in answer or () if isinstance(row, Mapping)]


def named(item: Item) -> Item:
    """An item with its names on top: of a new fabric, route map or prefix list Proxmox shows all below ``pending``."""
    return {**(item.get("pending") or {}), **item} if item.get("state") == "new" else item


def other_pending(kind: SdnKind, items: Iterable[Item], id_keys: tuple[str, ...]) -> list[PendingChange]:
    """Pending edits of collections that this program does not know; an unknown state counts as a change."""
    found = []
    for item in items:
        state = item.get("state")
        if not state:
            continue
        known = PendingState(state) if state in list(PendingState) else PendingState.CHANGED
        whole = named(item)
        name = "/".join(str(whole[key]) for key in id_keys if key in whole)
        keys = tuple(sorted(item.get("pending") or ())) if known is PendingState.CHANGED else ()
        found.append(PendingChange(SdnRef(kind, name), known, keys))
    return found


_ETHERNET_MTU = 1500


def interface_names(interfaces: Iterable[Item]) -> frozenset[str]:
    """The names of a node's interfaces, their alternative ones included; VNets, which some lists have too, left out."""
    own = [item for item in interfaces if item.get("type") != "vnet"]
    return frozenset(str(name) for item in own for name in (item.get("iface"), *(item.get("altnames") or ())) if name)


def interface_mtus(interfaces: Iterable[Item]) -> dict[str, int]:
    """MTU by interface, where it can be told: a bridge or bond without one of its own takes the least of its ports'."""
    by_name = {str(item["iface"]): item for item in interfaces if item.get("iface")}

    def mtu(name: str, depth: int = 0) -> int | None:
        item = by_name.get(name)
        if item is None or depth > 4:
            return None
        if (own := str(item.get("mtu") or "")).isdecimal():
            return int(own)
        if item.get("type") == "eth":
            return _ETHERNET_MTU
        below = str(item.get("bridge_ports") or item.get("slaves") or item.get("vlan-raw-device") or "").split()
        found = [mtu(port, depth + 1) for port in below]
        return min((m for m in found if m is not None), default=None) if found and None not in found else None

    return {name: known for name in by_name if (known := mtu(name)) is not None}


def mtus(interfaces: Iterable[Item]) -> dict[str, int]:
    """MTU by address, where it can be told."""
    rows = [item for item in interfaces if item.get("cidr") and item.get("iface")]
    known = interface_mtus(interfaces) if rows else {}
    return {str(row["cidr"]).partition("/")[0]: known[str(row["iface"])] for row in rows if str(row["iface"]) in known}


def fabric_addresses(nodes: Iterable[Item]) -> dict[str, dict[str, str]]:
    """By fabric and node, the address the node has in it, which BGP peers with. New ones are not there yet."""
    found: dict[str, dict[str, str]] = {}
    for item in nodes:
        if item.get("state") != "new" and (address := item.get("ip") or item.get("ip6")):
            found.setdefault(str(item["fabric_id"]), {})[str(item["node_id"])] = str(address)
    return found


def privileges(held: Mapping[str, Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """Privileges per ACL path from an answer of ``/access/permissions``; the value 0 or 1 is about propagation."""
    return {path: frozenset(flags) for path, flags in held.items()}


def sees_all(held: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether an answer of ``/access/permissions`` lets one see everything below ``/sdn``.

    The entry of a deeper path replaces what comes from above, so each that is named must allow it too; but for plain
    bridges, which Proxmox calls the zone ``localnetwork``.
    """
    reading = {"SDN.Audit", "SDN.Allocate"}
    plain = "/sdn/zones/localnetwork"
    deeper = [f for path, f in held.items() if path.startswith("/sdn/") and not path.startswith(plain)]
    top = held.get("/sdn", held.get("/", {}))
    return any(top.get(name) for name in reading) and all(reading & flags.keys() for flags in deeper)


def guest(item: Item) -> GuestState:
    """One row of ``/cluster/resources`` (type qemu or lxc)."""
    tags = str(item.get("tags") or "").replace(",", ";")
    return GuestState(
        vmid=int(item["vmid"]),
        kind=str(item["type"]),
        node=str(item["node"]),
        name=str(item.get("name") or ""),
        running=item.get("status") == "running",
        known=item.get("status") != "unknown",
        template=bool(item.get("template")),
        pool=str(item.get("pool") or ""),
        tags=frozenset(tag for tag in tags.split(";") if tag),
        lock=str(item.get("lock") or ""),
    )


def guest_config(found: GuestState, rows: Iterable[Item]) -> GuestState:
    """What a guest's ``pending`` list adds: lock, digest, and its NICs as they will be and as they are until then."""
    by_key = {str(row["key"]): row for row in rows}
    nics, pending = {}, {}
    for key, row in by_key.items():
        if not _NET_KEY.fullmatch(key):
            continue
        live = str(row["value"]) if "value" in row else None
        wanted = None if row.get("delete") else row.get("pending", live)
        if wanted is not None:
            nics[key] = str(wanted)
        if wanted != live:
            pending[key] = live
    lock, digest = (str(by_key.get(key, {}).get("value") or "") for key in ("lock", "digest"))
    return replace(found, lock=lock, digest=digest, nics=nics, pending=pending)


def nodes(status: Iterable[Item]) -> tuple[dict[str, NodeState], bool, str]:
    """Members, whether the cluster is quorate, and its name, from ``/cluster/status``.

    A single node without a cluster has no ``cluster`` row; it is its own quorum.
    """
    members, quorate, name = {}, True, ""
    for row in status:
        if row.get("type") == "cluster":
            quorate, name = bool(row.get("quorate")), str(row.get("name") or "")
        elif row.get("type") == "node":
            members[str(row["name"])] = NodeState(
                name=str(row["name"]), online=bool(row.get("online")), address=str(row.get("ip") or "")
            )
    return members, quorate, name


def installed(rows: object, names: Collection[str]) -> dict[str, str]:
    """The versions of these packages in a list of ``apt/versions``; rows in another shape are left out."""
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, Mapping) and row.get("Package") in names and row.get("CurrentState") == "Installed":
            found[str(row["Package"])] = str(row.get("OldVersion") or "")
    return found


def earliest_end(user: Mapping[str, Any], token: str | None) -> datetime | None:
    """When an account, or the token of it that is in use, expires; 0 and nothing mean never."""
    tokens = user.get("tokens")
    records = [user, tokens.get(token) or {}] if isinstance(tokens, Mapping) else [user]
    ends = [end for record in records if (end := int(record.get("expire") or 0))]
    return datetime.fromtimestamp(min(ends), UTC) if ends else None
