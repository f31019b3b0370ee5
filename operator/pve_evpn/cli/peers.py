"""``pve-evpn peers``: BGP EVPN sessions per node, as show bgp l2vpn evpn summary."""

from __future__ import annotations

import typer

from pve_evpn.cli import options
from pve_evpn.cli.node_table import Node, show_per_node
from pve_evpn.cli.report.tables import peers_report

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn peers pve2")
def peers(node: Node = "", form: options.Output = "text") -> int:
    """Show the BGP EVPN sessions per node, as show bgp l2vpn evpn summary does, from the statuses of EvpnNodes."""
    return show_per_node(node, form, peers_report)
