"""Where Proxmox does not answer as its own schema says, and the check that knows of it.

The lab follows Proxmox. Each entry says how it is known: "recorded" ones are held against the recordings where those
are there (``tests/lab/test_apidoc.py``), the others were read in the published source or are left open by a schema
that declares an object without saying what is in it.
"""

from __future__ import annotations

import re
from typing import Any

from pve_lab import apidoc
from pve_lab.request import Answer, Request

RECORDED = (
    r".* data(\[\d+\])?\.digest: None is no string",  # in the pending and running views
    r"GET /cluster/sdn/.* data.*\.pending\.[\w-]+: 'deleted' is no \w+",
    r"GET /cluster/sdn/controllers/\S+ data(\.pending)?\.(fabric|bgp-multipath-as-path-relax): not declared",
    r"GET /cluster/sdn/ipams data\[\d+\]\.digest: not declared",
    r"GET /nodes/[^/]+/tasks.* data.*\.tokenid: not declared",
    r"GET /cluster/sdn/vnets/[^/]+/firewall/rules/\S+ data\.pos: '\S+' is no integer",  # the text of the path
    r"GET /cluster/sdn/vnets/[^/]+/firewall/\S+ data\S*\.(digest|errors): not declared",
    r"GET /nodes/[^/]+/(qemu|lxc)/\d+/pending data\[\d+\]\.(value|pending): -?\d+ is no string",
    r"GET /nodes/[^/]+/network/[^/]+ data\.\w+: not declared",
    r"GET /nodes/[^/]+/network data\[\d+\]\.bridge_(fd|stp): not declared",
    r"GET /nodes/[^/]+/network data\[\d+\]\.(vlan-id|mtu): '\d+' is no integer",
    r"GET /nodes/[^/]+/network data\[\d+\]\.exists: None is no boolean",
)
READ = (
    r"GET /nodes/[^/]+/network data\[\d+\]\.netmask6: '\d+' is no integer",
    # A new fabric shows all of itself below "pending".
    r"GET /cluster/sdn/(fabrics|route-maps)\S* data\S*\.(state|pending): not declared",
    r"GET /cluster/sdn/(fabrics|route-maps)\S* data\S*\.(id|protocol|\w+_id|route-map-id|order|action): missing",
    # The schema of the list spells the one otherwise than the writes do, and leaves the others out.
    r"GET /cluster/sdn/controllers\S* data\S*\.(bgp-multipath-as-path-relax|route-map-(in|out)): not declared",
    # These lists hold whole objects.
    r"GET /cluster/sdn/(ipams|dns)\S* data\S*: not declared",
)
OPEN = (r"GET /cluster/tasks data\[\d+\]\.\w+: not declared",)


def unknown_deviations(
    verb: str, path: str, data: Any, known: tuple[str, ...] = (*RECORDED, *READ, *OPEN)
) -> list[str]:
    """What of an answer is neither declared nor known to be otherwise."""
    wrong = [f"{verb} {path} {text}" for text in apidoc.wrong_answer(verb, path, data)]
    return [text for text in wrong if not any(re.fullmatch(pattern, text, re.DOTALL) for pattern in known)]


def check_answer(request: Request, given: Answer) -> None:
    """Hold an answer against the official schema; user management is not in its table."""
    if given.status == 200 and not request.path.startswith("/access/"):
        assert given.body is not None
        assert unknown_deviations(request.method, request.path, given.body["data"]) == []
