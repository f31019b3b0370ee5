"""Which privileges of Proxmox the operator needs, for what, and which of them the credentials lack.

The table is written into docs/proxmox-access.md by ``python -m pve_evpn.domain.privileges docs/proxmox-access.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

#: Privileges per ACL path, as ``GET /access/permissions`` has them: inheritance is worked out by Proxmox.
Held = Mapping[str, frozenset[str]]


class Feature(StrEnum):
    """What the operator does with a privilege."""

    READ = "read"
    """Everything."""
    WRITE = "write"
    """SDN objects that are managed, not only observed."""
    NICS = "nics"
    """NicAttachments."""
    FABRICS = "fabrics"
    """Fabrics: their nodes."""
    RELOAD = "reload"
    """Reloading one node that missed an apply; optional."""


@dataclass(frozen=True, slots=True)
class Need:
    """One privilege: where, for what, and what becomes of the operator without it.

    ``anywhere_below``: an entry at a deeper path is enough, because users may hand over a part only.
    """

    privilege: str
    path: str
    feature: Feature
    purpose: str
    without: str
    role: str
    anywhere_below: bool = False


NEEDS = (
    Need(
        "SDN.Allocate", "/sdn", Feature.WRITE,
        "the lock, every write, apply and rollback",
        "nothing is written: `PrivilegesMissing`",
        "PveEvpnNetworks",
    ),
    Need(
        "SDN.Audit", "/sdn", Feature.READ,
        "what the nodes report of zones, routes and neighbours",
        "source `api` sees less, and what it does not see is Unknown. `SDN.Allocate` lists the objects too; with "
        "neither, nothing is deleted, because a missing object might only be hidden",
        "PveEvpnNetworks",
    ),
    Need(
        "SDN.Use", "/sdn", Feature.NICS,
        "moving a NIC: onto its VNet, and off the bridge it had (`/sdn/zones/localnetwork/vmbr0`)",
        "NICs stay where they are",
        "PveEvpnNetworks", anywhere_below=True,
    ),
    Need(
        "Sys.Audit", "/", Feature.READ,
        "members and quorum; the reload tasks of the nodes, which run as `root@pam`; when the token ends; the IP sets "
        "and aliases that firewall rules of VNets name",
        "the cluster is not `Ready`",
        "PveEvpnCluster",
    ),
    Need(
        "Sys.Modify", "/nodes", Feature.RELOAD,
        "reloading a single node that missed an apply",
        "such a node stays behind until the next apply, and its status says so",
        "PveEvpnNodes", anywhere_below=True,
    ),
    Need(
        "Sys.Modify", "/nodes", Feature.FABRICS,
        "nodes of a Fabric: Proxmox asks for it on each of them",
        "`PrivilegesMissing`, and the nodes of fabrics are refused",
        "PveEvpnNodes", anywhere_below=True,
    ),
    Need(
        "VM.Audit", "/vms", Feature.NICS,
        "finding guests and their NICs",
        "NICs wait for a guest that cannot be seen, and a VNet is deleted though such a guest uses it",
        "PveEvpnGuests", anywhere_below=True,
    ),
    Need(
        "VM.Config.Network", "/vms", Feature.NICS,
        "writing a NIC",
        "NICs stay where they are",
        "PveEvpnGuests", anywhere_below=True,
    ),
)  # fmt: skip

#: Guests are reached through pools too.
_ALSO = {"/vms": ("/pool",)}
_BEGIN, _END = "<!-- privileges: begin (generated) -->", "<!-- privileges: end -->"


@dataclass(frozen=True, slots=True)
class Rights:
    """What the credentials may do. ``user`` is the account (``pve-evpn@pve``), whether with a token or a password."""

    user: str
    held: Held


def missing(held: Held, features: Iterable[Feature]) -> tuple[Need, ...]:
    """The needs of these features that the credentials do not meet, in the order of the table."""
    wanted = frozenset(features)
    return tuple(need for need in NEEDS if need.feature in wanted and not _is_met(need, held))


def lack_in_words(needs: Iterable[Need], user: str) -> str:
    """What is missing, and the commands that grant it to the user.

    A token with privilege separation needs the same for itself; docs/proxmox-access.md says how.
    """
    lacking = list(needs)
    listed = ", ".join(f"{need.privilege} on {need.path}" for need in lacking)
    roles = {need.role: need.path for need in lacking}
    lines = "; ".join(f"pveum acl modify {path} --users {user} --roles {role}" for role, path in roles.items())
    return f"the credentials lack {listed}. Grant it with: {lines} (docs/proxmox-access.md defines the roles)"


def _is_met(need: Need, held: Held) -> bool:
    if need.privilege in _nearest(need.path, held):
        return True
    places = (need.path, *_ALSO.get(need.path, ()))
    return need.anywhere_below and any(
        need.privilege in privileges and path.startswith(tuple(f"{place.rstrip('/')}/" for place in places))
        for path, privileges in held.items()
    )


def _nearest(path: str, held: Held) -> frozenset[str]:
    """The entry of a path, or of its nearest ancestor: a deeper entry replaces what comes from above."""
    while path not in held and path != "/":
        path = path.rpartition("/")[0] or "/"
    return held.get(path, frozenset())


def table() -> str:
    """The table of the documentation."""
    rows = [f"| `{need.privilege}` | `{need.path}` | {need.purpose} | {need.without} |" for need in NEEDS]
    return "\n".join(["| privilege | where | what for | without it |", "|---|---|---|---|", *rows])


def written_into(page: str) -> str:
    """The page with the present table. Raises ValueError where it has no place for it."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {_BEGIN!r} and {_END!r}")
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(written_into(file.read_text()))
