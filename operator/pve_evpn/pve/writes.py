"""The requests that one step of a plan is made of. Pure: what is sent where, and what takes it back.

Most steps are one request. A route map is one object here and an object per entry in Proxmox, so its step is a request
for each entry that differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pve_evpn.domain.plan.model import Step
from pve_evpn.domain.sdn import PARENT, SECRET_KEYS, Canonical, SdnKind, SdnObject, canonical_props, compare, wire
from pve_evpn.domain.spelling import route_map_entry, route_map_params
from pve_evpn.pve import errors
from pve_evpn.pve.reader import COLLECTION, FABRICS, PREFIX_LISTS, ROUTE_MAPS, SERVICES

#: Kinds whose ``delete`` is an array; the others take a list in one text.
_DELETES_BY_ARRAY = frozenset({SdnKind.PREFIX_LIST, SdnKind.ROUTE_MAP, SdnKind.FABRIC, SdnKind.FABRIC_NODE})
#: Kinds whose options depend on the protocol, which every write of them names.
_WITH_PROTOCOL = frozenset({SdnKind.FABRIC, SdnKind.FABRIC_NODE})


@dataclass(frozen=True, slots=True)
class Write:
    """One request, without lock token and digest. ``reads``: where the object, with its digest, is read before it."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    reads: str = ""


def writes_of(step: Step) -> tuple[Write, ...]:
    """The requests of a step, in their order."""
    if step.ref.kind is SdnKind.ROUTE_MAP:
        return tuple(_entry_writes(step))
    path = path_of(step.object)
    if step.after is None:
        return (Write("DELETE", path),)
    if step.before is None:
        params = {**_on_wire(step.after.props), **_secret(step.after), **_names(step.after), **_type(step.after)}
        return (Write("POST", path.rpartition("/")[0], params),)
    return (_update(step, step.before, step.after, path),)


def path_of(obj: SdnObject) -> str:
    """Where the object is read and written."""
    ref = obj.ref
    match ref.kind:
        case SdnKind.SUBNET:
            return f"{COLLECTION[SdnKind.VNET]}/{obj.parent}/subnets/{ref.id}"
        case SdnKind.PREFIX_LIST:
            return f"{PREFIX_LISTS}/{ref.id}"
        case SdnKind.ROUTE_MAP:
            return f"{ROUTE_MAPS}/{ref.id}"
        case SdnKind.FABRIC:
            return f"{FABRICS}/fabric/{ref.id}"
        case SdnKind.FABRIC_NODE:
            return f"{FABRICS}/node/{ref.id}"
    return f"{SERVICES[ref.kind] if ref.kind in SERVICES else COLLECTION[ref.kind]}/{ref.id}"


def digest_in(answer: Any, before: SdnObject) -> str:
    """The digest of a read object, "" where Proxmox gives none.

    Raises :class:`errors.DigestMismatch` where it is not as it was read before.
    """
    if before.ref.kind is SdnKind.ROUTE_MAP:
        rows = [row for row in answer or () if isinstance(row, Mapping)]
        now: Mapping[str, Canonical] = {str(row["order"]): route_map_entry(row) for row in rows}
        digest = rows[0].get("digest") if rows else ""
    else:
        now, digest = canonical_props(before.ref.kind, answer), answer.get("digest")
    if differences := compare(now, before.props, must_be_absent=now.keys()):
        changed = ", ".join(difference.key for difference in differences)
        raise errors.DigestMismatch(f"{before.ref} was changed meanwhile ({changed})")
    return str(digest or "")


def _update(step: Step, before: SdnObject, after: SdnObject, path: str) -> Write:
    # A PUT below another VNet moves a subnet there.
    secret = _secret(after) if after.secret != before.secret else {}
    changes = [diff for diff in step.diff if diff.key not in (PARENT, *secret)]
    want = {d.key: d.want for d in changes if d.want is not None}
    if "dnszone" in want and "dns" in after.props:
        want["dns"] = after.props["dns"]  # Proxmox takes the one only together with the other
    params = {**_on_wire(want), **secret}
    if after.ref.kind in _WITH_PROTOCOL:
        # What else a node of WireGuard may say depends on its role.
        params |= _type(after) | _on_wire({key: after.props[key] for key in ("role",) if key in after.props})
    if gone := [d.key for d in changes if d.want is None]:
        params["delete"] = gone if after.ref.kind in _DELETES_BY_ARRAY else ",".join(gone)
    return Write("PUT", path, params, reads=path_of(before))


def taking_back(step: Step, done: int) -> tuple[Write, ...]:
    """The requests that take back the first ``done`` requests of a step that is not done."""
    if step.ref.kind is not SdnKind.ROUTE_MAP or not done:
        return ()
    before = step.before.props if step.before else {}
    half = dict(before)
    for order, _, want in list(_entry_changes(step))[:done]:
        if want is None:
            half.pop(order)
        else:
            half[order] = want
    return writes_of(Step(step.ref, replace(step.object, props=half) if half else None, step.before))


def _entry_changes(step: Step) -> Iterator[tuple[str, Canonical | None, Canonical | None]]:
    """Order, entry before and entry after, of the entries of a route map that differ.

    Changed and new entries come first: a map that loses its last entry is gone, and Proxmox keeps one that is used.
    """
    before = step.before.props if step.before else {}
    after = step.after.props if step.after else {}
    for order in sorted(after, key=int):
        if before.get(order) != after[order]:
            yield order, before.get(order), after[order]
    for order in sorted(before.keys() - after.keys(), key=int):
        yield order, before[order], None


def _entry_writes(step: Step) -> Iterator[Write]:
    whole, name = path_of(step.object), step.ref.id
    # The digest is that of the file, so that only the first of several writes can name it. A deletion takes none.
    reads = whole if step.before and step.after else ""
    for order, have, want in _entry_changes(step):
        if want is None:
            yield Write("DELETE", f"{whole}/entry/{order}")
            continue
        params: dict[str, Any] = dict(route_map_params(want))
        if have is None:
            yield Write("POST", ROUTE_MAPS, {"route-map-id": name, "order": order, **params}, reads)
        else:
            gone = sorted(route_map_params(have).keys() - params.keys())
            yield Write("PUT", f"{whole}/entry/{order}", params | ({"delete": gone} if gone else {}), reads)
        reads = ""


def _names(obj: SdnObject) -> dict[str, str]:
    """The parameters that name a new object."""
    ref = obj.ref
    match ref.kind:
        case SdnKind.SUBNET:
            # It is created by its network; the dashed id would make an entry that cannot be deleted.
            _, network, length = ref.id.split("-", 2)
            return {"subnet": f"{network}/{length}"}
        case SdnKind.PREFIX_LIST | SdnKind.FABRIC:
            return {"id": ref.id}
        case SdnKind.FABRIC_NODE:
            return {"node_id": ref.id.partition("/")[2]}
    return {str(ref.kind): ref.id}


def _type(obj: SdnObject) -> dict[str, str]:
    if obj.ref.kind in _WITH_PROTOCOL:
        return {"protocol": obj.type}
    return {} if obj.ref.kind in (SdnKind.VNET, SdnKind.PREFIX_LIST) else {"type": obj.type}


def _secret(obj: SdnObject) -> dict[str, str]:
    return {SECRET_KEYS[obj.ref.kind]: obj.secret.reveal()} if obj.secret else {}


def _on_wire(props: Mapping[str, Canonical]) -> dict[str, Any]:
    return {key: wire(key, value) for key, value in props.items()}
