"""One method of the API: its path, its handler, and what is checked before the handler runs.

The branches that were measured declare parameters and privileges by hand, oddities included. All others take them from
the API schema (``from_apidoc``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pve_lab import apidoc
from pve_lab.access import PATH_PARAMETER, Permission, permission
from pve_lab.cluster import Cluster
from pve_lab.json_schema import MOST_NUMBERED, Prop, Schema, knows_format
from pve_lab.releases import Version, parameter_since, path_since
from pve_lab.request import Call

Handler = Callable[[Cluster, Call], Any]


@dataclass(frozen=True)
class Route:
    """``{name}`` in the path is a path parameter, which ``parameters`` has to name too.

    Without ``parameters`` nothing is checked, without ``needs`` every user is permitted.
    """

    method: str
    path: str
    handler: Handler
    parameters: Schema | None = None
    needs: Permission | None = None
    since: Version = (0, 0)

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(PATH_PARAMETER.sub(lambda name: f"(?P<{name.group(1).replace('-', '__')}>[^/]+)", self.path))

    def match(self, path: str) -> dict[str, str] | None:
        """The path parameters of a request; None if it is for another route."""
        found = self.pattern.fullmatch(path)
        return found and {name.replace("__", "-"): value for name, value in found.groupdict().items()}


def from_apidoc(method: str, path: str, handler: Handler, *, strict: bool = True) -> Route:
    """Parameters and privileges of the API schema. Not ``strict``: Proxmox takes parameters it does not declare."""
    declared = apidoc.methods()[f"{method} {path}"]
    needs = permission(list(declared.needs)) if declared.needs else None
    return Route(method, path, handler, _parameters(declared) if strict else None, needs, path_since(path))


@functools.cache
def _parameters(method: apidoc.Method) -> Schema:
    """A method's parameters as the lab checks them."""
    found: dict[str, Prop] = {}
    for name, spec in method.params.items():
        prop = _prop(spec, parameter_since(method.path, name))
        if name.endswith("[n]"):
            found |= {f"{name[:-3]}{n}": prop for n in range(MOST_NUMBERED)}
        else:
            found[name] = prop
    return found


def _prop(spec: apidoc.Spec, since: Version = (0, 0)) -> Prop:
    format_ = str(spec.get("format", ""))
    items = spec.get("items")
    return Prop(
        type=spec.get("type", "string"),
        optional=not spec.get("required"),
        format=format_ if knows_format(format_) else "",
        pattern=apidoc.python_pattern(spec.get("pattern", "")),
        enum=tuple(map(str, spec.get("enum", ()))),
        minimum=spec.get("min"),
        maximum=spec.get("max"),
        min_length=spec.get("shortest"),
        max_length=spec.get("longest"),
        items=_prop({**items, "required": 0}) if items else None,
        since=since,
    )
