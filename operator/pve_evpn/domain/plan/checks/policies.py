"""Checks of PrefixLists and RouteMaps."""

from __future__ import annotations

import ipaddress

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.conditions import Problem
from pve_evpn.domain.plan.candidates import RouteMapCandidate


def calls_end(candidate: RouteMapCandidate) -> Problem | None:
    """The route map does not call itself, nor a map that leads back to it."""
    if not candidate.circle:
        return None
    message = f"callRef: the calls lead back to this map: {' -> '.join(candidate.circle)}; remove one of them"
    return Problem(Reason.INVALID_SPEC, message)


def lists_have_the_family(candidate: RouteMapCandidate) -> Problem | None:
    """A prefix list that is compared with addresses of one family has entries of it.

    FRR keeps the entries of the two families in two lists, and an empty list permits everything.
    """
    for field, kind, name in candidate.references:
        resource = candidate.referenced(kind, name)
        if kind != "PrefixList" or resource is None or resource.spec is None:
            continue
        version = 6 if field.endswith("6Ref") else 4
        if all(ipaddress.ip_network(entry.prefix).version != version for entry in resource.spec.entries):
            message = f"{field}: PrefixList {name!r} has no IPv{version} network, so it would permit every route"
            return Problem(Reason.INVALID_SPEC, message)
    return None
