"""``pve-evpn vni``: VNIs per node, as show evpn vni."""

from __future__ import annotations

import typer

from pve_evpn.cli import options
from pve_evpn.cli.node_table import Node, show_per_node
from pve_evpn.cli.report.tables import vni_report

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn vni pve2")
def vni(node: Node = "", form: options.Output = "text") -> int:
    """Show the VNIs per node, as show evpn vni does, from the statuses of EvpnNodes."""
    return show_per_node(node, form, vni_report)
