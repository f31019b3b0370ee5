"""What `peers` and `vni` share: a table per node, from the EvpnNodes' statuses."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from pve_evpn.cli import output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.model import Report
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.tables import nodes_named

ReportOf = Callable[[Snapshot, str], Report]


def add_node_table(commands: Any, name: str, *, shows: str, report: ReportOf) -> None:
    """A command that prints ``report``; ``shows``: what, and FRR's command for it."""
    parser = commands.add_parser(
        name,
        help=shows,
        description=f"Show the {shows} does, from the statuses of EvpnNodes.",
        epilog=f"example: pve-evpn {name} pve2",
    )
    parser.add_argument("node", nargs="?", default="", metavar="NODE", help="one node only, by its name in Proxmox")
    output.add_arguments(parser)
    parser.set_defaults(do=lambda arguments: guarded(_show(arguments, report)))


async def _show(arguments: argparse.Namespace, report: ReportOf) -> int:
    snapshot = await read_snapshot(events=False)
    if not nodes_named(snapshot, arguments.node):
        raise Refusal(snapshot.unread.get("EvpnNode") or f"there is no EvpnNode {arguments.node or 'yet'}")
    output.write(report(snapshot, arguments.node), arguments.output)
    return 0
