"""The exit nodes of an EvpnZone as ``why``, ``status`` and ``doctor`` show them. Pure."""

from __future__ import annotations

from pve_evpn.api.zone import DefaultRoute, Exit, ExitNode
from pve_evpn.cli.report.model import Block, Cell, Lines, Table, Tone, columns
from pve_evpn.cli.report.remedies import PAGES
from pve_evpn.text import some_of

_TONES = {True: Tone.GOOD, False: Tone.BAD, None: Tone.FAINT}
_UNKNOWN = Cell(None, Tone.FAINT, "unknown")
_TITLES = columns(
    ("node", "EXIT NODE"), ("role", "ROLE"), ("usable", "USABLE"), ("defaultRoute", "DEFAULT ROUTE"),
    ("vrfDefaultRoute", "IN THE VRF"), ("rpFilter", "RP_FILTER"), ("outside", "ADVERTISES TO"),
    wraps=("defaultRoute", "vrfDefaultRoute", "outside"),
)  # fmt: skip


def exit_cell(leaves: Exit | None) -> Cell:
    """Usable exit nodes of all, empty without exit nodes."""
    if leaves is None:
        return Cell(None)
    tone = Tone.BAD if leaves.problems else Tone.FAINT if leaves.summary is None else Tone.GOOD
    return Cell(leaves.summary, tone, None if leaves.summary else "unknown")


def exit_blocks(leaves: Exit | None) -> list[Block]:
    """A row per exit node, then what loses packets and what may."""
    if leaves is None:
        return []
    found: list[Block] = [Table("exit", "WAY OUT", _TITLES, tuple(_row(node) for node in leaves.nodes or ()))]
    if leaves.problems:
        lines = (*leaves.problems, f"More: {PAGES}exit-nodes.md")
        found.append(Lines("exitProblems", "PACKETS ARE LOST", lines, Tone.BAD))
    if leaves.risks:
        found.append(Lines("exitRisks", "RISKS OF THE WAY OUT", tuple(leaves.risks), Tone.WAITING))
    return found


def _row(node: ExitNode) -> tuple[Cell, ...]:
    usable = _UNKNOWN if node.usable is None else Cell(node.usable, _TONES[node.usable])
    filtered = _UNKNOWN if node.rp_filter is None else Cell(node.rp_filter)
    peers = [
        f"{peer.address}: {peer.advertised} of {peer.advertised + (peer.missing_count or 0)} subnets"
        for peer in node.peers or ()
    ]
    return (
        Cell(node.name),
        Cell(node.role),
        usable,
        _route(node.default_route),
        _route(node.vrf_default_route),
        filtered,
        Cell(some_of(peers)) if peers else _UNKNOWN,
    )


def _route(route: DefaultRoute | None) -> Cell:
    if route is None:
        return _UNKNOWN
    if route.state == "Present":
        return Cell(f"{route.protocol} via {some_of(route.next_hops or ())}")
    return Cell("none" if route.state == "Absent" else "unreachable")
