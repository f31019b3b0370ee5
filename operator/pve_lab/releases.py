"""Releases of Proxmox VE: what the lab can be, and since when a path or a parameter exists.

``V90`` and its like are the first two numbers of a release, which is all that capabilities depend on.
"""

from __future__ import annotations

from collections.abc import Mapping

Version = tuple[int, int]

V90, V91, V92 = (9, 0), (9, 1), (9, 2)
#: A full version of each release, for a lab that is started with the release alone.
FULL_VERSIONS = {"8.4": "8.4.5", "9.0": "9.0.11", "9.1": "9.1.4", "9.2": "9.2.3"}
#: Paths that are newer than 8.4, by how they begin; the longest match counts.
_PATH_SINCE: Mapping[str, Version] = {
    "/cluster/sdn/dry-run": V91,
    "/cluster/sdn/fabrics": V90,
    "/cluster/sdn/prefix-lists": V92,
    "/cluster/sdn/route-maps": V92,
    "/nodes/{node}/sdn/fabrics": V91,
    "/nodes/{node}/sdn/vnets": V91,
    "/nodes/{node}/sdn/zones/{zone}/bridges": V91,
    "/nodes/{node}/sdn/zones/{zone}/ip-vrf": V91,
}
#: Parameters that are newer than their method, by how its path begins.
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


def parse_version(text: str) -> Version:
    """``9.2.3`` -> (9, 2)."""
    major, _, rest = text.partition(".")
    return int(major), int(rest.split(".")[0] or 0)


def path_since(path: str) -> Version:
    """The first release that has a path; (0, 0) if all have it."""
    fitting = [prefix for prefix in _PATH_SINCE if path.startswith(prefix)]
    return _PATH_SINCE[max(fitting, key=len)] if fitting else (0, 0)


def parameter_since(path: str, name: str) -> Version:
    """The first release whose method at ``path`` takes a parameter; (0, 0) if all do."""
    found = (since for (prefix, known), since in _PARAMETER_SINCE.items() if known == name and path.startswith(prefix))
    return next(found, (0, 0))
