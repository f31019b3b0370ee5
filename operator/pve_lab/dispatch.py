"""From a request to an answer: the registry of routes, and the steps every request takes.

The order is Proxmox' own: find the method (501), check permission (403), check the parameters (400), run. Routes
register themselves when ``pve_lab.routes`` is imported. HTTP is not known here, so that a test can call
``answer(lab, Request(...))`` in its own process.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pve_lab.errors import ApiError, wrong_parameters
from pve_lab.schema import Schema, Version, check, normalised, text_of

if TYPE_CHECKING:
    from pve_lab.cluster import Lab, Node

_PARAMETER = re.compile(r"\{([\w-]+)\}")
_CONFLICT = "duplicate parameter (already defined in URI) with conflicting values!"


@dataclass(frozen=True)
class Request:
    """What arrived, with its sender known: ``params`` are body and query together, without those of the path."""

    method: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    user: str = "root@pam"


@dataclass(frozen=True)
class Answer:
    """What goes back. ``body`` None is an empty one; ``drop`` closes the connection without an answer."""

    status: int
    reason: str
    body: Any = None
    drop: bool = False


@dataclass
class Call:
    """One request as its handler sees it: path parameters, all parameters, and who asks."""

    path: dict[str, str]
    params: dict[str, Any]
    user: str

    def flag(self, name: str) -> bool:
        return text_of(self.params.get(name, "0")) == "1"

    def text(self, name: str) -> str | None:
        """A parameter as text, None if it was not given."""
        value = self.params.get(name)
        return None if value is None else text_of(value)

    @property
    def view(self) -> str:
        return "pending" if self.flag("pending") else "running" if self.flag("running") else "plain"


@dataclass
class Whole:
    """An answer with keys beside ``data``."""

    body: dict[str, Any]


Handler = Callable[["Lab", Call], Any]


@dataclass(frozen=True)
class Needs:
    """Privileges on a path that may name parameters; all of them, or any one."""

    path: str
    privileges: tuple[str, ...]
    any_of: bool = False

    def demand(self, lab: Lab, who: str, params: dict[str, Any]) -> None:
        path = _PARAMETER.sub(lambda match: text_of(params.get(match.group(1)) or ""), self.path)
        if self.any_of:
            lab.access.demand_any(who, path, self.privileges)
        else:
            lab.access.demand(who, path, *self.privileges)


@dataclass(frozen=True)
class Route:
    """One method of the API. Without ``parameters`` nothing is checked, without ``needs`` everybody may."""

    method: str
    path: str
    pattern: re.Pattern[str]
    handler: Handler
    parameters: Schema | None = None
    needs: Needs | None = None
    since: Version = (0, 0)


_ROUTES: dict[tuple[str, int], list[Route]] = {}


def route(
    method: str, path: str, *, parameters: Schema | None = None, needs: Needs | None = None, since: Version = (0, 0)
) -> Callable[[Handler], Handler]:
    """Register a handler; ``{name}`` in the path becomes a path parameter, which ``parameters`` has to name too."""
    pattern = re.compile(_PARAMETER.sub(lambda match: f"(?P<{match.group(1).replace('-', '__')}>[^/]+)", path))

    def register(handler: Handler) -> Handler:
        made = Route(method, path, pattern, handler, parameters, needs, since)
        _ROUTES.setdefault((method, path.count("/")), []).append(made)
        return handler

    return register


def find(method: str, path: str, version: Version = (99, 0)) -> tuple[Route, dict[str, str]]:
    """The route of a request, or the 501 Proxmox gives for what it does not have."""
    for candidate in _ROUTES.get((method, path.count("/")), ()):
        if candidate.since <= version and (match := candidate.pattern.fullmatch(path)):
            return candidate, {name.replace("__", "-"): value for name, value in match.groupdict().items()}
    raise ApiError(501, f"Method '{method} {path}' not implemented")


def routes() -> list[tuple[str, str]]:
    """Verb and path of everything there is."""
    return [(made.method, made.path) for group in _ROUTES.values() for made in group]


def answer(lab: Lab, request: Request) -> Answer:
    """Take one request all the way; the lab's faults may do anything around it."""
    return lab.faults.intercept(request, lambda: answer_plainly(lab, request))


def answer_plainly(lab: Lab, request: Request) -> Answer:
    """The answer as it is without faults."""
    try:
        found, names = find(request.method, request.path, lab.sdn.pve)
        with lab.mutex:
            call = _call(lab, found, names, request)
            data = found.handler(lab, call)
    except ApiError as problem:
        return failure(problem)
    return Answer(200, "OK", data.body if isinstance(data, Whole) else {"data": data})


def _call(lab: Lab, found: Route, names: dict[str, str], request: Request) -> Call:
    """Permission first, then all parameters at once."""
    params = dict(request.params)
    for name in names.keys() & params.keys():
        if text_of(params.pop(name)) != names[name]:
            raise wrong_parameters({name: _CONFLICT})
    if found.needs is not None:
        found.needs.demand(lab, request.user, {**params, **names})
    if found.parameters is not None:
        params = normalised(params, found.parameters)
        if errors := check({**params, **names}, found.parameters, lab.sdn.pve):
            raise wrong_parameters(errors)
    return Call(names, params, request.user)


def failure(problem: ApiError) -> Answer:
    """Proxmox' envelope of an error; what pveproxy says about another daemon or node has no body."""
    if problem.status in (401, 595, 596):
        return Answer(problem.status, problem.message)
    body: dict[str, Any] = {"data": None, "message": problem.message}
    if problem.errors:
        body["errors"] = problem.errors
    return Answer(problem.status, problem.message.split("\n")[0], body)


def node_of(lab: Lab, call: Call) -> Node:
    """The node named in the path, if it can be reached."""
    node = lab.nodes.get(call.path["node"])
    if node is None:
        raise ApiError(500, f"hostname lookup '{call.path['node']}' failed")
    if not node.online:
        raise ApiError(595, "No route to host")
    return node
