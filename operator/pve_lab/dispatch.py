"""The steps of every request, in the order of Proxmox: method (501), permission (403), parameters (400), handler."""

from __future__ import annotations

from typing import Any

from pve_lab.cluster import Cluster
from pve_lab.errors import ApiError, wrong_parameters
from pve_lab.json_schema import check, normalised, text_of
from pve_lab.releases import Version
from pve_lab.request import Answer, Call, Envelope, Request
from pve_lab.route import Route
from pve_lab.routes.table import ROUTES

_CONFLICT = "duplicate parameter (already defined in URI) with conflicting values!"

_ROUTES: dict[tuple[str, int], list[Route]] = {}
for _route in ROUTES:
    _ROUTES.setdefault((_route.method, _route.path.count("/")), []).append(_route)


def find(method: str, path: str, version: Version = (99, 0)) -> tuple[Route, dict[str, str]]:
    """The route of a request and its path parameters, or the 501 of Proxmox for a method it does not have."""
    for candidate in _ROUTES.get((method, path.count("/")), ()):
        if candidate.since <= version and (names := candidate.match(path)) is not None:
            return candidate, names
    raise ApiError(501, f"Method '{method} {path}' not implemented")


def answer_without_faults(cluster: Cluster, request: Request) -> Answer:
    """Take one request all the way."""
    try:
        route, names = find(request.method, request.path, cluster.sdn.pve)
        with cluster.mutex:
            data = route.handler(cluster, _call(cluster, route, names, request))
    except ApiError as problem:
        return _failure(problem)
    return Answer(200, "OK", data.body if isinstance(data, Envelope) else {"data": data})


def _call(cluster: Cluster, route: Route, names: dict[str, str], request: Request) -> Call:
    """Permission first, then all parameters at once."""
    params = dict(request.params)
    for name in names.keys() & params.keys():
        if text_of(params.pop(name)) != names[name]:
            raise wrong_parameters({name: _CONFLICT})
    if route.needs is not None:
        route.needs.demand(cluster.access, request.user, {**params, **names})
    if route.parameters is not None:
        params = normalised(params, route.parameters)
        if errors := check({**params, **names}, route.parameters, cluster.sdn.pve):
            raise wrong_parameters(errors)
    return Call(names, params, request.user)


def _failure(problem: ApiError) -> Answer:
    """Proxmox' envelope of an error; what pveproxy says about another daemon or node has no body."""
    if problem.status in (401, 595, 596):
        return Answer(problem.status, problem.message)
    body: dict[str, Any] = {"data": None, "message": problem.message}
    if problem.errors:
        body["errors"] = problem.errors
    return Answer(problem.status, problem.message.split("\n")[0], body)
