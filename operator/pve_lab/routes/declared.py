"""Routes that are still registered by decorators, beside their handlers."""

from __future__ import annotations

from collections.abc import Callable

from pve_lab.cluster import Cluster, Node
from pve_lab.request import Call
from pve_lab.route import Handler, Route, from_apidoc

ROUTES: list[Route] = []


def declared(method: str, path: str, *, strict: bool = True) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        ROUTES.append(from_apidoc(method, path, handler, strict=strict))
        return handler

    return register


def node_of(cluster: Cluster, call: Call) -> Node:
    return cluster.reachable_node(call.path["node"])
