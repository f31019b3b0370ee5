"""What `peers` and `vni` share: a table per node, from the EvpnNodes' statuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from pve_evpn.cli import complete, options, output
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.reading import read_snapshot
from pve_evpn.cli.report.model import Report
from pve_evpn.cli.report.snapshot import Snapshot
from pve_evpn.cli.report.tables import nodes_named

Node = Annotated[
    str,
    typer.Argument(
        metavar="[NODE]",
        autocompletion=complete.nodes,
        show_default="all",
        help="One node only, by its name in Proxmox.",
    ),
]
ReportOf = Callable[[Snapshot, str], Report]


def show_per_node(node: str, form: options.Form, report: ReportOf) -> int:
    """Print ``report`` of one node, or of all; the exit status."""
    return guarded(_show(node, form, report))


async def _show(node: str, form: options.Form, report: ReportOf) -> int:
    snapshot = await read_snapshot(events=False)
    if not nodes_named(snapshot, node):
        raise Refusal(snapshot.unread.get("EvpnNode") or f"there is no EvpnNode {node or 'yet'}")
    output.write(report(snapshot, node), form)
    return 0
