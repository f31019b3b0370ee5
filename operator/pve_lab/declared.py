"""Routes whose parameters and privileges are the official schema's, and the releases they exist in.

The branches that were measured declare their parameters by hand, oddities included. All others take them from the
table of the schema; what a release before it lacks is said here, in one place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pve_lab import official
from pve_lab.dispatch import Handler, Needs, route
from pve_lab.schema import MOST_NUMBERED, Prop, Schema, Version, knows_format

if TYPE_CHECKING:
    from pve_lab.cluster import Lab

V90, V91, V92 = (9, 0), (9, 1), (9, 2)
#: Paths that are newer than 8.4, by how they begin; the longest match counts.
_SINCE: Mapping[str, Version] = {
    "/cluster/sdn/dry-run": V91,
    "/cluster/sdn/fabrics": V90,
    "/cluster/sdn/prefix-lists": V92,
    "/cluster/sdn/route-maps": V92,
    "/nodes/{node}/sdn/fabrics": V91,
    "/nodes/{node}/sdn/vnets": V91,
    "/nodes/{node}/sdn/zones/{zone}/bridges": V91,
    "/nodes/{node}/sdn/zones/{zone}/ip-vrf": V91,
}
#: Parameters that are newer than their method.
_PARAMETER_SINCE: Mapping[tuple[str, str], Version] = {
    ("/cluster/sdn/fabrics", "redistribute"): V92,
    ("/cluster/sdn/fabrics", "route_filter"): V92,
    ("/cluster/sdn/fabrics", "persistent_keepalive"): V92,
    ("/cluster/sdn/fabrics", "allowed_ips"): V92,
    ("/cluster/sdn/fabrics", "peers"): V92,
    ("/cluster/sdn/fabrics", "public_key"): V92,
    ("/cluster/sdn/fabrics", "endpoint"): V92,
    ("/cluster/sdn/fabrics", "role"): V92,
    ("/nodes/{node}/network", "regenerate-frr"): V90,
}


def declared(verb: str, path: str, *, strict: bool = True) -> Callable[[Handler], Handler]:
    """Register a handler for a method of the table. Not ``strict``: Proxmox takes parameters it does not declare."""
    method = official.methods()[f"{verb} {path}"]
    parameters = schema_of(method) if strict else None
    return route(verb, path, parameters=parameters, needs=needs_of(method), since=since_of(path))


def since_of(path: str) -> Version:
    fitting = [prefix for prefix in _SINCE if path.startswith(prefix)]
    return _SINCE[max(fitting, key=len)] if fitting else (0, 0)


@functools.cache
def schema_of(method: official.Method) -> Schema:
    """A method's parameters as the lab checks them."""
    found: dict[str, Prop] = {}
    for name, spec in method.params.items():
        since = next(
            (v for (prefix, p), v in _PARAMETER_SINCE.items() if p == name and method.path.startswith(prefix)), (0, 0)
        )
        prop = _prop(spec, since)
        if name.endswith("[n]"):
            found |= {f"{name[:-3]}{n}": prop for n in range(MOST_NUMBERED)}
        else:
            found[name] = prop
    return found


def _prop(spec: official.Spec, since: Version = (0, 0)) -> Prop:
    format_ = str(spec.get("format", ""))
    items = spec.get("items")
    return Prop(
        type=spec.get("type", "string"),
        optional=not spec.get("required"),
        format=format_ if knows_format(format_) else "",
        pattern=official.python_pattern(spec.get("pattern", "")),
        enum=tuple(map(str, spec.get("enum", ()))),
        minimum=spec.get("min"),
        maximum=spec.get("max"),
        min_length=spec.get("shortest"),
        max_length=spec.get("longest"),
        items=_prop({**items, "required": 0}) if items else None,
        since=since,
    )


@dataclass(frozen=True)
class All(Needs):
    """Several checks, all of which must pass."""

    checks: tuple[Needs, ...] = ()

    def demand(self, lab: Lab, who: str, params: dict[str, Any]) -> None:
        for check in self.checks:
            check.demand(lab, who, params)


def needs_of(method: official.Method) -> Needs | None:
    """The privileges a method wants by declaration; what depends on the objects is checked by its handler."""
    return _needs(list(method.needs)) if method.needs else None


def _needs(check: list[Any]) -> Needs:
    if check[0] == "and":
        return All("", (), checks=tuple(_needs(inner) for inner in check[1:]))
    _, path, privileges, *rest = check
    return Needs(path, tuple(privileges), any_of=rest[:1] == ["any"])
