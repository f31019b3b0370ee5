"""``pve-evpn peers``: BGP EVPN sessions per node, as show bgp l2vpn evpn summary."""

from __future__ import annotations

import typer

from pve_evpn.cli import options
from pve_evpn.cli.full_tables import Wanted
from pve_evpn.cli.node_table import Node, show_per_node
from pve_evpn.cli.report.full_tables import full_peers_report
from pve_evpn.cli.report.tables import peers_report

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn peers pve2")
@options.grouped
def peers(
    node: Node = "",
    form: options.Output = "text",
    *,
    wanted: Wanted,
) -> int:
    """Show the BGP EVPN sessions per node, as show bgp l2vpn evpn summary does: every row where the operator serves
    full tables, else what the statuses of EvpnNodes hold.
    """
    return show_per_node(node, form, wanted, "peers", peers_report, full_peers_report)
