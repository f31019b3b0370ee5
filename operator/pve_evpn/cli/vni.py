"""``pve-evpn vni``: VNIs per node, as show evpn vni."""

from __future__ import annotations

import typer

from pve_evpn.cli import options
from pve_evpn.cli.full_tables import Wanted
from pve_evpn.cli.node_table import Node, show_per_node
from pve_evpn.cli.report.full_tables import full_vni_report
from pve_evpn.cli.report.tables import vni_report

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn vni pve2")
@options.grouped
def vni(
    node: Node = "",
    form: options.Output = "text",
    *,
    wanted: Wanted,
) -> int:
    """Show the VNIs per node, as show evpn vni does: every row where the operator serves
    full tables, else what the statuses of EvpnNodes hold.
    """
    return show_per_node(node, form, wanted, "vnis", vni_report, full_vni_report)
